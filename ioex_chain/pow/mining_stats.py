"""What `ioex miner` shows: hash rate, expected time per block, and when rewards mature."""

from collections import deque
from dataclasses import dataclass, field

from ioex_chain.pow.difficulty import work_of

_WINDOW = 60.0
"""Seconds over which the hash rate is averaged."""


@dataclass(frozen=True, slots=True)
class Reward:
    """A coinbase that we mined: its value in units, and the first height at which a block may spend it."""

    height: int
    block_hash: bytes
    value: int
    matures_at: int


@dataclass
class MinerStats:
    """Counts since the start. Times are those of the monotonic clock that the miner was given."""

    started: float
    hashes: int = 0
    found: int = 0
    accepted: int = 0
    stale: int = 0
    rejected: int = 0
    height: int = 0
    """Of the block that is being mined; 0 without work."""
    bits: int = 0
    is_pacing: bool = False
    """Whether the miner waits for the spacing to pass."""
    last_error: str = ""
    rewards: list[Reward] = field(default_factory=list)
    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def add_hashes(self, now: float, count: int) -> None:
        """Count hashes that were reported now."""
        self.hashes += count
        self._samples.append((now, count))
        while self._samples[0][0] < now - _WINDOW:
            self._samples.popleft()

    def hash_rate(self, now: float) -> float:
        """Give hashes per second over the last minute."""
        recent = [(at, count) for at, count in self._samples if at >= now - _WINDOW]
        span = min(_WINDOW, now - self.started)
        return sum(count for _, count in recent) / span if span > 0 else 0.0

    def expected_seconds(self, now: float) -> float | None:
        """Give the mean time to a block at the present difficulty and rate; None while one is unknown."""
        rate = self.hash_rate(now)
        return work_of(self.bits) / rate if self.bits and rate else None

    def maturing(self, height: int) -> list[Reward]:
        """Give the rewards that a block at `height` + 1 could not spend yet, oldest first."""
        return [reward for reward in self.rewards if reward.matures_at > height + 1]
