"""The node's peers: who is connected, who may be, and what went over the wires."""

import re
from statistics import median_low
from typing import Annotated, Literal

from pydantic import Field

from ioex_chain.p2p.bans import DEFAULT_SECONDS, InvalidBan, normal_subject
from ioex_chain.p2p.messages import RELAYS_TRANSACTIONS
from ioex_chain.p2p.types import Endpoint, InvalidPeerUrl, PeerAddress, normal_host
from ioex_chain.rpc.errors import Code, ParameterError, RpcError
from ioex_chain.rpc.jsonio import amount
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.peer_port import AddedPeer, BanInfo, PeerPort
from ioex_chain.rpc.pow.network_json import (
    AddedNodeInfo,
    BannedJson,
    NetTotals,
    NetworkInfo,
    NodeAddress,
    PeerInfoJson,
    client_version,
    local_address_json,
    network_json,
    node_address_json,
    peer_json,
    service_names,
)
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.registry import method

GROUP = "network"
_PEER_ID = re.compile(r"[0-9a-fA-F]{64}")
NodeText = Annotated[str, Field(max_length=400), Param("a peer, ioex://<64 hex digits of its id>@host:port")]
BanTime = Annotated[int, Field(ge=0, le=2**40), Param("seconds; 0: a day")]


class NetworkApi:
    """Speaks for the peer-to-peer side. All of it runs in the event loop and returns at once."""

    def __init__(self, backend: PowBackend) -> None:
        self._backend = backend
        self._clock = backend.clock

    @property
    def _peers(self) -> PeerPort:
        """The port as it is now: a node joins the network after its methods are made."""
        return self._backend.peers

    # --- what is ------------------------------------------------------------------------------------------

    @method("getconnectioncount", group=GROUP)
    def getconnectioncount(self) -> int:
        """Give the number of connections to other nodes."""
        return len(self._peers.peers())

    @method("getpeerinfo", group=GROUP)
    def getpeerinfo(self) -> list[PeerInfoJson]:
        """Tell all about each connection: address, traffic by message, ping, chain, offences."""
        return [peer_json(peer, self._peers.peer_sync(peer.number)) for peer in self._peers.peers()]

    @method("getnetworkinfo", group=GROUP)
    def getnetworkinfo(self) -> NetworkInfo:
        """Tell this node's identity, addresses, services, slots and fee rates on the network."""
        state, node = self._peers.network_state(), self._backend.state()
        offsets = [peer.time_offset for peer in self._peers.peers() if peer.outbound]
        return {
            "version": client_version(node.version),
            "subversion": state.agent,
            "protocolversion": state.version,
            "localservices": f"{state.services:016x}",
            "localservicesnames": service_names(state.services),
            "localrelay": bool(state.services & RELAYS_TRANSACTIONS),
            "timeoffset": median_low(offsets) if offsets else 0,
            "connections": state.inbound + state.outbound,
            "connections_in": state.inbound,
            "connections_out": state.outbound,
            "networkactive": state.active,
            "networks": [network_json(name) for name in ("ipv4", "ipv6")],
            "relayfee": amount(state.relay_rate),
            "incrementalfee": amount(self._backend.mempool.policy.incremental_rate),
            "localaddresses": [local_address_json(address) for address in state.listening],
            "warnings": list(node.warnings),
            "peerid": state.id.hex(),
            "maxinbound": state.max_inbound,
            "maxoutbound": state.max_outbound,
            "knownaddresses": state.known_addresses,
        }

    @method("getnettotals", group=GROUP)
    def getnettotals(self) -> NetTotals:
        """Give the bytes received and sent since the start."""
        state = self._peers.network_state()
        return {
            "totalbytesrecv": state.bytes_received,
            "totalbytessent": state.bytes_sent,
            "timemillis": self._clock.now() * 1000,
            "uploadtarget": {
                "timeframe": 24 * 3600,
                "target": 0,
                "target_reached": False,
                "serve_historical_blocks": True,
                "bytes_left_in_cycle": 0,
                "time_left_in_cycle": 0,
            },
        }

    @method("getnodeaddresses", group=GROUP, errors=(Code.INVALID_PARAMETER,))
    def getnodeaddresses(
        self,
        count: Annotated[int, Field(ge=0, le=2**31 - 1), Param("at most so many; 0: all")] = 1,
        network: Annotated[Literal["ipv4", "ipv6"] | None, Param("only addresses of this kind")] = None,
    ) -> list[NodeAddress]:
        """Give addresses of nodes that this one knows, to find new peers with."""
        known = self._peers.known_addresses(0 if network else count)
        rows = [node_address_json(*row) for row in known]
        found = [row for row in rows if network is None or row["network"] == network]
        return found[:count] if count else found

    # --- who shall be connected ---------------------------------------------------------------------------

    @method(
        "addnode",
        group=GROUP,
        write=True,
        errors=(Code.INVALID_PARAMETER, Code.NODE_ALREADY_ADDED, Code.NODE_NOT_ADDED, Code.P2P_DISABLED),
    )
    def addnode(
        self,
        node: NodeText,
        command: Annotated[
            Literal["add", "remove", "onetry"], Param("keep a connection, stop keeping it, or dial once")
        ],
    ) -> None:
        """Keep a connection to a peer beside those that the node chooses, or dial it once.

        The peer is known by its id: whoever else answers at that address is refused.
        """
        address = _peer_address(node)
        if command == "add" and not self._peers.add(address):
            raise RpcError(Code.NODE_ALREADY_ADDED, "Error: Node already added")
        if command == "remove" and not self._peers.forget(address):
            raise RpcError(
                Code.NODE_NOT_ADDED, "Error: Node could not be removed. It has not been added previously."
            )
        if command == "onetry":
            self._require_active()
            self._peers.try_once(address)

    def _require_active(self) -> None:
        if not self._peers.network_state().active:
            raise RpcError(
                Code.P2P_DISABLED,
                "Error: Peer-to-peer network is off; setnetworkactive true turns it on",
            )

    @method("getaddednodeinfo", group=GROUP, errors=(Code.INVALID_PARAMETER, Code.NODE_NOT_ADDED))
    def getaddednodeinfo(self, node: NodeText | None = None) -> list[AddedNodeInfo]:
        """Tell of the peers that `addnode` or the settings asked for, or of one of them."""
        added = self._peers.added()
        if node is not None:
            wanted = _peer_address(node)
            added = [peer for peer in added if peer.address == wanted]
            if not added:
                raise RpcError(Code.NODE_NOT_ADDED, "Error: Node has not been added.")
        return [self._added_json(peer) for peer in added]

    def _added_json(self, peer: AddedPeer) -> AddedNodeInfo:
        at = next((p.endpoint for p in self._peers.peers() if p.id == peer.address.id), peer.address.endpoint)
        way = "outbound" if peer.outbound else "inbound"
        return {
            "addednode": peer.address.url,
            "connected": peer.connected,
            "addresses": [{"address": str(at), "connected": way}] if peer.connected else [],
        }

    @method("disconnectnode", group=GROUP, write=True, errors=(Code.NODE_NOT_CONNECTED, Code.INVALID_PARAMS))
    def disconnectnode(
        self,
        address: Annotated[
            str | None, Field(max_length=400), Param("host:port, a peer's id, or ioex://id@host:port")
        ] = None,
        nodeid: Annotated[int | None, Param("`id` of getpeerinfo")] = None,
    ) -> None:
        """End a connection at once. It may come back unless it is banned or no longer added."""
        if bool(address) == (nodeid is not None):
            raise RpcError(Code.INVALID_PARAMS, "Only one of address and nodeid should be provided.")
        numbers = [nodeid] if nodeid is not None else self._numbers(address or "")
        ended = [self._peers.disconnect(one) for one in numbers]
        if not any(ended):
            raise RpcError(Code.NODE_NOT_CONNECTED, "Node not found in connected nodes")

    def _numbers(self, text: str) -> list[int]:
        if _PEER_ID.fullmatch(text):
            return [peer.number for peer in self._peers.peers() if peer.id.hex() == text.lower()]
        try:
            wanted = PeerAddress.parse(text)
        except InvalidPeerUrl:
            endpoint = _endpoint(text)
            return [peer.number for peer in self._peers.peers() if peer.endpoint == endpoint]
        return [peer.number for peer in self._peers.peers() if peer.id == wanted.id]

    @method("setnetworkactive", group=GROUP, write=True)
    def setnetworkactive(self, state: Annotated[bool, Param("false ends all connections")]) -> bool:
        """Turn the network on or off; gives the new state."""
        self._peers.set_active(state)
        return self._peers.network_state().active

    @method("ping", group=GROUP, write=True)
    def ping(self) -> None:
        """Ping every peer now; `pingtime` of getpeerinfo shows the answer's delay in seconds."""
        self._peers.ping()

    # --- who shall not ------------------------------------------------------------------------------------

    @method(
        "setban",
        group=GROUP,
        write=True,
        errors=(Code.INVALID_PARAMETER, Code.NODE_ALREADY_ADDED, Code.INVALID_IP_OR_SUBNET),
    )
    def setban(
        self,
        subnet: Annotated[str, Field(max_length=400), Param("an IP address, a subnet (CIDR) or a peer's id")],
        command: Annotated[Literal["add", "remove"], Param("ban it, or lift the ban")],
        bantime: BanTime = 0,
        absolute: Annotated[bool, Param("`bantime` is a Unix time")] = False,
    ) -> None:
        """Ban an address, a subnet or a peer and disconnect it; or lift a ban."""
        subject = _subject(subnet)
        known = next((ban for ban in self._peers.bans() if ban.subject == subject), None)
        if command == "add":
            self._ban(subject, known, self._ban_seconds(bantime, absolute=absolute))
        elif known is None or not self._peers.unban(known.subject):
            raise RpcError(
                Code.INVALID_IP_OR_SUBNET, "Error: Unban failed. Requested address/subnet was not banned."
            )

    def _ban(self, subject: str, known: BanInfo | None, seconds: int) -> None:
        if known is not None:
            raise RpcError(Code.NODE_ALREADY_ADDED, "Error: IP/Subnet already banned")
        self._peers.ban(subject, seconds, "by hand")

    def _ban_seconds(self, bantime: int, *, absolute: bool) -> int:
        if not absolute:
            return bantime or DEFAULT_SECONDS
        left = bantime - self._clock.now()
        if left <= 0:
            raise RpcError(Code.INVALID_PARAMETER, "Error: Absolute timestamp is in the past")
        return left

    @method("listbanned", group=GROUP)
    def listbanned(self) -> list[BannedJson]:
        """List the bans in force, the node's own and those by hand."""
        now = self._clock.now()
        return [
            {
                "address": ban.subject,
                "ban_created": ban.created,
                "banned_until": ban.until,
                "ban_duration": ban.until - ban.created,
                "time_remaining": max(0, ban.until - now),
                "ban_reason": ban.reason,
            }
            for ban in self._peers.bans()
        ]

    @method("clearbanned", group=GROUP, write=True)
    def clearbanned(self) -> None:
        """Lift all bans."""
        for ban in list(self._peers.bans()):
            self._peers.unban(ban.subject)


def _subject(text: str) -> str:
    try:
        return normal_subject(text)
    except InvalidBan as error:
        raise RpcError(Code.INVALID_IP_OR_SUBNET, f"Error: Invalid IP/Subnet: {error}") from error


def _peer_address(text: str) -> PeerAddress:
    try:
        return PeerAddress.parse(text)
    except InvalidPeerUrl as error:
        raise ParameterError("node", str(error)) from error


def _endpoint(text: str) -> Endpoint | None:
    host, _, port = text.rpartition(":")
    digits = port.isascii() and port.isdigit() and len(port) <= 5
    return Endpoint(normal_host(host.strip("[]")), int(port)) if host and digits else None
