"""Names of peers and places, and what the node says of a connection."""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import NamedTuple, NewType

from ioex_chain.primitives.errors import IoexError

PeerId = NewType("PeerId", bytes)
"""32 bytes: the node's Ed25519 public key."""
SCHEME = "ioex"
_URL = re.compile(r"ioex://([0-9a-fA-F]{64})@(\[[0-9a-fA-F:.]+\]|[^:\[\]/?#@\s]+):(\d{1,5})/?\Z")


class P2pError(IoexError):
    """Something between this node and a peer."""


class InvalidPeerUrl(P2pError):
    """A text that names no peer; the message shows the form."""


class Endpoint(NamedTuple):
    """Where a node can be reached: an IP address in its shortest text form (or a host name), and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class PeerAddress(NamedTuple):
    """A peer and where it listens."""

    id: PeerId
    endpoint: Endpoint

    @property
    def url(self) -> str:
        """The form that people pass on: `ioex://<64 hex digits>@host:port`."""
        return f"{SCHEME}://{self.id.hex()}@{self.endpoint}"

    @classmethod
    def parse(cls, text: str) -> "PeerAddress":
        """Read what `url` gives. Raises InvalidPeerUrl."""
        found = _URL.match(text.strip())
        if found is None or not 0 < int(found[3]) < 65536:
            raise InvalidPeerUrl(f"{text!r} names no peer; write ioex://<64 hex digits of its id>@host:port")
        host = found[2].strip("[]")
        return cls(PeerId(bytes.fromhex(found[1])), Endpoint(normal_host(host), int(found[3])))


def normal_host(host: str) -> str:
    """Give the one text form of an IP address (IPv4 in IPv6 as IPv4); a host name in lower case."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower()
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A connection as RPC and metrics show it. Times in seconds on the monotonic clock unless said."""

    number: int
    """Counts connections from 1; unique while the node runs."""
    id: PeerId
    endpoint: Endpoint
    outbound: bool
    kind: str
    """outbound-full-relay, manual, feeler or inbound."""
    agent: str
    version: int
    services: int
    start_height: int
    """The head's height that the peer named in its hello."""
    connected_at: int
    """Unix time."""
    last_sent: int
    """Unix time of the last byte sent; 0 for never."""
    last_received: int
    """Unix time of the last byte received; 0 for never."""
    bytes_sent: int
    bytes_received: int
    ping: float | None
    """Seconds of the last ping's round trip; None before the first."""
    best_ping: float | None
    score: int
    """Offences so far; 100 bans."""
    backlog: int
    """Bytes that wait to be sent."""
    sent_by_type: dict[str, int] = field(default_factory=dict)
    """Bytes by message name."""
    received_by_type: dict[str, int] = field(default_factory=dict)
    time_offset: int = 0
    """Seconds by which the time in the peer's hello was ahead of our clock; only shown, never used."""
