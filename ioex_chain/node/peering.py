"""The peer-to-peer side of a running node: puts connections, gossip and their files together, and ticks."""

import asyncio
import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random, SystemRandom
from typing import TypeVar

from ioex_chain import __version__
from ioex_chain.gossip.hub import Gossip
from ioex_chain.gossip.sync import PeerSync, SyncState
from ioex_chain.ledger.errors import StoreError
from ioex_chain.node import log
from ioex_chain.node.config import ConfigError, NodeConfig
from ioex_chain.node.datadir import DataDir, PeerFiles, write_atomically
from ioex_chain.node.memory import release
from ioex_chain.p2p.addrbook import AddressBook
from ioex_chain.p2p.bans import BanList
from ioex_chain.p2p.connection import INBOUND
from ioex_chain.p2p.host import Host, HostSettings
from ioex_chain.p2p.identity import Identity
from ioex_chain.p2p.kept import KeptFileUnreadable
from ioex_chain.p2p.links import LinkHandler
from ioex_chain.p2p.messages import PROTOCOL_VERSION
from ioex_chain.p2p.network import TlsNetwork
from ioex_chain.p2p.slots import decode_anchors, encode_anchors
from ioex_chain.p2p.table import MessageTable
from ioex_chain.p2p.types import Endpoint, PeerAddress, PeerInfo, normal_host
from ioex_chain.primitives.clock import Clock
from ioex_chain.rpc.peer_port import AddedPeer, BanInfo, NetworkState
from ioex_chain.spec.model import NetworkSpec

logger = log.get(__name__)
TICK_SECONDS = 0.1
SAVE_SECONDS = 300.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a listener on all addresses is dialled at
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PeeringPlan:
    """What differs between the chains' networks."""

    identity: bytes
    """What both ends must agree on: 32 bytes."""
    port: int
    seeds: tuple[str, ...]
    peers: tuple[str, ...]
    """Whom to stay connected to, as the settings name them."""
    files: PeerFiles
    table: MessageTable
    gossip: Callable[[Random, Callable[[int], None], Callable[[int], None]], Gossip]
    """Makes the chain's side; it is given chance, and who hears of peers that gave blocks, transactions."""
    rates: Callable[[], tuple[int, int]]
    """Gives the least fee rate that the pool relays, and the one that it asks for now."""


