"""Headers that the ledger took before it could check their seals, and who sent them."""

from collections.abc import Sequence
from typing import Any

from ioex_chain.gossip.wire import AnyLedger
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.primitives.types import BlockHash, display

MAX_WATCHED = 4_096
"""Above what any ledger keeps unverified."""


class Unverified:
    """Finds those that the ledger has forgotten because of a wrong seal."""

    def __init__(self, ledger: AnyLedger) -> None:
        self._ledger = ledger
        self._watched: dict[BlockHash, tuple[Entry[Any], int]] = {}

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, entries: Sequence[Entry[Any]], number: int) -> None:
        """Watch entries that a peer sent first."""
        for entry in entries:
            self._watched.setdefault(entry.hash, (entry, number))
        while len(self._watched) > MAX_WATCHED:
            del self._watched[next(iter(self._watched))]

    def forgotten(self) -> list[tuple[int, str]]:
        """Give what is forgotten now: who sent it, and what was wrong.

        The number is 0 for those that only stood on a wrong one, or on a branch that finality has cut off.
        """
        found: list[tuple[int, str]] = []
        for hash_, (entry, number) in list(self._watched.items()):
            if entry.status.is_invalid:
                del self._watched[hash_]
                if self._ledger.entry(hash_) is None:
                    found.append(self._blame(entry, number))
            elif not entry.status & Status.UNVERIFIED:
                del self._watched[hash_]
        return found

    def _blame(self, entry: Entry[Any], number: int) -> tuple[int, str]:
        parent = self._ledger.entry(entry.header.parent_hash)
        floor = self._ledger.floor
        if parent is None or parent.status.is_invalid or parent.height < floor.height:
            return 0, ""
        if self._ledger.ancestor(parent, floor.height) is not floor:
            return 0, ""
        return number, f"the seal of {display(entry.hash)}, looked at when its round was known, is wrong"
