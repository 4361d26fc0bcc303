"""Hostile clients against a server in a process of its own: it lives, answers properly, keeps its memory.

The suite sends 1,500 hostile requests, the soak 12,000 (`pytest -m soak tests/e2e/test_rpc_hostile.py -s`).
Every run is seeded; the counts are printed.
"""

import asyncio
import gzip
import http.client
import json
import multiprocessing
import random
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Annotated, Any

import psutil
import pytest
from pydantic import Field

from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.limits import MIB, Limits
from ioex_chain.rpc.openrpc import Discovery, Info
from ioex_chain.rpc.registry import MethodTable, method
from ioex_chain.rpc.server import RpcServer
from ioex_chain.rpc.subscriptions import Subscriptions, Topic

LIMITS = Limits(body_bytes=20 * MIB, body_seconds=20.0)
GROWTH_CAP = 300 * MIB
HONEST_SECONDS = 1.0
PARALLEL = 16
SPAWN = multiprocessing.get_context("spawn")


class Api:
    @method("echo", group="t")
    def echo(self, value: Any = None) -> Any:
        """Give back what was sent."""
        return value

    @method("getblock", group="t")
    async def getblock(
        self,
        blockhash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")],
        verbosity: Annotated[int, Field(ge=0, le=3)] = 1,
    ) -> dict[str, Any]:
        """Give a block."""
        return {"hash": blockhash, "verbosity": verbosity}

    @method("count", group="t")
    def count(self, values: list[int]) -> int:
        """Count."""
        return len(values)

    @method("submitblock", group="t", write=True)
    async def submitblock(self, data: str) -> str | None:
        """Take a block."""
        return "rejected" if data else None


def serve(ready: Connection) -> None:
    async def run() -> None:
        table = MethodTable()
        table.add_api(Api())
        hub = Subscriptions([Topic("heads", "New heads.")])
        hub.add_methods(table)
        dispatcher = Dispatcher(table, limits=LIMITS)
        Discovery(table, dispatcher.errors, Info("hostile", "1"))
        server = RpcServer(dispatcher, subscriptions=hub)
        await server.start()
        ready.send(server.port)
        while True:
            await asyncio.sleep(0.02)
            hub.publish("heads", {"height": 1, "padding": "x" * 200})

    asyncio.run(run())


@dataclass
class Target:
    """The server's process."""

    port: int
    process: psutil.Process
    start_memory: int = 0

    def growth(self) -> int:
        return int(self.process.memory_info().rss) - self.start_memory


@pytest.fixture
def target() -> Iterator[Target]:
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=serve, args=(there,), daemon=True)
    process.start()
    assert here.poll(60)
    made = Target(here.recv(), psutil.Process(process.pid))
    made.start_memory = int(made.process.memory_info().rss)
    yield made
    process.terminate()
    process.join()


# --- what is sent ---------------------------------------------------------------------------------------

VALID = b'{"jsonrpc":"2.0","method":"getblock","params":["' + b"ab" * 32 + b'",1],"id":1}'
Make = Callable[[random.Random], bytes]


def post(body: bytes, *extra: bytes, length: int | None = None) -> bytes:
    fields = (b"POST / HTTP/1.1", b"Host: localhost", b"Connection: close", *extra)
    stated = len(body) if length is None else length
    return b"\r\n".join((*fields, b"Content-Length: %d" % stated, b"", b"")) + body


def mutated(rng: random.Random, data: bytes, edits: int = 4) -> bytes:
    body = bytearray(data)
    for _ in range(rng.randint(1, edits)):
        at = rng.randrange(len(body) + 1)
        body[at : at + rng.randint(0, 4)] = rng.randbytes(rng.randint(0, 4))
    return bytes(body)


def bad_json(rng: random.Random) -> bytes:
    fixed = [
        b"",
        b"{",
        b"nul",
        b"[1,]",
        b"NaN",
        b'{"id":Infinity}',
        b'"\\ud800"',
        b'{"id":1,"id":2}',
        b"\x00",
        b"1 2",
    ]
    return post(rng.choice(fixed) if rng.random() < 0.3 else mutated(rng, VALID))


def encoded(rng: random.Random) -> bytes:
    text = VALID.decode()
    kind = rng.randrange(5)
    if kind == 0:
        return post(VALID, b"Content-Encoding: gzip")
    if kind == 1:
        return post(gzip.compress(b" " * 10 * MIB), b"Content-Encoding: gzip")
    if kind == 2:
        return post(VALID, b"Content-Encoding: " + rng.choice([b"br", b"deflate", b"zstd", b"x"]))
    return post(text.encode(rng.choice(["utf-16", "utf-16-le", "utf-32", "utf-7", "utf-8-sig"])))


