"""The two stores: LevelDB on disk, and a map in memory. The only place that knows the database.

LevelDB keeps a checksum on every block of its files; here it is checked on every read, so that a damaged
file gives an error and never a wrong value. What it does not notice is a lost CURRENT file: it would start
an empty database and delete all the rest, so that is looked for first.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn, Self

import plyvel

from ioex_chain.ledger.errors import StoreCorrupt, StoreError, StoreFull, StoreLocked, StoreMissing
from ioex_chain.ledger.schema import META_REPAIRED

_MIB = 1 << 20
_OF_DATABASE = ("*.ldb", "*.sst", "*.log", "MANIFEST-*")
_DISK_REFUSES = (
    "No space left",
    "File too large",
    "Read-only file system",
    "Disk quota",
    "Input/output error",
)
_Fault = (plyvel.Error, OSError, RuntimeError)  # RuntimeError: closed

_open_here: set[Path] = set()
"""Databases that this process has open. LevelDB's lock is a POSIX one: a second attempt of the process that
holds it would fail, but closing that attempt's file would also let the lock go."""


class LevelStore:
    """A LevelDB database in the folder `path`, which it makes if `create`.

    `write_buffer` and `cache` are bytes of memory; LevelDB may hold two write buffers. `block` is how many
    bytes of rows newly written files have under one checksum: what a read of one row reads. Raises
    StoreMissing, StoreLocked, StoreCorrupt, StoreFull. Reads may come from any thread. After a write has
    failed every use raises StoreFull until the store is opened anew: what the disk took is not known
    before. `close` only when no other thread reads.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool,
        write_buffer: int = 32 * _MIB,
        cache: int = 64 * _MIB,
        block: int = 4_096,
    ) -> None:
        self.path = path
        _look_before_opening(path, create)
        self._place = path.resolve()
        if self._place in _open_here:
            raise StoreLocked(f"this process uses {path} already")
        try:
            self._db: Any = plyvel.DB(
                str(path),
                create_if_missing=create,
                paranoid_checks=True,
                write_buffer_size=write_buffer,
                block_size=block,
                lru_cache_size=cache,
                bloom_filter_bits=10,
            )
        except _Fault as error:
            raise _typed(error, path) from error
        _open_here.add(self._place)
        self._failed: StoreError | None = None
        self._read: Callable[[bytes], bytes | None] = partial(self._db.get, verify_checksums=True)

    def get(self, key: bytes) -> bytes | None:
        """Give the value, or None. Raises StoreCorrupt when the file's checksum does not hold."""
        try:
            return self._read(key)
        except _Fault as error:
            raise _typed(error, self.path) from error

    def scan(self, prefix: bytes, start: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs whose key begins with `prefix` and is at or after `start`, in key order."""
        self._refuse_after_failure()
        yield from _pairs(self._db, self.path, prefix, start, reverse)

    def write(self, changes: Mapping[bytes, bytes | None], sync: bool = True) -> None:
        """Apply all changes or none; None deletes. Raises StoreFull, and from then on always."""
        self._refuse_after_failure()
        try:
            batch = self._db.write_batch(sync=sync)
            put, delete = batch.put, batch.delete
            for key, value in changes.items():
                if value is None:
                    delete(key)
                else:
                    put(key, value)
            batch.write()
        except _Fault as error:
            self._failed = _typed(error, self.path)
            self._read = self._refuse
            raise self._failed from error

    def snapshot(self) -> "_LevelSnapshot":
        """Give a view that later writes do not change; close it, or the files it pins stay."""
        self._refuse_after_failure()
        try:
            return _LevelSnapshot(self._db.snapshot(), self.path)
        except _Fault as error:
            raise _typed(error, self.path) from error

    def compact(self) -> None:
        """Rewrite the files without what was overwritten; takes minutes on a large database."""
        self._refuse_after_failure()
        try:
            self._db.compact_range()
        except _Fault as error:
            raise _typed(error, self.path) from error

    def size(self) -> int:
        """Give the bytes of all files."""
        return sum(_size_of(file) for file in self.path.iterdir())

    def close(self) -> None:
        """Flush and release; closing twice is fine."""
        self._db.close()
        _open_here.discard(self._place)

    def _refuse_after_failure(self) -> None:
        if self._failed is not None:
            self._refuse(b"")

    def _refuse(self, _key: bytes) -> NoReturn:
        raise type(self._failed or StoreFull())(
            f"an earlier write to {self.path} failed ({self._failed}); restart the node"
        )


class _LevelSnapshot:
    """LevelDB's own snapshot."""

    def __init__(self, snapshot: Any, path: Path) -> None:
        self._snapshot = snapshot
        self._path = path

    def get(self, key: bytes) -> bytes | None:
        """Give the value, or None."""
        try:
            value: bytes | None = self._snapshot.get(key, verify_checksums=True)
        except _Fault as error:
            raise _typed(error, self._path) from error
        return value

    def scan(self, prefix: bytes, start: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs whose key begins with `prefix` and is at or after `start`, in key order."""
        return _pairs(self._snapshot, self._path, prefix, start, reverse)

    def close(self) -> None:
        """Release it."""
        self._snapshot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class MemoryStore:
    """The same in memory, for tests and simulations; it takes the place of a disk that never fails."""

    def __init__(self, rows: Mapping[bytes, bytes] | None = None) -> None:
        self._rows = dict(rows or {})
        self._keys: list[bytes] | None = None
        self._lock = Lock()

    def get(self, key: bytes) -> bytes | None:
        """Give the value, or None."""
        return self._rows.get(key)

    def scan(self, prefix: bytes, start: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs whose key begins with `prefix` and is at or after `start`, in key order."""
        with self._lock:
            if self._keys is None:
                self._keys = sorted(self._rows)
            first = bisect_left(self._keys, max(prefix, start))
            end = _after(prefix)
            last = len(self._keys) if end is None else bisect_left(self._keys, end)
            found = [(key, self._rows[key]) for key in self._keys[first:last]]
        return reversed(found) if reverse else iter(found)

    def write(self, changes: Mapping[bytes, bytes | None], sync: bool = True) -> None:  # noqa: ARG002
        """Apply all changes; None deletes."""
        with self._lock:
            self._keys = None
            for key, value in changes.items():
                if value is None:
                    self._rows.pop(key, None)
                else:
                    self._rows[key] = value

    def snapshot(self) -> "_MemorySnapshot":
        """Give a copy."""
        with self._lock:
            return _MemorySnapshot(self._rows)

    def close(self) -> None:
        """Do nothing: the rows stay, so that the same object can be opened again."""


class _MemorySnapshot(MemoryStore):
    """A copy of a `MemoryStore`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def repair(path: Path) -> None:
    """Save what can be read of a damaged database.

    Rows may be lost and older ones may come back, so the database is marked and a ledger refuses it until
    the state has been rebuilt from its blocks (`verify.reindex`). Raises as `LevelStore` does.
    """
    if not path.is_dir():
        raise StoreMissing(f"no database at {path}")
    try:
        plyvel.repair_db(str(path), paranoid_checks=True)
    except _Fault as error:
        raise _typed(error, path) from error
    store = LevelStore(path, create=False)
    store.write({META_REPAIRED: b""})
    store.close()


def _look_before_opening(path: Path, create: bool) -> None:
    try:
        if create:
            path.mkdir(parents=True, exist_ok=True)
        if (path / "CURRENT").exists():
            return
        if any(next(path.glob(pattern), None) for pattern in _OF_DATABASE):
            raise StoreCorrupt(f"the file CURRENT is missing in {path}; run `ioex db repair`")
    except OSError as error:
        raise _typed(error, path) from error
    if not create:
        raise StoreMissing(f"no database at {path}; start the node once, or check --datadir and --network")


def _pairs(
    source: Any, path: Path, prefix: bytes, start: bytes, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    first = max(prefix, start)
    # plyvel skips a key that equals `start` when it goes backwards and the range holds no other
    lower = None if reverse else first
    try:
        with source.iterator(
            start=lower, stop=_after(prefix), reverse=reverse, verify_checksums=True
        ) as rows:
            for pair in rows:
                if reverse and pair[0] < first:
                    return
                yield pair
    except _Fault as error:
        raise _typed(error, path) from error


def _after(prefix: bytes) -> bytes | None:
    """Give the first key after all keys with this prefix, None if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def _typed(error: BaseException, path: Path) -> StoreError:
    text = error.args[0].decode(errors="replace") if _is_levels(error) else str(error)
    if isinstance(error, RuntimeError):
        return StoreError(f"the database at {path} is closed ({text})")
    if "lock " in text and ("already held" in text or "temporarily unavailable" in text):
        return StoreLocked(f"another ioex process uses {path}; stop it, or choose another --datadir")
    if any(reason in text for reason in _DISK_REFUSES):
        return StoreFull(f"the disk under {path} takes no more writes: {text}; make room and start again")
    if "Permission denied" in text:
        return StoreError(f"no permission for {path}: {text}; run as the user who owns it")
    return StoreCorrupt(f"the database at {path} is damaged: {text}; stop the node and run `ioex db repair`")


def _is_levels(error: BaseException) -> bool:
    return isinstance(error, plyvel.Error) and bool(error.args) and isinstance(error.args[0], bytes)


def _size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # compaction removed it meanwhile
        return 0
