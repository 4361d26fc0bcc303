"""The DPoS chain's pool on disk: whole at start and stop, and what comes by our RPC at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ioex_chain.dpos.mempool import Mempool
from ioex_chain.dpos.mempool_journal import (
    JournalUnreadable,
    Restored,
    all_entries,
    decode_journal,
    encode_journal,
    encode_record,
    restore,
)
from ioex_chain.dpos.mempool_types import PooledTransaction, PoolTip
from ioex_chain.ledger.errors import StoreError, StoreFull
from ioex_chain.node import log
from ioex_chain.node.datadir import write_atomically

logger = log.get(__name__)
COMPACT_AT = 64 << 20
"""Bytes that are appended before the file is written anew."""


class PoolJournal:
    """Keeps what this node has acknowledged: SIGKILL loses nothing of it. For the worker's thread."""

    def __init__(self, path: Path, pool: Mempool, compact_at: int = COMPACT_AT) -> None:
        self._path = path
        self._pool = pool
        self._compact_at = compact_at
        self._file: IO[bytes] | None = None
        self._appended = 0

    def load(self, tip: PoolTip) -> Restored | None:
        """Fill the pool with what was kept; None if there is nothing to read. Raises StoreFull."""
        found: Restored | None = None
        try:
            kept = decode_journal(self._path.read_bytes(), self._pool.policy.max_size)
            found = restore(self._pool, kept, tip)
        except FileNotFoundError:
            pass
        except (OSError, JournalUnreadable) as error:
            logger.warning(
                "the kept pool cannot be read; starting with an empty one",
                file=str(self._path),
                reason=str(error),
            )
        self.save()
        return found

    def append(self, entries: Sequence[PooledTransaction]) -> None:
        """Keep transactions that are about to be acknowledged. Raises StoreFull."""
        data = b"".join(map(encode_record, entries))
        try:
            if self._file is None:
                self._file = self._path.open("ab")
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise self._full(error) from error
        self._appended += len(data)
        if self._appended > self._compact_at:
            self.save()

    def save(self) -> None:
        """Write the whole pool in the file's place. Raises StoreFull."""
        self.close()
        try:
            write_atomically(self._path, encode_journal(all_entries(self._pool)))
        except OSError as error:
            raise self._full(error) from error
        self._appended = 0

    def close(self) -> None:
        """Append nothing more for now."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _full(self, error: OSError) -> StoreError:
        return StoreFull(f"cannot write {self._path}: {error.strerror}; make room and start again")
