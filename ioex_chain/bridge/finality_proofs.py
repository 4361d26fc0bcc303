"""Which final block of the DPoS chain a settlement can be proven with, read from records (section 6).

A block f is proven final by the certificate f -> f+1, which a later block's payload carries. The PoW chain
believes the set that it knows; so a set that gives way must be followed step by step: first up to the
handover under the old set, then by a certificate of both.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ioex_chain.dpos.follower import DposLedger
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.records import DposEntry, Records
from ioex_chain.dpos.sets import ArbitratorSet
from ioex_chain.dpos.votes import Certificate


@dataclass(frozen=True, slots=True)
class FinalBlock:
    """A final block with what proves it, and what the PoW chain is to settle up to it."""

    final: SealedHeader
    child: SealedHeader
    certificate: Certificate
    members: ArbitratorSet
    """The set in force at the child: signer i of the certificate is its voter i."""
    count: int
    """Number of the last request that the final block or an ancestor drained."""
    own: int
    """How many of the requests the final block drained itself."""


class FinalityProofs:
    """Looks for proofs in one DPoS ledger; only reads, from any thread."""

    def __init__(self, ledger: DposLedger, records: Records) -> None:
        self._ledger = ledger
        self._records = records
        self._newest: FinalBlock | None = None
        """The proof of the newest final block: while finality is away, it stands ever further below."""

    def next_for(self, current: int, pending: Collection[int], most: int) -> FinalBlock | None:
        """Give the proof that brings the PoW chain furthest; None while there is none.

        `current`: the number of the set that the PoW chain believes, `pending` those handed over to it;
        `most`: the number of the last request that the proof may reach.
        """
        head = self._ledger.head
        newest = self._recorded_at(head, most)
        if newest is None or newest.members.number == current:
            return newest
        followed = self._set_after(head, current)
        if followed is None:
            return None
        number, since = followed
        if number in pending:
            first = self._first_under(head, since)
            if first is None or first.count <= most:
                return first
        return self._recorded_at(self._at(since - 1), most)

    def _at(self, height: int) -> DposEntry:
        entry = self._ledger.entry_at(height)
        if entry is None:
            raise LookupError(f"the best chain moved below height {height} while it was read")
        return entry

    def _set_after(self, head: DposEntry, current: int) -> tuple[int, int] | None:
        """Give number and first height of the set that came in force after `current`."""
        found = None
        at = head
        while (record := self._records.require(at)).in_force.number != current:
            if record.since == 0:
                return None  # the PoW chain is ahead of this branch
            found = record.in_force.number, record.since
            at = self._at(record.since - 1)
        return found

    def _recorded_at(self, entry: DposEntry, most: int) -> FinalBlock | None:
        """Give the highest final block that `entry` and its ancestors record and that reaches no further.

        None if that is genesis.
        """
        final, is_near = self._records.require(entry).finalised, False
        newest, known = final.hash, self._newest
        if known is not None and known.final.hash == newest and known.count <= most:
            return known
        for block in self._down(entry):
            if final.height == 0:
                return None
            is_near = is_near or self._records.require(entry.known(final.hash)).requests <= most
            parent = block.parent
            before = final if parent is None else self._records.require(parent).finalised
            if before != final:
                if is_near:
                    found = self._carried_by(block)
                    self._newest = found if final.hash == newest else known
                    return found
                final = before
        return None

    def _first_under(self, head: DposEntry, since: int) -> FinalBlock | None:
        """Give the first final block whose child is under the set in force since that height.

        There the set before still votes beside it, so the certificate has the quorum of both.
        """
        for height in range(since, head.height + 1):
            entry = self._at(height)
            if self._records.require(entry).finalised.height >= since - 1:
                return self._carried_by(entry)
        return None

    def _down(self, entry: DposEntry) -> Iterator[DposEntry]:
        at: DposEntry | None = entry
        while at is not None:
            yield at
            at = at.parent

    def _carried_by(self, block: DposEntry) -> FinalBlock:
        certificate = self._ledger.body(block.hash).payload.certificate
        if certificate is None:
            raise LookupError("a block that records a new final block carries a certificate")
        child = self._ledger.ancestor(block, certificate.link.target.height)
        final = self._ledger.ancestor(child, certificate.link.source.height)
        record, before = (
            self._records.require(final),
            self._records.require(self._ledger.ancestor(child, final.height - 1)),
        )
        members = self._records.in_force(child, self._records.require(child))
        return FinalBlock(
            final.header,
            child.header,
            certificate,
            members,
            record.requests,
            record.requests - before.requests,
        )
