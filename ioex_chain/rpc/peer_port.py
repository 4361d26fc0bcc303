"""What the network methods need of a running node: declared here by the consumer, built in `node`.

All calls are made in the event loop's thread and return at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ioex_chain.gossip.sync import PeerSync, SyncState
from ioex_chain.p2p.types import P2pError, PeerAddress, PeerId, PeerInfo


class P2pDisabled(P2pError):
    """The node runs without peers: what changes them raises this."""


@dataclass(frozen=True, slots=True)
class BanInfo:
    """A ban: a peer's id in hex, an address, or a subnet in CIDR form. Unix times."""

    subject: str
    created: int
    until: int
    reason: str


@dataclass(frozen=True, slots=True)
class AddedPeer:
    """A peer that the operator asked for, and whether it is connected."""

    address: PeerAddress
    connected: bool
    outbound: bool | None
    """Direction of the connection, None without one."""


@dataclass(frozen=True, slots=True)
class NetworkState:
    """This node on the network."""

    id: PeerId
    listening: tuple[PeerAddress, ...]
    """Where others can dial it; empty when it does not listen."""
    agent: str
    version: int
    services: int
    active: bool
    inbound: int
    outbound: int
    max_inbound: int
    max_outbound: int
    bytes_sent: int
    """In total since the start."""
    bytes_received: int
    known_addresses: int
    relay_rate: int
    """Least fee rate that is relayed, in units per 1,000 bytes."""
    min_rate: int
    sent_by_type: Mapping[str, int] = field(default_factory=dict)
    """Bytes by message name since the start, of closed connections too."""
    received_by_type: Mapping[str, int] = field(default_factory=dict)
    offences: Mapping[str, int] = field(default_factory=dict)
    """How often each offence was scored since the start, by its name in lower case."""
    bans_made: int = 0
    """Bans since the start, for offences and by hand."""


class PeerPort(Protocol):
    """The peer-to-peer side of a node."""

    def network_state(self) -> NetworkState:
        """Tell identity, slots and totals."""
        ...

    def sync_state(self) -> SyncState:
        """Tell how far behind the node is."""
        ...

    def peers(self) -> Sequence[PeerInfo]:
        """Give every established connection."""
        ...

    def peer_sync(self, number: int) -> PeerSync | None:
        """Give what is known of a connection's chain; None if it is gone."""
        ...

    def add(self, address: PeerAddress) -> bool:
        """Keep a connection to this peer; False if it was asked for already."""
        ...

    def forget(self, address: PeerAddress) -> bool:
        """Stop keeping it; the connection stays. False if it was not asked for."""
        ...

    def try_once(self, address: PeerAddress) -> None:
        """Dial this peer once."""
        ...

    def added(self) -> Sequence[AddedPeer]:
        """Give the peers that `add` keeps."""
        ...

    def disconnect(self, number: int) -> bool:
        """End a connection; False if there is none of this number."""
        ...

    def ban(self, subject: str, seconds: int, reason: str) -> None:
        """Ban a peer id (64 hex digits), an IP address or a subnet, and disconnect it. Raises InvalidBan."""
        ...

    def unban(self, subject: str) -> bool:
        """Lift a ban; False if there is none."""
        ...

    def bans(self) -> Sequence[BanInfo]:
        """Give the bans in force."""
        ...

    def known_addresses(self, count: int) -> Sequence[tuple[PeerAddress, int, int]]:
        """Give up to `count` known nodes (0: all): address, Unix time it was last seen, services."""
        ...

    def set_active(self, active: bool) -> None:
        """Turn the network on or off; off ends all connections."""
        ...

    def ping(self) -> None:
        """Ping every peer now."""
        ...
