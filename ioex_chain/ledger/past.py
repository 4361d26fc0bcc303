"""The state after an older block of the best chain, read from the newest state and the undo records.

A block's undo record holds the previous value of every key that the block touched. So a key's value after
block n is the previous value in the first block above n that touched it, or today's value if none did.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Self

from ioex_chain.ledger import schema
from ioex_chain.ledger.errors import UndoMissing, UnknownBlock
from ioex_chain.ledger.overlay import decode_undo
from ioex_chain.ledger.types import Entry, H, Snapshot
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import display

Before = Mapping[bytes, bytes | None]
_MOST_BYTES = 64 << 20


class PastState:
    """The state after one block, whatever is connected meanwhile. Close it after use."""

    def __init__(self, snapshot: Snapshot, layers: Sequence[Before]) -> None:
        """`layers` are the previous values of the blocks above, the lowest block first."""
        self._snapshot = snapshot
        self._layers = layers

    def get(self, key: bytes) -> bytes | None:
        """Give the value, or None."""
        for before in self._layers:
            if key in before:
                return before[key]
        return self._snapshot.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs whose key begins with `prefix`, in key order."""
        touched = {key for before in self._layers for key in before if key.startswith(prefix)}
        older = {key: value for key in touched if (value := self.get(key)) is not None}
        if not touched:
            return self._snapshot.scan(prefix)
        return _merged(self._snapshot.scan(prefix), touched, sorted(older.items()))

    def close(self) -> None:
        """Release it."""
        self._snapshot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _merged(
    newest: Iterator[tuple[bytes, bytes]], touched: set[bytes], older: list[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    for key, value in newest:
        while at < len(older) and older[at][0] < key:
            yield older[at]
            at += 1
        if key not in touched:
            yield key, value
    yield from older[at:]


class Past:
    """Opens past states of one ledger; keeps up to 64 MB of undo records decoded. For any thread."""

    def __init__(self) -> None:
        self._layers: OrderedDict[bytes, tuple[Before, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def open(self, snapshot: Snapshot, entry: Entry[H], head_height: int) -> PastState:
        """Give the state after `entry`, of the best chain of `snapshot`; closes the snapshot if it fails.

        Raises UnknownBlock if the entry is not on that chain, UndoMissing, StoreCorrupt.
        """
        try:
            _require_best(snapshot, entry)
            heights = range(entry.height + 1, head_height + 1)
            return PastState(snapshot, [self._layer(snapshot, height) for height in heights])
        except BaseException:
            snapshot.close()
            raise

    def _layer(self, snapshot: Snapshot, height: int) -> Before:
        hash_ = snapshot.get(schema.best_key(height))
        if hash_ is None:
            raise schema.damaged(schema.best_key(height), "is missing")
        key = schema.undo_key(height, hash_)
        with self._lock:
            if key in self._layers:
                self._layers.move_to_end(key)
                return self._layers[key][0]
        record = snapshot.get(key)
        if record is None:
            raise UndoMissing(
                f"the state before block {height} is no longer kept; a node with --archive keeps all states"
            )
        try:
            before = decode_undo(record)
        except DecodeError as error:
            raise schema.damaged(key, f"is no undo record ({error})") from error
        self._remember(key, before, len(record) * 2)
        return before

    def _remember(self, key: bytes, before: Before, size: int) -> None:
        with self._lock:
            if key not in self._layers:
                self._layers[key] = before, size
                self._bytes += size
            while self._bytes > _MOST_BYTES and len(self._layers) > 1:
                _, (_, gone) = self._layers.popitem(last=False)
                self._bytes -= gone


def _require_best(snapshot: Snapshot, entry: Entry[H]) -> None:
    if snapshot.get(schema.best_key(entry.height)) != entry.hash:
        raise UnknownBlock(f"the block {display(entry.hash)} is not on the best chain")
