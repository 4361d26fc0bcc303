"""What a full pool drops first: the cheapest queued ones, then the cheapest last pending ones of a sender."""

import heapq
from collections.abc import Mapping

from ioex_chain.dpos.mempool_queue import SenderQueue
from ioex_chain.dpos.mempool_types import PooledTransaction, Score, score

_Item = tuple[Score, int, PooledTransaction]
_SLACK = 10_000


class EvictionOrder:
    """Finds the cheapest; of equals the latest.

    It is built when it is first asked, so that a pool with room pays nothing. Items are not taken out when
    they cease to hold, but passed over when they come up.
    """

    def __init__(self, queues: Mapping[bytes, SenderQueue]) -> None:
        self._queues = queues
        self._base_fee = 0
        self._tails: list[_Item] | None = None
        self._queued: list[_Item] = []
        self._most = 0

    def reset(self) -> None:
        """Forget all: the base fee is another, or much has changed."""
        self._tails = None
        self._queued = []

    def changed(self, queue: SenderQueue, queued: PooledTransaction | None = None) -> None:
        """Note that a queue may have another tail, or one queued more."""
        if self._tails is None:
            return
        if len(self._tails) + len(self._queued) > self._most:
            self.reset()
            return
        tail = queue.tail
        if tail is not None:
            heapq.heappush(self._tails, (tail.floor, -tail.sequence, tail))
        if queued is not None:
            heapq.heappush(self._queued, self._queued_item(queued))

    def _queued_item(self, entry: PooledTransaction) -> _Item:
        return (score(entry, self._base_fee), -entry.sequence, entry)

    def _build(self, base_fee: int) -> list[_Item]:
        self._base_fee = base_fee
        tails: list[_Item] = []
        for queue in self._queues.values():
            queue.rescore(base_fee)
            tail = queue.tail
            if tail is not None:
                tails.append((tail.floor, -tail.sequence, tail))
            self._queued += map(self._queued_item, queue.queued())
        heapq.heapify(tails)
        heapq.heapify(self._queued)
        self._tails = tails
        self._most = 2 * (len(tails) + len(self._queued)) + _SLACK
        return tails

    def cheapest_queued(self, base_fee: int) -> PooledTransaction | None:
        """Give the cheapest queued transaction; None if there is none."""
        if self._tails is None:
            self._build(base_fee)
        while self._queued:
            entry = self._queued[0][2]
            queue = self._holder(entry)
            if queue is not None and not queue.is_pending(entry):
                return entry
            heapq.heappop(self._queued)
        return None

    def cheapest_tail(self, base_fee: int) -> PooledTransaction | None:
        """Give the last pending one of the sender whose chain is worth least; None if there is none."""
        tails = self._tails if self._tails is not None else self._build(base_fee)
        while tails:
            floor, _, entry = tails[0]
            queue = self._holder(entry)
            if queue is not None and queue.tail is entry and entry.floor == floor:
                return entry
            heapq.heappop(tails)
        return None

    def _holder(self, entry: PooledTransaction) -> SenderQueue | None:
        queue = self._queues.get(entry.sender)
        if queue is None or queue.txs.get(entry.tx.nonce) is not entry:
            return None
        return queue
