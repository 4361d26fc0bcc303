"""Nodes in a line, with everything that gossips but the connections: blocks and transactions cross them."""

from collections import Counter, deque
from random import Random
from typing import Any

import pytest
from chaingen.pool_world import PoolWorld
from gossip_world import TICK, FakeChain, hello

from ioex_chain.gossip.hub import Gossip
from ioex_chain.gossip.ports import Context
from ioex_chain.p2p.messages import Message
from ioex_chain.p2p.seam import Offence
from ioex_chain.p2p.table import TABLE
from ioex_chain.p2p.types import Endpoint, PeerId
from ioex_chain.pow.pool_events import PoolChange
from ioex_chain.primitives.codec import Reader

NODES = 4


class Pipe:
    """One end of a connection: a peer, whose messages cross as bytes when the line is run."""

    def __init__(self, number: int, outbound: bool, line: "Line") -> None:
        self.number = number
        self.id = PeerId(number.to_bytes(32, "little"))
        self.endpoint = Endpoint("127.0.0.1", number)
        self.outbound = outbound
        self.hello = hello()
        self.backlog = 0
        self.other: Pipe
        self.node: Node
        self._line = line

    def send(self, message: Message) -> None:
        payload = message.encode()
        row = TABLE.get(message.type)
        assert len(payload) <= row.cap
        self._line.sent[row.name] += 1
        self._line.queue.append((self.other, row.message, payload))

    def offend(self, offence: Offence, detail: str = "") -> None:
        raise AssertionError(f"an honest peer is blamed: {offence} {detail}")


class Node:
    def __init__(self, number: int, line: "Line") -> None:
        self.pools = PoolWorld()
        self.chain = FakeChain(self.pools)
        self.gossip = Gossip(Context(self.chain, lambda: line.time, Random(number)))
        self.pools.ledger.subscribe(
            lambda event: self.chain.queue.append(lambda: self.gossip.head_changed(event))
        )
        self.pools.pool.subscribe(self._pool)

    def _pool(self, change: PoolChange) -> None:
        if change.left is None:
            self.chain.queue.append(lambda: self.gossip.transaction_added(change.entry.tx))


class Line:
    def __init__(self, count: int) -> None:
        self.time = 1000.0
        self.queue: deque[tuple[Pipe, Any, bytes]] = deque()
        self.sent: Counter[str] = Counter()
        self.nodes = [Node(number, self) for number in range(count)]
        self.pipes: list[Pipe] = []
        for one, other in zip(self.nodes, self.nodes[1:], strict=False):
            self.connect(one, other)

    def connect(self, one: Node, other: Node) -> None:
        ends = [Pipe(len(self.pipes) + n, n == 1, self) for n in (1, 2)]
        self.pipes += ends
        ends[0].other, ends[1].other = ends[1], ends[0]
        ends[0].node, ends[1].node = one, other
        for end in ends:
            end.node.gossip.peer_up(end)
        self.settle()

    def settle(self) -> None:
        while self.queue or any(node.chain.queue for node in self.nodes):
            for node in self.nodes:
                node.chain.settle()
            if self.queue:
                pipe, kind, payload = self.queue.popleft()
                reader = Reader(payload)
                message = kind.read(reader)
                reader.finish()
                pipe.node.gossip.received(pipe, message)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            self.time += TICK
            for node in self.nodes:
                node.gossip.tick()
            self.settle()

    def heads(self) -> set[bytes]:
        return {node.pools.ledger.head.hash for node in self.nodes}


@pytest.fixture
def line() -> Line:
    line = Line(NODES)
    line.pass_time(2)
    return line


def test_transactions_then_their_block_cross_the_line(line):
    """The pool is the same everywhere, so the block crosses without a transaction."""
    first = line.nodes[0].pools
    txs = [first.pay() for _ in range(20)]
    for tx in txs:
        first.add(tx)
    line.pass_time(10)
    assert all(len(node.pools.pool) == len(txs) for node in line.nodes)
    line.sent.clear()
    block = first.mine(*txs)
    line.pass_time(1)
    assert line.heads() == {block.hash}
    assert all(len(node.pools.pool) == 0 for node in line.nodes)
    assert line.sent["GetCompact"] == line.sent["CompactBlock"] == NODES - 1
    assert line.sent["GetBlockTransactions"] == line.sent["GetBlocks"] == 0


def test_after_the_first_block_the_next_are_pushed(line):
    first = line.nodes[0].pools
    first.mine(first.pay())
    line.settle()
    line.sent.clear()
    block = first.mine()
    line.settle()
    assert line.heads() == {block.hash}
    assert line.sent == {"CompactBlock": NODES - 1}


def test_an_unknown_transaction_crosses_with_its_block_and_is_asked_for_once(line):
    """Who had to ask sends it along to the next."""
    first = line.nodes[0].pools
    first.mine()
    line.settle()
    line.sent.clear()
    block = first.mine(first.pay(), first.pay())
    line.settle()
    assert line.heads() == {block.hash}
    assert line.sent == {"CompactBlock": NODES - 1, "GetBlockTransactions": 1, "BlockTransactions": 1}


def test_a_reorganisation_crosses_the_line(line):
    pools = line.nodes[0].pools
    fork = pools.tip
    tx = pools.pay()
    pools.mine(tx)
    line.pass_time(1)
    last = pools.chain.extend(fork, 12)
    for block in last:
        pools.accept(block)
    line.pass_time(5)
    assert line.heads() == {last[-1].hash}
    assert all(node.pools.pool.get(tx.txid) for node in line.nodes)


def test_a_late_node_gets_chain_and_pool(line):
    first = line.nodes[0].pools
    for _ in range(30):
        first.mine()
        line.settle()
    tx = first.pay()
    first.add(tx)
    line.pass_time(5)
    late = Node(99, line)
    line.nodes.append(late)
    line.connect(line.nodes[0], late)
    line.pass_time(5)
    assert line.heads() == {first.ledger.head.hash}
    assert late.pools.pool.get(tx.txid)
