"""State and block overrides at and beyond their bounds: a result or a typed error, never an internal one."""

from collections.abc import Iterator
from typing import Any

import pytest
from eth_rpc_world import ALICE_ADDRESS, BOB_ADDRESS, CONTRACT, World, node_engine, told_world

ALICE, BOB, THERE = ("0x" + address.hex() for address in (ALICE_ADDRESS, BOB_ADDRESS, CONTRACT))
MOST, BEYOND = hex(2**256 - 1), hex(2**256)
WORD = "0x" + "ff" * 32
CREATES = "0x5f5f5ff05f5260205ff3"
DESTROYS = "0x73" + BOB[2:] + "ff"
PAYS_ON = "0x5f5f5f5f4773" + BOB[2:] + "5af1"
INTERNAL = -32603
TO_CONTRACT = {"from": ALICE, "to": THERE}
ONE_FROM_ALICE = {"from": ALICE, "to": BOB, "value": "0x1", "gas": "0x186a0"}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = told_world(node_engine)
    yield made
    made.close()


def requests(call: dict[str, Any], state: Any, block: Any = None) -> list[tuple[str, list[Any]]]:
    """Ask every method that takes overrides."""
    changed = [{} if block is None else block]
    step = {"calls": [call], "stateOverrides": state, "blockOverrides": changed[0]}
    tracers = [{"tracer": name} for name in ("callTracer", "prestateTracer")]
    options = [{**one, "stateOverrides": state, "blockOverrides": changed[0]} for one in ({}, *tracers)]
    return [
        ("eth_call", [call, "latest", state, *changed]),
        ("eth_estimateGas", [call, "latest", state, *changed]),
        ("eth_createAccessList", [call, "latest", state]),
        *(("debug_traceCall", [call, "latest", one]) for one in options),
        *(
            ("eth_simulateV1", [{"blockStateCalls": [step], **flags}, "latest"])
            for flags in ({}, {"validation": True}, {"traceTransfers": True, "returnFullTransactions": True})
        ),
    ]


async def answers(world: World, *args: Any) -> list[dict[str, Any]]:
    found = [await world.reply(method, params) for method, params in requests(*args)]
    for (method, _), answer in zip(requests(*args), found, strict=True):
        error = answer.get("error", {})
        assert error.get("code") != INTERNAL, (method, answer)
        assert "Traceback" not in error.get("message", "")
    return found


@pytest.mark.parametrize(
    ("call", "state", "block"),
    [
        (ONE_FROM_ALICE, {BOB: {"balance": MOST}}, None),
        (TO_CONTRACT, {THERE: {"code": DESTROYS, "balance": "0x1"}, BOB: {"balance": MOST}}, None),
        (TO_CONTRACT, {THERE: {"code": PAYS_ON, "balance": "0x1"}, BOB: {"balance": MOST}}, None),
        (
            {"from": ALICE, "to": THERE, "maxFeePerGas": "0x77359400", "maxPriorityFeePerGas": "0x1"},
            {BOB: {"balance": MOST}, ALICE: {"balance": hex(10**30)}},
            {"feeRecipient": BOB},
        ),
    ],
)
async def test_a_balance_beyond_256_bits_is_refused_by_its_name(
    world: World, call: dict[str, Any], state: Any, block: Any
) -> None:
    found = await answers(world, call, state, block)
    refused = [answer["error"]["message"] for answer in found if "error" in answer]
    assert any("2^256" in message for message in refused)


async def test_withdrawals_beyond_256_bits_are_refused(world: World) -> None:
    item = {"index": "0x0", "validatorIndex": "0x0", "address": BOB, "amount": "0xffffffffffffffff"}
    step = {"stateOverrides": {BOB: {"balance": MOST}}, "blockOverrides": {"withdrawals": [item]}}
    error = await world.error("eth_simulateV1", {"blockStateCalls": [step]}, "latest")
    assert error["code"] == -32000
    assert "2^256" in error["message"]


@pytest.mark.parametrize(
    "account",
    [
        {"balance": BEYOND},
        {"balance": "-0x1"},
        {"nonce": hex(2**64)},
        {"nonce": MOST},
        {"code": "0x0"},
        {"code": "zz"},
        {"state": {"0x" + "00" * 33: WORD}},
        {"state": {WORD: "0x" + "ff" * 33}},
        {"stateDiff": {BEYOND: "0x1"}},
        {"stateDiff": {WORD: BEYOND}},
        {"state": {}, "stateDiff": {}},
        {"movePrecompileToAddress": BOB},
        {"movePrecompileToAddress": "0x1"},
        {"balance": 1.5},
        {"nonce": True},
        [],
        "0x",
    ],
)
async def test_fields_beyond_their_bounds_are_refused(world: World, account: Any) -> None:
    for answer in await answers(world, ONE_FROM_ALICE, {BOB: account}):
        assert answer["error"]["code"] in (-32602, -32000), answer


@pytest.mark.parametrize(
    "account",
    [
        {"nonce": hex(2**64 - 1)},
        {"nonce": hex(2**64 - 1), "code": CREATES},
        {"nonce": hex(2**64 - 2), "code": CREATES},
        {"code": "0x5b" + "00" * 200_000},
        {"code": "0xef0100" + THERE[2:]},
        {"code": "0xef"},
        {"state": {WORD: WORD}, "code": "0x" + "19545f5260205ff3"},
        {"stateDiff": {WORD: WORD}, "balance": "0x0"},
        {"balance": MOST, "code": CREATES},
    ],
)
async def test_fields_at_their_bounds_are_taken(world: World, account: Any) -> None:
    for address in (ALICE, BOB, THERE):
        for call in (
            {"from": ALICE, "to": address, "gas": "0x30d40"},
            {"from": ALICE, "to": address, "nonce": "0x0", "gas": "0x30d40"},
            {"from": ALICE, "input": "0x", "gas": "0x30d40"},
        ):
            await answers(world, call, {address: account})


@pytest.mark.parametrize(
    "block",
    [
        {"number": hex(2**64 - 1)},
        {"number": hex(2**64)},
        {"number": "0x0"},
        {"time": hex(2**64 - 1)},
        {"time": hex(2**64)},
        {"gasLimit": hex(2**64 - 1)},
        {"gasLimit": "0x0"},
        {"gasLimit": BEYOND},
        {"baseFeePerGas": MOST},
        {"baseFeePerGas": BEYOND},
        {"blobBaseFee": MOST},
        {"blobBaseFee": BEYOND},
        {"prevRandao": WORD},
        {"prevRandao": WORD + "ff"},
        {"feeRecipient": "0x1"},
        {"difficulty": MOST},
    ],
)
async def test_blocks_at_and_beyond_their_bounds(world: World, block: Any) -> None:
    code = {THERE: {"code": "0x4340444542484a505f5260205ff3"}}
    for call in (
        {"from": ALICE, "to": THERE, "gas": "0x30d40"},
        {"from": ALICE, "to": THERE, "gas": "0x30d40", "maxFeePerGas": MOST},
    ):
        await answers(world, call, code, block)


async def test_a_step_after_the_last_number_and_time_is_refused(world: World) -> None:
    """Both have 64 bits. A far number is refused for all the blocks before it."""
    for last, code in (({"number": hex(2**64 - 1)}, -38026), ({"time": hex(2**64 - 1)}, -38021)):
        answer = await world.reply(
            "eth_simulateV1", [{"blockStateCalls": [{"blockOverrides": last}, {}]}, "latest"]
        )
        assert answer["error"]["code"] == code, answer
