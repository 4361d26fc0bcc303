"""Coin selection: whatever the coins, the choice pays the target, and never for nothing."""

from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.wallet.selection import Candidate, branch_and_bound, select

VALUES = st.lists(st.integers(min_value=-1_000, max_value=10_000_000), max_size=40)


def candidates(values: list[int]) -> list[Candidate]:
    return [Candidate(position, value + 200, value) for position, value in enumerate(values)]


@given(VALUES, st.integers(min_value=1, max_value=100_000_000), st.integers(min_value=0, max_value=5_000))
def test_the_choice_reaches_the_target_and_uses_no_coin_twice(
    values: list[int], target: int, cost: int
) -> None:
    offered = candidates(values)
    chosen = select(offered, target, cost)
    reachable = sum(value for value in values if value > 0)
    assert (chosen is None) == (reachable < target)
    if chosen is not None:
        assert sum(item.effective for item in chosen) >= target
        assert len({item.position for item in chosen}) == len(chosen)
        assert all(item in offered and item.effective > 0 for item in chosen)
        assert chosen == select(offered, target, cost)


@given(st.lists(st.integers(min_value=1, max_value=5_000), min_size=1, max_size=10), st.data())
def test_branch_and_bound_finds_the_best_match_of_all(values: list[int], data: st.DataObject) -> None:
    target = data.draw(st.integers(min_value=1, max_value=sum(values)))
    tolerance = data.draw(st.integers(min_value=0, max_value=100))
    offered = sorted(candidates(values), key=lambda item: -item.effective)
    sums = [sum(v for n, v in enumerate(values) if mask >> n & 1) for mask in range(1 << len(values))]
    excesses = [total - target for total in sums if 0 <= total - target <= tolerance]
    chosen = branch_and_bound(offered, target, tolerance)
    assert (chosen is None) == (not excesses)
    if chosen is not None:
        assert sum(item.effective for item in chosen) - target == min(excesses)
