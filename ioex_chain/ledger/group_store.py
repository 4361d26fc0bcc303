"""Many writes, one sync: a store that keeps unsynced writes in memory and puts them down together.

LevelDB alone loses the newest unsynced writes to a power cut, and not always in order: a log file that was
begun later may survive the end of the one before. Here what is kept goes to the disk as one atomic synced
write, so that after a kill or a power cut the database is as it was after some earlier write: blocks are
missing that can be fetched again, and nothing else.
"""

from collections.abc import Iterator, Mapping
from threading import RLock

from ioex_chain.ledger.types import KeyValueStore, Snapshot


class GroupStore:
    """A `KeyValueStore` over another one. Writes with `sync=False` wait, up to `most` bytes of them.

    A write with `sync`, `scan`, `snapshot` and `close` put down what waits. Errors are the other store's.
    """

    def __init__(self, store: KeyValueStore, most: int = 8 << 20) -> None:
        self._store = store
        self._most = most
        self._waiting: dict[bytes, bytes | None] = {}
        self._bytes = 0
        self._lock = RLock()

    def get(self, key: bytes) -> bytes | None:
        """Give the value, or None."""
        waiting = self._waiting  # emptied only after it has been written, so this order misses nothing
        if key in waiting:
            return waiting[key]
        return self._store.get(key)

    def scan(self, prefix: bytes, start: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs whose key begins with `prefix` and is at or after `start`, in key order."""
        self.flush()
        return self._store.scan(prefix, start, reverse)

    def write(self, changes: Mapping[bytes, bytes | None], sync: bool = True) -> None:
        """Apply all changes or none; None deletes. With `sync` all writes so far survive a power cut."""
        with self._lock:
            if sync and not self._waiting:
                self._store.write(changes, sync=True)
                return
            self._waiting.update(changes)
            self._bytes += sum(len(key) + len(value or b"") for key, value in changes.items())
            if sync or self._bytes >= self._most:
                self.flush()

    def flush(self) -> None:
        """Put down what waits, in one synced write."""
        with self._lock:
            if self._waiting:
                self._store.write(self._waiting, sync=True)
                self._waiting = {}
                self._bytes = 0

    def snapshot(self) -> Snapshot:
        """Give a view that later writes do not change."""
        with self._lock:
            self.flush()
            return self._store.snapshot()

    def close(self) -> None:
        """Put down what waits, and release."""
        try:
            self.flush()
        finally:
            self._store.close()
