"""Floods, in short form: caps hold, an honest better-paying transaction is in the next block.

The full size (50,000 transactions) runs in benchmarks/bench_mempool.py and in `make soak`.
"""

from contextlib import suppress

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
