"""What can be said of a network address by itself: its kind, and the network group it belongs to.

One operator gets many addresses of one group cheaply and addresses of many groups dearly, so buckets, slots
and eviction count groups (Heilman et al., "Eclipse Attacks on Bitcoin's Peer-to-Peer Network", 2015).
"""

import ipaddress
from bisect import bisect_right
from enum import Enum, auto
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

IPAddress = IPv4Address | IPv6Address


class Reach(Enum):
    """From where an address can be dialled."""

    ROUTABLE = auto()
    """From everywhere."""
    LOOPBACK = auto()
    """From this machine."""
    PRIVATE = auto()
    """From its own network."""
    NOWHERE = auto()
    """Not at all: multicast, reserved, for documentation, unspecified, or no IP address."""


def parse_ip(host: str) -> IPAddress | None:
    """Read an IP address (IPv4 in IPv6 as IPv4, without its zone); None for a host name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


class Place(NamedTuple):
    """What a host's name says."""

    host: str
    """In its one text form (`types.normal_host`)."""
    reach: Reach
    group: bytes
    """Its network group."""


def _ranges(texts: str) -> list[tuple[int, int]]:
    networks = [ipaddress.IPv4Network(text) for text in texts.split()]
    return [(int(network[0]), int(network[-1])) for network in networks]


_SPECIAL = {
    # RFC 6890 and IANA's registry of special IPv4 addresses
    Reach.LOOPBACK: _ranges("127.0.0.0/8"),
    Reach.PRIVATE: _ranges("10.0.0.0/8 100.64.0.0/10 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16"),
    Reach.NOWHERE: _ranges(
        "0.0.0.0/8 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 "
        "224.0.0.0/3"
    ),
}
_SORTED = sorted((first, last, reach) for reach, ranges in _SPECIAL.items() for first, last in ranges)
_FIRSTS = [first for first, _, _ in _SORTED]
_PRIVATE_6 = (ipaddress.IPv6Network("fc00::/7"), ipaddress.IPv6Network("fe80::/10"))
_GLOBAL_UNICAST_6 = ipaddress.IPv6Network("2000::/3")


@lru_cache(maxsize=8_192)
def place_of(host: str) -> Place:
    """Tell what a host's name says: its one form, from where it can be dialled, its network group.

    The group is the /16 of an IPv4 address and the /32 of an IPv6 address; 6to4 and Teredo addresses belong
    to the group of the IPv4 address inside. Loopback, private and useless addresses are one group each; a
    host name counts as dialled by nobody, and is a group of its own.
    """
    address = parse_ip(host)
    if address is None:
        return Place(host.lower(), Reach.NOWHERE, b"name:" + host.lower().encode())
    kind = _reach_4(address) if isinstance(address, IPv4Address) else _reach_6(address)
    group = _group(address) if kind is Reach.ROUTABLE else kind.name.lower().encode()
    return Place(str(address), kind, group)


def _reach_4(address: IPv4Address) -> Reach:
    number = int(address)
    _, last, kind = _SORTED[bisect_right(_FIRSTS, number) - 1]
    return kind if number <= last else Reach.ROUTABLE


def _reach_6(address: IPv6Address) -> Reach:
    if address.is_loopback:
        return Reach.LOOPBACK
    if any(address in network for network in _PRIVATE_6):
        return Reach.PRIVATE
    return Reach.ROUTABLE if address.is_global and address in _GLOBAL_UNICAST_6 else Reach.NOWHERE


def _group(address: IPAddress) -> bytes:
    if isinstance(address, IPv6Address):
        inner = address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None:
            return b"6" + address.packed[:4]
        address = inner
    return b"4" + address.packed[:2]


def reach(host: str) -> Reach:
    """Tell from where a host can be dialled."""
    return place_of(host).reach


def is_routable(host: str) -> bool:
    """Tell whether it is an IP address that the whole network can dial."""
    return reach(host) is Reach.ROUTABLE


def is_loopback(host: str) -> bool:
    """Tell whether it is an IP address of this machine alone."""
    return reach(host) is Reach.LOOPBACK


def is_local(host: str) -> bool:
    """Tell whether it is an IP address of this machine or of its own network."""
    return reach(host) in (Reach.LOOPBACK, Reach.PRIVATE)


def network_group(host: str) -> bytes:
    """Give the network group (`Place.group`)."""
    return place_of(host).group


def household(host: str) -> str:
    """Give the smallest range that one user is given: an IPv4 address, an IPv6 /64 in CIDR form."""
    address = parse_ip(host)
    if isinstance(address, IPv6Address):
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return host if address is None else str(address)
