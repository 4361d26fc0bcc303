"""The 80-byte header, and the AuxPoW record that follows it when version bit 8 is set."""

import struct

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.pow.auxpow import AuxPow
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.types import BlockHash

HEADER_SIZE = 80
AUXPOW_BIT = 0x100
_LAYOUT = struct.Struct("<I32s32sIII")


class Header:
    """Bitcoin's block header: version, parent, Merkle root, time, bits, nonce; perhaps an AuxPoW record.

    Treat it as immutable. `hash` is over the 80 bytes alone: an AuxPoW record is not part of the identity.
    """

    __slots__ = ("auxpow", "bits", "core", "hash", "merkle_root", "nonce", "parent_hash", "time", "version")

    def __init__(self, core: bytes, auxpow: AuxPow | None = None) -> None:
        self.core = core
        self.auxpow = auxpow
        version, parent, self.merkle_root, self.time, self.bits, self.nonce = _LAYOUT.unpack(core)
        self.version: int = version
        self.parent_hash = BlockHash(parent)
        self.hash = BlockHash(sha256d(core))

    @classmethod
    def build(
        cls, version: int, parent_hash: bytes, merkle_root: bytes, time: int, bits: int, nonce: int
    ) -> "Header":
        """Make a native header from its fields."""
        return cls(_LAYOUT.pack(version, parent_hash, merkle_root, time, bits, nonce))

    @classmethod
    def read(cls, reader: Reader) -> "Header":
        """Read the 80 bytes and, with version bit 8 set, the AuxPoW record. Raises DecodeError."""
        core = reader.take(HEADER_SIZE)
        return cls(core, AuxPow.read(reader) if core[1] & 1 else None)

    @classmethod
    def decode(cls, data: bytes) -> "Header":
        """Read a header that must use every byte. Raises DecodeError."""
        if len(data) == HEADER_SIZE and not data[1] & 1:
            return cls(data)
        reader = Reader(data)
        header = cls.read(reader)
        reader.finish()
        return header

    @property
    def is_merged(self) -> bool:
        """Whether version bit 8 says that work was done on another chain."""
        return bool(self.version & AUXPOW_BIT)

    def encode(self) -> bytes:
        """Give the bytes that `decode` reads."""
        return self.core + self.auxpow.encode() if self.auxpow else self.core

    def with_nonce(self, nonce: int) -> "Header":
        """Give the same header with another nonce."""
        return Header(self.core[:76] + nonce.to_bytes(4, "little"), self.auxpow)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Header) and self.encode() == other.encode()

    def __hash__(self) -> int:
        return hash(self.hash)
