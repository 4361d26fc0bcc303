"""Transactions that were read lately: a block made of them is cheap to read and to import."""

from collections.abc import Callable

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.mempool_types import ENTRY_OVERHEAD
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.evm.types import Transaction

MAX_USAGE = 64 << 20
"""Bytes of memory, as estimated; what the pool holds as well is held once."""


class KnownTransactions:
    """Remembers by hash, and forgets the oldest. Reads may come from any thread.

    `decode` is what blocks are read with; senders are remembered by `evm.senders.Senders` beside it.
    """

    def __init__(self, max_usage: int = MAX_USAGE, *, most_gas: int = 2**64) -> None:
        """`most_gas` is a block's: no transaction needs more."""
        self._most_gas = most_gas
        self._half = max_usage // 2
        self._new: dict[bytes, Transaction] = {}
        self._old: dict[bytes, Transaction] = {}
        self._usage = 0
        self.pooled: Callable[[bytes], Transaction | None] = lambda _hash: None
        """Asked first: the pool sets it."""

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def get(self, hash_: bytes) -> Transaction | None:
        """Give the transaction with this hash, if it is in the pool or was lately."""
        return self.pooled(hash_) or self._new.get(hash_) or self._old.get(hash_)

    def add(self, tx: Transaction) -> None:
        """Remember a transaction."""
        if tx.hash in self._new or tx.hash in self._old:
            return
        self._new[tx.hash] = tx
        self._usage += 2 * len(tx.raw) + ENTRY_OVERHEAD
        if self._usage > self._half:
            self._old, self._new, self._usage = self._new, {}, 0

    def decode(self, raw: bytes) -> Transaction:
        """Give the transaction of EIP-2718 bytes, read only if it is not known. Raises DecodeError."""
        return self.get(keccak256(raw)) or decode_transaction(raw, self._most_gas)
