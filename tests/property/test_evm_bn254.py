"""ECADD and ECMUL of ours against py-evm's."""

from types import SimpleNamespace

from eth.exceptions import VMError
from eth.vm.forks.prague.computation import PragueComputation
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as curve

from ioex_chain.evm.vm_bn254 import P, ecadd, ecmul

THEIRS = PragueComputation.get_precompiles()
scalars = st.one_of(st.integers(0, 3), st.integers(0, 2**256 - 1), st.just(curve.curve_order))


def encoded(scalar: int) -> bytes:
    point = curve.multiply(curve.G1, scalar % curve.curve_order)
    if curve.is_inf(point):
        return bytes(64)
    x, y = curve.normalize(point)
    return int(x).to_bytes(32, "big") + int(y).to_bytes(32, "big")


points = st.one_of(
    scalars.map(encoded),
    st.integers(0, 3).map(encoded),
    st.binary(max_size=64),
    st.just((P + 1).to_bytes(32, "big") + (2).to_bytes(32, "big")),
)


def answer(precompile, data: bytes) -> tuple[bytes, int] | None:
    """What it returns and charges; None when it refuses."""
    used: list[int] = []
    frame = SimpleNamespace(
        msg=SimpleNamespace(data=data, data_as_bytes=data),
        output=b"",
        consume_gas=lambda amount, reason="": used.append(amount),
    )
    try:
        precompile(frame)
    except VMError:
        return None
    return frame.output, sum(used)


@settings(max_examples=60)
@given(points, points)
def test_sums_are_the_same(first, second):
    assert answer(ecadd, first + second) == answer(THEIRS[bytes(19) + b"\6"], first + second)


@settings(max_examples=60)
@given(points, scalars)
def test_products_are_the_same(point, scalar):
    data = point + scalar.to_bytes(32, "big")
    assert answer(ecmul, data) == answer(THEIRS[bytes(19) + b"\7"], data)
