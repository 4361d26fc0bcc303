"""Share latency with 1,000 miners connected to one node, while new heads come in.

The node runs in a process of its own (ledger on disk, 10,000 transactions in the mempool, so every new head
makes it build and check a full template); all miners run in this one, each with a share every 3 s at a time
of its own. Latency is from before a share is written until its answer was read.
"""

import asyncio
import json
import multiprocessing
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from benchmarks.report import Row, Table
from benchmarks.stratum_run import BITS, allow_files, serve
from ioex_chain.crypto.address import script_to_address
from ioex_chain.pow.difficulty import target_of
from tests.chaingen.specs import key
from tests.e2e.stratum_client import Job, sha256d

MINERS = 1_000
TRANSACTIONS = 10_000
PERIOD = 3.0
HEAD_EVERY = 10.0
SECONDS = 30.0
BAR = 100.0
BLOCK_TARGET = target_of(BITS)


@dataclass
class Results:
    """What all miners of a run saw. Times in seconds."""

    latencies: list[float] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)
    moved_at: list[float] = field(default_factory=list)


class Miner(asyncio.Protocol):
    """One connection: keeps the newest job unread until a share is due."""

    def __init__(self, user: str, results: Results) -> None:
        self.user, self.results = user, results
        self.rest, self.line, self.difficulty = b"", b"", 1.0
        self.previous = b""
        self.job: Job | None = None
        self.extranonce1 = b""
        self.shares = 0
        self.sent: dict[int, float] = {}
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.call(1, "mining.subscribe", ["bench/1"])
        self.call(2, "mining.authorize", [self.user, "x"])

    def call(self, number: int, method: str, params: list[Any]) -> None:
        self.transport.write(json.dumps({"id": number, "method": method, "params": params}).encode() + b"\n")

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        now = time.perf_counter()
        for line in lines:
            if b'"mining.notify"' in line and line.startswith(b'{"id":null'):
                self.line, self.job = line, None
                previous = line.split(b'"', 12)[11]
                if previous != self.previous:
                    self.previous = previous
                    self.results.moved_at.append(now)
            else:
                self.take(json.loads(line), now)

    def take(self, message: dict[str, Any], now: float) -> None:
        number = message["id"]
        if message.get("method") == "mining.set_difficulty":
            self.difficulty = message["params"][0]
        elif number == 1:
            self.extranonce1 = bytes.fromhex(message["result"][1])
        elif number == 2:
            assert message["result"] is True
            self.ready.set_result(None)
        elif number is not None:
            self.results.latencies.append(now - self.sent.pop(number))
            if message["error"]:
                code = message["error"][0]
                self.results.refused[code] = self.results.refused.get(code, 0) + 1

    def share(self) -> None:
        """Find a share of the newest job, then send it and take the time."""
        if self.job is None:
            self.job = Job.read(json.loads(self.line)["params"], self.difficulty)
        job, self.shares = self.job, self.shares + 1
        extranonce2 = struct.pack("<I", self.shares)
        core = job.header(self.extranonce1 + extranonce2, 0)[:76]
        # no block by luck: the heads come when this program asks for them
        nonce = next(n for n in range(1 << 20) if BLOCK_TARGET < _hash(core, n) <= job.target)
        params = [self.user, job.id, extranonce2.hex(), f"{job.time:08x}", f"{nonce:08x}"]
        self.sent[self.shares + 10] = time.perf_counter()
        self.call(self.shares + 10, "mining.submit", params)


def _hash(core: bytes, nonce: int) -> int:
    return int.from_bytes(sha256d(core + struct.pack("<I", nonce)), "little")


async def drive(port: int, miners: int, seconds: float, on_head: Callable[[], None]) -> Results:
    """Connect, let everybody mine for a while, and give what they saw."""
    loop, results = asyncio.get_running_loop(), Results()
    address = script_to_address("riox", key("payout").script)
    made: list[Miner] = []
    for number in range(miners):
        _, miner = await loop.create_connection(
            lambda name=f"{address}.{number}": Miner(name, results), "127.0.0.1", port
        )
        made.append(miner)
    await asyncio.gather(*(miner.ready for miner in made))
    while not all(miner.line for miner in made):
        await asyncio.sleep(0.05)
    results.moved_at.clear()
    began = time.perf_counter()
    mining = asyncio.gather(
        *(_mine(miner, began + PERIOD * place / miners, began + seconds) for place, miner in enumerate(made))
    )
    for head in range(1, int(seconds / HEAD_EVERY) + 1):
        await asyncio.sleep(max(0.0, began + head * HEAD_EVERY - HEAD_EVERY / 2 - time.perf_counter()))
        on_head()
    await mining
    await asyncio.sleep(0.5)
    for miner in made:
        miner.transport.close()
    return results


async def _mine(miner: Miner, due: float, until: float) -> None:
    while due < until:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        miner.share()
        due += PERIOD


def measure(miners: int, transactions: int, seconds: float) -> dict[str, float]:
    """Give the figures of one run, in milliseconds and counts."""
    allow_files(8192)
    heads = int(seconds / HEAD_EVERY)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, transactions, heads), daemon=True)
    process.start()
    port = here.recv()
    asked: list[float] = []

    def on_head() -> None:
        asked.append(time.perf_counter())
        here.send("head")

    here.send("used")
    before = here.recv()
    results = asyncio.run(drive(port, miners, seconds, on_head))
    here.send("used")
    used = here.recv() - before
    here.send("stop")
    accepted, rejected, jobs, dropped = here.recv()
    process.join()
    assert not dropped
    assert set(rejected) <= {"stale"}, rejected
    return figures(results, asked, miners) | {
        "accepted": accepted,
        "stale": rejected.get("stale", 0),
        "jobs": jobs,
        "load": 100 * used / seconds,
    }


def figures(results: Results, asked: list[float], miners: int) -> dict[str, float]:
    ordered = sorted(results.latencies)
    told = sorted(results.moved_at)
    spread = [1000 * (max(told[at * miners : (at + 1) * miners]) - asked[at]) for at in range(len(asked))]
    return {
        "p50": 1000 * ordered[len(ordered) // 2],
        "p99": 1000 * ordered[len(ordered) * 99 // 100],
        "max": 1000 * ordered[-1],
        "spread": max(spread, default=0.0),
    }


def run(quick: bool) -> list[Table]:
    rounds, miners, transactions = (1, 50, 100) if quick else (3, MINERS, TRANSACTIONS)
    seconds = HEAD_EVERY if quick else SECONDS
    runs = [measure(miners, transactions, seconds) for _ in range(rounds)]

    def row(name: str, field_name: str, unit: str, bar: float | None = None) -> Row:
        return Row(name, [one[field_name] for one in runs], unit, bar)

    return [
        Table(
            f"Stratum, {miners:,} miners on one node, a share each every {PERIOD:.0f} s",
            [
                row("share latency, median", "p50", "ms"),
                row("share latency, p99", "p99", "ms", BAR),
                row("share latency, longest", "max", "ms"),
                row("from a new block until the last miner has work on it", "spread", "ms"),
                row("shares accepted", "accepted", ""),
                row("shares stale", "stale", ""),
                row("the node's processor time", "load", "% of a core"),
            ],
            [f"a new head every {HEAD_EVERY:.0f} s, {transactions:,} transactions in the mempool"],
        )
    ]
