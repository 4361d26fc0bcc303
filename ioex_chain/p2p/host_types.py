"""What a host is told by the operator, and what it counts."""

from collections import Counter
from dataclasses import dataclass, field

from ioex_chain.p2p.messages import RELAYS_TRANSACTIONS, SERVES_BLOCKS
from ioex_chain.p2p.session import Session
from ioex_chain.p2p.types import Endpoint, PeerAddress


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What the operator decides about connections."""

    agent: str
    port: int = 0
    """Where this node listens for peers, as others are told; 0 for nowhere."""
    services: int = SERVES_BLOCKS | RELAYS_TRANSACTIONS
    max_outbound: int = 8
    """Nodes that are dialled from the address book; peers asked for and feelers come on top."""
    max_inbound: int = 117
    peers: tuple[PeerAddress, ...] = ()
    """Peers to stay connected to."""
    only_peers: bool = False
    """Dial nobody else."""
    seeds: tuple[PeerAddress, ...] = ()
    external: tuple[Endpoint, ...] = ()
    """Where others reach this node, as far as it is known."""
    anchors: tuple[PeerAddress, ...] = ()
    """What `Host.anchors` gave when the node was last stopped: dialled first."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Since the start, closed connections included."""

    bytes_sent: int
    bytes_received: int
    sent_by_type: dict[str, int]
    """Bytes by message name."""
    received_by_type: dict[str, int]
    offences: dict[str, int]
    """How often each was scored, by its name in lower case."""
    bans_made: int
    """For offences and by hand."""


@dataclass(slots=True)
class Counts:
    """What `Totals` tells, while it grows."""

    sent: int = 0
    received: int = 0
    sent_by_type: Counter[str] = field(default_factory=Counter)
    received_by_type: Counter[str] = field(default_factory=Counter)
    offences: Counter[str] = field(default_factory=Counter)
    bans: int = 0

    def add(self, session: Session) -> None:
        """Keep what a connection carried."""
        self.sent += session.bytes_sent
        self.received += session.bytes_received
        self.sent_by_type.update(session.sent_by_type)
        self.received_by_type.update(session.received_by_type)
