"""Which transactions a producer tries, in which order: best tip first, each sender's by nonce."""

import heapq
from collections.abc import Iterable, Iterator, Sequence

from ioex_chain.dpos.mempool_types import PooledTransaction

RLP_OVERHEAD = 4
"""Most bytes that RLP puts before a transaction in a block."""


class Selection(Iterator[PooledTransaction]):
    """Gives transactions until a bound is reached; a pool that changes meanwhile changes nothing here.

    The caller executes each before it takes the next one, and says `skip` of one that did not fit or failed:
    what its sender has behind it is not given either, and its bytes are free again.
    """

    def __init__(
        self, chains: Iterable[Sequence[PooledTransaction]], base_fee: int, max_count: int, max_bytes: int
    ) -> None:
        """Take each sender's pending ones by nonce; the bounds are those of the block's transactions."""
        self._chains = [chain for chain in chains if chain]
        self._base_fee = base_fee
        self.count_left = max_count
        self.bytes_left = max_bytes
        heads = (self._item(at, 0) for at in range(len(self._chains)))
        self._heads = [item for item in heads if item is not None]
        heapq.heapify(self._heads)
        self._last: tuple[int, int] | None = None

    def _item(self, chain: int, place: int) -> tuple[int, int, int, int] | None:
        """Give the place of one in the order; None for one that this base fee keeps out."""
        if place >= len(self._chains[chain]):
            return None
        entry = self._chains[chain][place]
        tip = min(entry.tx.max_priority_fee, entry.tx.max_fee - self._base_fee)
        return (-tip, entry.sequence, chain, place) if tip >= 0 else None

    def __next__(self) -> PooledTransaction:
        self._go_on()
        while self._heads and self.count_left:
            _, _, chain, place = heapq.heappop(self._heads)
            entry = self._chains[chain][place]
            size = len(entry.tx.raw) + RLP_OVERHEAD
            if size > self.bytes_left:
                continue
            self.bytes_left -= size
            self.count_left -= 1
            self._last = (chain, place)
            return entry
        raise StopIteration

    def _go_on(self) -> None:
        if self._last is None:
            return
        chain, place = self._last
        self._last = None
        item = self._item(chain, place + 1)
        if item is not None:
            heapq.heappush(self._heads, item)

    def skip(self) -> None:
        """Leave out the one that was given last, and what its sender has behind it."""
        if self._last is None:
            return
        chain, place = self._last
        self._last = None
        self.bytes_left += len(self._chains[chain][place].tx.raw) + RLP_OVERHEAD
        self.count_left += 1
