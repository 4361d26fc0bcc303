"""Replace-by-fee case by case (BIP-125), chain limits, and the full pool."""

import pytest
from chaingen.pool_world import PoolWorld
from chaingen.specs import key

from ioex_chain.pow import policy as rules
from ioex_chain.pow.pool_events import Left
from ioex_chain.primitives.types import COIN


@pytest.fixture
def world() -> PoolWorld:
    return PoolWorld()


def left(world: PoolWorld) -> list[Left]:
    return [change.left for change in world.changes if change.left is not None]


def consistent(world: PoolWorld) -> None:
    for entry in world.pool:
        ancestors, descendants = world.pool.ancestors(entry), world.pool.descendants(entry)
        assert entry.ancestor_count == len(ancestors) + 1
        assert entry.ancestor_fee == sum(other.fee for other in ancestors) + entry.fee
        assert entry.ancestor_size == sum(other.size for other in ancestors) + entry.size
        assert entry.ancestor_checks == sum(other.checks for other in ancestors) + entry.checks
        assert entry.descendant_count == len(descendants) + 1
        assert entry.descendant_fee == sum(other.fee for other in descendants) + entry.fee
        assert entry.descendant_size == sum(other.size for other in descendants) + entry.size
    assert world.pool.usage == sum(entry.usage for entry in world.pool)
    assert world.pool.total_fee == sum(entry.fee for entry in world.pool)


def refused(world: PoolWorld, tx: object, error: type[rules.PolicyError], reason: str) -> None:
    before = list(world.pool)
    with pytest.raises(error) as caught:
        world.add(tx)  # type: ignore[arg-type]
    assert type(caught.value) is error
    assert caught.value.reason == reason
    assert list(world.pool) == before
    consistent(world)


def test_a_better_paying_spend_replaces_without_signalling(world):
    old = world.pay(fee=1_000)
    world.add(old)
    new = world.again(old, 2_000, (COIN, key("carol")))
    world.add(new)
    assert [entry.txid for entry in world.pool] == [new.txid]
    assert left(world) == [Left.REPLACED]
    consistent(world)


def test_the_same_fee_does_not(world):
    old = world.pay(fee=1_000)
    world.add(old)
    refused(world, world.again(old, 1_000, (COIN, key("c"))), rules.ReplacementFeeTooLow, "insufficient fee")


def test_the_replacement_pays_for_its_own_relay(world):
    old = world.pay(fee=1_000)
    world.add(old)
    size = world.again(old, 1_000, (COIN, key("c"))).size
    low, enough = (world.again(old, 1_000 + size + more, (COIN, key("c"))) for more in (-2, 1))
    refused(world, low, rules.ReplacementFeeTooLow, "insufficient fee")
    world.add(enough)


def test_the_fee_covers_all_that_goes(world):
    old = world.pay(fee=1_000)
    child = world.respend(old, fee=20_000)
    world.add(old)
    world.add(child)
    refused(world, world.again(old, 21_000), rules.ReplacementFeeTooLow, "insufficient fee")
    world.add(world.again(old, 21_500))
    assert left(world) == [Left.REPLACED, Left.REPLACED]
    consistent(world)


def test_a_higher_fee_at_a_lower_rate_does_not(world):
    old = world.pay(fee=5_000)
    world.add(old)
    big = world.again(old, 20_000, *[(COIN, key("c"))] * 60)
    refused(world, big, rules.ReplacementFeeTooLow, "insufficient fee")


def test_no_new_unconfirmed_input(world):
    old, other = world.pay(fee=1_000), world.pay(fee=1_000)
    world.add(old)
    world.add(other)
    sources = [world._source(old.inputs[0].outpoint), world.chain.funds(other)]
    new = world.chain.spend(sources, [], fee=9_000)
    refused(world, new, rules.ReplacementAddsUnconfirmed, "replacement-adds-unconfirmed")


def test_an_unconfirmed_input_that_was_there_before_may_stay(world):
    parent = world.pay(fee=1_000)
    child = world.respend(parent, 1_000)
    world.add(parent)
    world.add(child)
    world.add(world.respend(parent, 5_000))
    assert len(world.pool) == 2
    consistent(world)


def test_a_spend_of_what_it_replaces(world):
    old = world.pay(fee=1_000)
    world.add(old)
    sources = [world._source(old.inputs[0].outpoint), world.chain.funds(old)]
    new = world.chain.spend(sources, [], fee=90_000)
    refused(world, new, rules.SpendsConflict, "bad-txns-spends-conflicting-tx")


