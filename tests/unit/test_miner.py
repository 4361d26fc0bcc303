"""The miner: search, work from both kinds of node, hashing processes, pacing, what it counts."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise

import psutil
import pytest
from chaingen.pool_world import PoolWorld
from chaingen.specs import key, story_spec

from ioex_chain.ledger.errors import InvalidBlock
from ioex_chain.pow.block import Block
from ioex_chain.pow.errors import HighHash
from ioex_chain.pow.hash_pool import STOP_SECONDS, HashPool, WorkerDied, default_workers
from ioex_chain.pow.hash_worker import Order, Report
from ioex_chain.pow.hashing import BATCH, search
from ioex_chain.pow.header import Header
from ioex_chain.pow.miner import Miner, Pacer, mine_block
from ioex_chain.pow.mining_stats import MinerStats, Reward
from ioex_chain.pow.work import LocalSource, RpcSource, Work, WorkUnreadable, miner_value, read_template
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import COIN, display

PAYOUT = key("payout").script
IMPOSSIBLE = 1


@pytest.fixture
def world() -> PoolWorld:
    return PoolWorld()


# --- the search ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [0, 3, 4, 1_000])
def test_search_agrees_with_a_plain_loop(batch):
    core = bytes(range(76))
    hashes = {}
    for low in range(2_000):
        nonce = ((batch & 3) * BATCH + low) << 16 | batch >> 2
        hashes[nonce] = sha256(sha256(core + nonce.to_bytes(4, "little")).digest()).digest()[::-1]
    best = min(hashes, key=hashes.__getitem__)
    target = int.from_bytes(hashes[best], "big")
    assert search(core, target, batch, 2_000) == best
    assert search(core, target - 1, batch, 2_000) is None


def test_batches_hold_different_nonces():
    found = {search(bytes(76), (1 << 256) - 1, batch, 1) for batch in range(9)}
    assert len(found) == 9


def test_mine_block(world):
    world.add(world.pay(fee=700))
    block = mine_block(world.builder.build().job(PAYOUT))
    world.ledger.accept_block(block)
    assert world.ledger.head.hash == block.hash
    assert miner_value(block.transactions[0]) == 4 * COIN + 700


def test_mine_block_gives_up(world):
    hard = replace(world.builder.build(), bits=0x1D00FFFF)
    assert mine_block(hard.job(PAYOUT), max_tries=20_000) is None


# --- messages to a process -------------------------------------------------------------------------------


def test_orders_and_reports_survive_the_pipe():
    order = Order(7, bytes(range(76)), 1 << 255)
    assert Order.decode(order.encode()) == order
    for report in (Report(7, 5, True, None), Report(7, 5, True, 9), Report(7, 0, False, None)):
        assert Report.decode(report.encode()) == report


# --- processes -------------------------------------------------------------------------------------------


def reports(pool: HashPool) -> Iterator[Report]:
    """Wait for one report of worker 0 after the other."""
    while pool._workers[0][1].poll(30):
        yield from pool.reports(0)


def test_processes_search_and_stop(world):
    header = world.builder.empty().job(PAYOUT).header(0)
    pool = HashPool(2)
    pool.start()
    try:
        pids = pool.pids()
        pool.order(0, Order(1, header.core[:76], IMPOSSIBLE))
        told = reports(pool)
        first = next(told)
        assert (first.number, first.is_done, first.nonce) == (1, False, None)
        assert first.hashes == 16 * BATCH
        pool.order(0, Order(2, header.core[:76], world.builder.empty().target))
        report = next(report for report in told if report.number == 2)
        assert report.is_done
        assert int.from_bytes(header.with_nonce(report.nonce).hash, "little") <= world.builder.empty().target
        pool.order(1, Order(3, header.core[:76], IMPOSSIBLE))
    finally:
        pool.stop()
    assert STOP_SECONDS <= 1.0
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_dead_process_is_noticed():
    pool = HashPool(1)
    pool.start()
    try:
        psutil.Process(pool.pids()[0]).kill()
        pool._workers[0][1].poll(30)
        with pytest.raises(WorkerDied, match="ended"):
            pool.reports(0)
    finally:
        pool.stop()


def test_all_cores_but_one(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert default_workers() == HashPool().count == 7
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert default_workers() == 1


# --- pacing ----------------------------------------------------------------------------------------------


def test_blocks_keep_the_spacing():
    pacer = Pacer(4)
    assert pacer.due(b"a", 100.0) == 100.0
    assert pacer.due(b"a", 101.0) == 100.0  # new fees, same head
    assert pacer.due(b"b", 100.3) == 104.0
    assert pacer.due(b"c", 104.2) == 108.0  # no drift
    assert pacer.due(b"d", 106.0) == 110.0  # somebody else's block
    assert pacer.due(b"e", 150.0) == 154.0  # after a pause


# --- figures ---------------------------------------------------------------------------------------------


def test_hash_rate_and_expected_time():
    stats = MinerStats(started=0.0)
    assert stats.hash_rate(0.0) == 0.0
    assert stats.expected_seconds(5.0) is None
    stats.bits = 0x1D00FFFF
    stats.add_hashes(5.0, 1_000)
    stats.add_hashes(10.0, 1_000)
    assert stats.hash_rate(10.0) == 200.0
    assert stats.expected_seconds(10.0) == pytest.approx(2**32 / 200, rel=1e-3)
    stats.add_hashes(68.0, 4_000)
    assert stats.hash_rate(68.0) == pytest.approx(5_000 / 60)
    assert stats.hashes == 6_000


def test_rewards_mature():
    stats = MinerStats(0.0, rewards=[Reward(10, b"", 1, 110), Reward(12, b"", 1, 112)])
    assert stats.maturing(108) == stats.rewards
    assert stats.maturing(109) == stats.rewards[1:]
    assert stats.maturing(111) == []


# --- work ------------------------------------------------------------------------------------------------


class Node:
    """A node in this process without threads: `LocalNode` over a PoolWorld."""

    def __init__(self, world: PoolWorld) -> None:
        self.world = world
        self.waits: list[tuple[bytes, int]] = []
        self.moved = asyncio.Event()

    async def call(self, function):
        return function()

    async def submit_block(self, block: Block):
        changed = self.world.ledger.accept_block(block)
        self.moved.set()
        return changed

    async def wait_for_template_change(self, head, mempool_version, timeout):
        self.waits.append((head, mempool_version))
        while self.world.ledger.head.hash == head and self.world.pool.version == mempool_version:
            self.moved.clear()
            await self.moved.wait()


def gbt(world: PoolWorld, **changes):
    """Give what getblocktemplate answers."""
    template = world.builder.build()
    coinbase = template.job(PAYOUT).coinbase(1)
    answer = {
        "version": 0x20000000,
        "previousblockhash": display(template.parent_hash),
        "transactions": [
            {"data": entry.tx.raw.hex(), "fee": entry.fee, "sigops": entry.checks}
            for entry in template.entries
        ],
        "coinbasetxn": {"data": coinbase.encode_stripped().hex()},
        "longpollid": "later",
        "mintime": template.min_time,
        "curtime": template.time,
        "bits": f"{template.bits:08x}",
        "height": template.height,
    }
    return {name: value for name, value in {**answer, **changes}.items() if value is not None}


async def test_local_work(world):
    world.add(world.pay(fee=900))
    source = LocalSource(node := Node(world), world.builder.build, PAYOUT, b"tag")
    work = await source.get_template(None)
    assert node.waits == []
    block = mine_block(work.job)
    assert b"tag" in block.transactions[0].inputs[0].script
    assert await source.submit(block) is None
    assert world.ledger.head.hash == block.hash
    assert await source.submit(block) == "inconclusive"
    await source.get_template(work.longpoll)
    assert node.waits == [(block.header.parent_hash, work.job.template.pool_version)]


async def test_a_refused_block_is_named(world):
    source = LocalSource(Node(world), world.builder.build, PAYOUT)
    work = await source.get_template(None)
    block = mine_block(replace(work.job, base=world.tip.transactions[0]))
    assert await source.submit(block) == "bad-cb-height"
    unsolved = work.job.block(0)
    while int.from_bytes(unsolved.hash, "little") <= work.job.template.target:
        unsolved = work.job.block(unsolved.header.nonce + 1)
    assert await source.submit(unsolved) == "high-hash"
    orphan = Header.build(0x20000000, b"\x07" * 32, bytes(32), 1, 0x207FFFFF, 0)
    assert await source.submit(Block.build(orphan, [])) == "prev-blk-not-found"


class Client:
    def __init__(self, world: PoolWorld) -> None:
        self.world = world
        self.calls: list[tuple[object, ...]] = []

    async def call(self, method, /, *params):
        self.calls.append((method, *params))
        if method == "getblocktemplate":
            return gbt(self.world)
        try:
            self.world.ledger.accept_block(Block.decode(bytes.fromhex(params[0])))
        except (InvalidBlock, HighHash):
            return "high-hash"
        return None


async def test_work_over_rpc(world):
    parent = world.pay(fee=900)
    world.add(parent)
    world.add(world.respend(parent, 900))
    source = RpcSource(client := Client(world), world.spec, "riox1q")
    work = await source.get_template("id")
    request = client.calls[0][1]
    assert request["longpollid"] == "id"
    assert request["address"] == "riox1q"
    assert request["rules"] == ["segwit"]
    assert "coinbasetxn" in request["capabilities"]
    assert work.longpoll == "later"
    block = mine_block(work.job)
    assert await source.submit(block) is None
    assert world.ledger.head.hash == block.hash
    assert len(world.pool) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"coinbasetxn": None},
        {"coinbasetxn": {"data": "00"}},
        {"bits": "zz"},
        {"bits": "00000000"},
        {"previousblockhash": "12"},
        {"height": None},
        {"transactions": [{}]},
        {"transactions": 5},
    ],
)
def test_templates_that_cannot_be_read(world, changes):
    with pytest.raises(IoexError):
        read_template(world.spec, gbt(world, **changes))


@pytest.mark.parametrize("answer", [None, [], "x", 5])
def test_answers_that_are_no_template(world, answer):
    with pytest.raises(WorkUnreadable):
        read_template(world.spec, answer)


def test_a_coinbase_without_room(world):
    job = world.builder.build().job(PAYOUT, bytes(92))
    with pytest.raises(WorkUnreadable, match="no room"):
        read_template(world.spec, gbt(world, coinbasetxn={"data": job.base.raw.hex()}))


# --- the whole miner -------------------------------------------------------------------------------------


class Hashers:
    """Hashing that happens when the order comes, in this process; `HashPool`'s shape over an os pipe."""

    def __init__(self) -> None:
        self.count = 2
        self.orders: list[Order | None] = []
        self.queue: deque[Report] = deque()
        self.miner: Miner | None = None
        self.stopped = False

    def start(self) -> None:
        pass

    def stop(self) -> None:
        self.stopped = True

    def fileno(self, worker: int) -> int:
        return self.pipes[worker][0]

    def order(self, worker: int, order: Order | None) -> None:
        self.orders.append(order)
        if order is None or worker:
            return
        nonce = search(order.core, order.target, 0)
        self.queue.append(Report(order.number, 10, True, nonce))
        asyncio.get_running_loop().call_soon(self.miner._read, worker)

    def reports(self, worker: int) -> list[Report]:
        found = list(self.queue)
        self.queue.clear()
        return found


