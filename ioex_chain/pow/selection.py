"""Which pool transactions a block takes: the best-paying packages first, as far as they fit.

A package is a transaction with its unconfirmed ancestors that are not taken yet, so that a child pays for
its parent. The order is that of Bitcoin Core's block assembler: by the package's fee rate at each moment.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from ioex_chain.pow.packages import MempoolEntry, ancestors_through, in_order, with_descendants
from ioex_chain.pow.policy import RATE_BYTES
from ioex_chain.spec.model import PowSpec

COINBASE_RESERVE = 1_000
"""Bytes kept free for header, count and coinbase."""
AUXPOW_RESERVE = 4_096
"""Bytes kept free for the AuxPoW record of a merged-mined block."""
_GIVE_UP_AFTER = 1_000
"""Packages in a row that did not fit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be taken. Bytes of transactions, their count (no coinbase), their signature checks."""

    size: int
    count: int
    checks: int
    min_rate: int = 0
    """Units per 1,000 bytes below which a package is left out."""

    @classmethod
    def of(cls, spec: PowSpec, min_rate: int = 0) -> "Limits":
        """Give what a block of this network has room for."""
        return cls(
            spec.max_block_size - COINBASE_RESERVE - AUXPOW_RESERVE,
            spec.max_block_transactions - 1,
            spec.max_block_signatures,
            min_rate,
        )


def select(
    entries: Iterable[MempoolEntry], limits: Limits, first: MempoolEntry | None = None
) -> list[MempoolEntry]:
    """Give what a block takes, parents before children. Of equal packages the older goes first.

    `first`, a settlement, goes before all, whatever it pays.
    """
    ordered = sorted((-entry.mining_score, entry.sequence, entry) for entry in entries)
    selection = _Selection(limits)
    if first is not None:
        selection.take(first)
    return selection.run(ordered)


class _Selection:
    """One block being filled.

    `rests` holds (fee, size) of the packages that shrank because an ancestor was taken; `heap` orders them
    by (-score, sequence). An item whose score is no longer its entry's is passed over.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.taken: list[MempoolEntry] = []
        self.done: set[MempoolEntry] = set()
        """Taken, or found not to fit."""
        self.inside: set[MempoolEntry] = set()
        self.size = self.checks = self.misfits = 0
        self.rests: dict[MempoolEntry, tuple[int, int]] = {}
        self.heap: list[tuple[float, int]] = []
        self.by_sequence: dict[int, MempoolEntry] = {}

    def run(self, ordered: list[tuple[float, int, MempoolEntry]]) -> list[MempoolEntry]:
        """Fill the block from a list of (-score, sequence, entry), best first."""
        done, rests, end, position = self.done, self.rests, len(ordered), 0
        floor = -self.limits.min_rate / RATE_BYTES
        while len(self.taken) < self.limits.count and self.misfits < _GIVE_UP_AFTER:
            while position < end and (ordered[position][2] in done or ordered[position][2] in rests):
                position += 1
            shrunk = self._best_shrunk()
            if position == end and shrunk is None:
                break
            if shrunk is None or (position < end and ordered[position][:2] <= shrunk):
                score, _, entry = ordered[position]
                position += 1
            else:
                score, sequence = heapq.heappop(self.heap)
                entry = self.by_sequence[sequence]
            if score > floor:
                break
            self.take(entry)
        return self.taken

    def _best_shrunk(self) -> tuple[float, int] | None:
        heap = self.heap
        while heap:
            entry = self.by_sequence[heap[0][1]]
            if entry not in self.done and -heap[0][0] == self._score(entry):
                return heap[0]
            heapq.heappop(heap)
        return None

    def _score(self, entry: MempoolEntry) -> float:
        fee, size = self.rests[entry]
        return min(entry.fee / entry.size, fee / size)

    def take(self, entry: MempoolEntry) -> None:
        """Take an entry with those of its ancestors that are not inside yet, if they fit."""
        package = [entry]
        if entry.parents:
            package = in_order({entry, *ancestors_through(entry.parents)} - self.inside)
        size = sum([len(member.tx.raw) for member in package])
        checks = sum([member.checks for member in package])
        if (
            self.size + size > self.limits.size
            or self.checks + checks > self.limits.checks
            or len(self.taken) + len(package) > self.limits.count
        ):
            self.done.add(entry)
            self.misfits += 1
            return
        self.misfits = 0
        self.size += size
        self.checks += checks
        self.taken += package
        self.inside.update(package)
        self.done.update(package)
        for member in package:
            if member.children:
                self._shrink(member)

    def _shrink(self, member: MempoolEntry) -> None:
        for descendant in with_descendants(member.children) - self.done:
            fee, size = self.rests.get(descendant, (descendant.ancestor_fee, descendant.ancestor_size))
            self.rests[descendant] = fee - member.fee, size - member.size
            self.by_sequence[descendant.sequence] = descendant
            heapq.heappush(self.heap, (-self._score(descendant), descendant.sequence))
