"""BLS12-381 (EIP-2537): the operations over many points, point by point, so that a deadline can end them."""

from importlib import import_module
from typing import Any

from eth.precompiles.bls12_381 import constants as gas
from eth.precompiles.bls12_381.bls12_381_g1 import (
    bytes_to_g1_optimized_point3D,
    decode_g1_scalar_pair,
    g1_optimized_3d_to_bytes,
)
from eth.precompiles.bls12_381.bls12_381_g2 import (
    bytes_to_g2_optimized_point3D,
    decode_G2_scalar_pair,
    g2_optimized_3d_to_bytes,
)

from ioex_chain.evm.vm_errors import PrecompileFailure
from ioex_chain.evm.vm_frame import Frame

curve: Any = import_module("py_ecc.optimized_bls12_381")  # its types do not follow its own aliases
_G1_PAIR, _G2_PAIR, _PAIRING = 160, 288, 384
_PAIRING_BASE, _PAIRING_EACH = 37_700, 32_600


def _count(frame: Frame, size: int) -> int:
    length = len(frame.msg.data)
    if length == 0 or length % size:
        raise PrecompileFailure(f"length of input is no multiple of {size}")
    return length // size


def _look(frame: Frame) -> None:
    if frame.world.check_deadline is not None:
        frame.world.check_deadline()


def _sum(frame: Frame, size: int, decode: Any) -> Any:
    total = None
    for start in range(0, len(frame.msg.data), size):
        _look(frame)
        point, scalar = decode(frame.msg.data[start : start + size])
        product = curve.multiply(point, scalar)
        total = product if total is None else curve.add(total, product)
    return total


def g1_msm(frame: Frame) -> None:
    """BLS12_G1MSM."""
    count = _count(frame, _G1_PAIR)
    discount = (
        gas.G1_MSM_DISCOUNTS[count - 1] if count <= len(gas.G1_MSM_DISCOUNTS) else gas.G1_MSM_MAX_DISCOUNT
    )
    frame.consume_gas(count * gas.BLS12_G1_MSM_GAS * discount // gas.MSM_MULTIPLIER, "BLS12_G1MSM")
    frame.output = g1_optimized_3d_to_bytes(_sum(frame, _G1_PAIR, decode_g1_scalar_pair))


def g2_msm(frame: Frame) -> None:
    """BLS12_G2MSM."""
    count = _count(frame, _G2_PAIR)
    discount = (
        gas.G2_MSM_DISCOUNTS[count - 1] if count <= len(gas.G2_MSM_DISCOUNTS) else gas.G2_MSM_MAX_DISCOUNT
    )
    frame.consume_gas(count * gas.BLS12_G2_MSM_GAS * discount // gas.MSM_MULTIPLIER, "BLS12_G2MSM")
    frame.output = g2_optimized_3d_to_bytes(_sum(frame, _G2_PAIR, decode_G2_scalar_pair))


def pairing_check(frame: Frame) -> None:
    """BLS12_PAIRING_CHECK."""
    frame.consume_gas(_PAIRING_BASE + _PAIRING_EACH * _count(frame, _PAIRING), "BLS12_PAIRING_CHECK")
    product = curve.FQ12.one()
    for start in range(0, len(frame.msg.data), _PAIRING):
        _look(frame)
        part = frame.msg.data[start : start + _PAIRING]
        first = bytes_to_g1_optimized_point3D(part[:128])
        second = bytes_to_g2_optimized_point3D(part[128:])
        if not all(curve.is_inf(curve.multiply(point, curve.curve_order)) for point in (first, second)):
            raise PrecompileFailure("a point is outside its subgroup")
        product *= curve.pairing(second, first)
    frame.output = int(product == curve.FQ12.one()).to_bytes(32, "big")
