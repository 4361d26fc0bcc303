"""Merged mining: the AuxPoW record in Namecoin's format, and all of Namecoin's checks.

The record proves that work done on another chain was done for our header: our hash is a leaf of a chain
Merkle tree, whose root stands in the parent's coinbase, which is a leaf of the parent block's tree.
"""

from dataclasses import dataclass

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.pow import errors
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.codec import Reader, compact
from ioex_chain.primitives.errors import OverCap
from ioex_chain.primitives.merkle import branch_root

MAX_RECORD = 4_096
MAX_PARENT_COINBASE = 2_048
MAX_DEPTH = 30
MERGED_MINING_HEADER = b"\xfa\xbemm"


@dataclass(frozen=True, slots=True)
class AuxPow:
    """Namecoin's CAuxPow, in the order in which it is sent.

    Branches run from the leaf upwards; `parent` is the parent chain's 80-byte header.
    """

    coinbase: Transaction
    parent_hash: bytes
    coinbase_branch: tuple[bytes, ...]
    coinbase_index: int
    chain_branch: tuple[bytes, ...]
    chain_index: int
    parent: bytes

    @classmethod
    def read(cls, reader: Reader) -> "AuxPow":
        """Read a record off the front. Raises DecodeError, before allocating above the caps."""
        start = reader.offset
        coinbase = Transaction.read(Reader(reader.data[start : start + MAX_PARENT_COINBASE]))
        reader.take(coinbase.size)
        parent_hash = reader.take(32)
        coinbase_branch, coinbase_index = _read_branch(reader)
        chain_branch, chain_index = _read_branch(reader)
        record = cls(
            coinbase,
            parent_hash,
            coinbase_branch,
            coinbase_index,
            chain_branch,
            chain_index,
            reader.take(80),
        )
        if reader.offset - start > MAX_RECORD:
            raise OverCap(
                f"an AuxPoW record of {reader.offset - start} bytes is above the cap of {MAX_RECORD}"
            )
        return record

    def encode(self) -> bytes:
        """Give the bytes that `read` reads."""
        return b"".join(
            (
                self.coinbase.raw,
                self.parent_hash,
                _encode_branch(self.coinbase_branch, self.coinbase_index),
                _encode_branch(self.chain_branch, self.chain_index),
                self.parent,
            )
        )

    @property
    def proof_hash(self) -> bytes:
        """The hash that must meet our header's target: the parent header's."""
        return sha256d(self.parent)


def _read_branch(reader: Reader) -> tuple[tuple[bytes, ...], int]:
    # One more than the rule allows, so that "too long" is the rule's own error and not the decoder's.
    depth = reader.compact(MAX_DEPTH + 1)
    branch = tuple(reader.take(32) for _ in range(depth))
    return branch, reader.uint32()


def _encode_branch(branch: tuple[bytes, ...], index: int) -> bytes:
    return compact(len(branch)) + b"".join(branch) + index.to_bytes(4, "little")


def chain_id(version: int) -> int:
    """Give the chain id that a header version carries: its upper 16 bits."""
    return version >> 16


def expected_index(nonce: int, chain: int, depth: int) -> int:
    """Give the leaf at which a chain must stand in a tree of 2**depth leaves (Namecoin's rule)."""
    value = (nonce * 1103515245 + 12345) & 0xFFFFFFFF
    value = (value + chain) & 0xFFFFFFFF
    value = (value * 1103515245 + 12345) & 0xFFFFFFFF
    return value % (1 << depth)


def check_auxpow(record: AuxPow, block_hash: bytes, our_chain: int) -> None:
    """Raise AuxPowError unless the record commits to `block_hash`. The target is checked elsewhere."""
    if record.coinbase.size > MAX_PARENT_COINBASE or len(record.encode()) > MAX_RECORD:
        raise errors.AuxPowTooLarge(
            f"a record is at most {MAX_RECORD} bytes, its coinbase {MAX_PARENT_COINBASE}"
        )
    if record.coinbase_index != 0:
        raise errors.AuxPowNotGenerate("the parent transaction's index is not 0")
    if chain_id(int.from_bytes(record.parent[:4], "little")) == our_chain:
        raise errors.AuxPowChainId("the parent block carries our own chain id")
    if len(record.chain_branch) > MAX_DEPTH or len(record.coinbase_branch) > MAX_DEPTH:
        raise errors.AuxPowBranchTooLong(f"a Merkle branch is deeper than {MAX_DEPTH}")
    if record.coinbase.wtxid != record.coinbase.txid:
        raise errors.AuxPowMerkleRoot("the parent coinbase is written with its witness")
    if branch_root(record.coinbase.txid, record.coinbase_branch, 0) != record.parent[36:68]:
        raise errors.AuxPowMerkleRoot("the parent coinbase is not in the parent block")
    if not record.coinbase.inputs:
        raise errors.AuxPowNoInput("the parent coinbase has no input")
    root = branch_root(block_hash, record.chain_branch, record.chain_index)[::-1]
    _check_commitment(record, record.coinbase.inputs[0].script, root, our_chain)


def _check_commitment(record: AuxPow, script: bytes, root: bytes, our_chain: int) -> None:
    header_at = script.find(MERGED_MINING_HEADER)
    root_at = script.find(root)
    if root_at < 0:
        raise errors.AuxPowRootMissing("the parent coinbase does not carry the chain Merkle root")
    if header_at >= 0:
        if script.find(MERGED_MINING_HEADER, header_at + 1) >= 0:
            raise errors.AuxPowManyHeaders("the parent coinbase has two merged-mining headers")
        if header_at + len(MERGED_MINING_HEADER) != root_at:
            raise errors.AuxPowHeaderPlace("the merged-mining header is not just before the root")
    elif root_at > 20:
        raise errors.AuxPowRootTooLate("without a merged-mining header the root begins in the first 20 bytes")
    tail = script[root_at + 32 : root_at + 40]
    if len(tail) < 8:
        raise errors.AuxPowSizeMissing("tree size and nonce do not follow the root")
    depth = len(record.chain_branch)
    if int.from_bytes(tail[:4], "little") != 1 << depth:
        raise errors.AuxPowTreeSize(f"the tree size is not 2**{depth}")
    nonce = int.from_bytes(tail[4:], "little")
    if record.chain_index != expected_index(nonce, our_chain, depth):
        raise errors.AuxPowChainIndex("the chain stands at the wrong leaf of the tree")
