"""Evidence of double signing (docs/protocol.md section 4): what proves what, against whom. Pure.

An offence is named by (key, kind, position), so that it counts once however many pairs prove it. The two
items of a proof stand in one order (header hash; encoded link), so that a pair has one form.
"""

from collections.abc import Container
from dataclasses import dataclass
from enum import IntEnum

from ioex_chain.dpos import vote_errors
from ioex_chain.dpos.finality_ports import Signatures
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.votes import Evidence, Link, SealEvidence, Vote, VoteEvidence


class OffenceKind(IntEnum):
    """What was done; the number is the one that the registry contract keeps."""

    DOUBLE_SEAL = 0
    DOUBLE_VOTE = 1
    SURROUND_VOTE = 2


@dataclass(frozen=True, slots=True, order=True)
class Offence:
    """One punishable act: counted once per (key, kind, position)."""

    key: bytes
    """20-byte address of the key that signed twice."""
    kind: OffenceKind
    position: int
    """Start time of the slot for seals; for votes the (lower, when surrounding) target height."""


def link_order(link: Link) -> tuple[int, int, bytes, int, bytes]:
    """Give what votes are ordered by in evidence: set, target height and hash, source height and hash."""
    source, target = link.source, link.target
    return link.set_number, target.height, target.hash, source.height, source.hash


def surrounds(outer: Link, inner: Link) -> bool:
    """Whether one vote spans another: earlier source and later target (Casper FFG's second condition)."""
    return outer.source.height < inner.source.height and inner.target.height < outer.target.height


def conflict(one: Link, other: Link) -> OffenceKind | None:
    """Give the rule that one key breaks by voting for both links, or None."""
    if one == other:
        return None
    if one.target.height == other.target.height:
        return OffenceKind.DOUBLE_VOTE
    if surrounds(one, other) or surrounds(other, one):
        return OffenceKind.SURROUND_VOTE
    return None


def of_votes(one: Vote, other: Vote) -> VoteEvidence:
    """Put two conflicting votes of one key into their one order."""
    return VoteEvidence(*sorted((one, other), key=lambda vote: link_order(vote.link)))


def of_seals(one: SealedHeader, other: SealedHeader) -> SealEvidence:
    """Put two headers of one key and slot into their one order."""
    return SealEvidence(*sorted((one, other), key=lambda header: header.hash))


def offence(item: Evidence, signatures: Signatures) -> Offence:
    """Check what an item proves by itself; give who did what. Raises InvalidEvidence, BadSignature."""
    if isinstance(item, SealEvidence):
        return _double_seal(item, signatures)
    return _double_vote(item, signatures)


def name(key: bytes, item: Evidence) -> Offence:
    """Name what a sound item proves against its key; nothing is checked."""
    if isinstance(item, SealEvidence):
        return Offence(key, OffenceKind.DOUBLE_SEAL, item.one.header.timestamp)
    one, other = item.one.link, item.other.link
    same = one.target.height == other.target.height
    kind = OffenceKind.DOUBLE_VOTE if same else OffenceKind.SURROUND_VOTE
    return Offence(key, kind, min(one.target.height, other.target.height))


def check(item: Evidence, members: Container[bytes], signatures: Signatures) -> Offence:
    """Check an item of a payload; `members` holds the keys that can be judged.

    Raises InvalidEvidence's subclasses and BadSignature. That an offence counts once is for the state.
    """
    found = offence(item, signatures)
    if found.key not in members:
        raise vote_errors.NotInTheSet(f"0x{found.key.hex()} has no seat in the set that judges")
    return found


def _double_seal(item: SealEvidence, signatures: Signatures) -> Offence:
    one, other = item.one, item.other
    if one.hash == other.hash:
        raise vote_errors.SameSigned("both headers are the same")
    if one.hash > other.hash:
        raise vote_errors.NotOrdered("the header with the lower hash stands first")
    if one.header.timestamp != other.header.timestamp:
        raise vote_errors.DifferentSlots("the headers belong to different slots")
    key = signatures.sealer(one)
    if key != signatures.sealer(other):
        raise vote_errors.DifferentKeys("the headers were sealed by different keys")
    return name(key, item)


def _double_vote(item: VoteEvidence, signatures: Signatures) -> Offence:
    one, other = item.one.link, item.other.link
    if one == other:
        raise vote_errors.SameSigned("both votes are the same")
    if link_order(one) > link_order(other):
        raise vote_errors.NotOrdered("the votes stand in the order of set, target and source")
    if conflict(one, other) is None:
        raise vote_errors.NoConflict("the votes have different target heights and none surrounds the other")
    key = signatures.voter(item.one)
    if key != signatures.voter(item.other):
        raise vote_errors.DifferentKeys("the votes were given by different keys")
    return name(key, item)
