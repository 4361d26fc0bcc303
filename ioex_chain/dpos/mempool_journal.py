"""The pool as bytes, to be kept over a restart. Records can be appended: an accepted transaction is not lost.

    magic "ioexdpol", version uint16 (2 bytes)
    per record: flags uint8 (1: local), time uint64, size uint32, transaction, checksum(4) over all before it

Numbers are little-endian; a checksum is the first 4 bytes of keccak256. A record cut off at the end, as a
crash leaves it, costs that record; a damaged one costs itself alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.mempool import Mempool
from ioex_chain.dpos.mempool_types import PooledTransaction, PoolTip
from ioex_chain.evm.errors import InvalidTransaction
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.evm.types import Transaction
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.errors import DecodeError

_MAGIC = b"ioexdpol"
_VERSION = 1
_LOCAL = 1
_CHECKSUM = 4
_BATCH = 1_000
JOURNAL_HEAD = _MAGIC + _VERSION.to_bytes(2, "little")
"""What a new journal begins with."""


class JournalUnreadable(DecodeError):
    """Not a kept pool of this version: start with an empty pool."""


@dataclass(frozen=True, slots=True)
class KeptTransaction:
    """A transaction, when it came (Unix seconds), and whether by this node's own RPC."""

    tx: Transaction
    time: int
    local: bool


@dataclass(frozen=True, slots=True)
class KeptPool:
    """What could be read; `damaged` counts the records that could not."""

    transactions: tuple[KeptTransaction, ...]
    damaged: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a kept pool: in the pool again, not taken any more, unreadable."""

    kept: int
    refused: int
    damaged: int


def encode_record(entry: PooledTransaction) -> bytes:
    """Give the bytes to append for an entry."""
    raw = entry.tx.raw
    flags = bytes((_LOCAL if entry.local else 0,))
    body = flags + entry.time.to_bytes(8, "little") + len(raw).to_bytes(4, "little") + raw
    return body + keccak256(body)[:_CHECKSUM]


def encode_journal(entries: Iterable[PooledTransaction]) -> bytes:
    """Give the bytes of a whole pool."""
    return JOURNAL_HEAD + b"".join(map(encode_record, entries))


def all_entries(pool: Mempool) -> Iterator[PooledTransaction]:
    """Give a pool's entries, each sender's by nonce."""
    for sender in pool.senders():
        yield from pool.pending_of(sender)
        yield from pool.queued_of(sender)


def decode_journal(data: bytes, max_size: int) -> KeptPool:
    """Read a kept pool whose transactions have at most `max_size` bytes. Raises JournalUnreadable."""
    if not data.startswith(JOURNAL_HEAD):
        raise JournalUnreadable(f"not a kept pool of version {_VERSION}")
    reader = Reader(data[len(JOURNAL_HEAD) :])
    found: list[KeptTransaction] = []
    damaged = 0
    while reader.left:
        try:
            body = reader.take(13)
            size = int.from_bytes(body[9:], "little")
            body += reader.take(size if size <= max_size else reader.left + 1)
            checksum = reader.take(_CHECKSUM)
        except DecodeError:
            damaged += 1
            break  # where the next record begins is lost
        kept = _read(body) if keccak256(body)[:_CHECKSUM] == checksum else None
        damaged += kept is None
        if kept is not None:
            found.append(kept)
    return KeptPool(tuple(found), damaged)


def _read(body: bytes) -> KeptTransaction | None:
    try:
        tx = decode_transaction(body[13:])
    except InvalidTransaction:
        return None
    return KeptTransaction(tx, int.from_bytes(body[1:9], "little"), bool(body[0] & _LOCAL))


def restore(pool: Mempool, kept: KeptPool, tip: PoolTip) -> Restored:
    """Offer kept transactions to the pool: every rule is checked again; queued ones that are old stay out."""
    taken = 0
    latest = {item.tx.hash: item for item in kept.transactions}
    for item in latest.values():
        try:
            pool.add(item.tx, tip, local=item.local, time=item.time)
        except InvalidTransaction:
            continue
        taken += 1
    pool.expire()
    return Restored(taken, len(latest) - taken, kept.damaged)
