"""Which of two branches is worth more to this node: the ledger's own order, as far as headers tell it."""

from typing import Any

from ioex_chain.gossip.wire import AnyLedger
from ioex_chain.ledger.types import Entry, Status

Rank = tuple[bool, int]
MAX_TIES = 4
"""Blocks of one height, ends of branches, that are kept when none of them is better than the head."""


class Preference:
    """Branches of the anchor come first, then the heavier ones.

    The anchor is the ledger's, or a higher block that finality prefers and whose bodies are still to come.
    With `has_ties` a branch that is just as good is worth having: the ledger may prefer it.
    """

    def __init__(self, ledger: AnyLedger, has_ties: bool = False) -> None:
        self._ledger = ledger
        self._has_ties = has_ties
        self._wanted: Entry[Any] | None = None

    def want(self, entry: Entry[Any]) -> None:
        """Prefer the branches of a block from now on, if it is the highest such block."""
        anchor = self.anchor
        if anchor is None or entry.height > anchor.height:
            self._wanted = entry

    @property
    def anchor(self) -> Entry[Any] | None:
        """The block whose branches come first; None: there is none."""
        known, wanted = self._ledger.anchor, self._wanted
        if (
            wanted is None
            or wanted.status.is_invalid
            or (known is not None and known.height >= wanted.height)
        ):
            return known
        return wanted

    def rank(self, entry: Entry[Any]) -> Rank:
        """Give what an entry's branch is preferred by: higher is better."""
        anchor = self.anchor
        if anchor is None:
            return True, entry.weight
        on_anchor = entry.height >= anchor.height and self._ledger.ancestor(entry, anchor.height) is anchor
        return on_anchor, entry.weight

    def is_better(self, one: Entry[Any], other: Entry[Any]) -> bool:
        """Whether one entry's branch is worth more than another's."""
        if self.anchor is None:
            return one.weight > other.weight
        return self.rank(one) > self.rank(other)

    def is_worth_having(self, one: Entry[Any], head: Entry[Any]) -> bool:
        """Whether the blocks of a branch are worth asking for, with this head."""
        if self.is_better(one, head):
            return True
        return self._has_ties and one is not head and self.rank(one) == self.rank(head) and self._is_rare(one)

    def _is_rare(self, entry: Entry[Any]) -> bool:
        """Whether few blocks of its height are here: a producer may seal any number for its slot."""
        tips = self._ledger.tips()
        return sum(tip.height == entry.height and bool(tip.status & Status.BODY) for tip in tips) < MAX_TIES
