"""Votes, certificates and evidence (docs/protocol.md section 4): values; their bytes stand in `codec`."""

from dataclasses import dataclass

from ioex_chain.dpos.header import SealedHeader
from ioex_chain.primitives.types import BlockHash


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A block by hash and height, as votes name it."""

    hash: BlockHash
    height: int


@dataclass(frozen=True, slots=True)
class Link:
    """What a vote says: from a justified source to a target, in the name of set `set_number`."""

    set_number: int
    source: Checkpoint
    target: Checkpoint


@dataclass(frozen=True, slots=True)
class Vote:
    """One member's vote; `signature` is 65 bytes (r, s, y parity; low S) over `seal.vote_digest`."""

    link: Link
    signature: bytes


@dataclass(frozen=True, slots=True)
class Certificate:
    """Votes of at least a quorum of distinct members for one link.

    `signers` has bit i set for member i of the set; `signatures` follow in rising order of i.
    """

    link: Link
    signers: int
    signatures: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SealEvidence:
    """Two different headers that one key sealed for one slot."""

    one: SealedHeader
    other: SealedHeader


@dataclass(frozen=True, slots=True)
class VoteEvidence:
    """Two votes of one key: different with one target height, or one surrounding the other."""

    one: Vote
    other: Vote


Evidence = SealEvidence | VoteEvidence
