"""Certificates (docs/protocol.md section 4): put together from votes, checked, taken apart again. Pure."""

from collections.abc import Mapping

from ioex_chain.dpos import seal, vote_errors
from ioex_chain.dpos.finality_ports import Signatures
from ioex_chain.dpos.sets import ArbitratorSet
from ioex_chain.dpos.votes import Certificate, Link, Vote


def assemble(link: Link, votes: Mapping[bytes, Vote], members: ArbitratorSet) -> Certificate | None:
    """Make the certificate of a link out of votes by key; None while they are fewer than the quorum."""
    if len(votes) < members.quorum:
        return None
    signers, signatures = 0, []
    if not members.is_quorum(votes):
        return None
    for position, member in enumerate(members.voters):
        vote = votes.get(member.key)
        if vote is not None:
            signers |= 1 << position
            signatures.append(vote.signature)
    return Certificate(link, signers, tuple(signatures))


def take_apart(certificate: Certificate) -> tuple[tuple[int, Vote], ...]:
    """Give the votes of a certificate, each with the member's position. Raises SignatureCount."""
    signers = certificate.signers
    positions = [position for position in range(signers.bit_length()) if signers >> position & 1]
    if len(positions) != len(certificate.signatures):
        raise vote_errors.SignatureCount(
            f"the certificate names {len(positions)} members and carries "
            f"{len(certificate.signatures)} signatures"
        )
    return tuple(
        (position, Vote(certificate.link, signature))
        for position, signature in zip(positions, certificate.signatures, strict=True)
    )


def check(certificate: Certificate, members: ArbitratorSet, signatures: Signatures) -> dict[bytes, Vote]:
    """Check count, quorum and every signature against a set; give the votes by key, in member order.

    Whether the link is the right one is the caller's to check. Raises InvalidCertificate's subclasses.
    """
    if certificate.link.set_number != members.number:
        raise vote_errors.WrongLink(
            f"the certificate is of set {certificate.link.set_number}, in force is {members.number}"
        )
    voters = members.voters
    if certificate.signers < 0 or certificate.signers >> len(voters):
        raise vote_errors.UnknownSigner(f"set {members.number} has {len(voters)} voters")
    votes = take_apart(certificate)
    if not members.is_quorum({voters[position].key for position, _ in votes}):
        both = " and of the set before" if members.before else ""
        raise vote_errors.NoQuorum(f"{len(votes)} votes are not the quorum of {members.quorum}{both}")
    found = {}
    for position, vote in votes:
        key = voters[position].key
        if _voter(vote, signatures) != key:
            raise vote_errors.WrongMember(f"the signature of member {position} is not by its key")
        found[key] = vote
    return found


def _voter(vote: Vote, signatures: Signatures) -> bytes | None:
    try:
        return signatures.voter(vote)
    except seal.BadSignature:
        return None
