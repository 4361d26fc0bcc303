"""The network methods against a peer port that only remembers."""

from typing import Any

import pytest
from pow_rpc_world import RpcRefused, World, peer_address, peer_info

from ioex_chain.p2p.types import Endpoint, PeerAddress, PeerId
from ioex_chain.rpc.errors import RpcError
from ioex_chain.rpc.peer_port import P2pDisabled
from ioex_chain.rpc.pow.network_json import client_version, network_of, service_names
from ioex_chain.rpc.pow_errors import pow_error_table

URL = peer_address(40).url
ID = "ab" * 32


async def refused(world: World, method: str, *params: object, **named: object) -> tuple[int, str]:
    with pytest.raises(RpcRefused) as caught:
        await world.call(method, *params, **named)
    return caught.value.code, caught.value.message


# --- what is ---------------------------------------------------------------------------------------------


async def test_a_dialled_peer() -> None:
    w = World()
    first = (await w.call("getpeerinfo"))[0]
    assert first == {
        "id": 1,
        "addr": "93.184.216.1:20338",
        "network": "ipv4",
        "services": "0000000000000003",
        "servicesnames": ["NETWORK", "TX_RELAY"],
        "relaytxes": True,
        "lastsend": 1_700_000_050,
        "lastrecv": 1_700_000_060,
        "bytessent": 1_000,
        "bytesrecv": 2_000,
        "conntime": 1_700_000_000,
        "timeoffset": 1,
        "pingtime": 0.0123,
        "minping": 0.01,
        "version": 1,
        "subver": "/ioeX:0.1.0/",
        "inbound": False,
        "startingheight": 5,
        "synced_headers": 7,
        "synced_blocks": 5,
        "inflight": [6, 7],
        "bytessent_per_msg": {"ping": 9},
        "bytesrecv_per_msg": {"pong": 9},
        "connection_type": "outbound-full-relay",
        "peerid": "01" * 32,
        "url": f"ioex://{'01' * 32}@93.184.216.1:20338",
        "score": 0,
        "backlog": 64,
    }


async def test_a_peer_that_came_in_and_of_whose_chain_nothing_is_known() -> None:
    second = (await World().call("getpeerinfo"))[1]
    assert (second["inbound"], second["connection_type"]) == (True, "inbound")
    assert (second["synced_headers"], second["synced_blocks"], second["inflight"]) == (-1, -1, [])
    assert {"pingtime", "minping", "url"} & set(second) == set()


async def test_this_node_on_the_network() -> None:
    w = World()
    info = await w.call("getnetworkinfo")
    assert (info["version"], info["subversion"], info["protocolversion"]) == (100, "/ioeX:0.1.0/", 1)
    assert (info["localservices"], info["localservicesnames"]) == (f"{3:016x}", ["NETWORK", "TX_RELAY"])
    assert (info["connections"], info["connections_in"], info["connections_out"]) == (3, 1, 2)
    assert (info["networkactive"], info["localrelay"], info["timeoffset"]) == (True, True, 1)
    assert info["relayfee"] == info["incrementalfee"] == 0.00001
    assert info["localaddresses"] == [
        {"address": "203.0.113.5", "port": 20338, "score": 1, "url": peer_address(9, "203.0.113.5").url}
    ]
    assert [network["name"] for network in info["networks"]] == ["ipv4", "ipv6"]
    assert (info["peerid"], info["maxinbound"], info["knownaddresses"]) == ("09" * 32, 117, 6)
    w.backend.peers.connected = []
    assert (await w.call("getnetworkinfo"))["timeoffset"] == 0
    assert await w.call("getconnectioncount") == 0


async def test_totals() -> None:
    w = World()
    totals = await w.call("getnettotals")
    assert (totals["totalbytessent"], totals["totalbytesrecv"]) == (60_000, 120_000)
    assert totals["timemillis"] == w.backend.clock.now() * 1000


async def test_known_addresses() -> None:
    w = World()
    assert len(await w.call("getnodeaddresses")) == 1
    assert len(await w.call("getnodeaddresses", 0)) == 6
    assert len(await w.call("getnodeaddresses", 3, "ipv4")) == 3
    (six,) = await w.call("getnodeaddresses", 0, "ipv6")
    assert six == {
        "time": 1_700_000_000,
        "services": 1,
        "address": "2606:2800:220:1::1",
        "port": 20338,
        "network": "ipv6",
        "peerid": (bytes([30]) * 32).hex(),
        "url": f"ioex://{(bytes([30]) * 32).hex()}@[2606:2800:220:1::1]:20338",
    }
    assert (await refused(w, "getnodeaddresses", -1))[0] == -8
    assert (await refused(w, "getnodeaddresses", 1, "onion"))[0] == -8


