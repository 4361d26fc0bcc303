"""Which transactions a producer tries, in which order: best paid work first, each sender's by nonce."""

import heapq
from collections.abc import Iterable, Iterator, Sequence

from ioex_chain.dpos.mempool_types import HEAVIEST, LIGHT, PooledTransaction, worth
from ioex_chain.evm.types import Transaction

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
        if entry.tx.max_fee < self._base_fee:
            return None
        return -worth(entry, self._base_fee), entry.sequence, chain, place

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
        self._take_back()

    def heavier(self, times: int) -> None:
        """Give the one that was given last again where it belongs: it needs `times` its gas of execution gas.

        The pool remembers it, in powers of two: so each is tried in vain a few times at most.
        """
        last = self._take_back()
        if last is None:
            return
        entry = self._chains[last[0]][last[1]]
        while entry.times < HEAVIEST:
            entry.times *= 2
            if entry.times >= times:
                break
        item = self._item(*last)
        if item is not None:
            heapq.heappush(self._heads, item)

    def _take_back(self) -> tuple[int, int] | None:
        last, self._last = self._last, None
        if last is not None:
            self.bytes_left += len(self._chains[last[0]][last[1]].tx.raw) + RLP_OVERHEAD
            self.count_left += 1
        return last


class Offers(Iterator[Transaction]):
    """The transactions of a selection, for who fills a block and says what became of each."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self.times = LIGHT
        """Times its gas that the execution gas of the last one may be."""

    def __next__(self) -> Transaction:
        entry = next(self._selection)
        self.times = entry.times
        return entry.tx

    def skip(self) -> None:
        """Leave out the last one, and what its sender has behind it."""
        self._selection.skip()

    def heavier(self, times: int) -> None:
        """Give the last one again where it belongs: it needs `times` its gas of execution gas."""
        self._selection.heavier(times)
