"""What the pool is made of: its limits, its entries, what it needs of the chain, what it tells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ioex_chain.evm.types import Account, Transaction

LIGHT = 2
"""Times its gas that a transaction's execution gas may be without coming later for it."""
HEAVIEST = 128
"""Times its gas at which it is not asked any more: no rule lets a transaction get there."""
ENTRY_OVERHEAD = 2_000
"""Estimated memory of an entry beside its bytes, which are held twice: raw, and in their fields."""


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """What this node's pool takes. Prices in wei."""

    max_transactions: int = 60_000
    """A minute's worth of a flood; six full blocks."""
    max_usage: int = 192 << 20
    """Bytes of memory, as estimated."""
    max_queued: int = 12_000
    """Transactions that wait for another one or for money, of all senders."""
    max_pending_by_sender: int = 10_000
    max_queued_by_sender: int = 256
    max_size: int = 128 * 1024
    """Bytes of one transaction."""
    min_tip: int = 1
    price_bump: int = 10
    """Percent by which a replacement pays more, in both prices."""
    queue_lifetime: int = 3 * 3600
    """Seconds that a transaction may wait without being executable."""
    max_returned_bytes: int = 32_000_000
    """Bytes of disconnected blocks whose transactions are offered again."""


class Accounts(Protocol):
    """The state after the head."""

    def account(self, address: bytes) -> Account:
        """Give an account; an empty one for an address that has none."""
        ...

    def code(self, code_hash: bytes) -> bytes:
        """Give the code with this keccak256."""
        ...


@dataclass(frozen=True, slots=True)
class PoolTip:
    """What transactions are checked against: the state after the head, and the next block's base fee."""

    accounts: Accounts
    base_fee: int


class Signers(Protocol):
    """Recovers who signed, and remembers it: `evm.senders.Senders`."""

    def sender(self, tx: Transaction) -> bytes:
        """Give the address that signed. Raises InvalidSignature."""
        ...

    def of(self, txs: Sequence[Transaction]) -> Sequence[bytes]:
        """Give all senders in order. Raises InvalidSignature if one has none."""
        ...


class PooledTransaction:
    """A transaction in the pool. Compared by identity.

    `floor` is the lowest score of this and all pending ones before it: what it is worth to the pool.
    """

    __slots__ = (
        "authorities",
        "cost",
        "floor",
        "local",
        "sender",
        "sequence",
        "time",
        "times",
        "tx",
        "usage",
    )

    def __init__(
        self,
        tx: Transaction,
        sender: bytes,
        authorities: tuple[bytes, ...],
        *,
        sequence: int,
        time: int,
        local: bool,
    ) -> None:
        self.tx = tx
        self.sender = sender
        self.authorities = authorities
        self.sequence = sequence
        """Rises with every arrival."""
        self.time = time
        """When it first came: Unix seconds."""
        self.local = local
        """Whether it came by this node's own RPC."""
        self.cost = tx.max_fee * tx.gas + tx.value
        self.usage = 2 * len(tx.raw) + ENTRY_OVERHEAD
        self.floor: Score = (0, 0)
        self.times = LIGHT
        """Times its gas that its execution gas may be: more each time that a producer found it heavier."""

    def __repr__(self) -> str:
        return f"<PooledTransaction {self.tx.hash.hex()[:12]} of {self.sender.hex()[:8]}:{self.tx.nonce}>"


Score = tuple[int, int]
"""Tip that the next block's producer would get (negative: not executable), then the fee cap; wei by gas."""


def worth(entry: PooledTransaction, base_fee: int) -> int:
    """Say what a producer earns with a unit of the work that a transaction is: wei a gas.

    Of one that needs much more execution gas than gas, all that it pays is spread over that, and the base fee
    taken off again: who fills a block with slow contracts pays as if with ordinary ones, or comes last.
    """
    tip = min(entry.tx.max_priority_fee, entry.tx.max_fee - base_fee)
    return tip if entry.times == LIGHT else (base_fee + tip) * LIGHT // entry.times - base_fee


def score(entry: PooledTransaction, base_fee: int) -> Score:
    """Say what a transaction is worth in a block of this base fee."""
    return (worth(entry, base_fee), entry.tx.max_fee)


class Change(Enum):
    """What happened to an entry."""

    PENDING = "pending"
    """It can be executed now: new, or what it waited for came."""
    QUEUED = "queued"
    """It is new, and waits for another one or for money."""
    USED = "used"
    """A block has used its nonce."""
    REPLACED = "replaced"
    EVICTED = "evicted"
    """Dropped from a full pool."""
    EXPIRED = "expired"
    UNPAYABLE = "unpayable"
    """Its sender's balance does not cover it any more."""
    DROPPED = "dropped"
    """Somebody has found out that it cannot be in a block."""


@dataclass(frozen=True, slots=True)
class PoolChange:
    """An entry came, became executable, or left."""

    entry: PooledTransaction
    change: Change

    @property
    def has_left(self) -> bool:
        """Whether the entry is not in the pool any more."""
        return self.change not in (Change.PENDING, Change.QUEUED)


Listener = Callable[[PoolChange], None]


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """Sizes of the pool."""

    pending: int
    queued: int
    usage: int
    """Bytes of memory, as estimated."""
