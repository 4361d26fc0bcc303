"""Hosts on a network in memory, in virtual time: what the tests of the connections are made of."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random

from ioex_chain.p2p.addrbook import AddressBook
from ioex_chain.p2p.bans import BanList
from ioex_chain.p2p.host import Host, HostSettings
from ioex_chain.p2p.identity import Identity
from ioex_chain.p2p.links import Certificate, LinkHandler
from ioex_chain.p2p.messages import Hello, LeaveReason, Message
from ioex_chain.p2p.seam import Peer, Refused, Status
from ioex_chain.p2p.types import Endpoint, PeerAddress
from ioex_chain.primitives.clock import FixedClock

NETWORK = sha256(b"a network").digest()
PORT = 20_338


class World:
    """Virtual time, and the calls that are due."""

    def __init__(self) -> None:
        self.time = 1_000.0
        self.clock = FixedClock(1_800_000_000)
        self.nodes: dict[Endpoint, Node] = {}
        self.unreachable: set[Endpoint] = set()
        self._calls: list[Callable[[], None]] = []

    def now(self) -> float:
        return self.time

    def later(self, call: Callable[[], None]) -> None:
        self._calls.append(call)

    def settle(self) -> None:
        """Run what is due until nothing is."""
        for _ in range(100_000):
            if not self._calls:
                return
            self._calls.pop(0)()
        raise AssertionError("the network never comes to rest")

    def run(self, seconds: float, step: float = 0.1) -> None:
        """Let time pass with all nodes ticking."""
        for _ in range(round(seconds / step)):
            self.time += step
            whole = int(self.time - 1_000) + 1_800_000_000
            self.clock.time = whole
            for node in list(self.nodes.values()):
                node.host.tick()
            self.settle()


class MemoryLink:
    """One end; `stalled` keeps what is written as backlog."""

    def __init__(
        self, world: World, remote: Endpoint, certificate: Certificate, handler: LinkHandler
    ) -> None:
        self.world, self.remote, self.certificate, self.handler = world, remote, certificate, handler
        self.other: MemoryLink
        self.stalled = False
        self.backlog = 0
        self.closed = False
        self.written = bytearray()

    def write(self, data: bytes) -> None:
        if self.closed:
            return
        self.written += data
        if self.stalled:
            self.backlog += len(data)
        else:
            self.world.later(lambda: self.other.take(data))

    def take(self, data: bytes) -> None:
        if not self.closed:
            self.handler.link_data(data)

    def close(self) -> None:
        self.world.later(lambda: self.break_("closed"))

    abort = close

    def break_(self, why: str) -> None:
        for end in (self, self.other):
            if not end.closed:
                end.closed = True
                end.handler.link_down(why)


@dataclass
class App:
    """A chain that writes down what it hears."""

    peers: dict[int, Peer] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)
    messages: list[tuple[int, Message]] = field(default_factory=list)
    drains: int = 0
    ticks: int = 0
    on_received: Callable[[Peer, Message], None] = lambda peer, message: None
    on_drained: Callable[[Peer], None] = lambda peer: None
    rules: bytes = b"rule"

    def status(self) -> Status:
        return Status(self.rules, 0, 7, bytes(32))

    def check_hello(self, hello: Hello) -> None:
        if hello.fork_checksum != self.rules:
            raise Refused(LeaveReason.OTHER_RULES, "other rules")

    def peer_up(self, peer: Peer) -> None:
        assert peer.number not in self.peers
        self.peers[peer.number] = peer

    def peer_down(self, peer: Peer) -> None:
        del self.peers[peer.number]
        self.gone.append(peer.number)

    def received(self, peer: Peer, message: Message) -> None:
        assert peer.number in self.peers
        self.messages.append((peer.number, message))
        self.on_received(peer, message)

    def drained(self, peer: Peer) -> None:
        self.drains += 1
        self.on_drained(peer)

    def tick(self) -> None:
        self.ticks += 1


class Node:
    """A host, its machine and its chain. Its id follows from its name."""

    def __init__(
        self, world: World, name: str, host: str, network: bytes = NETWORK, **settings: object
    ) -> None:
        self.world = world
        self.identity = Identity.from_seed(sha256(name.encode()).digest())
        self.endpoint = Endpoint(host, PORT)
        self.address = PeerAddress(self.identity.id, self.endpoint)
        self.app = App()
        self.dials: list[Endpoint] = []
        self.links: list[MemoryLink] = []
        chance = Random(name)
        self.bans = BanList(world.clock)
        self.book = AddressBook(
            chance, world.clock, self.identity.id, secret=sha256(name.encode()).digest(), accept_local=True
        )
        self.host = Host(
            HostSettings(agent=f"/{name}/", **{"port": PORT, **settings}),  # type: ignore[arg-type]
            self.identity,
            network,
            self,
            self.app,
            self.book,
            self.bans,
            now=world.now,
            clock=world.clock,
            chance=chance,
        )
        world.nodes[self.endpoint] = self

    def dial(self, endpoint: Endpoint, handler: LinkHandler) -> None:
        self.dials.append(endpoint)
        self.world.later(lambda: self._dial(endpoint, handler))

    def _dial(self, endpoint: Endpoint, handler: LinkHandler) -> None:
        target = self.world.nodes.get(endpoint)
        here = Endpoint(self.endpoint.host, 40_000 + len(self.dials))
        arrived = None
        if target is not None and endpoint not in self.world.unreachable:
            arrived = target.host.accept(here)
        if arrived is None or target is None:
            handler.link_down("refused")
            return
        near = MemoryLink(self.world, endpoint, target.identity.certificate, handler)
        far = MemoryLink(self.world, here, target.identity.certificate, arrived)
        near.other, far.other = far, near
        self.links.append(near)
        target.links.append(far)
        arrived.link_up(far)
        handler.link_up(near)

    @property
    def peer(self) -> Peer:
        """The only peer."""
        (found,) = self.app.peers.values()
        return found

    def link_to(self, other: "Node") -> MemoryLink:
        """The live link to another node, at this end."""
        (found,) = [link for link in self.links if not link.closed and link.other in other.links]
        return found
