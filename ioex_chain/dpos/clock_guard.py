"""Whether this machine's clock may be signed by (docs/protocol.md section 4). Clocks come in from outside.

Wall and monotonic clock run side by side; a jump of one against the other is a step (or the machine slept).
Peers' clocks are kept as their distance to the monotonic clock, so that a step of ours shows at once.
"""

from collections.abc import Callable
from statistics import median

from ioex_chain.dpos.signing_errors import ClockOff, ClockStepped

LEAST_PEERS = 3
"""Clocks below which peers say nothing: one or two liars could stop an arbitrator."""
MAX_PEERS = 256


class PeerClocks:
    """What peers' clocks showed, by connection."""

    def __init__(self) -> None:
        self._distances: dict[str, float] = {}

    def add(self, peer: str, wall: float, monotonic: float) -> None:
        """Note a peer's Unix time, corrected for the way, at our monotonic time."""
        self._distances.pop(peer, None)
        self._distances[peer] = wall - monotonic
        while len(self._distances) > MAX_PEERS:
            del self._distances[next(iter(self._distances))]

    def remove(self, peer: str) -> None:
        """Forget a peer that left."""
        self._distances.pop(peer, None)

    def estimate(self) -> float | None:
        """Give the median of Unix time less our monotonic time; None with too few peers."""
        if len(self._distances) < LEAST_PEERS:
            return None
        return median(self._distances.values())


class ClockGuard:
    """Gives the time, or says why nothing may be signed by it. To be asked at least once a slot."""

    def __init__(
        self,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        tolerance: float,
        *,
        settle: float,
        peers: Callable[[], float | None] = lambda: None,
    ) -> None:
        """`tolerance`: seconds; `settle`: seconds without a jump after which a stepped clock is believed."""
        self.steps = 0
        """Jumps seen so far."""
        self._wall = wall
        self._monotonic = monotonic
        self._tolerance = tolerance
        self._settle = settle
        self._peers = peers
        self._distance = wall() - monotonic()
        self._jump = 0.0
        self._steady_from: float | None = None

    def now(self) -> float:
        """Give the Unix time. Raises ClockStepped, ClockOff."""
        monotonic = self._monotonic()
        distance = self._wall() - monotonic
        jump, self._distance = distance - self._distance, distance  # slow drift is the peers' to judge
        if abs(jump) > self._tolerance:
            self.steps += 1
            self._jump, self._steady_from = jump, monotonic + self._settle
        if self._steady_from is not None:
            if monotonic < self._steady_from:
                raise ClockStepped(self._jump, self._steady_from - monotonic)
            self._steady_from = None
        self._compare(distance)
        return monotonic + distance

    def _compare(self, distance: float) -> None:
        peers = self._peers()
        if peers is not None and abs(peers - distance) > self._tolerance:
            raise ClockOff(peers - distance, self._tolerance)
