"""The ledger: headers and blocks in, one best chain and its state out.

One thread writes (everything here); reads, which stand in `core`, may come from any thread.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from ioex_chain.ledger import schema
from ioex_chain.ledger.choice import connectable
from ioex_chain.ledger.core import LedgerCore, merge, refuse_invalid
from ioex_chain.ledger.errors import (
    BelowFloor,
    InvalidBlock,
    NotOnHead,
    NotYetValid,
    UnknownBlock,
    UnknownParent,
)
from ioex_chain.ledger.reorganise import Changes, entry_row
from ioex_chain.ledger.types import B, Entry, H, HeadChanged, R, StateView, Status
from ioex_chain.primitives.types import BlockHash, display

T = TypeVar("T")
_INVALID = Status.INVALID | Status.INVALID_ANCESTOR

__all__ = ["Ledger", "merge"]


class Ledger(LedgerCore[H, B, R]):
    """A chain of blocks; `LedgerCore` says what its constructor takes."""

    # Headers and blocks.

    def accept_header(self, header: H) -> Entry[H]:
        """Take a header; one that is known is given back.

        Raises UnknownParent, BelowFloor, KnownInvalid, and the engine's InvalidHeader and NotYetValid.
        """
        return self.accept_headers((header,))[0]

    def accept_headers(self, headers: Sequence[H]) -> list[Entry[H]]:
        """Take headers, each after its parent, with one write.

        Raises as `accept_header`; the headers before the one that failed are kept.
        """
        now = self._clock.now()
        try:
            return [self._take_header(header, now) for header in headers]
        finally:
            self._write({})

    def _take_header(self, header: H, now: int) -> Entry[H]:
        parent = self._index.get(header.parent_hash)
        known = self._index.get_on(parent, header.hash)
        if known is not None:
            refuse_invalid(known)
            if known.status & Status.UNVERIFIED:
                self._note_other(known, header)
            return known
        if parent is None:
            raise UnknownParent(header.parent_hash)
        refuse_invalid(parent)
        if not self._choice.stands_on_floor(parent):
            raise BelowFloor(f"a header on {parent} contradicts the final block {self.floor}")
        verified = self._engine.check_header(header, parent, now)
        entry = self._child(header, parent)
        if not verified:
            self._admit_unverified(entry)
        self._index.add(entry)
        key, value = entry_row(entry, entry.status)
        self._pending[key] = value
        self._pending[schema.height_key(entry.hash)] = schema.encode_height(entry.height)
        return entry

    def _admit_unverified(self, entry: Entry[H]) -> None:
        if len(self._unverified) >= self._max_unverified:
            raise NotYetValid(
                f"{self._max_unverified} headers wait for blocks below them; this one may come again later"
            )
        entry.status |= Status.UNVERIFIED
        self._unverified[entry.hash] = entry

    def _child(self, header: H, parent: Entry[H]) -> Entry[H]:
        weight = parent.weight + self._engine.weight(header, parent)
        return Entry(
            header, parent.height + 1, weight, Status.HEADER, 0, parent, self._index.require, self._index.note
        )

    def accept_block(self, block: B, *, sync: bool = True) -> HeadChanged[H, R] | None:
        """Take a block; give what changed if it made a better chain.

        The body may come before its parents' bodies: then it waits. One that is stored already changes
        nothing. Raises as `accept_header`, MutatedBlock (not remembered), and InvalidBlock when this very
        block breaks a rule, which is remembered.

        Without `sync` a power cut (not a killed process) may cost the newest blocks, in the worst case a
        rebuild: for databases that are built from other data and dropped if that is interrupted; end with
        `flush`.
        """
        self._sync = sync
        try:
            return self._take_block(block)
        finally:
            self._fresh = None
            self._write({})
            self._sync = True

    def _take_block(self, block: B) -> HeadChanged[H, R] | None:
        header, now = self._header(block), self._clock.now()
        entry = self._take_header(header, now)
        has_body = entry.status & Status.BODY
        if header is not entry.header and (not has_body or entry.status & Status.UNVERIFIED):
            self._check_other_proof(header, entry, now)
        if has_body:
            return None
        try:
            self._machine.check_block(block)
        except InvalidBlock:
            if entry.status & Status.UNVERIFIED:
                self._forget(entry)  # its producer may never have signed it
            else:
                self._condemn(entry)
            raise
        self._take_body(entry, block)
        return self._settle(self.head, blame=entry)

    def _check_other_proof(self, header: H, entry: Entry[H], now: int) -> None:
        """Check what stands beside the hash (a seal, an AuxPoW record) if it is not what the entry has."""
        if header.encode() == entry.header.encode():
            return
        if not self._engine.check_header(header, self._index.parent(entry), now):
            raise NotYetValid(f"{entry} came with two proofs, and neither can be checked yet")

    def flush(self) -> None:
        """Make everything that was written without `sync` last."""
        self._store.write({}, sync=True)

    def _take_body(self, entry: Entry[H], block: B) -> None:
        entry.status |= Status.BODY
        changed = [entry]
        if self._index.parent(entry).sequence:
            changed = connectable(self._index, entry)
            for newly in changed:
                newly.sequence = self._sequence
                self._sequence += 1
        self._fresh = block
        self._pending.update(self._rows_of(changed))
        self._pending[schema.body_key(entry.hash)] = block.encode()
        self._pending[schema.META_SEQUENCE] = schema.encode_sequence(self._sequence)
        self._choice.consider(changed, self.head)

    def preview(self, block: B) -> R:
        """Execute a block on the head and keep nothing; header and body rules are not checked.

        Raises NotOnHead, and InvalidBlock as connecting it would. For the writing thread.
        """
        header = self._header(block)
        if header.parent_hash != self.head.hash:
            raise NotOnHead(f"the block stands on {display(header.parent_hash)}, the head is {self.head}")
        return self._reorganiser.preview(block, self._child(header, self.head))

    def try_on_head(self, work: Callable[[StateView, Entry[H]], T]) -> T:
        """Do `work(view, head)` on the head's state and forget what it wrote. For the writing thread.

        This is how a producer finds out what a block would do, by the code that will check it.
        """
        head = self.head
        return self._reorganiser.on_head(lambda view: work(view, head))

    def subscribe(self, listener: Callable[[HeadChanged[H, R]], None]) -> Callable[[], None]:
        """Have `listener` called in the writing thread after every write that moves the head.

        A long catch-up is written in several pieces, each with its own call. Gives the function that ends it.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # The operator's and finality's word.

    def finalize(self, hash_: BlockHash) -> HeadChanged[H, R] | None:
        """Raise the floor to a block; if it is on another branch, go there, whatever the weights.

        Raises UnknownBlock (unknown, or a body is missing on the way), BelowFloor (it contradicts the
        present floor), KnownInvalid, UndoMissing; then nothing has changed.
        """
        entry = self._index.require(hash_)
        if entry.height <= self.floor.height and self._index.is_best(entry):
            return None
        if not self._choice.stands_on_floor(entry):
            raise BelowFloor(f"{entry} contradicts the final block {self.floor}")
        changed = None
        if self._index.is_best(entry):
            self._write({schema.META_FLOOR: hash_})
        else:
            changed = self._go_to_branch_of(entry)
        self._choice.raise_floor(entry)
        self._choice.refresh(self.head)
        self._forget_severed()
        return changed

    def _forget_severed(self) -> None:
        """Forget headers that wait for their check on branches which the floor has cut off."""
        for entry in list(self._unverified.values()):
            if entry.hash in self._unverified and not self._choice.stands_on_floor(entry):
                self._forget(entry)

    def prefer(self, hash_: BlockHash) -> HeadChanged[H, R] | None:
        """Put the branches of a block before all others, whatever they weigh; remembered.

        The anchor moves up only: one that is not higher than the present one changes nothing, unless that
        was found invalid. Raises UnknownBlock (unknown, a body is missing on the way, or a seal there turns
        out to be wrong), BelowFloor (it contradicts the floor), KnownInvalid.
        """
        entry = self._index.require(hash_)
        present = self._choice.anchor
        if present is not None and not present.status.is_invalid and entry.height <= present.height:
            return None
        refuse_invalid(entry)
        if not self._choice.stands_on_floor(entry):
            raise BelowFloor(f"{entry} contradicts the final block {self.floor}")
        if not entry.sequence:
            raise UnknownBlock(f"{entry} cannot be preferred yet: a block on the way to it is not stored")
        self._choice.anchor = entry
        self._choice.refresh(self.head)
        self._pending[schema.META_ANCHOR] = hash_
        try:
            changed = self._settle(self.head)
        finally:
            self._write({})
        if self._choice.anchor is not entry:
            raise UnknownBlock(
                f"{entry} came with a wrong seal and was forgotten: prefer it when it comes again"
            )
        return changed

    def _go_to_branch_of(self, entry: Entry[H]) -> HeadChanged[H, R] | None:
        refuse_invalid(entry)
        if not entry.sequence:
            raise UnknownBlock(f"{entry} cannot be final yet: a block on the way to it is not stored")
        fork = self._index.fork(self.head, entry)
        self._require_undo(fork)
        self._index.keep_window_below(fork)
        self._choice.refresh(fork)
        changed = self._settle(fork, within=entry, extra={schema.META_FLOOR: entry.hash})
        if not self._index.is_best(entry):
            self._choice.refresh(self.head)
            refuse_invalid(entry)
        return changed

    def invalidate(self, hash_: BlockHash) -> HeadChanged[H, R] | None:
        """Mark a block and all above it invalid, and leave them if they are on the best chain.

        Raises UnknownBlock, BelowFloor, UndoMissing.
        """
        entry = self._index.require(hash_)
        if entry.height <= self.floor.height and self._index.is_best(entry):
            raise BelowFloor(f"{entry} is final")
        if self._index.is_best(entry):
            self._require_undo(self._index.parent(entry))
        self._condemn(entry)
        return self._settle(self._valid_base())

    def reconsider(self, hash_: BlockHash) -> HeadChanged[H, R] | None:
        """Take the invalid marks off a block, all above and all below it. Raises UnknownBlock."""
        entry = self._index.require(hash_)
        cleared = [entry, *self._index.descendants(entry)]
        while entry.height and (entry := self._index.parent(entry)).status.is_invalid:
            cleared.append(entry)
        for entry in cleared:
            entry.status &= ~_INVALID
        self._write(self._rows_of(cleared))
        self._choice.refresh(self.head)
        return self._settle(self.head)

    def accept_deep_reorg(self, hash_: BlockHash) -> HeadChanged[H, R] | None:
        """Let the branches of this block be chosen however deep they fork; remembered until one is.

        Raises UnknownBlock, BelowFloor, UndoMissing.
        """
        entry = self._index.require(hash_)
        if not self._choice.stands_on_floor(entry):
            raise BelowFloor(f"{entry} contradicts the final block {self.floor}")
        self._require_undo(self._index.fork(self.head, entry))
        self._choice.approved.add(hash_)
        self._write({schema.META_APPROVED: b"".join(sorted(self._choice.approved))})
        return self._settle(self.head)

    def rollback(self, count: int) -> HeadChanged[H, R]:
        """Take `count` blocks off the best chain and forget their bodies, so that they can come again.

        Nothing is marked invalid. Raises ValueError, BelowFloor, UndoMissing.
        """
        target = self._index.at(self.head.height - count) if count > 0 else None
        if target is None:
            raise ValueError(f"can roll back 1 to {self.head.height} blocks, not {count}")
        if target.height < self.floor.height:
            raise BelowFloor(f"rolling back {count} blocks would go below the final block {self.floor}")
        self._require_undo(target)
        step = self._reorganiser.step(target, self._choice)
        step.changes.update(self._forget_bodies(step.event.disconnected))
        self._commit(step)
        self._choice.refresh(self.head)
        return step.event

    def _forget_bodies(self, disconnected: Sequence[Entry[H]]) -> Changes:
        lowest = disconnected[-1]
        above = [lowest, *self._index.descendants(lowest)]
        for entry in above:
            entry.sequence = 0
            entry.status &= ~Status.CONNECTED
        for entry in disconnected:
            entry.status &= ~Status.BODY
        rows = self._rows_of(above)
        rows.update((schema.body_key(entry.hash), None) for entry in disconnected)
        return rows
