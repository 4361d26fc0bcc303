"""Blocks, state, transactions and fees: which block a request means, and what is said of it."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from eth_rpc_world import (
    ALICE,
    ALICE_ADDRESS,
    BOB,
    BOB_ADDRESS,
    CONTRACT,
    GWEI,
    World,
    init_code,
    sign,
    told_world,
)

ALICE_HEX, BOB_HEX, CONTRACT_HEX = ("0x" + a.hex() for a in (ALICE_ADDRESS, BOB_ADDRESS, CONTRACT))


@pytest.fixture
def world() -> Iterator[World]:
    made = told_world()
    yield made
    made.close()


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


async def test_tags_mean_head_justified_final_and_first_block(world: World) -> None:
    world.backend.final = 1
    found = [
        (await world.ask("eth_getBlockByNumber", tag))["number"]
        for tag in ("latest", "safe", "finalized", "earliest", "pending")
    ]
    assert found == ["0x3", "0x1", "0x1", "0x0", "0x4"]


async def test_state_is_that_of_the_block_named(world: World) -> None:
    second = world.chain.entries[2]
    for block in ("0x2", hexed(second.hash), {"blockNumber": "0x2"}, {"blockHash": hexed(second.hash)}):
        assert await world.ask("eth_getTransactionCount", ALICE_HEX, block) == "0x3"
        assert await world.ask("eth_getStorageAt", CONTRACT_HEX, "0x0", block) == f"0x{3:064x}"
    assert await world.ask("eth_getStorageAt", CONTRACT_HEX, "0x0", "0x1") == "0x" + "0" * 64
    assert await world.ask("eth_getCode", CONTRACT_HEX, "earliest") == "0x"
    assert await world.ask("eth_getCode", BOB_HEX) == "0xef0100" + CONTRACT.hex()


async def test_blocks_that_are_unknown_or_left_the_best_chain(world: World) -> None:
    gone = world.chain.drop()
    assert await world.ask("eth_getBlockByHash", hexed(gone.hash)) is not None
    for block in (hexed(gone.hash), {"blockHash": hexed(gone.hash), "requireCanonical": True}):
        error = await world.error("eth_getBalance", ALICE_HEX, block)
        assert error == {"code": -32000, "message": "hash is not currently canonical"}
    assert (await world.error("eth_getBalance", ALICE_HEX, "0x99"))["code"] == -32001
    assert await world.ask("eth_getBlockByNumber", "0x99") is None
    assert await world.ask("eth_getTransactionReceipt", hexed(bytes(32))) is None


async def test_pruned_state_says_so(world: World) -> None:
    world.backend.state_depth = 1
    error = await world.error("eth_getBalance", ALICE_HEX, "0x0")
    assert error == {"code": -32002, "message": "the state of block 0 is not kept any more"}


async def test_missing_bodies_and_receipts_are_pruned_history(world: World) -> None:
    second = world.chain.entries[2]
    del world.chain.receipts[second.hash]
    assert (await world.error("eth_getBlockReceipts", "0x2"))["code"] == 4444
    assert await world.ask("eth_getBlockByNumber", "0x2") is not None
    del world.chain.blocks[world.chain.entries[1].hash]
    assert (await world.error("eth_getBlockByNumber", "0x1"))["code"] == 4444


async def test_transaction_forms(world: World) -> None:
    created, plain = await transactions(world, "0x1")
    typed, listed, delegating = await transactions(world, "0x2")
    assert (created["type"], created["to"], created["yParity"]) == ("0x2", None, created["v"])
    assert created["gasPrice"] == hex(2 * GWEI)
    assert plain["type"] == "0x0"
    assert int(plain["v"], 16) in (35 + 2 * 51_337, 36 + 2 * 51_337)
    assert "yParity" not in plain
    assert (listed["type"], "maxFeePerGas" in listed) == ("0x1", False)
    assert typed["accessList"] == [{"address": CONTRACT_HEX, "storageKeys": ["0x" + "00" * 32]}]
    assert delegating["authorizationList"][0]["address"] == CONTRACT_HEX
    for index, tx in enumerate((typed, listed, delegating)):
        assert tx == await world.ask("eth_getTransactionByHash", tx["hash"])
        assert tx == await world.ask("eth_getTransactionByBlockNumberAndIndex", "0x2", hex(index))


async def transactions(world: World, block: str) -> list[Any]:
    found: list[Any] = (await world.ask("eth_getBlockByNumber", block, True))["transactions"]
    return found


async def test_receipts_count_gas_and_logs_through_the_block(world: World) -> None:
    receipts = await world.ask("eth_getBlockReceipts", "0x2")
    assert [log["logIndex"] for r in receipts for log in r["logs"]] == ["0x0", "0x1", "0x2"]
    total = 0
    for index, receipt in enumerate(receipts):
        total += int(receipt["gasUsed"], 16)
        assert (receipt["cumulativeGasUsed"], receipt["transactionIndex"]) == (hex(total), hex(index))
        assert receipt == await world.ask("eth_getTransactionReceipt", receipt["transactionHash"])
    (failed,) = await world.ask("eth_getBlockReceipts", "latest")
    assert failed["status"] == "0x0"
    (created, _) = await world.ask("eth_getBlockReceipts", "0x1")
    assert created["contractAddress"] == CONTRACT_HEX
    assert receipts[0]["contractAddress"] is None


async def test_large_blocks_are_written_by_a_thread_and_say_the_same(world: World) -> None:
    entry = world.chain.add(
        *(sign(BOB, 3 + n, to=ALICE_ADDRESS, gas=21_000, gasPrice=2 * GWEI) for n in range(301))
    )
    assert entry.header.header.gas_used > 6_300_000
    for _ in range(2):
        receipts = await world.ask("eth_getBlockReceipts", "latest")
        assert [int(r["transactionIndex"], 16) for r in receipts] == list(range(301))
        assert len((await world.ask("eth_getBlockByNumber", "latest", True))["transactions"]) == 301
        one = await world.ask("eth_getTransactionReceipt", receipts[300]["transactionHash"])
        assert one == receipts[300]
    assert await world.ask("eth_getBlockTransactionCountByNumber", "latest") == hex(301)


async def test_pool_transactions_are_pending(world: World) -> None:
    raw, later = sign(ALICE, 4, to=BOB_ADDRESS, gas=21_000), sign(ALICE, 9, data=init_code(b"\x00"))
    sent = await world.ask("eth_sendRawTransaction", hexed(raw))
    await world.ask("eth_sendRawTransaction", hexed(later))
    assert (await world.ask("eth_getTransactionByHash", sent))["blockHash"] is None
    assert await world.ask("eth_getTransactionReceipt", sent) is None
    assert await world.ask("eth_getTransactionCount", ALICE_HEX, "pending") == "0x5"
    assert await world.ask("eth_getTransactionCount", ALICE_HEX, "latest") == "0x4"
    assert await world.ask("eth_getTransactionCount", BOB_HEX, "pending") == "0x3"
    assert await world.ask("txpool_status") == {"pending": "0x1", "queued": "0x1"}
    content = await world.ask("txpool_content")
    assert content["pending"][ALICE_HEX]["4"]["hash"] == sent
    assert list(content["queued"][ALICE_HEX]) == ["9"]
    assert await world.ask("txpool_contentFrom", ALICE_HEX) == {
        kind: content[kind][ALICE_HEX] for kind in ("pending", "queued")
    }
    assert "contract creation" in (await world.ask("txpool_inspect"))["queued"][ALICE_HEX]["9"]
    pending = await world.ask("eth_getBlockByNumber", "pending", True)
    assert [tx["hash"] for tx in pending["transactions"]] == [sent]
    assert pending["parentHash"] == hexed(world.chain.head.hash)
    assert await world.ask("debug_getRawTransaction", sent) == hexed(raw)


@pytest.mark.parametrize(
    ("raw", "words", "code"),
    [
        (sign(ALICE, 3, to=BOB_ADDRESS, gas=21_000), "nonce too low", -32003),
        (sign(ALICE, 4, to=BOB_ADDRESS, gas=20_999), "intrinsic gas too low", -32003),
        (sign(ALICE, 4, to=BOB_ADDRESS, value=10**30), "insufficient funds", -32003),
        (sign(ALICE, 4, to=BOB_ADDRESS, chainId=1), "chain", -32003),
        (b"\x03\xc0", "blob", -32000),
        (b"\x02\xc0", "", -32000),
        (b"", "", -32000),
    ],
)
async def test_refused_transactions_use_the_words_that_clients_know(
    world: World, raw: bytes, words: str, code: int
) -> None:
    error = await world.error("eth_sendRawTransaction", hexed(raw))
    assert words in error["message"].lower()
    assert error["code"] in (code, -32003)


async def test_replacement_words(world: World) -> None:
    await world.ask("eth_sendRawTransaction", hexed(sign(ALICE, 4, to=BOB_ADDRESS)))
    again = await world.error("eth_sendRawTransaction", hexed(sign(ALICE, 4, to=BOB_ADDRESS)))
    assert "already known" in again["message"]
    other = await world.error("eth_sendRawTransaction", hexed(sign(ALICE, 4, to=BOB_ADDRESS, value=1)))
    assert "replacement transaction underpriced" in other["message"]


async def test_fee_history_counts_back_from_the_newest(world: World) -> None:
    history = await world.ask("eth_feeHistory", "0x2", "0x2", [0, 100])
    assert history["oldestBlock"] == "0x1"
    assert history["baseFeePerGas"] == [hex(GWEI)] * 3
    assert history["gasUsedRatio"][1] == pytest.approx(
        world.chain.entries[2].header.header.gas_used / 210_000_000
    )
    assert history["reward"] == [[hex(GWEI), hex(GWEI)]] * 2
    assert "reward" not in await world.ask("eth_feeHistory", 2, "latest", [])
    assert (await world.ask("eth_feeHistory", "0x0", "latest"))["gasUsedRatio"] == []
    assert (await world.error("eth_feeHistory", "0x1", "latest", [50, 10]))["code"] == -32602


async def test_suggested_prices_cover_the_base_fee(world: World) -> None:
    tip = int(await world.ask("eth_maxPriorityFeePerGas"), 16)
    assert tip == GWEI
    assert int(await world.ask("eth_gasPrice"), 16) == tip + GWEI
    world.chain.add()
    assert int(await world.ask("eth_gasPrice"), 16) == tip + GWEI


async def test_the_node_says_who_it_is(world: World) -> None:
    assert (await world.ask("web3_clientVersion")).startswith("ioex/v0.1.0/")
    assert await world.ask("net_version") == "51337"
    assert await world.ask("net_peerCount") == "0x3"
    assert await world.ask("net_listening") is True
    empty = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert await world.ask("web3_sha3", "0x") == empty
    assert await world.ask("eth_accounts") == []
    assert (await world.error("eth_fillTransaction", {}))["code"] == -32601


async def test_raw_forms_hash_to_what_they_are(world: World) -> None:
    block = await world.ask("eth_getBlockByNumber", "0x2")
    header = await world.ask("debug_getRawHeader", "0x2")
    assert await world.ask("web3_sha3", header) == block["hash"]
    raw = await world.ask("debug_getRawBlock", "0x2")
    assert raw[2:].find(header[2:]) > 0
    traces = await world.ask("debug_traceBlock", raw, {"tracer": "callTracer"})
    assert [t["txHash"] for t in traces] == block["transactions"]
    assert await world.ask("debug_traceBlock", await world.ask("ioex_getRawBlock", "0x2")) != traces
    assert (await world.error("debug_traceBlock", "0xc0"))["code"] == -32602
    began = time.process_time()
    for many in ("c4c3010101", "f9ffff" + "01" * 65_535, "fa1e8480" + "01" * 2_000_000):
        assert "code" in await world.error("debug_traceBlock", "0x" + many)
    assert time.process_time() - began < 5  # 130 s for a reader that copies what is left at each item
    assert (await world.error("debug_traceBlockByNumber", "0x0"))["message"] == "genesis is not traceable"


async def test_ioex_methods_tell_of_the_consortium(world: World) -> None:
    found = await world.ask("ioex_getArbitrators")
    assert len(found["current"]["members"]) == len(found["ranking"]) == 4
    assert found["waiting"][0]["set"] == "0x1"
    assert (await world.ask("ioex_getSchedule", 0))["slots"][3]["slot"] == "0x3"
    assert await world.ask("ioex_getSchedule", 99) is None
    missed = await world.ask("ioex_getMissedSlots", 0, "0x10")
    assert [(row["slot"], row["block"], row["reason"]) for row in missed[:1]] == [("0x3", None, "late")]
    assert len(await world.ask("ioex_getSlots", 0, 4)) == 5
    assert (await world.error("ioex_getSlots", 0, 10_000))["code"] == -32005
    certificate = await world.ask("ioex_getCertificate")
    assert certificate["signers"] == ["0x0", "0x1", "0x3"]
    assert await world.ask("ioex_getCertificate", "0x1") is None
    assert (await world.ask("ioex_getVotes"))[0]["votes"][0]["index"] == "0x2"
    assert (await world.ask("ioex_getFinality"))["stalled"] is False
    assert (await world.ask("ioex_getEvidence"))[0]["kind"] == "seal"
    signs, listens = await world.ask("ioex_getSigning")
    assert (signs["signs"], listens["signs"], listens["reason"]) == (True, False, "watching")
    assert (await world.ask("ioex_getSlot", 1))["slot"] is None
    assert (await world.ask("ioex_getBlockPosition", "0x3"))["slot"] == "0x4"
    assert (await world.ask("ioex_getPayload"))["certificate"] is None
    assert len((await world.ask("ioex_getSeal"))["seal"]) == 132
