"""Hostile clients on the Ethereum port of a real node: it lives, answers properly, and goes on sealing.

Row R11. The suite sends 1,500 hostile requests and 8 endless calls, the soak 12,000 and 50
(`pytest -m soak tests/e2e/test_dpos_hostile_rpc.py -s`). Every run is seeded; the counts are printed.
"""

import asyncio
import http.client
import json
import random
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import psutil
import pytest
from e2e import test_rpc_hostile as hostile
from e2e.dpos_world import devnet, dpos_cli, eventually
from e2e.node_process import NodeProcess

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("dpos_hostile")]
ENDLESS = "0x5b5f56"
"""JUMPDEST, PUSH0, JUMP."""
TARGET = "0x" + "e1" * 20
SECONDS = 5.0
QUEUE_SECONDS = 10.0
VALID = b'{"jsonrpc":"2.0","method":"eth_getBalance","params":["0x' + b"99" * 20 + b'","latest"],"id":1}'
HUGE = [-1, 2**63, 2**64, 2**256 - 1, 2**256, "0x" + "f" * 64, "0x" + "f" * 65, "0x", "0x0", "0x00", "-0x1"]
WORDS = [
    *("latest", "pending", "earliest", "safe", "finalized", "newHeads", "logs", "", "0xzz", "\u202e", "true"),
    *("0x" + "ab" * 32, "0x" + "99" * 20, "0x" + "99" * 19, "0x" + "00" * 3_000),
]


