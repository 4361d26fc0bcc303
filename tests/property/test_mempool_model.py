"""The mempool against a naive model, over random sequences of what can happen to it.

After every step: each entry's relatives and totals are those that a recomputation from the bare
transactions gives, the pool in its order connects to the head's state without a double spend, the caps
hold, nothing is in it that the next block may not carry, and a template of it is a valid block.
"""

from collections.abc import Iterable
from contextlib import suppress

from chaingen.builder import Funds
from chaingen.pool_world import PoolWorld
from chaingen.specs import key
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ioex_chain.pow.consensus import is_final
from ioex_chain.pow.errors import TransactionError
from ioex_chain.pow.packages import MempoolEntry, in_order
from ioex_chain.pow.pool_events import PoolChange
from ioex_chain.pow.pool_file import decode_pool, encode_pool, restore
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import get_coin

MAX_USAGE = 28_000
FEES = st.integers(200, 2_000) | st.integers(2_000, 60_000)
PICK = st.integers(0, 10_000)


class PoolMachine(RuleBasedStateMachine):
    """A pool of at most about 12 entries, chains of 5, on a ledger with short reorganisations."""

    @initialize()
    def open(self) -> None:
        self.world = PoolWorld(
            max_usage=MAX_USAGE, max_ancestors=5, max_descendants=5, max_replaced=6, expiry=4_000
        )
        self.coins = self.world.fan(15)
        self.seen: dict[bytes, Transaction] = {}
        self.present: set[bytes] = set()
        self.world.pool.subscribe(self.hear)

    def hear(self, change: PoolChange) -> None:
        if change.left is None:
            assert change.entry.txid not in self.present
            self.present.add(change.entry.txid)
        else:
            self.present.remove(change.entry.txid)

    def offer(self, sources: list[Funds], fee: int, outputs: int, lock: int) -> None:
        total = sum(source.value for source in sources)
        share = (total - fee) // outputs
        if share < 1_000:
            return
        pays = [(share, key("fan"))] * (outputs - 1)
        tx = self.world.chain.spend(sources, pays, fee=fee, lock_time=lock)
        self.seen[tx.txid] = tx
        with suppress(TransactionError):
            self.world.add(tx)

    def outputs(self) -> list[Funds]:
        """Give every pool output, spent or not, in a fixed order."""
        entries = in_order(self.world.pool)
        return [funds for entry in entries for funds in self.world.chain.all_funds(entry.tx)]

    @rule(pick=PICK, fee=FEES, outputs=st.integers(1, 4), ahead=st.integers(-3, 2))
    def spend_confirmed(self, pick: int, fee: int, outputs: int, ahead: int) -> None:
        """Often a double spend of what the pool spends: a replacement."""
        lock = max(0, self.world.ledger.head.height + ahead) if ahead else 0
        self.offer([self.coins[pick % len(self.coins)]], fee, outputs, lock)

    @precondition(lambda self: len(self.world.pool))
    @rule(picks=st.lists(PICK, min_size=1, max_size=3), fee=FEES, outputs=st.integers(1, 4))
    def spend_unconfirmed(self, picks: list[int], fee: int, outputs: int) -> None:
        available = self.outputs()
        chosen = {available[pick % len(available)].outpoint: pick for pick in picks}
        sources = [funds for funds in available if funds.outpoint in chosen]
        self.offer(sources, fee, outputs, 0)

    @rule(pick=PICK, sequence=st.integers(0, 4))
    def spend_coinbase(self, pick: int, sequence: int) -> None:
        branch = self.world.chain.branch(self.world.tip)[-8:]
        if not branch:
            return
        funds = self.world.chain.coinbase_funds(branch[pick % len(branch)])
        self.offer([Funds(funds.outpoint, funds.value, funds.owner, sequence=sequence)], 2_000, 2, 0)

    @rule(count=st.integers(0, 4))
    def mine(self, count: int) -> None:
        """The first entries in the pool's order: parents are always among them."""
        self.world.mine(*[entry.tx for entry in in_order(self.world.pool)[:count]])

    @rule(pick=PICK)
    def mine_what_the_pool_does_not_have(self, pick: int) -> None:
        coin = self.coins[pick % len(self.coins)]
        if get_coin(self.world.ledger.view(), coin.outpoint):
            self.world.mine(self.world.chain.spend(coin, [], fee=777))

    @rule(depth=st.integers(1, 4), count=st.integers(0, 6))
    def reorganise(self, depth: int, count: int) -> None:
        """Replace the last blocks; the new branch may carry some of the pool."""
        fork = self.world.tip
        for _ in range(depth):
            if self.world.chain.height(fork) > 5:
                fork = self.world.chain.parent(fork)
        floor = self.world.chain.height(fork)
        carried = [
            entry.tx
            for entry in in_order(self.world.pool)
            if entry.spent_height <= floor and not entry.has_locks and not entry.tx.lock_time
        ]
        carried = closed(carried, {entry.txid for entry in self.world.pool})[:count]
        self.world.accept(first := self.world.chain.block(fork, carried))
        for block in self.world.chain.extend(first, depth):
            self.world.accept(block)

    @rule()
    def roll_back(self) -> None:
        if self.world.ledger.head.height > 6:
            self.world.ledger.rollback(1)
            self.world.follow()

    @rule(seconds=st.integers(1, 3_000))
    def wait(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @rule()
    def restart(self) -> None:
        pool = self.world.pool
        kept = decode_pool(encode_pool(pool), 100_000)
        assert [item.tx for item in kept.transactions] == [entry.tx for entry in in_order(pool)]
        again = PoolWorld.__new__(PoolWorld)
        again.pool = type(pool)(pool.spec, pool.clock, policy=pool.policy)
        told = restore(again.pool, kept, Tip.of(self.world.ledger))
        assert told.damaged == 0
        assert told.kept == len(again.pool)
        check_graph(again.pool)

    @invariant()
    def graph_is_what_a_recomputation_gives(self) -> None:
        check_graph(self.world.pool)

    @invariant()
    def told_what_is_there(self) -> None:
        assert self.present == {entry.txid for entry in self.world.pool}

    @invariant()
    def pool_connects_to_the_head(self) -> None:
        tip = Tip.of(self.world.ledger)
        made: set[bytes] = set()
        spent: set[bytes] = set()
        for entry in in_order(self.world.pool):
            assert is_final(entry.tx, tip.height, tip.median_time)
            for item in entry.tx.inputs:
                assert item.outpoint not in spent
                spent.add(item.outpoint)
                assert item.outpoint in made or get_coin(tip.view, item.outpoint)
            made.update(entry.tx.outpoint(index) for index in range(len(entry.tx.outputs)))

    @invariant()
    def caps_hold(self) -> None:
        pool = self.world.pool
        assert pool.usage <= MAX_USAGE
        assert all(entry.ancestor_count <= 5 and entry.descendant_count <= 5 for entry in pool)

    @invariant()
    def template_is_a_valid_block(self) -> None:
        size = len(self.world.pool)
        template = self.world.builder.build()
        assert len(self.world.pool) == size  # nothing had to be expelled
        assert len(template.entries) == size  # all of it fits
        assert template.fees == self.world.pool.total_fee


def closed(txs: list[Transaction], pool: set[bytes]) -> list[Transaction]:
    """Keep those whose pool parents are kept too."""
    kept: dict[bytes, Transaction] = {}
    for tx in txs:
        if all(item.outpoint[:32] in kept or item.outpoint[:32] not in pool for item in tx.inputs):
            kept[tx.txid] = tx
    return list(kept.values())


def check_graph(pool: Iterable[MempoolEntry]) -> None:
    """Compare every entry with what its bare transaction says."""
    entries = {entry.txid: entry for entry in pool}
    parents = {
        txid: {item.outpoint[:32] for item in entry.tx.inputs} & set(entries)
        for txid, entry in entries.items()
    }
    ancestors = {txid: closure(txid, parents) for txid in entries}
    for txid, entry in entries.items():
        assert {other.txid for other in entry.parents} == parents[txid]
        assert {other.txid for other in entry.children} == {x for x in entries if txid in parents[x]}
        above = [entries[other] for other in ancestors[txid]]
        below = [entries[other] for other in entries if txid in ancestors[other]]
        assert (entry.ancestor_count, entry.descendant_count) == (len(above), len(below))
        assert entry.ancestor_fee == sum(other.fee for other in above)
        assert entry.ancestor_size == sum(other.size for other in above)
        assert entry.ancestor_checks == sum(other.checks for other in above)
        assert entry.descendant_fee == sum(other.fee for other in below)
        assert entry.descendant_size == sum(other.size for other in below)


def closure(txid: bytes, parents: dict[bytes, set[bytes]]) -> set[bytes]:
    """Give a transaction and all its pool ancestors."""
    found = {txid}
    left = [txid]
    while left:
        new = parents[left.pop()] - found
        found |= new
        left += new
    return found


TestPool = PoolMachine.TestCase
TestPool.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
