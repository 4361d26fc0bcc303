"""The mempool under a flood of 50,000 transactions, and a template from it when it is full.

Half of them spend confirmed coins, half hang on one of those in chains of up to 5; every eighth fee is
high. Then the same flood into a pool with room for a tenth, so that nearly everything evicts something.
"""

import gc
import tempfile
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, thread_time
from typing import TypeVar

from benchmarks.report import Row, Table
from ioex_chain.ledger.store import LevelStore
from ioex_chain.pow.machine import PowMachine
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.packages import usage_of
from ioex_chain.pow.policy import Policy, PolicyError
from ioex_chain.pow.pool_file import decode_pool, encode_pool, restore
from ioex_chain.pow.selection import Limits, select
from ioex_chain.pow.template import TemplateBuilder
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.verified import VerifiedCache
from tests.chaingen.builder import ChainBuilder, Funds
from tests.chaingen.harness import open_ledger
from tests.chaingen.specs import key, story_spec

FLOOD = 50_000
FAN = 2_000
CHAIN = 5
PER_MINUTE = 50_000
T = TypeVar("T")


class World:
    """A ledger on disk with many coins, and as many transactions as asked."""

    def __init__(self, folder: Path, count: int) -> None:
        self.chain = ChainBuilder(story_spec())
        self.verified = VerifiedCache()
        machine = PowMachine(self.chain.spec, verified=self.verified)
        self.ledger = open_ledger(self.chain, LevelStore(folder / "db", create=True), machine)
        self.tip = self.chain.genesis
        for block in self.chain.warm_up():
            self.accept(block)
        self.flood = self.make_flood(self.coins(count // 2), count)

    def accept(self, block: object) -> None:
        self.ledger.accept_block(block)  # type: ignore[arg-type]
        self.tip = block  # type: ignore[assignment]

    def coins(self, count: int) -> list[Funds]:
        owners = [key(f"coin {number}") for number in range(50)]
        self.chain.know(*owners)
        found: list[Funds] = []
        while len(found) < count:
            tx = self.chain.fan_out(self.chain.take(), FAN, owners[len(found) // FAN % 50])
            self.accept(self.chain.block(self.tip, [tx]))
            found += self.chain.all_funds(tx)
        return found[:count]

    def make_flood(self, coins: Sequence[Funds], count: int) -> list[Transaction]:
        made: list[Transaction] = []
        for number, coin in enumerate(coins):
            at = coin
            for link in range(1 + (CHAIN if number % CHAIN == 0 else 0)):
                rate = 40_000 if (number + link) % 8 == 0 else 250 + (number * 7919 + link) % 2_000
                made.append(self.chain.spend(at, [(1_000, key("shop"))], fee=rate))
                at = self.chain.funds(made[-1], 1)
        return made[:count]

    def pool(self, **policy: int) -> Mempool:
        return Mempool(self.chain.spec, self.chain.clock, policy=Policy(**policy), verified=self.verified)


def timed(work: Callable[[], T]) -> tuple[float, T]:
    gc.collect()
    start = perf_counter()
    result = work()
    return perf_counter() - start, result


def pour(world: World, pool: Mempool) -> int:
    tip = Tip.of(world.ledger)
    refused = 0
    for tx in world.flood:
        try:
            pool.add(tx, tip)
        except PolicyError:
            refused += 1
    return refused


def flood_rows(world: World) -> tuple[list[Row], Mempool]:
    count = len(world.flood)
    pool = world.pool()
    seconds, refused = timed(lambda: pour(world, pool))
    assert refused == 0
    assert len(pool) == count
    again, _ = timed(lambda: pour(world, world.pool()))
    small = world.pool(max_usage=pool.usage // 10)
    full, refused = timed(lambda: pour(world, small))
    assert small.usage <= small.policy.max_usage
    bar = PER_MINUTE / 60
    return [
        Row("add, signatures verified", [count / seconds], "tx/s", bar, True),
        Row("add, signatures known", [count / again], "tx/s"),
        Row("add to a pool that is full", [count / full], "tx/s", bar, True, f"{refused:,} refused"),
    ], pool


def timed_row(name: str, work: Callable[[], object], bar: float | None = None) -> Row:
    """Three runs on the wall clock; the note has the processor time, which a busy machine changes less."""
    runs, used = [], []
    for _ in range(3):
        gc.collect()
        start, began = thread_time(), perf_counter()
        work()
        runs.append(perf_counter() - began)
        used.append(thread_time() - start)
    return Row(name, runs, "s", bar, note=f"{median(used):.3g} s of processor time")


def template_rows(world: World, pool: Mempool) -> list[Row]:
    builder = TemplateBuilder(world.chain.spec, world.ledger, pool, world.chain.clock)
    script = key("miner").script
    limits = Limits.of(world.chain.spec.pow)
    taken = len(select(pool, limits))
    return [
        timed_row(f"choose {taken:,} of {len(pool):,}", lambda: select(pool, limits)),
        timed_row("template", lambda: builder.build(check=False), 1.0),
        timed_row("with coinbase and header", lambda: builder.build(check=False).job(script).header(1), 1.0),
        timed_row("template that the ledger executed first", builder.build, 1.0),
    ]


def keep_rows(world: World, pool: Mempool) -> list[Row]:
    writing, data = timed(lambda: encode_pool(pool))
    kept = decode_pool(data, 100_000)
    fresh = world.pool()
    reading, told = timed(lambda: restore(fresh, kept, Tip.of(world.ledger)))
    assert told.kept == len(pool)
    return [
        Row("write the pool", [writing], "s", note=f"{len(data) / 1e6:.1f} MB"),
        Row("read it back, every rule checked", [reading], "s"),
    ]


def head_rows(world: World, pool: Mempool) -> list[Row]:
    builder = TemplateBuilder(world.chain.spec, world.ledger, pool, world.chain.clock)
    fork = world.tip
    block = world.chain.block(fork, builder.build(check=False).transactions)
    spent: list[float] = []

    def follow(event: object) -> None:
        spent.append(timed(lambda: pool.on_head(event, world.ledger))[0])  # type: ignore[arg-type]

    stop = world.ledger.subscribe(follow)
    before = len(pool)
    world.accept(block)
    for other in world.chain.extend(fork, 2):
        world.ledger.accept_block(other)
    stop()
    assert len(pool) == before
    return [
        Row("follow a full block of known transactions", spent[:1], "s"),
        Row("give them all back in a reorganisation", [sum(spent[1:])], "s"),
    ]


def memory_rows(world: World) -> list[Row]:
    sample = [tx.raw for tx in world.flood[:4_000]]
    tip = Tip.of(world.ledger)
    gc.collect()
    tracemalloc.start()
    pool = world.pool()
    for raw in sample:
        pool.add(Transaction.decode(raw), tip)
    gc.collect()
    real = tracemalloc.get_traced_memory()[0] / len(pool)
    tracemalloc.stop()
    estimate = sum(usage_of(entry.tx) for entry in pool) / len(pool)
    return [
        Row("memory per transaction, measured", [real], "bytes"),
        Row("memory per transaction, as the cap counts it", [estimate], "bytes"),
    ]


def run(quick: bool) -> list[Table]:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), FLOOD // 25 if quick else FLOOD)
        rows, pool = flood_rows(world)
        rows += template_rows(world, pool) + keep_rows(world, pool)
        rows += memory_rows(world) + head_rows(world, pool)
        return [Table(f"Mempool, {len(world.flood):,} transactions", rows)]
