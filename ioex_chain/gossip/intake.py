"""The one door by which headers and blocks of peers come into the ledger, and who is blamed for bad ones."""

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from ioex_chain.gossip.ports import Context
from ioex_chain.ledger.errors import (
    BelowFloor,
    InvalidBlock,
    InvalidHeader,
    KnownInvalid,
    MutatedBlock,
    NotYetValid,
    StoreError,
    UnknownParent,
)
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.p2p.seam import Offence, Peer
from ioex_chain.pow.block import Block
from ioex_chain.pow.consensus import check_work
from ioex_chain.pow.errors import PowHeaderError
from ioex_chain.pow.header import Header
from ioex_chain.pow.ledger import PowLedger
from ioex_chain.primitives.errors import DecodeError, IoexError
from ioex_chain.primitives.types import BlockHash, display
from ioex_chain.spec.model import PowSpec

log = logging.getLogger(__name__)

_SETTLED = Status.CONNECTED | Status.INVALID | Status.INVALID_ANCESTOR
_MAX_SENDERS = 4096
_BATCH_BYTES = 1_000_000
_BATCH_BLOCKS = 32


class Outcome(Enum):
    """What became of a header or a block."""

    ACCEPTED = "the best chain moved"
    STORED = "kept: it waits for a body below it, or is on a side branch; of headers: all are known now"
    KNOWN = "was here already"
    NOT_YET_VALID = "its time is ahead of our clock: ask again later"
    UNKNOWN_PARENT = "the header before it is not known"
    BELOW_FLOOR = "contradicts a final block"
    KNOWN_INVALID = "was found invalid before, or stands on one that was"
    INVALID_HEADER = "the header breaks a rule"
    INVALID_BLOCK = "the block breaks a rule"
    MUTATED = "the body is not the header's: ask somebody else"
    MALFORMED = "the bytes cannot be read: ask somebody else"
    FAILED = "a fault of our own; nobody is to blame"

    @property
    def is_here(self) -> bool:
        """Whether the block (or header) is stored now."""
        return self in _HERE

    @property
    def is_final(self) -> bool:
        """Whether asking anybody for the same block again is of no use."""
        return self in _FINAL


_HERE = (Outcome.ACCEPTED, Outcome.STORED, Outcome.KNOWN)
_FINAL = (*_HERE, Outcome.BELOW_FLOOR, Outcome.KNOWN_INVALID, Outcome.INVALID_HEADER, Outcome.INVALID_BLOCK)

_OFFENCES = {
    Outcome.INVALID_HEADER: Offence.INVALID_HEADER,
    Outcome.INVALID_BLOCK: Offence.INVALID_BLOCK,
    Outcome.MUTATED: Offence.MUTATED_BLOCK,
    Outcome.MALFORMED: Offence.MALFORMED,
}
"""Anything else is nobody's fault: an operator's `invalidateblock` makes honest peers' blocks invalid, a
clock may be wrong, and a parent may be on its way."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a header or a block: `entry` when its header is known, `error` when it was refused."""

    outcome: Outcome
    entry: Entry[Header] | None = None
    error: IoexError | None = None


Done = Callable[[Verdict], None]


def outcome_of(error: IoexError) -> Outcome:
    """Say what a ledger's or a decoder's refusal means."""
    for kind, outcome in _OUTCOMES:
        if isinstance(error, kind):
            return outcome
    raise error


_OUTCOMES: tuple[tuple[type[IoexError], Outcome], ...] = (
    (KnownInvalid, Outcome.KNOWN_INVALID),
    (NotYetValid, Outcome.NOT_YET_VALID),
    (UnknownParent, Outcome.UNKNOWN_PARENT),
    (BelowFloor, Outcome.BELOW_FLOOR),
    (MutatedBlock, Outcome.MUTATED),
    (InvalidHeader, Outcome.INVALID_HEADER),
    (InvalidBlock, Outcome.INVALID_BLOCK),
    (DecodeError, Outcome.MALFORMED),
)


@dataclass(frozen=True, slots=True)
class _Job:
    peer: Peer | None
    make: Callable[[], Block]
    done: Done
    size: int
    sync: bool


@dataclass(frozen=True, slots=True)
class _Result:
    verdict: Verdict
    settled: tuple[Entry[Header], ...] = ()
    """Blocks that came before and are only now connected or found invalid."""
    waits: bool = False


class Intake:
    """Hands headers and blocks to the ledger on the chain's worker, tells what became of them, scores peers.

    Small blocks go to the worker several at a time. All calls are made in the peers' thread.
    """

    def __init__(self, context: Context) -> None:
        self._chain = context.chain
        self._ledger: PowLedger = context.chain.ledger
        self._jobs: deque[_Job] = deque()
        self._running = False
        self._senders: OrderedDict[BlockHash, Peer] = OrderedDict()
        self._tracer = _Tracer(context.chain.spec.pow, self._ledger)
        self.waiting_bytes = 0
        """Bytes of the blocks that the worker has not finished."""
        self.too_early: Callable[[Peer, int], None] = lambda _peer, _valid_at: None
        """Hears of a header that becomes valid at a Unix time."""

    def headers(
        self,
        peer: Peer,
        headers: Sequence[Header],
        done: Callable[[Sequence[Entry[Header]], Verdict | None], None],
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
        headers: Sequence[Header],
        result: tuple[list[Entry[Header]], Verdict | None],
        done: Callable[[Sequence[Entry[Header]], Verdict | None], None],
    ) -> None:
        entries, verdict = result
        if verdict is not None:
            blame(peer, verdict)
            if verdict.outcome is Outcome.NOT_YET_VALID:
                self.too_early(peer, headers[len(entries)].time - self._chain.spec.pow.max_future)
        done(entries, verdict)

    def block(
        self,
        peer: Peer | None,
        make: Callable[[], Block],
        done: Done,
        *,
        size: int = 0,
        sync: bool = True,
    ) -> None:
        """Take a block of `size` bytes from a peer (None: nobody to blame).

        `make` (decode raw bytes, or rebuild a compact block) runs on the worker; its DecodeError is the
        sender's fault. `sync` is `Ledger.accept_block`'s. `done` is called later, never from within.
        """
        self.waiting_bytes += size
        self._jobs.append(_Job(peer, make, done, size, sync))
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
            if job.peer is not None:
                self._remember(job.peer, result)
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

    def _settle(self, entry: Entry[Header]) -> None:
        peer = self._senders.pop(entry.hash, None)
        if peer is not None and entry.status & Status.INVALID:
            peer.offend(Offence.INVALID_BLOCK, f"block {display(entry.hash)} that it sent before was invalid")


