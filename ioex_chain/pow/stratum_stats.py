"""What miners did over Stratum: counts, hash rates, blocks; per server, address, worker and connection.

All times are those of the monotonic clock that the server was given; nothing here grows without bound.
"""

from collections import deque
from dataclasses import dataclass, field

from ioex_chain.pow.vardiff import HASHES_PER_DIFFICULTY

RATE_WINDOWS = (300.0, 3600.0)
"""Seconds over which hash rates are estimated."""
MAX_KEPT = 4096
"""Workers, and addresses, that are remembered; those longest without a share go first."""
_SLOTS = 10


class _Window:
    """A sum over the last `seconds`, kept in ten slots."""

    __slots__ = ("_slots", "_width", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._width = seconds / _SLOTS
        self._slots: deque[tuple[int, float]] = deque(maxlen=_SLOTS + 1)

    def add(self, now: float, amount: float) -> None:
        slot = int(now // self._width)
        if self._slots and self._slots[-1][0] == slot:
            amount += self._slots.pop()[1]
        self._slots.append((slot, amount))

    def rate(self, now: float, started: float) -> float:
        """Give the sum per second since the first slot began, or since `started` if that was later."""
        first = int(now // self._width) - _SLOTS + 1
        span = max(now - max(started, first * self._width), self._width)
        return sum(amount for slot, amount in self._slots if slot >= first) / span


class ShareStats:
    """Shares of one worker, address, connection or of all."""

    __slots__ = (
        "_long",
        "_short",
        "accepted",
        "best_difficulty",
        "blocks",
        "difficulty_sum",
        "last_share",
        "rejected",
        "started",
    )

    def __init__(self, now: float) -> None:
        self.started = now
        self.accepted = 0
        self.rejected: dict[str, int] = {}
        """Refused shares by reason (`StratumError.reason`); `stale` is one of them."""
        self.difficulty_sum = 0.0
        self.best_difficulty = 0.0
        self.blocks = 0
        """Blocks that the node took onto the best chain."""
        self.last_share: float | None = None
        self._short, self._long = _Window(RATE_WINDOWS[0]), _Window(RATE_WINDOWS[1])

    def accept(self, now: float, difficulty: float, reached: float) -> None:
        """Count a share of this difficulty whose hash reached `reached`."""
        self.accepted += 1
        self.difficulty_sum += difficulty
        self.last_share = now
        if reached > self.best_difficulty:
            self.best_difficulty = reached
        self._short.add(now, difficulty)
        self._long.add(now, difficulty)

    def refuse(self, reason: str) -> None:
        """Count a refused share."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    @property
    def stale(self) -> int:
        """Shares of a head that was no longer the best."""
        return self.rejected.get("stale", 0)

    def hash_rate(self, now: float, window: float = RATE_WINDOWS[0]) -> float:
        """Estimate hashes per second over the last 5 minutes, or the last hour."""
        chosen = self._short if window == RATE_WINDOWS[0] else self._long
        return chosen.rate(now, self.started) * HASHES_PER_DIFFICULTY


class WorkerStats(ShareStats):
    """Shares of one worker or address, over all its connections."""

    __slots__ = ("connections", "name")

    def __init__(self, name: str, now: float) -> None:
        super().__init__(now)
        self.name = name
        """`address.worker`, or the address alone."""
        self.connections = 0

    @property
    def address(self) -> str:
        """Whom its blocks pay."""
        return self.name.partition(".")[0]


@dataclass
class StratumStats:
    """The server's figures: what metrics and RPC show."""

    total: ShareStats
    connections: int = 0
    authorized: int = 0
    """Connections with a worker."""
    connections_total: int = 0
    refused_connections: int = 0
    """Turned away: too many, or too fast."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Connections that the server ended, by reason."""
    protocol_errors: dict[str, int] = field(default_factory=dict)
    """Requests other than shares that were refused, by reason."""
    jobs: int = 0
    """Templates handed out."""
    blocks_found: int = 0
    """Shares that met the network's target and were given to the node."""
    blocks_refused: int = 0
    """Of those, what the node refused or left off the best chain."""
    workers: dict[str, WorkerStats] = field(default_factory=dict)
    addresses: dict[str, WorkerStats] = field(default_factory=dict)

    def join(self, worker: str, address: str, now: float) -> tuple[WorkerStats, WorkerStats]:
        """Count one more connection of a worker; give its figures and its address's."""
        found = _get(self.workers, worker, now), _get(self.addresses, address, now)
        for stats in found:
            stats.connections += 1
        return found

    def leave(self, worker: WorkerStats, address: WorkerStats) -> None:
        """Count one connection less."""
        worker.connections -= 1
        address.connections -= 1


def count(table: dict[str, int], reason: str) -> None:
    """Add one under `reason`; reasons are a closed list, so tables stay small."""
    table[reason] = table.get(reason, 0) + 1


def _get(table: dict[str, WorkerStats], name: str, now: float) -> WorkerStats:
    found = table.get(name)
    if found is None:
        if len(table) >= MAX_KEPT:
            _forget_one(table)
        found = table[name] = WorkerStats(name, now)
    return found


def _forget_one(table: dict[str, WorkerStats]) -> None:
    """Forget who is gone and has been silent longest; who is connected stays."""
    gone = [stats for stats in table.values() if stats.connections <= 0]
    if gone:
        oldest = min(gone, key=lambda stats: stats.last_share or stats.started)
        del table[oldest.name]
