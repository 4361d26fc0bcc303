"""Token buckets: how often something may happen, with room for bursts (docs/protocol.md section 9.2)."""

from typing import NamedTuple


class Rate(NamedTuple):
    """Tokens that come in a second, and the most that are saved up."""

    per_second: float
    burst: float


class TokenBucket:
    """Begins full; `now` is monotonic seconds."""

    __slots__ = ("_filled_at", "_rate", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._filled_at = now

    def take(self, tokens: float, now: float) -> bool:
        """Take so many tokens; False, and nothing is taken, when there are not enough."""
        waited = max(0.0, now - self._filled_at)
        self._tokens = min(self._rate.burst, self._tokens + waited * self._rate.per_second)
        self._filled_at = now
        if tokens > self._tokens:
            return False
        self._tokens -= tokens
        return True
