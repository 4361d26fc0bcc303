"""The port as a whole: every method is there and described; control methods; errors; subscriptions."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from pow_rpc_world import RpcRefused, World, peer_address

from ioex_chain.ledger.errors import (
    BelowFloor,
    InvalidBlock,
    StoreCorrupt,
    UndoMissing,
    UnknownBlock,
    UnknownParent,
)
from ioex_chain.ledger.types import Connected, HeadChanged
from ioex_chain.pow import errors, policy
from ioex_chain.primitives.types import BlockHash, display
from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.pow_errors import pow_error_table, reason_of, transaction_refused

_NAMES = """
getblockchaininfo getblockcount getbestblockhash getblockhash getblockheader getblock getchaintips
getdifficulty getrawtransaction decoderawtransaction decodescript sendrawtransaction testmempoolaccept
getrawmempool getmempoolinfo getmempoolentry getmempoolancestors getmempooldescendants gettxout
gettxoutsetinfo gettxoutproof verifytxoutproof validateaddress estimatesmartfee getmininginfo
getnetworkhashps getblocktemplate submitblock submitheader createauxblock submitauxblock
generatetoaddress generateblock invalidateblock reconsiderblock help uptime stop getnodestate listunspent
getreceivedbyaddress getblockbyheight listsinceblock rpc.discover getaddresshistory acceptdeepreorg
subscribe unsubscribe getpeerinfo getconnectioncount getnetworkinfo addnode getaddednodeinfo disconnectnode
setban listbanned clearbanned getnettotals getnodeaddresses ping setnetworkactive getstratuminfo listworkers
listminers getreserveinfo getsettlement
"""
ASKED_FOR = _NAMES.split()
CHANGES_THE_NODE = {
    "invalidateblock",
    "reconsiderblock",
    "acceptdeepreorg",
    "generatetoaddress",
    "generateblock",
    "stop",
    "addnode",
    "disconnectnode",
    "setban",
    "clearbanned",
    "ping",
    "setnetworkactive",
}


async def test_the_port_has_these_methods_and_no_others() -> None:
    w = World()
    described = {entry["name"]: entry for entry in (await w.call("rpc.discover"))["methods"]}
    assert set(described) == set(ASKED_FOR)
    for entry in described.values():
        assert entry["summary"]
        assert entry["result"]["schema"] or entry["name"] == "rpc.discover"
        for parameter in entry["params"]:
            assert parameter["schema"] or parameter["name"] == "params", (entry["name"], parameter)
    writing = {name for name, entry in described.items() if entry["x-needs-authentication"]}
    assert writing == CHANGES_THE_NODE


async def test_reading_methods_are_open_and_writing_ones_are_not() -> None:
    w = World()
    for name in ASKED_FOR:
        with pytest.raises(RpcRefused) as caught:
            await w.call(name, "\x00", *["\x00"] * 30, authorized=False)
        assert (caught.value.code == 4100) is (name in CHANGES_THE_NODE), name


def test_the_page_on_rpc_names_every_method_and_topic() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rpc.md").read_text()
    words = set(re.findall(r"[a-z0-9.]+", page))
    topics = {topic.name for topic in World().port.subscriptions.topics()}
    assert {*ASKED_FOR, *topics} <= words


async def every_answer(w: World) -> dict[str, Any]:
    """Call every method once with parameters that it takes; the world checks each answer's schema."""
    w.wait()
    bob, top = w.address(w.bob.script), display(w.blocks[5].hash)
    txid, waiting = display(w.second.txid), display(w.waiting.txid)
    header = w.chain.block(w.blocks[5]).header.encode().hex()
    proof = await w.call("gettxoutproof", [txid])
    other = w.chain.spend(w.chain.take(), [(10**8, w.bob)], fee=3_000).raw.hex()
    calls: dict[str, list[Any]] = {
        "getblockhash": [1],
        "getblockheader": [top],
        "getblock": [top, 3],
        "getblockbyheight": [5, 2],
        "getrawtransaction": [txid, 2],
        "decoderawtransaction": [w.second.raw.hex()],
        "decodescript": ["5187"],
        "sendrawtransaction": [other],
        "testmempoolaccept": [[other, w.second.raw.hex()]],
        "getrawmempool": [True],
        "getmempoolentry": [waiting],
        "getmempoolancestors": [waiting, True],
        "getmempooldescendants": [waiting, True],
        "gettxout": [waiting, 0],
        "gettxoutproof": [[txid]],
        "verifytxoutproof": [proof],
        "validateaddress": [bob],
        "estimatesmartfee": [6],
        "getblocktemplate": [{"rules": ["segwit"], "address": bob}],
        "submitblock": [w.blocks[5].raw.hex()],
        "submitheader": [header],
        "createauxblock": [bob],
        "getsettlement": [1],
        "generatetoaddress": [1, bob],
        "generateblock": [bob, []],
        "invalidateblock": [display(w.stale.hash)],
        "reconsiderblock": [display(w.stale.hash)],
        "acceptdeepreorg": [display(w.stale.hash)],
        "listunspent": [0, 9, [bob]],
        "getreceivedbyaddress": [bob],
        "listsinceblock": [None, 1, True, True, True, None, [bob]],
        "getaddresshistory": [[bob]],
        "addnode": [peer_address(40).url, "add"],
        "disconnectnode": ["", 1],
        "setban": ["192.0.2.0/24", "add"],
        "setnetworkactive": [True],
        "help": ["help"],
    }
    has_own_tests = {
        "submitauxblock",
        "subscribe",
        "unsubscribe",
        "listworkers",
        "listminers",
    }
    return {name: await w.call(name, *calls.get(name, [])) for name in ASKED_FOR if name not in has_own_tests}


