"""What one peer is told of the pool: new transactions, in batches, and what it may ask for."""

from collections.abc import Sequence
from itertools import islice

from ioex_chain.gossip.bounded import RollingSet
from ioex_chain.p2p.chain_messages import MAX_TRANSACTION_IDS
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.packages import MempoolEntry
from ioex_chain.pow.policy import fee_at

KNOWN_IDS = 20_000
"""Hashes by peer that it is remembered to know."""


class Outbox:
    """New transactions wait here until the peer's next message; the pool as it was at first, behind them."""

    __slots__ = ("_at", "_catalogue", "_known", "_queue", "_sequence", "min_rate")

    def __init__(self) -> None:
        self.min_rate = 0
        """The peer's fee filter in units per 1,000 bytes."""
        self._known = RollingSet(KNOWN_IDS)
        self._queue: dict[bytes, None] = {}
        self._catalogue: Sequence[bytes] = ()
        self._at = 0
        self._sequence = 0

    def __len__(self) -> int:
        """Count what waits."""
        return len(self._queue) + len(self._catalogue) - self._at

    def knows(self, wtxid: bytes) -> None:
        """Note that the peer has a transaction."""
        self._known.add(wtxid)
        self._queue.pop(wtxid, None)

    def offer(self, wtxid: bytes) -> None:
        """Announce a transaction with the next message, unless the peer has it."""
        if wtxid not in self._known:
            self._queue[wtxid] = None

    def offer_again(self, wtxid: bytes) -> None:
        """Announce a transaction that the peer may have forgotten."""
        self._known.discard(wtxid)
        self._queue[wtxid] = None

    def offer_catalogue(self, wtxids: Sequence[bytes]) -> None:
        """Announce these too, whenever there is room; the list is shared, not copied."""
        self._catalogue, self._at = wtxids, 0

    def batch(self, pool: Mempool) -> tuple[bytes, ...]:
        """Take out what the next message announces: what is still in the pool and pays the peer's rate."""
        taken = list(islice(self._queue, MAX_TRANSACTION_IDS))
        for wtxid in taken:
            del self._queue[wtxid]
        ids = [wtxid for wtxid in taken if self._is_news(wtxid, pool)]
        while len(ids) < MAX_TRANSACTION_IDS and self._at < len(self._catalogue):
            wtxid = self._catalogue[self._at]
            self._at += 1
            if self._is_news(wtxid, pool):
                ids.append(wtxid)
        return tuple(ids)

    def _is_news(self, wtxid: bytes, pool: Mempool) -> bool:
        entry = pool.get_by_wtxid(wtxid)
        if entry is None or wtxid in self._known or entry.fee < fee_at(self.min_rate, entry.size):
            return False
        self._known.add(wtxid)
        self._sequence = max(self._sequence, entry.sequence)
        return True

    def may_have(self, entry: MempoolEntry) -> bool:
        """Whether the peer may ask for an entry: what came after all that it was told of is not its business.

        So a peer cannot find out by asking what has just reached us, and from where.
        """
        return entry.sequence <= self._sequence or entry.wtxid in self._known
