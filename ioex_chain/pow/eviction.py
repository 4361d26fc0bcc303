"""What a full pool drops first, and the fee rate that it asks for afterwards."""

import heapq

from ioex_chain.pow.packages import MempoolEntry, PackageGraph
from ioex_chain.pow.policy import RATE_BYTES, Policy
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.types import TxHash

_DECAY_EVERY = 10
"""Seconds between two looks at the clock that lower the rate."""


class EvictionQueue:
    """Finds the entry with the lowest `keeping_score` without keeping a sorted index.

    A heap of (score, -sequence, id): an item whose entry is gone, or whose score has risen, is put right
    when it comes up. Only a score that falls needs a new item at once.
    """

    def __init__(self, graph: PackageGraph) -> None:
        self._graph = graph
        self._heap: list[tuple[float, int, TxHash]] = []

    def push(self, entry: MempoolEntry) -> None:
        """Take in a new entry, or one whose score may have fallen."""
        heapq.heappush(self._heap, (entry.keeping_score, -entry.sequence, entry.txid))
        if len(self._heap) > 4 * len(self._graph) + 1_000:
            self._heap = [(item.keeping_score, -item.sequence, item.txid) for item in self._graph]
            heapq.heapify(self._heap)

    def lowest(self) -> MempoolEntry | None:
        """Give the entry that the pool can best do without; of equals the newest."""
        heap = self._heap
        while heap:
            score, order, txid = heap[0]
            entry = self._graph.get(txid)
            if entry is None or -order != entry.sequence:
                heapq.heappop(heap)
            elif entry.keeping_score > score:
                heapq.heapreplace(heap, (entry.keeping_score, order, txid))
            else:
                return entry
        return None


class RisingMinimum:
    """The fee rate that the pool asks for after it had to drop something, in units per 1,000 bytes.

    It rises to what was dropped plus one increment. From the next block on it halves every
    `policy.min_rate_half_life` seconds, twice as fast below half of the cap and four times below a
    quarter, and ends at half an increment.
    """

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._rate = 0.0
        self._since = clock.now()
        self._block_seen = False

    def evicted(self, fee: int, size: int) -> None:
        """Note that a package of this fee and size was dropped."""
        rate = fee * RATE_BYTES / size + self._policy.incremental_rate
        if rate > self._rate:
            self._rate = rate
            self._block_seen = False

    def block(self) -> None:
        """Note that a block came: from now on the rate falls."""
        if not self._block_seen:
            self._block_seen = True
            self._since = self._clock.now()

    def rate(self, usage: int) -> int:
        """Give the rate that a pool of this usage asks for now; 0 for none."""
        if self._rate and self._block_seen:
            self._decay(usage)
        return round(self._rate)

    def _decay(self, usage: int) -> None:
        now = self._clock.now()
        if now < self._since + _DECAY_EVERY:
            return
        half_life = self._policy.min_rate_half_life
        if usage < self._policy.max_usage / 4:
            half_life //= 4
        elif usage < self._policy.max_usage / 2:
            half_life //= 2
        self._rate *= 0.5 ** ((now - self._since) / max(1, half_life))
        self._since = now
        if self._rate < self._policy.incremental_rate / 2:
            self._rate = 0.0
