"""What one peer is told of the pool: new transactions, in batches, and what it may ask for."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from ioex_chain.gossip.bounded import RollingSet
from ioex_chain.gossip.wire import PoolWire
from ioex_chain.p2p.chain_messages import MAX_TRANSACTION_IDS

KNOWN_IDS = 20_000
"""Hashes by peer that it is remembered to know."""


class Outbox:
    """New transactions wait here until the peer's next message; the pool as it was at first, behind them."""

    __slots__ = ("_at", "_catalogue", "_known", "_queue", "_sequence", "min_rate")

    def __init__(self) -> None:
        self.min_rate = 0
        """The peer's fee filter."""
        self._known = RollingSet(KNOWN_IDS)
        self._queue: dict[bytes, None] = {}
        self._catalogue: Sequence[bytes] = ()
        self._at = 0
        self._sequence = 0

    def __len__(self) -> int:
        """Count what waits."""
        return len(self._queue) + len(self._catalogue) - self._at

    def knows(self, id_: bytes) -> None:
        """Note that the peer has a transaction."""
        self._known.add(id_)
        self._queue.pop(id_, None)

    def offer(self, id_: bytes) -> None:
        """Announce a transaction with the next message, unless the peer has it."""
        if id_ not in self._known:
            self._queue[id_] = None

    def offer_again(self, id_: bytes) -> None:
        """Announce a transaction that the peer may have forgotten."""
        self._known.discard(id_)
        self._queue[id_] = None

    def offer_catalogue(self, ids: Sequence[bytes]) -> None:
        """Announce these too, whenever there is room; the list is shared, not copied."""
        self._catalogue, self._at = ids, 0

    def batch(self, pool: PoolWire) -> tuple[bytes, ...]:
        """Take out what the next message announces: what is still in the pool and pays the peer's rate."""
        taken = list(islice(self._queue, MAX_TRANSACTION_IDS))
        for id_ in taken:
            del self._queue[id_]
        ids = [id_ for id_ in taken if self._is_news(id_, pool)]
        while len(ids) < MAX_TRANSACTION_IDS and self._at < len(self._catalogue):
            id_ = self._catalogue[self._at]
            self._at += 1
            if self._is_news(id_, pool):
                ids.append(id_)
        return tuple(ids)

    def _is_news(self, id_: bytes, pool: PoolWire) -> bool:
        entry = pool.get(id_)
        if entry is None or id_ in self._known or not pool.pays(entry, self.min_rate):
            return False
        self._known.add(id_)
        self._sequence = max(self._sequence, pool.sequence(entry))
        return True

    def may_have(self, entry: Any, pool: PoolWire) -> bool:
        """Whether the peer may ask for an entry: what came after all that it was told of is not its business.

        So a peer cannot find out by asking what has just reached us, and from where.
        """
        return pool.sequence(entry) <= self._sequence or pool.entry_id(entry) in self._known
