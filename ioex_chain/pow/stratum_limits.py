"""What the Stratum server lets one connection, and one place, ask of it."""

from dataclasses import dataclass, field

from ioex_chain.pow.stratum_session import SessionRules


@dataclass(frozen=True, slots=True)
class StratumSettings:
    """Where the server listens and what it allows. Times in seconds."""

    host: str = "127.0.0.1"
    port: int = 3333
    """0 takes a free one."""
    tag: bytes = b"/ioex/"
    """Stands in every coinbase; at most 80 bytes."""
    session: SessionRules = field(default_factory=SessionRules)
    max_connections: int = 4096
    connects_per_second: float = 10.0
    connect_burst: float = 256.0
    """New connections of one IP address; this machine's own are not counted."""
    messages_per_second: float = 10_000.0
    message_burst: float = 20_000.0
    """Of one connection; one that sends more is read from more slowly. Where every hash is a share (devnet)
    a stock miner sends thousands, nearly all of them stale: they must pass before the next good one can."""
    write_buffer: int = 256 * 1024
    """Bytes that may wait for a miner that does not read, before it is dropped."""
    refresh: float = 30.0
    """How often miners get new fees and a new time on the same head, at the latest."""


class TokenBucket:
    """Allows `rate` things a second on average and `burst` at once."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, now

    def take(self, count: float, now: float) -> float:
        """Take `count`, on credit if need be; give the seconds until the credit is paid back."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - count
        self._at = now
        return max(0.0, -self._tokens / self._rate)

    def is_full(self, now: float) -> bool:
        """Whether nothing is remembered of what was taken."""
        return self._tokens + (now - self._at) * self._rate >= self._burst


class ConnectThrottle:
    """Counts new connections per address; what has rested is forgotten."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._buckets: dict[str, TokenBucket] = {}

    def allows(self, host: str, now: float) -> bool:
        """Whether one more connection from `host` is welcome now."""
        bucket = self._buckets.get(host)
        if bucket is None:
            bucket = self._buckets[host] = TokenBucket(self._rate, self._burst, now)
        if bucket.take(1, now) > 0:
            bucket.take(-1, now)
            return False
        return True

    def tidy(self, now: float) -> None:
        """Forget addresses that have rested."""
        for host in [host for host, bucket in self._buckets.items() if bucket.is_full(now)]:
            del self._buckets[host]


def is_this_machine(host: str) -> bool:
    """Whether an IP address is a loopback one."""
    return host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")
