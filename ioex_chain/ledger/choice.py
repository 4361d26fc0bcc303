"""Which stored branch is the best chain.

The order is one function, `Choice.rank`: first the branches of the *anchor*, a block that finality prefers
(none on a chain of work), then most weight, then the engine's tie-break (first seen on a chain of work).
Among the branches whose bodies are all here and that hold no invalid block, the highest rank wins, within
three limits: it stands on the floor, it forks no deeper than `max_depth` below the present chain (unless an
operator approved it), and the undo records reach back to the fork.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic

from ioex_chain.ledger.index import Index
from ioex_chain.ledger.types import Entry, H, Status
from ioex_chain.primitives.types import BlockHash

Rank = tuple[bool, int, tuple[int, ...]]


class Choice(Generic[H]):
    """Keeps the branches that are better than the head, and says which of them is next."""

    def __init__(
        self,
        index: Index[H],
        floor: Entry[H],
        approved: Iterable[BlockHash],
        max_depth: int | None,
        tie_key: Callable[[Entry[H]], tuple[int, ...]],
        anchor: Entry[H] | None = None,
    ) -> None:
        self._index = index
        self._max_depth = max_depth
        self._tie_key = tie_key
        self.anchor = anchor
        """The block whose branches come before all others; None: there is none."""
        self._better: set[Entry[H]] = set()
        self._severed: set[BlockHash] = set()
        self.approved = set(approved)
        self.undo_from = 1
        """The lowest height whose undo record is kept; the fork must be at or above the block before."""
        self.floor = floor
        self.raise_floor(floor)
        self.refresh(index.head)

    def rank(self, entry: Entry[H]) -> Rank:
        """Give what a branch is preferred by, at its last block: higher is better."""
        on_anchor = self.anchor is None or self._descends(entry, self.anchor)
        return on_anchor, entry.weight, self._tie_key(entry)

    def raise_floor(self, floor: Entry[H]) -> None:
        """Cut off what does not descend from `floor`."""
        self.floor = floor
        self._severed.clear()
        for other in self._index.level(floor.height):
            if other is not floor:
                self._severed.add(other.hash)
                self._severed.update(entry.hash for entry in self._index.descendants(other))

    def stands_on_floor(self, entry: Entry[H]) -> bool:
        """Whether the entry is the floor or descends from it."""
        return entry.height >= self.floor.height and entry.hash not in self._severed

    def refresh(self, base: Entry[H]) -> None:
        """Find again what is better than `base`, the block that the choice falls back to."""
        self._better.clear()
        self.consider(self._index.in_memory(), base)

    def consider(self, entries: Iterable[Entry[H]], base: Entry[H]) -> None:
        """Take in entries that may have become candidates, and drop those that `base` has overtaken."""
        least = self.rank(base)
        self._better = {entry for entry in self._better if self.rank(entry) > least}
        self._better.update(
            entry
            for entry in entries
            if entry.sequence and not entry.status.is_invalid and self.rank(entry) > least
        )

    def discard(self, entries: Iterable[Entry[H]]) -> None:
        """Drop entries that were found invalid."""
        self._better.difference_update(entries)

    def best(self, base: Entry[H], within: Entry[H] | None = None) -> Entry[H]:
        """Give the best allowed entry, `base` if nothing is better.

        With `within` only it and its descendants count, and the depth limit does not: the caller has
        finality's word for it.
        """
        for entry in sorted(self._better, key=self.rank, reverse=True):
            if within is None:
                if self._is_allowed(entry, base):
                    return entry
            elif self._descends(entry, within):
                return entry
        return base

    def too_deep(self, base: Entry[H]) -> Iterator[Entry[H]]:
        """Give the better entries that the depth limit alone keeps out, best first."""
        for entry in sorted(self._better, key=self.rank, reverse=True):
            if self.stands_on_floor(entry) and not self._is_allowed(entry, base):
                yield entry

    def can_undo_to(self, fork: Entry[H]) -> bool:
        """Whether the undo records reach back to `fork`."""
        return fork.height >= self.undo_from - 1

    def _is_allowed(self, entry: Entry[H], base: Entry[H]) -> bool:
        if not self.stands_on_floor(entry):
            return False
        fork = self._index.fork(entry, base)
        if not self.can_undo_to(fork):
            return False
        if self._max_depth is None or base.height - fork.height <= self._max_depth:
            return True
        return any(self._is_approved(entry, hash_) for hash_ in self.approved)

    def _is_approved(self, entry: Entry[H], approved: BlockHash) -> bool:
        known = self._index.get(approved)
        return known is not None and self._descends(entry, known)

    def _descends(self, entry: Entry[H], from_: Entry[H]) -> bool:
        return entry.height >= from_.height and self._index.ancestor(entry, from_.height) is from_


def connectable(index: Index[H], entry: Entry[H]) -> list[Entry[H]]:
    """Give `entry` and the waiting blocks above it, in the order in which they are numbered.

    The parent's bodies are all here and `entry`'s own has just come. Siblings that waited go by hash, so
    that every run numbers them alike.
    """
    found = [entry]
    for parent in found:  # grows while it is walked
        waiting = (child for child in index.children(parent) if child.status & Status.BODY)
        found.extend(sorted(waiting, key=lambda child: child.hash))
    return found
