"""A whole node on a simulated machine: the real chain, gossip, sessions, address book and bans."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from ioex_chain.gossip.hub import Gossip
from ioex_chain.gossip.ports import Context
from ioex_chain.ledger import schema
from ioex_chain.ledger.group_store import GroupStore
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.node.build import open_ledger
from ioex_chain.p2p.addrbook import AddressBook
from ioex_chain.p2p.bans import BanList
from ioex_chain.p2p.host import Host, HostSettings
from ioex_chain.p2p.identity import Identity
from ioex_chain.p2p.seam import Application
from ioex_chain.p2p.types import Endpoint, PeerAddress
from ioex_chain.pow.genesis import identity_of
from ioex_chain.pow.ledger import PowHeadChanged
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.spec.model import NetworkSpec

from .chain import SimChain
from .clock import SimClock
from .disk import SimDisk, SimStore
from .liars import Liar
from .network import PORT, Machine
from .scheduler import Scheduler

_SAVE_EVERY = 30.0
_BOOK, _BANS, _ANCHORS = "peers.dat", "bans.dat", "anchors"

Disguise = Callable[[Gossip, SimChain], Liar]


class SimNode:
    """Runs, crashes and starts again. What it keeps is on its disk."""

    def __init__(
        self,
        scheduler: Scheduler,
        machine: Machine,
        spec: NetworkSpec,
        disk: SimDisk,
        *,
        tick: float,
        outbound: int,
    ) -> None:
        self.scheduler = scheduler
        self.machine = machine
        self.spec = spec
        self.disk = disk
        self.name = machine.name
        self.identity = self.key_of(machine)
        self.clock = SimClock(scheduler, spec.pow.genesis_time)
        self.seeds: Sequence[PeerAddress] = ()
        self.disguise: Disguise | None = None
        self.on_fault: Callable[[Exception], None] = _raise
        self.is_up = False
        self.starts = 0
        self.reorganisations = 0
        self.deepest = 0
        """Most blocks that one reorganisation took back."""
        self.lost: list[int] = []
        """Blocks that each crash took, because they were not synced yet."""
        self.chain: SimChain
        self.gossip: Gossip
        self.host: Host
        self.book: AddressBook
        self.bans: BanList
        self.liar: Liar | None = None
        self._lies_before = 0
        self._tick = tick
        self._outbound = outbound
        self._store: SimStore
        self._timers: list[Callable[[], None]] = []

    @staticmethod
    def key_of(machine: Machine) -> Identity:
        """Give the identity of whoever runs on a machine."""
        return Identity.from_seed(sha256(f"simulated key of {machine.host}".encode()).digest())

    @property
    def lies(self) -> int:
        """How often it lied, if it is a liar."""
        return self._lies_before + (self.liar.lies if self.liar else 0)

    def start(self) -> None:
        """Open what is on the disk and begin to run."""
        self.starts += 1
        self.is_up = True
        self.scheduler.note(self.name, "starts")
        self._store = SimStore(self.disk)
        stream = f"{self.machine.host} life {self.starts}"
        self.chain = SimChain(
            self.scheduler,
            self.name,
            self.spec,
            GroupStore(self._store),
            self.clock,
            self.scheduler.stream(f"{stream} worker"),
        )
        self.chain.on_fault = self.on_fault
        chance = self.scheduler.stream(stream)
        self.gossip = Gossip(Context(self.chain, lambda: self.scheduler.now, chance), group_commits=True)
        self.chain.on_head += [self._count, self.gossip.head_changed]
        self.chain.on_transaction.append(self.gossip.transaction_added)
        self.liar = self.disguise(self.gossip, self.chain) if self.disguise else None
        self._connect(self.liar or self.gossip, stream)
        self._timers = [
            self.scheduler.every(self._tick, self._guarded(self.host.tick), first=chance.random()),
            self.scheduler.every(_SAVE_EVERY, self._save, first=_SAVE_EVERY),
        ]

    def crash(self) -> None:
        """Lose power."""
        height = self.chain.ledger.head.height
        self.scheduler.note(self.name, f"crashes at {height}")
        self.is_up = False
        for stop in self._timers:
            stop()
        if self.liar is not None:
            self.liar.stop()
            self._lies_before += self.liar.lies
            self.liar = None
        self.chain.stop()
        self._store.close()
        self.machine.power_off()
        self.disk.cut_power()
        self.lost.append(max(0, height - self._kept_height()))

    def _kept_height(self) -> int:
        """Give the height of the head on the disk."""
        head = self.disk.rows.get(schema.META_HEAD)
        assert head is not None
        return schema.decode_height(schema.HEIGHT, self.disk.rows.get(schema.height_key(head)) or b"")

    def move(self, machine: Machine) -> None:
        """Take another address and another key, while it is down."""
        self.machine = machine
        self.identity = self.key_of(machine)

    def _connect(self, app: Application, stream: str) -> None:
        now, clock = (lambda: self.scheduler.now), self.clock
        chance = self.scheduler.stream(f"{stream} peers")
        secret = sha256(b"secret of " + self.identity.id).digest()
        files, listens = self.disk.files, not self.machine.firewalled
        if _BOOK in files:
            self.book = AddressBook.decode(files[_BOOK], chance, clock, self.identity.id, secret=secret)
        else:
            self.book = AddressBook(chance, clock, self.identity.id, secret=secret)
        self.bans = BanList.decode(files[_BANS], clock) if _BANS in files else BanList(clock)
        anchors = files.get(_ANCHORS, b"").decode().split()
        settings = HostSettings(
            agent="ioex/sim",
            max_outbound=self._outbound,
            port=PORT if listens else 0,
            seeds=tuple(seed for seed in self.seeds if seed.id != self.identity.id),
            external=(Endpoint(self.machine.host, PORT),) if listens else (),
            anchors=tuple(PeerAddress.parse(url) for url in anchors),
        )
        self.host = Host(
            settings,
            self.identity,
            identity_of(self.spec),
            self.machine,
            app,
            self.book,
            self.bans,
            now=now,
            clock=clock,
            chance=chance,
        )
        self.machine.listen(PORT, self.identity.certificate, self.host.accept)

    def _save(self) -> None:
        self.disk.files[_BOOK] = self.book.encode()
        self.disk.files[_BANS] = self.bans.encode()
        self.disk.files[_ANCHORS] = " ".join(anchor.url for anchor in self.host.anchors()).encode()

    def _count(self, event: PowHeadChanged) -> None:
        self.reorganisations += bool(event.disconnected)
        self.deepest = max(self.deepest, len(event.disconnected))

    def _guarded(self, call: Callable[[], None]) -> Callable[[], None]:
        def guarded() -> None:
            try:
                call()
            except Exception as error:  # noqa: BLE001 - a node that stops is what the world looks for
                self.on_fault(error)

        return guarded


def genesis_rows(spec: NetworkSpec) -> Mapping[bytes, bytes]:
    """Give the rows of a new database, made once for all nodes of a world."""
    store = MemoryStore()
    open_ledger(spec, store, FixedClock(spec.pow.genesis_time))
    return dict(store.scan(b""))


def _raise(error: Exception) -> None:
    raise error
