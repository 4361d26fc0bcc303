"""The part of the ledger that is not asked from outside: what it holds, what it reads, how its head moves.

`chain.Ledger` adds what comes in. One thread writes; the reads here may come from any thread. Every change
of the best chain is one atomic synced write of state, undo records, notes, marks and head, so that a crash
at any moment leaves the old chain or the new one. After a StoreError the ledger must be opened anew.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Generic, cast

from ioex_chain.ledger import opening, schema
from ioex_chain.ledger.choice import Choice
from ioex_chain.ledger.errors import (
    InvalidBlock,
    InvalidHeader,
    KnownInvalid,
    NotYetValid,
    UndoMissing,
    UnknownBlock,
    WrongSeal,
)
from ioex_chain.ledger.index import Index
from ioex_chain.ledger.past import Past, PastState
from ioex_chain.ledger.reorganise import BlockFailed, Changes, Reorganiser, Step, connected_status, entry_row
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

MAX_OTHER_PROOFS = 2
"""Other proofs kept of a header whose own cannot be checked yet; only in memory."""


class LedgerCore(Generic[H, B, R]):
    """A chain of blocks in `store`; a new store begins with `genesis_block`, connected but not checked.

    `max_reorg_depth`: blocks that a reorganisation may take back without `accept_deep_reorg`; None: as many
    as the undo records allow. `undo_depth`: undo records kept below the head, at least that many;
    `undo_to_floor`: and all above the floor; `archive` keeps all. `max_unverified`: headers kept whose rules
    could not all be checked yet. `window`: entries kept in memory below the head. Opening finishes what a
    crash interrupted. Raises WrongFormat, WrongNetwork, StoreCorrupt.
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
        undo_to_floor: bool = False,
        archive: bool = False,
        max_unverified: int = 0,
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
        self._choice = Choice(
            self._index,
            self._meta_entry(schema.META_FLOOR, meta.floor),
            meta.approved,
            max_reorg_depth,
            engine.tie_key,
            None if meta.anchor is None else self._meta_entry(schema.META_ANCHOR, meta.anchor),
        )
        self._choice.undo_from = meta.undo_from
        kept = None if archive else undo_depth
        self._reorganiser = Reorganiser(store, self._index, machine, self._block_of, kept, undo_to_floor)
        self._past = Past()
        self._max_unverified = max_unverified
        self._unverified = {
            entry.hash: entry for entry in self._index.in_memory() if entry.status & Status.UNVERIFIED
        }
        self._others: dict[BlockHash, list[H]] = {}  # of unverified headers: the same with other proofs
        self._genesis = self._index.require(header.hash)
        self._settle(self._valid_base())
        waiting = [self._index.parent(entry) for entry in self._unverified.values()]
        self._verify_waiting([entry for entry in waiting if not entry.status & Status.UNVERIFIED])

    def _meta_entry(self, key: bytes, hash_: BlockHash) -> Entry[H]:
        entry = self._index.get(hash_)
        if entry is None:
            raise schema.damaged(key, "names a block that is not known")
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

    @property
    def anchor(self) -> Entry[H] | None:
        """The block whose branches come before all others; None until `prefer`."""
        return self._choice.anchor

    def note(self, hash_: BlockHash) -> bytes | None:
        """Give what the state machine noted of a block; None if it was never connected or noted nothing."""
        return self._store.get(schema.note_key(hash_))

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

    def state_at(self, entry: Entry[H]) -> PastState:
        """Give the state after a block of the best chain, to be closed after use.

        As far back as undo records are kept. Raises UnknownBlock, UndoMissing.
        """
        snapshot = self._store.snapshot()
        head = snapshot.get(schema.META_HEAD)
        if head is None:
            raise schema.damaged(schema.META_HEAD, "is missing")
        return self._past.open(snapshot, entry, self._index.require(BlockHash(head)).height)

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
        """Move to the best branch; blocks that fail on the way are marked and the choice is made again.

        One whose seal is wrong is forgotten instead, with all above it.
        """
        events: list[HeadChanged[H, R]] = []
        verdict: InvalidBlock | WrongSeal | None = None
        started: list[Entry[H]] = []
        while (target := self._choice.best(base, within)) is not self.head:
            if within is not None and target is base:
                break  # nothing that contains `within` can be connected
            started.append(self._index.fork(self.head, target))
            try:
                step = self._reorganiser.step(target, self._choice)
            except BlockFailed as failed:
                self._blame(failed, base)
                verdict = failed.reason if failed.entry is blame else verdict
                continue
            step.changes.update(extra or {})
            self._commit(step)
            events.append(step.event)
            base = self.head
        if self._unverified:  # also after a failure: what was noted before it stands
            self._verify_waiting(started)
        if verdict is not None:
            raise verdict
        return merge(events)

    def _blame(self, failed: BlockFailed[H], base: Entry[H]) -> None:
        self._pending.update(failed.notes)
        if not isinstance(failed.reason, WrongSeal):
            self._condemn(failed.entry)
            return
        anchor = self._choice.anchor
        self._forget(failed.entry)
        if self._choice.anchor is not anchor:
            self._choice.refresh(base)

    def _commit(self, step: Step[H, R]) -> None:
        connected = [done.entry for done in step.event.connected]
        approved = self._choice.approved.difference(entry.hash for entry in connected)
        if approved != self._choice.approved:
            step.changes[schema.META_APPROVED] = b"".join(sorted(approved))
        self._write(step.changes)
        for entry in connected:
            entry.status = connected_status(entry.status)
            self._unverified.pop(entry.hash, None)
            self._others.pop(entry.hash, None)
        self._index.set_head(step.event.head, connected)
        self._choice.approved = approved
        self._choice.undo_from = step.undo_from
        self._choice.consider((), self.head)
        for listener in tuple(self._listeners):
            listener(step.event)

    def _condemn(self, entry: Entry[H]) -> None:
        """Mark a block and all above it; headers there that wait for their check are forgotten instead."""
        self._unverified.pop(entry.hash, None)
        self._others.pop(entry.hash, None)
        for waiting in [above for above in self._index.descendants(entry) if above.hash in self._unverified]:
            if waiting.hash in self._unverified:
                self._forget(waiting)
        above = self._index.descendants(entry)
        entry.status = (entry.status | Status.INVALID) & ~Status.UNVERIFIED
        for descendant in above:
            descendant.status |= Status.INVALID_ANCESTOR
        self._write(self._rows_of([entry, *above]))
        self._choice.discard([entry, *above])

    def _forget(self, entry: Entry[H]) -> None:
        """Drop a header and all above it: nothing that was heard of them is held against their hashes."""
        gone = [entry, *self._index.descendants(entry)]
        self._choice.discard(gone)
        rows: Changes = {}
        for lost in reversed(gone):
            lost.status |= Status.INVALID_ANCESTOR  # for those who still hold the object
            self._index.remove(lost)
            self._unverified.pop(lost.hash, None)
            self._others.pop(lost.hash, None)
            rows[schema.entry_key(lost.height, lost.hash)] = None
            rows[schema.height_key(lost.hash)] = None
            rows[schema.body_key(lost.hash)] = None
        if self._choice.anchor in gone:  # preferred before its seal could be checked: until it comes again
            self._choice.anchor = self._index.parent(entry)
            rows[schema.META_ANCHOR] = self._choice.anchor.hash
        self._write(rows)

    def _verify_waiting(self, parents: list[Entry[H]]) -> None:
        """Check the headers above `parents` again that waited for blocks below them."""
        for parent in parents:  # grows while it is walked
            parents.extend(child for child in self._index.children(parent) if self._verify(child, parent))

    def _verify(self, entry: Entry[H], parent: Entry[H]) -> bool:
        """Whether the headers above `entry` may be checked, after it was, if it waited for that."""
        if not entry.status & Status.UNVERIFIED or entry.status.is_invalid:
            return not entry.status.is_invalid
        try:
            if not self._engine.check_header(entry.header, parent, self._clock.now()):
                return False
        except WrongSeal:
            if not self._exchange(entry, parent):
                self._forget(entry)
                return False
        except InvalidHeader:
            self._condemn(entry)
            return False
        except NotYetValid:
            return False
        entry.status &= ~Status.UNVERIFIED
        del self._unverified[entry.hash]
        self._others.pop(entry.hash, None)
        self._pending.update(self._rows_of([entry]))
        return True

    def _note_other(self, entry: Entry[H], header: H) -> None:
        """Keep an unverified header that came again with another proof: the first one may be wrong."""
        proofs = [entry.header.encode(), *(other.encode() for other in self._others.get(entry.hash, ()))]
        if len(proofs) <= MAX_OTHER_PROOFS and header.encode() not in proofs:
            self._others.setdefault(entry.hash, []).append(header)

    def _exchange(self, entry: Entry[H], parent: Entry[H]) -> bool:
        """Give a header whose proof is wrong another one that came with it; False if none is right.

        Nor if the body is here already: it came with the wrong one.
        """
        for other in self._others.pop(entry.hash, ()) if not entry.status & Status.BODY else ():
            with suppress(WrongSeal, InvalidHeader, NotYetValid):
                if self._engine.check_header(other, parent, self._clock.now()):
                    entry.header = other
                    return True
        return False

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


def refuse_invalid(entry: Entry[H]) -> None:
    """Raise KnownInvalid for a block that was found invalid or stands on one."""
    if entry.status.is_invalid:
        raise KnownInvalid(f"the block {display(entry.hash)} was found invalid or stands on one that was")