class Peering:
    """A chain's peers: implements `rpc.peer_port.PeerPort`. `start` and `stop` are awaited by the node."""

    def __init__(
        self, config: NodeConfig, spec: NetworkSpec, datadir: DataDir, clock: Clock, plan: PeeringPlan
    ):
        """Take the settings. Raises InvalidPeerUrl, ConfigError."""
        self._config = config
        self._spec = spec
        self._clock = clock
        self._plan = plan
        self._datadir = datadir
        self._chance = SystemRandom()
        self._asked = tuple(map(PeerAddress.parse, plan.peers))
        self._external = tuple(map(_address, config.external_hosts))
        self.gossip = plan.gossip(
            self._chance,
            lambda number: self.host.gave_block(number),
            lambda number: self.host.gave_transaction(number),
        )
        self._listening: Endpoint | None = None

    # --- life ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the key and the kept files, and listen. Raises CannotListen, InvalidNodeKey, StoreError."""
        clock, files = self._clock, self._plan.files
        try:
            self._identity = Identity.load_or_create(self._datadir.node_key)
        except OSError as error:
            raise StoreError(f"cannot use {self._datadir.node_key}: {error.strerror}") from error
        self._bans = self._kept(files.bans, lambda data: BanList.decode(data, clock), BanList(clock))
        self._book = self._read_book()
        self._net = TlsNetwork(self._identity)
        if self._config.max_inbound:
            self._listening = await self._net.listen(self._config.p2p_host, self._plan.port, self._accept)
        self.host = self._make_host()
        self._ticking = asyncio.create_task(self._tick())

    def _make_host(self) -> Host:
        config = self._config
        port = self._listening.port if self._listening else 0
        settings = HostSettings(
            agent=f"ioex/{__version__}",
            port=port,
            max_outbound=config.max_outbound,
            max_inbound=config.max_inbound,
            peers=self._asked,
            only_peers=config.only_peers,
            seeds=tuple(map(PeerAddress.parse, self._plan.seeds)),
            external=tuple(Endpoint(host, port) for host in self._external if port),
            anchors=self._kept(self._plan.files.anchors, decode_anchors, ()),
        )
        return Host(
            settings,
            self._identity,
            self._plan.identity,
            self._net,
            self.gossip,
            self._book,
            self._bans,
            now=time.monotonic,
            clock=self._clock,
            chance=self._chance,
            table=self._plan.table,
        )

    def _read_book(self) -> AddressBook:
        own, clock = self._identity.id, self._clock
        secret = sha256(self._identity.sign(b"ioeX/address book")).digest()
        is_local = self._spec.name == "devnet"
        fresh = AddressBook(self._chance, clock, own, secret=secret, accept_local=is_local)

        def decode(data: bytes) -> AddressBook:
            return AddressBook.decode(data, self._chance, clock, own, secret=secret, accept_local=is_local)

        return self._kept(self._plan.files.peers, decode, fresh)

    def _kept(self, path: Path, decode: Callable[[bytes], T], otherwise: T) -> T:
        try:
            return decode(path.read_bytes())
        except FileNotFoundError:
            return otherwise
        except (OSError, KeptFileUnreadable) as error:
            logger.warning(
                "a kept file cannot be read; starting without it", file=str(path), reason=str(error)
            )
            return otherwise

    def _accept(self, remote: Endpoint) -> LinkHandler | None:
        return self.host.accept(remote) if self._listening else None

    async def _tick(self) -> None:
        save_at = time.monotonic() + SAVE_SECONDS
        was_syncing = False
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                self.host.tick()
            except Exception:
                logger.exception("an unexpected error between peers; going on. Please report it")
                await asyncio.sleep(1.0)
            is_syncing = self.gossip.sync.is_syncing
            if was_syncing and not is_syncing:
                await asyncio.to_thread(release)
            was_syncing = is_syncing
            if time.monotonic() >= save_at:
                save_at = time.monotonic() + SAVE_SECONDS
                await asyncio.to_thread(self._write, self._files())

    async def stop(self) -> None:
        """Say goodbye to all, close, and keep what was learned."""
        self._ticking.cancel()
        await asyncio.gather(self._ticking, return_exceptions=True)
        files = self._files()
        self.host.stop()
        self._write(files)
        await self._net.close()

    def _files(self) -> dict[Path, bytes]:
        return {
            self._plan.files.peers: self._book.encode(),
            self._plan.files.bans: self._bans.encode(),
            self._plan.files.anchors: encode_anchors(self.host.anchors()),
        }

    def _write(self, files: dict[Path, bytes]) -> None:
        try:
            for path, data in files.items():
                write_atomically(path, data)
        except OSError as error:
            logger.warning("what is known of peers cannot be kept", reason=str(error))

    @property
    def url(self) -> str | None:
        """How nodes on this machine reach this one; None when it does not listen."""
        found = self._addresses()
        return found[-1].url if found else None

    def _addresses(self) -> tuple[PeerAddress, ...]:
        if self._listening is None:
            return ()
        near = Endpoint(_EVERYWHERE.get(self._listening.host, self._listening.host), self._listening.port)
        return tuple(PeerAddress(self._identity.id, one) for one in (*self.host.settings.external, near))

    # --- what RPC asks (`rpc.peer_port.PeerPort`) -----------------------------------------------------------

    def network_state(self) -> NetworkState:
        """Tell identity, slots and totals."""
        host, totals = self.host, self.host.totals()
        relay_rate, min_rate = self._plan.rates()
        peers = host.peers()
        inbound = sum(peer.kind == INBOUND for peer in peers)
        return NetworkState(
            id=self._identity.id,
            listening=self._addresses(),
            agent=host.settings.agent,
            version=PROTOCOL_VERSION,
            services=host.settings.services,
            active=host.active,
            inbound=inbound,
            outbound=len(peers) - inbound,
            max_inbound=host.settings.max_inbound,
            max_outbound=host.settings.max_outbound,
            bytes_sent=totals.bytes_sent,
            bytes_received=totals.bytes_received,
            known_addresses=len(self._book),
            relay_rate=relay_rate,
            min_rate=min_rate,
            sent_by_type=totals.sent_by_type,
            received_by_type=totals.received_by_type,
            offences=totals.offences,
            bans_made=totals.bans_made,
        )

    def sync_state(self) -> SyncState:
        """Tell how far behind the node is."""
        return self.gossip.sync.state()

    def peers(self) -> Sequence[PeerInfo]:
        """Give every established connection."""
        return self.host.peers()

    def peer_sync(self, number: int) -> PeerSync | None:
        """Give what is known of a connection's chain; None if it is gone."""
        return self.gossip.sync.peer_sync(number)

    def add(self, address: PeerAddress) -> bool:
        """Keep a connection to this peer; False if it was asked for already."""
        return self.host.add(address)

    def forget(self, address: PeerAddress) -> bool:
        """Stop keeping it; the connection stays. False if it was not asked for."""
        return self.host.forget(address)

    def try_once(self, address: PeerAddress) -> None:
        """Dial this peer once."""
        self.host.try_once(address)

    def added(self) -> Sequence[AddedPeer]:
        """Give the peers that `add` keeps."""
        return [
            AddedPeer(address, info is not None, info.outbound if info else None)
            for address, info in self.host.added()
        ]

    def disconnect(self, number: int) -> bool:
        """End a connection; False if there is none of this number."""
        return self.host.disconnect(number)

    def ban(self, subject: str, seconds: int, reason: str) -> None:
        """Ban a peer id (64 hex digits), an IP address or a subnet, and disconnect it. Raises InvalidBan."""
        self.host.ban(subject, seconds, reason)

    def unban(self, subject: str) -> bool:
        """Lift a ban; False if there is none. Raises InvalidBan."""
        return self.host.unban(subject)

    def bans(self) -> Sequence[BanInfo]:
        """Give the bans in force."""
        return [BanInfo(ban.subject, ban.created, ban.until, ban.reason) for ban in self.host.bans()]

    def known_addresses(self, count: int) -> Sequence[tuple[PeerAddress, int, int]]:
        """Give up to `count` known nodes (0: all): address, Unix time it was last seen, services."""
        known = [(entry.address, entry.seen, entry.services) for entry in self._book.entries()]
        self._chance.shuffle(known)
        return known[:count] if count else known

    def set_active(self, active: bool) -> None:
        """Turn the network on or off; off ends all connections."""
        self.host.set_active(active)

    def ping(self) -> None:
        """Ping every peer now."""
        self.host.ping()


def _address(text: str) -> str:
    """Give an IP address in its one form. Raises ConfigError."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ConfigError(f"setting external_hosts: {text!r} is no IP address") from None
    return normal_host(text)
