"""Whatever a caller sends to a method of the Ethereum port, the answer is a result or a proper error."""

import itertools
import json
from typing import Any

import orjson
import pytest
from eth_rpc_world import ALICE_ADDRESS, CONTRACT, ENDLESS, World, told_world

from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.eth import calls

HUGE = "0x" + "f" * 64
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, 10**299, 1.5, -0.0, 1e308,
    "", "0", "0x", "0x0", "0x00", "0x01", "0xg", "0X1", "latest", "Latest", "pending", "earliest", "nonsense",
    HUGE, "0x" + "f" * 65, "0x" + "0" * 10_000, "0x" + "ab" * 20, "0x" + "ab" * 32, "0x" + "AB" * 20,
    "\u0000", "\ud83d\ude00", "a" * 100_000, " 0x1", "0x1 ", "1e3", "NaN", "-0x1", "0x-1",
    [], [[]], [None], ["0x1"], [HUGE] * 50, [[["0x"]]], [{}], list(range(200)), [1.5, "a"], [50, 10],
    [-1], [101],
    {}, {"a": 1}, {"": {}}, {"blockHash": "0x" + "ab" * 32}, {"blockHash": HUGE, "requireCanonical": 1},
    {"blockNumber": HUGE}, {"blockNumber": "0x1", "blockHash": HUGE}, {"fromBlock": HUGE, "toBlock": "0x0"},
    {"fromBlock": "0x0", "toBlock": HUGE}, {"fromBlock": "0x5", "toBlock": "0x1"}, {"address": ["0x"]},
    {"fromBlock": "0x0", "toBlock": "0xffffffffffffffff"}, {"topics": [["0x"]]}, {"topics": [[]] * 5},
    {"topics": {}}, {"address": {}}, {"topics": [None, None]},
    {"to": "0x", "data": "0x1"}, {"to": HUGE}, {"gas": HUGE}, {"gas": "0xffffffffffffffff"}, {"value": -1},
    {"from": "0x" + "ab" * 20, "value": HUGE}, {"nonce": HUGE}, {"data": "0x00", "input": "0x01"},
    {"gasPrice": "0x1", "maxFeePerGas": "0x1"}, {"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"},
    {"blobVersionedHashes": [HUGE]}, {"accessList": [{"address": "0x"}]}, {"accessList": "x"},
    {"authorizationList": [{}]}, {"authorizationList": [None]}, {"input": "0x" + "60" * 60_000},
    {"0x" + "ab" * 20: {"balance": HUGE, "state": {}, "stateDiff": {}}}, {"0x" + "ab" * 20: 5},
    {"0x" + "ab" * 20: {"code": 5}}, {"0x" + "ab" * 20: {"stateDiff": {"0x": "0x"}}},
    {"0x" + "ab" * 20: ["0x0"] * 2_000}, {"0x" + "ab" * 20: [], "0x" + "AB" * 20: []},
    {"blockStateCalls": []}, {"blockStateCalls": [{}] * 300}, {"blockStateCalls": [{"calls": 5}]},
    {"blockStateCalls": [{"blockOverrides": {"number": HUGE}}]},
    {"blockStateCalls": [{"calls": [{}] * 6_000}]},
    {"tracer": "x" * 1_000}, {"tracer": "{step: function() {}}"}, {"tracer": 5}, {"timeout": "99999h"},
    {"timeout": "-1s"}, {"timeout": 5}, {"tracerConfig": 5}, {"limit": -1}, {"limit": 10**100},
    {"stateOverrides": 5}, {"blockOverrides": {"time": HUGE}}, {"enableMemory": "yes"},
]  # fmt: skip
"""Values that are wrong somewhere, or right where one would not expect it."""
GOOD = ("0x" + CONTRACT.hex(), "0x1", "latest")
CODES = {-32700, -32600, -32602, -32000, -32001, -32002, -32003, -32004, -32005, 3, 4444, 4100, -38014}


@pytest.fixture(scope="module")
def world() -> Any:
    """One world for all: what odd requests leave behind must not matter to later ones."""
    made = told_world(solo=True)
    yield made
    made.close()


def methods() -> list[str]:
    made = World(solo=True)
    made.close()
    return [entry.name for entry in made.port.table]


def requests_for(count: int) -> list[Any]:
    """Give parameters: each odd value in each place, others right; too many; by odd names."""
    given: list[Any] = [[], {}, [None] * 20, {"nonsense": 1}, {"args": 5}, {"args": [1], "block": 1}]
    for place, value in itertools.product(range(min(count, 4)), ODD):
        params = [*GOOD, {}][:count]
        params[place] = value
        given.append(params)
    return given


@pytest.mark.parametrize("name", methods())
async def test_odd_parameters_get_results_or_proper_errors(world: World, name: str) -> None:
    entry = world.port.table.get(name)
    assert entry is not None
    for params in requests_for(len(entry.signature.parameters)):
        body = encode({"jsonrpc": "2.0", "id": 1, "method": name, "params": params})
        reply = await world.dispatcher.handle(body, CallContext())
        assert reply.body is not None
        answer = orjson.loads(reply.body)
        assert answer["jsonrpc"] == "2.0"
        if "error" in answer:
            assert answer["error"]["code"] in CODES, (params, answer)
            assert len(answer["error"]["message"]) < 2_000
            assert "Traceback" not in answer["error"]["message"]
    assert await world.ask("eth_chainId") == "0xc889"


def encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode("utf-8", "surrogatepass")


async def test_the_request_that_kills_development_nodes(world: World) -> None:
    answer = await world.ask("eth_feeHistory", HUGE[:18], "latest", [50])
    assert len(answer["gasUsedRatio"]) == world.chain.head.height + 1
    assert (await world.error("eth_feeHistory", HUGE, "latest", []))["code"] == -32602


async def test_endless_execution_is_ended(world: World) -> None:
    code = {"0x" + CONTRACT.hex(): {"code": "0x" + ENDLESS.hex()}}
    seconds, calls.CALL_SECONDS = calls.CALL_SECONDS, 0.2
    try:
        error = await world.error("eth_call", {"to": "0x" + CONTRACT.hex()}, "latest", code)
    finally:
        calls.CALL_SECONDS = seconds
    assert error["code"] in (-32002, -32000)
    assert await world.ask("eth_getBalance", "0x" + ALICE_ADDRESS.hex())
