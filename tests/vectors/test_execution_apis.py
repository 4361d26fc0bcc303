"""Every method that Ethereum's execution-apis specification and this port share answers in its shapes."""

from typing import Any

import pytest
from eth_rpc_world import (
    ALICE,
    ALICE_ADDRESS,
    BOB_ADDRESS,
    CONTRACT,
    REVERTING,
    TOPIC,
    World,
    WorldEvm,
    init_code,
    node_engine,
    sign,
    told_world,
)
from execution_apis import METHODS, NOT_OFFERED, ROOT, fault_of, validator

pytestmark = pytest.mark.skipif(not ROOT, reason="IOEX_VECTORS does not name the folder of public vectors")


STRUCT_LOG = {
    *("pc", "op", "gas", "gasCost", "depth", "error", "refund", "stack", "memory", "returnData", "storage"),
}


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


@pytest.fixture(params=[WorldEvm, node_engine], ids=["scripted", "real"])
def world(request: pytest.FixtureRequest) -> Any:
    made = told_world(request.param)
    yield made
    made.close()


def test_every_method_is_offered_or_left_out_for_a_reason(world: World) -> None:
    missing = {name for name in METHODS if name not in world.port.table}
    assert missing == set(NOT_OFFERED)


def test_schemas_can_fail() -> None:
    block = validator({"$ref": "#/components/schemas/Block"})
    assert list(block.iter_errors({"number": "0x01"}))
    filters = validator(METHODS["eth_newFilter"]["params"][0]["schema"])
    assert list(filters.iter_errors({"fromBlock": 5}))
    assert not list(filters.iter_errors({"fromBlock": "0x5"}))


def cases(world: World) -> list[tuple[str, list[Any]]]:
    chain = world.chain
    created, calls, reverted = chain.entries[1:4]
    hashes = [hexed(tx.hash) for e in chain.entries for tx in chain.blocks[e.hash].transactions]
    message = {"to": hexed(CONTRACT), "input": "0x" + "00" * 31 + "09"}
    plain = {"from": hexed(ALICE_ADDRESS), "to": hexed(BOB_ADDRESS), "value": "0x1"}
    blocks = ["latest", "earliest", "safe", "finalized", "pending", "0x1", "0x2", "0x3", "0x63"]
    result: list[tuple[str, list[Any]]] = [
        (name, [])
        for name in (
            "eth_blockNumber", "eth_chainId", "eth_syncing", "eth_accounts", "eth_gasPrice", "eth_baseFee",
            "eth_blobBaseFee", "eth_maxPriorityFeePerGas", "eth_newBlockFilter", "eth_capabilities",
            "eth_newPendingTransactionFilter", "net_version", "txpool_status", "txpool_content",
            "debug_getBadBlocks",
        )
    ]  # fmt: skip
    for tag in blocks:
        result += [("eth_getBlockByNumber", [tag, full]) for full in (True, False)]
        result += [("eth_getBlockTransactionCountByNumber", [tag]), ("eth_getBlockReceipts", [tag])]
        result += [("eth_getTransactionByBlockNumberAndIndex", [tag, i]) for i in ("0x0", "0x2", "0x99")]
    for entry in (created, calls, reverted):
        hash_ = hexed(entry.hash)
        result += [("eth_getBlockByHash", [hash_, full]) for full in (True, False)]
        result += [("eth_getBlockTransactionCountByHash", [hash_]), ("eth_getBlockReceipts", [hash_])]
        result += [("eth_getTransactionByBlockHashAndIndex", [hash_, i]) for i in ("0x0", "0x1", "0x2")]
        result += [("debug_traceBlockByHash", [hash_, {}])]
    for hash_ in [*hashes, hexed(bytes(32))]:
        result += [("eth_getTransactionByHash", [hash_]), ("eth_getTransactionReceipt", [hash_])]
    for hash_ in hashes:
        result += [("debug_traceTransaction", [hash_]), ("debug_getRawTransaction", [hash_])]
        result += [("debug_traceTransaction", [hash_, {"tracer": "callTracer", "timeout": "2s"}])]
    for block in ("latest", "0x2", hexed(calls.hash), {"blockHash": hexed(calls.hash)}, "pending", "safe"):
        result += [
            ("eth_getBalance", [hexed(ALICE_ADDRESS), block]),
            ("eth_getTransactionCount", [hexed(ALICE_ADDRESS), block]),
            ("eth_getCode", [hexed(CONTRACT), block]),
            ("eth_getStorageAt", [hexed(CONTRACT), "0x0", block]),
            ("eth_getStorageValues", [{hexed(CONTRACT): ["0x0", hexed(bytes(32))]}, block]),
            ("eth_getProof", [hexed(CONTRACT), ["0x0", "0x1"], block]),
            ("eth_getProof", [hexed(bytes(20)), [], block]),
            ("eth_call", [message, block]),
            ("eth_estimateGas", [plain, block]),
            ("eth_createAccessList", [plain, block]),
        ]
    for tag in ("latest", "0x1", "0x2", "0x3"):
        result += [(f"debug_getRaw{what}", [tag]) for what in ("Header", "Block", "Receipts")]
        result += [("debug_traceBlockByNumber", [tag])]
    result += [
        ("eth_feeHistory", ["0x3", "latest", [10, 50.5, 99]]),
        ("eth_feeHistory", ["0x400", "0x2", []]),
        ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest"}]),
        ("eth_getLogs", [{"blockHash": hexed(calls.hash), "topics": [[f"0x{TOPIC:064x}"]]}]),
        ("eth_newFilter", [{"fromBlock": "0x0", "address": hexed(CONTRACT)}]),
        ("txpool_contentFrom", [hexed(ALICE_ADDRESS)]),
        ("eth_simulateV1", [{"blockStateCalls": [{"calls": [plain, message, {"from": hexed(ALICE_ADDRESS),
            "input": hexed(REVERTING)}]}], "returnFullTransactions": False}, "latest"]),
        ("eth_simulateV1", [{"blockStateCalls": [{"calls": [plain],
            "blockOverrides": {"time": "0x70000000"}}], "returnFullTransactions": True}]),
    ]  # fmt: skip
    return result


