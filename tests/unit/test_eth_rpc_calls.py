"""Calls, estimates, traces and the solo devnet's helpers."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_rpc_world import ALICE_ADDRESS, BOB_ADDRESS, CONTRACT, REVERTING, TOPIC, World, told_world

from ioex_chain.rpc.eth.evm_port import Deadline, EngineBusy, ExecutionTimeout
from ioex_chain.rpc.eth.heavy import HeavyPool
from ioex_chain.rpc.eth.revert import revert_message

ALICE_HEX, BOB_HEX, CONTRACT_HEX = ("0x" + a.hex() for a in (ALICE_ADDRESS, BOB_ADDRESS, CONTRACT))
WORD = "0x" + "00" * 31 + "2a"


@pytest.fixture
def world() -> Iterator[World]:
    made = told_world(solo=True)
    yield made
    made.close()


async def test_a_call_returns_what_the_code_returns(world: World) -> None:
    assert await world.ask("eth_call", {"to": CONTRACT_HEX, "data": WORD}) == WORD
    assert await world.ask("eth_call", {"to": CONTRACT_HEX, "input": WORD}, "0x0") == "0x"
    changed = {CONTRACT_HEX: {"code": "0x60005460005260206000f3", "stateDiff": {"0x" + "00" * 32: WORD}}}
    assert await world.ask("eth_call", {"to": CONTRACT_HEX}, "latest", changed) == WORD


async def test_a_revert_has_code_3_its_words_and_its_data(world: World) -> None:
    code = {CONTRACT_HEX: {"code": "0x" + REVERTING.hex()}}
    for method in ("eth_call", "eth_estimateGas"):
        error = await world.error(method, {"to": CONTRACT_HEX}, "latest", code)
        assert (error["code"], error["message"]) == (3, "execution reverted: nope")
        assert error["data"].startswith("0x08c379a0")


async def test_other_failures_are_named(world: World) -> None:
    error = await world.error("eth_call", {"to": CONTRACT_HEX}, "latest", {CONTRACT_HEX: {"code": "0xfe"}})
    assert error["code"] == -32000
    assert "opcode" in error["message"]
    poor = await world.error("eth_call", {"to": CONTRACT_HEX, "value": hex(10**30)})
    assert poor == {"code": -32000, "message": "insufficient funds for gas * price + value"}


async def test_blocks_and_overrides_reach_the_engine(world: World) -> None:
    block = {"number": "0x5", "time": "0x6", "prevRandao": "0x7", "baseFeePerGas": "0x8"}
    state = {ALICE_HEX: {"balance": "0x1", "nonce": "0x2"}}
    await world.ask("eth_call", {"to": BOB_HEX}, "pending", state, block)
    base, message, overrides, changed = world.backend.evm.asked[-1]
    assert (base.entry, base.next_block) == (world.chain.head, True)
    assert (overrides[ALICE_ADDRESS].balance, overrides[ALICE_ADDRESS].nonce) == (1, 2)
    assert (changed.number, changed.time, changed.prev_randao[-1], changed.base_fee) == (5, 6, 7, 8)
    assert (message.to, message.gas) == (BOB_ADDRESS, None)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (b"", "execution reverted"),
        (bytes.fromhex("08c379a0"), "execution reverted"),
        (bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big"),
         "execution reverted: panic: arithmetic underflow or overflow (0x11)"),
        (bytes.fromhex("08c379a0") + b"\xff" * 64, "execution reverted"),
        (b"\x01\x02\x03\x04", "execution reverted"),
    ],
)  # fmt: skip
def test_revert_reasons(output: bytes, message: str) -> None:
    assert revert_message(output) == message


async def test_simulations_number_logs_through_the_block(world: World) -> None:
    call = {"from": ALICE_HEX, "to": CONTRACT_HEX, "input": WORD}
    failing = {"to": CONTRACT_HEX, "input": WORD, "value": hex(10**30)}
    (block,) = await world.ask("eth_simulateV1", {"blockStateCalls": [{"calls": [call, call]}]})
    logs = [log for done in block["calls"] for log in done["logs"]]
    assert [log["logIndex"] for log in logs] == ["0x0", "0x1"]
    assert logs[0]["topics"] == [f"0x{TOPIC:064x}"]
    error = await world.error("eth_simulateV1", {"blockStateCalls": [{"calls": [failing]}]})
    assert error["code"] == -38014


async def test_trace_options_reach_the_engine(world: World) -> None:
    tx = world.chain.blocks[world.chain.entries[2].hash].transactions[1]
    await world.ask(
        "debug_traceTransaction",
        "0x" + tx.hash.hex(),
        {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}, "timeout": "1m30s"},
    )
    entry, options, only = world.backend.evm.asked[-1]
    assert (entry.height, only, options.tracer, options.config) == (
        2,
        1,
        "prestateTracer",
        {"diffMode": True},
    )
    await world.ask("debug_traceCall", {"to": BOB_HEX}, "latest", {"disableStack": True, "limit": 5})
    options = world.backend.evm.asked[-1][-1]
    assert (options.tracer, options.stack, options.storage, options.limit) == (None, False, True, 5)
    error = await world.error("debug_traceTransaction", "0x" + tx.hash.hex(), {"tracer": "nope"})
    assert "callTracer" in error["message"]


class Now:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


async def test_heavy_work_is_bounded_in_time_and_number() -> None:
    now = Now()
    pool = HeavyPool(threads=1, waiting=1, patience=5.0, now=now)

    def late(deadline: Deadline) -> None:
        now.time += 10
        deadline.check()

    with pytest.raises(ExecutionTimeout, match="timeout = 2 s"):
        await pool.run(late, 2.0)
    assert await pool.run(lambda deadline: 7, 1.0) == 7
    first = asyncio.ensure_future(pool.run(late, 1.0))
    second = asyncio.ensure_future(pool.run(late, 1.0))
    await asyncio.sleep(0)
    with pytest.raises(EngineBusy):
        await pool.run(late, 1.0)
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(result) for result in results] == [ExecutionTimeout, EngineBusy]
    assert pool.inside == 0
    pool.close()


async def test_work_ends_when_its_caller_goes() -> None:
    pool = HeavyPool(threads=1)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def spin(deadline: Deadline) -> None:
        try:
            while True:
                deadline.check()
        finally:
            loop.call_soon_threadsafe(ended.set)

    task = asyncio.ensure_future(pool.run(spin, 60.0))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait_for(ended.wait(), 10)
    pool.close()


async def test_solo_helpers_do_what_tools_ask(world: World) -> None:
    solo: Any = world.backend.solo
    for prefix in ("hardhat", "anvil"):
        assert await world.ask(f"{prefix}_setBalance", ALICE_HEX, "0x5") is True
        assert await world.ask(f"{prefix}_setNonce", ALICE_HEX, 7) is True
        assert await world.ask(f"{prefix}_setCode", ALICE_HEX, "0x60") is True
        assert await world.ask(f"{prefix}_setStorageAt", ALICE_HEX, "0x1", WORD) is True
    assert solo.did[:4] == [
        ("balance", ALICE_ADDRESS, 5),
        ("nonce", ALICE_ADDRESS, 7),
        ("code", ALICE_ADDRESS, b"\x60"),
        ("storage", ALICE_ADDRESS, 1, 42),
    ]
    assert await world.ask("evm_mine") == "0x0"
    assert await world.ask("hardhat_mine", "0x2", "0x3") is None
    assert solo.did[-2:] == [("mine", 1, 1), ("mine", 2, 3)]
    assert await world.ask("evm_revert", await world.ask("evm_snapshot")) is True
    assert await world.ask("evm_revert", "0x99") is False
    assert await world.ask("hardhat_getAutomine") is True
    await world.ask("evm_setAutomine", False)
    assert await world.ask("hardhat_getAutomine") is False
    assert await world.ask("evm_increaseTime", 60) == "0x3c"
    assert (await world.error("evm_setNextBlockTimestamp", 5))["code"] == -32602
    metadata = await world.ask("hardhat_metadata")
    assert (metadata["chainId"], metadata["latestBlockNumber"]) == (51_337, world.chain.head.height)


async def test_impersonated_accounts_send(world: World) -> None:
    solo: Any = world.backend.solo
    message = {"from": ALICE_HEX, "to": BOB_HEX, "value": "0x1"}
    assert "unknown account" in (await world.error("eth_sendTransaction", message))["message"]
    await world.ask("hardhat_impersonateAccount", ALICE_HEX)
    assert await world.ask("eth_accounts") == [ALICE_HEX]
    await world.ask("eth_sendTransaction", message)
    assert (solo.did[-1][1].sender, solo.did[-1][1].value) == (ALICE_ADDRESS, 1)
    await world.ask("hardhat_stopImpersonatingAccount", ALICE_HEX)
    assert await world.ask("eth_accounts") == []


def test_helpers_exist_on_a_solo_devnet_only(world: World) -> None:
    public = World()
    names = {entry.name for entry in world.port.table} - {entry.name for entry in public.port.table}
    assert "evm_snapshot" in names
    assert "eth_sendTransaction" in names
    assert all(name.startswith(("evm_", "anvil_", "hardhat_", "eth_send")) for name in names)
    public.close()


async def test_the_port_describes_itself(world: World) -> None:
    document = await world.ask("rpc.discover")
    methods = {entry["name"]: entry for entry in document["methods"]}
    assert set(methods) == {entry.name for entry in world.port.table}
    assert [p["name"] for p in methods["eth_feeHistory"]["params"]] == [
        "blockCount",
        "newestBlock",
        "rewardPercentiles",
    ]


def test_the_page_on_rpc_names_every_method_and_topic(world: World) -> None:
    page = (Path(__file__).parents[2] / "docs" / "rpc.md").read_text().partition("of the DPoS chain\n")[2]
    words = set(re.findall(r"[a-z0-9]+[_.][A-Za-z0-9_]+", page))
    tools = re.search(r"with the prefixes `hardhat_`\s+and `anvil_`: ([A-Za-z\s]+);", page)
    assert tools is not None
    words |= {f"{prefix}_{name}" for prefix in ("hardhat", "anvil") for name in tools[1].split()}
    missing = {entry.name for entry in world.port.table} - words
    assert missing == {"eth_subscribe", "eth_unsubscribe"} - words
    assert all(f"`{topic.name}`" in page for topic in world.port.subscriptions.topics())
