"""One connection: a link and its session put together, and what a chain sees of it (`seam.Peer`)."""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from ioex_chain.p2p.links import Certificate, Link
from ioex_chain.p2p.messages import Hello, LeaveReason, Message
from ioex_chain.p2p.seam import Offence
from ioex_chain.p2p.session import Ended, Established, Event, Offended, Received, Session
from ioex_chain.p2p.slots import Candidate
from ioex_chain.p2p.types import Endpoint, PeerAddress, PeerId, PeerInfo
from ioex_chain.primitives.clock import Clock

FULL_RELAY = "outbound-full-relay"
MANUAL = "manual"
FEELER = "feeler"
INBOUND = "inbound"
HIGH_BACKLOG = 1 << 20
"""Bytes: a chain holds back above this, and hears `drained` once it is no longer so."""
MAX_BACKLOG = 64 << 20
"""Bytes that may wait for one peer."""
STUCK_SECONDS = 60.0
"""How long a peer may take nothing of what waits for it."""
DIAL_SECONDS = 15.0
"""Above what the network gives a dial: then the answer is not waited for."""
BAN_SCORE = 100


class Outbox:
    """Who has something to write: written once at the end of the outermost `with`, outside of one at once."""

    def __init__(self) -> None:
        self._depth = 0
        self._waiting: dict[int, Connection] = {}

    def add(self, connection: "Connection") -> None:
        """Have the connection written."""
        if self._depth:
            self._waiting[connection.number] = connection
        else:
            connection.flush()

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._depth == 1 and self._waiting:
                connection = self._waiting.pop(next(iter(self._waiting)))
                connection.flush()
                connection.resume()
        finally:
            self._depth -= 1


class Owner(Protocol):
    """All connections, as one of them sees them."""

    def session(self, connection: "Connection", certificate: Certificate) -> Session:
        """Make the session of a link that is up."""
        ...

    def established(self, connection: "Connection") -> None:
        """Take or refuse a connection whose handshake is over."""
        ...

    def received(self, connection: "Connection", message: Message) -> None:
        """Take a message."""
        ...

    def offended(self, connection: "Connection", offence: Offence, detail: str) -> None:
        """Count an offence, and ban if the score is full."""
        ...

    def drained(self, connection: "Connection") -> None:
        """Go on sending."""
        ...

    def gone(self, connection: "Connection", why: str) -> None:
        """Forget a connection; called once."""
        ...


