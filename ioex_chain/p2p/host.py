"""All connections of a node: who is let in, who is dialled, who is kept, who is banned. No I/O.

The owner calls `accept` for each arriving link and `tick` about ten times a second.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from ioex_chain.p2p.addrbook import AddressBook
from ioex_chain.p2p.address_relay import AddressRelay
from ioex_chain.p2p.bans import Ban, BanList
from ioex_chain.p2p.connection import (
    BAN_SCORE,
    FEELER,
    FULL_RELAY,
    INBOUND,
    MANUAL,
    Connection,
    Outbox,
)
from ioex_chain.p2p.dialling import GOOD_SECONDS, Dialler
from ioex_chain.p2p.handshake import NO_NONCE, NO_SIGNATURE
from ioex_chain.p2p.host_types import Counts, HostSettings, Totals
from ioex_chain.p2p.links import Certificate, LinkHandler, Network
from ioex_chain.p2p.messages import (
    PROTOCOL_VERSION,
    Addresses,
    GetAddresses,
    Hello,
    LeaveReason,
    Message,
)
from ioex_chain.p2p.seam import Application, Offence, Refused
from ioex_chain.p2p.session import Session
from ioex_chain.p2p.slots import InboundThrottle, victim
from ioex_chain.p2p.table import TABLE, MessageTable
from ioex_chain.p2p.types import Endpoint, PeerAddress, PeerId, PeerInfo
from ioex_chain.primitives.clock import Clock

__all__ = ["Host", "HostSettings", "NodeKey", "Totals"]
logger = logging.getLogger(__name__)
TWIN_SECONDS = 20.0
"""Two connections of one peer within this time are simultaneous dials; later, the older one is dead."""
FEELER_STAYS_SECONDS = 60.0
"""How long a feeler stays with a node that has another head: it may know more than our peers do."""
ANCHORS = 2
MAX_UNFINISHED = 64
"""Arriving links whose handshake is not over, at a time; one more ends the oldest."""
ALIVE_SECONDS = 1_200.0
"""Between two notes in the address book that a peer is still there."""


class NodeKey(Protocol):
    """This node's key; `identity.Identity` is one."""

    @property
    def id(self) -> PeerId:
        """Who this node is."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Give the Ed25519 signature."""
        ...