async def test_every_answer_is_what_the_description_says() -> None:
    answers = await every_answer(World())
    assert answers["submitblock"] == "duplicate"
    assert answers["stop"] == "ioeX node stopping"


async def test_parameters_may_be_named_everywhere() -> None:
    w = World()
    bob = w.address(w.bob.script)
    assert await w.call("getblockhash", height=5) == display(w.blocks[5].hash)
    assert await w.call("getblock", blockhash=display(w.blocks[5].hash), verbose=False) == (
        w.blocks[5].raw.hex()
    )
    assert await w.call("validateaddress", address=bob) == await w.call("validateaddress", bob)


async def test_amounts_have_eight_decimals_on_the_wire() -> None:
    w = World()
    body = orjson.dumps({"method": "gettxout", "params": [display(w.second.txid), 1], "id": 1})
    reply = await w.dispatcher.handle(body, CallContext())
    assert b'"value":1.99995000' in (reply.body or b"")


# --- control ---------------------------------------------------------------------------------------------


async def test_help() -> None:
    w = World()
    text = await w.call("help")
    for name in ASKED_FOR:
        assert f"\n{name}" in text
    assert "== Mining ==" in text
    assert (await w.call("help", "getblock")).startswith("getblock blockhash ( verbosity )")
    with pytest.raises(RpcRefused, match="unknown command: nothing"):
        await w.call("help", "nothing")
    with pytest.raises(RpcRefused, match="command"):
        await w.call("help", 5)


async def test_state_uptime_and_stop() -> None:
    w = World()
    w.backend.clock.time = w.backend.started_at + 90
    state = await w.call("getnodestate")
    assert (state["uptime"], await w.call("uptime")) == (90, 90)
    assert (state["network"], state["height"], state["connections"]) == ("devnet", 5, 3)
    assert state["datadir"] == "/home/u/.ioex"
    assert "datadir" not in await w.call("getnodestate", authorized=False)
    with pytest.raises(RpcRefused):
        await w.call("stop", authorized=False)
    assert not w.backend.stopped
    await w.call("stop")
    assert w.backend.stopped


# --- the error table -------------------------------------------------------------------------------------

HASH = BlockHash(bytes(32))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownBlock("x"), -5),
        (UnknownParent(HASH), -25),
        (BelowFloor("x"), -25),
        (InvalidBlock("x"), -25),
        (UndoMissing("x"), -1),
        (StoreCorrupt("/secret/path"), -20),
        (errors.HighHash("x"), -25),
        (errors.SignatureWrong("x"), -26),
        (policy.FeeTooLow("x"), -26),
        (policy.MissingInputs("x"), -25),
        (policy.AlreadyConfirmed("x"), -27),
        (errors.BadCompact("x"), -25),
    ],
)
def test_domain_errors_have_cores_codes(error: Exception, code: int) -> None:
    answered = pow_error_table().translate(error, "test")
    assert answered.code == code
    assert "/secret" not in answered.message