def scalar(rng: random.Random) -> object:
    makers: list[Callable[[], object]] = [
        lambda: None,
        lambda: rng.random() < 0.5,
        lambda: rng.choice([-1, 0, 4, 2**31, 2**63, 2**64, 2**256 - 1, -(2**256)]),
        lambda: rng.choice([1.5, 1e308, -0.0, 1e-300]),
        lambda: "".join(chr(rng.choice([0, 34, 92, 0x7F, 0xE9, 0x202E, 0x1F600])) for _ in range(5)),
        lambda: "ab" * rng.choice([0, 31, 32, 33]),
    ]
    return rng.choice(makers)()


def value(rng: random.Random, depth: int = 3) -> object:
    kind = rng.randrange(4) if depth else 0
    if kind == 1:
        return [value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    if kind == 2:
        names = ["blockhash", "verbosity", "values", "args", "value", "__class__", ""]
        return {rng.choice(names): value(rng, depth - 1) for _ in range(rng.randint(0, 3))}
    return scalar(rng)


def request(rng: random.Random) -> object:
    names: list[object] = [
        "echo",
        "getblock",
        "count",
        "submitblock",
        "subscribe",
        "unsubscribe",
        "__init__",
        "add_api",
    ]
    body: dict[str, object] = {
        "jsonrpc": "2.0",
        "method": rng.choice(names),
        "params": value(rng),
        "id": value(rng, 1),
    }
    for name in list(body):
        if rng.random() < 0.15:
            body[name] = value(rng)
    return body


def wrong_types(rng: random.Random) -> bytes:
    return post(json.dumps(request(rng)).encode())


def batches(rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        return post(b"[" + b",".join([b"1"] * rng.choice([1_000, 1_001, 100_000])) + b"]")
    return post(json.dumps([request(rng) for _ in range(rng.randint(0, 20))]).encode())


def deep(rng: random.Random) -> bytes:
    depth = rng.choice([60, 65, 200, 1_000, 1_030, 50_000])
    opening, closing = rng.choice([(b"[", b"]"), (b'{"a":', b"}"), (b"[", b""), (b'[{"a":', b"}]")])
    inner = opening * depth + b"1" + closing * depth
    return post(rng.choice([inner, b'{"jsonrpc":"2.0","method":"echo","params":[' + inner + b'],"id":1}']))


def huge_numbers(rng: random.Random) -> bytes:
    number = rng.choice(
        [
            b"9" * rng.choice([20, 78, 299, 301, 4_300, 4_301, 100_000]),
            b"1e400",
            b"-1e999999",
            b"0." + b"1" * 5_000,
        ]
    )
    where = rng.choice(
        [b'"params":[%s],"id":1', b'"params":["' + b"ab" * 32 + b'",%s],"id":1', b'"params":[],"id":%s']
    )
    return post(
        b'{"jsonrpc":"2.0","method":"%s",' % rng.choice([b"echo", b"getblock"]) + where % number + b"}"
    )


def large(rng: random.Random) -> bytes:
    kind = rng.randrange(5)
    if kind == 0:
        return post(b" " * (21 * MIB))
    if kind == 1:
        return post(b"[" + b"[]," * (6 * MIB) + b"[]]")
    if kind == 2:
        return post(b'{"jsonrpc":"2.0","method":"count","params":[["' + b'","' * 100_000 + b'"]],"id":1}')
    if kind == 3:
        return post(
            b'{"jsonrpc":"2.0","method":"submitblock","params":["' + b"00" * (8 * MIB) + b'"],"id":1}'
        )
    return post(
        b'{"jsonrpc":"2.0","method":"echo","id":1,"params":{'
        + b",".join(b'"%d":1' % i for i in range(100_000))
        + b"}}"
    )


def bad_http(rng: random.Random) -> bytes:
    return rng.choice(
        [
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            b"BREW / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            b"POST /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 500 + b"\r\n",
            b"POST / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
            b"POST / HTTP/9.9\r\n\r\n",
            post(VALID, b"Authorization: Basic \xff\xfe"),
            post(VALID, b"Authorization: Bearer x"),
        ]
    )


HTTP_KINDS: dict[str, tuple[Make, int]] = {
    "bad JSON": (bad_json, 300),
    "false encodings": (encoded, 80),
    "wrong types": (wrong_types, 400),
    "batches": (batches, 80),
    "depth": (deep, 100),
    "huge numbers": (huge_numbers, 150),
    "sizes": (large, 20),
    "bad HTTP": (bad_http, 100),
}
"""Kind: how it is made, and its weight among 1,500."""

# --- WebSocket ------------------------------------------------------------------------------------------

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def frame(payload: bytes, first: int = 0x81, masked: bool = True, stated: int | None = None) -> bytes:
    size = len(payload) if stated is None else stated
    bit = 0x80 if masked else 0
    head = bytes([first])
    if size < 126:
        head += bytes([bit | size])
    elif size < 65_536:
        head += bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def ws_answered(rng: random.Random) -> bytes:
    """A whole masked message that must be answered."""
    body = rng.choice(
        [
            b"{",
            b"NaN",
            b"[]",
            b"\x00",
            b"5",
            b'{"id":[]}',
            b"[" * 5_000,
            b'{"a":1,"a":2}',
            "[1]".encode("utf-16-be"),
        ]
    )
    return frame(body, 0x82 if rng.random() < 0.5 or not body.isascii() else 0x81)


def ws_fatal(rng: random.Random) -> bytes:
    """Frames after which this socket must be closed."""
    return rng.choice(
        [
            frame(VALID, masked=False),
            frame(b"", masked=False),
            frame(VALID, 0x83),
            frame(VALID, 0xC1),
            frame(b"x", 0x80),
            frame(b"\xff\xfe", 0x81),
            frame(b"x" * 200, 0x89),
            frame(b"", 0x81, stated=33 * MIB),
            frame(b"", 0x81, stated=2**63 - 1),
            frame(b"", 0x81, stated=2**64 - 1),
            frame(b"\x00\x01", 0x88),
            frame(b"a", 0x01) + frame(b"b", 0x01),
        ]
    )


def ws_truncated(rng: random.Random) -> bytes:
    """Part of a message; the sender then goes away."""
    whole = frame(VALID) + frame(b"a" * 70_000, 0x01)
    return whole[: rng.choice([1, 2, 3, 5, 20, len(VALID), len(whole) - 3])]


# --- sending and judging --------------------------------------------------------------------------------


@dataclass
class Tally:
    """What happened in a run."""

    sent: Counter[str] = field(default_factory=Counter)
    codes: Counter[object] = field(default_factory=Counter)
    improper: list[str] = field(default_factory=list)
    slowest_honest: float = 0.0
    honest: int = 0

    def judge(self, kind: str, body: bytes) -> None:
        try:
            parsed = json.loads(body)
        except ValueError:
            self.improper.append(f"{kind}: {body[:200]!r}")
            return
        for item in parsed if isinstance(parsed, list) else [parsed]:
            self._judge_item(kind, item)

    def _judge_item(self, kind: str, item: Any) -> None:
        error = item.get("error") if isinstance(item, dict) else None
        if isinstance(error, dict):
            self.codes[error.get("code")] += 1
            text = json.dumps(error)
            leaks = any(word in text for word in ("Traceback", ".py", "site-packages", "/ioex"))
            proper = (
                isinstance(error.get("code"), int) and isinstance(error.get("message"), str) and not leaks
            )
            proper = proper and error["code"] != -32603
        else:
            self.codes["result"] += 1
            proper = isinstance(item, dict) and "result" in item and "id" in item
        if not proper:
            self.improper.append(f"{kind}: {json.dumps(item)[:200]}")


@asynccontextmanager
async def connect(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 * MIB)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(ConnectionError):
        writer.write(data)
        await writer.drain()


async def http_once(port: int, kind: str, data: bytes, tally: Tally) -> None:
    """Send one request, read the one answer, judge it."""
    async with connect(port) as (reader, writer):
        sending = asyncio.create_task(send(writer, data))
        async with asyncio.timeout(30):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                tally.improper.append(f"{kind}: no answer to {data[:80]!r}, {error.partial[:80]!r}")
                return
            body = await read_body(reader, head)
        sending.cancel()
    if head.split()[1] == b"204":
        tally.codes["notification"] += 1
    else:
        tally.judge(kind, body)


async def read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    lengths = [int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length")]
    return await reader.readexactly(lengths[0] if lengths else 0)


async def ws_once(port: int, kind: str, data: bytes, tally: Tally) -> None:
    async with connect(port) as (reader, writer), asyncio.timeout(30):
        await send(writer, UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        await send(writer, data)
        if kind == "frames answered":
            first, size = await reader.readexactly(2)
            length = size if size < 126 else int.from_bytes(await reader.readexactly(2), "big")
            assert first == 0x81, first
            tally.judge(kind, await reader.readexactly(length))
        elif kind == "frames fatal":
            with suppress(ConnectionError):
                while await reader.read(65_536):
                    pass


def plan(count: int, seed: int) -> list[tuple[str, Callable[..., Any], bytes]]:
    rng = random.Random(seed)
    weights: dict[str, tuple[Make, int, Callable[..., Any]]] = {
        k: (m, w, http_once) for k, (m, w) in HTTP_KINDS.items()
    }
    weights["frames answered"] = (ws_answered, 80, ws_once)
    weights["frames fatal"] = (ws_fatal, 130, ws_once)
    weights["frames truncated"] = (ws_truncated, 60, ws_once)
    total = sum(weight for _, weight, _ in weights.values())
    jobs: list[tuple[str, Callable[..., Any], bytes]] = []
    for kind, (make, weight, run) in weights.items():
        jobs += [(kind, run, make(rng)) for _ in range(-(-count * weight // total))]
    rng.shuffle(jobs)
    return jobs


def honest(port: int, pipe: Connection) -> None:
    """Ask a fair question every 50 ms on a new connection until told to stop; report (calls, slowest)."""
    calls, slowest = 0, 0.0
    while not pipe.poll(0.05):
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/", VALID)
        assert b'"hash"' in connection.getresponse().read()
        connection.close()
        slowest = max(slowest, time.perf_counter() - start)
        calls += 1
        if calls == 1:
            pipe.send("runs")
    pipe.send((calls, slowest))


@contextmanager
def honest_beside(port: int, tally: Tally) -> Iterator[None]:
    """Run the honest client in a process of its own: the attacker's work must not count as the server's."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=honest, args=(port, there), daemon=True)
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


async def attack(port: int, count: int, seed: int, tally: Tally) -> None:
    slots = asyncio.Semaphore(PARALLEL)

    async def one(kind: str, run: Callable[..., Any], data: bytes) -> None:
        async with slots:
            await run(port, kind, data, tally)
            tally.sent[kind] += 1

    for start in range(0, count, 500):
        jobs = plan(min(500, count - start), seed + start)
        await asyncio.gather(*(one(*job) for job in jobs))


def report(tally: Tally, target: Target, seconds: float) -> None:
    print(f"\n{sum(tally.sent.values())} hostile requests in {seconds:.1f} s: {dict(tally.sent)}")
    print(f"answers by code: {dict(tally.codes)}; improper: {len(tally.improper)}")
    print(f"{tally.honest} honest calls beside them, slowest {tally.slowest_honest * 1000:.0f} ms")
    print(f"memory growth {target.growth() / MIB:.0f} MiB")


def run_hostile(target: Target, count: int) -> None:
    start = time.perf_counter()
    tally = Tally()
    with honest_beside(target.port, tally):
        asyncio.run(attack(target.port, count, 11, tally))
    report(tally, target, time.perf_counter() - start)
    assert target.process.is_running()
    assert tally.improper == []
    assert sum(tally.sent.values()) >= count
    assert tally.slowest_honest <= HONEST_SECONDS
    assert target.growth() <= GROWTH_CAP


def test_hostile_requests(target: Target) -> None:
    run_hostile(target, 1_500)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_hostile_requests_soak(target: Target) -> None:
    run_hostile(target, 12_000)


def test_honest_calls_beside_half_sent_requests(target: Target) -> None:
    """300 requests held open half-sent: heads, bodies, chunks, WebSocket messages."""
    halves = [
        b"POST / HTTP/1.1\r\nHost: local",
        post(VALID[:20], length=len(VALID)),
        post(b" " * 60_000, length=19 * MIB),
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{",
        UPGRADE + frame(b"x" * 1_000, 0x01, stated=30 * MIB),
    ]

    async def run() -> None:
        held = [await asyncio.open_connection("127.0.0.1", target.port) for _ in range(300)]
        for index, (_, writer) in enumerate(held):
            await send(writer, halves[index % len(halves)])
        with honest_beside(target.port, tally):
            await asyncio.sleep(3)
        for _, writer in held:
            writer.close()

    tally = Tally()
    asyncio.run(run())
    report(tally, target, 3)
    assert tally.honest >= 10
    assert tally.slowest_honest <= HONEST_SECONDS
    assert target.growth() <= GROWTH_CAP


def test_large_half_sent_messages_share_one_budget(target: Target) -> None:
    """40 connections that each try to park 16 MiB: the server keeps its budget and answers honest calls."""
    parked = b"x" * (16 * MIB)

    async def park(index: int) -> None:
        head = post(b"", length=19 * MIB) if index % 2 else UPGRADE + frame(b"", 0x01, stated=30 * MIB)
        with suppress(ConnectionError, TimeoutError):
            async with connect(target.port) as (_, writer), asyncio.timeout(3):
                await send(writer, head + parked)
                await asyncio.sleep(3)

    async def run() -> None:
        await asyncio.gather(*(park(index) for index in range(40)))

    tally = Tally()
    with honest_beside(target.port, tally):
        asyncio.run(run())
    report(tally, target, 3)
    assert tally.slowest_honest <= HONEST_SECONDS
    assert target.growth() <= GROWTH_CAP
