"""A chain, peers and a sync made of memory, for the tests of block and transaction relay.

`world.settle()` lets everything happen that is due; time passes by `world.pass_time`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from chaingen.pool_world import PoolWorld

from ioex_chain.gossip.block_relay import BlockRelay
from ioex_chain.gossip.intake import Intake
from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.transactions import TransactionRelay
from ioex_chain.ledger.types import Entry
from ioex_chain.p2p.messages import RELAYS_TRANSACTIONS, SERVES_BLOCKS, Hello, LeaveReason, Message
from ioex_chain.p2p.seam import Offence
from ioex_chain.p2p.types import Endpoint, PeerId
from ioex_chain.pow.header import Header
from ioex_chain.pow.pool_events import PoolChange

TICK = 0.1


def hello(services: int = SERVES_BLOCKS | RELAYS_TRANSACTIONS) -> Hello:
    """Give what a peer said of itself."""
    zeros = bytes(32)
    return Hello(1, zeros, bytes(4), 0, zeros, zeros, bytes(64), services, 0, 0, zeros, 0, "test")


class FakePeer:
    """Remembers what it was sent and what it was blamed for."""

    def __init__(
        self, number: int, outbound: bool = True, services: int = SERVES_BLOCKS | RELAYS_TRANSACTIONS
    ) -> None:
        self.number = number
        self.id = PeerId(number.to_bytes(32, "little"))
        self.endpoint = Endpoint("127.0.0.1", number)
        self.outbound = outbound
        self.hello = hello(services)
        self.backlog = 0
        self.sent: list[Any] = []
        self.offences: list[Offence] = []
        self.goodbye: LeaveReason | None = None

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def offend(self, offence: Offence, detail: str = "") -> None:
        self.offences.append(offence)

    def leave(self, reason: LeaveReason, text: str = "") -> None:
        self.goodbye = reason

    def take(self, kind: type[Any] | None = None) -> list[Any]:
        """Give what was sent (of a kind) since the last call, and forget it."""
        found = [message for message in self.sent if kind is None or isinstance(message, kind)]
        self.sent = [message for message in self.sent if not (kind is None or isinstance(message, kind))]
        return found


class FakeSync:
    """Knows what it is told; records what it is asked to do."""

    def __init__(self) -> None:
        self.is_syncing = False
        self.known: set[tuple[int, bytes]] = set()
        self.announced: list[tuple[int, list[bytes]]] = []
        self.fetches: dict[bytes, int] = {}
        self.failed: list[tuple[int, bytes]] = []

    def on_announce(self, peer: FakePeer, headers: Sequence[Header]) -> None:
        self.announced.append((peer.number, [header.hash for header in headers]))

    def fetching(self, peer: FakePeer, hash_: bytes) -> None:
        self.fetches[hash_] = peer.number

    def fetched(self, hash_: bytes) -> None:
        self.fetches.pop(hash_, None)

    def fetch_failed(self, peer: FakePeer, hash_: bytes) -> None:
        self.fetches.pop(hash_, None)
        self.failed.append((peer.number, hash_))

    def has(self, peer: FakePeer, hash_: bytes) -> bool:
        return (peer.number, hash_) in self.known

    def note(self, peer: FakePeer, entry: Entry[Header]) -> None:
        at: Entry[Header] | None = entry
        while at is not None and not self.has(peer, at.hash):
            self.known.add((peer.number, at.hash))
            at = at.parent


class FakeChain:
    """Does work at once and tells of it when the queue is run: the chain behind a worker, in one thread."""

    def __init__(self, pools: PoolWorld) -> None:
        self.spec = pools.spec
        self.ledger = pools.ledger
        self.mempool = pools.pool
        self.clock = pools.clock
        self.queue: deque[Callable[[], None]] = deque()
        self.runs = 0

    def run(
        self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Any], None]
    ) -> None:
        self.runs += 1
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller hears of it
            self.queue.append(lambda error=error: failed(error))  # type: ignore[misc]
            return
        self.queue.append(lambda: done(result))

    def settle(self) -> None:
        while self.queue:
            self.queue.popleft()()


class GossipWorld:
    """A node's relay on a PoolWorld; `peers` are connected by `connect`."""

    def __init__(self, pools: PoolWorld | None = None, seed: int = 1) -> None:
        self.pools = pools or PoolWorld()
        self.chain = FakeChain(self.pools)
        self.time = 1000.0
        self.sync = FakeSync()
        self.gave_blocks: list[int] = []
        self.gave_transactions: list[int] = []
        self.context = Context(
            self.chain,
            lambda: self.time,
            Random(seed),
            self.gave_blocks.append,
            self.gave_transactions.append,
        )
        self.intake = Intake(self.context)
        self.blocks = BlockRelay(self.context, self.intake, self.sync)
        self.transactions = TransactionRelay(self.context, self.sync)
        self.blocks.fetcher.extra = self.transactions.extra
        self.peers: dict[int, FakePeer] = {}
        self.pools.ledger.subscribe(lambda event: self.chain.queue.append(lambda: self._head(event)))
        self.pools.pool.subscribe(self._pool)

    def _head(self, event: Any) -> None:
        self.blocks.head_changed(event)
        self.transactions.head_changed(event)

    def _pool(self, change: PoolChange) -> None:
        if change.left is None:
            self.chain.queue.append(lambda: self.transactions.added(change.entry.tx))

    def connect(self, outbound: bool = True, **fields: Any) -> FakePeer:
        """Connect a peer that knows our chain; what it is sent at first is forgotten."""
        peer = FakePeer(len(self.peers) + 1, outbound, **fields)
        self.peers[peer.number] = peer
        self.sync.note(peer, self.pools.ledger.head)
        self.blocks.peer_up(peer)
        self.transactions.peer_up(peer)
        self.settle()
        peer.take()
        return peer

    def disconnect(self, peer: FakePeer) -> None:
        self.transactions.peer_down(peer)
        self.blocks.peer_down(peer)
        self.settle()

    def settle(self) -> None:
        """Run what is queued."""
        self.chain.settle()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, tick by tick."""
        for _ in range(round(seconds / TICK)):
            self.time += TICK
            self.blocks.tick()
            self.transactions.tick()
            self.settle()
