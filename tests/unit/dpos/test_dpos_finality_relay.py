"""Votes, certificates and evidence between nodes (docs/protocol.md section 9.6)."""

from dataclasses import replace

import pytest
from chaingen.dpos_forge import KEYS, private_key
from dpos_gossip_world import Node, World

from ioex_chain.dpos import codec
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.votes import Checkpoint, SealEvidence, Vote
from ioex_chain.gossip import finality_relay
from ioex_chain.gossip.finality_relay import FLUSH
from ioex_chain.p2p import chain_messages as m
from ioex_chain.p2p.finality_messages import MAX_VOTES, Certificate, EvidenceItem, Votes
from ioex_chain.p2p.seam import Offence
from ioex_chain.primitives.types import BlockHash


def joined(count: int, *, ring: bool = False) -> World:
    """Give nodes in a line, or all joined to all, at genesis and synced."""
    world = World(count)
    for at, one in enumerate(world.nodes):
        for other in world.nodes[at + 1 :] if ring else world.nodes[at + 1 : at + 2]:
            world.connect(one, other)
    world.pass_time(1)
    return world


def grown(world: World, count: int) -> list[Block]:
    """Give all nodes a chain of so many blocks."""
    chain = world.forge.grow(world.forge.genesis, count)
    world.nodes[0].give(*chain)
    world.pass_time(2)
    assert all(node.ledger.head.hash == chain[-1].header.hash for node in world.nodes)
    return chain


def of(votes: list[Vote]) -> Votes:
    return Votes(tuple(map(codec.encode_vote, votes)))


def at(block: Block) -> Checkpoint:
    return Checkpoint(block.header.hash, block.header.header.number)


# --- the way of a vote --------------------------------------------------------------------------------------


def test_votes_reach_everybody_and_make_finality_without_another_block() -> None:
    world = joined(3)
    first, second = grown(world, 2)
    for node, vote in zip([*world.nodes, world.nodes[0]], world.all_votes(first), strict=True):
        node.vote(vote)
    world.pass_time(1)
    assert [node.finality.justified for node in world.nodes] == [at(first)] * 3
    for node, vote in zip(world.nodes, world.all_votes(second), strict=False):
        node.vote(vote)
    world.pass_time(1)
    assert [node.finality.justified.height for node in world.nodes] == [2, 2, 2]
    assert [node.finality.finalised.height for node in world.nodes] == [0, 0, 0], "their source was genesis"
    third = world.forge.extend(second, certificate=world.forge.certificate(first))
    world.nodes[1].give(third)
    world.pass_time(1)
    for node, vote in zip(world.nodes, world.all_votes(third), strict=False):
        node.vote(vote)
    world.pass_time(1)
    assert [node.finality.justified for node in world.nodes] == [at(third)] * 3
    assert [node.offences for node in world.nodes] == [[], [], []]


def test_a_flood_of_the_same_votes_goes_to_each_peer_once() -> None:
    world = joined(4, ring=True)
    (first,) = grown(world, 1)
    votes = world.all_votes(first)[:2]
    for _ in range(20):
        for node in world.nodes:
            node.vote(*votes)
    world.pass_time(1)
    carried = [item for _, message in world.carried if isinstance(message, Votes) for item in message.items]
    assert len(carried) <= 2 * 12, "a vote takes each of the six links at most once in each direction"
    assert all(len(node.finality.votes()) == 2 for node in world.nodes)


def test_what_is_told_again_is_not_sent_again() -> None:
    world = World(1)
    node = world.nodes[0]
    (block,) = world.forge.grow(world.forge.genesis, 1)
    node.give(block)
    peer = node.peer()
    outcome = node.follower.on_votes(world.all_votes(block)[:1])[0]
    for _ in range(3):
        node.gossip.told(outcome)
        world.pass_time(2 * FLUSH)
    assert len(peer.take(Votes)) == 1


def test_who_tells_of_an_unknown_target_is_asked_for_its_headers() -> None:
    world = World(1)
    node = world.nodes[0]
    block = world.forge.extend(world.forge.genesis)
    peer = node.peer()
    node.hear(peer, m.Headers((), more=False))
    world.pass_time(1)
    peer.take(m.GetHeaders)
    node.hear(peer, Certificate(codec.encode_certificate(world.forge.certificate(block))))
    assert len(peer.take(m.GetHeaders)) == 1


