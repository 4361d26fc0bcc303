"""Whatever is signed with our keys reaches the signer, also for blocks that are on no best chain."""

from dataclasses import replace

import pytest
from unit.dpos.finality_world import BLANK, Toy, World
from unit.dpos.signer_world import GENESIS, KEYS, ONE, SCHEDULE, THREE, TWO, Machine

from ioex_chain.dpos import seal, signing_errors
from ioex_chain.dpos.ears import Ears
from ioex_chain.dpos.finality_ports import RecoveredSignatures, RememberedSignatures
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.dpos.signer import Signer
from ioex_chain.dpos.votes import Certificate, Link, Vote
from ioex_chain.primitives.types import BlockHash

SET = ArbitratorSet(0, tuple(Member(key, key) for key in (ONE, TWO, THREE)))


class Deaf(Machine):
    """A node whose finality tells its signer what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(SET)
        self.world.finality._signatures = RememberedSignatures(RecoveredSignatures(GENESIS))
        self.signer: Signer = self.ready()

        def slot_of(hash_: BlockHash) -> int | None:
            found = self.world.entry(hash_)
            return None if found is None else found.slot

        self.world.finality.heard = Ears(self.signer, SCHEDULE, slot_of)
        self.slot += 10

    def vote(self, link: Link, number: int) -> Vote:
        """A vote that another process with the same key gives."""
        return Vote(link, KEYS[number].sign(seal.vote_digest(GENESIS, link)))

    def block(self) -> Toy:
        return self.world.make(self.world.genesis, slot=self.slot)


@pytest.mark.parametrize("connected", [True, False])
def test_a_twins_vote_is_heard(connected: bool) -> None:
    node = Deaf()
    block = node.world.know(node.block())
    if connected:
        node.world.connect(block)
    node.world.finality.on_vote(node.vote(node.world.link(block), 0))
    assert node.signer.twin_of(ONE)
    assert not node.signer.twin_of(TWO)


def test_a_twins_vote_in_a_certificate_is_heard() -> None:
    node = Deaf()
    block = node.world.know(node.block())
    link = node.world.link(block)
    signatures = tuple(node.vote(link, number).signature for number in range(3))
    node.world.finality.on_certificate(Certificate(link, 0b111, signatures))
    assert node.signer.twin_of(THREE)


def test_a_vote_for_an_unknown_block_raises_the_floor() -> None:
    node = Deaf()
    link = node.world.link(node.block())
    node.world.finality.on_vote(node.vote(link, 0))
    assert node.signer.twin_of(ONE) is None
    _, refused = node.signer.sign_votes([ONE], link)
    assert isinstance(refused[0][1], signing_errors.HeightTaken)


def test_a_twins_seal_is_heard_and_ours_is_not_a_twins() -> None:
    node = Deaf()
    ours = node.header()
    mine = SealedHeader(ours, node.signer.sign_seal(ONE, ours))
    node.world.finality.on_header(mine)
    assert node.signer.twin_of(ONE) is None
    other = replace(BLANK, timestamp=SCHEDULE.slot_start(node.slot), extra_data=b"twin")
    digest = seal.seal_digest(GENESIS, other.hash)
    outcome = node.world.finality.on_header(SealedHeader(other, KEYS[0].sign(digest)))
    assert node.signer.twin_of(ONE)
    assert len(outcome.evidence) == 1


def test_signatures_are_recovered_once() -> None:
    asked = []

    class Counting(RecoveredSignatures):
        def voter(self, vote: Vote) -> bytes:
            asked.append(vote)
            return super().voter(vote)

    node = Deaf()
    signatures = RememberedSignatures(Counting(GENESIS), size=2)
    votes = [node.vote(node.world.link(node.block()), number) for number in range(3)]
    assert [signatures.voter(vote) for vote in [*votes[:2], *votes[:2]]] == [ONE, TWO, ONE, TWO]
    assert len(asked) == 2
    assert [signatures.voter(vote) for vote in (votes[2], votes[0])] == [THREE, ONE]
    assert len(asked) == 4
