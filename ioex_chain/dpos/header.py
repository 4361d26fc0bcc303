"""The header and its seal (docs/protocol.md section 4): Ethereum's Prague header, RLP, keccak256."""

from dataclasses import dataclass
from functools import cached_property

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.primitives import rlp
from ioex_chain.primitives.types import BlockHash

SEAL_SIZE = 65
EMPTY_OMMERS_HASH = bytes.fromhex("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347")
"""keccak256(rlp([]))."""


def _uint(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


@dataclass(frozen=True)
class Header:
    """A header; fields in their order on the wire. Hashes 32 bytes, addresses 20, amounts wei, times Unix."""

    parent_hash: BlockHash
    ommers_hash: bytes
    beneficiary: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    difficulty: int
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    mix_hash: bytes
    nonce: bytes
    base_fee: int
    withdrawals_root: bytes
    blob_gas_used: int
    excess_blob_gas: int
    parent_beacon_root: bytes
    requests_hash: bytes

    def fields(self) -> list[bytes]:
        """Give the RLP items."""
        return [
            self.parent_hash,
            self.ommers_hash,
            self.beneficiary,
            self.state_root,
            self.transactions_root,
            self.receipts_root,
            self.logs_bloom,
            _uint(self.difficulty),
            _uint(self.number),
            _uint(self.gas_limit),
            _uint(self.gas_used),
            _uint(self.timestamp),
            self.extra_data,
            self.mix_hash,
            self.nonce,
            _uint(self.base_fee),
            self.withdrawals_root,
            _uint(self.blob_gas_used),
            _uint(self.excess_blob_gas),
            self.parent_beacon_root,
            self.requests_hash,
        ]

    def encode(self) -> bytes:
        """Give the header's RLP: what its hash is over."""
        return rlp.encode_list([rlp.encode_string(field) for field in self.fields()])

    @cached_property
    def hash(self) -> BlockHash:
        """keccak256 of the header's RLP: the block's identity; the seal is not in it."""
        return BlockHash(keccak256(self.encode()))


@dataclass(frozen=True)
class SealedHeader:
    """A header and its producer's seal: what the ledger and peers call the header of this chain."""

    header: Header
    seal: bytes
    """65 bytes; empty in genesis."""

    @property
    def hash(self) -> BlockHash:
        """The block's identity."""
        return self.header.hash

    @property
    def parent_hash(self) -> BlockHash:
        """The block before it."""
        return self.header.parent_hash

    def encode(self) -> bytes:
        """Give rlp([header, seal])."""
        return rlp.encode_list([self.header.encode(), rlp.encode_string(self.seal)])