def test_votes_are_gathered() -> None:
    world = joined(2)
    chain = grown(world, 20)
    node, peer = world.nodes[0], world.nodes[0].peer()
    peer.take(Votes)
    votes = [vote for block in chain for vote in world.all_votes(block)]
    for vote in votes:
        node.vote(vote)
    world.pass_time(2 * FLUSH)
    messages = peer.take(Votes)
    assert sum(len(message.items) for message in messages) == len(votes)
    assert len(messages) <= 3


def test_a_vote_for_an_unknown_block_waits_and_is_told_when_it_came() -> None:
    world = joined(2)
    node, other = world.nodes
    block = world.forge.extend(world.forge.genesis)
    peer = node.peer()
    node.hear(peer, of(world.all_votes(block)))
    world.pass_time(1)
    assert world.count(Votes, other) == 0
    assert peer.offences == []
    node.give(block)
    world.pass_time(1)
    assert other.finality.justified == node.finality.justified == at(block)
    assert world.count(Votes, other) == 1


# --- a newcomer ---------------------------------------------------------------------------------------------


def test_a_newcomer_catches_up_finality_without_a_block() -> None:
    world = World(2)
    old, new = world.nodes
    chain = world.forge.grow(world.forge.genesis, 6, final=True)
    for node in (old, new):
        node.give(*chain)
    old.follower.on_certificate(world.forge.certificate(chain[-1]))
    world.time.settle()
    assert (old.finality.finalised.height, new.finality.finalised.height) == (5, 4)
    world.connect(new, old)
    world.pass_time(0.5)
    assert new.finality.finalised == old.finality.finalised
    assert new.ledger.floor.height == 5


def test_a_newcomer_is_told_votes_that_are_not_yet_enough() -> None:
    world = World(2)
    old, new = world.nodes
    (block,) = world.forge.grow(world.forge.genesis, 1)
    for node in (old, new):
        node.give(block)
    votes = world.all_votes(block)
    old.vote(*votes[:2])
    world.connect(new, old)
    world.pass_time(0.5)
    new.vote(votes[2])
    assert new.finality.justified == at(block)


def test_a_wrong_vote_that_is_kept_as_proof_is_told_to_nobody() -> None:
    world = World(1)
    node = world.nodes[0]
    chain = world.forge.grow(world.forge.genesis, 3, final=True)
    node.give(*chain)
    link = world.forge.link(chain[2])
    wrong = replace(link, source=at(world.forge.genesis))
    key = world.forge.members_at(chain[2]).members[0].key
    liar = node.peer()
    node.hear(liar, of([world.forge.vote(wrong, KEYS[key])]))
    assert liar.offences == [Offence.DOUBTFUL_VOTE]
    told = [vote for message in node.peer().take(Votes) for vote in message.items]
    assert told
    assert codec.encode_vote(world.forge.vote(wrong, KEYS[key])) not in told


# --- faults -------------------------------------------------------------------------------------------------


def test_what_nobody_of_the_set_signed_is_the_senders_fault() -> None:
    world = World(1)
    node = world.nodes[0]
    (block,) = world.forge.grow(world.forge.genesis, 1)
    node.give(block)
    link = world.forge.link(block)
    good = world.all_votes(block)[0]
    certificate = world.forge.certificate(block)
    short = replace(certificate, signers=0b11, signatures=certificate.signatures[:2])
    swapped = replace(certificate, signatures=certificate.signatures[::-1])
    nothing = SealEvidence(block.header, block.header)
    cases = [
        of([Vote(link, bytes(65))]),
        of([replace(good, signature=good.signature[:64] + b"\x02")]),
        of([world.forge.vote(link, private_key(40))]),
        Certificate(codec.encode_certificate(short)),
        Certificate(codec.encode_certificate(swapped)),
        EvidenceItem(codec.encode_evidence(nothing)),
    ]
    for message in cases:
        peer = node.peer()
        node.hear(peer, message)
        assert peer.offences == [Offence.INVALID_VOTE], message
    assert node.finality.justified.height == 0


def test_what_cannot_be_read_is_malformed() -> None:
    world = World(1)
    for message in (Votes((b"\xc0",)), Certificate(b""), EvidenceItem(b"\xc3\x01\x80\x80")):
        peer = world.nodes[0].peer()
        world.nodes[0].hear(peer, message)
        assert peer.offences == [Offence.MALFORMED]


