"""A tree of small blocks with faked signatures: a signature begins with the signer's address."""

from dataclasses import dataclass, field, replace
from hashlib import sha256

from ioex_chain.dpos.block import Payload
from ioex_chain.dpos.finality import Finality
from ioex_chain.dpos.finality_ports import checkpoint
from ioex_chain.dpos.header import EMPTY_OMMERS_HASH, Header, SealedHeader
from ioex_chain.dpos.seal import BadSignature
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.dpos.votes import Certificate, Checkpoint, Evidence, Link, Vote
from ioex_chain.primitives.types import BlockHash

BLANK = Header(
    parent_hash=BlockHash(bytes(32)),
    ommers_hash=EMPTY_OMMERS_HASH,
    beneficiary=bytes(20),
    state_root=bytes(32),
    transactions_root=bytes(32),
    receipts_root=bytes(32),
    logs_bloom=bytes(256),
    difficulty=0,
    number=0,
    gas_limit=1,
    gas_used=0,
    timestamp=0,
    extra_data=b"",
    mix_hash=bytes(32),
    nonce=bytes(8),
    base_fee=1,
    withdrawals_root=bytes(32),
    blob_gas_used=0,
    excess_blob_gas=0,
    parent_beacon_root=bytes(32),
    requests_hash=bytes(32),
)


def key(number: int) -> bytes:
    return number.to_bytes(20, "big")


def members(*numbers: int, number: int = 0) -> ArbitratorSet:
    return ArbitratorSet(number, tuple(Member(key(one), key(one)) for one in numbers))


def vote_of(link: Link, number: int, salt: int = 0) -> Vote:
    return Vote(link, key(number) + bytes(44) + bytes([salt]))


def sealed(number: int, timestamp: int, extra: bytes = b"") -> SealedHeader:
    header = replace(BLANK, timestamp=timestamp, extra_data=extra)
    return SealedHeader(header, key(number) + bytes(45))


class FakeSignatures:
    """Believes the first 20 bytes; a signature of 0xff bytes has no signer. Counts what it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def _signer(self, signature: bytes) -> bytes:
        self.asked += 1
        if signature[:1] == b"\xff":
            raise BadSignature("no key can have made this signature")
        return signature[:20]

    def voter(self, vote: Vote) -> bytes:
        return self._signer(vote.signature)

    def sealer(self, header: SealedHeader) -> bytes:
        return self._signer(header.seal)


@dataclass(eq=False)
class Toy:
    hash: BlockHash
    height: int
    slot: int
    parent: "Toy | None"
    payload: Payload = field(default_factory=Payload)
    members: ArbitratorSet = field(default_factory=lambda: members(0))

    @property
    def justified(self) -> Checkpoint:
        """What the rule says: the highest target of a certificate in this branch."""
        if self.parent is None:
            return checkpoint(self)
        if self.payload.certificate is not None:
            return self.payload.certificate.link.target
        return self.parent.justified

    @property
    def finalised(self) -> Checkpoint:
        if self.parent is None:
            return checkpoint(self)
        carried = self.payload.certificate
        if carried is not None and carried.link.source.height + 1 == carried.link.target.height:
            return carried.link.source
        return self.parent.finalised


def below(entry: Toy, height: int) -> Toy:
    while entry.height > height:
        assert entry.parent is not None
        entry = entry.parent
    return entry


class World:
    """One node's view: which headers it knows, which blocks it connected, and its finality."""

    def __init__(self, arbitrators: ArbitratorSet, genesis: Toy | None = None) -> None:
        self.genesis = genesis or Toy(BlockHash(bytes(32)), 0, 0, None, members=arbitrators)
        self.sets = {arbitrators.number: arbitrators}
        self.known: dict[BlockHash, Toy] = {self.genesis.hash: self.genesis}
        self.connected = {self.genesis.hash}
        self.signatures = FakeSignatures()
        self.finality: Finality[Toy] = Finality(self, self, self.signatures, self.genesis, self.genesis)

    def entry(self, hash_: BlockHash) -> Toy | None:
        return self.known.get(hash_)

    def ancestor(self, entry: Toy, height: int) -> Toy:
        return below(entry, height)

    def set_at(self, entry: Toy) -> ArbitratorSet | None:
        return entry.members if entry.hash in self.connected else None

    def justified_at(self, entry: Toy) -> Checkpoint | None:
        return entry.justified if entry.hash in self.connected else None

    def finalised_at(self, entry: Toy) -> Checkpoint | None:
        return entry.finalised if entry.hash in self.connected else None

    def set_numbered(self, number: int) -> ArbitratorSet | None:
        return self.sets.get(number)

    def make(
        self,
        parent: Toy,
        name: str = "",
        *,
        certificate: Certificate | None = None,
        evidence: tuple[Evidence, ...] = (),
        arbitrators: ArbitratorSet | None = None,
        slot: int | None = None,
    ) -> Toy:
        """Make a block that nobody knows yet."""
        slot = parent.slot + 1 if slot is None else slot
        digest = sha256(parent.hash + name.encode() + slot.to_bytes(8, "big")).digest()
        payload = Payload(certificate, evidence)
        return Toy(BlockHash(digest), parent.height + 1, slot, parent, payload, arbitrators or parent.members)

    def know(self, toy: Toy) -> Toy:
        self.known[toy.hash] = toy
        return toy

    def add(self, parent: Toy, name: str = "", *, certificate: Certificate | None = None) -> Toy:
        """Make a block and connect it."""
        toy = self.know(self.make(parent, name, certificate=certificate))
        self.connect(toy)
        return toy

    def connect(self, toy: Toy):  # type: ignore[no-untyped-def]
        self.connected.add(toy.hash)
        return self.finality.on_block(toy, toy.payload)

    def link(self, target: Toy) -> Link:
        return Link(target.members.number, target.justified, checkpoint(target))

    def certificate(self, target: Toy, *numbers: int, link: Link | None = None) -> Certificate:
        link = link or self.link(target)
        keys = [member.key for member in target.members.members]
        places = sorted(keys.index(key(number)) for number in numbers)
        signatures = tuple(Vote(link, keys[place] + bytes(45)).signature for place in places)
        return Certificate(link, sum(1 << place for place in places), signatures)
