"""The PoW chain's headers and blocks for the gossip (docs/protocol.md sections 3 and 9)."""

from array import array
from collections.abc import Callable, Sequence
from typing import Any

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.gossip.presync import PowExaminer
from ioex_chain.gossip.wire import AnyLedger
from ioex_chain.ledger.errors import MutatedBlock
from ioex_chain.ledger.types import Entry
from ioex_chain.p2p.chain_messages import MAX_BLOCK_TRANSACTIONS
from ioex_chain.pow.block import Block
from ioex_chain.pow.consensus import check_work
from ioex_chain.pow.errors import PowHeaderError
from ioex_chain.pow.genesis import identity_of
from ioex_chain.pow.header import HEADER_SIZE, Header
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.errors import UnexpectedEnd
from ioex_chain.primitives.merkle import merkle_root
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import NetworkSpec


class WrongProof(MutatedBlock):
    """A block whose AuxPoW record proves no work; that of its stored header does."""


class PowForm:
    """A block's transactions; the coinbase always goes whole."""

    max_items = MAX_BLOCK_TRANSACTIONS
    is_proven = True

    def read_header(self, raw: bytes) -> Header:
        """Read a header with its AuxPoW record."""
        return Header.decode(raw)

    def items(self, block: Block) -> Sequence[Transaction]:
        """Give the transactions."""
        return block.transactions

    def item(self, place: int, raw: bytes) -> Transaction:  # noqa: ARG002 - all places hold the same
        """Read a transaction."""
        return Transaction.decode(raw)

    def id(self, item: Transaction) -> bytes:
        """Give the wtxid."""
        return item.wtxid

    def build(self, header: Header, items: Sequence[Transaction]) -> Block | None:
        """Put the block together if the Merkle root is right."""
        root, mutated = merkle_root([tx.txid for tx in items])
        if mutated or root != header.merkle_root:
            return None
        return Block.build(header, items)

    def bounds(self, block: Block) -> "array[int]":
        """Give where the transactions stand: one after the other, up to the end."""
        at = block.size - sum(tx.size for tx in block.transactions)
        bounds = array("I")
        for tx in block.transactions:
            bounds.extend((at, at + tx.size))
            at += tx.size
        return bounds


POW_FORM = PowForm()


class PowWire:
    """`gossip.wire.ChainWire` of the PoW chain."""

    has_ties = False

    def __init__(self, spec: NetworkSpec) -> None:
        self._spec = spec.pow
        self.form = POW_FORM
        self.identity = identity_of(spec)
        self.activations = spec.pow.activations

    def read_block(self, raw: bytes) -> Block:
        """Read a block."""
        return Block.decode(raw)

    def block_hash(self, raw: bytes) -> BlockHash:
        """Give the hash of the first 80 bytes."""
        if len(raw) < HEADER_SIZE:
            raise UnexpectedEnd("a block shorter than its header")
        return BlockHash(sha256d(raw[:HEADER_SIZE]))

    def time_of(self, header: Header) -> int:
        """Give the header's time."""
        time: int = header.time
        return time

    def valid_at(self, header: Header, now: int) -> int:  # noqa: ARG002 - the time alone makes it wait
        """Say when the header's time is no longer too far ahead."""
        time: int = header.time - self._spec.max_future
        return time

    def check_pushed(self, header: Header) -> None:
        """Check the work: nobody gets attention for less. Raises PowHeaderError."""
        check_work(self._spec, header)

    def with_known_proof(self, block: Block, known: Entry[Any] | None) -> Block:
        """Give the block with the AuxPoW record that is stored with its header.

        The record is not part of the hash, so a sender could put another one, larger or wrong, before an
        honest body. Raises WrongProof for one that proves nothing.
        """
        if known is None or not block.header.is_merged or known.header == block.header:
            return block
        try:
            check_work(self._spec, block.header)
        except PowHeaderError as error:
            raise WrongProof(f"the AuxPoW record is not the header's: {error}") from error
        return Block.build(known.header, block.transactions)

    def examiner(self, ledger: AnyLedger, clock: Callable[[], int]) -> PowExaminer:
        """Give what stores only headers with work behind them."""
        return PowExaminer(self._spec, ledger, clock)

    def arriving(self, block: Block) -> None:
        """Look no further: the first seen wins a tie by the ledger's own count."""

    def saw_headers(self, headers: Sequence[Header]) -> None:
        """Look no further: work says all."""

    def saw_block(self, block: Block) -> None:
        """Look no further: work says all."""
