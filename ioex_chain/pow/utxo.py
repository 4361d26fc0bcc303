"""The UTXO set and its two indexes as rows of the ledger's state.

`schema` in the ledger lists the prefixes. The rows are written through the view, so that undo and
reorganisation cover the indexes as well.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ioex_chain.pow.transaction import TxOut
from ioex_chain.primitives.types import OutPoint, TxHash

COIN_PREFIX = b"u"
"""u + outpoint(36) -> uint32 height * 2 + coinbase, uint64 value, script."""
TRANSACTION_PREFIX = b"t"
"""t + txid(32) -> uint32 height, uint32 position in the block."""
ADDRESS_PREFIX = b"a"
"""a + length(1) + script + uint32 BE height + outpoint(36) -> uint32 height * 2 + coinbase, uint64 value,
and once spent: spender's txid(32), uint32 input, uint32 height."""

_COIN = struct.Struct("<IQ")
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
    """Read the row's value."""
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
    height, position = _PLACE.unpack(data)
    return height, position


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
    """Give all outputs that ever paid `script`, oldest first, if the index is kept."""
    for key, data in view.scan(ADDRESS_PREFIX + bytes((len(script),)) + script):
        height, value = _COIN.unpack_from(data)
        spender = None
        if len(data) > 12:
            txid, index, spent_height = _SPENT.unpack_from(data, 12)
            spender = Spender(TxHash(txid), index, spent_height)
        yield AddressRow(OutPoint(key[-36:]), value, height >> 1, bool(height & 1), spender)
