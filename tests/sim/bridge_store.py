"""A disk in memory that can lose the process at any write, and be copied to a second node."""

from bisect import bisect_left, insort
from collections.abc import Mapping

from chaingen.stores import Crashed

from ioex_chain.ledger.store import MemoryStore

WINDOW = 160
"""Entries below the head that a ledger keeps in memory: so few that histories leave them behind."""


class CrashingStore(MemoryStore):
    """After `arm(n, applied)` the n-th write from now on raises Crashed, before or after it is applied."""

    def __init__(self, rows: Mapping[bytes, bytes] | None = None) -> None:
        super().__init__(rows)
        self._left: int | None = None
        self._applied = False

    def arm(self, writes: int, *, applied: bool) -> None:
        """Crash at write number `writes` (1 is the next one)."""
        self._left, self._applied = writes, applied

    def disarm(self) -> None:
        """Crash no more."""
        self._left = None

    def write(self, changes: Mapping[bytes, bytes | None], sync: bool = True) -> None:
        """As MemoryStore, but for the crash."""
        if self._left is not None:
            self._left -= 1
        if self._left != 0 or self._applied:
            self._apply(changes, sync)
        if self._left == 0:
            self._left = None
            raise Crashed

    def _apply(self, changes: Mapping[bytes, bytes | None], sync: bool) -> None:
        """Write, and keep the sorted keys sorted instead of sorting them again for the next scan."""
        keys, had = self._keys, {key for key in changes if key in self._rows}
        super().write(changes, sync)
        if keys is None:
            return
        for key, value in changes.items():
            if value is None and key in had:
                del keys[bisect_left(keys, key)]
            elif value is not None and key not in had:
                insort(keys, key)
        self._keys = keys

    def copy(self) -> "CrashingStore":
        """Give the same rows on another disk."""
        return CrashingStore(self._rows)
