"""Which of two branches is worth more to this node: the ledger's own order, as far as headers tell it."""

from typing import Any

from ioex_chain.gossip.wire import AnyLedger
from ioex_chain.ledger.types import Entry

Rank = tuple[bool, int]


class Preference:
    """Branches of the anchor come first, then the heavier ones.

    The anchor is the ledger's, or a higher block that finality prefers and whose bodies are still to come.
    """

    def __init__(self, ledger: AnyLedger) -> None:
        self._ledger = ledger
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
