"""Transactions whose parents are not known yet: kept for a while, few, and no peer's more than its share."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import OutPoint

MAX_ORPHANS = 100
MAX_ORPHAN_BYTES = 100_000
MAX_PARENTS = 25
"""No transaction with more unconfirmed parents fits the pool's limits."""
LIFETIME = 20 * 60.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A transaction that waits: who sent it, the txids that it lacks, when it came (monotonic seconds)."""

    tx: Transaction
    peer: int
    parents: tuple[bytes, ...]
    since: float


class Orphanage:
    """At most MAX_ORPHANS orphans, by wtxid and by what they spend; the largest holder loses its oldest."""

    def __init__(self, limit: int = MAX_ORPHANS) -> None:
        self._limit = limit
        self._orphans: dict[bytes, Orphan] = {}
        self._txids: Counter[bytes] = Counter()
        self._spenders: dict[OutPoint, dict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._orphans)

    def __contains__(self, wtxid: bytes, /) -> bool:
        return wtxid in self._orphans

    def get(self, wtxid: bytes) -> Orphan | None:
        """Give an orphan."""
        return self._orphans.get(wtxid)

    def has_txid(self, txid: bytes) -> bool:
        """Whether an orphan has this txid."""
        return self._txids[txid] > 0

    def all(self) -> list[Orphan]:
        """Give all, oldest first."""
        return list(self._orphans.values())

    def add(self, orphan: Orphan) -> bool:
        """Keep an orphan; False if it is too large, or lacks too many parents."""
        tx = orphan.tx
        if tx.size > MAX_ORPHAN_BYTES or len(orphan.parents) > MAX_PARENTS:
            return False
        if tx.wtxid in self._orphans:
            return True
        self._orphans[tx.wtxid] = orphan
        self._txids[tx.txid] += 1
        for item in tx.inputs:
            self._spenders.setdefault(item.outpoint, {})[tx.wtxid] = None
        while len(self._orphans) > self._limit:
            self.remove(self._to_evict())
        return tx.wtxid in self._orphans

    def _to_evict(self) -> bytes:
        counts = Counter(orphan.peer for orphan in self._orphans.values())
        most = max(counts.values())
        return next(wtxid for wtxid, orphan in self._orphans.items() if counts[orphan.peer] == most)

    def remove(self, wtxid: bytes) -> Orphan | None:
        """Forget an orphan and give it, if there is one."""
        orphan = self._orphans.pop(wtxid, None)
        if orphan is None:
            return None
        tx = orphan.tx
        self._txids[tx.txid] -= 1
        if not self._txids[tx.txid]:
            del self._txids[tx.txid]
        for item in tx.inputs:
            spenders = self._spenders[item.outpoint]
            spenders.pop(wtxid, None)
            if not spenders:
                del self._spenders[item.outpoint]
        return orphan

    def take_children(self, tx: Transaction) -> list[Orphan]:
        """Remove and give the orphans that spend an output of `tx`."""
        if not self._orphans:
            return []
        found: dict[bytes, None] = {}
        for index in range(len(tx.outputs)):
            found.update(self._spenders.get(tx.outpoint(index), {}))
        return self._take(list(found))

    def take_all(self) -> list[Orphan]:
        """Remove and give all, oldest first."""
        return self._take(list(self._orphans))

    def _take(self, wtxids: Sequence[bytes]) -> list[Orphan]:
        return [orphan for wtxid in wtxids if (orphan := self.remove(wtxid))]

    def forget_peer(self, peer: int) -> None:
        """Drop what a peer sent."""
        for wtxid in [wtxid for wtxid, orphan in self._orphans.items() if orphan.peer == peer]:
            self.remove(wtxid)

    def expire(self, now: float) -> None:
        """Drop what waited too long."""
        for wtxid in [w for w, orphan in self._orphans.items() if orphan.since + LIFETIME <= now]:
            self.remove(wtxid)
