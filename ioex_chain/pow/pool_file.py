"""The pool as bytes, to be kept over a restart.

    magic "ioexpool", version uint16, count uint32, checksum(4)
    per entry, parents first: size uint32, time uint64, transaction, checksum(4) over the three

A checksum is the first 4 bytes of sha256d. Each entry has its own, so that damage costs what it hits.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.pow.errors import TransactionError
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.packages import MempoolEntry, in_order
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.errors import DecodeError

_MAGIC = b"ioexpool"
_VERSION = 1
_CHECKSUM = 4


class PoolFileUnreadable(DecodeError):
    """Not a kept pool of this version, or its head is damaged: start with an empty pool."""


@dataclass(frozen=True, slots=True)
class KeptTransaction:
    """A transaction and when it came (Unix seconds)."""

    tx: Transaction
    time: int


@dataclass(frozen=True, slots=True)
class KeptPool:
    """What could be read; `damaged` counts the entries that could not."""

    transactions: tuple[KeptTransaction, ...]
    damaged: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a kept pool: in the pool again, not taken any more, unreadable."""

    kept: int
    refused: int
    damaged: int


def encode_pool(entries: Iterable[MempoolEntry]) -> bytes:
    """Give the bytes of a pool."""
    ordered = in_order(entries)
    head = _MAGIC + _VERSION.to_bytes(2, "little") + len(ordered).to_bytes(4, "little")
    parts = [head, _checksum(head)]
    for entry in ordered:
        raw = entry.tx.raw
        body = len(raw).to_bytes(4, "little") + entry.time.to_bytes(8, "little") + raw
        parts += [body, _checksum(body)]
    return b"".join(parts)


def decode_pool(data: bytes, max_size: int) -> KeptPool:
    """Read a kept pool whose transactions have at most `max_size` bytes. Raises PoolFileUnreadable."""
    reader = Reader(data)
    count = _read_head(reader)
    found: list[KeptTransaction] = []
    for _ in range(count):
        try:
            size = reader.uint32()
            if size > max_size:
                break  # the length itself is damaged: where the next entry begins is lost
            body = size.to_bytes(4, "little") + reader.take(8 + size)
            checksum = reader.take(_CHECKSUM)
        except DecodeError:
            break
        if checksum == _checksum(body):
            with suppress(DecodeError):
                tx = Transaction.decode(body[12:])
                found.append(KeptTransaction(tx, int.from_bytes(body[4:12], "little")))
    return KeptPool(tuple(found), count - len(found))


def _read_head(reader: Reader) -> int:
    try:
        head = reader.take(14)
        good = _checksum(head) == reader.take(_CHECKSUM)
    except DecodeError as error:
        raise PoolFileUnreadable("the kept pool is cut off") from error
    version = int.from_bytes(head[8:10], "little")
    if not good or head[:8] != _MAGIC or version != _VERSION:
        raise PoolFileUnreadable(f"not a kept pool of version {_VERSION}, or its head is damaged")
    return int.from_bytes(head[10:], "little")


def restore(pool: Mempool, kept: KeptPool, tip: Tip) -> Restored:
    """Offer kept transactions to the pool: every rule is checked again, expired ones stay out."""
    oldest = pool.clock.now() - pool.policy.expiry
    for transaction in kept.transactions:
        if transaction.time < oldest:
            continue
        with suppress(TransactionError):
            pool.add(transaction.tx, tip, time=transaction.time)
    good = sum(transaction.tx.txid in pool for transaction in kept.transactions)
    return Restored(good, len(kept.transactions) - good, kept.damaged)


def _checksum(data: bytes) -> bytes:
    return sha256d(data)[:_CHECKSUM]
