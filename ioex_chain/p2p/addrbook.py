"""The nodes that this node knows of, kept so that whoever tells many lies fills few places.

After Bitcoin Core's address manager and the study behind it (Heilman et al., 2015). An entry is a peer id at
an endpoint. Hearsay goes to the *new* table: the network groups of the teller and of the address choose the
bucket, so that one group of tellers reaches 64 of 1,024 buckets. What answered us goes to the *tried* table,
where one group reaches 8 of 256. A taken place is kept against hearsay; in the tried table the holder is
tested before it is evicted.

An id may be known at several endpoints and an endpoint by several ids, four untested ones at most: nobody can
push a node out of the book by telling lies about it. A handshake settles who is at an endpoint.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from ioex_chain.p2p.addrtable import DAY, MINUTE, Chance, Entry, Places, Table
from ioex_chain.p2p.groups import Reach, place_of
from ioex_chain.p2p.kept import KeptFileUnreadable, seal, unseal
from ioex_chain.p2p.messages import MAX_ADDRESSES, AddressRecord
from ioex_chain.p2p.types import Endpoint, PeerAddress, PeerId
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.codec import Reader, compact, sized
from ioex_chain.primitives.errors import DecodeError

MAX_FROM_SOURCE = 1_024
"""Untested entries that one host told us of."""
MAX_RIVALS = 4
"""Untested entries of one id, and of one endpoint."""
MAX_SHARE = 0.23
"""Of the book, that one sample gives away."""

_MAGIC, _VERSION = b"ioexaddr", 1
_MAX_ENTRIES = 81_920
_MAX_HOST = 255
_MAX_AHEAD = 10 * MINUTE
_OLD = 5 * DAY
"""Age that a record without a believable time is given."""
_HEARSAY = 7_200
"""Seconds by which a record ages when somebody else passes it on."""
_HORIZON = 30 * DAY
_FRESH = 4 * 3_600
"""A tried entry that answered within this time is not tested before it keeps its place."""
_TEST_WITHIN = 40 * MINUTE
_MAX_TESTS = 10
_MAX_DRAWS = 100


@dataclass(frozen=True, slots=True)
class KnownAddress:
    """An entry, as RPC shows it. Unix times; 0 for never."""

    address: PeerAddress
    seen: int
    services: int
    tried: bool
    success: int
    attempt: int
    failures: int
    source: str


@dataclass(frozen=True, slots=True)
class _Test:
    """A newcomer to the tried table waits for its place's holder to be tested."""

    newcomer: PeerAddress
    holder: PeerAddress
    since: int