async def run_miner(miner: Miner, until, hashers: Hashers, monkeypatch) -> None:
    """Run until the condition holds; the loop's reader calls are the fake's own."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_reader", lambda *_: None)
    monkeypatch.setattr(loop, "remove_reader", lambda *_: None)
    hashers.pipes = [(0, 0), (0, 0)]
    hashers.miner = miner
    task = asyncio.create_task(miner.run())
    try:
        for _ in range(10_000):
            await asyncio.sleep(0)
            if until():
                return
            assert not task.done(), task.exception()
        raise AssertionError("nothing happened")
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert hashers.stopped


class Time:
    """A monotonic clock that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.now += seconds


async def test_mines_block_after_block_at_the_spacing(world, monkeypatch):
    start = world.ledger.head.height
    time, hashers = Time(), Hashers()
    times: list[float] = []
    world.ledger.subscribe(lambda _: times.append(time.now))

    class Ticking(LocalSource):
        async def submit(self, block):
            world.clock.time += 4
            return await super().submit(block)

    source = Ticking(Node(world), world.builder.build, PAYOUT)
    miner = Miner(world.spec.pow, source, world.clock, hashers=hashers, monotonic=time, sleep=time.sleep)
    await run_miner(miner, lambda: world.ledger.head.height >= start + 3, hashers, monkeypatch)
    assert miner.stats.accepted >= 3
    gaps = [late - early for early, late in pairwise(times)]
    assert all(gap >= world.spec.pow.spacing for gap in gaps[:2])
    reward = miner.stats.rewards[0]
    assert reward.height == start + 1
    assert reward.value == 4 * COIN
    assert reward.matures_at == start + 1 + world.spec.pow.coinbase_maturity


