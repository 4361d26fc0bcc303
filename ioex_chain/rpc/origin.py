"""Which web pages and host names a port answers: defence against DNS rebinding and cross-site requests."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

ANY = "*"


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """Host names beyond loopback, and origins of web pages, that are let in; `*` lets in all."""

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    def allows_host(self, header: str | None) -> bool:
        """Judge a `Host` header.

        A page that rebinds its own name to this machine sends that name, so names are let in by list only.
        An address literal cannot be rebound; a client without the header is no browser.
        """
        if header is None or ANY in self.hosts:
            return True
        host = _host_of(header)
        return host == "localhost" or host in self.hosts or _is_address(host)

    def allows_origin(self, origin: str | None, host: str | None) -> bool:
        """Judge an `Origin` header: none, the port's own, or a listed one."""
        if origin is None or ANY in self.origins or origin in self.origins:
            return True
        scheme, _, rest = origin.partition("://")
        return scheme in ("http", "https") and rest != "" and rest == host

    def cors_headers(self, origin: str | None) -> Mapping[str, str]:
        """Give what tells a browser that a listed page may read the answer; nothing for all others."""
        if origin is None or not (ANY in self.origins or origin in self.origins):
            return {}
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}

    def preflight_headers(self, origin: str | None) -> Mapping[str, str]:
        """Give the answer to a preflight request; nothing when the page is not listed."""
        headers = self.cors_headers(origin)
        if not headers:
            return {}
        return {
            **headers,
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "Content-Type, Authorization",
            "Access-Control-Max-Age": "600",
        }


def is_plain_form(content_type: str | None) -> bool:
    """Say whether a page may send this content type across sites without asking first (no preflight)."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data")


def _host_of(header: str) -> str:
    """Drop the port and an IPv6 literal's brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].rstrip(".").lower()


@lru_cache(maxsize=1_024)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
