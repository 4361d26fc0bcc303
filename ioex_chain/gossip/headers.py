"""Header synchronisation: whom to ask for headers and when, and what to make of the answers.

While our best header is more than a day old, one peer at a time is asked for long runs of headers; the others
are only asked whether they have what is stored so far, so that they can give its blocks. Near the tip every
new peer is asked, and headers that peers announce come by themselves.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ioex_chain.gossip.examine import Report, locator
from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.preference import Preference
from ioex_chain.gossip.unverified import Unverified
from ioex_chain.gossip.verdicts import Outcome, Verdict, blame
from ioex_chain.gossip.wire import Again, Run
from ioex_chain.ledger.types import Entry
from ioex_chain.p2p.chain_messages import MAX_LOCATOR, GetHeaders, Headers
from ioex_chain.p2p.seam import Offence, Peer
from ioex_chain.primitives.types import BlockHash

log = logging.getLogger(__name__)

ANSWER_TIME = 20.0
"""Seconds after which a peer that owes headers is replaced."""
FAR_BEHIND = 24 * 3600
_MAX_UNCONNECTED = 10
_MAX_JUDGED = 16
_FULL_COUNT = 1_000
_FULL_BYTES = 1_000_000
_REST = (600.0, 14_400.0)
_LONGEST_WAIT = 3_600.0
_PROBE_EVERY = 5.0
_AHEAD_STEP = 512
_AHEAD_WAIT = 1.0
_MAX_SEEN = 64
_OTHER_PROBE = 60.0
_POLL_EVERY = 300.0
_ANYTHING = bytes(32)


@dataclass(slots=True)
class _State:
    peer: Peer
    want: bool = True
    """Whether it should be asked when its turn comes."""
    asked: float | None = None
    last_asked: float = float("inf")
    stop: bytes = _ANYTHING
    busy: bool = False
    """Whether its answer is being looked at."""
    run: Run | None = None
    redo: Again | None = None
    at: Entry[Any] | None = None
    """Where to go on: the last header of an answer that was not the last."""
    heard: bool = False
    """Whether it has told all that it has."""
    retry: float | None = None
    quiet_until: float = 0.0
    rest: float = _REST[0]
    unconnected: int = 0
    judged: int = 0
    """Announcements that the worker has; each may hold 8 headers with large proofs."""
    next_probe: float = 0.0

    @property
    def is_idle(self) -> bool:
        return self.asked is None and not self.busy


class HeaderSync:
    """Follows the headers of all peers.

    `learned(peer, entry)` is called when a peer is known to have a block and all below it; `best_of` gives
    the best such block of a peer. Headers wait while they are `max_lead` ahead of the best chain.
    """

    def __init__(
        self,
        context: Context,
        learned: Callable[[Peer, Entry[Any]], None],
        best_of: Callable[[int], Entry[Any] | None],
        max_lead: int,
        preference: Preference,
    ) -> None:
        self._chain = context.chain
        self._ledger = context.chain.ledger
        self._now = context.now
        self._learned = learned
        self._best_of = best_of
        self._max_lead = max_lead
        self._preference = preference
        self._wire = context.wire
        self._examiner = context.wire.examiner(self._ledger, context.chain.clock.now)
        self._ahead_at: int | None = None
        self._unverified = Unverified(self._ledger)
        self.forgot: Callable[[], None] = lambda: None
        """Called when stored headers turned out wrong and are forgotten."""
        self._states: dict[int, _State] = {}
        self._slot: int | None = None
        self._best = self._find_best()

    # --- what is known --------------------------------------------------------------------------------------

    @property
    def best(self) -> Entry[Any]:
        """The heaviest valid header that is stored."""
        if self._best.status.is_invalid:
            self._best = self._find_best()
        if self._preference.is_better(self._ledger.head, self._best):
            self._best = self._ledger.head
        return self._best

    def _find_best(self) -> Entry[Any]:
        tips = [tip for tip in self._ledger.tips() if not tip.status.is_invalid]
        return max([self._ledger.head, *tips], key=self._preference.rank)

    @property
    def heard(self) -> bool:
        """Whether some peer has told all headers that it has."""
        return any(state.heard for state in self._states.values())

    def heard_peers(self) -> list[Peer]:
        """Give the peers that have told all headers that they have."""
        return [state.peer for state in self._states.values() if state.heard]

    @property
    def is_far_behind(self) -> bool:
        """Whether the best header is more than a day old."""
        return bool(self._wire.time_of(self.best.header) < self._chain.clock.now() - FAR_BEHIND)

    @property
    def is_paused(self) -> bool:
        """Whether headers wait for bodies: they are as far ahead as they may be, or as can be checked."""
        head, best = self._ledger.head.height, self.best.height
        if self._ahead_at is not None and (head >= self._ahead_at + _AHEAD_STEP or best - head < _AHEAD_STEP):
            self._ahead_at = None
        return self._ahead_at is not None or best + 2_000 - head > self._max_lead

    # --- peers and time -------------------------------------------------------------------------------------

    def peer_up(self, peer: Peer) -> None:
        """Ask a new peer for its headers when its turn comes."""
        self._states[peer.number] = _State(peer)
        entry = self._ledger.entry(BlockHash(peer.hello.head))
        if entry is not None and not entry.status.is_invalid:
            self._learned(peer, entry)
        self.pump()

    def peer_down(self, peer: Peer) -> None:
        """Forget a peer; the next one takes over."""
        self._states.pop(peer.number, None)
        self._leave_slot(peer.number)
        self.pump()

    def poll(self, peer: Peer) -> None:
        """Ask a peer again: what is known of its chain has turned out wrong."""
        state = self._states.get(peer.number)
        if state is not None:
            state.want = True
            self.pump()

    def tick(self) -> None:
        """Replace those who do not answer; ask again what was too early; ask others what they have."""
        now = self._now()
        for number, state in list(self._states.items()):
            if self._states.get(number) is not state:
                continue  # gone: a ban may end several connections
            if state.retry is not None and state.retry <= now:
                state.retry = None
                state.want = True
            if state.asked is not None and now - state.asked > ANSWER_TIME:
                self._replace(state)
            elif state.is_idle and state.last_asked + _POLL_EVERY < now and state.quiet_until <= now:
                state.want = True  # an announcement may have been lost
        self._follow_unverified()
        self.pump()
        self._probe(now)

    def _follow_unverified(self) -> None:
        """Blame who sent a header that turned out wrong; what is forgotten everybody is asked for again."""
        forgotten, exchanged = self._unverified.forgotten(), self._unverified.exchanged()
        if forgotten or exchanged:
            self.forgot()
        for state in self._states.values() if forgotten else ():
            state.want = True
        for number, text in (*forgotten, *exchanged):
            state_of = self._states.get(number)
            if state_of is not None:
                state_of.peer.offend(Offence.INVALID_HEADER, text)

    def _replace(self, state: _State) -> None:
        number = state.peer.number
        state.asked, state.run, state.redo, state.at = None, None, None, None
        self._leave_slot(number)
        self._states[number] = self._states.pop(number)  # to the end of the queue
        state.peer.offend(Offence.STALLING, "no headers in time")

    def _leave_slot(self, number: int) -> None:
        if self._slot == number:
            self._slot = None

    # --- asking ---------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Ask everyone whose turn it is; peers that we chose come first."""
        states = list(self._states.values())
        far, paused = self.is_far_behind, self.is_paused
        for state in sorted(states, key=lambda state: not state.peer.outbound):
            if not state.want or not state.is_idle or (paused and state.run is None):
                continue
            if far:
                if self._slot not in (None, state.peer.number):
                    continue
                self._slot = state.peer.number
            self._ask(state)

    def _ask(self, state: _State, stop: bytes = _ANYTHING) -> None:
        state.want = False
        state.asked = state.last_asked = self._now()
        state.stop = stop
        state.peer.send(GetHeaders(self._locator(state)[:MAX_LOCATOR], stop))

    def _locator(self, state: _State) -> tuple[bytes, ...]:
        """Begin where the peer's last answer ended; else below our best, so that the answer is not empty."""
        if state.run is not None:
            return (state.run.last, *locator(self._ledger, state.run.start))
        if state.redo is not None:
            return (state.redo.last, *locator(self._ledger, state.redo.at))
        if state.at is not None:
            return tuple(locator(self._ledger, state.at))
        best = self.best
        theirs = self._best_of(state.peer.number)
        if theirs is not None and theirs.weight >= best.weight:
            return tuple(locator(self._ledger, best))
        return tuple(locator(self._ledger, best.parent or best))

    def _probe(self, now: float) -> None:
        """Ask idle peers whether they have our best header, while blocks are missing below it."""
        best = self.best
        if not (self._slot is not None or self.is_paused) or best.height <= self._ledger.head.height:
            return
        for state in list(self._states.values()):
            if state.peer.number == self._slot or not state.is_idle or state.next_probe > now:
                continue
            theirs = self._best_of(state.peer.number)
            if (theirs is None or theirs.weight < best.weight) and state.quiet_until <= now:
                state.next_probe = now + _PROBE_EVERY
                want = state.want
                self._ask(state, best.hash)
                state.want = want

    # --- answers --------------------------------------------------------------------------------------------

    def on_headers(self, peer: Peer, message: Headers) -> None:
        """Take an answer."""
        state = self._states.get(peer.number)
        if state is None or state.asked is None:
            return  # too late: another was asked meanwhile
        state.asked = None
        state.busy = True
        run, redo = state.run, state.redo
        self._chain.run(
            lambda: self._examiner.take(message.items, run, redo),
            lambda report: self._judged(state, message, report),
            lambda error: self._failed(state, error),
        )

    def _failed(self, state: _State, error: Exception) -> None:
        log.error("a peer's headers could not be looked at", exc_info=error)
        state.busy = False
        state.run = state.redo = state.at = None
        self._leave_slot(state.peer.number)
        self.pump()

    def _judged(self, state: _State, message: Headers, report: Report) -> None:
        state.busy = False
        if self._states.get(state.peer.number) is not state:
            return
        was_redo = state.redo is not None
        state.run, state.redo, state.at = report.run, report.redo, None
        self._use(state, report)
        if report.verdict is not None:
            self._refused(state, report)
        elif message.more and self._is_short(message, report, state.stop):
            self._give_up(state, Offence.LOW_WORK, "more headers are promised than sent")
        elif was_redo and state.redo is not None and not message.more:
            self._give_up(state, Offence.LOW_WORK, "the second time its chain of headers is shorter")
        elif state.redo is not None or message.more:
            self._go_on(state, report)
        else:
            self._ended(state)
        self.pump()

    def _use(self, state: _State, report: Report) -> None:
        if state.stop not in (_ANYTHING, report.tail):  # another chain: no need to hear of it so often
            state.next_probe = self._now() + _OTHER_PROBE
        if report.last is not None and not report.last.status.is_invalid:
            if self._preference.is_better(report.last, self.best):
                self._best = report.last
            state.unconnected = 0
            self._learned(state.peer, report.last)
        self._unverified.add(report.unverified, state.peer.number)
        if 0 < len(report.seen) <= _MAX_SEEN:
            self._wire.saw_headers(report.seen)

    def _is_short(self, message: Headers, report: Report, stop: bytes) -> bool:
        """Whether an answer that is not the last holds less than an honest one: a way to keep us waiting."""
        if report.tail is not None and report.tail == stop:
            return False
        return len(message.items) < _FULL_COUNT and sum(map(len, message.items)) < _FULL_BYTES

    def _go_on(self, state: _State, report: Report) -> None:
        state.want = True
        if state.stop == _ANYTHING:
            state.at = report.last

    def _ended(self, state: _State) -> None:
        if state.run is not None:  # its chain has too little work; that is no fault, but of no use to us
            state.run = None
            self._rest(state)
        state.heard = True
        self._leave_slot(state.peer.number)

    def _rest(self, state: _State) -> None:
        state.quiet_until = state.retry = self._now() + state.rest
        state.rest = min(2 * state.rest, _REST[1])

    def _refused(self, state: _State, report: Report) -> None:
        verdict = report.verdict or Verdict(Outcome.FAILED)
        state.run = state.redo = state.at = None
        self._leave_slot(state.peer.number)
        if verdict.outcome is Outcome.NOT_YET_VALID:
            state.heard = state.heard or report.valid_at is not None
            self._retry_at(state, report.valid_at)
        elif verdict.outcome is Outcome.UNKNOWN_PARENT:
            state.peer.offend(Offence.UNCONNECTED, "an answer that does not begin at any hash that was named")
        elif verdict.outcome in (Outcome.KNOWN_INVALID, Outcome.BELOW_FLOOR):
            state.heard = True
            self._rest(state)
        else:
            blame(state.peer, verdict)

    def too_early(self, peer: Peer, valid_at: int | None) -> None:
        """Ask again when a header of a peer, refused elsewhere, is valid by our clock (Unix time).

        None: when blocks below it have come.
        """
        state = self._states.get(peer.number)
        if state is not None:
            self._retry_at(state, valid_at)

    def _retry_at(self, state: _State, valid_at: int | None) -> None:
        if valid_at is None:
            self._ahead_at = self._ledger.head.height
            state.retry = self._now() + _AHEAD_WAIT
            return
        wait = float(valid_at - self._chain.clock.now())
        state.retry = self._now() + min(max(wait, 0.0) + 1.0, _LONGEST_WAIT)

    def _give_up(self, state: _State, offence: Offence, detail: str) -> None:
        state.run = state.redo = state.at = None
        self._leave_slot(state.peer.number)
        state.peer.offend(offence, detail)

    # --- headers that come by themselves --------------------------------------------------------------------

    def on_announce(self, peer: Peer, headers: Sequence[Any]) -> None:
        """Take headers whose blocks a peer says it has, each on the one before."""
        state = self._states.get(peer.number)
        if state is None or not headers:
            return
        if any(header.parent_hash != before.hash for before, header in pairwise(headers)):
            peer.offend(Offence.UNCONNECTED, "announced headers that do not stand on each other")
            return
        last = self._ledger.entry(headers[-1].hash)
        if last is not None:
            if not last.status.is_invalid:
                state.unconnected = 0
                self._learned(peer, last)
            return
        if self._ledger.entry(headers[0].parent_hash) is None:
            self._unconnected(state)
            return
        if state.judged >= _MAX_JUDGED:
            state.want = True
            return
        state.judged += 1
        self._chain.run(
            lambda: self._examiner.judge(headers),
            lambda report: self._announced(state, report),
            lambda error: self._not_judged(state, error),
        )

    def _not_judged(self, state: _State, error: Exception) -> None:
        log.error("announced headers could not be looked at", exc_info=error)
        state.judged -= 1

    def _unconnected(self, state: _State) -> None:
        """Ask for what is between, once; a peer that never connects is scored."""
        if state.want or state.quiet_until > self._now():
            return
        if not state.is_idle:  # blocks come faster than they are stored; its answer may be older
            state.want = True
            return
        state.unconnected += 1
        if state.unconnected > _MAX_UNCONNECTED:
            state.unconnected = 0
            state.peer.offend(Offence.UNCONNECTED, "announced headers connect to nothing that we know")
            return
        state.want = True
        self.pump()

    def _announced(self, state: _State, report: Report) -> None:
        state.judged -= 1
        if self._states.get(state.peer.number) is not state:
            return
        self._use(state, report)
        verdict = report.verdict
        if verdict is None:
            return
        if verdict.outcome is Outcome.NOT_YET_VALID:
            self._retry_at(state, report.valid_at)
        elif verdict.outcome is Outcome.UNKNOWN_PARENT:
            self._unconnected(state)
        else:
            blame(state.peer, verdict)
