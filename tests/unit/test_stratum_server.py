"""The Stratum server on loopback over a chain in memory: blocks, new heads, limits."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from chaingen.pool_world import PoolWorld
from chaingen.specs import key
from e2e.stratum_client import StratumClient
from unit.stratum_world import TAG, MemoryNode, address_of

from ioex_chain.ledger.errors import StoreError
from ioex_chain.pow.stratum_limits import ConnectThrottle, StratumSettings, TokenBucket
from ioex_chain.pow.stratum_server import StratumPortTaken, StratumServer
from ioex_chain.pow.stratum_session import SessionRules
from ioex_chain.primitives.types import COIN

Start = Callable[..., Awaitable[StratumServer]]


class Now:
    """Monotonic time that runs, and may be put ahead."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@asynccontextmanager
async def serving(
    node: MemoryNode, now: Callable[[], float] = time.monotonic, is_ready: Any = None, **settings: Any
) -> AsyncIterator[StratumServer]:
    """Run a server on the node's chain."""
    world = node.world
    chosen = StratumSettings(port=0, tag=TAG, **settings)
    build, empty = world.builder.build, world.builder.empty
    ready = is_ready or (lambda: True)
    server = StratumServer(
        node, build, world.spec, chosen, world.clock, now, empty=empty, is_ready=ready, first_extranonce=5
    )
    await server.start()
    running = asyncio.create_task(server.run())
    try:
        yield server
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.stop()


@pytest.fixture
def node() -> MemoryNode:
    return MemoryNode(PoolWorld())


def client(server: StratumServer, name: str = "alice") -> StratumClient:
    return StratumClient("127.0.0.1", server.port, address_of(name) + ".rig")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_miners_make_a_chain(node):
    world = node.world
    start = world.ledger.head.height
    async with serving(node) as server, client(server) as alice, client(server, "bob") as bob:
        await alice.enter()
        await bob.enter()
        await bob.next_job()
        for number in range(6):
            miner = (alice, bob)[number % 2]
            if number == 4:
                world.add(world.pay(fee=7_000))
                node.wake()
            job = await miner.next_job()
            jobs = [len(alice.jobs), len(bob.jobs)]
            assert await miner.submit(job, 0, miner.solve(job, 0))
            await alice.next_job(jobs[0])
            await bob.next_job(jobs[1])
            assert alice.jobs[jobs[0]].clean
        assert world.ledger.head.height == start + 6
        assert (server.stats.total.blocks, server.stats.blocks_found) == (6, 6)
        assert (
            server.stats.workers[alice.user].blocks == server.stats.addresses[address_of("bob")].blocks == 3
        )
        await until(lambda: bool(bob.messages))
        assert "you found block" in bob.messages[0]
    paid = [(block.transactions[0].outputs[1].script, len(block.transactions)) for block in node.submitted]
    assert [script for script, _ in paid] == [key("alice").script, key("bob").script] * 3
    assert all(block.transactions[0].outputs[0].value == 20 * COIN for block in node.submitted)
    assert server.stats.connections == 0


async def test_a_new_head_from_elsewhere_makes_old_shares_stale(node):
    async with serving(node) as server, client(server) as miner:
        await miner.enter()
        job = await miner.next_job()
        node.world.mine()
        new = await miner.next_job(len(miner.jobs))
        assert new.clean
        assert new.previous != job.previous
        assert not await miner.submit(job, 0, miner.solve(job, 0))
        assert miner.refused == {21: 1}


async def test_an_empty_template_comes_first_then_the_full_one(node):
    async with serving(node) as server, client(server) as miner:
        await miner.enter()
        await miner.next_job()
        node.world.add(node.world.pay(fee=5_000))
        node.world.mine()
        await miner.next_job(2)
        empty, full = miner.jobs[-2:]
        assert (empty.branch, empty.clean) == ([], True)
        assert (len(full.branch), full.clean) == (1, True)
        assert await miner.submit(empty, 0, miner.solve(empty, 0))


async def test_fees_are_refreshed(node):
    async with serving(node, refresh=0.05) as server, client(server) as miner:
        await miner.enter()
        await miner.next_job()
        node.world.add(node.world.pay(fee=5_000))
        async with asyncio.timeout(5):
            while not miner.jobs[-1].branch:
                await miner.next_job(len(miner.jobs))
        assert not miner.jobs[-1].clean


async def test_nothing_is_built_again_when_only_time_went_on(node):
    node.world.add(node.world.pay(fee=5_000))
    built = []
    build = node.world.builder.build
    node.world.builder.build = lambda: built.append(1) or build()
    async with serving(node, refresh=0.05) as server, client(server) as miner:
        await miner.enter()
        first = await miner.next_job()
        node.world.clock.advance(20)
        later = await miner.next_job(len(miner.jobs) + 1)
        assert (later.branch, later.time, later.clean) == (first.branch, first.time + 20, False)
        assert len(built) == 1
        assert await miner.submit(later, 0, miner.solve(later, 0))
        coinbase, _ = node.submitted[0].transactions
        assert coinbase.outputs[1].value == 4 * COIN + 5_000