class Connection:
    """A link's handler (`links.LinkHandler`) and a chain's peer (`seam.Peer`)."""

    def __init__(
        self,
        owner: Owner,
        outbox: Outbox,
        number: int,
        kind: str,
        endpoint: Endpoint,
        target: PeerAddress | None,
        *,
        now: Callable[[], float],
        clock: Clock,
    ) -> None:
        self._owner, self._outbox = owner, outbox
        self._now, self._clock = now, clock
        self._number, self._endpoint = number, endpoint
        self.kind = kind
        self.target = target
        """Whom it dials; None for an inbound connection."""
        self.score = 0
        self.up = False
        """Whether the chain knows this peer."""
        self.gone = False
        self.began = now()
        self.established_at = 0.0
        self.connected_at = 0
        self.last_block: float | None = None
        """When it last gave the chain a block that was new; None for never."""
        self.last_transaction: float | None = None
        self.session: Session | None = None
        self._link: Link | None = None
        self._held = False
        self._written = self._taken = 0
        self._taken_at = 0.0

    # --- what a chain sees ----------------------------------------------------------------------------------

    @property
    def id(self) -> PeerId:
        """Who it is."""
        return PeerId(self.hello.key)

    @property
    def number(self) -> int:
        """The connection's number."""
        return self._number

    @property
    def endpoint(self) -> Endpoint:
        """The other end of the connection."""
        return self._endpoint

    @property
    def outbound(self) -> bool:
        """Whether we dialled."""
        return self.target is not None

    @property
    def hello(self) -> Hello:
        """How it introduced itself."""
        assert self.session is not None  # noqa: S101 - a peer is a connection whose handshake is over
        assert self.session.hello is not None  # noqa: S101
        return self.session.hello

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sent."""
        if self.session is None or self._link is None:
            return 0
        waiting = self.session.pending + self._link.backlog
        self._held = self._held or waiting > HIGH_BACKLOG
        return waiting

    def send(self, message: Message) -> None:
        """Send a message. Raises MessageTooLarge."""
        if self.session is not None and not self.gone:
            self.session.send(message)
            self._outbox.add(self)

    def offend(self, offence: Offence, detail: str = "") -> None:
        """Score an offence; a full score bans and closes, before the handshake is over any offence closes."""
        if self.gone:
            return
        self.score += offence.score
        self._owner.offended(self, offence, detail)
        if not self.up or self.score >= BAN_SCORE:
            self.leave(LeaveReason.MISBEHAVING, offence.text)

    def leave(self, reason: LeaveReason, text: str = "") -> None:
        """Say goodbye and close."""
        if self.gone:
            return
        if self.session is not None:
            self.session.leave(reason, text)
            self.flush()
        if self._link is not None:
            self._link.close()
        self._finish(f"left: {text or reason.name.lower()}")

    # --- what the link calls --------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        """Begin the handshake."""
        if self.gone:
            link.abort()
            return
        with self._outbox:
            self._link = link
            self._taken_at = self._now()
            self.session = self._owner.session(self, link.certificate)
            self.session.start()
            self._outbox.add(self)

    def link_data(self, data: bytes) -> None:
        """Take bytes."""
        if self.session is not None and not self.gone:
            with self._outbox:
                self._act(self.session.receive(data))
                self._outbox.add(self)

    def link_drained(self) -> None:
        """Let the chain go on."""
        if self.up and not self.gone:
            with self._outbox:
                self._held = False
                self._owner.drained(self)

    def link_down(self, why: str) -> None:
        """End."""
        with self._outbox:
            self._finish(why)

    # --- what the owner calls -------------------------------------------------------------------------------

    def tick(self) -> None:
        """Do what time asks for: pings, limits, and ends that nobody else notices."""
        if self.session is None or self._link is None:
            if self._now() - self.began >= DIAL_SECONDS:
                self._finish("no answer")
            return
        self._act(self.session.tick())
        if self.gone:
            return
        self._outbox.add(self)
        self._watch_backlog(self._link)

    def flush(self) -> None:
        """Write what the session has to say."""
        if self.session is None or self._link is None or self.gone:
            return
        data = self.session.outgoing()
        if data:
            if not self._link.backlog:
                self._taken_at = self._now()
            self._written += len(data)
            self._link.write(data)

    def resume(self) -> None:
        """Let the chain go on if it was held back by what has been written by now."""
        if self._held and self.up and not self.gone and self.backlog <= HIGH_BACKLOG:
            self._held = False
            self._owner.drained(self)

    def abort(self, why: str) -> None:
        """Close at once."""
        if self._link is not None and not self.gone:
            self._link.abort()
        self._finish(why)

    def info(self) -> PeerInfo:
        """Tell all that RPC shows; for an established connection."""
        session, hello = self.session, self.hello
        assert session is not None  # noqa: S101 - it has a hello
        return PeerInfo(
            number=self.number,
            id=self.id,
            endpoint=self.endpoint,
            outbound=self.outbound,
            kind=self.kind,
            agent=hello.agent,
            version=hello.version,
            services=hello.services,
            start_height=hello.height,
            connected_at=self.connected_at,
            last_sent=self._unix(session.last_sent),
            last_received=self._unix(session.last_received),
            bytes_sent=session.bytes_sent,
            bytes_received=session.bytes_received,
            ping=session.last_ping,
            best_ping=session.best_ping,
            score=self.score,
            backlog=session.pending + (self._link.backlog if self._link else 0),
            sent_by_type=dict(session.sent_by_type),
            received_by_type=dict(session.received_by_type),
            time_offset=hello.time - self.connected_at,
        )

    def candidate(self) -> Candidate:
        """Tell what counts when an inbound connection has to go; for an established connection."""
        return Candidate(
            self.number,
            self.endpoint.host,
            self.established_at,
            self.session.best_ping if self.session else None,
            self.last_block,
            self.last_transaction,
        )

    # ---

    def _act(self, events: list[Event]) -> None:
        for event in events:
            if self.gone:
                return
            if isinstance(event, Received):
                self._owner.received(self, event.message)
            elif isinstance(event, Offended):
                self.offend(event.offence, event.detail)
            elif isinstance(event, Established):
                self.established_at, self.connected_at = self._now(), self._clock.now()
                self._owner.established(self)
            else:
                self._end(event)

    def _end(self, event: Ended) -> None:
        self.flush()
        if self._link is not None:
            self._link.close()
        whose = "the peer left" if event.by_peer else "left"
        self._finish(f"{whose}: {event.text or event.reason.name.lower()}")

    def _finish(self, why: str) -> None:
        if not self.gone:
            self.gone = True
            self._owner.gone(self, why)

    def _watch_backlog(self, link: Link) -> None:
        now, backlog = self._now(), link.backlog
        if backlog > MAX_BACKLOG:
            self.abort("takes too little of what it asks for")
        elif not backlog or self._written - backlog > self._taken:
            self._taken, self._taken_at = self._written - backlog, now
        elif now - self._taken_at >= STUCK_SECONDS:
            self.abort("takes nothing of what was sent")

    def _unix(self, moment: float | None) -> int:
        return 0 if moment is None else int(self._clock.now() - (self._now() - moment))
