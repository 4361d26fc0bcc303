"""The UTXO set and its two indexes as rows of the ledger's state.

`schema` in the ledger lists the prefixes. The rows are written through the view, so that undo and
reorganisation cover the indexes as well.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ioex_chain.pow.transaction import TxOut
from ioex_chain.primitives.errors import UnexpectedEnd
from ioex_chain.primitives.types import OutPoint, TxHash

COIN_PREFIX = b"u"
"""u + outpoint(36) -> uint32 height * 2 + coinbase, uint64 value, script."""
TRANSACTION_PREFIX = b"t"
"""t + txid(32) -> uint32 height, uint32 position in the block."""
ADDRESS_PREFIX = b"a"
"""a + length(1) + script + uint32 BE height + outpoint(36) -> uint32 height * 2 + coinbase, uint64 value,
and once spent: spender's txid(32), uint32 input, uint32 height."""
MEDIAN_TIME_PREFIX = b"m"
"""m + uint32 BE height -> uint32 median time of that block and the 10 before it: what a relative lock in
seconds looks up (BIP-68), however old the coin, in one read."""

_COIN = struct.Struct("<IQ")
_TIME = struct.Struct("<I")
_PLACE = struct.Struct("<II")
_SPENT = struct.Struct("<32sII")


class Reads(Protocol):
    """The reading half of a state view."""

    def get(self, key: bytes) -> bytes | None:
        """Give the value, or None."""
        ...

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs whose key begins with `prefix`, in key order."""
        ...


class Coin(NamedTuple):
    """An unspent output. It can stand where a TxOut can."""

    value: int
    script: bytes
    height: int
    is_coinbase: bool

    def output(self) -> TxOut:
        """Give the output alone."""
        return TxOut(self.value, self.script)


def encode_coin(value: int, script: bytes, height: int, is_coinbase: bool) -> bytes:
    """Give the row's value."""
    return _COIN.pack(height << 1 | is_coinbase, value) + script


def decode_coin(data: bytes) -> Coin:
    """Read the row's value. Raises DecodeError."""
    if len(data) < 12:
        raise UnexpectedEnd(f"a coin row has at least 12 bytes, this has {len(data)}")
    height, value = _COIN.unpack_from(data)
    return Coin(value, data[12:], height >> 1, bool(height & 1))


def get_coin(view: Reads, outpoint: OutPoint) -> Coin | None:
    """Look up an unspent output."""
    data = view.get(COIN_PREFIX + outpoint)
    return None if data is None else decode_coin(data)


def scan_coins(view: Reads) -> Iterator[tuple[OutPoint, Coin]]:
    """Give the whole set in outpoint order."""
    for key, data in view.scan(COIN_PREFIX):
        yield OutPoint(key[1:]), decode_coin(data)


def transaction_row(height: int, position: int) -> bytes:
    """Give the value of a transaction index row."""
    return _PLACE.pack(height, position)


def find_transaction(view: Reads, txid: TxHash) -> tuple[int, int] | None:
    """Give (height, position in the block) of a confirmed transaction, if the index is kept."""
    data = view.get(TRANSACTION_PREFIX + txid)
    if data is None:
        return None
    if len(data) != _PLACE.size:
        raise UnexpectedEnd("a transaction row has 8 bytes")
    height, position = _PLACE.unpack(data)
    return height, position


def median_time_key(height: int) -> bytes:
    """Give the key of a height's median time row."""
    return MEDIAN_TIME_PREFIX + height.to_bytes(4, "big")


def encode_median_time(time: int) -> bytes:
    """Give the row's value."""
    return _TIME.pack(time)


def get_median_time(view: Reads, height: int) -> int:
    """Give the median time of the best chain's block at `height`. Raises DecodeError when it has none."""
    data = view.get(median_time_key(height))
    if data is None or len(data) != 4:
        raise UnexpectedEnd(f"no median time is stored for height {height}")
    return int.from_bytes(data, "little")


def address_key(script: bytes, height: int, outpoint: bytes) -> bytes:
    """Give the key of an address index row."""
    return b"".join((ADDRESS_PREFIX, bytes((len(script),)), script, height.to_bytes(4, "big"), outpoint))


def spent_row(row: bytes, spender: bytes, index: int, height: int) -> bytes:
    """Give an address row's value after its output was spent."""
    return row[:12] + _SPENT.pack(spender, index, height)


class Spender(NamedTuple):
    """Who spent an output."""

    txid: TxHash
    vin: int
    height: int


class AddressRow(NamedTuple):
    """An output that an address received, and who spent it."""

    outpoint: OutPoint
    value: int
    height: int
    is_coinbase: bool
    spender: Spender | None


def scan_address(view: Reads, script: bytes) -> Iterator[AddressRow]:
    """Give all outputs that ever paid `script`, oldest first, if the index is kept. Raises DecodeError."""
    for key, data in view.scan(ADDRESS_PREFIX + bytes((len(script),)) + script):
        if len(data) not in (12, 12 + _SPENT.size):
            raise UnexpectedEnd(f"an address row has 12 or 52 bytes, this has {len(data)}")
        height, value = _COIN.unpack_from(data)
        spender = None
        if len(data) > 12:
            txid, index, spent_height = _SPENT.unpack_from(data, 12)
            spender = Spender(TxHash(txid), index, spent_height)
        yield AddressRow(OutPoint(key[-36:]), value, height >> 1, bool(height & 1), spender)
