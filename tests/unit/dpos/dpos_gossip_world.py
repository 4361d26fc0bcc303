"""DPoS nodes that gossip in one thread: real ledger, rules, votes and pool; memory for links and disks."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any

from chaingen.dpos_forge import KEYS, NETWORK, Forge, make_spec
from chaingen.dpos_tiny import TinyRun, TinyWorld
from dpos_pool_world import FakeSigners

from ioex_chain.dpos.block import Block
from ioex_chain.dpos.finality import Finality
from ioex_chain.dpos.finality_ports import RecoveredSignatures
from ioex_chain.dpos.finality_types import Outcome
from ioex_chain.dpos.follower import Follower, LedgerTree
from ioex_chain.dpos.mempool import Mempool
from ioex_chain.dpos.mempool_types import Change, PoolChange, PoolTip
from ioex_chain.dpos.records import ChainFacts
from ioex_chain.dpos.votes import Vote
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.evm.types import WEI, Account, Transaction, TxOutcome
from ioex_chain.gossip.dpos_hub import DposGossip, dpos_context
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.p2p.messages import RELAYS_TRANSACTIONS, SERVES_BLOCKS, Hello, LeaveReason, Message
from ioex_chain.p2p.seam import Offence
from ioex_chain.p2p.table import DPOS_TABLE
from ioex_chain.p2p.types import Endpoint, PeerId
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.primitives.codec import Reader
from ioex_chain.spec.model import NetworkSpec

TICK = 0.1


class Time:
    """Monotonic seconds and a queue of what happens next."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.queue: deque[Callable[[], None]] = deque()

    def __call__(self) -> float:
        return self.now

    def settle(self) -> None:
        """Do all that follows without time passing."""
        for _ in range(200_000):
            if not self.queue:
                return
            self.queue.popleft()()
        raise AssertionError("it never ends")


@dataclass
class FakePeer:
    """One end of a connection: what is sent goes into `sent`, and to `out` if there is one."""

    number: int
    hello: Hello
    outbound: bool = True
    id: PeerId = field(default_factory=lambda: PeerId(bytes(32)))
    endpoint: Endpoint = field(default_factory=lambda: Endpoint("10.0.0.1", 1))
    backlog: int = 0
    sent: list[Any] = field(default_factory=list)
    offences: list[Offence] = field(default_factory=list)
    out: Callable[[Message], None] | None = None
    goodbye: LeaveReason | None = None

    def send(self, message: Message) -> None:
        self.sent.append(message)
        if self.out:
            self.out(message)

    def offend(self, offence: Offence, detail: str = "") -> None:
        self.offences.append(offence)

    def leave(self, reason: LeaveReason, text: str = "") -> None:
        self.goodbye = reason

    def take(self, kind: type[Any]) -> list[Any]:
        """Give the sent messages of a kind, once."""
        found = [message for message in self.sent if isinstance(message, kind)]
        self.sent = [message for message in self.sent if not isinstance(message, kind)]
        return found


def nonce_key(tx: Transaction) -> bytes:
    return b"ynonce" + tx.r.to_bytes(20, "big")


class PlainRun(TinyRun):
    """Counts each sender's transactions and does nothing else with them."""

    def try_transaction(self, tx: Transaction, times: int | None = None) -> TxOutcome:
        outcome = super().try_transaction(SimpleNamespace(raw=b"\x02{}", type=2))  # type: ignore[arg-type]
        self._add(nonce_key(tx))
        return outcome


class PlainWorld(TinyWorld):
    def run(self, view: Any, env: Any) -> PlainRun:
        return PlainRun(self.spec, view, env)


def make_forge(members: int = 4, **dpos: Any) -> Forge:
    """Give a maker of blocks with real transactions; genesis begins at 1,000,000, slots last 10 s."""
    spec = make_spec(members, **dpos)
    return Forge(spec, world=PlainWorld, decode=decode_transaction)


class Accounts:
    def __init__(self, view: Any) -> None:
        self._view = view

    def account(self, address: bytes) -> Account:
        return Account(int(self._view.get(b"ynonce" + address) or b"0"), 1_000 * WEI)

    def code(self, code_hash: bytes) -> bytes:
        return b""


class Chain:
    """`gossip.dpos_hub.DposChain`: work runs at once, the answer is queued."""

    def __init__(self, forge: Forge, time: Time, clock: FixedClock) -> None:
        self.spec: NetworkSpec = forge.spec
        self.clock = clock
        self.ledger = forge.open(MemoryStore(), clock)
        self.mempool = Mempool(forge.spec.dpos, clock, FakeSigners())
        self._time = time

    def run(
        self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Any], None]
    ) -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller hears of it
            self._time.queue.append(lambda error=error: failed(error))  # type: ignore[misc]
        else:
            self._time.queue.append(lambda: done(result))

    def tip(self) -> PoolTip:
        return PoolTip(Accounts(self.ledger.view()), self.spec.dpos.min_base_fee)

    def transactions(self, entry: Any) -> Sequence[Transaction]:
        return self.ledger.body(entry.hash).transactions


