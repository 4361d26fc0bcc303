"""Nodes that synchronise in one thread: a worker that runs at once, peers as ends of a queue, no clock."""

from collections import deque
from dataclasses import dataclass, field
from random import Random

from chaingen.builder import ChainBuilder
from chaingen.harness import open_ledger

from ioex_chain.gossip.intake import Intake
from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.sync import Sync
from ioex_chain.ledger.sync import SyncLimits
from ioex_chain.p2p import chain_messages as m
from ioex_chain.p2p.messages import SERVES_BLOCKS, Hello
from ioex_chain.p2p.seam import Offence
from ioex_chain.p2p.types import Endpoint, PeerId


class Time:
    """Monotonic seconds and a queue of what happens next."""

    def __init__(self):
        self.now = 1000.0
        self.queue = deque()

    def __call__(self):
        return self.now

    def settle(self):
        """Do all that follows without time passing."""
        for _ in range(200_000):
            if not self.queue:
                return
            self.queue.popleft()()
        raise AssertionError("it never ends")


class FakeChain:
    """`gossip.ports.Chain`: work runs at once, the answer is queued."""

    def __init__(self, builder, time, ledger=None):
        self.spec = builder.spec
        self.ledger = ledger or open_ledger(builder)
        self.clock = builder.clock
        self.mempool = None
        self._time = time

    def run(self, work, done, failed):
        try:
            result = work()
        except Exception as error:  # noqa: BLE001
            caught = error
            self._time.queue.append(lambda: failed(caught))
        else:
            self._time.queue.append(lambda: done(result))


@dataclass
class FakePeer:
    """One end of a connection: what is sent goes into `sent`, and to `out` if there is one."""

    number: int
    hello: Hello
    outbound: bool = True
    id: PeerId = field(default_factory=lambda: PeerId(bytes(32)))
    endpoint: Endpoint = field(default_factory=lambda: Endpoint("10.0.0.1", 1))
    backlog: int = 0
    sent: list = field(default_factory=list)
    offences: list = field(default_factory=list)
    out: object = None
    open: bool = True
    left: object = None
    on_offence: object = None

    def send(self, message):
        if not self.open:
            return
        self.sent.append(message)
        if self.out:
            self.out(message)

    def offend(self, offence, detail=""):
        if self.open:
            self.offences.append(offence)
            if self.on_offence:
                self.on_offence()

    def leave(self, reason, text=""):
        self.left = reason

    @property
    def score(self):
        return sum(offence.score for offence in self.offences)

    def of(self, kind):
        return [message for message in self.sent if isinstance(message, kind)]

    def take(self, kind):
        """Give the sent messages of a kind, once."""
        found = self.of(kind)
        self.sent = [message for message in self.sent if not isinstance(message, kind)]
        return found


def hello(head=bytes(32), height=0, services=SERVES_BLOCKS):
    return Hello(
        1, bytes(32), bytes(4), 0, bytes(32), bytes(32), bytes(64), services, 0, height, head, 0, "t"
    )


class Node:
    """A ledger with its sync."""

    _numbers = 0

    def __init__(self, builder, time, limits=None, fetch_compact=None, ledger=None, group=False):
        self.time = time
        self.chain = FakeChain(builder, time, ledger)
        self.ledger = self.chain.ledger
        context = Context(self.chain, time, Random(1))
        self.intake = Intake(context)
        self.sync = Sync(
            context,
            self.intake,
            limits=limits or SyncLimits(first_size=1_000),
            fetch_compact=fetch_compact,
            group_commits=group,
        )
        self.ledger.subscribe(lambda event: time.queue.append(lambda: self.sync.head_changed(event)))
        self.peers = {}
        self._handlers = {
            m.GetHeaders: self.sync.on_get_headers,
            m.Headers: self.sync.on_headers,
            m.GetBlocks: self.sync.on_get_blocks,
            m.BlockData: self.sync.on_block,
            m.NotFound: self.sync.on_not_found,
        }

    def give(self, blocks):
        for block in blocks:
            self.ledger.accept_block(block)
        self.time.settle()

    def receive(self, peer, message):
        if peer.open:
            self._handlers[type(message)](peer, message)

    def peer(self, *, outbound=True, up=True, **kwargs):
        """Add a peer that a test plays by hand."""
        Node._numbers += 1
        peer = FakePeer(Node._numbers, hello(**kwargs), outbound)
        self.peers[peer.number] = peer
        if up:
            self.sync.peer_up(peer)
            self.time.settle()
        return peer

    def down(self, peer):
        peer.open = False
        del self.peers[peer.number]
        self.sync.peer_down(peer)
        self.time.settle()

    def pass_time(self, seconds, step=0.5):
        end = self.time.now + seconds
        while self.time.now < end:
            self.time.now += step
            self.sync.tick()
            self.time.settle()


def connect(one, other, *, keep=lambda message: True):
    """Join two nodes; `keep` tells which messages from `other` arrive. Gives both ends."""
    heads = [(node.ledger.head.hash, node.ledger.head.height) for node in (one, other)]
    at_one = one.peer(head=heads[1][0], height=heads[1][1], up=False)
    at_other = other.peer(head=heads[0][0], height=heads[0][1], outbound=False, up=False)
    time = one.time
    at_one.out = lambda message: time.queue.append(lambda: other.receive(at_other, message))

    def to_one(message):
        if keep(message):
            time.queue.append(lambda: one.receive(at_one, message))

    at_other.out = to_one
    one.sync.peer_up(at_one)
    other.sync.peer_up(at_other)
    time.settle()
    return at_one, at_other


def headers_of(blocks, more=False):
    return m.Headers(tuple(block.header.encode() for block in blocks), more)


__all__ = ["ChainBuilder", "FakePeer", "Node", "Offence", "Time", "connect", "headers_of"]
