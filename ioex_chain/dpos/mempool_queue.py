"""One sender's transactions in the pool, by nonce."""

from collections.abc import Iterator

from ioex_chain.dpos.mempool_types import PooledTransaction, Score, score


class SenderQueue:
    """Pending are the nonces from `nonce`, the account's, up to `end`: no gap, and the balance covers them.

    All others are queued. `cost` is what the pending ones may cost together in wei.
    """

    __slots__ = ("address", "balance", "cost", "end", "nonce", "txs")

    def __init__(self, address: bytes, nonce: int, balance: int) -> None:
        self.address = address
        self.nonce = nonce
        self.balance = balance
        self.txs: dict[int, PooledTransaction] = {}
        self.end = nonce
        self.cost = 0

    def __len__(self) -> int:
        return len(self.txs)

    @property
    def pending_count(self) -> int:
        """How many are pending."""
        return self.end - self.nonce

    @property
    def tail(self) -> PooledTransaction | None:
        """The last pending one: the only one that can go without making a gap."""
        return self.txs[self.end - 1] if self.end > self.nonce else None

    def is_pending(self, entry: PooledTransaction) -> bool:
        """Whether an entry of this queue can be executed after those before it."""
        return entry.tx.nonce < self.end

    def pending(self) -> Iterator[PooledTransaction]:
        """Give the pending ones in the order of their nonces."""
        return map(self.txs.__getitem__, range(self.nonce, self.end))

    def queued(self) -> list[PooledTransaction]:
        """Give the queued ones in the order of their nonces."""
        return [self.txs[nonce] for nonce in sorted(self.txs) if nonce >= self.end]

    def put(self, entry: PooledTransaction) -> PooledTransaction | None:
        """Put an entry in its place, queued if it is new; give the one that it replaces."""
        nonce = entry.tx.nonce
        old = self.txs.get(nonce)
        self.txs[nonce] = entry
        if old is not None and nonce < self.end:
            self._cut(nonce, old)
        return old

    def remove(self, nonce: int) -> PooledTransaction:
        """Take an entry out; the pending ones after it are queued from now on."""
        entry = self.txs[nonce]
        if nonce < self.end:
            self._cut(nonce, entry)
        del self.txs[nonce]
        return entry

    def _cut(self, nonce: int, entry: PooledTransaction) -> None:
        later = sum(self.txs[after].cost for after in range(nonce + 1, self.end))
        self.cost -= entry.cost + later
        self.end = nonce

    def extend(self, base_fee: int) -> list[PooledTransaction]:
        """Make pending what can be now; give those that came."""
        come = []
        floor: Score | None = self.txs[self.end - 1].floor if self.end > self.nonce else None
        while (entry := self.txs.get(self.end)) is not None and self.cost + entry.cost <= self.balance:
            own = score(entry, base_fee)
            entry.floor = floor = own if floor is None else min(own, floor)
            self.cost += entry.cost
            self.end += 1
            come.append(entry)
        return come

    def rebase(self, nonce: int, balance: int) -> list[PooledTransaction]:
        """Follow the account: nothing is pending until `extend`. Gives the used ones, which are out now."""
        self.nonce = self.end = nonce
        self.balance = balance
        self.cost = 0
        return [self.txs.pop(used) for used in sorted(self.txs) if used < nonce]

    def rescore(self, base_fee: int) -> None:
        """Work out the floors anew."""
        floor: Score | None = None
        for entry in self.pending():
            own = score(entry, base_fee)
            entry.floor = floor = own if floor is None else min(own, floor)
