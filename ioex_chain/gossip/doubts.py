"""How much a peer may tell us that cannot be judged: a vote of an unknown set costs a check of who signed."""

from ioex_chain.p2p.rates import Rate


class Doubts:
    """One peer's budget. It begins full; what turns out to be right or wrong costs nothing."""

    __slots__ = ("_at", "_left", "_rate", "unread")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._left = rate.burst
        self._at = now
        self.unread = 0
        """Votes left unread since the peer was last held to account for them."""

    def may_ask(self, now: float) -> bool:
        """Whether one more is looked at; else it counts as unread."""
        self._left = min(self._rate.burst, self._left + max(0.0, now - self._at) * self._rate.per_second)
        self._at = now
        if self._left >= 1:
            return True
        self.unread += 1
        return False

    def spend(self) -> None:
        """Note that one was looked at in vain."""
        self._left -= 1

    def is_flood(self) -> bool:
        """Whether as many as the whole budget were left unread; counting begins anew then."""
        if self.unread < self._rate.burst:
            return False
        self.unread = 0
        return True
