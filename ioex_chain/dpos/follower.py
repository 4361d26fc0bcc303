"""Keeps ledger and finality in step: what the one learns is told to the other.

Finality belongs to the peers' thread (the event loop, or a simulation's one thread), the ledger to its
worker; `Run` is the way from the one to the other.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ioex_chain.dpos.block import Block
from ioex_chain.dpos.finality import Finality
from ioex_chain.dpos.finality_types import Finalize, Outcome, Prefer
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.machine import BlockReceipt
from ioex_chain.dpos.records import DposEntry
from ioex_chain.dpos.votes import Certificate, Evidence, Vote
from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.errors import BelowFloor, KnownInvalid, UndoMissing, UnknownBlock
from ioex_chain.ledger.types import HeadChanged
from ioex_chain.primitives.types import BlockHash

DposLedger = Ledger[SealedHeader, Block, BlockReceipt]
DposHeadChanged = HeadChanged[SealedHeader, BlockReceipt]


class Run(Protocol):
    """Runs work where the ledger may be written, in the order of the calls; answers later."""

    def __call__(
        self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        """As `gossip.ports.Chain.run`."""
        ...


class LedgerTree:
    """The ledger's headers as finality sees them: `finality_ports.Tree`."""

    def __init__(self, ledger: DposLedger) -> None:
        self._ledger = ledger

    def entry(self, hash_: BlockHash) -> DposEntry | None:
        """Give a block; None if its header is not known or it is invalid."""
        found = self._ledger.entry(hash_)
        return None if found is None or found.status.is_invalid else found

    def ancestor(self, entry: DposEntry, height: int) -> DposEntry:
        """Give the ancestor at `height`, at most the entry's own."""
        return self._ledger.ancestor(entry, height)


class Follower:
    """Hears of blocks from the ledger and of votes from peers; `tell` gets every outcome."""

    def __init__(
        self,
        ledger: DposLedger,
        finality: Finality[DposEntry],
        run: Run,
        *,
        tell: Callable[[Outcome], None] = lambda _: None,
        conflict: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`conflict` hears, in words, of a certificate against a final block: a person must look."""
        self.ledger = ledger
        self.finality = finality
        self._run = run
        self._tell = tell
        self._conflict = conflict
        self._later: dict[Prefer | Finalize, None] = {}

    def _take(self, outcome: Outcome) -> Outcome:
        for action in outcome.actions:
            self._do(action)
        self._tell(outcome)
        return outcome

    def _do(self, action: Prefer | Finalize) -> None:
        command = self.ledger.prefer if isinstance(action, Prefer) else self.ledger.finalize
        self._run(lambda: command(action.hash), lambda _: None, lambda error: self._failed(action, error))

    def _failed(self, action: Prefer | Finalize, error: Exception) -> None:
        if isinstance(error, UnknownBlock):
            self._later[action] = None  # a body on the way is missing: again when the head has moved
        elif isinstance(error, BelowFloor | KnownInvalid | UndoMissing):
            self._conflict(f"{type(action).__name__} 0x{action.hash.hex()}: {error}")
        else:
            raise error

    def head_changed(self, event: DposHeadChanged) -> None:
        """Follow the ledger; once for each change, in order."""
        for done in event.connected:
            self._take(self.finality.on_block(done.entry, done.receipt.payload))
        self._try_again()

    def _try_again(self) -> None:
        """Do what had to wait for bodies."""
        again, self._later = self._later, {}
        for action in again:
            self._do(action)

    # --- what peers and our own arbitrators say -----------------------------------------------------------

    def on_votes(self, votes: Iterable[Vote]) -> list[Outcome]:
        """Take votes; give what became of each."""
        return [self._take(self.finality.on_vote(vote)) for vote in votes]

    def on_certificate(self, certificate: Certificate, source: int = 0) -> Outcome:
        """Take a certificate; `source` says who told it, 0 for a block."""
        return self._take(self.finality.on_certificate(certificate, source))

    def on_evidence(self, item: Evidence) -> Outcome:
        """Take evidence."""
        return self._take(self.finality.on_evidence(item))

    def on_headers(self, headers: Iterable[SealedHeader]) -> None:
        """Look at headers that a peer sent, after the ledger: for who seals twice."""
        for header in headers:
            self._take(self.finality.on_header(header, self.ledger.entry(header.hash)))

    def on_body(self, block: Block) -> None:
        """Look at a block that a peer sent, after the ledger: its certificate may be of a side branch."""
        self.on_headers((block.header,))
        if block.payload.certificate is not None:
            self.on_certificate(block.payload.certificate)
        self._try_again()  # the head does not move for a body of a lower branch that is justified
