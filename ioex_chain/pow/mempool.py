"""The pool of transactions that wait for a block (docs/protocol.md section 3, "Policy").

Synchronous and without I/O; it belongs to the ledger's thread. What a transaction must satisfy to come in
stands in `consensus`, `policy` and `replacement`; how entries hang together in `packages`; what a full pool
drops in `eviction`; what happens at a new head in `pool_head`; how it is kept over a restart in `pool_file`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from ioex_chain.ledger.types import HeadChanged
from ioex_chain.pow import errors, pool_head
from ioex_chain.pow import policy as rules
from ioex_chain.pow.consensus import check_spend, check_transaction
from ioex_chain.pow.eviction import EvictionQueue, RisingMinimum
from ioex_chain.pow.header import Header
from ioex_chain.pow.machine import PowReceipt, collect_checks
from ioex_chain.pow.packages import (
    MempoolEntry,
    PackageGraph,
    Settles,
    ancestors_through,
    in_order,
    with_descendants,
)
from ioex_chain.pow.policy import Policy, check_final, check_standard, fee_at
from ioex_chain.pow.pool_events import FeeObserver, Left, PoolChange
from ioex_chain.pow.replacement import check_chain_limits, check_replacement
from ioex_chain.pow.reserve import ClosedReserve, SettlementRule, may_settle, reserve_state, spends_reserve
from ioex_chain.pow.script import SEQUENCE_DISABLE, Check, Form, classify, run_checks
from ioex_chain.pow.tip import Chain, Tip
from ioex_chain.pow.transaction import Transaction, TxOut
from ioex_chain.pow.utxo import Coin, find_transaction, get_coin
from ioex_chain.pow.verified import VerifiedCache
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.types import OutPoint
from ioex_chain.spec.model import NetworkSpec


@dataclass(frozen=True, slots=True)
class Candidate:
    """A transaction that may come in: its entry, not linked yet, and what it would push out."""

    entry: MempoolEntry
    parents: set[MempoolEntry]
    ancestors: set[MempoolEntry]
    replaced: set[MempoolEntry]


class Mempool:
    """Unconfirmed transactions that could all be in the next blocks: no two conflict, all inputs exist."""

    def __init__(
        self,
        spec: NetworkSpec,
        clock: Clock,
        *,
        policy: Policy | None = None,
        verified: VerifiedCache | None = None,
        observer: FeeObserver | None = None,
        settlements: SettlementRule | None = None,
    ) -> None:
        """Start empty. Give `verified` to the state machine too: it makes blocks of known ones cheap.

        `settlements` is the state machine's rule; without it no settlement comes in.
        """
        self.spec = spec
        self.settlements = ClosedReserve() if settlements is None else settlements
        self.policy = policy or Policy()
        self.verified = VerifiedCache() if verified is None else verified
        self.version = 0
        """Rises with every change."""
        self.clock = clock
        self._observer = observer
        self._graph = PackageGraph()
        self._queue = EvictionQueue(self._graph)
        self._minimum = RisingMinimum(self.policy, clock)
        self._listeners: list[Callable[[PoolChange], None]] = []
        self._settlement: MempoolEntry | None = None

    # --- reads --------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._graph)

    def __iter__(self) -> Iterator[MempoolEntry]:
        """Give all entries, in no particular order."""
        return iter(self._graph)

    def __contains__(self, txid: bytes, /) -> bool:
        return self._graph.get(txid) is not None

    def get(self, txid: bytes) -> MempoolEntry | None:
        """Give the entry of a transaction id."""
        return self._graph.get(txid)

    def get_by_wtxid(self, wtxid: bytes) -> MempoolEntry | None:
        """Give the entry of a transaction by the id that covers witnesses. From any thread, as `get`."""
        return self._graph.get_by_wtxid(wtxid)

    def spender(self, outpoint: bytes) -> MempoolEntry | None:
        """Give the entry that spends an output."""
        return self._graph.spender(outpoint)

    def output(self, outpoint: bytes) -> TxOut | None:
        """Give an output that a pool transaction makes, spent in the pool or not."""
        parent = self._graph.get(outpoint[:32])
        index = int.from_bytes(outpoint[32:], "little")
        if parent is None or index >= len(parent.tx.outputs):
            return None
        return parent.tx.outputs[index]

    @property
    def settlement(self) -> MempoolEntry | None:
        """The settlement in the pool: one at most."""
        entry = self._settlement
        return entry if entry is not None and self._graph.get(entry.txid) is entry else None

    def ancestors(self, entry: MempoolEntry) -> list[MempoolEntry]:
        """Give the unconfirmed ancestors, without the entry, parents before children."""
        return in_order(ancestors_through(entry.parents))

    def descendants(self, entry: MempoolEntry) -> list[MempoolEntry]:
        """Give the unconfirmed descendants, without the entry, parents before children."""
        return in_order(with_descendants(entry.children))

    @property
    def usage(self) -> int:
        """Estimated memory of all entries in bytes: what `policy.max_usage` caps."""
        return self._graph.usage

    @property
    def total_size(self) -> int:
        """Sum of the entries' policy sizes in bytes."""
        return self._graph.total_size

    @property
    def total_fee(self) -> int:
        """Sum of the entries' fees in units."""
        return self._graph.total_fee

    def min_rate(self) -> int:
        """Give the least fee rate that comes in now, in units per 1,000 bytes."""
        return max(self.policy.min_relay_rate, self._minimum.rate(self._graph.usage))

    def subscribe(self, listener: Callable[[PoolChange], None]) -> Callable[[], None]:
        """Have `listener` called after each change. Gives the function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # --- coming in ----------------------------------------------------------------------------------------

    def add(self, tx: Transaction, tip: Tip, *, time: int | None = None) -> MempoolEntry:
        """Take a transaction. Raises TransactionError: PolicyError, or the broken rule of consensus.

        `time` is when it first came, if that was before a restart.
        """
        entry = self.admit(self.examine(tx, tip, time=time))
        if not entry.parents and entry.settles is None and self._observer:
            self._observer.entered(entry)
        return entry

    def test_accept(self, tx: Transaction, tip: Tip) -> MempoolEntry:
        """Give the entry that `add` would make and change nothing. Raises as `add`, but for PoolFull."""
        return self.examine(tx, tip).entry

    def examine(
        self, tx: Transaction, tip: Tip, *, time: int | None = None, returning: bool = False
    ) -> Candidate:
        """Check a transaction against state, pool and policy, cheap checks first. Raises TransactionError.

        A `returning` one was in a valid block or in the pool before: no fee is asked again, and its
        signatures, to which the same rules apply for ever, are not verified again.
        """
        check_transaction(self.spec.pow, tx)
        check_standard(self.policy, tx, settles=may_settle(tx, self.spec.bridge.max_settlement_inputs))
        self._check_known(tx)
        check_final(tx, tip.height, tip.median_time)
        coins = self._coins(tx, tip)
        fee = check_spend(self.spec.pow, tx, coins, tip.height, tip.median_time, tip.median_time_at)
        if spends_reserve(coins):
            return self._examine_settlement(tx, tip, coins, fee, time)
        check_standard(self.policy, tx)
        checks: list[Check] = []
        cost = collect_checks(tx, coins, checks)
        entry = self._entry(tx, tip, coins, fee, cost, time)
        if not returning:
            self._check_fee(entry)
        candidate = self._place(entry)
        if not returning and tx.wtxid not in self.verified and run_checks(checks) is not None:
            raise errors.SignatureWrong("a signature does not verify")
        self.verified.add(tx.wtxid, cost)
        return candidate

    def _examine_settlement(
        self, tx: Transaction, tip: Tip, coins: list[Coin], fee: int, time: int | None
    ) -> Candidate:
        """Check a spend of the reserve against the head's state; a better one than the pool's replaces it."""
        state = reserve_state(tip.view)
        done = self.settlements.check(tx, coins, state)
        if any(self.output(item.outpoint) for item in tx.inputs):
            raise rules.SettlementUnconfirmed("a settlement spends confirmed outputs of the reserve only")
        settles = Settles(done, state)
        entry = self._entry(tx, tip, coins, fee, done.checks, time, settles)
        known = self.settlement
        if known is None:
            return Candidate(entry, set(), set(), set())
        if known.settles is not None and settles.reach <= known.settles.reach:
            raise rules.SettlementNotBetter(
                f"the pool's settlement reaches request {known.settles.done.count}, this one {done.count}"
            )
        return Candidate(entry, set(), set(), with_descendants((known,)))

    def _check_known(self, tx: Transaction) -> None:
        known = self._graph.get(tx.txid)
        if known is None:
            return
        if known.wtxid == tx.wtxid:
            raise rules.AlreadyInPool("the pool has it")
        if known.settles is not None:
            return  # another certificate may be by a later set: which one is better is looked at
        raise rules.SameButWitness("the pool has it with other witnesses; the first seen stays")

    def _coins(self, tx: Transaction, tip: Tip) -> list[Coin]:
        return [self._coin(tx, item.outpoint, tip) for item in tx.inputs]

    def _coin(self, tx: Transaction, outpoint: OutPoint, tip: Tip) -> Coin:
        output = self.output(outpoint)
        if output is not None and classify(output.script) is not Form.DATA:
            return Coin(output.value, output.script, tip.height, False)
        coin = get_coin(tip.view, outpoint)
        if coin is not None:
            return coin
        if is_confirmed(tx, tip):
            raise rules.AlreadyConfirmed("it is in a block")
        name = f"{outpoint[31::-1].hex()}:{int.from_bytes(outpoint[32:], 'little')}"
        raise rules.MissingInputs(f"the output {name} does not exist or is spent")

    def _entry(
        self,
        tx: Transaction,
        tip: Tip,
        coins: list[Coin],
        fee: int,
        checks: int,
        time: int | None,
        settles: Settles | None = None,
    ) -> MempoolEntry:
        if checks > self.policy.max_standard_checks:
            raise rules.ManyChecks(
                f"{checks} signature checks, {self.policy.max_standard_checks} are relayed"
            )
        heights = [coin.height for coin in coins if coin.height < tip.height]
        relative = tx.version >= 2 and any(not item.sequence & SEQUENCE_DISABLE for item in tx.inputs)
        return MempoolEntry(
            tx,
            fee,
            self.policy.policy_size(tx.size, checks),
            checks,
            time=self.clock.now() if time is None else time,
            height=tip.entry.height,
            spent_height=max(heights, default=-1),
            has_locks=relative or any(coin.is_coinbase for coin in coins),
            settles=settles,
        )

    def _check_fee(self, entry: MempoolEntry) -> None:
        rate = self._minimum.rate(self._graph.usage)
        least = fee_at(rate, entry.size)
        if entry.fee < least:
            raise rules.PoolFeeNotMet(f"the fee is {entry.fee}; the full pool asks for {least} now")
        least = fee_at(self.policy.min_relay_rate, entry.size)
        if entry.fee < least:
            raise rules.FeeTooLow(f"the fee is {entry.fee}; {entry.size} bytes need at least {least}")

    def _place(self, entry: MempoolEntry) -> Candidate:
        get, spender = self._graph.get, self._graph.spender
        parents = {found for item in entry.tx.inputs if (found := get(item.outpoint[:32]))}
        conflicts = {found for item in entry.tx.inputs if (found := spender(item.outpoint))}
        ancestors = ancestors_through(parents) if parents else set()
        replaced: set[MempoolEntry] = set()
        if conflicts:
            replaced = check_replacement(self.policy, entry, parents, ancestors, conflicts)
        if parents:
            check_chain_limits(self.policy, entry, ancestors, replaced)
        return Candidate(entry, parents, ancestors, replaced)

    def admit(self, candidate: Candidate, *, announce: bool = True) -> MempoolEntry:
        """Take in what `examine` gave, before anything else changes the pool. Raises PoolFull."""
        entry = candidate.entry
        self.remove_all(candidate.replaced, Left.REPLACED)
        self._graph.add(entry, candidate.parents, candidate.ancestors)
        if entry.settles is not None:
            self._settlement = entry
        self._queue.push(entry)
        for ancestor in candidate.ancestors:
            self._queue.push(ancestor)
        self.version += 1
        self.trim(silent=(entry,))
        if self._graph.get(entry.txid) is not entry:
            raise rules.PoolFull(f"the pool is full; it asks for {self.min_rate()} units per 1,000 bytes now")
        if announce:
            self.tell(PoolChange(entry))
        return entry

    # --- going out ----------------------------------------------------------------------------------------

    def remove_all(
        self, entries: Iterable[MempoolEntry], why: Left, *, silent: Collection[MempoolEntry] = ()
    ) -> None:
        """Remove entries, which hold all their descendants, children first; `silent` ones untold."""
        for entry in reversed(in_order(entries)):
            for ancestor in self._graph.remove_leaf(entry):
                self._queue.push(ancestor)
            self.version += 1
            if entry not in silent:
                self.tell(PoolChange(entry, why))

    def remove(self, entry: MempoolEntry, why: Left) -> None:
        """Remove an entry with all its descendants."""
        self.remove_all(with_descendants((entry,)), why)

    def trim(self, *, silent: Collection[MempoolEntry] = ()) -> None:
        """Drop the packages with the lowest fee rates until the pool is within its cap."""
        while self._graph.usage > self.policy.max_usage:
            entry = self._queue.lowest()
            if entry is None:
                return
            self._minimum.evicted(entry.descendant_fee, entry.descendant_size)
            self.remove_all(with_descendants((entry,)), Left.EVICTED, silent=silent)

    def expire(self) -> None:
        """Drop what came longer than `policy.expiry` ago, with its descendants."""
        oldest = self.clock.now() - self.policy.expiry
        for entry in [entry for entry in self._graph if entry.time < oldest]:
            if self._graph.get(entry.txid) is entry:
                self.remove(entry, Left.EXPIRED)

    # --- the chain moved ----------------------------------------------------------------------------------

    def on_head(self, event: HeadChanged[Header, PowReceipt], chain: Chain) -> None:
        """Follow the chain: call it with every HeadChanged, while `chain` still has that head."""
        pool_head.follow(self, event, chain)

    def confirm(self, entry: MempoolEntry, height: int) -> None:
        """Remove an entry that a block at `height` took; its children spend a confirmed coin from now on."""
        for child in entry.children:
            child.spent_height = max(child.spent_height, height)
        self._graph.remove_root(entry)
        self.version += 1
        self.tell(PoolChange(entry, Left.CONFIRMED))

    def block_seen(self, height: int, confirmed: list[MempoolEntry]) -> None:
        """Note a block of the best chain and what it took from the pool."""
        self.version += 1
        self._minimum.block()
        if self._observer:
            self._observer.block(height, confirmed)

    def tell(self, change: PoolChange) -> None:
        """Announce a change."""
        if self._observer and change.left not in (None, Left.CONFIRMED):
            self._observer.left(change.entry)
        for listener in tuple(self._listeners):
            listener(change)


def is_confirmed(tx: Transaction, tip: Tip) -> bool:
    """Whether the chain has the transaction: by the index if there is one, else by an unspent output."""
    if find_transaction(tip.view, tx.txid):
        return True
    return any(get_coin(tip.view, tx.outpoint(index)) for index in range(len(tx.outputs)))
