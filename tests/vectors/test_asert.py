"""The difficulty rule against the public vectors of aserti3-2d, and compact bits against Bitcoin's cases.

The vectors are data points of the runs that Bitcoin Cash Node published with the specification: anchor at
height 1 with parent time 0, spacing 600 s, half-life 2 days, limit 0x1d00ffff.
"""

from dataclasses import replace
from decimal import Decimal, getcontext

import pytest
from chaingen.specs import story_spec
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.pow.difficulty import bits_of, difficulty_of, next_bits, target_of, work_of
from ioex_chain.pow.errors import BadCompact
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import PowSpec

LIMIT = 0x1D00FFFF
HALF_LIFE = 172_800

RUNS: dict[str, tuple[int, list[tuple[int, int, int]]]] = {
    # name: (anchor bits, [(height, time, bits of the next block)])
    "run 1: steady at the limit": (LIMIT, [(2 + n, 1200 + 600 * n, LIMIT) for n in range(10)]),
    "run 2: steady below it": (0x1A2B3C4D, [(2 + n, 1200 + 600 * n, 0x1A2B3C4D) for n in range(10)]),
    "run 3: steady at the least target": (
        0x01010000,
        [(2 + n, 1200 + 600 * n, 0x01010000) for n in range(10)],
    ),
    "run 4: doubling at each block": (
        0x01010000,
        [
            (2, 174_000, 0x01020000),
            (3, 347_400, 0x01040000),
            (7, 1_041_000, 0x01400000),
            (8, 1_214_400, 0x02008000),
            (13, 2_081_400, 0x02100000),
        ],
    ),
    "run 5: halving without time": (
        LIMIT,
        [
            (2, 0, 0x1D00FEC5),
            (290, 0, 0x1C7F62C0),
            (866, 0, 0x1C1FD8B0),
            (2_306, 0, 0x1C00FEC5),
            (3_170, 0, 0x1B1FD8B0),
        ],
    ),
    "run 6: random solve times": (
        0x1802AEE8,
        [
            (2, 1_200, 0x1802AEE8),
            (3, 1_310, 0x1802AD91),
            (4, 1_327, 0x1802ABF8),
            (8, 2_746, 0x1802A94B),
            (9, 7_099, 0x1802B39C),
            (13, 8_816, 0x1802B1B7),
        ],
    ),
}


def bitcoin_cash(anchor_bits: int) -> PowSpec:
    """The rule's parameters there, our genesis standing for the anchor (whose parent's time is 0)."""
    return replace(
        story_spec().pow,
        spacing=600,
        half_life=HALF_LIFE,
        genesis_time=600,
        genesis_bits=anchor_bits,
        pow_limit_bits=LIMIT,
        fixed_difficulty=False,
    )


@pytest.mark.parametrize("name", RUNS)
def test_published_runs(name):
    anchor_bits, points = RUNS[name]
    spec = bitcoin_cash(anchor_bits)
    found = [next_bits(spec, height - 1, time) for height, time, _ in points]
    assert [f"{bits:08x}" for bits in found] == [f"{bits:08x}" for _, _, bits in points]


def formula(spec: PowSpec, parent_height: int, parent_time: int) -> Decimal:
    """The specification in high precision: target x 2^((time - spacing x (height + 1)) / half-life)."""
    getcontext().prec = 120
    late = parent_time - (spec.genesis_time - spec.spacing) - spec.spacing * (parent_height + 1)
    return Decimal(target_of(spec.genesis_bits)) * Decimal(2) ** (Decimal(late) / spec.half_life)


NETWORKS = [replace(load_network(name).pow, fixed_difficulty=False) for name in ("mainnet", "testnet")]


@pytest.mark.parametrize("spec", [bitcoin_cash(0x1802AEE8), *NETWORKS])
@given(height=st.integers(0, 10**7), late=st.integers(-(10**6), 10**6))
def test_integers_follow_the_formula(spec, height, late):
    """The cubic approximation is within 0.02 % of 2^x; compact bits drop at most 1 part in 2^15."""
    time = spec.genesis_time + spec.spacing * height + late
    exact = formula(spec, height, time)
    bits = next_bits(spec, height, time)
    limit = target_of(spec.pow_limit_bits)
    if exact > limit * Decimal("1.001"):
        assert bits == spec.pow_limit_bits
    elif exact > 2**40:
        ratio = Decimal(target_of(bits)) / min(exact, Decimal(limit))
        assert Decimal("0.9996") < ratio < Decimal("1.0004")


@pytest.mark.parametrize("spec", NETWORKS)
@given(height=st.integers(0, 10**6), late=st.integers(-(10**6), 10**6), more=st.integers(1, 10**6))
def test_later_is_never_harder(spec, height, late, more):
    time = spec.genesis_time + spec.spacing * height + late
    assert target_of(next_bits(spec, height, time)) <= target_of(next_bits(spec, height, time + more))
    assert target_of(next_bits(spec, height + 1, time)) <= target_of(next_bits(spec, height, time))


@pytest.mark.parametrize("spec", NETWORKS)
def test_genesis_target_stands_on_schedule(spec):
    for height in (0, 1, 720, 259_200):
        assert next_bits(spec, height, spec.genesis_time + spec.spacing * height) == spec.genesis_bits


@pytest.mark.parametrize("spec", NETWORKS)
def test_extremes_are_clamped(spec):
    assert next_bits(spec, 0, 2**32 - 1) == spec.pow_limit_bits
    assert next_bits(spec, 2**31, spec.genesis_time) == bits_of(1)


def test_devnet_is_fixed():
    spec = story_spec().pow
    assert next_bits(spec, 10**6, 0) == next_bits(spec, 0, 2**32 - 1) == spec.pow_limit_bits


# Bitcoin Core's arith_uint256 tests of compact bits: (bits, value, bits written back).
COMPACT = [
    (0x01123456, 0x12, 0x01120000),
    (0x02123456, 0x1234, 0x02123400),
    (0x03123456, 0x123456, 0x03123456),
    (0x04123456, 0x12345600, 0x04123456),
    (0x05009234, 0x92340000, 0x05009234),
    (0x20123456, 0x123456 << 232, 0x20123456),
    (0x02008000, 0x80, 0x02008000),
]
REFUSED = [
    *(0x00000000, 0x00123456, 0x01003456, 0x02000056, 0x03000000, 0x04000000),  # zero
    *(0x00923456, 0x01803456, 0x02800056, 0x03800000, 0x04800000),  # zero with the sign
    *(0x01FEDCBA, 0x04923456),  # negative
    *(0xFF123456, 0x22010000, 0x23000001, 0x21010000),  # above 256 bits
]


@pytest.mark.parametrize(("bits", "target", "again"), COMPACT)
def test_compact(bits, target, again):
    assert target_of(bits) == target
    assert bits_of(target) == again


@pytest.mark.parametrize("bits", REFUSED)
def test_compact_refused(bits):
    with pytest.raises(BadCompact):
        target_of(bits)


@given(st.integers(1, 2**256 - 1))
def test_compact_truncates_and_is_stable(target):
    bits = bits_of(target)
    assert target_of(bits) <= target
    assert (target - target_of(bits)) << 15 <= target
    assert bits_of(target_of(bits)) == bits


def test_work_and_difficulty_known_values():
    assert work_of(0x1D00FFFF) == 0x100010001
    assert work_of(0x207FFFFF) == 2
    assert difficulty_of(0x1D00FFFF) == 1
    assert difficulty_of(0x1B0404CB) == pytest.approx(16307.420938523983)
