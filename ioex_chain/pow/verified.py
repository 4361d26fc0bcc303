"""Transactions whose witnesses were checked, so that a block made of known ones need not do it again."""


class VerifiedCache:
    """A bounded map from wtxid to signature checks; the oldest goes first. A `machine.VerifiedTransactions`.

    `capacity` ids take about 150 bytes each. Belongs to the ledger's thread.
    """

    def __init__(self, capacity: int = 150_000) -> None:
        self.capacity = capacity
        self._checks: dict[bytes, int] = {}

    def __contains__(self, wtxid: bytes, /) -> bool:
        return wtxid in self._checks

    def __len__(self) -> int:
        return len(self._checks)

    def get(self, wtxid: bytes, /) -> int | None:
        """Give the signature checks that a transaction costs; None if it is not known."""
        return self._checks.get(wtxid)

    def add(self, wtxid: bytes, checks: int) -> None:
        """Remember one whose every witness was checked, and what that costs."""
        known = self._checks
        if wtxid not in known:
            known[wtxid] = checks
            if len(known) > self.capacity:
                del known[next(iter(known))]
