"""A producer's order when transactions need more execution gas than they pay for."""

import pytest
from dpos_pool_world import GWEI, PoolWorld, tx

from ioex_chain.dpos.filling import fill
from ioex_chain.dpos.mempool_select import Offers
from ioex_chain.dpos.mempool_types import LIGHT
from ioex_chain.evm.block import BlockRules, BlockRun
from ioex_chain.evm.errors import ExecutionGasReached, HeavierThanPaid
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.types import WEI, BlockEnv, Transaction, TxOutcome
from ioex_chain.evm.work import CODE_BYTES, WEIGHTS
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.ledger.store import MemoryStore

LOOP, PAIRINGS, ADDS, LONG = (bytes([number]) * 20 for number in (0xA1, 0xA2, 0xA3, 0xA4))
# PUSH2 n, loop: 1 swap sub dup jumpi: burns gas for as many rounds as its call data says
LOOP_CODE = bytes.fromhex("5f355b6001900380600257")
# calls of bn256 pairing (45,000 gas, counts 24 times) and multiplication (6,000 gas, counts 12 times)
PAIRING = bytes.fromhex("5f5f5f5f60085afa50")
MULTIPLICATION = bytes.fromhex("5f5f5f5f60075afa50")
LIMIT = 8_000_000
SENDERS = 90


def pool(*txs: Transaction) -> PoolWorld:
    world = PoolWorld()
    world.fund(*range(1, SENDERS + 1))
    for one in txs:
        world.add(one)
    return world


def block(limit: int = LIMIT) -> BlockRun:
    """Begin a block on a state with the four contracts; senders are those of the pool's fake signatures."""
    store = MemoryStore()
    overlay = Overlay(store)
    state = FlatState(overlay)
    for number in range(1, SENDERS + 1):
        state.set_balance(number.to_bytes(20, "big"), 100 * WEI)
    state.set_code(LOOP, LOOP_CODE)
    state.set_code(PAIRINGS, PAIRING * 5)
    state.set_code(ADDS, MULTIPLICATION * 40)
    state.set_code(LONG, bytes(24_576))
    state.flush()
    store.write(overlay.changes)
    env = BlockEnv(51337, 9, 900, b"\x22" * 20, 200_000_000, GWEI, bytes(32), lambda _: None)
    return BlockRun(Overlay(store), env, BlockRules(execution_gas_limit=limit), PoolWorld().signers)


def take(world: PoolWorld, run: BlockRun, tries: list[Transaction] | None = None) -> list[Transaction]:
    """Fill a block from the pool as a producer does; `tries` gets every transaction that was executed."""
    offers = Offers(world.pool.select(GWEI, max_count=10_000, max_bytes=1 << 20))
    inner = run.try_transaction

    def watched(one: Transaction, times: int | None = None) -> TxOutcome:
        if tries is not None:
            tries.append(one)
        return inner(one, times)

    run.try_transaction = watched  # type: ignore[method-assign]
    return fill(run, offers, 1 << 20, 10_000, lambda: True)[0]


def ordinary(sender: int, rounds: int = 4_000, **fields: int) -> Transaction:
    return tx(sender, 0, gas=200_000, to=LOOP, data=rounds.to_bytes(32, "big"), **fields)


def pairing(sender: int, **fields: int) -> Transaction:
    """Use about 250,000 gas and 5.4 million execution gas."""
    return tx(sender, 0, gas=300_000, to=PAIRINGS, **fields)


def test_who_fills_a_block_with_slow_contracts_comes_after_all_who_pay_for_theirs() -> None:
    fillers = [pairing(number, tip=3 * GWEI) for number in (1, 2, 3)]
    users = [ordinary(number, tip=GWEI) for number in range(4, 50)]
    world = pool(*fillers, *users)
    taken = take(world, block())
    assert set(users) <= set(taken)
    assert set(taken) - set(users) <= set(fillers)  # with the room that is left


def test_one_that_pays_for_its_work_keeps_its_place() -> None:
    rich = pairing(1, fee=600 * GWEI, tip=300 * GWEI)
    users = [ordinary(number, tip=GWEI) for number in range(2, 60)]
    taken = take(pool(rich, *users), block())
    assert taken[0] == rich
    assert len(taken) < 1 + len(users)  # there is not room for all


def test_what_a_trial_showed_is_remembered() -> None:
    world = pool(pairing(1), ordinary(2))
    first: list[Transaction] = []
    assert [one.to for one in take(world, block(2 * LIMIT), first)] == [LOOP, PAIRINGS]
    again: list[Transaction] = []
    assert [one.to for one in take(world, block(2 * LIMIT), again)] == [LOOP, PAIRINGS]
    assert [one.to for one in again] == [LOOP, PAIRINGS]
    assert len(first) > 2
    assert world.pool.pending_of((1).to_bytes(20, "big"))[0].times > LIGHT


def test_many_small_calls_are_found_out_too() -> None:
    world = pool(tx(1, 0, gas=400_000, to=ADDS))
    (taken,) = take(world, block())
    outcome = block().try_transaction(taken)
    ratio = outcome.execution_gas / outcome.gas_used
    times = world.pool.pending_of((1).to_bytes(20, "big"))[0].times
    assert times / 2 < ratio <= times


def test_without_fillers_the_order_is_by_tip_alone() -> None:
    txs = [ordinary(1, tip=GWEI), tx(2, 0, tip=3 * GWEI), tx(3, 0, gas=60_000, to=LONG, tip=2 * GWEI)]
    assert [one.max_priority_fee // GWEI for one in take(pool(*txs), block())] == [3, 2, 1]


def test_finding_out_costs_a_bounded_part_of_a_block() -> None:
    """Each is found out after about twice its gas; after a quarter of the limit one is careful."""
    run = block()
    with pytest.raises(HeavierThanPaid) as caught:
        run.try_transaction(pairing(1), LIGHT)
    assert caught.value.wasted < 100_000  # the first call is counted before it is made
    assert caught.value.times >= 45_000 * WEIGHTS[bytes(19) + b"\x08"] // 100_000
    assert run.execution_gas == 0
    assert run.state.get_balance((1).to_bytes(20, "big")) == 100 * WEI
    for number in range(2, SENDERS + 1):
        with pytest.raises((HeavierThanPaid, ExecutionGasReached)):
            run.try_transaction(tx(number, 0, gas=400_000, to=ADDS), LIGHT)
    assert LIMIT // 4 < run._wasted < LIMIT // 4 + 400_000


def test_the_same_block_is_valid_whatever_the_producer_asked() -> None:
    """`times` bounds trials only: what they take counts the same in a block that is imported."""
    tried, plain = block(), block()
    one = tx(1, 0, gas=60_000, to=LONG)
    assert tried.try_transaction(one, LIGHT) == plain.try_transaction(one)
    imported = block()
    imported.transactions([pairing(1), ordinary(2)])
    assert imported.execution_gas > LIGHT * imported.gas_used
    assert tried.execution_gas >= 24_576 // CODE_BYTES