class Methods:
    """Every method that the node offers; those that only a solo node has are unknown to it."""

    def __init__(self, node: NodeProcess) -> None:
        body = json.dumps(call("rpc.discover")).encode()
        asked = urllib.request.Request(node.dpos["rpc"], body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=20) as answer:
            found = json.loads(answer.read())["result"]
        self.names = [one["name"] for one in found["methods"]] + ["evm_mine", "hardhat_setBalance", "eth_"]

    def value(self, rng: random.Random, depth: int = 3) -> object:
        kind = rng.randrange(5) if depth else rng.randrange(3)
        if kind == 3:
            return [self.value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
        if kind == 4:
            return {rng.choice(KEYS): self.value(rng, depth - 1) for _ in range(rng.randint(0, 4))}
        return rng.choice(
            [rng.choice(HUGE), rng.choice(WORDS), None, rng.random() < 0.5, 1.5, rng.randrange(99)]
        )

    def request(self, rng: random.Random) -> object:
        if rng.random() < 0.2:
            return rng.choice(KNOWN_ATTACKS)(rng)
        params = [self.value(rng) for _ in range(rng.randint(0, 4))]
        body = {"jsonrpc": "2.0", "method": rng.choice(self.names), "params": params, "id": rng.randrange(9)}
        for name in list(body):
            if rng.random() < 0.05:
                body[name] = self.value(rng)
        return body

    def one(self, rng: random.Random) -> bytes:
        return hostile.post(json.dumps(self.request(rng)).encode())

    def batch(self, rng: random.Random) -> bytes:
        return hostile.post(json.dumps([self.request(rng) for _ in range(rng.randint(0, 20))]).encode())


KEYS = [
    *("from", "to", "data", "input", "gas", "value", "nonce", "type", "accessList", "authorizationList"),
    *("fromBlock", "toBlock", "topics", "address", "blockHash", "tracer", "code", "state", "stateDiff"),
    *("blockStateCalls", "blobVersionedHashes", "maxFeePerGas", "chainId", "__class__", ""),
]


def call(method: str, *params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}


KNOWN_ATTACKS: list[Callable[[random.Random], object]] = [
    lambda _: call("eth_feeHistory", hex(2**256 - 1), "latest", [50]),
    lambda _: call("eth_feeHistory", "0x400", "latest", [n / 1000 for n in range(50_000)]),
    lambda _: call("eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(2**64 - 1)}),
    lambda _: call("eth_getLogs", {"topics": [["0x" + "ab" * 32] * 5_000] * 4}),
    lambda _: call("eth_newFilter", {"address": [TARGET] * 10_000}),
    lambda _: call("eth_newBlockFilter"),
    lambda _: call("eth_getProof", TARGET, ["0x1"] * 20_000, "latest"),
    lambda _: call("eth_call", {"to": "0x" + "00" * 19 + "05", "data": "0x" + "ff" * 96}, "latest"),
    lambda _: call("eth_call", {"data": "0x" + "5b" * 100_000, "gas": hex(2**64)}, "latest"),
    lambda _: call("eth_call", {"to": TARGET}, "latest", {TARGET: {"code": "0x5f5ffd", "balance": "0x-1"}}),
    lambda _: call("eth_call", {"to": TARGET}, "latest", {TARGET: {"code": "0x620fffff5f5ffd"}}),
    lambda _: call("eth_estimateGas", {"to": TARGET, "value": hex(2**255)}),
    lambda _: call("eth_simulateV1", {"blockStateCalls": [{}] * 1_000}, "latest"),
    lambda _: call("debug_traceCall", {"to": TARGET}, "latest", {"tracer": "{while(1){}}"}),
    lambda _: call("debug_traceBlockByNumber", "0x0", {}),
    lambda rng: call("eth_sendRawTransaction", "0x02" + rng.randbytes(rng.choice((0, 60, 200_000))).hex()),
    lambda rng: call("eth_sendRawTransaction", "0x" + "c1" * rng.choice((10, 100_000))),
    lambda _: call("eth_subscribe", "logs", {"address": "0x1"}),
    lambda _: call("ioex_getSlots", "0x0", hex(2**53)),
    lambda _: call("ioex_getSchedule", hex(2**53 - 1)),
    lambda _: call("eth_getBlockByNumber", "1" * 4_301, True),
    lambda _: call("txpool_contentFrom", "0x" + "9" * 41),
]


def honest(port: int, pipe: Connection) -> None:
    """Ask a fair question every 50 ms on a new connection until told to stop; report (calls, slowest)."""
    calls, slowest = 0, 0.0
    while not pipe.poll(0.05):
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/", VALID, {"Content-Type": "application/json"})
        assert b'"result":"0x' in connection.getresponse().read()
        connection.close()
        slowest = max(slowest, time.perf_counter() - start)
        calls += 1
        if calls == 1:
            pipe.send("runs")
    pipe.send((calls, slowest))


@contextmanager
def honest_beside(port: int, tally: hostile.Tally) -> Iterator[None]:
    here, there = hostile.SPAWN.Pipe()
    process = hostile.SPAWN.Process(target=honest, args=(port, there), daemon=True)
    process.start()
    try:
        assert here.poll(60), "the honest client got no answer"
        here.recv()  # its start, slow on a busy machine, is no part of the attack
        yield
        here.send("stop")
        assert here.poll(60), "the honest client got no answer"
        tally.honest, tally.slowest_honest = here.recv()
    finally:
        process.terminate()
        process.join()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A devnet that seals a block every second and has reached finality; its miner does nothing."""
    with devnet(tmp_path_factory.mktemp("hostile")) as made:
        eventually(lambda: height(made, "finalized") >= 2)
        yield made


@pytest.fixture
def target(node: NodeProcess) -> hostile.Target:
    assert node.process is not None
    port = int(node.dpos["rpc"].rstrip("/").rpartition(":")[2])
    made = hostile.Target(port, psutil.Process(node.process.pid))
    made.start_memory = int(made.process.memory_info().rss)
    return made


def height(node: NodeProcess, tag: str = "latest") -> int:
    return int(dpos_cli(node, "rpc", "eth_getBlockByNumber", tag, "false")["number"], 16)


def plan(methods: Methods, count: int, seed: int) -> list[tuple[str, Callable[..., Any], bytes]]:
    rng = random.Random(seed)
    kinds: dict[str, tuple[hostile.Make, int, Callable[..., Any]]] = {
        name: (make, weight, hostile.http_once) for name, (make, weight) in hostile.HTTP_KINDS.items()
    }
    kinds["wrong types"] = methods.one, 500, hostile.http_once
    kinds["batches"] = methods.batch, 60, hostile.http_once
    kinds["frames answered"] = hostile.ws_answered, 80, hostile.ws_once
    kinds["frames fatal"] = hostile.ws_fatal, 130, hostile.ws_once
    kinds["frames truncated"] = hostile.ws_truncated, 60, hostile.ws_once
    total = sum(weight for _, weight, _ in kinds.values())
    jobs = [
        (kind, run, make(rng))
        for kind, (make, weight, run) in kinds.items()
        for _ in range(-(-count * weight // total))
    ]
    rng.shuffle(jobs)
    return jobs


async def attack(methods: Methods, port: int, count: int, tally: hostile.Tally) -> None:
    slots = asyncio.Semaphore(hostile.PARALLEL)

    async def one(kind: str, run: Callable[..., Any], data: bytes) -> None:
        async with slots:
            await run(port, kind, data, tally)
            tally.sent[kind] += 1

    for start in range(0, count, 500):
        jobs = plan(methods, min(500, count - start), 11 + start)
        await asyncio.gather(*(one(*job) for job in jobs))


def run_hostile(node: NodeProcess, target: hostile.Target, count: int) -> None:
    methods, tally, before = Methods(node), hostile.Tally(), height(node)
    began = time.perf_counter()
    with honest_beside(target.port, tally):
        asyncio.run(attack(methods, target.port, count, tally))
    hostile.report(tally, target, time.perf_counter() - began)
    assert target.process.is_running()
    assert "Traceback" not in node.stderr
    assert tally.improper == []
    assert sum(tally.sent.values()) >= count
    assert tally.slowest_honest <= hostile.HONEST_SECONDS
    assert target.growth() <= hostile.GROWTH_CAP
    eventually(lambda: height(node, "finalized") > before)


def test_hostile_requests(node: NodeProcess, target: hostile.Target) -> None:
    run_hostile(node, target, 1_500)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_hostile_requests_soak(node: NodeProcess, target: hostile.Target) -> None:
    run_hostile(node, target, 12_000)


def test_honest_calls_beside_half_sent_requests(node: NodeProcess, target: hostile.Target) -> None:
    halves = [
        b"POST / HTTP/1.1\r\nHost: local",
        hostile.post(VALID[:20], length=len(VALID)),
        hostile.post(b" " * 60_000, length=4 * hostile.MIB),
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{",
        hostile.UPGRADE + hostile.frame(b"x" * 1_000, 0x01, stated=30 * hostile.MIB),
    ]

    async def run() -> None:
        held = [await asyncio.open_connection("127.0.0.1", target.port) for _ in range(300)]
        for index, (_, writer) in enumerate(held):
            await hostile.send(writer, halves[index % len(halves)])
        with honest_beside(target.port, tally):
            await asyncio.sleep(3)
        for _, writer in held:
            writer.close()

    tally, before = hostile.Tally(), height(node)
    asyncio.run(run())
    hostile.report(tally, target, 3)
    assert tally.honest >= 10
    assert tally.slowest_honest <= hostile.HONEST_SECONDS
    assert target.growth() <= hostile.GROWTH_CAP
    eventually(lambda: height(node) > before)


def endless_calls(node: NodeProcess, target: hostile.Target, count: int) -> None:
    """Calls that never end by themselves: each is ended, and blocks go on meanwhile."""
    body = json.dumps(
        call("eth_call", {"to": TARGET, "gas": hex(2**63)}, "latest", {TARGET: {"code": ENDLESS}})
    )
    took: list[float] = []

    async def one() -> None:
        began = time.perf_counter()
        await hostile.http_once(target.port, "endless", hostile.post(body.encode()), tally)
        took.append(time.perf_counter() - began)

    async def run() -> None:
        await asyncio.gather(*(one() for _ in range(count)))

    tally, before = hostile.Tally(), height(node)
    began = time.perf_counter()
    with honest_beside(target.port, tally):
        asyncio.run(run())
    seconds = time.perf_counter() - began
    grown = height(node) - before
    hostile.report(tally, target, seconds)
    print(f"{count} endless calls: slowest {max(took):.1f} s; {grown} blocks in {seconds:.0f} s")
    assert tally.improper == []
    assert tally.codes["result"] == 0
    assert max(took) <= SECONDS + QUEUE_SECONDS + 1
    assert tally.slowest_honest <= hostile.HONEST_SECONDS
    assert grown >= seconds / 3
    assert "Traceback" not in node.stderr


def test_endless_calls_are_ended_while_blocks_go_on(node: NodeProcess, target: hostile.Target) -> None:
    endless_calls(node, target, 8)


@pytest.mark.soak
def test_fifty_endless_calls(node: NodeProcess, target: hostile.Target) -> None:
    endless_calls(node, target, 50)
