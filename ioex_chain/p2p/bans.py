"""Who may not connect: peer ids, addresses and subnets, each for a time."""

import ipaddress
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Self

from ioex_chain.p2p.groups import household, is_loopback, parse_ip
from ioex_chain.p2p.kept import KeptFileUnreadable, seal, unseal
from ioex_chain.p2p.types import P2pError, PeerId
from ioex_chain.p2p.wire import read_flag
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.codec import Reader, compact, sized
from ioex_chain.primitives.errors import DecodeError

DEFAULT_SECONDS = 86_400
MAX_BANS = 100_000
"""Of each sort (automatic, by the operator); the oldest of the sort goes first."""
MAX_REASON = 128
MAX_TIME = (1 << 63) - 1

_MAGIC, _VERSION = b"ioexbans", 1
_MAX_SUBJECT = 64
_ID = re.compile(r"[0-9a-fA-F]{64}\Z")
_ZONE = re.compile(r"%[^/]*")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")

_Range = tuple[int, int, int]
"""IP version, prefix length, the network's first bits as a number."""


class InvalidBan(P2pError):
    """The subject is no peer id, address or subnet, or the time is not positive."""


@dataclass(frozen=True, slots=True)
class Ban:
    """A ban. `subject` is a peer id in hex, an IP address, or a subnet in CIDR form; Unix times."""

    subject: str
    created: int
    until: int
    reason: str
    automatic: bool
    """Made by the node for misbehaviour; such bans never push out the operator's."""


