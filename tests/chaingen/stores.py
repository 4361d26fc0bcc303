"""Stores that fail on command: the disks of the crash tests."""

from collections.abc import Iterator, Mapping
from enum import Enum

from ioex_chain.ledger.errors import StoreFull
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import KeyValueStore, Snapshot


class Crashed(BaseException):
    """The process is gone; nothing in the program may catch this."""


class Moment(Enum):
    BEFORE = "before the write"
    AFTER = "after the write"
    FULL = "the disk refuses the write"
    POWER = "power cut after the write: what was not synced is lost"


class FailingStore:
    """A store over `disk` that dies at write number `at` (from 0)."""

    def __init__(self, disk: "Disk", at: int, moment: Moment) -> None:
        self._disk = disk
        self._at = at
        self._moment = moment
        self.writes = 0

    def get(self, key: bytes) -> bytes | None:
        return self._disk.store.get(key)

    def scan(self, prefix: bytes, start: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return self._disk.store.scan(prefix, start, reverse)

    def snapshot(self) -> Snapshot:
        return self._disk.store.snapshot()

    def close(self) -> None:
        self._disk.store.close()

    def write(self, changes: Mapping[bytes, bytes | None], sync: bool = True) -> None:
        number = self.writes
        self.writes += 1
        if 0 <= self._at < number:
            raise StoreFull("an earlier write failed") if self._moment is Moment.FULL else Crashed
        if number == self._at:
            if self._moment is Moment.BEFORE:
                raise Crashed
            if self._moment is Moment.FULL:
                raise StoreFull("no room")
        self._disk.write(changes, sync)
        if number == self._at:
            if self._moment is Moment.POWER:
                self._disk.cut_power()
            raise Crashed


class Disk:
    """Survives the crash: the rows, and which of them a power cut takes away."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self._synced: dict[bytes, bytes] = {}

    def write(self, changes: Mapping[bytes, bytes | None], sync: bool) -> None:
        self.store.write(changes)
        if sync:  # LevelDB's log is one file: a synced write makes all before it last
            self._synced = dict(self.store.scan(b""))

    def cut_power(self) -> None:
        self.store = MemoryStore(self._synced)


def copy(store: KeyValueStore) -> MemoryStore:
    return MemoryStore(dict(store.scan(b"")))
