"""The wallet's view of the chain: what it asks for, and when a coin may be spent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from ioex_chain.pow.script import (
    LOCKTIME_THRESHOLD,
    SEQUENCE_DISABLE,
    SEQUENCE_MASK,
    SEQUENCE_TIME,
    SpendScript,
)
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import OutPoint, TxHash

SEQUENCE_UNIT = 512
"""Seconds in one step of a relative lock by time (BIP-68)."""


class Tip(NamedTuple):
    """The best block."""

    height: int
    median_time: int
    """Median time of it and the 10 before it: what locks are measured against (BIP-113)."""


class Coin(NamedTuple):
    """An unspent output on the chain or in the mempool."""

    outpoint: OutPoint
    value: int
    script: bytes
    height: int | None
    """None while unconfirmed."""
    is_coinbase: bool = False


class Activity(NamedTuple):
    """A transaction that pays or spends a script."""

    script: bytes
    txid: TxHash
    height: int | None
    """None while unconfirmed."""


class ChainSource(Protocol):
    """What a wallet needs of a node. Every method may raise ChainUnavailable."""

    def tip(self) -> Tip:
        """Give the best block."""
        ...

    def median_time(self, height: int) -> int:
        """Give the median time of the best chain's block at a height."""
        ...

    def coins(self, scripts: Sequence[bytes]) -> Sequence[Coin]:
        """Give what the scripts can spend: outputs that neither a block nor the mempool spends."""
        ...

    def activity(self, scripts: Sequence[bytes]) -> Sequence[Activity]:
        """Give every transaction that touches the scripts, confirmed or not."""
        ...

    def transaction(self, txid: TxHash) -> Transaction:
        """Give a transaction by id."""
        ...

    def fee_rate(self, blocks: int) -> int | None:
        """Give units per 1,000 bytes that should confirm within so many blocks; None if unknown."""
        ...

    def broadcast(self, transaction: Transaction) -> TxHash:
        """Hand a transaction to the node. Raises ChainUnavailable with the node's reason if refused."""
        ...


class Status(Enum):
    """Whether a coin can be spent in the next block."""

    SPENDABLE = "spendable"
    UNCONFIRMED = "unconfirmed"
    IMMATURE = "immature"
    LOCKED = "locked"
    SHARED = "shared"
    """Free, but more signatures are needed than this wallet has keys for."""


class Availability(NamedTuple):
    """A coin's status and, while it waits, the block height or Unix time from which it can be spent."""

    status: Status
    height: int | None = None
    """First height of a block that may spend it."""
    time: int | None = None
    """A block may spend it once its parent's median time is above this."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The rules of when, for one network at one tip."""

    tip: Tip
    maturity: int
    median_time: Callable[[int], int]

    def availability(self, coin: Coin, spend: SpendScript | None, own_change: bool = False) -> Availability:
        """Say when a block can spend a coin. `spend` is its witness script's form, None for a bare key.

        Unconfirmed coins wait, unless they are change of our own transaction (`own_change`).
        """
        if coin.height is None:
            return Availability(Status.SPENDABLE if own_change and spend is None else Status.UNCONFIRMED)
        lock = None if spend is None else self._absolute(spend) or self._relative(coin.height, spend)
        if lock:
            return lock
        ripe = coin.height + self.maturity
        if coin.is_coinbase and ripe > self.tip.height + 1:
            return Availability(Status.IMMATURE, height=ripe)
        return Availability(Status.SPENDABLE)

    def _absolute(self, spend: SpendScript) -> Availability | None:
        lock = spend.lock_time
        if lock is None:
            return None
        if lock < LOCKTIME_THRESHOLD:
            return Availability(Status.LOCKED, height=lock + 1) if lock > self.tip.height else None
        return Availability(Status.LOCKED, time=lock) if lock >= self.tip.median_time else None

    def _relative(self, height: int, spend: SpendScript) -> Availability | None:
        wanted = spend.sequence
        if wanted is None or wanted & SEQUENCE_DISABLE:
            return None
        steps = wanted & SEQUENCE_MASK
        if not wanted & SEQUENCE_TIME:
            first = height + steps
            return Availability(Status.LOCKED, height=first) if first > self.tip.height + 1 else None
        free = self.median_time(max(height - 1, 0)) + steps * SEQUENCE_UNIT - 1
        return Availability(Status.LOCKED, time=free) if free >= self.tip.median_time else None
