"""The one door by which headers and blocks of peers come into the ledger, and who is blamed for bad ones."""

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.verdicts import Outcome, Verdict, blame, outcome_of, store_headers
from ioex_chain.gossip.wire import AnyLedger, Block, ChainWire
from ioex_chain.ledger.errors import StoreError
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.p2p.seam import Offence, Peer
from ioex_chain.primitives.errors import DecodeError, IoexError
from ioex_chain.primitives.types import BlockHash, display

__all__ = ["Done", "Intake", "Outcome", "Verdict", "blame", "outcome_of", "store_headers"]

log = logging.getLogger(__name__)

_SETTLED = Status.CONNECTED | Status.INVALID | Status.INVALID_ANCESTOR
_MAX_SENDERS = 4096
_BATCH_BYTES = 1_000_000
_BATCH_BLOCKS = 32


Done = Callable[[Verdict], None]


@dataclass(frozen=True, slots=True)
class _Job:
    peer: Peer | None
    make: Callable[[], Block]
    done: Done
    size: int
    sync: bool
    is_guess: bool


@dataclass(frozen=True, slots=True)
class _Result:
    verdict: Verdict
    settled: tuple[Entry[Any], ...] = ()
    """Blocks that came before and are only now connected or found invalid."""
    waits: bool = False
    taken: Block | None = None


class Intake:
    """Hands headers and blocks to the ledger on the chain's worker, tells what became of them, scores peers.

    Small blocks go to the worker several at a time. All calls are made in the peers' thread.
    """

    def __init__(self, context: Context) -> None:
        self._chain = context.chain
        self._ledger = context.chain.ledger
        self._wire = context.wire
        self._jobs: deque[_Job] = deque()
        self._running = False
        self._senders: OrderedDict[BlockHash, Peer] = OrderedDict()
        self._tracer = _Tracer(context.wire, self._ledger)
        self.waiting_bytes = 0
        """Bytes of the blocks that the worker has not finished."""
        self.too_early: Callable[[Peer, int | None], None] = lambda _peer, _valid_at: None
        """Hears of a header that becomes valid at a Unix time, or (None) when blocks below it are here."""

    def headers(
        self,
        peer: Peer,
        headers: Sequence[Any],
        done: Callable[[Sequence[Entry[Any]], Verdict | None], None],
    ) -> None:
        """Store headers that are worth storing (`gossip.headers` decides), each on the one before.

        `done` gets the entries of those that were taken, and the verdict on the first that was not.
        """
        self._chain.run(
            lambda: store_headers(self._ledger, headers),
            lambda result: self._headers_done(peer, headers, result, done),
            lambda error: done((), _failed(error)),
        )

    def _headers_done(
        self,
        peer: Peer,
        headers: Sequence[Any],
        result: tuple[list[Entry[Any]], Verdict | None],
        done: Callable[[Sequence[Entry[Any]], Verdict | None], None],
    ) -> None:
        entries, verdict = result
        self._wire.saw_headers(headers)
        if verdict is not None:
            blame(peer, verdict)
            if verdict.outcome is Outcome.NOT_YET_VALID:
                refused = headers[len(entries)]
                self.too_early(peer, self._wire.valid_at(refused, self._chain.clock.now()))
        done(entries, verdict)

    def block(
        self,
        peer: Peer | None,
        make: Callable[[], Block],
        done: Done,
        *,
        size: int = 0,
        sync: bool = True,
        is_guess: bool = False,
    ) -> None:
        """Take a block of `size` bytes from a peer (None: nobody to blame).

        `make` (decode raw bytes, or rebuild a compact block) runs on the worker; its DecodeError is the
        sender's fault. `sync` is `Ledger.accept_block`'s. With `is_guess` the body may be
        another than the header's by chance. `done` is called later, never from within.
        """
        self.waiting_bytes += size
        self._jobs.append(_Job(peer, make, done, size, sync, is_guess))
        self._next()

    def _next(self) -> None:
        if self._running or not self._jobs:
            return
        batch = [self._jobs.popleft()]
        size = batch[0].size
        while self._jobs and len(batch) < _BATCH_BLOCKS and size + self._jobs[0].size <= _BATCH_BYTES:
            batch.append(self._jobs.popleft())
            size += batch[-1].size
        self._running = True
        self._chain.run(
            lambda: [self._tracer.take(job) for job in batch],
            lambda results: self._finished(batch, results),
            lambda error: self._finished(batch, [_Result(_failed(error))] * len(batch)),
        )

    def _finished(self, batch: Sequence[_Job], results: Sequence[_Result]) -> None:
        self._running = False
        self._next()
        for job, result in zip(batch, results, strict=True):
            self.waiting_bytes -= job.size
            for entry in result.settled:
                self._settle(entry)
            if result.taken is not None:
                self._wire.saw_block(result.taken)
            if job.peer is not None:
                self._remember(job.peer, result)
                if not (job.is_guess and result.verdict.outcome is Outcome.MUTATED):
                    blame(job.peer, result.verdict)
            job.done(result.verdict)

    def _remember(self, peer: Peer, result: _Result) -> None:
        """Keep in mind who sent a block that has not been connected: it may still turn out invalid."""
        entry = result.verdict.entry
        if not result.waits or entry is None:
            return
        self._senders[entry.hash] = peer
        while len(self._senders) > _MAX_SENDERS:
            self._senders.popitem(last=False)

    def _settle(self, entry: Entry[Any]) -> None:
        peer = self._senders.pop(entry.hash, None)
        if peer is not None and entry.status & Status.INVALID:
            peer.offend(Offence.INVALID_BLOCK, f"block {display(entry.hash)} that it sent before was invalid")


