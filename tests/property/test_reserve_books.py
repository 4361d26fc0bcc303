"""Deposits, settlements, set changes, reorganisations at random: the books are right after each step."""

from random import Random

import pytest
from chaingen.harness import replay_hash, state_hash
from chaingen.owners import KeyHash, private_key
from chaingen.settlements import SettlementWorld, arbitrators, keys_of
from hypothesis import event, given, settings
from hypothesis import strategies as st

from ioex_chain.crypto.address import deposit_script, reserve_change_script
from ioex_chain.pow.reserve import scan_reserve, settlement_of
from ioex_chain.pow.utxo import scan_address, scan_coins
from ioex_chain.primitives.types import COIN

FEE = 10_000


def payee(number: int) -> bytes:
    """Give a script that request `number` alone pays."""
    return KeyHash(private_key(f"payee {number}")).script


class Books:
    """One PoW chain, and a DPoS chain whose finality is taken for granted."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.world = SettlementWorld()
        self.withdrawals: dict[int, int] = {}
        self.since = {0: 0}
        """DPoS height from which a set votes."""
        self.requested = 0

    def step(self) -> None:
        """Let one thing happen."""
        steps = (
            self.drain,
            self.hand_over,
            self.pay_in,
            self.settle,
            self.settle,
            self.mine,
            self.reorganise,
        )
        self.chance.choice(steps)()

    # --- DPoS ---

    def drain(self) -> None:
        requests = []
        for _ in range(self.chance.randint(0, 3)):
            self.requested += 1
            self.withdrawals[self.requested] = units = self.chance.randint(2 * FEE, 50 * COIN)
            requests.append(self.world.dpos.withdraw(units, payee(self.requested)))
        self.world.dpos.drain(*requests)

    def hand_over(self) -> None:
        """The Bridge is told of a set that shares some members with the one before it."""
        dpos, chance = self.world.dpos, self.chance
        number = len(dpos.sets)
        members = (*dpos.sets[number - 1][: chance.randint(0, 3)], *arbitrators(3, f"set {number}"))
        self.requested += 1
        self.since[number] = dpos.drain(dpos.handover(members)) + 1

    # --- PoW ---

    def pay_in(self) -> None:
        """Somebody deposits, or gives to reserve change."""
        if len(self.world.chain._taken) < 15:
            script = self.chance.choice([reserve_change_script(), deposit_script(bytes(20))])
            self.world.with_reserve(self.chance.randint(1, 100 * COIN), script)

    def settle(self) -> None:
        """Settle up to one of the newest blocks, under a set that stands there, if that leads further."""
        world, state, dpos = self.world, self.world.state, self.world.dpos
        self.drain()
        self.drain()
        height = len(dpos.headers) - 2 - self.chance.randint(0, 1)
        usable = [one for one in (state.current, *state.pending) if self.since[one.number] <= height]
        if not usable:
            return
        chosen = self.chance.choice(usable)
        count, own = dpos.counts[height], dpos.counts[height] - dpos.counts[height - 1]
        if count < state.count + own or (chosen == state.current and count == state.count):
            return
        before = () if chosen == state.current else dpos.sets[state.current.number]
        certificate = dpos.certificate(height, chosen.number, before=before)
        tx = world.settlement(height, certificate=certificate)
        waits = world.pool.settlement
        if waits is None or self.chance.random() < 0.5:
            world.mine(tx)
        else:
            world.mine(waits.tx)

    def mine(self) -> None:
        """Mine what the pool has."""
        self.world.mine(*self.world.builder.build().transactions)

    def reorganise(self) -> None:
        """Replace the last blocks by empty ones, and perhaps go back to the first branch."""
        world, chance = self.world, self.chance
        left = fork = world.tip
        depth = chance.randint(1, 4)
        if world.ledger.head.height < depth + 4:
            return
        for _ in range(depth):
            fork = world.chain.parent(fork)
        for block in world.chain.extend(fork, depth + 1):
            world.accept(block)
        if chance.random() < 0.5:
            for block in world.chain.extend(left, 2):
                world.accept(block)

    # --- what holds ---

    def check(self) -> None:
        """Assert all of it."""
        self.check_totals()
        self.check_requests()
        self.check_sets()
        self.check_pool()

    def check_totals(self) -> None:
        state, view = self.world.state, self.world.ledger.view()
        unspent = {outpoint: coin for outpoint, coin in scan_coins(view) if coin.script[:1] == b"\x60"}
        assert dict(scan_reserve(view)) == unspent
        assert state.reserve == sum(coin.value for coin in unspent.values())
        came = state.genesis + state.rewards + state.deposits + state.donations
        assert state.reserve == came - state.settled
        assert state.rewards == 20 * COIN * self.world.ledger.head.height

    def check_requests(self) -> None:
        """Every withdrawal is paid once, by the settlement that the index names, or waits."""
        state, view = self.world.state, self.world.ledger.view()
        paid = 0
        for number, units in self.withdrawals.items():
            rows = list(scan_address(view, payee(number)))
            assert [row.value for row in rows] == ([units - FEE] if number <= state.count else [])
            record = settlement_of(view, number)
            if rows:
                assert record is not None
                assert (record.txid, record.height) == (rows[0].outpoint[:32], rows[0].height)
                paid += units
            else:
                assert record is None
        assert state.settled == paid

    def check_sets(self) -> None:
        state, dpos = self.world.state, self.world.dpos
        assert state.accumulator == dpos.accumulators[state.count]
        for known in (state.current, *state.pending):
            assert known.members == keys_of(dpos.sets[known.number])
        numbers = [state.current.number, *(known.number for known in state.pending)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))

    def check_pool(self) -> None:
        """What waits in the pool could be mined."""
        world, entry = self.world, self.world.pool.settlement
        if entry is not None:
            world.ledger.preview(world.chain.block(world.tip, [entry.tx], fees=entry.fee))


def live(chance: Random, steps: int) -> Books:
    """Live through a history."""
    books = Books(chance)
    for _ in range(steps):
        books.step()
        books.check()
    world = books.world
    assert state_hash(world.ledger) == replay_hash(world.chain, world.tip, world.rule)
    return books


@settings(max_examples=12)
@given(st.randoms(use_true_random=True))
def test_the_books_are_right_at_every_step(chance: Random) -> None:
    state = live(chance, 25).world.state
    event(f"{state.settlements} settlements, set {state.current.number}")


@pytest.mark.soak
@settings(max_examples=500)
@given(st.randoms(use_true_random=True))
def test_the_books_are_right_for_longer(chance: Random) -> None:
    live(chance, 100)


def test_the_histories_do_what_they_are_for() -> None:
    states = [live(Random(seed), 30).world.state for seed in range(4)]
    assert max(state.settlements for state in states) >= 5
    assert max(state.current.number for state in states) >= 2
