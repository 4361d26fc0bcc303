"""Logs, filters and subscriptions, through new blocks and reorganisations."""

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from eth_rpc_world import ALICE, ALICE_ADDRESS, CONTRACT, TOPIC, World, sign, told_world

from ioex_chain.rpc.eth import filters, logs

CONTRACT_HEX = "0x" + CONTRACT.hex()
TOPIC_HEX, OTHER = f"0x{TOPIC:064x}", f"0x{6:064x}"


class Socket:
    """A WebSocket that keeps what it was sent."""

    def __init__(self) -> None:
        self.limit = 8
        self.sent: list[Any] = []

    def push(self, message: bytes) -> None:
        notice = orjson.loads(message)
        assert notice["method"] == "eth_subscription"
        self.sent.append(notice["params"]["result"])


@pytest.fixture
def world() -> Iterator[World]:
    made = told_world()
    yield made
    made.close()


def call(nonce: int) -> bytes:
    return sign(ALICE, nonce, to=CONTRACT, data=nonce.to_bytes(32, "big"))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 0),
        ({"fromBlock": "0x0"}, 3),
        ({"fromBlock": "earliest", "toBlock": "0x1"}, 0),
        ({"fromBlock": "0x2", "toBlock": "0x2"}, 3),
        ({"fromBlock": "0x0", "address": CONTRACT_HEX}, 3),
        ({"fromBlock": "0x0", "address": [CONTRACT_HEX, "0x" + "00" * 20]}, 3),
        ({"fromBlock": "0x0", "address": "0x" + "00" * 20}, 0),
        ({"fromBlock": "0x0", "topics": [TOPIC_HEX]}, 3),
        ({"fromBlock": "0x0", "topics": [[OTHER, TOPIC_HEX]]}, 3),
        ({"fromBlock": "0x0", "topics": [OTHER]}, 0),
        ({"fromBlock": "0x0", "topics": [None]}, 3),
        ({"fromBlock": "0x0", "topics": [[]]}, 3),
        ({"fromBlock": "0x0", "topics": [None, None]}, 0),
        ({"fromBlock": "0x50"}, 0),
        ({"fromBlock": "0x0", "toBlock": "0x99"}, 3),
    ],
)
async def test_logs_match_by_block_address_and_topic(world: World, query: Any, count: int) -> None:
    found = await world.ask("eth_getLogs", query)
    assert len(found) == count
    assert all(log["data"][-2:] in ("07", "08", "00") and log["removed"] is False for log in found)


async def test_logs_of_one_block_by_hash(world: World) -> None:
    hash_ = "0x" + world.chain.entries[2].hash.hex()
    assert len(await world.ask("eth_getLogs", {"blockHash": hash_})) == 3
    assert (await world.error("eth_getLogs", {"blockHash": hash_, "fromBlock": "0x1"}))["code"] == -32602
    assert (await world.error("eth_getLogs", {"blockHash": OTHER}))["code"] == -32001


async def test_searches_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await world.error("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x2710"}))["code"] == -32005
    monkeypatch.setattr(logs, "MAX_RESULTS", 2)
    error = await world.error("eth_getLogs", {"fromBlock": "0x0"})
    assert "more than 2 logs" in error["message"]


async def test_polled_filters_give_what_is_new_once(world: World) -> None:
    by_log = await world.ask("eth_newFilter", {"address": CONTRACT_HEX})
    elsewhere = await world.ask("eth_newFilter", {"address": "0x" + "00" * 20})
    by_block = await world.ask("eth_newBlockFilter")
    head = world.chain.add(call(4), call(5))
    world.connect(head)
    assert [log["data"][-1] for log in await world.ask("eth_getFilterChanges", by_log)] == ["4", "5"]
    assert await world.ask("eth_getFilterChanges", by_block) == ["0x" + head.hash.hex()]
    for number in (by_log, elsewhere, by_block):
        assert await world.ask("eth_getFilterChanges", number) == []
    assert len(await world.ask("eth_getFilterLogs", by_log)) == 2
    assert (await world.error("eth_getFilterLogs", by_block))["code"] == -32000
    assert await world.ask("eth_uninstallFilter", by_log) is True
    assert await world.ask("eth_uninstallFilter", by_log) is False
    assert (await world.error("eth_getFilterChanges", by_log))["code"] == -32001


async def test_a_filter_of_a_range_hears_only_of_its_blocks(world: World) -> None:
    number = await world.ask("eth_newFilter", {"fromBlock": "0x5", "toBlock": "0x5"})
    for nonce in (4, 5, 6):
        world.connect(world.chain.add(call(nonce)))
    assert [log["blockNumber"] for log in await world.ask("eth_getFilterChanges", number)] == ["0x5"]


