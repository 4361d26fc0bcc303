"""Who keeps a place when places are few: eviction of inbound peers, a throttle on arrivals, kept anchors.

Eviction protects in several respects, after Bitcoin Core: an attacker has to be better than honest peers in
every one of them at once to have them evicted.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from ioex_chain.p2p.groups import household, is_loopback, network_group
from ioex_chain.p2p.kept import KeptFileUnreadable, seal, unseal
from ioex_chain.p2p.rates import Rate, TokenBucket
from ioex_chain.p2p.types import InvalidPeerUrl, PeerAddress
from ioex_chain.primitives.codec import Reader, compact, sized
from ioex_chain.primitives.errors import DecodeError

PROTECTED_GROUPS = 4
PROTECTED_PINGS = 8
PROTECTED_TRANSACTIONS = 4
PROTECTED_BLOCKS = 4
MAX_ANCHORS = 8

ARRIVALS = Rate(10 / 60, 20)
"""New links of one household: ten a minute, twenty at once."""
MAX_HOUSEHOLDS = 10_000

_NEVER = float("inf")
_MAGIC, _VERSION = b"ioexanch", 1
_MAX_URL = 400


@dataclass(frozen=True, slots=True)
class Candidate:
    """An inbound connection that may be evicted. Times in monotonic seconds."""

    number: int
    host: str
    established_at: float
    best_ping: float | None = None
    """Seconds; None before the first."""
    last_block: float | None = None
    """When it last gave us a block that we did not have; None for never."""
    last_transaction: float | None = None
    """When it last gave us a transaction that we took; None for never."""


def victim(candidates: Sequence[Candidate], secret: bytes) -> int | None:
    """Give the number of the connection to evict for a newcomer; None if all deserve to stay.

    Protected are: the oldest of four network groups that only `secret` (up to 64 bytes) tells; the eight
    quickest; the four that last gave a transaction; the four that last gave a block; of the others the older
    half. The youngest of the network group that has most of the rest goes.
    """
    left = _without(candidates, _group_elders(candidates, secret))
    left = _without(left, _best(left, lambda one: _or_never(one.best_ping), PROTECTED_PINGS))
    left = _without(left, _best(left, lambda one: _recent(one.last_transaction), PROTECTED_TRANSACTIONS))
    left = _without(left, _best(left, lambda one: _recent(one.last_block), PROTECTED_BLOCKS))
    left = _without(left, _best(left, lambda one: one.established_at, len(left) // 2))
    groups: dict[bytes, list[Candidate]] = {}
    for one in left:
        groups.setdefault(network_group(one.host), []).append(one)
    if not groups:
        return None
    crowd = max(groups.values(), key=lambda group: (len(group), max(map(_youth, group))))
    return max(crowd, key=_youth).number


def _group_elders(candidates: Sequence[Candidate], secret: bytes) -> list[Candidate]:
    elders: dict[bytes, Candidate] = {}
    for one in sorted(candidates, key=_youth):
        elders.setdefault(network_group(one.host), one)
    drawn = sorted(elders, key=lambda group: blake2b(group, key=secret, person=b"eviction").digest())
    return [elders[group] for group in drawn[:PROTECTED_GROUPS]]


def _best(candidates: Sequence[Candidate], rank: Callable[[Candidate], float], count: int) -> list[Candidate]:
    """Give the `count` of lowest rank; infinity ranks nobody."""
    ranked = [one for one in candidates if rank(one) < _NEVER]
    return sorted(ranked, key=lambda one: (rank(one), one.number))[:count]


def _without(candidates: Iterable[Candidate], protected: Iterable[Candidate]) -> list[Candidate]:
    kept = {one.number for one in protected}
    return [one for one in candidates if one.number not in kept]


def _or_never(value: float | None) -> float:
    return _NEVER if value is None else value


def _recent(moment: float | None) -> float:
    return _NEVER if moment is None else -moment


def _youth(one: Candidate) -> tuple[float, int]:
    return one.established_at, one.number


class InboundThrottle:
    """How often one household (an IPv4 address, an IPv6 /64) may begin a link; this machine as it likes."""

    def __init__(
        self, now: Callable[[], float], *, rate: Rate = ARRIVALS, limit: int = MAX_HOUSEHOLDS
    ) -> None:
        self._now, self._rate, self._limit = now, rate, limit
        self._buckets: dict[str, TokenBucket] = {}
        """The one that came last is at the end; the one that came longest ago is forgotten first."""

    def __len__(self) -> int:
        return len(self._buckets)

    def allows(self, host: str) -> bool:
        """Count an arrival, and tell whether it may go on."""
        if is_loopback(host):
            return True
        name, now = household(host), self._now()
        bucket = self._buckets.pop(name, None) or TokenBucket(self._rate, now)
        if len(self._buckets) >= self._limit:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[name] = bucket
        return bucket.take(1, now)


def encode_anchors(anchors: Sequence[PeerAddress]) -> bytes:
    """Give the file's bytes of the peers to dial first after a restart."""
    urls = [sized(anchor.url.encode()) for anchor in anchors[:MAX_ANCHORS]]
    return seal(_MAGIC, _VERSION, compact(len(urls)) + b"".join(urls))


def decode_anchors(data: bytes) -> tuple[PeerAddress, ...]:
    """Read what `encode_anchors` gives. Raises KeptFileUnreadable."""
    reader = Reader(unseal(_MAGIC, _VERSION, data))
    try:
        count = reader.compact(MAX_ANCHORS)
        anchors = tuple(PeerAddress.parse(reader.sized(_MAX_URL).decode()) for _ in range(count))
        reader.finish()
    except (DecodeError, UnicodeDecodeError, InvalidPeerUrl) as error:
        raise KeptFileUnreadable(f"not a list of anchors: {error}") from error
    return anchors
