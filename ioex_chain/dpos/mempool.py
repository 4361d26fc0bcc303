"""The pool of transactions that wait for a block: per-sender queues by nonce, as Ethereum's nodes keep them.

Synchronous and without I/O; it belongs to the ledger's thread. What a transaction must satisfy stands in
`mempool_rules`, a sender's queue in `mempool_queue`, what a full pool drops in `mempool_eviction`, what a
producer takes in `mempool_select`, how the pool is kept over a restart in `mempool_journal`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from ioex_chain.dpos import mempool_errors as errors
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.mempool_eviction import EvictionOrder
from ioex_chain.dpos.mempool_known import KnownTransactions
from ioex_chain.dpos.mempool_queue import SenderQueue
from ioex_chain.dpos.mempool_rules import (
    check_account,
    check_bump,
    check_form,
    check_price,
    check_size,
    is_delegation,
)
from ioex_chain.dpos.mempool_select import Selection
from ioex_chain.dpos.mempool_types import (
    Change,
    Listener,
    PoolChange,
    PooledTransaction,
    PoolPolicy,
    PoolStatus,
    PoolTip,
    Signers,
)
from ioex_chain.evm.errors import (
    ExecutionGasReached,
    FeeCapTooLow,
    GasLimitReached,
    InsufficientFunds,
    InvalidSignature,
    InvalidTransaction,
    NonceTooHigh,
)
from ioex_chain.evm.senders import authority
from ioex_chain.evm.types import EMPTY_CODE_HASH, Account, Transaction
from ioex_chain.ledger.types import Entry, HeadChanged
from ioex_chain.primitives.clock import Clock
from ioex_chain.spec.model import DposSpec

_PASSING = (NonceTooHigh, FeeCapTooLow, GasLimitReached, ExecutionGasReached)


class Chain(Protocol):
    """What the pool needs of the chain when the head has moved."""

    def tip(self) -> PoolTip:
        """Give state and base fee on the head."""
        ...

    def transactions(self, entry: Entry[SealedHeader]) -> Sequence[Transaction]:
        """Give the transactions of a block that was on the best chain; none if its body is gone."""
        ...


class Mempool:
    """Unconfirmed transactions. A sender's pending ones have no gap and are paid for; the others wait."""

    def __init__(
        self,
        spec: DposSpec,
        clock: Clock,
        signers: Signers,
        *,
        policy: PoolPolicy | None = None,
        known: KnownTransactions | None = None,
    ) -> None:
        """Start empty. Give `known` to what decodes and imports blocks too."""
        self.spec = spec
        self.policy = policy or PoolPolicy()
        self.clock = clock
        self.version = 0
        """Rises with every change."""
        self.base_fee = spec.min_base_fee
        """The next block's, as far as the pool was told."""
        self.known = KnownTransactions(most_gas=spec.gas_limit) if known is None else known
        self.known.pooled = self._pooled
        self._signers = signers
        self._queues: dict[bytes, SenderQueue] = {}
        self._by_hash: dict[bytes, PooledTransaction] = {}
        self._authorities: Counter[bytes] = Counter()
        self._usage = 0
        self._pending = 0
        self._sequence = 0
        self._order = EvictionOrder(self._queues)
        self._listeners: list[Listener] = []

    # --- reads: `len`, `in`, `get`, `known`, `next_nonce`, `status` from any thread -------------------------

    def __len__(self) -> int:
        return len(self._by_hash)

    def __contains__(self, hash_: bytes, /) -> bool:
        return hash_ in self._by_hash

    def get(self, hash_: bytes) -> PooledTransaction | None:
        """Give the entry with this transaction hash."""
        return self._by_hash.get(hash_)

    def _pooled(self, hash_: bytes) -> Transaction | None:
        entry = self._by_hash.get(hash_)
        return entry.tx if entry is not None else None

    def next_nonce(self, address: bytes) -> int | None:
        """Give the nonce after an account's pending ones; None for one without transactions here."""
        queue = self._queues.get(address)
        return queue.end if queue is not None else None

    def is_pending(self, entry: PooledTransaction) -> bool:
        """Whether an entry of the pool is pending; else it is queued."""
        return self._queues[entry.sender].is_pending(entry)

    def status(self) -> PoolStatus:
        """Give the pool's sizes."""
        return PoolStatus(self._pending, len(self._by_hash) - self._pending, self._usage)

    def senders(self) -> list[bytes]:
        """Give all senders, in the order in which they came."""
        return list(self._queues)

    def pending_of(self, address: bytes) -> list[PooledTransaction]:
        """Give a sender's pending transactions by nonce."""
        queue = self._queues.get(address)
        return list(queue.pending()) if queue is not None else []

    def queued_of(self, address: bytes) -> list[PooledTransaction]:
        """Give a sender's queued transactions by nonce."""
        queue = self._queues.get(address)
        return queue.queued() if queue is not None else []

    def transactions(self) -> list[Transaction]:
        """Give all transactions, pending or queued, in the order in which they came."""
        return [entry.tx for entry in list(self._by_hash.values())]

    def select(self, base_fee: int, *, max_count: int, max_bytes: int) -> Selection:
        """Give what a producer tries for a block of this base fee, in order."""
        chains = (list(queue.pending()) for queue in self._queues.values())
        return Selection(chains, base_fee, max_count, max_bytes)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` called after each change; it may not change the pool. Gives what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # --- coming in ------------------------------------------------------------------------------------------

    def decode(self, raw: bytes) -> Transaction:
        """Read EIP-2718 bytes, from any thread; what is too long is not looked at: megabytes take seconds.

        Raises OversizedTransaction, MalformedTransaction, InvalidSignature.
        """
        check_size(self.policy, raw)
        return self.known.decode(raw)

    def add(
        self, tx: Transaction, tip: PoolTip, *, local: bool = False, time: int | None = None
    ) -> PooledTransaction:
        """Take a transaction. Raises InvalidTransaction.

        `local`: it came by this node's RPC. `time` is when it first came, if that was before a restart.
        """
        result = self.add_all((tx,), tip, local=local, time=time)[0]
        if isinstance(result, InvalidTransaction):
            raise result
        return result

    def add_all(
        self, txs: Sequence[Transaction], tip: PoolTip, *, local: bool = False, time: int | None = None
    ) -> list[PooledTransaction | InvalidTransaction]:
        """Take transactions in their order, signatures at once; give the entry or the refusal of each."""
        self._follow(tip)
        when = self.clock.now() if time is None else time
        results: dict[int, PooledTransaction | InvalidTransaction] = {}
        sound = []
        for at, tx in enumerate(txs):
            try:
                self._check_first(tx)
                sound.append(at)
            except InvalidTransaction as error:
                results[at] = error
        senders = self._recover([txs[at] for at in sound])
        for at, sender in zip(sound, senders, strict=True):
            try:
                results[at] = self._add(txs[at], sender, tip, local, when)
            except InvalidTransaction as error:
                results[at] = error
        self._trim()
        return [results[at] for at in range(len(txs))]

    def _check_first(self, tx: Transaction) -> None:
        """Check what is cheap, so that a flood of bad ones costs no signature."""
        if tx.hash in self._by_hash:
            raise errors.AlreadyKnown
        check_form(self.spec, self.policy, tx)
        check_price(self.spec, self.policy, tx)

    def _recover(self, txs: Sequence[Transaction]) -> Sequence[bytes | None]:
        """Give the senders, all at once if all signatures are sound; None where one is not."""
        try:
            return self._signers.of(txs)
        except InvalidSignature:
            return [self._sender(tx) for tx in txs]

    def _sender(self, tx: Transaction) -> bytes | None:
        try:
            return self._signers.sender(tx)
        except InvalidSignature:
            return None

    def _add(
        self, tx: Transaction, sender: bytes | None, tip: PoolTip, local: bool, time: int
    ) -> PooledTransaction:
        if tx.hash in self._by_hash:  # twice in one batch
            raise errors.AlreadyKnown
        if sender is None:
            raise InvalidSignature("no key can have made this signature")
        self.known.add(tx)
        entry, account = self._examine(tx, sender, tip, local, time)
        is_pending = self._put(entry, account)
        self._trim(silent=entry)
        if tx.hash not in self._by_hash:
            raise _no_room(is_pending)
        self._tell(entry, Change.PENDING if is_pending else Change.QUEUED)
        return entry

    def _examine(
        self, tx: Transaction, sender: bytes, tip: PoolTip, local: bool, time: int
    ) -> tuple[PooledTransaction, Account]:
        """Check a transaction against the state and its sender's others. Raises InvalidTransaction."""
        account = tip.accounts.account(sender)
        code = tip.accounts.code(account.code_hash) if account.code_hash != EMPTY_CODE_HASH else b""
        check_account(tx, sender, account, code)
        queue = self._queues.get(sender)
        if queue is not None and (queue.nonce, queue.balance) != (account.nonce, account.balance):
            self._refresh(queue, account)
            queue = self._queues.get(sender)
        old = queue.txs.get(tx.nonce) if queue is not None else None
        if old is not None:
            check_bump(self.policy, old.tx, tx)
        authorities = _authorities(tx)
        self._check_delegation(tx, sender, account, queue, is_delegation(code))
        self._check_authorities(authorities)
        entry = PooledTransaction(
            tx, sender, authorities, sequence=self._sequence + 1, time=time, local=local
        )
        self._check_funds(entry, account, queue, old)
        if old is None and queue is not None:
            self._check_share(tx, queue)
        return entry, account

    def _check_delegation(
        self, tx: Transaction, sender: bytes, account: Account, queue: SenderQueue | None, delegated: bool
    ) -> None:
        """See that an account whose code another may change has one transaction in flight (EIP-7702)."""
        if not delegated and not self._authorities[sender]:
            return
        if queue is None or not queue.pending_count:
            if tx.nonce != account.nonce:
                raise errors.DelegatedGap
        elif tx.nonce >= queue.end:
            raise errors.InFlightLimit

    def _check_authorities(self, authorities: Iterable[bytes]) -> None:
        for address in authorities:
            if len(self._queues.get(address, ())) > 1:
                raise errors.AuthorityReserved(f"0x{address.hex()}")

    def _check_funds(
        self,
        entry: PooledTransaction,
        account: Account,
        queue: SenderQueue | None,
        old: PooledTransaction | None,
    ) -> None:
        others = 0
        if queue is not None and entry.tx.nonce <= queue.end:
            others = queue.cost
            if old is not None and queue.is_pending(old):
                others -= old.cost
        if entry.cost + others > account.balance:
            raise InsufficientFunds(
                f"balance {account.balance}, queued cost {others}, tx cost {entry.cost}, "
                f"overshot {entry.cost + others - account.balance}"
            )

    def _check_share(self, tx: Transaction, queue: SenderQueue) -> None:
        pending = queue.pending_count
        if tx.nonce == queue.end:
            if pending >= self.policy.max_pending_by_sender:
                raise errors.AccountLimitExceeded(f"{pending} transactions of this sender wait already")
        elif len(queue) - pending >= self.policy.max_queued_by_sender:
            raise errors.AccountLimitExceeded(
                f"{len(queue) - pending} transactions of this sender wait for others"
            )

    def _put(self, entry: PooledTransaction, account: Account) -> bool:
        """Put an entry that was examined into its queue; say whether it is pending."""
        queue = self._queues.get(entry.sender)
        if queue is None:
            queue = self._queues[entry.sender] = SenderQueue(entry.sender, account.nonce, account.balance)
        end = queue.end
        old = queue.put(entry)
        come = queue.extend(self.base_fee)
        is_pending = queue.is_pending(entry)
        self._sequence += 1
        self._pending += queue.end - end
        self._index(entry)
        if old is not None:
            self._unindex(old)
        self._order.changed(queue, None if is_pending else entry)
        if old is not None:
            self._tell(old, Change.REPLACED)
        for other in come:
            if other.tx.nonce >= end and other is not entry:
                self._tell(other, Change.PENDING)
        return is_pending

    def _index(self, entry: PooledTransaction) -> None:
        self._by_hash[entry.tx.hash] = entry
        self._usage += entry.usage
        self._authorities.update(entry.authorities)

    def _unindex(self, entry: PooledTransaction) -> None:
        del self._by_hash[entry.tx.hash]
        self._usage -= entry.usage
        for address in entry.authorities:
            self._authorities[address] -= 1
            if not self._authorities[address]:
                del self._authorities[address]

    # --- going out ------------------------------------------------------------------------------------------

    def drop(self, hash_: bytes, reason: InvalidTransaction | None = None) -> None:
        """Remove a transaction that turned out to fit in no block; what its sender has behind it waits.

        Nothing happens when the reason is one that passes: one before it found no room, or the fee rose.
        """
        entry = self._by_hash.get(hash_)
        if entry is not None and not isinstance(reason, _PASSING):
            self._remove(entry, Change.DROPPED)
            self._trim()

    def _remove(
        self, entry: PooledTransaction, change: Change, silent: PooledTransaction | None = None
    ) -> None:
        queue = self._queues[entry.sender]
        end = queue.end
        queue.remove(entry.tx.nonce)
        self._pending += queue.end - end
        self._unindex(entry)
        if not queue:
            del self._queues[entry.sender]
        elif end - queue.end > 1:
            self._order.reset()
        else:
            self._order.changed(queue)
        if entry is not silent:
            self._tell(entry, change)

    def _trim(self, silent: PooledTransaction | None = None) -> None:
        """Drop the cheapest until the pool keeps its caps: queued ones first, then last ones of pending."""
        policy, order = self.policy, self._order
        while len(self._by_hash) - self._pending > policy.max_queued:
            self._evict(order.cheapest_queued(self.base_fee), silent)
        while len(self._by_hash) > policy.max_transactions or self._usage > policy.max_usage:
            queued = order.cheapest_queued(self.base_fee)
            self._evict(queued or order.cheapest_tail(self.base_fee), silent)

    def _evict(self, entry: PooledTransaction | None, silent: PooledTransaction | None) -> None:
        if entry is None:  # a pool above its caps is not empty
            raise AssertionError("the order of eviction has lost entries")
        self._remove(entry, Change.EVICTED, silent)

    def expire(self) -> None:
        """Drop what has been queued for too long."""
        if len(self._by_hash) == self._pending:
            return
        oldest = self.clock.now() - self.policy.queue_lifetime
        waiting = [entry for queue in self._queues.values() for entry in queue.queued()]
        for entry in waiting:
            if entry.time < oldest:
                self._remove(entry, Change.EXPIRED)

    # --- the chain moved ------------------------------------------------------------------------------------

    def on_head(self, event: HeadChanged[SealedHeader, Any], chain: Chain) -> None:
        """Follow the chain: call it with every HeadChanged, while `chain` still has that head.

        What blocks took leaves, what a reorganisation took back returns, what its sender cannot pay any more
        goes or waits.
        """
        tip = chain.tip()
        self._follow(tip)
        for queue in list(self._queues.values()):
            account = tip.accounts.account(queue.address)
            if (queue.nonce, queue.balance) != (account.nonce, account.balance):
                self._refresh(queue, account)
        self._give_back(event.disconnected, chain, tip)
        self.expire()
        self._trim()

    def _follow(self, tip: PoolTip) -> None:
        if tip.base_fee != self.base_fee:
            self.base_fee = tip.base_fee
            self._order.reset()

    def _refresh(self, queue: SenderQueue, account: Account) -> None:
        """Bring a queue to its account's nonce and balance."""
        nonce, end = queue.nonce, queue.end
        used = queue.rebase(account.nonce, account.balance)
        unpayable = [entry for entry in queue.txs.values() if entry.cost > account.balance]
        for entry in unpayable:
            queue.remove(entry.tx.nonce)
        come = queue.extend(self.base_fee)
        self._pending += queue.pending_count - (end - nonce)
        self._order.reset()
        if not queue:
            del self._queues[queue.address]
        for entry in (*used, *unpayable):
            self._unindex(entry)
        for entry in used:
            self._tell(entry, Change.USED)
        for entry in unpayable:
            self._tell(entry, Change.UNPAYABLE)
        for entry in come:
            if not nonce <= entry.tx.nonce < end:
                self._tell(entry, Change.PENDING)

    def _give_back(self, disconnected: Sequence[Entry[SealedHeader]], chain: Chain, tip: PoolTip) -> None:
        """Offer the disconnected blocks' transactions to the pool, oldest block first, up to a cap."""
        left = self.policy.max_returned_bytes
        for block in reversed(disconnected):
            txs = chain.transactions(block)
            left -= sum(len(tx.raw) for tx in txs)
            if left < 0:
                return
            for tx, sender in zip(txs, self._recover(txs), strict=True):
                if sender is not None and tx.hash not in self._by_hash:
                    with suppress(InvalidTransaction):
                        self._return(tx, sender, tip)

    def _return(self, tx: Transaction, sender: bytes, tip: PoolTip) -> None:
        """Take back what was in a block: no price is asked. Raises InvalidTransaction."""
        entry, account = self._examine(tx, sender, tip, False, self.clock.now())
        is_pending = self._put(entry, account)
        self._tell(entry, Change.PENDING if is_pending else Change.QUEUED)

    # --- telling --------------------------------------------------------------------------------------------

    def _tell(self, entry: PooledTransaction, change: Change) -> None:
        self.version += 1
        for listener in list(self._listeners):
            listener(PoolChange(entry, change))


def _no_room(is_pending: bool) -> InvalidTransaction:
    if is_pending:
        return errors.Underpriced("the pool is full, and holds nothing cheaper")
    return errors.PoolFull("no room for a transaction that cannot be executed yet")


def _authorities(tx: Transaction) -> tuple[bytes, ...]:
    """Give who signed the authorisations (EIP-7702), each once."""
    if not tx.authorizations:
        return ()
    found = (authority(item) for item in tx.authorizations)
    return tuple(dict.fromkeys(address for address in found if address is not None))
