"""A node's disk: what was not synced is gone after a crash."""

from collections.abc import Iterator, Mapping

from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import KeyValueStore, Snapshot


class SimDisk:
    """Outlives the node: database rows, with what a power cut would take back, and whole files."""

    def __init__(self, rows: KeyValueStore | None = None) -> None:
        self.rows: KeyValueStore = MemoryStore() if rows is None else rows
        self.files: dict[str, bytes] = {}
        """Files are replaced whole and synced (`datadir.write_atomically`)."""
        self._unsynced: list[dict[bytes, bytes | None]] = []

    def write(self, changes: Mapping[bytes, bytes | None], sync: bool) -> None:
        """Apply changes. LevelDB's log is one file: a synced write makes all before it last."""
        if sync:
            self._unsynced.clear()
        else:
            self._unsynced.append({key: self.rows.get(key) for key in changes})
        self.rows.write(changes, sync=False)

    def cut_power(self) -> None:
        """Take back what was not synced, newest first."""
        while self._unsynced:
            self.rows.write(self._unsynced.pop(), sync=False)


class SimStore:
    """A `KeyValueStore` on a disk for as long as its node lives: later writes go nowhere."""

    def __init__(self, disk: SimDisk) -> None:
        self._disk = disk
        self._open = True

    def get(self, key: bytes) -> bytes | None:
        """Give the value, or None."""
        return self._disk.rows.get(key)

    def scan(self, prefix: bytes, start: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs with a prefix in key order."""
        return self._disk.rows.scan(prefix, start, reverse)

    def write(self, changes: Mapping[bytes, bytes | None], sync: bool = True) -> None:
        """Apply all changes."""
        assert self._open, "a dead node writes to its disk"
        self._disk.write(changes, sync)

    def snapshot(self) -> Snapshot:
        """Give a view that later writes do not change."""
        return self._disk.rows.snapshot()

    def close(self) -> None:
        """Let no more writes through."""
        self._open = False