# --- who shall be connected ------------------------------------------------------------------------------


async def test_added_peers() -> None:
    w = World()
    here = PeerAddress(PeerId(b"\x01" * 32), Endpoint("93.184.216.1", 20_338))
    assert await w.call("addnode", URL, "add") is None
    await w.call("addnode", here.url, "add")
    assert await refused(w, "addnode", URL, "add") == (-23, "Error: Node already added")
    assert await w.call("getaddednodeinfo") == [
        {"addednode": URL, "connected": False, "addresses": []},
        {
            "addednode": here.url,
            "connected": True,
            "addresses": [{"address": "93.184.216.1:20338", "connected": "outbound"}],
        },
    ]
    assert [row["addednode"] for row in await w.call("getaddednodeinfo", URL)] == [URL]
    await w.call("addnode", URL, "remove")
    assert (await refused(w, "addnode", URL, "remove"))[0] == -24
    assert await refused(w, "getaddednodeinfo", URL) == (-24, "Error: Node has not been added.")
    assert w.backend.peers.kept == [here]


async def test_dialling_once() -> None:
    w = World()
    await w.call("addnode", URL, "onetry")
    assert [address.url for address in w.backend.peers.tried] == [URL]
    assert await w.call("getaddednodeinfo") == []
    await w.call("setnetworkactive", False)
    assert (await refused(w, "addnode", URL, "onetry"))[0] == -31
    assert len(w.backend.peers.tried) == 1


@pytest.mark.parametrize(
    "node", ["192.0.2.1:20338", "ioex://ab@192.0.2.1:20338", "ioex://" + ID + "@h:0", ""]
)
async def test_a_peer_must_be_named_with_its_id(node: str) -> None:
    w = World()
    code, message = await refused(w, "addnode", node, "add")
    assert (code, message.split(":")[0]) == (-8, "node")
    assert "ioex://" in message
    assert (await refused(w, "addnode", URL, "drop"))[0] == -8
    assert w.backend.peers.kept == []


@pytest.mark.parametrize(
    "params",
    [
        {"nodeid": 1},
        {"address": "", "nodeid": 1},
        {"address": "93.184.216.1:20338"},
        {"address": "01" * 32},
        {"address": f"ioex://{'01' * 32}@elsewhere:1"},
        {"address": "::ffff:93.184.216.1:20338"},
    ],
)
async def test_disconnecting(params: dict[str, Any]) -> None:
    w = World()
    assert await w.call("disconnectnode", **params) is None
    assert [peer.number for peer in w.backend.peers.connected] == [2, 3]
    assert await refused(w, "disconnectnode", **params) == (-29, "Node not found in connected nodes")


async def test_disconnecting_by_number() -> None:
    w = World()
    await w.call("disconnectnode", nodeid=3)
    assert [peer.number for peer in w.backend.peers.connected] == [1, 2]


async def test_all_connections_of_a_peer_are_ended() -> None:
    w = World()
    w.backend.peers.connected.append(peer_info(4, id=PeerId(b"\x01" * 32)))
    await w.call("disconnectnode", "01" * 32)
    assert [peer.number for peer in w.backend.peers.connected] == [2, 3]


async def test_an_ipv6_peer_is_found_by_its_address() -> None:
    w = World()
    w.backend.peers.connected = [peer_info(5, endpoint=Endpoint("2001:db8::5", 7))]
    await w.call("disconnectnode", "[2001:DB8:0::5]:7")
    assert w.backend.peers.connected == []


async def test_one_peer_must_be_named() -> None:
    w = World()
    for params in ((), ("93.184.216.1:20338", 1), ("",)):
        assert (await refused(w, "disconnectnode", *params))[0] == -32602
    for text in ("93.184.216.1", "x:y", "93.184.216.1:99999999", ":1"):
        assert (await refused(w, "disconnectnode", text))[0] == -29


