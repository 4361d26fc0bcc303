"""Proofs that a transaction is in a block: Bitcoin's CMerkleBlock (BIP-37's partial Merkle tree)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.ledger.types import Entry
from ioex_chain.pow.block import MAX_BLOCK_TRANSACTIONS
from ioex_chain.pow.header import Header
from ioex_chain.primitives.codec import Reader, compact
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash, display
from ioex_chain.rpc.errors import Code, ParameterError
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.pow.params import HashBytes, HexError, HexParam, decode_failed, from_hex, not_found
from ioex_chain.rpc.pow.reader import ChainReader
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.registry import method

GROUP = "blockchain"


class BadProof(DecodeError):
    """A partial Merkle tree that does not lead to one root in one way."""


@dataclass(slots=True)
class PartialTree:
    """A Merkle tree of `count` leaves from which all branches without a match are cut.

    `hashes` and `bits` in depth-first order: a bit says whether the node is an ancestor of a match (or the
    match); a node without, or a leaf, has its hash in the list.
    """

    count: int
    hashes: list[bytes] = field(default_factory=list)
    bits: list[bool] = field(default_factory=list)

    def width(self, height: int) -> int:
        """Count the nodes at a height; leaves have height 0."""
        return (self.count + (1 << height) - 1) >> height

    @property
    def depth(self) -> int:
        """Height of the root."""
        height = 0
        while self.width(height) > 1:
            height += 1
        return height

    @classmethod
    def build(cls, leaves: Sequence[bytes], matches: Sequence[bool]) -> "PartialTree":
        """Cut a block's tree down to what the matches need."""
        tree = cls(len(leaves))
        levels = [list(leaves)]
        marks = [list(matches)]
        while len(levels[-1]) > 1:
            levels.append(_pairs(levels[-1]))
            below = marks[-1]
            marks.append([any(below[at : at + 2]) for at in range(0, len(below), 2)])
        tree._descend(levels, marks, tree.depth, 0)
        return tree

    def _descend(self, levels: list[list[bytes]], marks: list[list[bool]], height: int, at: int) -> None:
        parent_of_match = marks[height][at]
        self.bits.append(parent_of_match)
        if height == 0 or not parent_of_match:
            self.hashes.append(levels[height][at])
            return
        self._descend(levels, marks, height - 1, at * 2)
        if at * 2 + 1 < self.width(height - 1):
            self._descend(levels, marks, height - 1, at * 2 + 1)

    def encode(self) -> bytes:
        """Give the bytes of CPartialMerkleTree."""
        packed = bytearray((len(self.bits) + 7) // 8)
        for place, bit in enumerate(self.bits):
            packed[place >> 3] |= bit << (place & 7)
        hashes = compact(len(self.hashes)) + b"".join(self.hashes)
        return self.count.to_bytes(4, "little") + hashes + compact(len(packed)) + bytes(packed)

    @classmethod
    def read(cls, reader: Reader) -> "PartialTree":
        """Read what `encode` gives. Raises DecodeError."""
        count = reader.uint32()
        if not 0 < count <= MAX_BLOCK_TRANSACTIONS:
            raise BadProof(f"a block has 1 to {MAX_BLOCK_TRANSACTIONS} transactions, not {count}")
        hashes = [reader.take(32) for _ in range(reader.compact(count))]
        packed = reader.sized(count // 2 + 8)
        bits = [bool(byte >> place & 1) for byte in packed for place in range(8)]
        return cls(count, hashes, bits)

    def extract(self) -> tuple[bytes, list[bytes]]:
        """Give the root and the matched leaves. Raises BadProof unless every bit and hash is used."""
        walk = _Walk(self)
        root = walk.node(self.depth, 0)
        if walk.hash_at != len(self.hashes) or (walk.bit_at + 7) // 8 != (len(self.bits) + 7) // 8:
            raise BadProof("the proof has more than it needs")
        if any(self.bits[walk.bit_at :]):
            raise BadProof("the proof's last byte has bits that mean nothing")
        return root, walk.matches


class _Walk:
    def __init__(self, tree: PartialTree) -> None:
        self.tree = tree
        self.bit_at = self.hash_at = 0
        self.matches: list[bytes] = []

    def node(self, height: int, at: int) -> bytes:
        if self.bit_at >= len(self.tree.bits):
            raise BadProof("the proof has too few bits")
        parent_of_match = self.tree.bits[self.bit_at]
        self.bit_at += 1
        if height == 0 or not parent_of_match:
            return self._take(matched=height == 0 and parent_of_match)
        left = self.node(height - 1, at * 2)
        if at * 2 + 1 >= self.tree.width(height - 1):
            return sha256d(left + left)
        right = self.node(height - 1, at * 2 + 1)
        if left == right:
            raise BadProof("two branches are the same (CVE-2012-2459)")
        return sha256d(left + right)

    def _take(self, *, matched: bool) -> bytes:
        if self.hash_at >= len(self.tree.hashes):
            raise BadProof("the proof has too few hashes")
        taken = self.tree.hashes[self.hash_at]
        self.hash_at += 1
        if matched:
            self.matches.append(taken)
        return taken


def _pairs(level: list[bytes]) -> list[bytes]:
    padded = [*level, level[-1]] if len(level) & 1 else level
    return [sha256d(padded[at] + padded[at + 1]) for at in range(0, len(padded), 2)]


TxidsParam = Annotated[
    list[HashBytes], Field(min_length=1, max_length=MAX_BLOCK_TRANSACTIONS), Param("ids, all of one block")
]


class ProofsApi:
    """Makes and checks proofs."""

    def __init__(self, backend: PowBackend, reader: ChainReader) -> None:
        self._ledger = backend.ledger
        self._reader = reader

    @method(
        "gettxoutproof",
        group=GROUP,
        thread=True,
        errors=(Code.INVALID_ADDRESS_OR_KEY, Code.INVALID_PARAMETER),
    )
    def gettxoutproof(
        self,
        txids: TxidsParam,
        blockhash: Annotated[HashBytes | None, Param("the block; without it the index finds it")] = None,
    ) -> str:
        """Give a proof in hex (CMerkleBlock) that transactions are in a block."""
        if len(set(txids)) != len(txids):
            raise ParameterError("txids", "Invalid parameter, duplicated txid")
        entry = self._reader.require(blockhash) if blockhash is not None else self._block_of(txids)
        leaves = [bytes(tx.txid) for tx in self._reader.body(entry).transactions]
        wanted = set(txids)
        if not wanted.issubset(leaves):
            raise not_found("Not all transactions found in specified or retrieved block")
        tree = PartialTree.build(leaves, [leaf in wanted for leaf in leaves])
        return (entry.header.encode() + tree.encode()).hex()

    def _block_of(self, txids: Sequence[bytes]) -> Entry[Header]:
        for txid in txids:
            found = self._reader.find(txid)
            if found is not None:
                return found[1]
        raise not_found("Transaction not yet in block")

    @method(
        "verifytxoutproof",
        group=GROUP,
        thread=True,
        errors=(Code.DESERIALIZATION_ERROR, Code.INVALID_ADDRESS_OR_KEY),
    )
    def verifytxoutproof(self, proof: Annotated[HexParam, Param("what gettxoutproof gave")]) -> list[str]:
        """Give the ids that a proof commits to; none when it does not lead to its header's root.

        The header must be on the best chain of this node.
        """
        try:
            reader = Reader(from_hex(proof))
            header = Header.read(reader)
            tree = PartialTree.read(reader)
            reader.finish()
        except (DecodeError, HexError) as error:
            raise decode_failed("Proof", error) from None
        try:
            root, matches = tree.extract()
        except BadProof:
            return []
        if root != header.merkle_root:
            return []
        self._check_place(header, tree)
        return [display(match) for match in matches]

    def _check_place(self, header: Header, tree: PartialTree) -> None:
        """Check that the block is ours and has as many transactions as the proof says."""
        entry = self._ledger.entry(BlockHash(header.hash))
        if entry is None or not self._ledger.is_on_best_chain(entry):
            raise not_found("Block not found in chain")
        if self._reader.transaction_count(entry) != tree.count:
            raise not_found("The proof's number of transactions is not the block's")
