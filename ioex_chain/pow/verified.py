"""Transactions whose signatures were verified, so that a block made of known ones need not do it again."""


class VerifiedCache:
    """A bounded set of wtxids; it implements `machine.VerifiedTransactions`.

    Two generations: when the younger is half of `capacity`, the older is forgotten at once. About 100 bytes
    an id. Belongs to the ledger's thread.
    """

    def __init__(self, capacity: int = 300_000) -> None:
        self.capacity = capacity
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def __contains__(self, wtxid: bytes, /) -> bool:
        return wtxid in self._young or wtxid in self._old

    def __len__(self) -> int:
        return len(self._young) + len(self._old - self._young)

    def add(self, wtxid: bytes) -> None:
        """Remember one whose every signature verified."""
        self._young.add(wtxid)
        if len(self._young) * 2 >= self.capacity:
            self._old, self._young = self._young, set()