async def test_filters_expire_are_counted_and_may_not_fall_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await world.ask("eth_newBlockFilter")
    world.time = filters.LIFETIME - 1
    young = await world.ask("eth_newBlockFilter")
    world.time = filters.LIFETIME + 1
    assert (await world.error("eth_getFilterChanges", old))["code"] == -32001
    assert await world.ask("eth_getFilterChanges", young) == []
    monkeypatch.setattr(filters, "MAX_FILTERS", 1)
    assert (await world.error("eth_newBlockFilter"))["code"] == -32005
    monkeypatch.setattr(filters, "MAX_HELD", 1)
    for nonce in (4, 5):
        world.connect(world.chain.add(call(nonce)))
    assert (await world.error("eth_getFilterChanges", young))["code"] == -32001


async def test_pending_transactions_are_told_by_hash_or_whole(world: World) -> None:
    hashes, whole = Socket(), Socket()
    await world.reply("eth_subscribe", ["newPendingTransactions"], hashes)
    await world.reply("eth_subscribe", ["newPendingTransactions", True], whole)
    number = await world.ask("eth_newPendingTransactionFilter")
    sent = await world.ask("eth_sendRawTransaction", "0x" + call(4).hex())
    pooled = world.backend.pool.get(bytes.fromhex(sent[2:]))
    assert pooled is not None
    world.port.publisher.transaction_added(pooled)
    assert hashes.sent == [sent]
    assert whole.sent[0]["from"] == "0x" + ALICE_ADDRESS.hex()
    assert await world.ask("eth_getFilterChanges", number) == [sent]


async def test_a_reorganisation_takes_logs_back_newest_first(world: World) -> None:
    heads, told, none = Socket(), Socket(), Socket()
    await world.reply("eth_subscribe", ["newHeads"], heads)
    await world.reply("eth_subscribe", ["logs", {"topics": [TOPIC_HEX]}], told)
    await world.reply("eth_subscribe", ["logs", {"topics": [OTHER]}], none)
    number = await world.ask("eth_newFilter", {})
    world.connect(world.chain.add(call(4), call(5)))
    old = world.chain.drop()
    new = world.chain.add(call(4), slots=3)
    world.connect(new, [old])
    assert [head["hash"] for head in heads.sent] == ["0x" + e.hash.hex() for e in (old, new)]
    rows = [(log["data"][-1], log["removed"], log["blockHash"][2:]) for log in told.sent]
    before, after = old.hash.hex(), new.hash.hex()
    assert rows == [
        ("4", False, before),
        ("5", False, before),
        ("5", True, before),
        ("4", True, before),
        ("4", False, after),
    ]
    assert await world.ask("eth_getFilterChanges", number) == told.sent
    assert none.sent == []


async def test_heads_are_headers_and_syncing_is_told_when_it_changes(world: World) -> None:
    socket = Socket()
    await world.reply("eth_subscribe", ["syncing"], socket)
    await world.reply("eth_subscribe", ["newHeads", {}], socket)
    world.backend.syncing = True
    world.connect(world.chain.add())
    world.connect(world.chain.add())
    world.backend.syncing = False
    world.port.publisher.sync_changed()
    kinds = [item if isinstance(item, bool) else "number" in item or item["syncing"] for item in socket.sent]
    assert kinds == [True, True, True, False]
    assert socket.sent[0]["baseFeePerGas"] == "0x3b9aca00"
    assert "transactions" not in socket.sent[0]
    assert socket.sent[1]["status"]["highestBlock"] == "0x9"


@pytest.mark.parametrize(
    "params", [["logs", {"topics": "x"}], ["nonsense"], ["newPendingTransactions", 5], []]
)
async def test_wrong_subscriptions_are_refused(world: World, params: Any) -> None:
    answer = await world.reply("eth_subscribe", params, Socket())
    assert answer["error"]["code"] == -32602


async def test_events_of_large_blocks_come_in_order(world: World) -> None:
    heads, told = Socket(), Socket()
    await world.reply("eth_subscribe", ["newHeads"], heads)
    await world.reply("eth_subscribe", ["logs"], told)
    for nonce, size in ((4, 320), (324, 1), (325, 1)):
        world.connect(world.chain.add(*(call(nonce + at) for at in range(size))))
    assert heads.sent == []
    while len(heads.sent) < 3:
        await asyncio.sleep(0.005)
    assert [head["number"] for head in heads.sent] == ["0x4", "0x5", "0x6"]
    assert [int(log["data"], 16) for log in told.sent] == list(range(4, 326))
    world.connect(world.chain.add(call(326)))
    assert len(heads.sent) == 4
