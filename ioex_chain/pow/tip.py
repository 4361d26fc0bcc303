"""Where the next block will stand: what the pool and the template check transactions against."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ioex_chain.ledger.types import Entry
from ioex_chain.pow.block import Block
from ioex_chain.pow.consensus import median_time_past
from ioex_chain.pow.header import Header
from ioex_chain.pow.machine import PowReceipt
from ioex_chain.pow.utxo import Reads
from ioex_chain.primitives.types import BlockHash


class Chain(Protocol):
    """What the pool and the template need of the ledger."""

    @property
    def head(self) -> Entry[Header]:
        """The best chain's last block."""
        ...

    def view(self) -> Reads:
        """Give the state after the head."""
        ...

    def entry_at(self, height: int) -> Entry[Header] | None:
        """Give the best chain's entry at a height."""
        ...

    def body(self, hash_: BlockHash) -> Block:
        """Give a block. Raises UnknownBlock."""
        ...

    def preview(self, block: Block) -> PowReceipt:
        """Execute a block on the head and keep nothing. Raises InvalidBlock, NotOnHead."""
        ...


@dataclass(frozen=True, slots=True)
class Tip:
    """A head and its state. `height` is the next block's, `median_time` the head's (BIP-113)."""

    entry: Entry[Header]
    view: Reads
    height: int
    median_time: int
    entry_at: Callable[[int], Entry[Header] | None]

    @classmethod
    def of(cls, chain: Chain) -> "Tip":
        """Take a chain as it is now; use it before the next block."""
        head = chain.head
        return cls(head, chain.view(), head.height + 1, median_time_past(head), chain.entry_at)

    def median_time_at(self, height: int) -> int:
        """Give the median time of the block at `height` on this chain; the head's if it is above."""
        entry = self.entry_at(height) if height < self.entry.height else None
        return median_time_past(entry or self.entry)
