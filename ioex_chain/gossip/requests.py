"""Which announced transaction is asked of which peer, and when of the next one. Without I/O.

One peer at a time is asked for a transaction. The next announcer is asked when the first has no answer after
RETRY seconds, or says that it has not got it; alone, a peer has DEADLINE seconds.
"""

from collections.abc import Callable
from heapq import heappop, heappush

MAX_ANNOUNCED = 5_000
"""Announcements of one peer that are not settled; more are dropped."""
MAX_ANNOUNCED_IN_TOTAL = 100_000
MAX_IN_FLIGHT = 2_000
"""Transactions asked of one peer and not answered."""
RETRY = 2.0
DEADLINE = 10.0
INBOUND_DELAY = 0.5
"""Seconds by which those that we dialled come first: those that dialled us cost an attacker nothing."""
BUSY_DELAY = 1.0
"""Seconds until a peer that has enough to do is considered again."""


class _Source:
    __slots__ = ("ids", "in_flight", "outbound")

    def __init__(self, outbound: bool) -> None:
        self.outbound = outbound
        self.ids: dict[bytes, None] = {}
        self.in_flight = 0


class _Want:
    __slots__ = ("asked", "asked_at", "candidates")

    def __init__(self) -> None:
        self.candidates: dict[int, float] = {}
        self.asked: int | None = None
        self.asked_at = 0.0


class RequestTracker:
    """Plans requests. Peers are numbers, times monotonic seconds, ids wtxids."""

    def __init__(self) -> None:
        self._sources: dict[int, _Source] = {}
        self._wants: dict[bytes, _Want] = {}
        self._agenda: list[tuple[float, int, bytes]] = []
        self._scheduled = 0
        self._total = 0
        self._outbound = 0

    def __len__(self) -> int:
        return len(self._wants)

    def in_flight(self, peer: int) -> int:
        """Give how many transactions are asked of a peer."""
        return self._sources[peer].in_flight

    def peer_up(self, peer: int, outbound: bool) -> None:
        """Take a peer."""
        self._sources[peer] = _Source(outbound)
        self._outbound += outbound

    def peer_down(self, peer: int, now: float) -> None:
        """Forget a peer; what was asked of it is asked of others."""
        source = self._sources.pop(peer, None)
        if source is None:
            return
        self._total -= len(source.ids)
        self._outbound -= source.outbound
        for id_ in source.ids:
            want = self._wants[id_]
            if want.asked == peer:
                want.asked = None
                self._schedule(now, id_)
            want.candidates.pop(peer, None)
            self._drop_if_idle(id_, want)

    def announced(self, peer: int, id_: bytes, now: float) -> bool:
        """Note that a peer has a transaction that we want. False when its bound or the total is reached."""
        source = self._sources[peer]
        if id_ in source.ids:
            return True
        if len(source.ids) >= MAX_ANNOUNCED or self._total >= MAX_ANNOUNCED_IN_TOTAL:
            return False
        source.ids[id_] = None
        self._total += 1
        want = self._wants.get(id_)
        if want is None:
            want = self._wants[id_] = _Want()
        ready = now if source.outbound or not self._outbound else now + INBOUND_DELAY
        want.candidates[peer] = ready
        self._schedule(ready if want.asked is None else max(now, want.asked_at + RETRY), id_)
        return True

    def take(self, now: float, can_ask: Callable[[int], bool]) -> dict[int, list[bytes]]:
        """Give what is to be asked now, by peer, and count it as asked. `can_ask`: peers that take more."""
        asks: dict[int, list[bytes]] = {}
        while self._agenda and self._agenda[0][0] <= now:
            id_ = heappop(self._agenda)[2]
            want = self._wants.get(id_)
            if want is None or not self._is_free(id_, want, now):
                continue
            peer = self._choose(want, now, can_ask)
            if peer is not None:
                self._ask(peer, id_, want, now)
                asks.setdefault(peer, []).append(id_)
            elif want.candidates:
                later = [ready for ready in want.candidates.values() if ready > now]
                self._schedule(min(later, default=now + BUSY_DELAY), id_)
            else:
                self._drop_if_idle(id_, want)
        return asks

    def _is_free(self, id_: bytes, want: _Want, now: float) -> bool:
        if want.asked is None:
            return True
        until = want.asked_at + (RETRY if want.candidates else DEADLINE)
        if now < until:
            self._schedule(until, id_)
            return False
        self._release(id_, want)
        return True

    def _release(self, id_: bytes, want: _Want) -> None:
        if want.asked is None:
            return
        source = self._sources[want.asked]
        source.in_flight -= 1
        del source.ids[id_]
        self._total -= 1
        want.asked = None

    def _choose(self, want: _Want, now: float, can_ask: Callable[[int], bool]) -> int | None:
        best = None
        for peer, ready in want.candidates.items():
            source = self._sources[peer]
            if ready > now or source.in_flight >= MAX_IN_FLIGHT or not can_ask(peer):
                continue
            if source.outbound:
                return peer
            best = peer if best is None else best
        return best

    def _ask(self, peer: int, id_: bytes, want: _Want, now: float) -> None:
        del want.candidates[peer]
        want.asked, want.asked_at = peer, now
        self._sources[peer].in_flight += 1
        self._schedule(now + RETRY, id_)

    def missed(self, peer: int, id_: bytes, now: float) -> None:
        """Note that a peer answered without this transaction; the next announcer is asked at once."""
        want = self._wants.get(id_)
        if want is None:
            return
        if want.asked == peer:
            self._release(id_, want)
            self._schedule(now, id_)
        self._drop_if_idle(id_, want)

    def forget(self, id_: bytes) -> None:
        """Settle a transaction: it is here, or not wanted any more."""
        want = self._wants.pop(id_, None)
        if want is None:
            return
        self._release(id_, want)
        for peer in want.candidates:
            del self._sources[peer].ids[id_]
            self._total -= 1

    def _drop_if_idle(self, id_: bytes, want: _Want) -> None:
        if want.asked is None and not want.candidates:
            self._wants.pop(id_, None)

    def _schedule(self, when: float, id_: bytes) -> None:
        self._scheduled += 1
        heappush(self._agenda, (when, self._scheduled, id_))
