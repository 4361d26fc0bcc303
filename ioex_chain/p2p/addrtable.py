"""What the address book is made of: entries, and a table of buckets with a keyed place for each entry."""

from functools import lru_cache
from hashlib import blake2b
from typing import Protocol

from ioex_chain.p2p.groups import network_group
from ioex_chain.p2p.types import PeerAddress

NEW_BUCKETS = 1_024
TRIED_BUCKETS = 256
BUCKET_SIZE = 64
BUCKETS_PER_SOURCE_GROUP = 64
"""New buckets that all who tell us of addresses from one network group can reach."""
BUCKETS_PER_GROUP = 8
"""Tried buckets that all addresses of one network group can reach."""

MINUTE, DAY = 60, 86_400
_HORIZON = 30 * DAY
_MAX_FAILURES_UNPROVED = 3
_MAX_FAILURES = 10
_PROVED_FOR = 7 * DAY
_FIRST_WAIT, _LONGEST_WAIT = 5, 300


class Chance(Protocol):
    """A source of randomness: `random.Random`, or the system's."""

    def random(self) -> float:
        """Give a number in [0, 1)."""
        ...

    def expovariate(self, lambd: float) -> float:
        """Give an exponentially distributed number with mean 1/lambd."""
        ...


class Entry:
    """A peer at an endpoint, and how it went with it. Unix times; 0 for never."""

    __slots__ = (
        "address",
        "attempt",
        "bucket",
        "failures",
        "in_tried",
        "seen",
        "services",
        "slot",
        "source",
        "success",
    )

    def __init__(self, address: PeerAddress, source: str, seen: int) -> None:
        self.address = address
        self.source = source
        """Host of the peer that told us first."""
        self.seen = seen
        self.services = 0
        self.success = 0
        """The last handshake that it completed with us."""
        self.attempt = 0
        """The last dial."""
        self.failures = 0
        """Failed dials since the last success."""
        self.in_tried = False
        self.bucket = self.slot = -1

    def is_terrible(self, now: int) -> bool:
        """Tell whether it is worth no place and no mention: long not seen, or failing."""
        if 0 <= now - self.attempt < MINUTE:
            return False
        if now - self.seen > _HORIZON:
            return True
        if not self.success:
            return self.failures >= _MAX_FAILURES_UNPROVED
        return self.failures >= _MAX_FAILURES and now - self.success > _PROVED_FOR

    def is_resting(self, now: int) -> bool:
        """Tell whether its last failure is too fresh: 5 s for the first, doubling up to 5 minutes."""
        if not self.failures:
            return False
        return 0 <= now - self.attempt < min(_FIRST_WAIT << min(self.failures - 1, 10), _LONGEST_WAIT)

    @property
    def appeal(self) -> float:
        """Give the probability with which a draw of it stands: two thirds for each failure, up to eight."""
        return 0.66 ** min(self.failures, 8)


class Table:
    """Entries by bucket and slot. A draw takes a bucket first, so a crowd in few buckets gains nothing."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[int, Entry]] = {}
        self._filled: list[int] = []
        self._where: dict[int, int] = {}
        """Position in `_filled` by bucket."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def at(self, bucket: int, slot: int) -> Entry | None:
        """Give who holds a place."""
        return self._rows.get(bucket, {}).get(slot)

    def put(self, entry: Entry) -> None:
        """Seat an entry at its `bucket` and `slot`, which are free."""
        row = self._rows.get(entry.bucket)
        if row is None:
            row = self._rows[entry.bucket] = {}
            self._where[entry.bucket] = len(self._filled)
            self._filled.append(entry.bucket)
        row[entry.slot] = entry
        self._count += 1

    def remove(self, entry: Entry) -> None:
        """Free an entry's place."""
        row = self._rows[entry.bucket]
        del row[entry.slot]
        self._count -= 1
        if not row:
            del self._rows[entry.bucket]
            at, last = self._where.pop(entry.bucket), self._filled.pop()
            if last != entry.bucket:
                self._filled[at] = last
                self._where[last] = at

    def draw(self, chance: Chance) -> Entry:
        """Draw a filled bucket, then an entry of it; the table is not empty."""
        row = self._rows[self._filled[int(chance.random() * len(self._filled))]]
        return list(row.values())[int(chance.random() * len(row))]


class Places:
    """Where an entry sits: by a hash that only this node can compute."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._new_bucket = lru_cache(maxsize=8_192)(self._find_new_bucket)

    def new(self, address: PeerAddress, source: str) -> tuple[int, int]:
        """Give bucket and slot in the new table, by the groups of the source and of the address."""
        bucket = self._new_bucket(network_group(source), network_group(address.endpoint.host))
        return bucket, self._slot(b"new", bucket, address)

    def tried(self, address: PeerAddress) -> tuple[int, int]:
        """Give bucket and slot in the tried table, by the group of the address."""
        part = (self._hash(b"part", _name(address)) % BUCKETS_PER_GROUP).to_bytes(1, "little")
        bucket = self._hash(b"tried", network_group(address.endpoint.host), part) % TRIED_BUCKETS
        return bucket, self._slot(b"tried", bucket, address)

    def _find_new_bucket(self, source_group: bytes, group: bytes) -> int:
        part = self._hash(b"share", group, source_group) % BUCKETS_PER_SOURCE_GROUP
        return self._hash(b"new", source_group, part.to_bytes(1, "little")) % NEW_BUCKETS

    def _slot(self, table: bytes, bucket: int, address: PeerAddress) -> int:
        return self._hash(table, bucket.to_bytes(2, "little"), _name(address)) % BUCKET_SIZE

    def _hash(self, purpose: bytes, first: bytes, second: bytes = b"") -> int:
        data = purpose + len(first).to_bytes(2, "little") + first + second
        return int.from_bytes(blake2b(data, digest_size=8, key=self._secret).digest(), "little")


def _name(address: PeerAddress) -> bytes:
    return address.id + f"{address.endpoint.port} {address.endpoint.host}".encode()
