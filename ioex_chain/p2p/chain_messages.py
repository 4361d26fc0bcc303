"""What a chain's peers tell each other (docs/protocol.md section 9.3). Sizes and rates stand in `table`.

Headers, blocks and transactions are opaque byte strings: each chain reads its own. `read` raises DecodeError.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple, Self

from ioex_chain.p2p.wire import (
    encode_hashes,
    encode_items,
    read_flag,
    read_hashes,
    read_items,
    read_uint16s,
)
from ioex_chain.primitives.codec import Reader, compact, sized
from ioex_chain.primitives.errors import NotCanonical

MAX_LOCATOR = 64
MAX_HEADERS = 2_000
MAX_HEADER_BYTES = 4_300
"""Above any chain's header with its proofs (an AuxPoW record has at most 4,096 bytes)."""
MAX_GET_BLOCKS = 128
MAX_ANNOUNCED_HEADERS = 8
MAX_BLOCK_BYTES = 8_000_000
MAX_BLOCK_TRANSACTIONS = 10_000
MAX_PREFILLED = 1_000
MAX_TRANSACTION_IDS = 1_000
MAX_PREFILLED_BYTES = 1_000_000
MAX_TRANSACTION_BYTES = 3_000_000
"""A settlement of the PoW chain may have as many; what else peers relay is far smaller."""
SHORT_ID_BYTES = 6


@dataclass(frozen=True, slots=True)
class GetHeaders:
    """Asks for the headers after the first hash of `locator` that is on the other's best chain.

    `locator` runs from the newest downwards; `stop` is the last wanted hash, zeros for as many as fit.
    """

    locator: tuple[bytes, ...]
    stop: bytes = bytes(32)
    type: ClassVar[int] = 16

    def encode(self) -> bytes:
        """Give the payload."""
        return encode_hashes(self.locator) + self.stop

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(read_hashes(reader, MAX_LOCATOR), reader.take(32))


@dataclass(frozen=True, slots=True)
class Headers:
    """Headers, each on the one before. `more`: the sender's best chain goes on."""

    items: tuple[bytes, ...]
    more: bool
    type: ClassVar[int] = 17

    def encode(self) -> bytes:
        """Give the payload."""
        return bytes((self.more,)) + encode_items(self.items)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        more = read_flag(reader)
        return cls(read_items(reader, MAX_HEADERS, MAX_HEADER_BYTES), more)


@dataclass(frozen=True, slots=True)
class GetBlocks:
    """Asks for whole blocks: each is answered by itself, in this order, with BlockData or NotFound."""

    hashes: tuple[bytes, ...]
    type: ClassVar[int] = 18

    def encode(self) -> bytes:
        """Give the payload."""
        return encode_hashes(self.hashes)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(read_hashes(reader, MAX_GET_BLOCKS))


@dataclass(frozen=True, slots=True)
class BlockData:
    """A whole block; which one, its header says."""

    raw: bytes
    type: ClassVar[int] = 19

    def encode(self) -> bytes:
        """Give the payload."""
        return self.raw

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(reader.take(reader.left))


@dataclass(frozen=True, slots=True)
class NotFound:
    """The sender has not got what message type `request` asked for by this block hash."""

    request: int
    hash: bytes
    type: ClassVar[int] = 20

    def encode(self) -> bytes:
        """Give the payload."""
        return bytes((self.request,)) + self.hash

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(reader.uint8(), reader.take(32))


@dataclass(frozen=True, slots=True)
class Announce:
    """The newest headers of a chain that the sender now prefers, oldest first; it has their blocks."""

    headers: tuple[bytes, ...]
    type: ClassVar[int] = 21

    def encode(self) -> bytes:
        """Give the payload."""
        return encode_items(self.headers)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(read_items(reader, MAX_ANNOUNCED_HEADERS, MAX_HEADER_BYTES))


