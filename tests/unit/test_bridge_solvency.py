"""The equation of both chains: what holds, what a broken figure says, and what is only a matter of time."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.bridge.solvency import (
    Buried,
    DposFigures,
    PowFigures,
    Rules,
    Solvency,
    Supply,
    Verdict,
    solvency,
)

REWARD = 20
RULES = Rules(REWARD)
K = 2
ACC = bytes([7]) * 32


def pow_at(
    height: int, deposits: int = 0, donations: int = 0, settled: int = 0, count: int = 0
) -> PowFigures:
    came = 1_000 + REWARD * height + deposits + donations
    accumulator = ACC if count else bytes(32)
    totals = (1_000, REWARD * height, deposits, donations, settled)
    return PowFigures(b"p" * 32, height, came - settled, *totals, count, accumulator)


def dpos_at(counted: int, deposits: int = 0, **changes: Any) -> DposFigures:
    figures = DposFigures(
        hash=b"d" * 32,
        height=9,
        genesis=1_000,
        rewards=REWARD * counted,
        deposits=deposits,
        queued=0,
        requested=0,
        retired=0,
        count=0,
        accumulator=bytes(32),
        counted_height=counted,
    )
    return replace(figures, **changes)


HEAD = pow_at(10, deposits=500, donations=3, settled=40, count=2)
TIP = pow_at(9, deposits=400)
BURIED = pow_at(7, deposits=300)
DPOS = dpos_at(6, deposits=250, queued=60, requested=100, retired=30, count=5, accumulator=ACC)


def judge(**changes: Any) -> Solvency:
    given = {"head": HEAD, "dpos": DPOS, "buried": BURIED, "tip": TIP} | changes
    return solvency(RULES, given.pop("head"), given.pop("dpos"), **given)


def test_every_part_has_its_name() -> None:
    found = judge()
    assert found.verdict is Verdict.SOUND
    assert (found.reserve, found.required, found.difference) == (HEAD.reserve, HEAD.reserve, 0)
    assert found.native == 1_000 + 120 + 250 - 60 - 100 - 30
    assert (found.queued, found.unsettled, found.retired, found.uncreditable) == (60, 60, 30, 3)
    waiting = found.not_credited
    assert waiting.unseen == 20 + 100  # PoW blocks that the DPoS chain has not heard of: no hole
    assert waiting.unburied == 40 + 100
    assert (waiting.uncounted, waiting.unproven) == (20, 50)
    assert found.broken == ()


def test_without_a_view_of_the_buried_block_the_sum_is_the_same() -> None:
    found = judge(buried=None)
    assert (found.verdict, found.difference) == (Verdict.SOUND, 0)
    assert found.not_credited.unburied == judge().not_credited.total


def test_a_tip_above_the_head_that_was_read_is_no_part_of_it() -> None:
    found = judge(tip=pow_at(11, deposits=900))
    assert (found.not_credited.unseen, found.difference) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"head": replace(HEAD, reserve=HEAD.reserve - 1)}, "reserve is what came in less what was settled"),
        ({"dpos": replace(DPOS, genesis=1_001)}, "genesis balances are backed"),
        ({"head": replace(HEAD, rewards=HEAD.rewards + 1, reserve=HEAD.reserve + 1)}, "each PoW block paid"),
        ({"dpos": replace(DPOS, rewards=DPOS.rewards + REWARD)}, "each counted height was credited once"),
        ({"dpos": replace(DPOS, requested=5_000)}, "nothing was taken off that was not there"),
        ({"dpos": replace(DPOS, rewards=160, counted_height=8)}, "credited rewards are buried"),
        ({"dpos": replace(DPOS, deposits=301)}, "credited deposits are buried"),
        ({"dpos": replace(DPOS, requested=39)}, "settled amounts were requested"),
        ({"dpos": replace(DPOS, accumulator=bytes(32))}, "settled requests are those of the Bridge"),
    ],
)
def test_one_broken_figure_is_a_hole_and_named(changes: dict[str, Any], broken: str) -> None:
    found = judge(**changes)
    assert found.verdict is Verdict.HOLE
    assert len(found.broken) == 1
    assert found.broken[0].startswith(broken)


def test_a_coin_credited_twice_is_a_hole_wherever_it_is_spent() -> None:
    twice = replace(DPOS, deposits=DPOS.deposits + 100)
    assert judge(dpos=twice).verdict is Verdict.HOLE


def test_what_this_node_lacks_is_no_hole() -> None:
    ahead = replace(DPOS, rewards=240, counted_height=12)
    assert judge(dpos=ahead, buried=None, where=Buried.UNKNOWN).verdict is Verdict.POW_BEHIND
    assert judge(buried=None, where=Buried.OTHER_BRANCH).verdict is Verdict.FORKED
    behind = replace(DPOS, count=1, requested=10, accumulator=None)
    found = judge(dpos=behind)
    assert (found.verdict, found.unsettled) == (Verdict.DPOS_BEHIND, -30)
    assert judge(void=True).verdict is Verdict.VOID


def test_supply() -> None:
    assert Supply(1_000, 240, None).total is None
    assert Supply(1_000, 240, 3).total == 1_237


amounts = st.integers(0, 10**9)


@given(
    heights=st.lists(st.integers(0, 50), min_size=4, max_size=4).map(sorted),
    deposits=st.lists(amounts, min_size=4, max_size=4).map(sorted),
    donations=amounts,
    taken=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
)
def test_an_honest_history_is_sound_at_every_moment(
    heights: list[int], deposits: list[int], donations: int, taken: tuple[int, ...]
) -> None:
    """Whatever was counted, proven, paid, requested, retired and settled so far."""
    counted, buried, tip, head = heights
    credited = REWARD * counted + deposits[0]
    requested, retired, queued = (credited * part // 16 for part in taken[:3])
    settled = requested * taken[3] // 3
    dpos = dpos_at(
        counted,
        deposits[0],
        queued=queued,
        requested=requested,
        retired=retired,
        count=5,
        accumulator=ACC if settled else bytes(32),
    )
    found = solvency(
        RULES,
        pow_at(head, deposits[3], donations, settled, 5 if settled else 0),
        dpos,
        buried=pow_at(buried, deposits[1]),
        tip=pow_at(tip, deposits[2]),
    )
    assert (found.verdict, found.difference, found.broken) == (Verdict.SOUND, 0, ())
    waiting = found.not_credited
    assert min(waiting.unseen, waiting.unburied, waiting.uncounted, waiting.unproven) >= 0