def test_too_many_replaced():
    world = PoolWorld(max_replaced=3)
    txs = world.chain_of(4)
    refused(world, world.again(txs[0], COIN), rules.TooManyReplaced, "too many potential replacements")
    world.add(world.again(txs[1], COIN))
    assert len(world.pool) == 2


def test_one_replaces_several(world):
    first, second = world.pay(fee=1_000), world.pay(fee=1_000)
    world.add(first)
    world.add(second)
    sources = [world._source(tx.inputs[0].outpoint) for tx in (first, second)]
    world.add(world.chain.spend(sources, [], fee=5_000))
    assert len(world.pool) == 1
    consistent(world)


def test_a_chain_of_25_and_no_more(world):
    txs = world.chain_of(25)
    refused(world, world.respend(txs[-1], 1_000), rules.ChainTooLong, "too-long-mempool-chain")
    world.mine(txs[0])
    world.add(world.respend(txs[-1], 1_000))
    consistent(world)


def test_25_descendants_and_no_more(world):
    parent = world.pay(*[(COIN, key("bob"))] * 26, fee=5_000)
    world.add(parent)
    for index in range(24):
        world.add(world.respend(parent, 1_000, index))
    refused(world, world.respend(parent, 1_000, 24), rules.ChainTooLong, "too-long-mempool-chain")


def test_a_replacement_counts_without_what_it_replaces(world):
    txs = world.chain_of(25)
    world.add(world.again(txs[-1], 5_000))
    assert len(world.pool) == 25
    consistent(world)


def test_ancestor_bytes():
    world = PoolWorld(max_ancestor_size=600)
    txs = world.chain_of(2)
    refused(world, world.respend(txs[-1], 1_000), rules.ChainTooLong, "too-long-mempool-chain")


def test_descendant_bytes():
    world = PoolWorld(max_descendant_size=600)
    txs = world.chain_of(2)
    refused(world, world.respend(txs[-1], 1_000), rules.ChainTooLong, "too-long-mempool-chain")


def full_world(count: int) -> PoolWorld:
    usage = PoolWorld().add(PoolWorld().pay()).usage
    return PoolWorld(max_usage=count * usage + usage // 2)


def test_a_full_pool_drops_the_lowest_rate_and_asks_for_more():
    world = full_world(3)
    txs = [world.pay(fee=fee) for fee in (2_000, 1_000, 3_000, 4_000)]
    for tx in txs:
        world.add(tx)
    assert txs[1].txid not in world.pool
    assert left(world) == [Left.EVICTED]
    assert world.pool.min_rate() == round(1_000_000 / txs[1].size) + 1_000
    refused(world, world.pay(fee=1_100), rules.PoolFeeNotMet, "mempool min fee not met")


def test_the_lowest_newcomer_is_refused():
    world = full_world(2)
    world.add(world.pay(fee=2_000))
    world.add(world.pay(fee=3_000))
    with pytest.raises(rules.PoolFull) as caught:
        world.add(world.pay(fee=1_000))
    assert caught.value.reason == "mempool full"
    assert left(world) == []
    assert len(world.pool) == 2


def test_a_parent_with_a_rich_child_stays():
    world = full_world(3)
    parent = world.pay(fee=300)
    child = world.respend(parent, fee=20_000)
    middle = world.pay(fee=1_000)
    for tx in (parent, child, middle, world.pay(fee=5_000)):
        world.add(tx)
    assert middle.txid not in world.pool
    assert parent.txid in world.pool
    consistent(world)


def test_a_poor_package_goes_whole():
    world = full_world(3)
    txs = world.chain_of(2, fee=300)
    for fee in (5_000, 6_000):
        world.add(world.pay(fee=fee))
    assert txs[1].txid not in world.pool
    consistent(world)
    assert world.pool.usage <= world.pool.policy.max_usage


def test_the_minimum_falls_after_a_block():
    world = full_world(2)
    for fee in (1_000, 2_000, 3_000):
        world.add(world.pay(fee=fee))
    high = world.pool.min_rate()
    world.clock.advance(3 * 3600)
    assert world.pool.min_rate() == high  # no block yet: what was too cheap still is
    world.mine()
    world.clock.advance(12 * 3600)
    assert high // 2 - 2 <= world.pool.min_rate() <= high // 2 + 2
    world.clock.advance(12 * 3600 * 5)
    assert world.pool.min_rate() == world.pool.policy.min_relay_rate


def test_expiry(world):
    txs = world.chain_of(2)
    world.clock.advance(336 * 3600 + 1)
    late = world.pay()
    world.add(late)
    world.mine()
    assert [entry.txid for entry in world.pool] == [late.txid]
    assert left(world) == [Left.EXPIRED] * len(txs)
