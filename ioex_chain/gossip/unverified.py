"""Headers that the ledger took before it could check their seals, and who sent them."""

from collections.abc import Sequence
from typing import Any

from ioex_chain.gossip.wire import AnyLedger
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.primitives.types import BlockHash, display

MAX_WATCHED = 4_096
"""Above what any ledger keeps unverified."""


class Unverified:
    """Finds those that the ledger has forgotten, or given another seal, because their own was wrong."""

    def __init__(self, ledger: AnyLedger) -> None:
        self._ledger = ledger
        self._watched: dict[BlockHash, tuple[Entry[Any], int, Any]] = {}

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, entries: Sequence[Entry[Any]], number: int) -> None:
        """Watch entries that a peer sent first."""
        for entry in entries:
            self._watched.setdefault(entry.hash, (entry, number, entry.header))
        while len(self._watched) > MAX_WATCHED:
            del self._watched[next(iter(self._watched))]

    def forgotten(self) -> list[tuple[int, str]]:
        """Give what is forgotten now: who sent it, and what was wrong.

        The number is 0 for those that only stood on a wrong one, or on a branch that finality has cut off.
        """
        return [self._blame(*self._watched.pop(entry.hash)[:2]) for entry in self._gone()]

    def _gone(self) -> list[Entry[Any]]:
        found = []
        for hash_, (entry, _, header) in list(self._watched.items()):
            if entry.status.is_invalid and self._ledger.entry(hash_) is None:
                found.append(entry)
            elif entry.status.is_invalid or (not entry.status & Status.UNVERIFIED and entry.header is header):
                del self._watched[hash_]
        return found

    def exchanged(self) -> list[tuple[int, str]]:
        """Give who sent a header that is right now under the seal that another sent, and what was wrong."""
        found = []
        for hash_, (entry, number, header) in list(self._watched.items()):
            if entry.header is not header and not entry.status.is_invalid:
                del self._watched[hash_]
                found.append((number, _words(entry)))
        return found

    def _blame(self, entry: Entry[Any], number: int) -> tuple[int, str]:
        parent = self._ledger.entry(entry.header.parent_hash)
        floor = self._ledger.floor
        if parent is None or parent.status.is_invalid or parent.height < floor.height:
            return 0, ""
        if self._ledger.ancestor(parent, floor.height) is not floor:
            return 0, ""
        return number, _words(entry)


def _words(entry: Entry[Any]) -> str:
    return f"the seal of {display(entry.hash)}, looked at when its round was known, is wrong"
