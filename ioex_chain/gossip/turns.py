"""Answers to peers' requests, each in its turn: as fast as the peer takes them, and as we have time.

A request is small and its answer may be large, or dear to find. Without turns a burst of requests that keeps
the rates of docs/protocol.md section 9.2 would fill the memory, or hold up everybody else.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ioex_chain.p2p.seam import Offence, Peer

HOLD_ABOVE = 1 << 20
"""Bytes of a peer's backlog above which its next answer waits."""
MAX_REQUESTS = 256
MAX_ITEMS = 100_000
"""Requests of one peer that may wait, and the hashes and indexes in them."""
SHARE = 0.5
"""Of this thread's time that answers may take."""
AT_ONCE = 0.25
"""Seconds of work in a row, after a rest."""

Answer = Callable[[Callable[[], None]], None]
"""Sends the answer, now or later, then calls what it is given."""


@dataclass(slots=True)
class _Lane:
    peer: Peer
    waiting: deque[tuple[int, Answer]] = field(default_factory=deque)
    items: int = 0
    is_busy: bool = False
    """Whether an answer has been begun and is not sent."""
    is_going: bool = False


class Turns:
    """One lane a peer, and in it one answer at a time, in the order of requests. `now`: monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lanes: dict[int, _Lane] = {}
        self._rests_until = now()
        self._is_late = False
        """Whether somebody waits for our time: then only `tick` says whose turn it is."""

    def peer_up(self, peer: Peer) -> None:
        """Take a new peer."""
        self._lanes[peer.number] = _Lane(peer)

    def peer_down(self, peer: Peer) -> None:
        """Forget what a peer asked for."""
        lane = self._lanes.pop(peer.number, None)
        if lane is not None:
            lane.waiting.clear()

    def ask(self, peer: Peer, items: int, answer: Answer) -> None:
        """Have a request of so many items answered, at once if that may be."""
        lane = self._lanes.get(peer.number)
        if lane is None:
            return
        if len(lane.waiting) >= MAX_REQUESTS or lane.items + items > MAX_ITEMS:
            peer.offend(Offence.FLOOD, "asks for more than it takes")
            return
        lane.waiting.append((items, answer))
        lane.items += items
        self._go_on(lane)

    def drained(self, peer: Peer) -> None:
        """Go on with a peer that has taken what was sent."""
        lane = self._lanes.get(peer.number)
        if lane is not None:
            self._go_on(lane)

    def tick(self) -> None:
        """Go on with those who waited for our time: one answer each a round, the last served comes last."""
        self._is_late = False
        while not self._is_late and self._round():
            pass

    def _round(self) -> bool:
        """Give each lane one answer; False if there was none to give."""
        was_any = False
        for number, lane in list(self._lanes.items()):
            if self._may_answer(lane) and self._lanes.get(number) is lane:
                self._lanes[number] = self._lanes.pop(number)
                self._go(lane, 1)
                was_any = True
        return was_any

    def _go_on(self, lane: _Lane) -> None:
        if not self._is_late:
            self._go(lane)

    def _go(self, lane: _Lane, most: int = MAX_REQUESTS) -> None:
        if lane.is_going:
            return
        lane.is_going = True
        try:
            while most and self._may_answer(lane):
                most -= 1
                self._answer(lane)
        finally:
            lane.is_going = False

    def _may_answer(self, lane: _Lane) -> bool:
        if not lane.waiting or lane.is_busy or lane.peer.backlog > HOLD_ABOVE:
            return False
        self._is_late = self._rests_until > self._now()
        return not self._is_late

    def _answer(self, lane: _Lane) -> None:
        items, answer = lane.waiting.popleft()
        lane.items -= items
        lane.is_busy = True
        began = self._now()
        answer(lambda: self._answered(lane))
        now = self._now()
        self._rests_until = max(self._rests_until, now - AT_ONCE / SHARE) + (now - began) / SHARE

    def _answered(self, lane: _Lane) -> None:
        lane.is_busy = False
        self._go_on(lane)
