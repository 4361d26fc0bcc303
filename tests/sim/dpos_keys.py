"""Keys of simulated arbitrators: signatures that are hashes, since who may sign what is the subject here.

Nobody makes another's signature: `SimKey` is the only way to one, and each node has its own.
"""

from hashlib import sha256

from ioex_chain.dpos import seal
from ioex_chain.dpos.consensus import DposEngine
from ioex_chain.dpos.header import Header, SealedHeader
from ioex_chain.dpos.seal import BadSignature
from ioex_chain.dpos.votes import Link, Vote


def address_of(number: int) -> bytes:
    return sha256(b"simulated arbitrator" + number.to_bytes(4, "big")).digest()[:20]


def payout_of(number: int) -> bytes:
    return sha256(b"simulated payout" + number.to_bytes(4, "big")).digest()[:20]


def member_row(number: int) -> list[str]:
    """One entry of a tiny `rank` transaction."""
    return [address_of(number).hex(), payout_of(number).hex()]


def _signature(address: bytes, digest: bytes) -> bytes:
    return address + sha256(address + digest).digest() + bytes(13)


class SimKey:
    """Takes the place of `signer.SigningKey`."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.address = address_of(number)

    def sign(self, digest: bytes) -> bytes:
        return _signature(self.address, digest)

    def vote(self, genesis: bytes, link: Link) -> Vote:
        return Vote(link, self.sign(seal.vote_digest(genesis, link)))

    def seal(self, genesis: bytes, header: Header) -> bytes:
        return self.sign(seal.seal_digest(genesis, header.hash))


class SimSignatures:
    """`finality_ports.Signatures` of a whole world; what was checked once is remembered."""

    def __init__(self, genesis: bytes) -> None:
        self._genesis = genesis
        self._votes: dict[bytes, Link] = {}
        self._seals: dict[bytes, bytes] = {}

    def voter(self, vote: Vote) -> bytes:
        known = self._votes.get(vote.signature)
        if known is vote.link or known == vote.link:
            return vote.signature[:20]
        self._check(vote.signature, seal.vote_digest(self._genesis, vote.link))
        self._votes[vote.signature] = vote.link
        return vote.signature[:20]

    def sealer(self, header: SealedHeader) -> bytes:
        if self._seals.get(header.seal) != header.hash:
            self._check(header.seal, seal.seal_digest(self._genesis, header.hash))
            self._seals[header.seal] = header.hash
        return header.seal[:20]

    def _check(self, signature: bytes, digest: bytes) -> None:
        if signature != _signature(signature[:20], digest):
            raise BadSignature("no key can have made this signature")


class SimEngine(DposEngine):
    """The engine with the simulation's seals."""

    signatures: SimSignatures

    def sealer(self, header: SealedHeader) -> bytes:
        return self.signatures.sealer(header)
