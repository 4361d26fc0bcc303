"""Which coins pay: branch and bound for an exact match, else the fewest coins (Core's approach, smaller).

A coin counts with its effective value: what is left of it when its own input is paid for.
"""

from collections.abc import Sequence
from typing import NamedTuple

MAX_TRIES = 50_000


class Candidate(NamedTuple):
    """A coin on offer: its position in the caller's list, value and effective value, in PoW units."""

    position: int
    value: int
    effective: int


def select(candidates: Sequence[Candidate], target: int, cost_of_change: int) -> tuple[Candidate, ...] | None:
    """Choose coins whose effective values reach `target`; None if all together do not.

    Prefers a set that overshoots by at most `cost_of_change` (no change output is needed then, the rest
    becomes fee); else the smallest single coin that suffices; else coins from the largest down.
    """
    useful = sorted(
        (item for item in candidates if item.effective > 0), key=lambda item: (-item.effective, item.position)
    )
    if sum(item.effective for item in useful) < target:
        return None
    return branch_and_bound(useful, target, cost_of_change) or _largest_first(useful, target)


def branch_and_bound(
    candidates: Sequence[Candidate], target: int, tolerance: int
) -> tuple[Candidate, ...] | None:
    """Search for the set with the least excess within `tolerance`; candidates fall in effective value.

    Depth first, each coin in or out, cut where the rest cannot reach the target or the excess is too large;
    gives up after MAX_TRIES steps (Murch, "An Evaluation of Coin Selection Strategies", 2016).
    """
    suffix = [0]
    for item in reversed(candidates):
        suffix.append(suffix[-1] + item.effective)
    suffix.reverse()
    best: tuple[int, ...] | None = None
    best_excess = tolerance + 1
    chosen: list[int] = []
    total = depth = 0
    for _ in range(MAX_TRIES):
        excess = total - target
        if 0 <= excess < best_excess:
            best, best_excess = tuple(chosen), excess
        if excess >= 0 or depth == len(candidates) or total + suffix[depth] < target:
            # back to the last coin that was in, and leave it out
            if best_excess == 0 or not chosen:
                break
            depth = chosen.pop()
            total -= candidates[depth].effective
        else:
            chosen.append(depth)
            total += candidates[depth].effective
        depth += 1
    return None if best is None else tuple(candidates[index] for index in best)


def _largest_first(candidates: Sequence[Candidate], target: int) -> tuple[Candidate, ...]:
    enough = [item for item in candidates if item.effective >= target]
    if enough:
        return (enough[-1],)
    total = 0
    chosen: list[Candidate] = []
    for item in candidates:
        chosen.append(item)
        total += item.effective
        if total >= target:
            break
    return tuple(chosen)
