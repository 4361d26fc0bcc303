"""A reserve in small pieces: smaller settlements first, then its coins are taken together."""

from typing import Any

import pytest
from chaingen.settlements import SettlementWorld, edited
from chaingen.specs import NODE_REWARDS, key

from ioex_chain.bridge import settling
from ioex_chain.bridge.finality_proofs import FinalBlock
from ioex_chain.bridge.settlement import GATHERED, Scattered, choose_coins
from ioex_chain.bridge.settling import Due, SettlementPlanner
from ioex_chain.crypto.address import deposit_script, reserve_change_script
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.pow import reserve_errors as errors
from ioex_chain.pow.errors import BlockTransactionError
from ioex_chain.pow.reserve import scan_reserve
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN

BOB = key("bob").script
CHANGE = reserve_change_script()
PIECE = 40 * COIN


class Proofs:
    """`FinalityProofs` over forged headers: every block but the newest is final."""

    def __init__(self, world: SettlementWorld) -> None:
        self.world = world

    def next_for(self, current: int, pending: object, most: int) -> FinalBlock | None:
        dpos = self.world.dpos
        heights = [at for at in range(1, len(dpos.headers) - 1) if dpos.counts[at] <= most]
        if not heights:
            return None
        height = heights[-1]
        certificate = dpos.certificate(height)
        members = tuple(Member(known, known) for known in self.world.state.current.members)
        count = dpos.counts[height]
        own = count - dpos.counts[height - 1]
        final, child = (SealedHeader(header, bytes(65)) for header in dpos.headers[height : height + 2])
        return FinalBlock(final, child, certificate, ArbitratorSet(0, members), count, own)


class Planned:
    """A planner on a world, whose withdrawals are the forged chain's."""

    def __init__(self, world: SettlementWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        class Reader:
            def __init__(self, _spec: object, _state: object) -> None:
                pass

            def requests(self, first: int, last: int) -> tuple[bytes, ...]:
                return tuple(world.dpos.requests[first - 1 : last])

        monkeypatch.setattr(settling, "BridgeReader", Reader)
        monkeypatch.setattr(settling, "FlatState", lambda _: None)
        self.world = world
        self.planner = SettlementPlanner(world.spec, world.rule, Proofs(world))  # type: ignore[arg-type]

    def due(self, pooled: Any = None) -> Due | None:
        ledger = self.world.ledger
        return self.planner.due(ledger.view(), ledger.head.height, None, pooled)  # type: ignore[arg-type]


def scattered(count: int = 200) -> SettlementWorld:
    """Give a world whose reserve is `count` small deposits: all that was large is withdrawn."""
    world = SettlementWorld()
    script = deposit_script(NODE_REWARDS)
    world.mine(world.pay(*[(PIECE, script)] * count))
    for value in sorted((coin.value for _, coin in scan_reserve(world.ledger.view())), reverse=True):
        if value > PIECE:
            world.dpos.drain(world.dpos.withdraw(value, BOB))
    world.mine(world.settlement(coins=large(world)))
    for _ in range(4):
        world.mine()
    return world


def large(world: SettlementWorld) -> list[Any]:
    return [(at, coin) for at, coin in scan_reserve(world.ledger.view()) if coin.value > PIECE]


def withdraw(world: SettlementWorld, *amounts: int) -> None:
    """Have one block drain each withdrawal, and a last one make them final."""
    for amount in amounts:
        world.dpos.drain(world.dpos.withdraw(amount, BOB))
    world.dpos.drain()


def gathering(world: SettlementWorld, count: int) -> Transaction:
    """Take `count` coins together, and nothing else."""
    coins = choose_coins(world.ledger.view(), world.spec, world.ledger.head.height + 1, [])
    return world.settlement(len(world.dpos.headers) - 2, coins=coins[:count])


def test_small_coins_are_taken_together_and_nothing_leaves_the_reserve() -> None:
    world = scattered()
    world.dpos.drain()
    before = world.state
    tx = gathering(world, GATHERED + 1)
    assert [output.script for output in tx.outputs] == [CHANGE]
    world.add(tx)
    assert world.builder.build().transactions == (tx,)
    block = world.mine(tx)
    assert world.pool.settlement is None
    assert block.transactions[0].outputs[1].value == world.spec.pow.miner_reward
    after = world.state
    assert after.reserve == before.reserve + world.spec.pow.arbitrator_reward
    assert (after.count, after.settled, after.current) == (before.count, before.settled, before.current)


def test_a_withdrawal_takes_the_place_of_a_gathering_in_the_pool() -> None:
    world = scattered()
    world.dpos.drain()
    world.add(gathering(world, GATHERED + 1))
    withdraw(world, PIECE)
    paying = world.settlement(len(world.dpos.headers) - 2)
    world.add(paying)
    assert world.pool.settlement is not None
    assert world.pool.settlement.tx is paying


def test_too_few_coins_are_not_worth_a_place() -> None:
    world = scattered()
    world.dpos.drain()
    with pytest.raises(BlockTransactionError) as refused:
        world.mine(gathering(world, GATHERED))
    assert isinstance(refused.value.__cause__, errors.NothingSettled)


def test_gathering_needs_the_word_of_the_set_and_gives_all_back() -> None:
    world = scattered()
    world.dpos.drain()
    tx = gathering(world, GATHERED + 1)
    stranger = SettlementWorld(5)
    stranger.dpos.drain()
    stranger.dpos.drain()
    foreign = edited(tx, items={2: stranger.settlement(1).inputs[0].witness[2]})
    less = edited(tx, outputs=[tx.outputs[0]._replace(value=tx.outputs[0].value - 1)])
    elsewhere = edited(tx, outputs=[tx.outputs[0]._replace(script=BOB)])
    for wrong, error in (
        (foreign, errors.SettlementError),
        (less, errors.WrongFee),
        (elsewhere, errors.ChangeScript),
    ):
        with pytest.raises(BlockTransactionError) as refused:
            world.mine(wrong)
        assert isinstance(refused.value.__cause__, error)


def test_what_cannot_be_paid_at_once_is_paid_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    world = scattered()
    withdraw(world, *[30 * PIECE] * 4)
    planned, settled = Planned(world, monkeypatch), []
    while (due := planned.due()) is not None:
        settled.append(due.count - world.state.count)
        world.mine(due.transaction)
    assert sum(settled) == 4
    assert settled[0] == 2  # 64 pieces pay two of them
    assert world.state.count == len(world.dpos.requests)


def test_what_64_coins_cannot_pay_is_gathered_first(monkeypatch: pytest.MonkeyPatch) -> None:
    world = scattered()
    withdraw(world, 100 * PIECE)
    planned, before = Planned(world, monkeypatch), world.state.count
    steps = []
    while (due := planned.due()) is not None:
        steps.append(due.count - before)
        world.mine(due.transaction)
        for _ in range(3):  # what was gathered is buried
            world.mine()
    assert steps[-1] == 1
    assert steps[:-1] == [0] * (len(steps) - 1)
    assert 1 <= len(steps) - 1 <= 4


def test_a_reserve_that_is_simply_too_small_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    world = scattered(10)
    withdraw(world, 1_000 * PIECE)
    with pytest.raises(Scattered, match="do not cover"):
        Planned(world, monkeypatch).due()