async def check(world: World, name: str, params: list[Any]) -> Any:
    result = await world.ask(name, *params)
    fault = fault_of(name, result)
    assert fault is None, f"{name} {params}: {fault}"
    return result


async def test_every_answer_has_the_specified_shape(world: World) -> None:
    await world.ask("eth_sendRawTransaction", hexed(sign(ALICE, 4, to=BOB_ADDRESS, gas=21_000)))
    await world.ask("eth_sendRawTransaction", hexed(sign(ALICE, 9, data=init_code(b"\x00"))))
    asked = set()
    for name, params in cases(world):
        await check(world, name, params)
        asked.add(name)
    filter_ = await check(world, "eth_newFilter", [{"fromBlock": "0x0"}])
    await check(world, "eth_getFilterLogs", [filter_])
    new_blocks = await check(world, "eth_newBlockFilter", [])
    raw = sign(ALICE, 4, to=CONTRACT, maxFeePerGas=20 * 10**9, maxPriorityFeePerGas=2 * 10**9)
    await check(world, "eth_sendRawTransaction", [hexed(raw)])
    world.connect(world.chain.add(raw))
    for number in (filter_, new_blocks):
        assert await check(world, "eth_getFilterChanges", [number])
    await check(world, "eth_uninstallFilter", [filter_])
    done = {"eth_getFilterLogs", "eth_getFilterChanges", "eth_uninstallFilter", "eth_sendRawTransaction"}
    assert asked | done == set(METHODS) - set(NOT_OFFERED)


async def test_opcode_traces_have_exactly_the_specified_fields() -> None:
    """The method's own schema takes any object, because a named tracer may give one."""
    world = told_world(node_engine)
    trace = validator({"$ref": "#/components/schemas/OpcodeTransactionTrace"})
    message = {"to": hexed(CONTRACT), "input": "0x" + "00" * 31 + "09"}
    for config in ({}, {"enableMemory": True, "enableReturnData": True}, {"disableStack": True}):
        shown = await world.ask("debug_traceCall", message, "latest", config)
        assert not list(trace.iter_errors(shown))
        assert {name for entry in shown["structLogs"] for name in entry} <= STRUCT_LOG
        (step,) = shown["structLogs"][:1]
        assert list(trace.iter_errors(shown | {"structLogs": [step | {"storage": {"0": "00"}}]}))
    world.close()


async def test_a_chain_that_synchronises_tells_so_in_the_specified_shape(world: World) -> None:
    world.backend.syncing = True
    assert (await check(world, "eth_syncing", []))["highestBlock"] == "0x8"


async def test_proofs_prove(world: World) -> None:
    """The proof's nodes lead from the state root to the account and from its root to the slot."""
    import rlp
    from trie import HexaryTrie

    from ioex_chain.crypto.hashes import keccak256

    proof = await world.ask("eth_getProof", hexed(CONTRACT), ["0x0"], "0x2")
    root = world.chain.entries[2].header.header.state_root
    nodes = [rlp.decode(bytes.fromhex(node[2:])) for node in proof["accountProof"]]
    account = rlp.decode(HexaryTrie.get_from_proof(root, keccak256(CONTRACT), nodes))
    assert account[2] == bytes.fromhex(proof["storageHash"][2:])
    (slot,) = proof["storageProof"]
    nodes = [rlp.decode(bytes.fromhex(node[2:])) for node in slot["proof"]]
    value = HexaryTrie.get_from_proof(account[2], keccak256(bytes(32)), nodes)
    assert rlp.decode(value) == int(slot["value"], 16).to_bytes(1, "big") == b"\x03"