class AddressBook:
    """The nodes that this node knows of. `secret` is 32 bytes that stay the same over restarts."""

    def __init__(
        self, chance: Chance, clock: Clock, own: PeerId, *, secret: bytes, accept_local: bool = False
    ) -> None:
        self._chance = chance
        self._clock = clock
        self._own = own
        self._places = Places(secret)
        self._accept_local = accept_local
        self._new, self._tried = Table(), Table()
        self._entries: dict[PeerAddress, Entry] = {}
        self._by_id: dict[PeerId, list[Entry]] = {}
        self._by_endpoint: dict[Endpoint, list[Entry]] = {}
        self._from: Counter[str] = Counter()
        """Entries of the new table by the host that told us."""
        self._tests: dict[tuple[int, int], _Test] = {}
        """By place in the tried table."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def tried(self) -> int:
        """How many answered us, of those that are kept."""
        return len(self._tried)

    def __contains__(self, address: object) -> bool:
        return address in self._entries

    def learn(self, records: Sequence[AddressRecord], source: Endpoint) -> int:
        """Take what `source` says of nodes, at most 1,000 records; give how many entries are new."""
        now, host = self._clock.now(), place_of(source.host).host
        return sum(self._learn(record, host, now) for record in records[:MAX_ADDRESSES])

    def attempted(self, address: PeerAddress) -> None:
        """Note that it is being dialled."""
        if (entry := self._entries.get(address)) is not None:
            entry.attempt = self._clock.now()

    def failed(self, address: PeerAddress) -> None:
        """Note that a dial or its handshake failed, for a reason that lies with the peer."""
        entry = self._entries.get(address)
        if entry is None:
            return
        entry.failures = min(entry.failures + 1, 255)
        entry.attempt = self._clock.now()
        if entry.in_tried and (entry.bucket, entry.slot) in self._tests:
            self._replace((entry.bucket, entry.slot))

    def succeeded(self, address: PeerAddress, services: int) -> None:
        """Note that this id completed a handshake at this endpoint; ends what others said of the endpoint."""
        entry = self._entries.get(address) or self._admit(address)
        if entry is None:
            return
        entry.seen = entry.success = entry.attempt = self._clock.now()
        entry.failures, entry.services = 0, services
        for rival in list(self._by_endpoint[address.endpoint]):
            if rival is not entry:
                self._drop(rival)
        if entry.in_tried:
            self._tests.pop((entry.bucket, entry.slot), None)
        else:
            self._promote(entry)

    def alive(self, address: PeerAddress) -> None:
        """Note that it is still connected; to be called when a connection ends, and now and then before."""
        entry = self._entries.get(address)
        if entry is not None and entry.success:
            entry.seen = entry.success = self._clock.now()
            if entry.in_tried:
                self._tests.pop((entry.bucket, entry.slot), None)

    def to_test(self) -> PeerAddress | None:
        """Give a holder of a tried place that a feeler should dial: somebody waits for the place."""
        now = self._clock.now()
        for place, test in list(self._tests.items()):
            if not 0 <= now - test.since < _TEST_WITHIN:
                self._replace(place)
        for test in self._tests.values():
            if not self._entries[test.holder].is_resting(now):
                return test.holder
        return None

    def choose(
        self, *, new_only: bool = False, accept: Callable[[PeerAddress], bool] = lambda _: True
    ) -> PeerAddress | None:
        """Draw an address to dial that `accept` takes, the tables with even chances; None when none is found.

        One whose last failure is fresh is not given, one that failed often is given less often.
        """
        now = self._clock.now()
        patience = 1.0
        for _ in range(_MAX_DRAWS if self._entries else 0):
            use_new = new_only or not len(self._tried) or (len(self._new) and self._chance.random() < 0.5)
            table = self._new if use_new else self._tried
            if not len(table):
                return None
            entry = table.draw(self._chance)
            if entry.is_resting(now) or not accept(entry.address):
                continue
            if self._chance.random() < entry.appeal * patience:
                return entry.address
            patience *= 1.2
        return None

    def sample(self, count: int) -> list[AddressRecord]:
        """Draw up to `count` records to pass on: at most 23 % of the book (but one), none terrible."""
        now = self._clock.now()
        pool = [entry for entry in self._entries.values() if not entry.is_terrible(now)]
        wanted = min(count, MAX_ADDRESSES, len(pool), max(1, int(MAX_SHARE * len(self._entries))))
        for at in range(wanted):
            other = at + int(self._chance.random() * (len(pool) - at))
            pool[at], pool[other] = pool[other], pool[at]
        return [AddressRecord(*entry.address, min(entry.seen, 0xFFFF_FFFF)) for entry in pool[:wanted]]

    def entries(self) -> list[KnownAddress]:
        """Give everything, in the order in which it came."""
        return [_show(entry) for entry in self._entries.values()]

    def encode(self) -> bytes:
        """Give the book's bytes; where entries sit is not among them."""
        body = b"".join(map(_encode_entry, self._entries.values()))
        return seal(_MAGIC, _VERSION, compact(len(self._entries)) + body)

    @classmethod
    def decode(
        cls,
        data: bytes,
        chance: Chance,
        clock: Clock,
        own: PeerId,
        *,
        secret: bytes,
        accept_local: bool = False,
    ) -> Self:
        """Read what `encode` gives. Raises KeptFileUnreadable."""
        book = cls(chance, clock, own, secret=secret, accept_local=accept_local)
        reader = Reader(unseal(_MAGIC, _VERSION, data))
        try:
            for _ in range(reader.compact(_MAX_ENTRIES)):
                entry, in_tried = _read_entry(reader)
                book._restore(entry, in_tried=in_tried)
            reader.finish()
        except (DecodeError, UnicodeDecodeError) as error:
            raise KeptFileUnreadable(f"not an address book: {error}") from error
        return book

    def _learn(self, record: AddressRecord, source: str, now: int) -> int:
        host = place_of(record.endpoint.host).host
        is_credible = 0 < record.seen <= now + _MAX_AHEAD
        seen = min(record.seen, now) if is_credible else now - _OLD
        seen -= _HEARSAY if host != source else 0
        address = PeerAddress(record.id, Endpoint(host, record.endpoint.port))
        if (known := self._entries.get(address)) is not None:
            known.seen = max(known.seen, seen)
            return 0
        if (
            now - seen > _HORIZON
            or self._from.get(source, 0) >= MAX_FROM_SOURCE
            or not self._is_welcome(address)
        ):
            return 0
        return int(self._seat_new(Entry(address, source, max(seen, 1)), now))

    def _is_welcome(self, address: PeerAddress) -> bool:
        host, port = address.endpoint
        if address.id == self._own or not 0 < port < 65_536:
            return False
        reach = place_of(host).reach
        return reach is Reach.ROUTABLE or (self._accept_local and reach is not Reach.NOWHERE)

    def _admit(self, address: PeerAddress) -> Entry | None:
        """Make an entry of a node that answered us, though the book does not know it."""
        if not self._is_welcome(address):
            return None
        now = self._clock.now()
        entry = Entry(address, address.endpoint.host, now)
        return entry if self._seat_new(entry, now) else None

    def _seat_new(self, entry: Entry, now: int) -> bool:
        """Seat an entry in the new table, unless its place is held by one that is no worse."""
        entry.bucket, entry.slot = self._places.new(entry.address, entry.source)
        holder = self._new.at(entry.bucket, entry.slot)
        if holder is not None and not holder.is_terrible(now):
            return False
        id_, endpoint = entry.address
        by_id, by_endpoint = self._by_id.get(id_, []), self._by_endpoint.get(endpoint, [])
        leaving = [_one_too_many(by_id, entry), _one_too_many(by_endpoint, entry)]
        if entry in leaving:
            return False
        for other in (holder, *leaving):
            if other is not None and other.address in self._entries:
                self._drop(other)
        self._new.put(entry)
        self._from[entry.source] += 1
        self._index(entry)
        return True

    def _index(self, entry: Entry) -> None:
        id_, endpoint = entry.address
        self._entries[entry.address] = entry
        self._by_id.setdefault(id_, []).append(entry)
        self._by_endpoint.setdefault(endpoint, []).append(entry)

    def _drop(self, entry: Entry) -> None:
        """Forget an entry."""
        id_, endpoint = entry.address
        self._unseat(entry)
        del self._entries[entry.address]
        self._by_id[id_].remove(entry)
        self._by_endpoint[endpoint].remove(entry)
        if not self._by_id[id_]:
            del self._by_id[id_]
        if not self._by_endpoint[endpoint]:
            del self._by_endpoint[endpoint]

    def _unseat(self, entry: Entry) -> None:
        if entry.in_tried:
            self._tried.remove(entry)
            self._tests.pop((entry.bucket, entry.slot), None)
            return
        self._new.remove(entry)
        self._from[entry.source] -= 1
        if not self._from[entry.source]:
            del self._from[entry.source]

    def _promote(self, entry: Entry) -> None:
        """Seat a proved entry in the tried table; if somebody sits there, have the holder tested first."""
        now = self._clock.now()
        place = self._places.tried(entry.address)
        holder = self._tried.at(*place)
        if holder is None:
            self._unseat(entry)
            self._seat_tried(entry, place)
        elif holder.is_terrible(now):
            self._swap(holder, entry)
        elif now - holder.success > _FRESH and place not in self._tests and len(self._tests) < _MAX_TESTS:
            self._tests[place] = _Test(entry.address, holder.address, now)

    def _seat_tried(self, entry: Entry, place: tuple[int, int]) -> None:
        entry.bucket, entry.slot = place
        entry.in_tried = True
        self._tried.put(entry)

    def _replace(self, place: tuple[int, int]) -> None:
        """Give a place whose holder failed its test, or was not tested in time, to the one that waits."""
        test = self._tests.pop(place)
        newcomer = self._entries.get(test.newcomer)
        if newcomer is not None and not newcomer.in_tried:
            self._swap(self._entries[test.holder], newcomer)

    def _swap(self, holder: Entry, newcomer: Entry) -> None:
        """Seat `newcomer` where `holder` sits in the tried table; that one becomes hearsay again."""
        place = (holder.bucket, holder.slot)
        self._drop(holder)
        self._unseat(newcomer)
        self._seat_tried(newcomer, place)
        holder.in_tried = False
        self._seat_new(holder, self._clock.now())

    def _restore(self, entry: Entry, *, in_tried: bool) -> None:
        """Seat an entry of a kept book; two may want one place when the secret changed."""
        if not self._is_welcome(entry.address) or entry.address in self._entries:
            return
        if in_tried and self._tried.at(*(place := self._places.tried(entry.address))) is None:
            self._seat_tried(entry, place)
            self._index(entry)
        else:
            self._seat_new(entry, self._clock.now())


