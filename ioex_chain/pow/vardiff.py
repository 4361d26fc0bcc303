"""Share difficulty: what a miner's shares must meet, and how it follows the miner's speed.

Difficulty 1 is Bitcoin's easiest target, 0xffff * 2**208; targets are compared as integers. A share's
difficulty is never above the network's, so that every block is a share as well.
"""

import math
from dataclasses import dataclass

DIFFICULTY_1 = 0xFFFF << 208
"""The target at difficulty 1 (Bitcoin's "pdiff")."""
HASHES_PER_DIFFICULTY = (1 << 256) / DIFFICULTY_1
"""Hashes behind one share of difficulty 1, on average: about 2**32."""
_MAX_TARGET = (1 << 256) - 1
_ROUNDING = 1 - 2.0**-24
"""Miners compute targets in floating point, some with 32 significant bits; this is room for them."""


def target_at(difficulty: float) -> int:
    """Give the largest hash that has this difficulty (above 0), exactly."""
    numerator, denominator = difficulty.as_integer_ratio()
    return min(_MAX_TARGET, DIFFICULTY_1 * denominator // numerator)


def difficulty_at(target: int) -> float:
    """Give the difficulty of a target or of a hash."""
    return DIFFICULTY_1 / max(1, target)


def hardest_share(network_target: int) -> float:
    """Give the largest difficulty whose target, as miners compute it, is no harder than the network's.

    At 1 and above it is an integer, as some firmware reads nothing else; below it leaves room for rounding.
    """
    limit = difficulty_at(network_target)
    return float(math.floor(limit)) if limit >= 1 else limit * _ROUNDING


@dataclass(frozen=True, slots=True)
class VardiffRules:
    """How difficulty follows speed. Times in seconds."""

    start: float = 0.01
    """Before anything is known: one share in 4 s of a processor thread with 10 MH/s."""
    minimum: float = 0.0001
    """The floor, unless the network's difficulty is below it."""
    share_seconds: float = 4.0
    """Mean time between shares that is aimed at: 15 a minute."""
    window: float = 60.0
    """After this at the latest the speed is judged."""
    enough: int = 24
    """So many shares are judged at once."""
    most_up: float = 64.0
    most_down: float = 8.0
    """The largest factors of one change."""
    tolerance: float = 1.6
    """A rate within this factor of the aim changes nothing."""


class Vardiff:
    """One connection's difficulty. `now` is monotonic time in seconds."""

    def __init__(self, rules: VardiffRules, now: float) -> None:
        self._rules = rules
        self._floor = rules.minimum
        self.difficulty = max(rules.start, rules.minimum)
        self._since = now
        self._shares = 0.0

    def suggest(self, difficulty: float, now: float) -> None:
        """Begin again from what the miner asks for; the rules' floor stands."""
        self.difficulty = max(difficulty, self._floor)
        self._restart(now)

    def require(self, minimum: float) -> None:
        """Raise the floor at the miner's wish (the minimum-difficulty extension)."""
        self._floor = max(minimum, self._rules.minimum)
        self.difficulty = max(self.difficulty, self._floor)

    def limit(self, hardest: float) -> float:
        """Give the difficulty for a job whose network allows no more than `hardest`."""
        self.difficulty = min(self.difficulty, hardest)
        return self.difficulty

    def share(self, difficulty: float) -> None:
        """Count a share of this difficulty, which may be one that was asked for earlier."""
        self._shares += difficulty / self.difficulty

    def retarget(self, now: float, hardest: float) -> bool:
        """Judge the rate when it is time to; say whether the difficulty changed."""
        rules, elapsed = self._rules, now - self._since
        if self._shares < rules.enough and elapsed < rules.window:
            return False
        ratio = self._shares * rules.share_seconds / max(elapsed, 1e-3)
        self._restart(now)
        if 1 / rules.tolerance <= ratio <= rules.tolerance:
            return False
        factor = min(max(ratio, 1 / rules.most_down), rules.most_up)
        wanted = float(f"{self.difficulty * factor:.3g}")
        if wanted >= 1:
            wanted = float(round(wanted))
        before = self.difficulty
        self.difficulty = min(max(wanted, self._floor), hardest)
        return self.difficulty != before

    def _restart(self, now: float) -> None:
        self._since, self._shares = now, 0.0