def test_bips_words() -> None:
    assert reason_of(errors.CoinbaseTooMuch("x")) == "bad-cb-amount"
    assert reason_of(errors.BlockTransactionError(1, errors.Immature("x"))) == (
        "bad-txns-premature-spend-of-coinbase"
    )
    assert reason_of(errors.TimeTooNew("x")) == "time-too-new"
    assert reason_of(UnknownParent(HASH)) == "prev-blk-not-found"
    assert reason_of(BelowFloor("x")) == "rejected"
    assert transaction_refused(policy.Dust("y")).message == "dust: y"


# --- subscriptions ---------------------------------------------------------------------------------------


class Listener:
    """A WebSocket's end."""

    limit = 8

    def __init__(self, world: World) -> None:
        self.world = world
        self.messages: list[bytes] = []

    def push(self, message: bytes) -> None:
        self.messages.append(message)

    async def call(self, method: str, *params: object) -> Any:
        context = CallContext(push=self)
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        reply = await self.world.dispatcher.handle(body, context)
        for action in context.after_reply:
            action()
        return orjson.loads(reply.body or b"")

    def results(self) -> list[Any]:
        return [orjson.loads(message)["params"]["result"] for message in self.messages]


def publish_heads(w: World) -> None:
    for event in w.backend.events:
        w.port.publisher.head_changed(event)
    w.backend.events.clear()


async def test_new_blocks_are_pushed_as_headers() -> None:
    w = World()
    w.backend.events.clear()
    listener = Listener(w)
    id_ = (await listener.call("subscribe", "blocks"))["result"]
    block = w.chain.block(w.blocks[5])
    w.ledger.accept_block(block)
    publish_heads(w)
    assert listener.results() == [await w.call("getblockheader", display(block.hash))]
    assert (await listener.call("unsubscribe", id_))["result"] is True
    w.ledger.accept_block(w.chain.block(block))
    publish_heads(w)
    assert len(listener.messages) == 1


async def test_a_reorganisation_is_pushed_with_its_fork_and_then_its_blocks() -> None:
    w = World()
    w.backend.events.clear()
    both, reorgs = Listener(w), Listener(w)
    await both.call("subscribe", "blocks")
    await reorgs.call("subscribe", "reorganisations")
    last = w.chain.block(w.stale)
    w.ledger.accept_block(last)
    publish_heads(w)
    assert [result["hash"] for result in both.results()] == [display(w.stale.hash), display(last.hash)]
    assert reorgs.results() == [
        {
            "fork": {"hash": display(w.blocks[4].hash), "height": 4},
            "disconnected": [{"hash": display(w.blocks[5].hash), "height": 5}],
            "connected": [
                {"hash": display(w.stale.hash), "height": 5},
                {"hash": display(last.hash), "height": 6},
            ],
            "head": {"hash": display(last.hash), "height": 6},
        }
    ]


async def test_an_extension_is_no_reorganisation() -> None:
    w = World()
    listener = Listener(w)
    await listener.call("subscribe", "reorganisations")
    head = w.ledger.head
    w.port.publisher.head_changed(
        HeadChanged((), (Connected(head, w.backend.events[-1].connected[-1].receipt),), head)
    )
    assert listener.messages == []


async def test_transactions_are_pushed_to_those_who_watch_their_addresses() -> None:
    w = World()
    every, mine, others = Listener(w), Listener(w), Listener(w)
    await every.call("subscribe", "transactions")
    await mine.call("subscribe", "transactions", {"addresses": [w.address(w.alice.script)]})
    await others.call("subscribe", "transactions", {"addresses": [w.address(b"\x00\x14" + bytes(20))]})
    w.port.publisher.transaction_added(w.waiting)
    assert len(every.messages) == len(mine.messages) == 1
    assert others.messages == []
    result = mine.results()[0]
    assert result["txid"] == display(w.waiting.txid)
    assert result["outputs"][0] == {"n": 0, "value": 1.0, "address": w.address(w.alice.script)}


@pytest.mark.parametrize(
    ("params", "code", "name"),
    [
        (("nothing",), -8, "topic"),
        ((5,), -3, "topic"),
        (("blocks", 5), -1, "params"),
        (("transactions", {"addresses": [5]}), -8, "params"),
        (("transactions", {"addresses": "x"}), -8, "params"),
    ],
)
async def test_wrong_subscriptions(params: tuple[Any, ...], code: int, name: str) -> None:
    answer = await Listener(World()).call("subscribe", *params)
    assert answer["error"]["code"] == code
    assert answer["error"]["message"].startswith(name)
