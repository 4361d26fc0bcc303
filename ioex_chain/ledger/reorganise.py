"""Work out one change of the best chain, as rows to be written at once. Nothing here writes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ioex_chain.ledger import schema
from ioex_chain.ledger.choice import Choice
from ioex_chain.ledger.errors import InvalidBlock, UndoMissing, WrongSeal
from ioex_chain.ledger.index import Index
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.ledger.types import (
    B,
    Connected,
    Entry,
    H,
    HeadChanged,
    KeyValueStore,
    R,
    StateMachine,
    StateView,
    Status,
)
from ioex_chain.primitives.errors import DecodeError

T = TypeVar("T")

_ENOUGH_STAGED = 400_000
"""Keys: about 200 MB. A long catch-up is written in pieces, each a better chain than the one before."""

Changes = dict[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class Step(Generic[H, R]):
    """What one write changes, and the event that follows it."""

    changes: Changes
    event: HeadChanged[H, R]
    undo_from: int


class BlockFailed(Exception, Generic[H]):
    """A block on the way broke a rule or has a wrong seal; the overlay is gone, what was noted is kept."""

    def __init__(self, entry: Entry[H], reason: InvalidBlock | WrongSeal, notes: Changes) -> None:
        super().__init__(reason)
        self.entry = entry
        self.reason = reason
        self.notes = notes


class Reorganiser(Generic[H, B, R]):
    """Disconnects by undo records and connects by the state machine, on one overlay."""

    def __init__(
        self,
        store: KeyValueStore,
        index: Index[H],
        machine: StateMachine[H, B, R],
        read_block: Callable[[Entry[H]], B],
        undo_depth: int | None,
        undo_to_floor: bool,
    ) -> None:
        self._store = store
        self._index = index
        self._machine = machine
        self._read_block = read_block
        self._undo_depth = undo_depth
        self._undo_to_floor = undo_to_floor

    def step(self, target: Entry[H], choice: Choice[H]) -> Step[H, R]:
        """Go from the head to `target`, or part of the way if that is much and better than the head.

        Raises BlockFailed, UndoMissing.
        """
        head = self._index.head
        fork = self._index.fork(head, target)
        overlay = Overlay(self._store)
        rows: Changes = {}
        disconnected = self._disconnect(overlay, rows, fork)
        least = choice.rank(head)
        connected: list[Connected[H, R]] = []
        for entry in self._path(fork, target):
            connected.append(self._connect(overlay, rows, entry))
            if len(overlay.changes) > _ENOUGH_STAGED and (fork is head or choice.rank(entry) > least):
                break
        new_head = connected[-1].entry if connected else fork
        self._rewrite_best(rows, disconnected, connected, new_head)
        kept_from = self._prune(rows, choice, new_head, connected)
        rows[schema.META_UNDO] = schema.encode_height(kept_from)
        overlay.changes.update(rows)
        event = HeadChanged(tuple(disconnected), tuple(connected), new_head)
        return Step(overlay.changes, event, kept_from)

    def preview(self, block: B, entry: Entry[H]) -> R:
        """Execute a block on the head's state and forget what it did."""
        return self.on_head(lambda view: self._machine.connect(block, entry, view))

    def on_head(self, work: Callable[[StateView], T]) -> T:
        """Do `work` on the head's state and forget what it wrote."""
        overlay = Overlay(self._store)
        overlay.begin()
        result = work(overlay)
        overlay.seal()
        return result

    def _path(self, fork: Entry[H], target: Entry[H]) -> list[Entry[H]]:
        path = []
        while target is not fork:
            path.append(target)
            target = self._index.parent(target)
        path.reverse()
        return path

    def _disconnect(self, overlay: Overlay, rows: Changes, fork: Entry[H]) -> list[Entry[H]]:
        entry = self._index.head
        gone = []
        while entry is not fork:
            key = schema.undo_key(entry.height, entry.hash)
            undo = self._store.get(key)
            if undo is None:
                raise UndoMissing(
                    f"no undo record for the block at height {entry.height}; "
                    "run `ioex db reindex` to build the chain again from its blocks"
                )
            try:
                overlay.restore(undo)
            except DecodeError as error:
                raise schema.damaged(key, f"is no undo record ({error})") from error
            rows[key] = None
            gone.append(entry)
            entry = self._index.parent(entry)
        return gone

    def _connect(self, overlay: Overlay, rows: Changes, entry: Entry[H]) -> Connected[H, R]:
        block = self._read_block(entry)
        overlay.begin()
        try:
            receipt = self._machine.connect(block, entry, overlay)
        except (InvalidBlock, WrongSeal) as reason:
            notes = {key: value for key, value in rows.items() if key.startswith(schema.NOTE)}
            raise BlockFailed(entry, reason, notes) from reason
        rows[schema.undo_key(entry.height, entry.hash)] = overlay.seal()
        if overlay.noted is not None and entry.note is None:
            rows[schema.note_key(entry.hash)] = entry.note = overlay.noted
        return Connected(entry, receipt)

    def _rewrite_best(
        self,
        rows: Changes,
        disconnected: list[Entry[H]],
        connected: list[Connected[H, R]],
        head: Entry[H],
    ) -> None:
        for entry in disconnected:
            if entry.height > head.height:
                rows[schema.best_key(entry.height)] = None
        for done in connected:
            entry = done.entry
            rows[schema.best_key(entry.height)] = entry.hash
            key, value = entry_row(entry, connected_status(entry.status))
            rows[key] = value
        rows[schema.META_HEAD] = head.hash

    def _prune(
        self, rows: Changes, choice: Choice[H], head: Entry[H], connected: list[Connected[H, R]]
    ) -> int:
        """Drop undo records that are deeper than the limit; give the lowest height that is kept."""
        undo_from = choice.undo_from
        if self._undo_depth is None:
            return undo_from
        limit = head.height - self._undo_depth
        if self._undo_to_floor:
            limit = min(limit, choice.floor.height)
        kept_from = max(undo_from, limit + 1)
        fresh = {done.entry.height: done.entry for done in connected}
        for height in range(undo_from, kept_from):
            new = fresh.get(height)
            old = None if new else self._index.at(height)
            if new:
                del rows[schema.undo_key(height, new.hash)]
            elif old:
                rows[schema.undo_key(height, old.hash)] = None
        return kept_from


def connected_status(status: Status) -> Status:
    """Give the status of a block that was connected: all its rules were checked."""
    return (status | Status.CONNECTED) & ~Status.UNVERIFIED


def entry_row(entry: Entry[H], status: Status) -> tuple[bytes, bytes]:
    """Give the row of an entry whose status becomes `status`."""
    value = schema.encode_entry(status, entry.sequence, entry.weight, entry.header.encode())
    return schema.entry_key(entry.height, entry.hash), value
