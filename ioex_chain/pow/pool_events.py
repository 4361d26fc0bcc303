"""What the pool tells those who listen."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ioex_chain.pow.packages import MempoolEntry


class Left(Enum):
    """Why a transaction left the pool."""

    CONFIRMED = "block"
    CONFLICT = "conflict"
    """A block spends what it spends."""
    REPLACED = "replaced"
    EVICTED = "sizelimit"
    EXPIRED = "expiry"
    REORG = "reorg"
    """A reorganisation took an input from it or delayed it."""


@dataclass(frozen=True, slots=True)
class PoolChange:
    """An entry came (`left` is None) or left."""

    entry: MempoolEntry
    left: Left | None = None


class FeeObserver(Protocol):
    """Learns from the pool what fees confirm how fast."""

    def entered(self, entry: MempoolEntry) -> None:
        """Note an entry that came by itself, without unconfirmed parents."""
        ...

    def left(self, entry: MempoolEntry) -> None:
        """Note an entry that left without a block."""
        ...

    def block(self, height: int, confirmed: Sequence[MempoolEntry]) -> None:
        """Note a new block of the best chain and the entries that it took."""
        ...