class Node:
    """A node; `sent` counts the messages that it was sent, by name."""

    _numbers = 0

    def __init__(self, forge: Forge, time: Time, clock: FixedClock) -> None:
        self.forge, self.time = forge, time
        self.chain = Chain(forge, time, clock)
        self.ledger, self.pool = self.chain.ledger, self.chain.mempool
        engine = self.ledger._engine
        genesis = forge.genesis.header.hash
        self.finality: Finality[Any] = Finality(
            LedgerTree(self.ledger),
            ChainFacts(engine.records, lambda: self.ledger.head),
            RecoveredSignatures(genesis),
            self.ledger.head,
            self.ledger.floor,
        )
        self.conflicts: list[str] = []
        self.follower = Follower(
            self.ledger, self.finality, self.chain.run, tell=self._told, conflict=self.conflicts.append
        )
        Node._numbers += 1
        context = dpos_context(
            self.chain,
            engine,
            self.pool.known,
            self.follower,
            time,
            Random(Node._numbers),
            network_id=NETWORK,
        )
        self.gossip = DposGossip(context, self.follower)
        self.peers: dict[int, FakePeer] = {}
        self.ledger.subscribe(self._head_moved)
        self.pool.subscribe(self._pool_moved)

    def _told(self, outcome: Outcome) -> None:
        self.gossip.told(outcome)

    def _head_moved(self, event: Any) -> None:
        self.pool.on_head(event, self.chain)
        self.time.queue.append(lambda: self._follow(event))

    def _follow(self, event: Any) -> None:
        self.follower.head_changed(event)
        self.gossip.head_changed(event)

    def _pool_moved(self, change: PoolChange) -> None:
        if change.change is Change.PENDING:
            self.time.queue.append(lambda: self.gossip.transaction_added(change.entry.tx))

    # --- what a test does -----------------------------------------------------------------------------------

    def give(self, *blocks: Block) -> None:
        """Have blocks as if this node had made them."""
        for block in blocks:
            self.ledger.accept_block(block)
        self.time.settle()

    def vote(self, *votes: Vote) -> None:
        """Have votes as if this node's arbitrators had given them."""
        self.follower.on_votes(votes)
        self.time.settle()

    def send(self, tx: Transaction) -> None:
        self.pool.add(tx, self.chain.tip(), local=True)
        self.time.settle()

    def peer(self, *, outbound: bool = True, up: bool = True, head: Any = None) -> FakePeer:
        """Add a peer that a test plays by hand."""
        Node._numbers += 1
        zeros = bytes(32)
        status = self.gossip.status()
        services = SERVES_BLOCKS | RELAYS_TRANSACTIONS
        hello = Hello(
            1,
            zeros,
            status.fork_checksum,
            status.fork_next,
            zeros,
            zeros,
            bytes(64),
            services,
            0,
            head.height if head else 0,
            head.hash if head else self.forge.genesis.header.hash,
            0,
            "t",
        )
        peer = FakePeer(Node._numbers, hello, outbound)
        self.peers[peer.number] = peer
        if up:
            self.gossip.peer_up(peer)
            self.time.settle()
        return peer

    def receive(self, peer: FakePeer, message: Message) -> None:
        self.gossip.received(peer, message)

    def hear(self, peer: FakePeer, *messages: Message) -> None:
        """Be told something by a peer that a test plays."""
        for message in messages:
            self.receive(peer, message)
        self.time.settle()

    @property
    def offences(self) -> list[Any]:
        """What this node's peers did wrong."""
        return [offence for peer in self.peers.values() for offence in peer.offences]


class World:
    """Nodes on one clock."""

    def __init__(self, nodes: int = 2, forge: Forge | None = None) -> None:
        self.forge = forge or make_forge()
        self.time = Time()
        self.clock = FixedClock(self.forge.schedule.slot_start(1_000))
        self.nodes = [Node(self.forge, self.time, self.clock) for _ in range(nodes)]
        self.carried: list[tuple[Node, Message]] = []

    def connect(self, one: Node, other: Node) -> tuple[FakePeer, FakePeer]:
        """Join two nodes by a link that encodes and decodes; gives `one`'s end and `other`'s."""
        at_one = one.peer(up=False, head=other.ledger.head)
        at_other = other.peer(up=False, outbound=False, head=one.ledger.head)
        at_one.out = lambda message: self._carry(message, other, at_other)
        at_other.out = lambda message: self._carry(message, one, at_one)
        one.gossip.peer_up(at_one)
        other.gossip.peer_up(at_other)
        self.time.settle()
        return at_one, at_other

    def _carry(self, message: Message, to: Node, by: FakePeer) -> None:
        payload = message.encode()
        row = DPOS_TABLE[message if message.type != 22 else DPOS_TABLE.get(22).message]  # type: ignore[union-attr]
        assert len(payload) <= row.cap, row.name
        reader = Reader(payload)
        read = row.message.read(reader)
        reader.finish()
        self.carried.append((to, read))
        self.time.queue.append(lambda: to.receive(by, read))

    def count(self, kind: type[Any], to: Node | None = None) -> int:
        """Count the messages of a kind that were carried."""
        return sum(isinstance(message, kind) and (to is None or to is node) for node, message in self.carried)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            self.time.now += TICK
            for node in self.nodes:
                node.gossip.tick()
            self.time.settle()

    def all_votes(self, block: Block) -> list[Vote]:
        """Give every member's vote for a block."""
        link = self.forge.link(block)
        return [self.forge.vote(link, KEYS[member.key]) for member in self.forge.members_at(block).members]
