"""The ledger: headers and blocks in, one best chain and its state out.

One thread writes (everything that is not named under "Reads"); reads may come from any thread. Every
change of the best chain is one atomic synced write of state, undo records, marks and head, so that a crash
at any moment leaves the old chain or the new one. After a StoreError the ledger must be opened anew.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, cast

from ioex_chain.ledger import opening, schema
from ioex_chain.ledger.choice import Choice, connectable
from ioex_chain.ledger.errors import (
    BelowFloor,
    InvalidBlock,
    KnownInvalid,
    NotOnHead,
    UndoMissing,
    UnknownBlock,
    UnknownParent,
)
from ioex_chain.ledger.index import Index
from ioex_chain.ledger.reorganise import BlockFailed, Changes, Reorganiser, Step, entry_row
from ioex_chain.ledger.types import (
    B,
    Codec,
    Connected,
    ConsensusEngine,
    Entry,
    H,
    HeadChanged,
    KeyValueStore,
    R,
    StateMachine,
    Status,
)
from ioex_chain.ledger.views import HeadSnapshot, HeadView
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash, display

_INVALID = Status.INVALID | Status.INVALID_ANCESTOR


class Ledger(Generic[H, B, R]):
    """A chain of blocks in `store`; a new store begins with `genesis_block`, connected but not checked.

    `max_reorg_depth`: blocks that a reorganisation may take back without `accept_deep_reorg`; None: as many
    as the undo records allow. `undo_depth`: undo records kept below the head, at least that many; `archive`
    keeps all. `window`: entries kept in memory below the head. Opening finishes what a crash interrupted.
    Raises WrongFormat, WrongNetwork, StoreCorrupt.
    """

    def __init__(
        self,
        store: KeyValueStore,
        engine: ConsensusEngine[H],
        machine: StateMachine[H, B, R],
        codec: Codec[H, B],
        genesis_block: B,
        *,
        network_id: bytes,
        clock: Clock,
        max_reorg_depth: int | None,
        undo_depth: int,
        archive: bool = False,
        window: int = 2048,
    ) -> None:
        if undo_depth < max(1, max_reorg_depth or 0):
            raise ValueError(f"undo_depth {undo_depth} is less than max_reorg_depth {max_reorg_depth} or 1")
        self._store = store
        self._engine = engine
        self._machine = machine
        self._codec = codec
        self._clock = clock
        self._listeners: list[Callable[[HeadChanged[H, R]], None]] = []
        self._fresh: B | None = None
        self._pending: Changes = {}
        self._sync = True
        header = self._header(genesis_block)
        opening.initialise(store, machine, genesis_block, header, network_id)
        meta = opening.read_meta(store, network_id, header.hash)
        self._sequence = meta.sequence
        self._index: Index[H] = Index(store, codec.header, window)
        self._index.load(meta.head)
        self._choice = Choice(self._index, self._floor_entry(meta.floor), meta.approved, max_reorg_depth)
        self._choice.undo_from = meta.undo_from
        kept = None if archive else undo_depth
        self._reorganiser = Reorganiser(store, self._index, machine, self._block_of, kept)
        self._genesis = self._index.require(header.hash)
        self._settle(self._valid_base())

    def _floor_entry(self, hash_: BlockHash) -> Entry[H]:
        entry = self._index.get(hash_)
        if entry is None:
            raise schema.damaged(schema.META_FLOOR, "names a block that is not known")
        return entry

    # Reads: from any thread.

    @property
    def head(self) -> Entry[H]:
        """The best chain's last block; the committed state is the state after it."""
        return self._index.head

    @property
    def genesis(self) -> Entry[H]:
        """The first block."""
        return self._genesis

    @property
    def floor(self) -> Entry[H]:
        """The block that no reorganisation goes below; genesis until `finalize`."""
        return self._choice.floor

    def entry(self, hash_: BlockHash) -> Entry[H] | None:
        """Give what is known of a header, on any branch; None if nothing."""
        return self._index.get(hash_)

    def entry_at(self, height: int) -> Entry[H] | None:
        """Give the best chain's entry at `height`, or None."""
        return self._index.at(height)

    def ancestor(self, entry: Entry[H], height: int) -> Entry[H]:
        """Give the ancestor at `height`, at most the entry's own; quick where it meets the best chain."""
        return self._index.ancestor(entry, height)

    def fork_point(self, one: Entry[H], other: Entry[H]) -> Entry[H]:
        """Give the last entry that both descend from or are."""
        return self._index.fork(one, other)

    def is_on_best_chain(self, entry: Entry[H]) -> bool:
        """Whether the entry is the head or below it."""
        return self._index.is_best(entry)

    def tips(self) -> list[Entry[H]]:
        """Give the head and every kept entry that nothing stands on, whatever its status."""
        return self._index.tips()

    def deep_branches(self) -> list[Entry[H]]:
        """Give the better branches that fork too deep to be chosen without an operator, best first."""
        return list(self._choice.too_deep(self.head))

    def body_bytes(self, hash_: BlockHash) -> bytes | None:
        """Give a block's bytes, None if it is not stored."""
        return self._store.get(schema.body_key(hash_))

    def body(self, hash_: BlockHash) -> B:
        """Give a block. Raises UnknownBlock, StoreCorrupt."""
        data = self.body_bytes(hash_)
        if data is None:
            raise UnknownBlock(f"the block {display(hash_)} is not stored")
        return self._decode_block(hash_, data)

    def view(self) -> HeadView:
        """Give the committed state, always the newest."""
        return HeadView(self._store)

    def snapshot(self) -> HeadSnapshot[H]:
        """Give head and state of one moment, to be closed after use."""
        snapshot = self._store.snapshot()
        head = snapshot.get(schema.META_HEAD)
        if head is None:
            raise schema.damaged(schema.META_HEAD, "is missing")
        return HeadSnapshot(snapshot, self._index.require(BlockHash(head)))

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
            _refuse_invalid(known)
            return known
        if parent is None:
            raise UnknownParent(header.parent_hash)
        _refuse_invalid(parent)
        if not self._choice.stands_on_floor(parent):
            raise BelowFloor(f"a header on {parent} contradicts the final block {self.floor}")
        self._engine.check_header(header, parent, now)
        entry = self._child(header, parent)
        self._index.add(entry)
        key, value = entry_row(entry, entry.status)
        self._pending[key] = value
        self._pending[schema.height_key(entry.hash)] = schema.encode_height(entry.height)
        return entry

    def _child(self, header: H, parent: Entry[H]) -> Entry[H]:
        weight = parent.weight + self._engine.weight(header, parent)
        return Entry(header, parent.height + 1, weight, Status.HEADER, 0, parent, self._index.require)

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
        entry = self._take_header(self._header(block), self._clock.now())
        if entry.status & Status.BODY:
            return None
        try:
            self._machine.check_block(block)
        except InvalidBlock:
            self._condemn(entry)
            raise
        self._take_body(entry, block)
        return self._settle(self.head, blame=entry)

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
        return changed

    def _go_to_branch_of(self, entry: Entry[H]) -> HeadChanged[H, R] | None:
        _refuse_invalid(entry)
        if not entry.sequence:
            raise UnknownBlock(f"{entry} cannot be final yet: a block on the way to it is not stored")
        fork = self._index.fork(self.head, entry)
        self._require_undo(fork)
        self._index.keep_window_below(fork)
        self._choice.refresh(fork)
        changed = self._settle(fork, within=entry, extra={schema.META_FLOOR: entry.hash})
        if not self._index.is_best(entry):
            self._choice.refresh(self.head)
            _refuse_invalid(entry)
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
        step = self._reorganiser.step(target, self._choice.undo_from)
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

    def _header(self, block: B) -> H:
        return cast("H", block.header)

    # How the head moves.

    def _valid_base(self) -> Entry[H]:
        """Give the head, or the block below it that an invalid mark leaves, ready to choose from."""
        base = self.head
        while base.status.is_invalid:
            base = self._index.parent(base)
        self._index.keep_window_below(base)
        self._choice.refresh(base)
        return base

    def _settle(
        self,
        base: Entry[H],
        *,
        within: Entry[H] | None = None,
        extra: Changes | None = None,
        blame: Entry[H] | None = None,
    ) -> HeadChanged[H, R] | None:
        """Move to the best branch; blocks that fail on the way are marked and the choice is made again."""
        events: list[HeadChanged[H, R]] = []
        verdict: InvalidBlock | None = None
        while (target := self._choice.best(base, within)) is not self.head:
            if within is not None and target is base:
                break  # nothing that contains `within` can be connected
            try:
                step = self._reorganiser.step(target, self._choice.undo_from)
            except BlockFailed as failed:
                self._condemn(failed.entry)
                verdict = failed.reason if failed.entry is blame else verdict
                continue
            step.changes.update(extra or {})
            self._commit(step)
            events.append(step.event)
            base = self.head
        if verdict is not None:
            raise verdict
        return merge(events)

    def _commit(self, step: Step[H, R]) -> None:
        connected = [done.entry for done in step.event.connected]
        approved = self._choice.approved.difference(entry.hash for entry in connected)
        if approved != self._choice.approved:
            step.changes[schema.META_APPROVED] = b"".join(sorted(approved))
        self._write(step.changes)
        for entry in connected:
            entry.status |= Status.CONNECTED
        self._index.set_head(step.event.head, connected)
        self._choice.approved = approved
        self._choice.undo_from = step.undo_from
        self._choice.consider((), self.head)
        for listener in tuple(self._listeners):
            listener(step.event)

    def _condemn(self, entry: Entry[H]) -> None:
        above = self._index.descendants(entry)
        entry.status |= Status.INVALID
        for descendant in above:
            descendant.status |= Status.INVALID_ANCESTOR
        self._write(self._rows_of([entry, *above]))
        self._choice.discard([entry, *above])

    def _require_undo(self, fork: Entry[H]) -> None:
        if not self._choice.can_undo_to(fork):
            raise UndoMissing(
                f"undo records reach back to height {self._choice.undo_from - 1}, not to {fork.height}; "
                "only `ioex db reindex` can build another chain from there"
            )

    def _write(self, rows: Changes) -> None:
        """Write `rows` and what is pending, at once; a pending row gives way to a newer one."""
        for key, value in self._pending.items():
            rows.setdefault(key, value)
        if rows:
            self._store.write(rows, self._sync)
            self._pending.clear()

    def _rows_of(self, entries: Iterable[Entry[H]]) -> Changes:
        return dict(entry_row(entry, entry.status) for entry in entries)

    def _block_of(self, entry: Entry[H]) -> B:
        if self._fresh is not None and self._fresh.header.hash == entry.hash:
            return self._fresh
        data = self.body_bytes(entry.hash)
        if data is None:
            raise schema.damaged(schema.body_key(entry.hash), "is missing")
        return self._decode_block(entry.hash, data)

    def _decode_block(self, hash_: BlockHash, data: bytes) -> B:
        try:
            block = self._codec.block(data)
        except DecodeError as error:
            raise schema.damaged(schema.body_key(hash_), f"holds no block ({error})") from error
        if block.header.hash != hash_:
            raise schema.damaged(schema.body_key(hash_), "holds another block")
        return block


def merge(events: Sequence[HeadChanged[H, R]]) -> HeadChanged[H, R] | None:
    """Make one event of several that followed each other; None if the head is where it was."""
    disconnected: list[Entry[H]] = []
    connected: list[Connected[H, R]] = []
    for event in events:
        for entry in event.disconnected:
            if connected:
                connected.pop()
            else:
                disconnected.append(entry)
        connected.extend(event.connected)
    if not disconnected and not connected:
        return None
    return HeadChanged(tuple(disconnected), tuple(connected), events[-1].head)


def _refuse_invalid(entry: Entry[H]) -> None:
    if entry.status.is_invalid:
        raise KnownInvalid(f"the block {display(entry.hash)} was found invalid or stands on one that was")
