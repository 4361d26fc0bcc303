"""Share difficulty: exact targets, never above the network's, and a rate that finds its aim."""

import random
from fractions import Fraction

import pytest
from e2e.stratum_client import target_of
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.pow.difficulty import bits_of
from ioex_chain.pow.difficulty import target_of as target_of_bits
from ioex_chain.pow.vardiff import (
    DIFFICULTY_1,
    HASHES_PER_DIFFICULTY,
    Vardiff,
    VardiffRules,
    difficulty_at,
    hardest_share,
    target_at,
)

FAR = 1e18


def test_difficulty_one_is_bitcoins_easiest_target():
    assert target_at(1.0) == target_of_bits(0x1D00FFFF) == DIFFICULTY_1
    assert target_at(2.0**-16) == 0xFFFF << 224
    assert target_at(4096.0) == 0xFFFF << 196
    assert target_at(1e-30) == (1 << 256) - 1
    assert round(HASHES_PER_DIFFICULTY) == 4_295_032_833


@given(st.floats(2.0**-31, 1e14))
def test_targets_are_exact(difficulty):
    assert target_at(difficulty) == int(Fraction(DIFFICULTY_1) / Fraction(difficulty))


@given(st.integers(1 << 180, target_of_bits(0x207FFFFF)))
def test_a_share_is_never_harder_than_a_block(number):
    """Also as a miner computes the target, in floating point."""
    network = target_of_bits(bits_of(number))
    hardest = hardest_share(network)
    assert target_at(hardest) >= network
    if hardest < 1:
        assert target_of(hardest) >= network
    else:
        assert hardest == int(hardest)
    assert hardest >= 0.49 * difficulty_at(network)


@pytest.mark.parametrize(("bits", "hardest"), [(0x1D00FFFF, 1.0), (0x1C7FFF80, 2.0), (0x1C00FFFF, 256.0)])
def test_known_networks(bits, hardest):
    assert hardest_share(target_of_bits(bits)) == hardest


def mine(vardiff: Vardiff, hash_rate: float, minutes: float, hardest: float = FAR, seed: int = 1) -> float:
    """Let a miner of this speed find shares for a while; give its shares a minute at the end."""
    chance, now, end, late = random.Random(seed), 0.0, minutes * 60, 0
    ticks = 1.0
    while now < end:
        wait = chance.expovariate(hash_rate / (vardiff.difficulty * HASHES_PER_DIFFICULTY))
        if now + wait > ticks:
            now, ticks = ticks, ticks + 1.0
        else:
            now += wait
            vardiff.share(vardiff.difficulty)
            late += now > end - 300
        vardiff.retarget(now, hardest)
    return late / 5


@pytest.mark.parametrize("rate", [5e4, 1e6, 1e7, 5e9, 1e14])
def test_every_miner_comes_to_ten_to_twenty_shares_a_minute(rate):
    rules = VardiffRules(minimum=1e-7)
    assert 9 <= mine(Vardiff(rules, 0.0), rate, 20) <= 25


def test_a_fast_miner_is_slowed_within_a_few_hundred_shares():
    vardiff, shares, now = Vardiff(VardiffRules(), 0.0), 0, 0.0
    while vardiff.difficulty < 1e14 / HASHES_PER_DIFFICULTY and shares < 1000:
        now += vardiff.difficulty * HASHES_PER_DIFFICULTY / 1e14
        vardiff.share(vardiff.difficulty)
        vardiff.retarget(now, FAR)
        shares += 1
    assert shares <= 150


def test_one_change_is_bounded_and_the_floor_holds():
    vardiff = Vardiff(VardiffRules(start=1.0, minimum=0.01), 0.0)
    for _ in range(24):
        vardiff.share(vardiff.difficulty)
    assert vardiff.retarget(0.001, FAR)
    assert vardiff.difficulty == 64
    seen = []
    for minute in range(1, 8):
        vardiff.retarget(minute * 61.0, FAR)
        seen.append(vardiff.difficulty)
    assert seen[0] == 8
    assert seen[-1] == 0.01


def test_the_network_is_the_ceiling_even_above_the_floor():
    vardiff = Vardiff(VardiffRules(start=0.01, minimum=0.001), 0.0)
    assert vardiff.limit(4.6e-10) == 4.6e-10
    for _ in range(24):
        vardiff.share(vardiff.difficulty)
    assert not vardiff.retarget(0.1, 4.6e-10)
    assert vardiff.difficulty == 4.6e-10


def test_a_good_rate_changes_nothing():
    vardiff = Vardiff(VardiffRules(), 0.0)
    for _ in range(15):
        vardiff.share(vardiff.difficulty)
    assert not vardiff.retarget(60.0, FAR)


def test_wishes_of_the_miner():
    vardiff = Vardiff(VardiffRules(), 0.0)
    vardiff.suggest(512.0, 0.0)
    assert vardiff.difficulty == 512
    vardiff.suggest(1e-9, 0.0)
    assert vardiff.difficulty == VardiffRules().minimum
    vardiff.require(16.0)
    assert vardiff.difficulty == 16
    vardiff.retarget(1000.0, FAR)
    assert vardiff.difficulty == 16


def test_shares_of_an_earlier_difficulty_count_for_what_they_are():
    """Those under way while the difficulty rises must not raise it again."""
    vardiff = Vardiff(VardiffRules(start=1.0), 0.0)
    for _ in range(2_000):
        vardiff.share(1.0)
        vardiff.retarget(1.0, FAR)
    assert 64 <= vardiff.difficulty < 5_000
    vardiff = Vardiff(VardiffRules(start=64.0), 0.0)
    for _ in range(15 * 64):
        vardiff.share(1.0)
    assert not vardiff.retarget(60.0, FAR)