def _one_too_many(rivals: list[Entry], newcomer: Entry) -> Entry | None:
    """Give which of an id's (or an endpoint's) untested entries has to go for `newcomer`, if any.

    One that failed goes first, then one of a source that gave several; else it is the newcomer itself.
    """
    untested = [entry for entry in rivals if not entry.in_tried]
    if len(untested) < MAX_RIVALS:
        return None
    told = Counter(entry.source for entry in untested)
    worst = max(untested, key=lambda entry: (entry.failures, told[entry.source], -entry.seen))
    return worst if worst.failures or told[worst.source] > 1 else newcomer


def _show(entry: Entry) -> KnownAddress:
    return KnownAddress(
        entry.address,
        entry.seen,
        entry.services,
        entry.in_tried,
        entry.success,
        entry.attempt,
        entry.failures,
        entry.source,
    )


def _encode_entry(entry: Entry) -> bytes:
    (id_, endpoint), times = entry.address, (entry.seen, entry.success, entry.attempt)
    return b"".join(
        (
            id_,
            sized(endpoint.host.encode()),
            endpoint.port.to_bytes(2, "little"),
            sized(entry.source.encode()[:_MAX_HOST]),
            *(time.to_bytes(8, "little") for time in times),
            entry.services.to_bytes(4, "little"),
            bytes((entry.failures, entry.in_tried)),
        )
    )


def _read_entry(reader: Reader) -> tuple[Entry, bool]:
    id_, host = PeerId(reader.take(32)), reader.sized(_MAX_HOST).decode()
    address = PeerAddress(id_, Endpoint(host, reader.uint16()))
    entry = Entry(address, reader.sized(_MAX_HOST).decode(), reader.uint64())
    entry.success, entry.attempt, entry.services = reader.uint64(), reader.uint64(), reader.uint32()
    entry.failures, in_tried = reader.uint8(), reader.uint8() == 1
    return entry, in_tried
