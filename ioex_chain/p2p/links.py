"""The seam between connections and the network that carries them: TCP with TLS, or a simulation's memory.

Calls come one at a time in one thread. A link calls its handler's `link_up` once, then `link_data` and
`link_drained`, then `link_down` once; a dial that fails calls `link_down` alone.
"""

from typing import NamedTuple, Protocol

from ioex_chain.p2p.types import Endpoint, PeerId


class Certificate(NamedTuple):
    """The listening end's certificate, as both ends see it: its Ed25519 key, and SHA-256 of its DER form."""

    key: PeerId
    digest: bytes


class Link(Protocol):
    """One end of an encrypted connection."""

    @property
    def remote(self) -> Endpoint:
        """The other end."""
        ...

    @property
    def certificate(self) -> Certificate:
        """The certificate of the end that listens, whichever end this is."""
        ...

    @property
    def backlog(self) -> int:
        """Bytes written that the network has not taken yet."""
        ...

    def write(self, data: bytes) -> None:
        """Send bytes; never blocks."""
        ...

    def close(self) -> None:
        """Send what was written, then close; `link_down` follows."""
        ...

    def abort(self) -> None:
        """Close at once and drop what was written; `link_down` follows."""
        ...


class LinkHandler(Protocol):
    """What a link talks to."""

    def link_up(self, link: Link) -> None:
        """Take the link: it is encrypted, and the dialler knows the other end's key."""
        ...

    def link_data(self, data: bytes) -> None:
        """Take bytes."""
        ...

    def link_drained(self) -> None:
        """Go on sending: the backlog is gone."""
        ...

    def link_down(self, why: str) -> None:
        """Forget the link; `why` is for the log."""
        ...


class Network(Protocol):
    """Where links come from."""

    def dial(self, endpoint: Endpoint, handler: LinkHandler) -> None:
        """Begin to connect; the handler hears how it went, later, never from within this call."""
        ...