class Scripted:
    """A source that gives one work and answers as told."""

    def __init__(self, work: Work, answers: list[str | None], errors: int = 0) -> None:
        self.work = work
        self.answers = answers
        self.errors = errors
        self.asked: list[str | None] = []
        self.blocks: list[Block] = []

    async def get_template(self, longpoll):
        self.asked.append(longpoll)
        if self.errors:
            self.errors -= 1
            raise WorkUnreadable("no work yet")
        if longpoll:
            await asyncio.Event().wait()
        return self.work

    async def submit(self, block):
        self.blocks.append(block)
        return self.answers.pop(0)


async def test_refused_and_stale_blocks_are_counted_and_new_work_is_asked(world, monkeypatch):
    hard = replace(world.spec.pow, fixed_difficulty=False)
    source = Scripted(
        Work(world.builder.build().job(PAYOUT), "poll"), ["bad-cb-amount", "inconclusive", None], 1
    )
    time, hashers = Time(), Hashers()
    miner = Miner(hard, source, world.clock, hashers=hashers, monotonic=time, sleep=time.sleep)
    await run_miner(miner, lambda: miner.stats.accepted == 1, hashers, monkeypatch)
    stats = miner.stats
    assert (stats.found, stats.rejected, stats.stale, stats.accepted) == (3, 1, 1, 1)
    assert stats.hashes >= 30
    assert source.asked[:2] == [None, None]
    assert len({block.hash for block in source.blocks}) == 3  # another extra nonce each time


async def test_a_dead_process_ends_the_miner(world):
    class Dying(HashPool):
        def order(self, worker, order):
            raise WorkerDied("hashing process 0 ended")

    source = Scripted(Work(world.builder.build().job(PAYOUT), "poll"), [])
    miner = Miner(world.spec.pow, source, world.clock, hashers=Dying(0))
    miner._hashers.count = 0
    miner._order_all = lambda work: miner._hashers.order(0, None)  # type: ignore[method-assign]
    with pytest.raises(WorkerDied):
        await miner.run()


async def test_real_processes_mine_a_block(world):
    source = LocalSource(Node(world), world.builder.build, PAYOUT)
    miner = Miner(world.spec.pow, source, world.clock, hashers=HashPool(1))
    done = asyncio.Event()
    start = world.ledger.head.height
    world.ledger.subscribe(lambda _: done.set())
    task = asyncio.create_task(miner.run())
    async with asyncio.timeout(30):
        await done.wait()
    pids = miner._hashers.pids()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.ledger.head.height == start + 1
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_story_spec_is_paced():
    assert story_spec().pow.fixed_difficulty
