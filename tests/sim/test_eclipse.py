"""An attacker with 500 addresses in four /24s does not get a node's outbound slots, over three restarts."""

from collections import Counter
from collections.abc import Callable
from hashlib import sha256

from ioex_chain.p2p.addrbook import AddressBook
from ioex_chain.p2p.bans import BanList
from ioex_chain.p2p.host import Host, HostSettings
from ioex_chain.p2p.identity import Identity
from ioex_chain.p2p.messages import Addresses, AddressRecord, Hello, Message
from ioex_chain.p2p.seam import Peer, Status
from ioex_chain.p2p.types import Endpoint, PeerAddress

from .clock import SimClock
from .network import PORT, Conditions, SimNetwork, address_of
from .scheduler import Scheduler

EPOCH = 1_700_000_000
HONEST = 20
ATTACKERS = 500


class Nothing:
    """An application with nothing to say."""

    def __init__(self) -> None:
        self.peers: dict[int, Peer] = {}

    def status(self) -> Status:
        return Status(bytes(4), 0, 0, bytes(32))

    def check_hello(self, hello: Hello) -> None: ...

    def peer_up(self, peer: Peer) -> None:
        self.peers[peer.number] = peer

    def peer_down(self, peer: Peer) -> None:
        self.peers.pop(peer.number, None)

    def received(self, peer: Peer, message: Message) -> None: ...

    def drained(self, peer: Peer) -> None: ...

    def tick(self) -> None: ...


class Town:
    """Hosts without chains."""

    def __init__(self, seed: int) -> None:
        self.scheduler = Scheduler(seed)
        self.network = SimNetwork(self.scheduler, Conditions(dial_failure=0.02))
        self.lives = 0
        seeds = [self.address(address_of(number)) for number in range(3)]
        self.seeds = tuple(seeds)

    def identity(self, host: str) -> Identity:
        return Identity.from_seed(sha256(host.encode()).digest())

    def address(self, host: str) -> PeerAddress:
        return PeerAddress(self.identity(host).id, Endpoint(host, PORT))

    def host(
        self, place: str, *, outbound: int = 8, kept: bytes = b"", anchors: tuple[PeerAddress, ...] = ()
    ) -> tuple[Host, AddressBook, Nothing, Callable[[], None]]:
        self.lives += 1
        machine, identity = self.network.machine(place, place), self.identity(place)
        chance, clock = self.scheduler.stream(f"host {self.lives}"), SimClock(self.scheduler, EPOCH)
        secret = sha256(identity.id).digest()
        if kept:
            book = AddressBook.decode(kept, chance, clock, identity.id, secret=secret)
        else:
            book = AddressBook(chance, clock, identity.id, secret=secret)
        app = Nothing()
        settings = HostSettings(
            "town",
            port=PORT,
            max_outbound=outbound,
            seeds=self.seeds if outbound else (),
            external=(Endpoint(place, PORT),),
            anchors=anchors,
        )
        host = Host(
            settings,
            identity,
            bytes(32),
            machine,
            app,
            book,
            BanList(clock),
            now=lambda: self.scheduler.now,
            clock=clock,
            chance=chance,
        )
        machine.listen(PORT, identity.certificate, host.accept)
        stop = self.scheduler.every(1.0 if outbound else 20.0, host.tick, first=chance.random())
        return host, book, app, stop


def test_half_of_the_outbound_slots_stay_honest() -> None:
    town = Town(3)
    places = [f"66.{20 + n % 4}.7.{1 + n // 4}" for n in range(ATTACKERS)]
    hostile = {place: town.host(place, outbound=0) for place in places}
    for number in range(HONEST):
        town.host(address_of(number))
    victim_at = address_of(HONEST)
    host, book, _, stop = town.host(victim_at)
    lies = town.scheduler.stream("lies")

    def spam() -> None:
        now = EPOCH + int(town.scheduler.now)
        for place in lies.sample(places, 12):
            attacker, _, app, _ = hostile[place]
            if not app.peers:
                attacker.try_once(town.address(victim_at))
            for peer in list(app.peers.values()):
                told = [town.address(other) for other in lies.sample(places, 10)]
                peer.send(Addresses(tuple(AddressRecord(one.id, one.endpoint, now) for one in told)))

    town.scheduler.every(5.0, spam)
    for restart in range(4):
        town.scheduler.run(town.scheduler.now + 25)
        outbound = [peer for peer in host.peers() if peer.outbound]
        sides = Counter(peer.endpoint.host.startswith("66.") for peer in outbound)
        print(f"restart {restart}: {dict(sides)}, {len(book)} known, {len(host.peers())} peers")
        assert len(outbound) >= 6
        assert sides[False] >= len(outbound) / 2
        anchors, kept = host.anchors(), book.encode()
        assert len(anchors) == 2
        stop()
        host.stop()
        town.scheduler.run(town.scheduler.now + 1)
        town.network.machine(victim_at, victim_at).power_off()
        host, book, _, stop = town.host(victim_at, kept=kept, anchors=anchors)
        town.scheduler.run(town.scheduler.now + 8)
        assert {anchor.id for anchor in anchors} & {peer.id for peer in host.peers() if peer.outbound}