def blame(peer: Peer, verdict: Verdict) -> None:
    """Score what a verdict says against the sender; nothing on a connection that is closed."""
    offence = _OFFENCES.get(verdict.outcome)
    if offence is not None:
        peer.offend(offence, str(verdict.error))


def store_headers(ledger: PowLedger, headers: Sequence[Header]) -> tuple[list[Entry[Header]], Verdict | None]:
    """Store headers, on the worker; give the entries of those that were taken, and why it stopped."""
    try:
        return ledger.accept_headers(headers), None
    except StoreError:
        raise
    except IoexError as error:
        taken = []
        for header in headers:
            entry = ledger.entry(header.hash)
            if entry is None or entry.status.is_invalid:
                break
            taken.append(entry)
        return taken, Verdict(outcome_of(error), None, error)


def _failed(error: Exception) -> Verdict:
    log.error("a peer's headers or blocks could not be taken", exc_info=error)
    return Verdict(Outcome.FAILED)


class WrongProof(MutatedBlock):
    """A block whose AuxPoW record proves no work; that of its stored header does."""


class _Tracer:
    """The worker's side: takes blocks, and finds those that came before and are found invalid only now."""

    def __init__(self, spec: PowSpec, ledger: PowLedger) -> None:
        self._spec = spec
        self._ledger = ledger
        self._waiting: OrderedDict[BlockHash, Entry[Header]] = OrderedDict()
        self._above: dict[BlockHash, list[BlockHash]] = {}

    def take(self, job: _Job) -> _Result:
        """Decode and accept one block."""
        try:
            block = job.make()
        except DecodeError as error:
            return _Result(Verdict(Outcome.MALFORMED, None, error))
        known = self._ledger.entry(block.hash)
        if known is not None and known.status.is_invalid:
            return _Result(Verdict(Outcome.KNOWN_INVALID, known))
        if known is not None and known.status & Status.BODY:
            return _Result(Verdict(Outcome.KNOWN, known))
        try:
            block = self._with_known_proof(block, known)
            changed = self._ledger.accept_block(block, sync=job.sync)
        except StoreError:
            raise
        except IoexError as error:
            entry = self._ledger.entry(block.hash)
            settled = self._look(entry) if entry is not None else ()
            return _Result(Verdict(outcome_of(error), entry, error), settled)
        entry = self._ledger.entry(block.hash)
        if entry is None:  # the ledger keeps every header that it has taken
            raise AssertionError(f"the ledger lost {display(block.hash)}")
        waits = not entry.status & Status.CONNECTED and not entry.status.is_invalid
        settled = self._look(entry)
        if waits:
            self._wait(entry)
        return _Result(Verdict(Outcome.ACCEPTED if changed else Outcome.STORED, entry), settled, waits)

    def _with_known_proof(self, block: Block, known: Entry[Header] | None) -> Block:
        """Give the block with the AuxPoW record that is stored with its header.

        The record is not part of the hash, so a sender could put another one, larger or wrong, before an
        honest body. Raises MutatedBlock for one that proves nothing.
        """
        if known is None or not block.header.is_merged or known.header == block.header:
            return block
        try:
            check_work(self._spec, block.header)
        except PowHeaderError as error:
            raise WrongProof(f"the AuxPoW record is not the header's: {error}") from error
        return Block.build(known.header, block.transactions)

    def _wait(self, entry: Entry[Header]) -> None:
        self._waiting[entry.hash] = entry
        self._above.setdefault(entry.header.parent_hash, []).append(entry.hash)
        while len(self._waiting) > _MAX_SENDERS:
            self._forget(next(iter(self._waiting.values())))

    def _forget(self, entry: Entry[Header]) -> None:
        self._waiting.pop(entry.hash, None)
        beside = self._above.get(entry.header.parent_hash, [])
        if entry.hash in beside:
            beside.remove(entry.hash)
        if not beside:
            self._above.pop(entry.header.parent_hash, None)

    def _look(self, entry: Entry[Header]) -> tuple[Entry[Header], ...]:
        """Give the blocks that waited, below or above this one, and are settled now."""
        if not entry.sequence and not entry.status.is_invalid:
            return ()  # waits itself: nothing was tried
        found = [*self._below(entry), *self._over(entry)]
        settled = tuple(other for other in found if other.status & _SETTLED)
        for other in settled:
            self._forget(other)
        return settled

    def _below(self, entry: Entry[Header]) -> list[Entry[Header]]:
        found = []
        at = entry.parent
        while at is not None and at.hash in self._waiting:
            found.append(at)
            at = at.parent
        return found

    def _over(self, entry: Entry[Header]) -> list[Entry[Header]]:
        found = [entry]
        for at in found:  # grows while it is walked
            found.extend(self._waiting[hash_] for hash_ in self._above.get(at.hash, ()))
        return found[1:]
