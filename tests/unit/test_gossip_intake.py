"""The door into the ledger: what becomes of headers and blocks, and who is blamed."""

import pytest
from chaingen.builder import edit_coinbase, solve
from chaingen.specs import story_spec
from gossip_sync_world import ChainBuilder, FakePeer, Node, Offence, Time, hello

from ioex_chain.gossip.intake import Outcome, outcome_of
from ioex_chain.ledger.errors import StoreFull
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.primitives.errors import IoexError


class World:
    def __init__(self):
        self.builder = ChainBuilder(story_spec())
        self.time = Time()
        self.node = Node(self.builder, self.time)
        self.peer = FakePeer(1, hello())

    def take(self, make, peer=None):
        verdicts = []
        self.node.intake.block(peer or self.peer, make, verdicts.append, size=1_000)
        assert verdicts == []
        self.time.settle()
        return verdicts[0]

    def outcome(self, block, peer=None):
        return self.take(lambda: block, peer).outcome

    def headers(self, *headers):
        answers = []
        self.node.intake.headers(self.peer, headers, lambda *answer: answers.append(answer))
        self.time.settle()
        return answers[0]


@pytest.fixture
def world():
    return World()


def test_each_fate_of_a_block(world):
    builder = world.builder
    a1, b1 = builder.block(builder.genesis), builder.block(builder.genesis)
    a2 = builder.block(a1)
    a3 = builder.block(a2)
    assert world.outcome(a1) is Outcome.ACCEPTED
    assert world.outcome(a1) is Outcome.KNOWN
    assert world.outcome(b1) is Outcome.STORED
    assert world.outcome(a3) is Outcome.UNKNOWN_PARENT
    world.headers(a2.header)
    assert world.outcome(a3) is Outcome.STORED
    assert world.outcome(a2) is Outcome.ACCEPTED
    assert world.node.ledger.head.hash == a3.hash
    assert world.peer.offences == []


def test_each_fault_of_a_block(world):
    builder, peer = world.builder, world.peer
    good = builder.block(builder.genesis)
    assert world.outcome(Block.build(good.header, builder.block(good).transactions)) is Outcome.MUTATED
    assert peer.offences == [Offence.MUTATED_BLOCK]
    assert world.outcome(builder.block(builder.genesis, bits=0x2000FFFF)) is Outcome.INVALID_HEADER
    assert peer.offences[1:] == [Offence.INVALID_HEADER]
    bad = builder.block(builder.genesis, fees=1)
    assert world.outcome(bad) is Outcome.INVALID_BLOCK
    assert peer.offences[2:] == [Offence.INVALID_BLOCK]
    assert world.outcome(bad) is Outcome.KNOWN_INVALID
    assert world.outcome(builder.block(bad)) is Outcome.KNOWN_INVALID
    assert world.take(lambda: Block.decode(b"")).outcome is Outcome.MALFORMED
    assert peer.offences[3:] == [Offence.MALFORMED]
    assert world.outcome(good) is Outcome.ACCEPTED


def test_a_body_rule_is_the_senders_fault(world):
    bad = world.builder.block(world.builder.genesis, coinbase=edit_coinbase(script=b"\x51" * 101))
    assert world.outcome(bad) is Outcome.INVALID_BLOCK
    assert world.peer.offences == [Offence.INVALID_BLOCK]


def test_a_block_ahead_of_our_clock_is_nobodys_fault(world):
    before = world.builder.clock.time
    early = world.builder.block(world.builder.genesis, time=before + 601)
    world.builder.clock.time = before
    assert world.outcome(early) is Outcome.NOT_YET_VALID
    told = []
    world.node.intake.too_early = lambda peer, valid_at: told.append((peer, valid_at))
    entries, verdict = world.headers(early.header)
    assert (entries, verdict.outcome) == ([], Outcome.NOT_YET_VALID)
    assert told == [(world.peer, before + 1)]
    assert world.peer.offences == []
    world.builder.clock.advance(1)
    assert world.outcome(early) is Outcome.ACCEPTED


def test_headers_before_the_first_wrong_one_are_taken(world):
    blocks = world.builder.extend(world.builder.genesis, 3)
    bad = solve(Header.build(1, blocks[-1].hash, bytes(32), 0, 0x207FFFFF, 0))
    entries, verdict = world.headers(*(block.header for block in blocks), bad)
    assert [entry.hash for entry in entries] == [block.hash for block in blocks]
    assert verdict.outcome is Outcome.INVALID_HEADER
    assert world.peer.offences == [Offence.INVALID_HEADER]
    entries, verdict = world.headers(world.builder.block(world.builder.block(blocks[0])).header)
    assert (entries, verdict.outcome) == ([], Outcome.UNKNOWN_PARENT)
    assert world.peer.offences == [Offence.INVALID_HEADER]


def test_a_side_branch_found_invalid_when_it_overtakes_is_traced(world):
    builder = world.builder
    other = FakePeer(2, hello())
    for block in builder.extend(builder.genesis, 2):
        world.outcome(block)
    bad = builder.block(builder.genesis, fees=1)
    above = builder.extend(bad, 2)
    assert world.outcome(bad, other) is Outcome.STORED
    assert world.outcome(above[0]) is Outcome.STORED
    assert other.offences == []
    world.outcome(above[1])
    assert other.offences == [Offence.INVALID_BLOCK]
    assert world.peer.offences == []


def test_a_connected_block_is_forgotten(world):
    blocks = world.builder.extend(world.builder.genesis, 5)
    world.headers(*(block.header for block in blocks))
    for block in reversed(blocks):
        world.outcome(block)
    tracer = world.node.intake._tracer
    assert world.node.ledger.head.hash == blocks[-1].hash
    assert (len(world.node.intake._senders), len(tracer._waiting), len(tracer._above)) == (0, 0, 0)


def test_small_blocks_go_to_the_worker_together(world):
    blocks = world.builder.extend(world.builder.genesis, 40)
    calls = []
    run = world.node.chain.run
    world.node.chain.run = lambda *parts: calls.append(1) or run(*parts)
    verdicts = []
    for block in blocks:
        world.node.intake.block(world.peer, lambda block=block: block, verdicts.append, size=len(block.raw))
    assert world.node.intake.waiting_bytes == sum(len(block.raw) for block in blocks)
    world.time.settle()
    assert [verdict.outcome for verdict in verdicts] == [Outcome.ACCEPTED] * 40
    assert world.node.intake.waiting_bytes == 0
    assert len(calls) == 3


def test_a_fault_of_our_own_blames_nobody_and_stops_nothing(world):
    def make():
        raise RuntimeError("a fault in the program")

    assert world.take(make).outcome is Outcome.FAILED
    assert world.peer.offences == []
    assert world.outcome(world.builder.block(world.builder.genesis)) is Outcome.ACCEPTED


def test_a_failing_disk_is_not_taken_for_a_bad_block(world):
    def make():
        raise StoreFull("no room")

    world.node.chain.run = lambda work, done, failed: work()
    with pytest.raises(StoreFull):
        world.node.intake.block(world.peer, make, lambda verdict: None)


def test_an_error_that_is_none_of_the_ledgers_is_raised():
    class Strange(IoexError):
        pass

    with pytest.raises(Strange):
        outcome_of(Strange())
