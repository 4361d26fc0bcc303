"""What peers of the DPoS chain tell each other of finality (docs/protocol.md section 9.6).

Votes, certificates and evidence are opaque byte strings here: the chain reads them. Nothing is asked for:
each is told once to every peer that is not known to have it. `read` raises DecodeError.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

from ioex_chain.p2p.wire import encode_items, read_items
from ioex_chain.primitives.codec import Reader

MAX_VOTES = 256
MAX_VOTE_BYTES = 200
"""Above any vote: a link of two hashes and three integers, and a signature."""
MAX_CERTIFICATE_BYTES = 9_000
"""Above a certificate of 128 voters."""
MAX_EVIDENCE_BYTES = 2_200
"""Above two sealed headers."""


@dataclass(frozen=True, slots=True)
class Votes:
    """Votes for blocks above the final one."""

    items: tuple[bytes, ...]
    type: ClassVar[int] = 64

    def encode(self) -> bytes:
        """Give the payload."""
        return encode_items(self.items)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(read_items(reader, MAX_VOTES, MAX_VOTE_BYTES))


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate."""

    raw: bytes
    type: ClassVar[int] = 65

    def encode(self) -> bytes:
        """Give the payload."""
        return self.raw

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(reader.take(reader.left))


@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """Evidence against an arbitrator."""

    raw: bytes
    type: ClassVar[int] = 66

    def encode(self) -> bytes:
        """Give the payload."""
        return self.raw

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload."""
        return cls(reader.take(reader.left))
