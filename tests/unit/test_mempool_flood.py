"""Floods, in short form: caps hold, an honest better-paying transaction is in the next block.

The full size, 50,000 transactions in a minute, is `test_full_size` (`make soak`) and
benchmarks/bench_mempool.py.
"""

from contextlib import suppress
from time import perf_counter

import pytest
from chaingen.pool_world import PoolWorld
from chaingen.specs import key
from test_mempool_replace import consistent

from ioex_chain.pow.policy import PolicyError
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN

CAP = 100_000


@pytest.fixture
def world() -> PoolWorld:
    return PoolWorld(max_usage=CAP)


def flood(world: PoolWorld, txs: list[Transaction]) -> int:
    """Offer all; give how many were refused."""
    refused = 0
    for tx in txs:
        try:
            world.add(tx)
        except PolicyError:
            refused += 1
        assert world.pool.usage <= CAP
    return refused


def honest_is_mined_next(world: PoolWorld) -> None:
    honest = world.pay(fee=20_000)
    world.add(honest)
    assert honest in world.builder.build().transactions
    consistent(world)


def test_many_cheap_ones(world):
    funds = world.fan(300)
    refused = flood(world, [world.chain.spend(coin, [(COIN, key("x"))], fee=250) for coin in funds])
    assert refused > 200
    assert world.pool.min_rate() > world.pool.policy.min_relay_rate
    honest_is_mined_next(world)


def test_ever_better_ones(world):
    funds = world.fan(300)
    txs = [world.chain.spend(coin, [(COIN, key("x"))], fee=300 + 300 * n) for n, coin in enumerate(funds)]
    assert flood(world, txs) == 0
    kept = {entry.txid for entry in world.pool}
    assert kept == {tx.txid for tx in txs[-len(kept) :]}
    consistent(world)


def test_long_chains(world):
    txs = []
    for coin in world.fan(12):
        txs.append(world.chain.spend(coin, [(COIN, key("x"))], fee=400))
        for _ in range(26):
            txs.append(world.respend(txs[-1], 400))
    assert flood(world, txs) > 12 * 2
    assert max(entry.ancestor_count for entry in world.pool) <= 25
    honest_is_mined_next(world)


def test_replacements_again_and_again(world):
    coin = world.fan(1)[0]
    accepted = 0
    for fee in range(1_000, 30_000, 50):
        with suppress(PolicyError):
            world.add(world.chain.spend(coin, [(COIN, key("x"))], fee=fee))
            accepted += 1
    assert len(world.pool) == 1
    assert accepted < 29_000 / 220  # each pays for its own relay
    honest_is_mined_next(world)


def test_the_eviction_queue_does_not_grow_with_the_flood(world):
    coin = world.fan(1)[0]
    parent = world.chain.spend(coin, [(COIN, key("x"))] * 20, fee=10_000)
    world.add(parent)
    child = None
    for round_ in range(1_500):
        if child is None or round_ % 2:
            child = world.respend(parent, 1_000 + 300 * round_, round_ % 20)
        with suppress(PolicyError):
            world.add(child)
    assert len(world.pool._queue._heap) <= 4 * len(world.pool) + 1_001
    consistent(world)


@pytest.mark.soak
def test_full_size():
    world = PoolWorld()
    txs = []
    for _ in range(13):
        for coin in world.fan(2_000):
            txs.append(world.chain.spend(coin, [(COIN // 1_000, key("x"))], fee=250 + len(txs) % 2_000))
            txs.append(world.respend(txs[-1], 300, 1))
    txs = txs[:50_000]
    start = perf_counter()
    for tx in txs:
        world.add(tx)
    assert perf_counter() - start <= 60
    honest = world.pay(fee=20_000)
    world.add(honest)
    start = perf_counter()
    template = world.builder.build(check=False)
    assert perf_counter() - start <= 1
    assert honest in template.transactions
    assert world.pool.usage <= world.pool.policy.max_usage
