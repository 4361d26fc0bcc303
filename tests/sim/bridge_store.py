"""A disk in memory that can lose the process at any write, and be copied to a second node."""

from collections.abc import Mapping

from chaingen.stores import Crashed

from ioex_chain.ledger.store import MemoryStore


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
        if self._left == 0:
            if self._applied:
                super().write(changes, sync)
            self._left = None
            raise Crashed
        super().write(changes, sync)

    def copy(self) -> "CrashingStore":
        """Give the same rows on another disk."""
        return CrashingStore(self._rows)
