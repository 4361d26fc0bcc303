"""Answers wait for the peer and for our time: small requests that keep the rates cannot fill the memory."""

import pytest
from chaingen.builder import ChainBuilder
from chaingen.specs import story_spec
from gossip_sync_world import Node, Time
from gossip_world import FakePeer, GossipWorld

from ioex_chain.gossip.turns import HOLD_ABOVE, MAX_ITEMS, MAX_REQUESTS, Turns
from ioex_chain.p2p.chain_messages import (
    BlockTransactions,
    CompactBlock,
    GetBlockTransactions,
    GetCompact,
    GetHeaders,
    GetTransactions,
    Headers,
    NotFound,
    Transactions,
)
from ioex_chain.p2p.seam import Offence

SLOW = HOLD_ABOVE + 1


class Watch:
    """A clock that only work moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def world() -> GossipWorld:
    return GossipWorld()


def drain(world: GossipWorld, peer: FakePeer) -> None:
    peer.backlog = 0
    world.blocks.drained(peer)
    world.transactions.drained(peer)
    world.settle()


def test_parts_of_blocks_wait_for_a_slow_peer(world: GossipWorld) -> None:
    peer = world.connect()
    block = world.pools.mine(world.pools.pay())
    world.settle()
    peer.take()
    peer.backlog = SLOW
    for _ in range(3):
        world.blocks.on_get_block_transactions(peer, GetBlockTransactions(block.hash, (0, 1)))
        world.blocks.on_get_compact(peer, GetCompact(block.hash))
    world.pass_time(1)
    assert peer.take() == []
    drain(world, peer)
    assert [message.type for message in peer.take()] == [BlockTransactions.type, CompactBlock.type] * 3
    assert peer.offences == []


def test_an_answer_that_the_worker_prepares_is_waited_for(world: GossipWorld) -> None:
    """So requests that wait for one block to be read are not answered all at once."""
    peer = world.connect()
    block = world.pools.mine(world.pools.pay())
    world.settle()
    peer.take()
    peer.send = lambda message: (peer.sent.append(message), setattr(peer, "backlog", SLOW))  # type: ignore[method-assign]
    for _ in range(3):
        world.blocks.on_get_block_transactions(peer, GetBlockTransactions(block.hash, (0, 1)))
    world.settle()
    assert len(peer.take(BlockTransactions)) == 1
    drain(world, peer)
    assert len(peer.take(BlockTransactions)) == 1


def test_transactions_wait_for_a_slow_peer(world: GossipWorld) -> None:
    peer = world.connect()
    tx = world.pools.pay()
    world.pools.add(tx)
    world.settle()
    world.pass_time(5)
    peer.take()
    peer.backlog = SLOW
    for _ in range(3):
        world.transactions.on_get_transactions(peer, GetTransactions((tx.wtxid,)))
    world.pass_time(1)
    assert peer.take() == []
    drain(world, peer)
    assert peer.take() == [Transactions((tx.raw,))] * 3


def test_headers_wait_for_a_slow_peer() -> None:
    builder = ChainBuilder(story_spec())
    node = Node(builder, Time())
    node.give(builder.extend(builder.genesis, 2))
    peer = node.peer()
    peer.sent.clear()
    peer.backlog = SLOW
    for _ in range(3):
        node.receive(peer, GetHeaders((bytes(32),)))
    assert peer.take(Headers) == []
    peer.backlog = 0
    node.sync.drained(peer)
    assert len(peer.take(Headers)) == 3


def test_too_many_requests_and_too_large_ones_are_a_flood(world: GossipWorld) -> None:
    peer = world.connect()
    peer.backlog = SLOW
    for _ in range(MAX_REQUESTS):
        world.blocks.on_get_compact(peer, GetCompact(bytes(32)))
    assert peer.offences == []
    world.blocks.on_get_compact(peer, GetCompact(bytes(32)))
    assert peer.offences == [Offence.FLOOD]
    drain(world, peer)
    assert peer.take() == [NotFound(GetCompact.type, bytes(32))] * MAX_REQUESTS
    peer.backlog = SLOW
    many = GetBlockTransactions(bytes(32), tuple(range(9_999)))
    for _ in range(MAX_ITEMS // 10_000):
        world.blocks.on_get_block_transactions(peer, many)
    assert peer.offences == [Offence.FLOOD]
    world.blocks.on_get_block_transactions(peer, many)
    assert peer.offences == [Offence.FLOOD] * 2


def test_what_a_peer_asked_for_goes_with_it(world: GossipWorld) -> None:
    peer = world.connect()
    peer.backlog = SLOW
    world.blocks.on_get_compact(peer, GetCompact(bytes(32)))
    world.disconnect(peer)
    drain(world, peer)
    world.pass_time(1)
    assert peer.take() == []


def test_dear_answers_leave_half_of_the_time_and_every_peer_has_its_turn() -> None:
    watch = Watch()
    turns = Turns(watch)
    peers = [FakePeer(number) for number in (1, 2)]
    served: list[int] = []

    def dear(peer: FakePeer):  # type: ignore[no-untyped-def]
        def answer(sent):  # type: ignore[no-untyped-def]
            watch.time += 0.1
            served.append(peer.number)
            sent()

        return answer

    for peer in peers:
        turns.peer_up(peer)
    for _ in range(50):
        turns.ask(peers[0], 1, dear(peers[0]))
    assert len(served) <= 5, "half a second in a row at most"
    turns.ask(peers[1], 1, dear(peers[1]))
    began, before = watch.time, len(served)
    while watch.time < began + 4:
        watch.time += 0.1
        turns.tick()
    assert 15 <= len(served) - before <= 21
    assert 2 in served[before : before + 2]
    assert peers[0].offences == []


def test_a_chain_that_grows_meanwhile_makes_no_short_answer_promise_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other end would take the promise for a way to keep it waiting."""
    builder = ChainBuilder(story_spec())
    blocks = builder.extend(builder.genesis, 4)
    node = Node(builder, Time())
    node.give(blocks[:3])
    peer = node.peer()
    entry_at = node.ledger.entry_at

    def racing(height: int):  # type: ignore[no-untyped-def]
        node.ledger.accept_block(blocks[3])
        return entry_at(height)

    monkeypatch.setattr(node.ledger, "entry_at", racing)
    peer.sent.clear()
    node.receive(peer, GetHeaders((blocks[0].hash,)))
    [answer] = peer.take(Headers)
    assert len(answer.items) == 2
    assert not answer.more


def test_who_asks_all_the_time_does_not_pass_those_who_wait() -> None:
    watch = Watch()
    turns = Turns(watch)
    loud, quiet = FakePeer(1), FakePeer(2)
    served: list[int] = []

    def ask(peer: FakePeer) -> None:
        def answer(sent):  # type: ignore[no-untyped-def]
            watch.time += 0.1
            served.append(peer.number)
            sent()

        turns.ask(peer, 1, answer)

    turns.peer_up(loud)
    turns.peer_up(quiet)
    for _ in range(10):
        ask(loud)
    ask(quiet)
    before = len(served)
    for step in range(100):
        watch.time += 0.01
        ask(loud)
        if step % 10 == 9:
            turns.tick()
    assert 2 in served[before : before + 2]