def test_votes_far_ahead_are_not_kept() -> None:
    world = World(1)
    node = world.nodes[0]
    (block,) = world.forge.grow(world.forge.genesis, 1)
    node.give(block)
    link = replace(world.forge.link(block), target=Checkpoint(block.header.hash, 5_000))
    peer = node.peer()
    node.hear(peer, of([world.forge.vote(link, private_key(0))]))
    assert peer.offences == []
    assert node.finality.votes() == ()


def strangers(world: World, block: Block, first: int, count: int) -> list[Vote]:
    """Give votes of a set that is not known, for blocks that are not either."""
    link = replace(world.forge.link(block), set_number=9)
    targets = [Checkpoint(BlockHash(at.to_bytes(32, "big")), 2) for at in range(first, first + count)]
    return [world.forge.vote(replace(link, target=target), private_key(60)) for target in targets]


def test_votes_of_unknown_sets_are_looked_at_in_vain_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who goes on is to blame; one who is ahead by a set, and tells what it greets with, is not."""
    monkeypatch.setattr(finality_relay, "DOUBTS", 40)
    world = World(1)
    node = world.nodes[0]
    (block,) = world.forge.grow(world.forge.genesis, 1)
    node.give(block)
    asked = 0
    voter = node.finality._signatures.voter

    def counted(vote: Vote) -> bytes:
        nonlocal asked
        asked += 1
        return voter(vote)

    monkeypatch.setattr(node.finality._signatures, "voter", counted)
    honest, hostile = node.peer(), node.peer()
    node.hear(honest, of(strangers(world, block, 0, 40)))
    for at in range(8):
        node.hear(hostile, of(strangers(world, block, 100 + 20 * at, 20)))
    assert asked == 80  # both their whole budget, and not one more
    assert (honest.offences, hostile.offences) == ([], [Offence.FLOOD] * 3)
    node.hear(honest, of(strangers(world, block, 300, 4)))
    assert asked == 80
    certificate = Certificate(codec.encode_certificate(world.forge.certificate(block)))
    node.hear(hostile, certificate)  # it says too much in vain for anything to be read
    assert node.finality.justified.height == 0
    world.pass_time(30)  # three slots: the votes of a whole set for three blocks
    node.hear(honest, of(strangers(world, block, 400, 12)))
    assert asked == 92
    good = world.all_votes(block)[0]
    node.hear(honest, of([good]))
    assert node.finality.votes() == (good,)
    node.hear(honest, certificate)
    assert node.finality.justified.height == 1
    assert Offence.FLOOD not in honest.offences


def test_a_peer_that_does_not_read_is_told_no_more() -> None:
    world = joined(2)
    (block,) = grown(world, 1)
    node = world.nodes[0]
    peer = node.peer()
    peer.backlog = 1 << 30
    node.vote(*world.all_votes(block))
    world.pass_time(1)
    assert peer.take(Votes) == peer.take(Certificate) == []


# --- evidence -----------------------------------------------------------------------------------------------


def test_two_seals_for_one_slot_become_evidence_that_everybody_has() -> None:
    world = joined(3)
    one = world.forge.extend(world.forge.genesis)
    twin = world.forge.make(world.forge.genesis, extra_data=b"twin")
    peer = world.nodes[0].peer()
    world.nodes[0].hear(peer, m.Headers((), more=False))
    for block in (one, twin):
        world.nodes[0].hear(peer, m.Announce((block.header.encode(),)))
    world.pass_time(1)
    assert [len(node.finality.evidence()) for node in world.nodes] == [1, 1, 1]
    assert world.count(EvidenceItem) == 2
    assert peer.offences == []
    newcomer = world.nodes[2].peer()
    assert len(newcomer.take(EvidenceItem)) == 1


def test_two_votes_for_one_height_become_evidence() -> None:
    world = joined(2)
    one = world.forge.extend(world.forge.genesis)
    other = world.forge.extend(world.forge.genesis, slot=2)
    for node in world.nodes:
        node.give(one, other)
    key = world.forge.members_at(one).members[0].key
    for block in (one, other):
        world.nodes[0].vote(world.forge.vote(world.forge.link(block), KEYS[key]))
    world.pass_time(1)
    assert [len(node.finality.evidence()) for node in world.nodes] == [1, 1]


# --- branches -----------------------------------------------------------------------------------------------


def two_branches(world: World) -> tuple[list[Block], list[Block]]:
    """Give a long branch, and a shorter one whose first blocks are justified by its payloads."""
    base = world.forge.grow(world.forge.genesis, 2)
    long = [*base, *world.forge.grow(base[-1], 8)]
    fork = world.forge.extend(base[-1], slot=world.forge.slot(long[-1]) + 1)
    certificate = world.forge.certificate(fork)
    return long, [*base, fork, world.forge.extend(fork, certificate=certificate)]


def test_a_lower_branch_that_is_justified_wins_everywhere() -> None:
    world = World(2)
    one, other = world.nodes
    long, short = two_branches(world)
    one.give(*long)
    other.give(*short)
    world.connect(one, other)
    world.pass_time(3)
    assert one.ledger.head.hash == other.ledger.head.hash == short[-1].header.hash
    assert one.finality.justified == at(short[-2])
    assert one.offences == other.offences == []


def test_the_branch_is_fetched_for_a_certificate_alone() -> None:
    """Its blocks are not better by height, and its payloads say nothing."""
    world = World(2)
    one, other = world.nodes
    base = world.forge.grow(world.forge.genesis, 2)
    long = [*base, *world.forge.grow(base[-1], 8)]
    fork = world.forge.extend(base[-1], slot=world.forge.slot(long[-1]) + 1)
    one.give(*long)
    other.give(*base, fork)
    other.follower.on_certificate(world.forge.certificate(fork))
    world.time.settle()
    world.connect(one, other)
    world.pass_time(3)
    assert one.ledger.head.hash == fork.header.hash
    assert one.offences == other.offences == []


def test_a_peer_that_goes_over_to_a_lower_branch_gives_it_to_others() -> None:
    """It had the higher branch before, and told of it."""
    world = joined(2)
    one, other = world.nodes
    base = world.forge.grow(world.forge.genesis, 2)
    long = [*base, *world.forge.grow(base[-1], 8)]
    fork = world.forge.extend(base[-1], slot=world.forge.slot(long[-1]) + 1)
    one.give(*long)
    world.pass_time(2)
    assert other.ledger.head.height == 10
    other.give(fork)
    other.vote(*world.all_votes(fork))
    world.pass_time(3)
    assert one.ledger.head.hash == other.ledger.head.hash == fork.header.hash
    assert one.offences == other.offences == []


def test_a_branch_that_was_the_worse_one_is_asked_of_who_told_of_it() -> None:
    world = World(1)
    node = world.nodes[0]
    long, short = two_branches(world)
    node.give(*long)
    teller, judge = node.peer(head=node.ledger.head), node.peer()
    for peer in (teller, judge):
        node.hear(peer, m.Headers((), more=False))
    node.hear(teller, m.Announce((short[2].header.encode(),)))
    assert teller.take(m.GetBlocks) == []
    node.hear(judge, Certificate(codec.encode_certificate(world.forge.certificate(short[2]))))
    assert [request.hashes for request in teller.take(m.GetBlocks)] == [(short[2].header.hash,)]
    node.hear(teller, m.BlockData(short[2].raw))
    assert node.ledger.head.hash == short[2].header.hash


def test_a_certificate_in_a_block_of_a_side_branch_is_looked_at() -> None:
    world = World(1)
    node = world.nodes[0]
    long, short = two_branches(world)
    node.give(*long)
    peer = node.peer(head=None)
    node.hear(peer, m.Headers((), more=False))
    node.give(short[2])
    assert node.ledger.head.hash == long[-1].header.hash
    node.gossip.intake.block(peer, lambda: short[3], lambda verdict: None)
    world.time.settle()
    assert node.finality.justified == at(short[2])
    assert node.ledger.head.hash == short[-1].header.hash


def test_more_votes_than_a_message_holds_come_in_several() -> None:
    world = World(1)
    node: Node = world.nodes[0]
    chain = world.forge.grow(world.forge.genesis, 100)
    node.give(*chain)
    node.vote(*(vote for block in chain[-80:] for vote in world.all_votes(block)))
    messages = node.peer().take(Votes)
    assert sum(len(message.items) for message in messages) == 320
    assert max(len(message.items) for message in messages) == MAX_VOTES