async def test_siblings_of_a_block_are_not_given_to_the_node(node):
    async with serving(node) as server, client(server) as miner:
        await miner.enter()
        job = await miner.next_job()
        nonces = [miner.solve(job, number) for number in range(20)]
        await asyncio.gather(*(miner.submit(job, number, nonce) for number, nonce in enumerate(nonces)))
        await miner.next_job(1)
        assert len(node.submitted) == 1
        assert node.world.ledger.head.hash == node.submitted[0].hash


async def test_no_work_while_the_node_syncs(node):
    ready = False
    async with serving(node, is_ready=lambda: ready) as server, client(server) as miner:
        await miner.enter()
        assert miner.jobs == []
        ready = True
        await miner.next_job()


async def test_no_work_while_no_block_would_be_valid(node):
    """Where every hash is a block, a chain's time runs ahead of the clock."""
    for _ in range(7):
        node.world.mine()
    node.world.clock.time -= 1_000
    async with serving(node) as server, client(server) as miner:
        await miner.enter()
        assert miner.jobs == []
        node.world.clock.time += 1_000
        job = await miner.next_job()
        assert await miner.submit(job, 0, miner.solve(job, 0))


async def test_extra_nonces_are_unique(node):
    async with serving(node) as server, AsyncExitStack() as stack:
        miners = [await stack.enter_async_context(client(server)) for _ in range(20)]
        await asyncio.gather(*(miner.enter() for miner in miners))
        assert len({miner.extranonce1 for miner in miners}) == 20
        assert server.stats.connections == server.stats.authorized == 20


async def test_too_many_connections(node):
    async with serving(node, max_connections=2) as server, AsyncExitStack() as stack:
        for _ in range(2):
            await (await stack.enter_async_context(client(server))).enter()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await reader.read() == b""
        writer.close()
        assert server.stats.refused_connections == 1


async def test_who_does_not_authorize_is_ended(node):
    now = Now()
    rules = SessionRules(authorize_within=60)
    async with serving(node, now, session=rules) as server, client(server) as miner:
        await miner.enter()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await until(lambda: server.stats.connections == 2)
        now.ahead = 61
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        assert server.stats.dropped == {"not-authorized": 1}
        assert await miner.call("mining.ping") == "pong"


async def test_garbage_ends_a_connection_and_no_other(node):
    async with serving(node) as server, client(server) as miner:
        await miner.enter()
        for junk in (b"GET / HTTP/1.1\r\nHost: x\r\n" * 20, b"\x16\x03\x01" * 2000, b"a" * 6000):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(junk)
            async with asyncio.timeout(5):
                answer = await reader.read()
            assert b'"error":[20,' in answer
            writer.close()
        assert server.stats.dropped["garbage"] == 1
        assert server.stats.dropped["line-too-long"] == 2
        assert await miner.call("mining.ping") == "pong"


async def test_who_does_not_read_is_dropped(node):
    async with serving(node, write_buffer=20_000, message_burst=1e9) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        line = b'{"id":1,"method":"mining.subscribe","params":[]}\n'
        with pytest.raises(OSError):  # noqa: PT012 - it ends somewhere in the middle
            for _ in range(10_000):
                writer.write(line * 100)
                await asyncio.wait_for(writer.drain(), 5)
                if server.stats.dropped:
                    raise ConnectionResetError
        assert server.stats.dropped == {"slow-reader": 1}
        assert server.stats.connections == 0
        del reader
        writer.close()


async def test_a_flood_is_read_slowly(node):
    async with serving(node, messages_per_second=200, message_burst=100) as server, client(server) as miner:
        began = time.monotonic()
        await asyncio.gather(*(miner.call("mining.ping") for _ in range(300)))
        assert 0.2 < time.monotonic() - began < 5
        async with client(server) as other:
            assert await other.call("mining.ping") == "pong"


async def test_the_port_is_taken(node):
    async with serving(node) as server:
        settings = StratumSettings(port=server.port)
        again = StratumServer(
            node, node.world.builder.build, node.world.spec, settings, node.world.clock, time.monotonic
        )
        with pytest.raises(StratumPortTaken, match="stratum_port"):
            await again.start()


def test_buckets():
    bucket = TokenBucket(10, 5, now=0)
    assert [bucket.take(1, 0) for _ in range(5)] == [0] * 5
    assert bucket.take(1, 0) == pytest.approx(0.1)
    assert bucket.take(1, 0.2) == 0
    assert not bucket.is_full(0.3)
    assert bucket.is_full(10)


def test_connections_of_one_address_are_throttled():
    throttle = ConnectThrottle(1, 3)
    assert [throttle.allows("a", 0) for _ in range(5)] == [True, True, True, False, False]
    assert throttle.allows("b", 0)
    assert [throttle.allows("a", 1) for _ in range(2)] == [True, False]
    throttle.tidy(100)
    assert throttle._buckets == {}


async def test_a_failing_disk_ends_the_server(node):
    def fail() -> Any:
        raise StoreError("the disk is full")

    world = node.world
    server = StratumServer(
        node, fail, world.spec, StratumSettings(port=0), world.clock, time.monotonic, empty=fail
    )
    await server.start()
    with pytest.raises(StoreError, match="the disk is full"):
        await server.run()
    await server.stop()