class Prefilled(NamedTuple):
    """A transaction that a compact block carries whole, at its place in the block."""

    place: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class CompactBlock:
    """A block by short ids (docs/protocol.md section 9.4) of the transactions that it does not carry whole.

    `nonce` (uint64) keys the short ids; the places of `prefilled` rise.
    """

    header: bytes
    nonce: int
    short_ids: tuple[bytes, ...]
    prefilled: tuple[Prefilled, ...]
    type: ClassVar[int] = 22

    def encode(self) -> bytes:
        """Give the payload."""
        return b"".join(
            (
                sized(self.header),
                self.nonce.to_bytes(8, "little"),
                compact(len(self.short_ids)),
                *self.short_ids,
                compact(len(self.prefilled)),
                *(place.to_bytes(2, "little") + sized(raw) for place, raw in self.prefilled),
            )
        )

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        header = reader.sized(MAX_HEADER_BYTES)
        nonce = reader.uint64()
        count = reader.compact(MAX_BLOCK_TRANSACTIONS)
        ids = reader.take(count * SHORT_ID_BYTES)
        places = range(0, len(ids), SHORT_ID_BYTES)
        prefilled = tuple(
            Prefilled(reader.uint16(), reader.sized(MAX_PREFILLED_BYTES))
            for _ in range(reader.compact(MAX_PREFILLED))
        )
        if any(one.place >= other.place for one, other in pairwise(prefilled)):
            raise NotCanonical("the places do not rise")
        return cls(header, nonce, tuple([ids[at : at + SHORT_ID_BYTES] for at in places]), prefilled)


@dataclass(frozen=True, slots=True)
class GetCompact:
    """Asks for a block in compact form: answered with CompactBlock or NotFound."""

    hash: bytes
    type: ClassVar[int] = 23

    def encode(self) -> bytes:
        """Give the payload."""
        return self.hash

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(reader.take(32))


@dataclass(frozen=True, slots=True)
class GetBlockTransactions:
    """Asks for some transactions of a block, by rising index: BlockTransactions or NotFound."""

    hash: bytes
    indexes: tuple[int, ...]
    type: ClassVar[int] = 24

    def encode(self) -> bytes:
        """Give the payload."""
        return b"".join(
            (self.hash, compact(len(self.indexes)), *(index.to_bytes(2, "little") for index in self.indexes))
        )

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        hash_ = reader.take(32)
        indexes = read_uint16s(reader, MAX_BLOCK_TRANSACTIONS)
        if any(one >= other for one, other in pairwise(indexes)):
            raise NotCanonical("the indexes do not rise")
        return cls(hash_, indexes)


@dataclass(frozen=True, slots=True)
class BlockTransactions:
    """The transactions that GetBlockTransactions asked for, in its order."""

    hash: bytes
    items: tuple[bytes, ...]
    type: ClassVar[int] = 25

    def encode(self) -> bytes:
        """Give the payload."""
        return self.hash + encode_items(self.items)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(reader.take(32), read_items(reader, MAX_BLOCK_TRANSACTIONS, MAX_BLOCK_BYTES))


@dataclass(frozen=True, slots=True)
class SendCompact:
    """Asks the other to push new blocks in compact form at once (True), or to announce headers (False)."""

    push: bool
    type: ClassVar[int] = 26

    def encode(self) -> bytes:
        """Give the payload."""
        return bytes((self.push,))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(read_flag(reader))


@dataclass(frozen=True, slots=True)
class AnnounceTransactions:
    """Transactions that the sender has, by the hash over all their bytes (wtxid)."""

    ids: tuple[bytes, ...]
    type: ClassVar[int] = 32

    def encode(self) -> bytes:
        """Give the payload."""
        return encode_hashes(self.ids)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(read_hashes(reader, MAX_TRANSACTION_IDS))


@dataclass(frozen=True, slots=True)
class GetTransactions:
    """Asks for transactions by wtxid, and for parents by txid. One Transactions message answers."""

    ids: tuple[bytes, ...]
    parents: tuple[bytes, ...] = ()
    type: ClassVar[int] = 33

    def encode(self) -> bytes:
        """Give the payload."""
        return encode_hashes(self.ids) + encode_hashes(self.parents)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(read_hashes(reader, MAX_TRANSACTION_IDS), read_hashes(reader, MAX_TRANSACTION_IDS))


@dataclass(frozen=True, slots=True)
class Transactions:
    """Those of the asked transactions that the sender has and that fit, in the order of the request."""

    items: tuple[bytes, ...]
    type: ClassVar[int] = 34

    def encode(self) -> bytes:
        """Give the payload."""
        return encode_items(self.items)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(read_items(reader, 2 * MAX_TRANSACTION_IDS, MAX_TRANSACTION_BYTES))


@dataclass(frozen=True, slots=True)
class FeeFilter:
    """Asks not to be told of transactions below this fee rate, in units per 1,000 bytes."""

    rate: int
    type: ClassVar[int] = 35

    def encode(self) -> bytes:
        """Give the payload."""
        return self.rate.to_bytes(8, "little")

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(reader.uint64())
