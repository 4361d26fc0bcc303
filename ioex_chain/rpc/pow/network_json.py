"""How peers, bans and addresses look in JSON: Bitcoin Core's shapes, with ioeX's own fields behind them."""

import ipaddress
import re
from typing import NotRequired

from typing_extensions import TypedDict

from ioex_chain.gossip.sync import PeerSync
from ioex_chain.p2p.messages import RELAYS_TRANSACTIONS, SERVES_BLOCKS
from ioex_chain.p2p.types import PeerAddress, PeerInfo
from ioex_chain.rpc.jsonio import JsonAmount, number

SERVICE_NAMES = {SERVES_BLOCKS: "NETWORK", RELAYS_TRANSACTIONS: "TX_RELAY"}
"""The first is Core's name for the same bit."""


class PeerInfoJson(TypedDict):
    """A connection: Core's fields, and ioeX's `peerid`, `score` (100 bans), `backlog` (bytes), `url`."""

    id: int
    addr: str
    network: str
    services: str
    servicesnames: list[str]
    relaytxes: bool
    lastsend: int
    lastrecv: int
    bytessent: int
    bytesrecv: int
    conntime: int
    timeoffset: int
    pingtime: NotRequired[float]
    minping: NotRequired[float]
    version: int
    subver: str
    inbound: bool
    startingheight: int
    synced_headers: int
    synced_blocks: int
    inflight: list[int]
    bytessent_per_msg: dict[str, int]
    bytesrecv_per_msg: dict[str, int]
    connection_type: str
    peerid: str
    url: NotRequired[str]
    score: int
    backlog: int


class NetworkJson(TypedDict):
    """One kind of addresses; there are no proxies."""

    name: str
    limited: bool
    reachable: bool
    proxy: str
    proxy_randomize_credentials: bool


class LocalAddress(TypedDict):
    """Where others can dial this node; `score` is Core's and always 1."""

    address: str
    port: int
    score: int
    url: str


class NetworkInfo(TypedDict):
    """This node among its peers. ioeX's own: `peerid`, `maxinbound`, `maxoutbound`, `knownaddresses`."""

    version: int
    subversion: str
    protocolversion: int
    localservices: str
    localservicesnames: list[str]
    localrelay: bool
    timeoffset: int
    connections: int
    connections_in: int
    connections_out: int
    networkactive: bool
    networks: list[NetworkJson]
    relayfee: JsonAmount
    incrementalfee: JsonAmount
    localaddresses: list[LocalAddress]
    warnings: list[str]
    peerid: str
    maxinbound: int
    maxoutbound: int
    knownaddresses: int


class AddedAddress(TypedDict):
    """The connection to an added peer: `inbound` or `outbound`."""

    address: str
    connected: str


class AddedNodeInfo(TypedDict):
    """A peer that `addnode` or the settings asked for."""

    addednode: str
    connected: bool
    addresses: list[AddedAddress]


class BannedJson(TypedDict):
    """A ban: `address` is an IP address, a subnet or a peer's id. Unix times and seconds."""

    address: str
    ban_created: int
    banned_until: int
    ban_duration: int
    time_remaining: int
    ban_reason: str


class UploadTarget(TypedDict):
    """Core's upload limit; this node has none."""

    timeframe: int
    target: int
    target_reached: bool
    serve_historical_blocks: bool
    bytes_left_in_cycle: int
    time_left_in_cycle: int


class NetTotals(TypedDict):
    """Bytes since the start."""

    totalbytesrecv: int
    totalbytessent: int
    timemillis: int
    uploadtarget: UploadTarget


class NodeAddress(TypedDict):
    """A node that was heard of; `time` is when it was last seen."""

    time: int
    services: int
    address: str
    port: int
    network: str
    peerid: str
    url: str


def peer_json(peer: PeerInfo, sync: PeerSync | None) -> PeerInfoJson:
    """Write a connection as getpeerinfo does."""
    shown: PeerInfoJson = {
        "id": peer.number,
        "addr": str(peer.endpoint),
        "network": network_of(peer.endpoint.host),
        "services": f"{peer.services:016x}",
        "servicesnames": service_names(peer.services),
        "relaytxes": bool(peer.services & RELAYS_TRANSACTIONS),
        "lastsend": peer.last_sent,
        "lastrecv": peer.last_received,
        "bytessent": peer.bytes_sent,
        "bytesrecv": peer.bytes_received,
        "conntime": peer.connected_at,
        "timeoffset": peer.time_offset,
        "version": peer.version,
        "subver": peer.agent,
        "inbound": not peer.outbound,
        "startingheight": peer.start_height,
        "synced_headers": sync.known_headers if sync else -1,
        "synced_blocks": sync.common_blocks if sync else -1,
        "inflight": list(sync.in_flight) if sync else [],
        "bytessent_per_msg": dict(peer.sent_by_type),
        "bytesrecv_per_msg": dict(peer.received_by_type),
        "connection_type": peer.kind,
        "peerid": peer.id.hex(),
        "score": peer.score,
        "backlog": peer.backlog,
    }
    if peer.ping is not None:
        shown["pingtime"] = number(peer.ping)
    if peer.best_ping is not None:
        shown["minping"] = number(peer.best_ping)
    if peer.outbound:
        shown["url"] = PeerAddress(peer.id, peer.endpoint).url
    return shown


def service_names(services: int) -> list[str]:
    """Name the bits of `services`, those that we do not know as Core does."""
    bits = [bit for bit in range(services.bit_length()) if services >> bit & 1]
    return [SERVICE_NAMES.get(1 << bit, f"UNKNOWN[2^{bit}]") for bit in bits]


def network_of(host: str) -> str:
    """Give Core's word for the kind of an address; a host name is not resolved."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "hostname"
    return f"ipv{address.version}" if address.is_global else "not_publicly_routable"


def client_version(text: str) -> int:
    """Give a version "1.2.3" as Core's number 10203."""
    major, minor, patch = (int(part) for part in re.findall(r"\d+", text)[:3])
    return 10_000 * major + 100 * minor + patch


def network_json(name: str) -> NetworkJson:
    """Describe one kind of addresses."""
    return {
        "name": name,
        "limited": False,
        "reachable": True,
        "proxy": "",
        "proxy_randomize_credentials": False,
    }


def local_address_json(address: PeerAddress) -> LocalAddress:
    """Describe where this node can be dialled."""
    at = address.endpoint
    return {"address": at.host, "port": at.port, "score": 1, "url": address.url}


def node_address_json(address: PeerAddress, seen: int, services: int) -> NodeAddress:
    """Describe a known node: address, Unix time it was last seen, services."""
    at = address.endpoint
    return {
        "time": seen,
        "services": services,
        "address": at.host,
        "port": at.port,
        "network": network_of(at.host),
        "peerid": address.id.hex(),
        "url": address.url,
    }