async def test_the_network_can_be_turned_off() -> None:
    w = World()
    assert await w.call("setnetworkactive", False) is False
    assert (await w.call("getnetworkinfo"))["networkactive"] is False
    assert await w.call("getpeerinfo") == []
    assert await w.call("setnetworkactive", True) is True


async def test_ping() -> None:
    w = World()
    assert await w.call("ping") is None
    assert w.backend.peers.pings == 1


# --- who shall not ---------------------------------------------------------------------------------------


async def test_bans() -> None:
    w = World()
    now = w.backend.clock.now()
    await w.call("setban", "192.0.2.77/24", "add", 600)
    await w.call("setban", "::ffff:198.51.100.1", "add")
    await w.call("setban", ID.upper(), "add", now + 50, True)
    assert await w.call("listbanned") == [
        {
            "address": subject,
            "ban_created": now,
            "banned_until": now + seconds,
            "ban_duration": seconds,
            "time_remaining": seconds,
            "ban_reason": "by hand",
        }
        for subject, seconds in (("192.0.2.0/24", 600), ("198.51.100.1", 86_400), (ID, 50))
    ]
    w.backend.clock.time = now + 100
    assert [ban["time_remaining"] for ban in await w.call("listbanned")] == [500, 86_300, 0]
    assert await refused(w, "setban", "192.0.2.0/24", "add") == (-23, "Error: IP/Subnet already banned")
    assert await w.call("setban", "192.0.2.9/24", "remove") is None
    assert (await refused(w, "setban", "192.0.2.0/24", "remove"))[0] == -30
    await w.call("clearbanned")
    assert await w.call("listbanned") == []


@pytest.mark.parametrize("subject", ["", "1.2.3", "1.2.3.4/33", "host.example", "ab" * 31, "1.2.3.4:5"])
async def test_what_cannot_be_banned(subject: str) -> None:
    w = World()
    for command in ("add", "remove"):
        code, message = await refused(w, "setban", subject, command)
        assert (code, message.startswith("Error: Invalid IP/Subnet")) == (-30, True)
    assert w.backend.peers.banned == {}


async def test_times_of_bans() -> None:
    w = World()
    now = w.backend.clock.now()
    assert await refused(w, "setban", "192.0.2.1", "add", now, True) == (
        -8,
        "Error: Absolute timestamp is in the past",
    )
    assert (await refused(w, "setban", "192.0.2.1", "add", -1))[0] == -8
    assert (await refused(w, "setban", "192.0.2.1", "delete"))[0] == -8


# --- the state of the chain ------------------------------------------------------------------------------


async def test_the_chains_progress() -> None:
    w = World()
    info = await w.call("getblockchaininfo")
    assert (info["blocks"], info["headers"], info["initialblockdownload"]) == (5, 5, False)
    assert info["verificationprogress"] == 1
    w.backend.peers.syncing, w.backend.peers.heights = True, (5, 11)
    info = await w.call("getblockchaininfo")
    assert (info["blocks"], info["headers"], info["initialblockdownload"]) == (5, 11, True)
    assert info["verificationprogress"] == 0.5


async def test_the_nodes_state_tells_peers_and_progress() -> None:
    w = World()
    state = await w.call("getnodestate")
    assert (state["connections"], state["connections_in"], state["connections_out"]) == (3, 1, 2)
    assert (state["syncing"], state["headers"], state["secondsleft"]) == (False, 5, None)
    w.backend.peers.syncing, w.backend.peers.heights = True, (5, 105)
    state = await w.call("getnodestate")
    assert (state["headers"], state["blockspersecond"], state["secondsleft"]) == (105, 20, 5)


# --- words and numbers -----------------------------------------------------------------------------------


def test_services_that_are_not_known_are_named_as_core_does() -> None:
    assert service_names(0) == []
    assert service_names(0b1001) == ["NETWORK", "UNKNOWN[2^3]"]


def test_kinds_of_addresses() -> None:
    assert network_of("10.0.0.1") == network_of("::1") == "not_publicly_routable"
    assert (network_of("93.184.216.1"), network_of("node.example")) == ("ipv4", "hostname")
    assert client_version("1.2.3") == 10_203


def test_a_node_without_peers_says_so() -> None:
    answered = pow_error_table().translate(P2pDisabled("this node runs with p2p off"), "addnode")
    assert isinstance(answered, RpcError)
    assert (answered.code, answered.message) == (-31, "this node runs with p2p off")
