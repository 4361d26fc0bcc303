"""A block: header, AuxPoW record if there is one, transactions."""

from collections.abc import Sequence

from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.codec import Reader, compact
from ioex_chain.primitives.errors import OverCap
from ioex_chain.primitives.types import BlockHash

MAX_BLOCK_SIZE = 8_000_000
"""Bytes of header, AuxPoW record and transactions with witnesses (docs/protocol.md section 1)."""
MAX_BLOCK_TRANSACTIONS = 10_000
"""With the coinbase (docs/protocol.md section 1)."""


class Block:
    """A header and its transactions. Treat it as immutable."""

    __slots__ = ("header", "raw", "transactions")

    def __init__(self, header: Header, transactions: tuple[Transaction, ...], raw: bytes) -> None:
        self.header = header
        self.transactions = transactions
        self.raw = raw

    @classmethod
    def build(cls, header: Header, transactions: Sequence[Transaction]) -> "Block":
        """Make a block from its parts."""
        body = b"".join(transaction.raw for transaction in transactions)
        return cls(header, tuple(transactions), header.encode() + compact(len(transactions)) + body)

    @classmethod
    def decode(cls, data: bytes) -> "Block":
        """Read a block that must use every byte.

        Raises DecodeError; one above the size or transaction cap is refused before it is parsed.
        """
        if len(data) > MAX_BLOCK_SIZE:
            raise OverCap(f"a block of {len(data)} bytes is above the cap of {MAX_BLOCK_SIZE}")
        reader = Reader(data)
        header = Header.read(reader)
        count = reader.compact(MAX_BLOCK_TRANSACTIONS)
        read = Transaction.read
        transactions = tuple([read(reader) for _ in range(count)])
        reader.finish()
        return cls(header, transactions, data)

    @property
    def hash(self) -> BlockHash:
        """The header's hash."""
        return self.header.hash

    @property
    def size(self) -> int:
        """Bytes, with everything: what the limit counts."""
        return len(self.raw)

    def encode(self) -> bytes:
        """Give the bytes that `decode` reads."""
        return self.raw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.header.hash)
