"""The pool at new heads: confirmations, conflicts, reorganisations."""

import pytest
from chaingen.builder import Funds
from chaingen.pool_world import PoolWorld
from chaingen.specs import key
from test_mempool_replace import consistent, left

from ioex_chain.pow.errors import BlockTransactionError
from ioex_chain.pow.pool_events import Left
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN


@pytest.fixture
def world() -> PoolWorld:
    return PoolWorld()


def pooled(world: PoolWorld) -> set[bytes]:
    consistent(world)
    return {entry.txid for entry in world.pool}


def ids(*txs: Transaction) -> set[bytes]:
    return {tx.txid for tx in txs}


def test_confirmed_ones_leave_and_children_stay(world):
    txs = world.chain_of(3)
    world.mine(txs[0])
    assert pooled(world) == ids(*txs[1:])
    assert left(world) == [Left.CONFIRMED]
    child = world.pool.get(txs[1].txid)
    assert child.parents == frozenset()
    assert child.spent_height == world.ledger.head.height
    world.mine(*txs[1:])
    assert len(world.pool) == 0


def test_conflicting_ones_leave_with_their_descendants(world):
    txs = world.chain_of(3)
    other = world.pay()
    world.add(other)
    world.mine(world.again(txs[0], 1_000, (COIN, key("carol"))))
    assert pooled(world) == ids(other)
    assert left(world) == [Left.CONFLICT] * 3


def test_a_reorganisation_gives_transactions_back(world):
    fork = world.tip
    parent = world.pay()
    child = world.respend(parent, 1_000)
    world.mine(parent)
    world.mine(child)
    grandchild = world.respend(child, 1_000)
    world.add(grandchild)
    for block in world.chain.extend(fork, 3):
        world.accept(block)
    assert pooled(world) == ids(parent, child, grandchild)
    assert [entry.txid for entry in world.pool.ancestors(world.pool.get(grandchild.txid))] == [
        parent.txid,
        child.txid,
    ]
    world.mine(parent, child, grandchild)
    assert len(world.pool) == 0


def test_what_the_new_branch_has_too_stays_out(world):
    fork = world.tip
    tx = world.pay()
    world.mine(tx)
    child = world.respend(tx, 1_000)
    world.add(child)
    first = world.chain.block(fork, [tx])
    for block in (first, *world.chain.extend(first, 1)):
        world.accept(block)
    assert pooled(world) == ids(child)
    assert world.pool.get(child.txid).parents == frozenset()


def test_a_detached_child_confirmed_by_the_new_branch(world):
    fork = world.tip
    tx = world.pay()
    child = world.respend(tx, 1_000)
    world.mine(tx)
    world.add(child)
    world.changes.clear()
    first = world.chain.block(fork, [tx, child])
    for block in (first, *world.chain.extend(first, 1)):
        world.accept(block)
    assert pooled(world) == set()
    assert left(world) == [Left.CONFIRMED]


def test_a_double_spend_on_the_new_branch(world):
    fork = world.tip
    tx = world.pay()
    child = world.respend(tx, 1_000)
    world.mine(tx)
    world.add(child)
    first = world.chain.block(fork, [world.again(tx, 2_000, (COIN, key("thief")))])
    for block in (first, *world.chain.extend(first, 1)):
        world.accept(block)
    assert pooled(world) == set()
    assert left(world) == [Left.REORG]


def test_a_coinbase_of_the_old_branch_takes_its_spends_with_it(world):
    fork = world.tip
    funds = world.chain.coinbase_funds(world.mine())
    for _ in range(world.spec.pow.coinbase_maturity):
        world.mine()
    spend = world.chain.spend(funds, [], fee=1_000)
    world.add(spend)
    for block in world.chain.extend(fork, world.spec.pow.coinbase_maturity + 2):
        world.accept(block)
    assert pooled(world) == set()


def test_a_shorter_chain_delays_locks_and_maturity(world):
    funds = world.chain.coinbase_funds(world.mine())
    for _ in range(world.spec.pow.coinbase_maturity - 1):
        world.mine()
    mature = world.chain.spend(funds, [], fee=1_000)
    locked = world.pay(lock_time=world.ledger.head.height)
    free = world.pay()
    for tx in (mature, locked, free):
        world.add(tx)
    world.ledger.rollback(1)
    assert pooled(world) == ids(free)
    assert set(left(world)) == {Left.REORG}


def test_a_shorter_chain_delays_a_relative_lock(world):
    funds = world.fan(1)[0]
    world.mine()
    tx = world.chain.spend(Funds(funds.outpoint, funds.value, funds.owner, sequence=2), [], fee=1_000)
    world.add(tx)
    world.ledger.rollback(1)
    assert pooled(world) == set()


def test_invalidating_a_block_gives_its_transactions_back(world):
    tx = world.pay()
    block = world.mine(tx)
    world.ledger.invalidate(block.hash)
    assert pooled(world) == ids(tx)


def test_what_comes_back_is_not_asked_for_a_fee(world):
    fork = world.tip
    tx = world.pay(fee=0)
    world.mine(tx)
    for block in world.chain.extend(fork, 2):
        world.accept(block)
    assert pooled(world) == ids(tx)


def test_a_deep_reorganisation_gives_back_up_to_a_cap():
    world = PoolWorld(max_reconsidered=1_500)
    fork = world.tip
    txs = [world.pay() for _ in range(6)]
    for tx in txs:
        world.mine(tx)
    for block in world.chain.extend(fork, 7):
        world.accept(block)
    assert pooled(world) == ids(*txs[:2])


def test_deep_and_forth_and_back(world):
    fork = world.tip
    txs = world.chain_of(8)
    branch = []
    for tx in txs:
        branch.append(world.mine(tx))
    other = world.chain.extend(fork, 9)
    for block in other:
        world.accept(block)
    assert pooled(world) == ids(*txs)
    for block in world.chain.extend(branch[-1], 2):
        world.accept(block)
    assert pooled(world) == set()


def test_blocks_of_known_transactions_need_no_signature_check(world):
    # a wrong signature that is called verified passes: so the machine asks the pool's cache and no curve
    funds = world.chain.take()
    wrong = world.chain.spend(Funds(funds.outpoint, funds.value - 1, funds.owner), [], fee=1_000)
    with pytest.raises(BlockTransactionError):
        world.mine(wrong)
    world.verified.add(wrong.wtxid, 1)
    assert world.mine(wrong) is world.tip


def test_tip_knows_median_times(world):
    tip = Tip.of(world.ledger)
    assert tip.median_time_at(tip.height) == tip.median_time
    assert tip.median_time_at(0) == world.chain.genesis.header.time
