"""What can be said of a network address by itself: its kind, and the network group it belongs to.

One operator gets many addresses of one group cheaply and addresses of many groups dearly, so buckets, slots
and eviction count groups (Heilman et al., "Eclipse Attacks on Bitcoin's Peer-to-Peer Network", 2015).
"""

import ipaddress
from enum import Enum, auto
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

IPAddress = IPv4Address | IPv6Address

_LOCAL = tuple(
    map(
        ipaddress.ip_network,
        (
            "10.0.0.0/8",
            "100.64.0.0/10",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "fc00::/7",
            "fe80::/10",
        ),
    )
)
_GLOBAL_UNICAST_6 = ipaddress.IPv6Network("2000::/3")


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


@lru_cache(maxsize=4_096)
def reach(host: str) -> Reach:
    """Tell from where a host can be dialled; a host name is no address and counts as NOWHERE."""
    address = parse_ip(host)
    if address is None or address.is_multicast or address.is_unspecified:
        return Reach.NOWHERE
    if address.is_loopback:
        return Reach.LOOPBACK
    if any(address.version == network.version and address in network for network in _LOCAL):
        return Reach.PRIVATE
    is_global = address.is_global and (isinstance(address, IPv4Address) or address in _GLOBAL_UNICAST_6)
    return Reach.ROUTABLE if is_global else Reach.NOWHERE


def is_routable(host: str) -> bool:
    """Tell whether it is an IP address that the whole network can dial."""
    return reach(host) is Reach.ROUTABLE


def is_loopback(host: str) -> bool:
    """Tell whether it is an IP address of this machine alone."""
    return reach(host) is Reach.LOOPBACK


def is_local(host: str) -> bool:
    """Tell whether it is an IP address of this machine or of its own network."""
    return reach(host) in (Reach.LOOPBACK, Reach.PRIVATE)


@lru_cache(maxsize=4_096)
def network_group(host: str) -> bytes:
    """Give the network group: the /16 of an IPv4 address, the /32 of an IPv6 address.

    6to4 and Teredo addresses belong to the group of the IPv4 address inside. Loopback, private and useless
    addresses are one group each; a host name is a group of its own.
    """
    address, kind = parse_ip(host), reach(host)
    if address is None:
        return b"name:" + host.encode()
    if kind is not Reach.ROUTABLE:
        return kind.name.lower().encode()
    if isinstance(address, IPv6Address):
        inner = address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None:
            return b"6" + address.packed[:4]
        address = inner
    return b"4" + address.packed[:2]


def household(host: str) -> str:
    """Give the smallest range that one user is given: an IPv4 address, an IPv6 /64 in CIDR form."""
    address = parse_ip(host)
    if isinstance(address, IPv6Address):
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return host if address is None else str(address)
