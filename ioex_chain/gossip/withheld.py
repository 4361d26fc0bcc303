"""Branches whose next block nobody gives: how long each has been waiting for it."""

from collections.abc import Iterator
from typing import Any

from ioex_chain.gossip.preference import Preference
from ioex_chain.gossip.wire import AnyLedger
from ioex_chain.ledger.types import Entry
from ioex_chain.primitives.types import BlockHash

PATIENCE = 120.0
"""Seconds that a branch may wait for its next block and keep us waiting: a large one on a slow line."""


class Withheld:
    """Watches the branches that are better than the head, by the lowest block that each lacks."""

    def __init__(self, ledger: AnyLedger, preference: Preference) -> None:
        self._ledger = ledger
        self._preference = preference
        self._since: dict[BlockHash, float] = {}

    def look(self, now: float, height: int) -> bool:
        """Whether all better branches that end above `height` lack a block that has not come for PATIENCE."""
        head = self._ledger.head
        tips = [
            tip
            for tip in self._ledger.tips()
            if tip.height > height and not tip.status.is_invalid and self._preference.is_better(tip, head)
        ]
        missing = set(self._missing(tips))
        self._since = {hash_: self._since.get(hash_, now) for hash_ in missing}
        if not tips or any(tip.sequence for tip in tips):  # what is here has only to be connected
            return False
        return all(now - since >= PATIENCE for since in self._since.values())

    def _missing(self, tips: list[Entry[Any]]) -> Iterator[BlockHash]:
        """Give the lowest block without body of each branch, each once."""
        seen: set[BlockHash] = set()
        for tip in tips:
            at: Entry[Any] | None = tip
            while at is not None and not at.sequence and at.hash not in seen:
                seen.add(at.hash)
                lowest, at = at.hash, at.parent
                if at is None or at.sequence:
                    yield lowest