class BanList:
    """The bans in force, by the wall clock."""

    def __init__(self, clock: Clock, *, limit: int = MAX_BANS) -> None:
        self._clock = clock
        self._limit = limit
        self._bans: dict[bool, dict[str, Ban]] = {True: {}, False: {}}
        """By `automatic`, in the order in which they were made."""
        self._ranges: dict[_Range, str] = {}
        """Subjects that are addresses or subnets."""
        self._lengths: Counter[tuple[int, int]] = Counter()
        """How many ranges there are of each IP version and prefix length: what `is_banned` must look at."""

    def ban(
        self, subject: str, seconds: int = DEFAULT_SECONDS, reason: str = "", *, automatic: bool = False
    ) -> Ban:
        """Ban a peer id (64 hex digits), an IP address or a subnet (CIDR) from now on. Raises InvalidBan.

        A second ban of a subject replaces the first, but an automatic one never shortens the operator's.
        """
        if seconds <= 0:
            raise InvalidBan(f"a ban of {seconds} seconds; give a positive number")
        now = self._clock.now()
        name = normal_subject(subject)
        ban = Ban(name, now, min(now + seconds, MAX_TIME), _cut(reason), automatic)
        if automatic and (standing := self._bans[False].get(name)) is not None and standing.until > now:
            return standing
        self._remove(name)
        self._add(ban)
        return ban

    def ban_peer(self, id_: PeerId, host: str, reason: str, seconds: int = DEFAULT_SECONDS) -> list[Ban]:
        """Ban a peer for what it did: by id, and by address (IPv6: its /64) unless that is this machine's."""
        subjects = [id_.hex()]
        if parse_ip(host) is not None and not is_loopback(host):
            subjects.append(household(host))
        return [self.ban(subject, seconds, reason, automatic=True) for subject in subjects]

    def is_banned(self, id_: PeerId | None, host: str) -> bool:
        """Tell whether a peer (None while its id is unknown) at a host may not connect."""
        if id_ is not None and self._in_force(id_.hex()):
            return True
        address = parse_ip(host) if self._lengths else None
        if address is None:
            return False
        number, bits = int(address), address.max_prefixlen
        for version, length in list(self._lengths):
            if version == address.version:
                subject = self._ranges.get((version, length, number >> (bits - length)))
                if subject is not None and self._in_force(subject):
                    return True
        return False

    def lift(self, subject: str) -> bool:
        """Lift a ban of exactly this subject; False if there is none. Raises InvalidBan."""
        name = normal_subject(subject)
        was_in_force = self._in_force(name)
        self._remove(name)
        return was_in_force

    def clear(self) -> None:
        """Lift all bans."""
        self._bans = {True: {}, False: {}}
        self._ranges.clear()
        self._lengths.clear()

    def entries(self) -> Sequence[Ban]:
        """Give the bans in force, oldest first."""
        now = self._clock.now()
        for ban in [ban for bans in self._bans.values() for ban in bans.values() if ban.until <= now]:
            self._remove(ban.subject)
        return sorted(
            (ban for bans in self._bans.values() for ban in bans.values()),
            key=lambda ban: (ban.created, ban.subject),
        )

    def __len__(self) -> int:
        return sum(map(len, self._bans.values()))

    def encode(self) -> bytes:
        """Give the bytes of the bans in force: count, then subject, created, until, reason, automatic."""
        bans = self.entries()
        return seal(_MAGIC, _VERSION, compact(len(bans)) + b"".join(map(_encode_ban, bans)))

    @classmethod
    def decode(cls, data: bytes, clock: Clock, *, limit: int = MAX_BANS) -> Self:
        """Read what `encode` gives. Raises KeptFileUnreadable."""
        bans = cls(clock, limit=limit)
        reader = Reader(unseal(_MAGIC, _VERSION, data))
        try:
            for _ in range(reader.compact(2 * MAX_BANS)):
                ban = _read_ban(reader)
                bans._remove(ban.subject)
                bans._add(ban)
            reader.finish()
        except (DecodeError, UnicodeDecodeError, InvalidBan) as error:
            raise KeptFileUnreadable(f"not a list of bans: {error}") from error
        return bans

    def _in_force(self, name: str) -> bool:
        """Look a subject up, and forget it when its time is over."""
        ban = self._bans[False].get(name) or self._bans[True].get(name)
        if ban is None:
            return False
        if ban.until > self._clock.now():
            return True
        self._remove(name)
        return False

    def _add(self, ban: Ban) -> None:
        bans = self._bans[ban.automatic]
        while len(bans) >= self._limit:
            self._remove(next(iter(bans)))
        bans[ban.subject] = ban
        if (found := _range_of(ban.subject)) is not None:
            self._ranges[found] = ban.subject
            self._lengths[found[:2]] += 1

    def _remove(self, name: str) -> None:
        for bans in self._bans.values():
            if bans.pop(name, None) is not None and (found := _range_of(name)) is not None:
                del self._ranges[found]
                self._lengths[found[:2]] -= 1
                self._lengths += Counter()  # drops what counts 0


def normal_subject(text: str) -> str:
    """Give the one form of a ban's subject. Raises InvalidBan."""
    text = _ZONE.sub("", text.strip())
    if _ID.match(text):
        return text.lower()
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidBan(
            f"{text[:80]!r} names nobody; "
            "give a peer id (64 hex digits), an IP address or a subnet such as 10.1.0.0/16"
        ) from error
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        network = IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - 96))
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _range_of(subject: str) -> _Range | None:
    if _ID.match(subject):
        return None
    network = ipaddress.ip_network(subject)
    shift = network.max_prefixlen - network.prefixlen
    return network.version, network.prefixlen, int(network.network_address) >> shift


def _cut(reason: str) -> str:
    return reason.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")


def _encode_ban(ban: Ban) -> bytes:
    return b"".join(
        (
            sized(ban.subject.encode()),
            ban.created.to_bytes(8, "little"),
            ban.until.to_bytes(8, "little"),
            sized(ban.reason.encode()),
            bytes((ban.automatic,)),
        )
    )


def _read_ban(reader: Reader) -> Ban:
    subject = reader.sized(_MAX_SUBJECT).decode()
    created, until = reader.uint64(), reader.uint64()
    ban = Ban(subject, created, until, reader.sized(MAX_REASON).decode(), read_flag(reader))
    if normal_subject(subject) != subject:
        raise InvalidBan(f"{subject!r} is not in its one form")
    return ban
