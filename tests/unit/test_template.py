"""Block templates: what they choose, and that the chain takes what they make."""

from dataclasses import replace

import pytest
from chaingen.builder import solve
from chaingen.pool_world import PoolWorld
from chaingen.specs import key, story_spec

from ioex_chain.ledger.errors import InvalidBlock
from ioex_chain.pow.selection import Limits, select
from ioex_chain.pow.template import Job, merged_version
from ioex_chain.pow.tip import Tip
from ioex_chain.primitives.types import COIN

PAYOUT = key("payout").script


@pytest.fixture
def world() -> PoolWorld:
    return PoolWorld()


def accept(world: PoolWorld, job: Job, extra_nonce: int = 0) -> None:
    header = solve(job.header(extra_nonce))
    block = job.block_with(header, extra_nonce)
    world.ledger.accept_block(block)
    assert world.ledger.head.hash == block.hash


def test_empty(world):
    world.add(world.pay())
    template = world.builder.empty()
    assert (template.entries, template.fees) == ((), 0)
    assert template.height == world.ledger.head.height + 1
    accept(world, template.job(PAYOUT))


def test_takes_all_and_claims_the_fees(world):
    parent = world.pay(fee=300)
    child = world.respend(parent, fee=5_000)
    for tx in (parent, child, world.pay(fee=900)):
        world.add(tx)
    template = world.builder.build()
    assert template.fees == 6_200
    assert template.pool_version == world.pool.version
    job = template.job(PAYOUT, b"tag")
    assert job.coinbase(5).outputs[1].value == 4 * COIN + 6_200
    assert job.coinbase(5).outputs[1].script == PAYOUT
    accept(world, job, 5)
    assert len(world.pool) == 0


def test_parents_come_first_and_are_named(world):
    txs = world.chain_of(3)
    template = world.builder.build()
    assert [tx.txid for tx in template.transactions] == [tx.txid for tx in txs]
    assert [entry.depends for entry in template.entries] == [(), (1,), (2,)]


def test_a_child_pays_for_its_parent(world):
    poor, middle = world.pay(fee=250), world.pay(fee=2_000)
    rich = world.respend(poor, fee=50_000)
    for tx in (poor, middle, rich):
        world.add(tx)
    chosen = [entry.tx for entry in select(world.pool, Limits(8_000_000, 10, 100))]
    assert chosen == [poor, rich, middle]


def test_what_is_taken_lowers_the_rest(world):
    # grandchild pays for all; once the first two are in, the sibling stands on its own rate alone
    parent = world.pay((COIN, key("bob")), fee=250)
    child = world.respend(parent, fee=30_000)
    sibling = world.respend(parent, fee=400, index=0)
    other = world.pay(fee=3_000)
    for tx in (parent, sibling, child, other):
        world.add(tx)
    chosen = [entry.tx for entry in select(world.pool, Limits(8_000_000, 10, 100))]
    assert chosen == [parent, child, other, sibling]


@pytest.mark.parametrize("limits", [Limits(8_000_000, 2, 100), Limits(8_000_000, 9, 2)])
def test_limits(world, limits):
    for fee in (1_000, 3_000, 2_000):
        world.add(world.pay(fee=fee))
    assert [entry.fee for entry in select(world.pool, limits)] == [3_000, 2_000]


def test_size_limit_lets_smaller_ones_in(world):
    big = world.pay(*[(COIN, key("bob"))] * 20, fee=100_000)
    small = world.pay(fee=1_000)
    world.add(big)
    world.add(small)
    assert [entry.tx for entry in select(world.pool, Limits(small.size, 10, 100))] == [small]


def test_package_that_does_not_fit_is_left_out_whole(world):
    txs = world.chain_of(3)
    lone = world.pay(fee=800)
    world.add(lone)
    chosen = [entry.tx for entry in select(world.pool, Limits(8_000_000, 3, 2))]
    assert chosen == [*txs[:2]]


def test_min_rate(world):
    world.add(world.pay(fee=300))
    world.add(world.pay(fee=900))
    assert [entry.fee for entry in select(world.pool, Limits(8_000_000, 10, 100, 2_000))] == [900]


def test_time_is_after_the_median_and_not_before_the_clock(world):
    median = Tip.of(world.ledger).median_time
    world.clock.time = median - 1_000
    template = world.builder.build()
    assert template.min_time == template.time == median + 1
    world.clock.time = median + 5_000
    assert world.builder.build().time == median + 5_000


def test_a_transaction_that_the_chain_refuses_is_expelled(world):
    good, bad = world.pay(), world.pay()
    world.add(good)
    entry = world.add(bad)
    child = world.respend(bad, 1_000)
    world.add(child)
    entry.tx = bad.with_witnesses(
        [(b"\x00", b"\x01")]
    )  # a fault in memory: what the pool must not make of it
    world.pool._graph._by_wtxid[entry.wtxid] = entry
    template = world.builder.build()
    assert template.transactions == (good,)
    assert list(world.pool) == [world.pool.get(good.txid)]


def test_build_with_takes_what_it_is_given(world):
    first = world.pay(fee=0)
    second = world.respend(first, fee=7)
    template = world.builder.build_with([first, second])
    assert [entry.fee for entry in template.entries] == [0, 7]
    assert [entry.checks for entry in template.entries] == [1, 1]
    accept(world, template.job(PAYOUT))


def test_build_with_refuses_a_wrong_order(world):
    first = world.pay()
    with pytest.raises(InvalidBlock):
        world.builder.build_with([world.respend(first, 7), first])


def test_block_rules_hold_too(world):
    world.add(world.pay())
    block = world.builder.build().to_block(PAYOUT, extra_nonce=3)
    world.ledger._machine.check_block(block)
    assert block.header.version & 0x100 == 0


def test_merged_version_carries_our_chain_id(world):
    version = merged_version(world.spec)
    assert version & 0x100
    assert version >> 16 == world.spec.pow.auxpow_chain_id


def test_limits_keep_room_for_the_coinbase():
    spec = replace(story_spec().pow, max_block_transactions=3, max_block_size=200_000)
    limits = Limits.of(spec)
    assert limits.count == 2
    assert limits.size == 200_000 - 5_096