class Chance(Protocol):
    """A source of randomness: `random.Random` in a simulation, the system's in a running node."""

    def random(self) -> float:
        """Give a number in [0, 1)."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """Give an integer of k random bits."""
        ...

    def expovariate(self, lambd: float) -> float:
        """Give an exponentially distributed number with mean 1/lambd."""
        ...


class Host:
    """All connections. `network_id` is the network's identity (32 bytes); `now` is monotonic seconds."""

    def __init__(
        self,
        settings: HostSettings,
        identity: NodeKey,
        network_id: bytes,
        net: Network,
        app: Application,
        book: AddressBook,
        bans: BanList,
        *,
        now: Callable[[], float],
        clock: Clock,
        chance: Chance,
        table: MessageTable = TABLE,
    ) -> None:
        self.settings = settings
        self.active = True
        self._identity, self._network_id = identity, network_id
        self._net, self._app, self._book, self._bans = net, app, book, bans
        self._now, self._clock, self._chance, self._table = now, clock, chance, table
        self._outbox = Outbox()
        self._connections: dict[int, Connection] = {}
        self._by_id: dict[PeerId, Connection] = {}
        """The connections that the chain knows, one a peer."""
        self._made = 0
        self._counts = Counts()
        self._stopped = False
        self._throttle = InboundThrottle(now)
        self._secret = chance.getrandbits(256).to_bytes(32, "little")
        """Decides which groups are protected from eviction: nobody else may know."""
        self._alive_at = now() + ALIVE_SECONDS
        self._addresses = AddressRelay(
            book, identity.id, lambda: settings.external, now=now, clock=clock, chance=chance
        )
        self._dialler = Dialler(
            book,
            identity.id,
            max_outbound=0 if settings.only_peers else settings.max_outbound,
            seeds=settings.seeds,
            anchors=settings.anchors,
            now=now,
            chance=chance,
        )
        for peer in settings.peers:
            self.add(peer)

    # --- what the owner calls -------------------------------------------------------------------------------

    def accept(self, remote: Endpoint) -> LinkHandler | None:
        """Give the handler of an arriving link, None if it is not wanted."""
        if not self.active or self._stopped or self._bans.is_banned(None, remote.host):
            return None
        if not self.settings.max_inbound or not self._throttle.allows(remote.host):
            return None
        unfinished = [one for one in self._connections.values() if not one.outbound and not one.up]
        if len(unfinished) >= MAX_UNFINISHED:
            # The oldest, not the newest: an honest handshake takes few round trips only.
            with self._outbox:
                unfinished[0].abort("too many unfinished handshakes")
        return self._connection(INBOUND, remote, None)

    def tick(self) -> None:
        """Do what is due."""
        if self._stopped:
            return
        with self._outbox:
            for connection in list(self._connections.values()):
                connection.tick()
                if connection.kind == FEELER and connection.up:
                    self._end_feeler(connection)
            if self.active:
                for kind, address in self._dialler.next(self._connections.values(), self._is_allowed):
                    self._dial(kind, address)
            self._addresses.tick()
            self._note_alive()
            self._safely(None, self._app.tick)

    def stop(self, text: str = "") -> None:
        """Say goodbye to all, for good."""
        self._stopped = True
        self._leave_all(LeaveReason.STOPPING, text)

    def gave_block(self, number: int) -> None:
        """Note that a connection gave a block that was new; it counts when one has to go."""
        if (found := self._connections.get(number)) is not None:
            found.last_block = self._now()

    def gave_transaction(self, number: int) -> None:
        """Note that a connection gave a transaction that was taken."""
        if (found := self._connections.get(number)) is not None:
            found.last_transaction = self._now()

    # --- what RPC calls -------------------------------------------------------------------------------------

    def peers(self) -> list[PeerInfo]:
        """Give every established connection, oldest first."""
        return [one.info() for one in self._connections.values() if one.up]

    def add(self, address: PeerAddress) -> bool:
        """Keep a connection to this peer; False if it was asked for already."""
        known = self._dialler.kept.get(address.id)
        self._dialler.kept[address.id] = address
        self._dialler.held(address)
        return known != address

    def forget(self, address: PeerAddress) -> bool:
        """Stop keeping it; the connection stays. False if it was not asked for."""
        return self._dialler.kept.pop(address.id, None) is not None

    def added(self) -> list[tuple[PeerAddress, PeerInfo | None]]:
        """Give the peers that `add` keeps, each with its connection if it has one."""
        connections = ((one, self._by_id.get(one.id)) for one in self._dialler.kept.values())
        return [(address, found.info() if found else None) for address, found in connections]

    def try_once(self, address: PeerAddress) -> None:
        """Dial this peer once."""
        if self.active and not self._stopped and address.id not in (self._identity.id, *self._by_id):
            self._dial(MANUAL, address)

    def disconnect(self, number: int) -> bool:
        """End a connection; False if there is none of this number."""
        found = self._connections.get(number)
        if found is None or not found.up:
            return False
        with self._outbox:
            found.leave(LeaveReason.OTHER, "the operator's wish")
        return True

    def ban(self, subject: str, seconds: int, reason: str) -> Ban:
        """Ban a peer id, an address or a subnet, and disconnect it. Raises InvalidBan."""
        made = self._bans.ban(subject, seconds, reason)
        self._counts.bans += 1
        with self._outbox:
            for one in list(self._connections.values()):
                id_ = one.id if one.up else one.target.id if one.target else None
                if self._bans.is_banned(id_, one.endpoint.host):
                    one.leave(LeaveReason.BANNED)
        return made

    def unban(self, subject: str) -> bool:
        """Lift a ban; False if there is none. Raises InvalidBan."""
        return self._bans.lift(subject)

    def bans(self) -> Sequence[Ban]:
        """Give the bans in force."""
        return self._bans.entries()

    def set_active(self, active: bool) -> None:
        """Turn the network on or off; off ends all connections."""
        self.active = active
        if not active:
            self._leave_all(LeaveReason.OTHER, "the network is turned off")

    def ping(self) -> None:
        """Ping every peer now."""
        with self._outbox:
            for one in self._by_id.values():
                if one.session is not None:
                    one.session.ping()
                    self._outbox.add(one)

    def totals(self) -> Totals:
        """Tell what was carried and punished."""
        all_ = Counts(
            self._counts.sent,
            self._counts.received,
            Counter(self._counts.sent_by_type),
            Counter(self._counts.received_by_type),
        )
        for one in self._connections.values():
            if one.session is not None:
                all_.add(one.session)
        return Totals(
            all_.sent,
            all_.received,
            dict(all_.sent_by_type),
            dict(all_.received_by_type),
            dict(self._counts.offences),
            self._counts.bans,
        )

    def anchors(self) -> tuple[PeerAddress, ...]:
        """Give the oldest outbound peers: to dial first after a restart. Call it before `stop`."""
        full = [one for one in self._by_id.values() if one.kind == FULL_RELAY and one.target is not None]
        full.sort(key=lambda one: one.established_at)
        return tuple(one.target for one in full[:ANCHORS] if one.target is not None)

    # --- what a connection calls (`connection.Owner`) -------------------------------------------------------

    def session(self, connection: Connection, certificate: Certificate) -> Session:
        """Make a session."""
        return Session(
            outbound=connection.outbound,
            certificate=certificate,
            expected=connection.target.id if connection.target else None,
            network=self._network_id,
            hello=self._hello,
            check_hello=lambda hello: self._check_hello(connection, hello),
            sign=self._identity.sign,
            chance=self._chance,
            now=self._now,
            table=self._table,
        )

    def established(self, connection: Connection) -> None:
        """Take a connection, unless it is a feeler, a twin or one too many."""
        if connection.target is not None:
            self._book.succeeded(connection.target, connection.hello.services)
        if connection.kind == FEELER and connection.hello.head == self._app.status().head:
            connection.leave(LeaveReason.FEELER)
            return
        twin = self._by_id.get(connection.id)
        if twin is not None and self._keeps_twin(twin, connection):
            connection.leave(LeaveReason.ALREADY_CONNECTED)
            return
        if twin is not None:
            twin.leave(LeaveReason.ALREADY_CONNECTED)
        elif connection.kind == INBOUND and not self._make_room():
            connection.leave(LeaveReason.TOO_MANY_PEERS)
            return
        connection.up = True
        self._by_id[connection.id] = connection
        self._log("peer connected", connection)
        self._safely(connection, lambda: self._app.peer_up(connection))
        if connection.up and not connection.gone:
            self._addresses.peer_up(connection)

    def received(self, connection: Connection, message: Message) -> None:
        """Answer what concerns addresses; the chain takes the rest."""
        if isinstance(message, GetAddresses):
            self._addresses.on_get_addresses(connection)
        elif isinstance(message, Addresses):
            self._addresses.on_addresses(connection, message)
        else:
            self._safely(connection, lambda: self._app.received(connection, message))

    def offended(self, connection: Connection, offence: Offence, detail: str) -> None:
        """Count, and ban an established peer whose score is full; one that is only late is left unbanned."""
        self._counts.offences[offence.name.lower()] += 1
        self._log("peer offended", connection, offence=offence.name.lower(), detail=detail)
        if connection.up and connection.score >= BAN_SCORE and offence is not Offence.STALLING:
            reason = f"{offence.text}: {detail}" if detail else offence.text
            self._counts.bans += len(self._bans.ban_peer(connection.id, connection.endpoint.host, reason))

    def drained(self, connection: Connection) -> None:
        """Let the chain go on."""
        self._safely(connection, lambda: self._app.drained(connection))

    def gone(self, connection: Connection, why: str) -> None:
        """Forget a connection."""
        self._connections.pop(connection.number, None)
        if connection.session is not None:
            self._counts.add(connection.session)
        self._after_dial(connection)
        if not connection.up:
            level = logging.INFO if connection.kind == MANUAL else logging.DEBUG
            logger.log(level, "connection to %s failed: %s", connection.endpoint, why)
            return
        connection.up = False
        if self._by_id.get(connection.id) is connection:
            del self._by_id[connection.id]
        self._log("peer gone", connection, why=why)
        self._addresses.peer_down(connection)
        self._safely(None, lambda: self._app.peer_down(connection))

    # ---

    def _end_feeler(self, connection: Connection) -> None:
        """Leave a feeler that had another head than we, once both had time to tell what they know.

        Without this two halves of a healed network that took all their outbound slots on their own side would
        never hear of each other again.
        """
        if self._now() - connection.established_at >= FEELER_STAYS_SECONDS:
            connection.leave(LeaveReason.FEELER)

    def _connection(self, kind: str, endpoint: Endpoint, target: PeerAddress | None) -> Connection:
        self._made += 1
        made = Connection(
            self, self._outbox, self._made, kind, endpoint, target, now=self._now, clock=self._clock
        )
        self._connections[made.number] = made
        return made

    def _dial(self, kind: str, address: PeerAddress) -> None:
        self._book.attempted(address)
        self._net.dial(address.endpoint, self._connection(kind, address.endpoint, address))

    def _after_dial(self, connection: Connection) -> None:
        """Learn from how a connection that we began went."""
        if connection.target is None or self._stopped or not self.active:
            return
        held = self._now() - connection.established_at if connection.connected_at else 0.0
        if not connection.connected_at:
            self._book.failed(connection.target)
        elif connection.up:
            self._book.alive(connection.target)
        if held >= GOOD_SECONDS:
            self._dialler.held(connection.target)
        elif connection.kind != FEELER or not connection.connected_at:
            self._dialler.failed(connection.target)

    def _hello(self) -> Hello:
        status = self._app.status()
        return Hello(
            version=PROTOCOL_VERSION,
            network=self._network_id,
            fork_checksum=status.fork_checksum,
            fork_next=status.fork_next,
            key=self._identity.id,
            nonce=NO_NONCE,
            signature=NO_SIGNATURE,
            services=self.settings.services,
            port=self.settings.port,
            height=status.height,
            head=status.head,
            time=self._clock.now(),
            agent=self.settings.agent,
        )

    def _check_hello(self, connection: Connection, hello: Hello) -> None:
        if self._bans.is_banned(PeerId(hello.key), connection.endpoint.host):
            raise Refused(LeaveReason.BANNED, "banned")
        self._app.check_hello(hello)

    def _is_allowed(self, address: PeerAddress) -> bool:
        return not self._bans.is_banned(address.id, address.endpoint.host)

    def _keeps_twin(self, old: Connection, new: Connection) -> bool:
        """Tell which of two connections of one peer stays: True for the old one.

        Of two simultaneous dials both ends keep that of the lower id. Otherwise the other end has lost the
        old one: nobody dials a peer that it is connected to.
        """
        is_simultaneous = self._now() - old.established_at < TWIN_SECONDS
        if not is_simultaneous or old.outbound == new.outbound:
            return False
        we_dial = self._identity.id < old.id
        return old.outbound == we_dial

    def _make_room(self) -> bool:
        """Have a place for an inbound peer, if need be at the cost of a worse one; False if none is."""
        inbound = [one for one in self._by_id.values() if one.kind == INBOUND]
        if len(inbound) < self.settings.max_inbound:
            return True
        number = victim([one.candidate() for one in inbound], self._secret)
        if number is None:
            return False
        self._connections[number].leave(LeaveReason.TOO_MANY_PEERS)
        return True

    def _note_alive(self) -> None:
        if self._now() < self._alive_at:
            return
        self._alive_at = self._now() + ALIVE_SECONDS
        for one in self._by_id.values():
            if one.target is not None:
                self._book.alive(one.target)

    def _leave_all(self, reason: LeaveReason, text: str) -> None:
        with self._outbox:
            for one in list(self._connections.values()):
                one.leave(reason, text)

    def _safely(self, connection: Connection | None, call: Callable[[], None]) -> None:
        """Call the chain; what it does not handle costs the peer its connection, not the node its life."""
        try:
            call()
        except Exception:
            whom = "" if connection is None else f" for {connection.endpoint}"
            logger.exception("an unexpected error in what peers ask%s; please report it", whom)
            if connection is not None:
                connection.leave(LeaveReason.OTHER, "internal error")

    def _log(self, event: str, connection: Connection, **fields: object) -> None:
        if not logger.isEnabledFor(logging.INFO):
            return
        text = "".join(f" {name}={value}" for name, value in fields.items() if value != "")
        id_ = connection.id.hex()[:16] if connection.session and connection.session.hello else "-"
        logger.info("%s id=%s at=%s kind=%s%s", event, id_, connection.endpoint, connection.kind, text)
