"""The DPoS chain's transactions and pool for the gossip (docs/protocol.md sections 4 and 9)."""

from collections.abc import Callable, Iterable, Sequence

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.mempool import Mempool
from ioex_chain.dpos.mempool_errors import AlreadyKnown, PoolError, is_hopeless
from ioex_chain.dpos.mempool_types import Change, PoolChange, PooledTransaction, PoolTip
from ioex_chain.evm.errors import InvalidTransaction
from ioex_chain.evm.types import Transaction
from ioex_chain.gossip.wire import Arrival, Fate, Gone, Result
from ioex_chain.primitives.errors import DecodeError, IoexError


class DposPool:
    """`gossip.wire.PoolWire` of the DPoS chain: ids and names are hashes, rates wei of fee cap."""

    def __init__(self, pool: Mempool, tip: Callable[[], PoolTip]) -> None:
        """`tip` gives state and base fee on the head; it is called on the worker."""
        self._pool = pool
        self._tip = tip

    def __len__(self) -> int:
        return len(self._pool)

    def raw_id(self, raw: bytes) -> bytes:
        """Give the hash of EIP-2718 bytes."""
        return keccak256(raw)

    def id(self, tx: Transaction) -> bytes:
        """Give the hash."""
        return tx.hash

    def name(self, tx: Transaction) -> bytes:
        """Give the hash."""
        return tx.hash

    def get(self, id_: bytes) -> PooledTransaction | None:
        """Give an entry by hash."""
        return self._pool.get(id_)

    def get_named(self, name: bytes) -> PooledTransaction | None:
        """Give an entry by hash."""
        return self._pool.get(name)

    def entry_id(self, entry: PooledTransaction) -> bytes:
        """Give the hash."""
        return entry.tx.hash

    def tx(self, entry: PooledTransaction) -> Transaction:
        """Give the transaction."""
        return entry.tx

    def sequence(self, entry: PooledTransaction) -> int:
        """Give the number of its arrival."""
        return entry.sequence

    def pays(self, entry: PooledTransaction, rate: int) -> bool:
        """Whether its fee cap reaches the rate."""
        return entry.tx.max_fee >= rate

    def least_rate(self) -> int:
        """Give the least base fee."""
        return self._pool.spec.min_base_fee

    def watch(self, gone: Gone) -> None:
        """Tell of what leaves."""

        def hear(change: PoolChange) -> None:
            if change.has_left:
                gone(change.entry.tx.hash, change.entry.tx, change.change is Change.USED)

        self._pool.subscribe(hear)

    def candidates(self) -> Iterable[Transaction]:
        """Give the pool's transactions."""
        return self._pool.transactions()

    def rate(self) -> int:
        """Give the least fee cap that comes in now."""
        return self.least_rate()

    def best_first(self) -> list[bytes]:
        """Give the hashes of what can be executed now, best tip first, each sender's by nonce."""
        count = len(self._pool)
        everything = self._pool.select(
            self._pool.base_fee, max_count=count, max_bytes=self._pool.policy.max_usage
        )
        return [entry.tx.hash for entry in everything]

    def admit(self, arrivals: Sequence[Arrival]) -> list[Result]:
        """Give transactions to the pool, their signatures checked together."""
        results: dict[int, Result] = {}
        read: list[tuple[int, Transaction]] = []
        for at, arrival in enumerate(arrivals):
            try:
                read.append((at, self._pool.decode(arrival.raw)))
            except InvalidTransaction as error:
                results[at] = Result(arrival, None, error)
        outcomes = self._pool.add_all([tx for _, tx in read], self._tip())
        for (at, tx), outcome in zip(read, outcomes, strict=True):
            refusal = outcome if isinstance(outcome, InvalidTransaction) else None
            results[at] = Result(arrivals[at], tx, refusal)
        return [results[at] for at in range(len(arrivals))]

    def fate(self, error: IoexError) -> Fate:
        """Say what a refusal means."""
        if isinstance(error, DecodeError):
            return Fate.MALFORMED
        if isinstance(error, AlreadyKnown):
            return Fate.KNOWN
        if isinstance(error, InvalidTransaction) and is_hopeless(error):
            return Fate.INVALID
        return Fate.POLICY if isinstance(error, PoolError) else Fate.LATER
