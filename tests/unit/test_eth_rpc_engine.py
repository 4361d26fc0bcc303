"""The port over the real engine: calls, estimates, simulations and traces of a real chain."""

from collections.abc import Iterator
from typing import Any

import pytest
from eth_rpc_world import ALICE_ADDRESS, BOB_ADDRESS, CONTRACT, ENDLESS, TOPIC, World, node_engine, told_world

from ioex_chain.node import eth_engine
from ioex_chain.rpc.eth import calls

ALICE_HEX, BOB_HEX, CONTRACT_HEX = ("0x" + a.hex() for a in (ALICE_ADDRESS, BOB_ADDRESS, CONTRACT))
WORD = "0x" + "00" * 31 + "2a"
CALL = {"from": ALICE_HEX, "to": CONTRACT_HEX, "input": WORD}


@pytest.fixture
def world() -> Iterator[World]:
    made = told_world(node_engine)
    yield made
    made.close()


def returning(opcode: int) -> dict[str, Any]:
    """Override the contract by code that returns what an opcode pushes."""
    return {CONTRACT_HEX: {"code": f"0x{opcode:02x}60005260206000f3"}}


@pytest.mark.parametrize(
    ("opcode", "block", "value"),
    [(0x43, "0x2", 2), (0x43, "pending", 4), (0x42, "0x3", 1_700_000_004), (0x42, "pending", 1_700_000_005)],
)
async def test_calls_see_the_block_that_they_name(world: World, opcode: int, block: str, value: int) -> None:
    found = await world.ask("eth_call", {"to": CONTRACT_HEX}, block, returning(opcode))
    assert int(found, 16) == value


async def test_block_overrides_and_hashes_of_ancestors(world: World) -> None:
    changed = {"number": "0x99", "time": "0x98", "prevRandao": "0x97", "feeRecipient": BOB_HEX}
    for opcode, value in ((0x43, 0x99), (0x42, 0x98), (0x44, 0x97), (0x41, int(BOB_HEX, 16))):
        found = await world.ask("eth_call", {"to": CONTRACT_HEX}, "latest", returning(opcode), changed)
        assert int(found, 16) == value
    parent = {CONTRACT_HEX: {"code": "0x60024060005260206000f3"}}
    assert await world.ask("eth_call", {"to": CONTRACT_HEX}, "latest", parent) == (
        "0x" + world.chain.entries[2].hash.hex()
    )


async def test_estimates_are_enough_and_not_much_more(world: World) -> None:
    plain = {"from": ALICE_HEX, "to": "0x" + "aa" * 20, "value": "0x1"}
    assert await world.ask("eth_estimateGas", plain) == "0x5208"
    gas = int(await world.ask("eth_estimateGas", CALL), 16)
    assert await world.ask("eth_call", CALL | {"gas": hex(gas)}) == WORD
    assert "error" in await world.reply("eth_call", [CALL | {"gas": hex(gas * 97 // 100)}, "latest"])
    error = await world.error("eth_estimateGas", {"from": ALICE_HEX, "to": BOB_HEX, "value": hex(10**30)})
    assert "insufficient funds" in error["message"]


async def test_estimates_beyond_what_a_block_executes_are_refused(world: World) -> None:
    burns = {CONTRACT_HEX: {"code": "0x6000624a000052"}}  # memory of 4.8 MB costs 45,000,000 gas
    error = await world.error("eth_estimateGas", {"to": CONTRACT_HEX}, "latest", burns)
    assert "gas required exceeds allowance" in error["message"]


async def test_access_lists_name_the_slots(world: World) -> None:
    found = await world.ask("eth_createAccessList", CALL)
    assert {"address": CONTRACT_HEX, "storageKeys": ["0x" + "00" * 32]} in found["accessList"]


async def test_simulated_blocks_stand_on_each_other(world: World) -> None:
    steps = [
        {"calls": [CALL], "blockOverrides": {"number": "0x5"}},
        {"calls": [CALL], "stateOverrides": {BOB_HEX: {"balance": "0x5"}}},
    ]
    blocks = await world.ask("eth_simulateV1", {"blockStateCalls": steps})
    assert [block["number"] for block in blocks] == ["0x4", "0x5", "0x6"]
    assert blocks[0]["parentHash"] == "0x" + world.chain.head.hash.hex()
    assert [b["parentHash"] for b in blocks[1:]] == [b["hash"] for b in blocks[:2]]
    assert blocks[1]["calls"][0]["logs"][0]["topics"] == [f"0x{TOPIC:064x}"]
    assert blocks[1]["stateRoot"] != blocks[2]["stateRoot"]
    for step, code in (({"number": "0x3"}, -38020), ({"time": "0x1"}, -38021), ({"number": "0xfff"}, -38026)):
        error = await world.error("eth_simulateV1", {"blockStateCalls": [{"blockOverrides": step}]})
        assert error["code"] == code


async def test_traces_of_mined_transactions_are_what_happened(world: World) -> None:
    receipts = await world.ask("eth_getBlockReceipts", "0x2")
    logs = await world.ask("debug_traceBlockByNumber", "0x2")
    for receipt, traced in zip(receipts, logs, strict=True):
        assert traced["txHash"] == receipt["transactionHash"]
        assert traced["result"]["gas"] == int(receipt["gasUsed"], 16)
        one = await world.ask("debug_traceTransaction", receipt["transactionHash"])
        assert one == traced["result"]
        assert one["structLogs"][0]["op"] == "PUSH1"
        frame = await world.ask(
            "debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"}
        )
        assert (frame["type"], frame["to"], frame["from"]) == ("CALL", CONTRACT_HEX, receipt["from"])
    before = await world.ask(
        "debug_traceTransaction", receipts[1]["transactionHash"], {"tracer": "prestateTracer"}
    )
    assert before[CONTRACT_HEX]["storage"] == {"0x" + "00" * 32: f"0x{1:064x}"}
    created = (await world.ask("eth_getBlockByNumber", "0x1"))["transactions"][0]
    frame = await world.ask("debug_traceTransaction", created, {"tracer": "callTracer"})
    assert (frame["type"], frame["to"]) == ("CREATE", CONTRACT_HEX)


async def test_traces_of_a_block_end_at_what_an_answer_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(await world.ask("debug_traceBlockByNumber", "0x2")) == 3
    monkeypatch.setattr(eth_engine, "MAX_TRACES", 1_000)
    error = await world.error("debug_traceBlockByNumber", "0x2")
    assert "too long" in error["message"]


async def test_traced_calls_take_overrides(world: World) -> None:
    frame = await world.ask(
        "debug_traceCall", CALL, "latest", {"tracer": "callTracer", "stateOverrides": returning(0x43)}
    )
    assert int(frame["output"], 16) == 3


@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas", "eth_createAccessList", "debug_traceCall"])
async def test_endless_code_is_ended(world: World, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CALL_SECONDS", 0.05)
    monkeypatch.setattr(calls, "ESTIMATE_SECONDS", 0.05)
    code = {CONTRACT_HEX: {"code": "0x" + ENDLESS.hex()}}
    tracing = {"tracer": "noopTracer", "timeout": "50ms", "stateOverrides": code}
    error = await world.error(method, {"to": CONTRACT_HEX}, "latest", tracing if "trace" in method else code)
    assert error["code"] == -32002
    assert "timeout" in error["message"]