def _failed(error: Exception) -> Verdict:
    log.error("a peer's headers or blocks could not be taken", exc_info=error)
    return Verdict(Outcome.FAILED)


class _Tracer:
    """The worker's side: takes blocks, and finds those that came before and are found invalid only now."""

    def __init__(self, wire: ChainWire, ledger: AnyLedger) -> None:
        self._wire = wire
        self._ledger = ledger
        self._waiting: OrderedDict[BlockHash, Entry[Any]] = OrderedDict()
        self._above: dict[BlockHash, list[BlockHash]] = {}

    def take(self, job: _Job) -> _Result:
        """Decode and accept one block."""
        try:
            block = job.make()
        except DecodeError as error:
            return _Result(Verdict(Outcome.MALFORMED, None, error))
        hash_: BlockHash = block.header.hash
        known = self._ledger.entry(hash_)
        if known is not None and known.status.is_invalid:
            return _Result(Verdict(Outcome.KNOWN_INVALID, known))
        if known is not None and known.status & Status.BODY:
            return _Result(Verdict(Outcome.KNOWN, known))
        try:
            block = self._wire.with_known_proof(block, known)
            self._wire.arriving(block)
            changed = self._ledger.accept_block(block, sync=job.sync)
        except StoreError:
            raise
        except IoexError as error:
            entry = self._ledger.entry(hash_)
            settled = self._look(entry) if entry is not None else ()
            return _Result(Verdict(outcome_of(error), entry, error), settled)
        entry = self._ledger.entry(hash_)
        if entry is None:  # the ledger keeps every header that it has taken
            raise AssertionError(f"the ledger lost {display(hash_)}")
        waits = not entry.status & Status.CONNECTED and not entry.status.is_invalid
        settled = self._look(entry)
        if waits:
            self._wait(entry)
        outcome = Outcome.ACCEPTED if changed else Outcome.STORED
        return _Result(Verdict(outcome, entry), settled, waits, block)

    def _wait(self, entry: Entry[Any]) -> None:
        self._waiting[entry.hash] = entry
        self._above.setdefault(entry.header.parent_hash, []).append(entry.hash)
        while len(self._waiting) > _MAX_SENDERS:
            self._forget(next(iter(self._waiting.values())))

    def _forget(self, entry: Entry[Any]) -> None:
        self._waiting.pop(entry.hash, None)
        beside = self._above.get(entry.header.parent_hash, [])
        if entry.hash in beside:
            beside.remove(entry.hash)
        if not beside:
            self._above.pop(entry.header.parent_hash, None)

    def _look(self, entry: Entry[Any]) -> tuple[Entry[Any], ...]:
        """Give the blocks that waited, below or above this one, and are settled now."""
        if not entry.sequence and not entry.status.is_invalid:
            return ()  # waits itself: nothing was tried
        found = [*self._below(entry), *self._over(entry)]
        settled = tuple(other for other in found if other.status & _SETTLED)
        for other in settled:
            self._forget(other)
        return settled

    def _below(self, entry: Entry[Any]) -> list[Entry[Any]]:
        found = []
        at = entry.parent
        while at is not None and at.hash in self._waiting:
            found.append(at)
            at = at.parent
        return found

    def _over(self, entry: Entry[Any]) -> list[Entry[Any]]:
        found = [entry]
        for at in found:  # grows while it is walked
            found.extend(self._waiting[hash_] for hash_ in self._above.get(at.hash, ()))
        return found[1:]
