"""TCP with TLS 1.3 under the links: the one asynchronous module of this package.

TLS runs over `ssl.MemoryBIO` inside one plain protocol, not in the event loop's own TLS transport: so an
unwanted address is turned away before it costs a handshake, and the backlog is the socket's own.
"""

import asyncio
import contextlib
import errno
import os
import ssl
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import cast

from ioex_chain.p2p.identity import Identity, InvalidCertificate, read_certificate
from ioex_chain.p2p.links import Certificate, LinkHandler
from ioex_chain.p2p.types import Endpoint, P2pError, normal_host

HANDSHAKE_SECONDS = 5.0
"""For connecting and the TLS handshake together."""
CLOSE_SECONDS = 2.0
"""How long a closing link may take to hand over what was written."""
HIGH_WATER = 1 << 20
"""Bytes: above this backlog `link_drained` will be called once it is below LOW_WATER."""
LOW_WATER = 1 << 18
MAX_UNFINISHED = 64
"""Handshakes of arriving links at a time; one more ends the oldest."""
MAX_UNFINISHED_PER_HOST = 8
_READ = 1 << 16
Accept = Callable[[Endpoint], LinkHandler | None]


class CannotListen(P2pError):
    """The address for other nodes cannot be had; the message says why."""


class PortTaken(CannotListen):
    """Another program listens there."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(
            f"another program listens on {endpoint}; stop it, or choose another port with --p2p-port"
        )


def server_context(identity: Identity) -> ssl.SSLContext:
    """TLS 1.3 with the node's certificate and without session tickets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    # The library reads keys from files only: a private one that lives for this moment.
    with tempfile.TemporaryDirectory(prefix="ioex-") as folder:
        path = Path(folder) / "key"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(identity.pem())
        context.load_cert_chain(path)
    return context


def client_context() -> ssl.SSLContext:
    """TLS 1.3; no authority vouches for nodes, so the session compares the certificate's key instead."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class TlsLink(asyncio.Protocol):
    """A link (`links.Link`), and the protocol under it. `own` is the certificate of a listening end."""

    def __init__(
        self,
        handler: LinkHandler,
        context: ssl.SSLContext,
        *,
        own: Certificate | None,
        remote: Endpoint,
        deadline: float,
        finished: Callable[["TlsLink"], None] = lambda _: None,
        ended: Callable[["TlsLink"], None] = lambda _: None,
    ) -> None:
        self.remote = remote
        self._handler = handler
        self._certificate = own
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=own is not None)
        self._loop = asyncio.get_running_loop()
        self._deadline = deadline
        self._finished, self._ended = finished, ended
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._up = self._closing = False
        self._why = "the other end closed"

    # --- what the handler uses ------------------------------------------------------------------------------

    @property
    def certificate(self) -> Certificate:
        """The listening end's certificate."""
        assert self._certificate is not None  # noqa: S101 - known before link_up
        return self._certificate

    @property
    def backlog(self) -> int:
        """Bytes that the socket has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        if self._closing or not data or self._transport is None:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:  # the other end broke the protocol in the piece that is being read
            self._abort(f"TLS: {error.reason or error}")
            return
        self._flush()

    def close(self) -> None:
        """Hand over what was written, say that nothing follows, and wait a little for the other end."""
        if self._closing or self._transport is None:
            return
        self._closing = True
        self._why = "closed"
        self._close_notify()
        self._arm(CLOSE_SECONDS, "closed")
        if not self._transport.can_write_eof():
            self._transport.close()
            return
        try:
            # Only half: closing a socket with unread bytes would reset it, and the goodbye with it.
            self._transport.write_eof()
        except OSError:  # the other end has reset it, which the event loop is about to tell
            self._transport.abort()

    def abort(self) -> None:
        """Close at once."""
        self._abort("aborted")

    def forsake(self) -> bool:
        """Give up a link that has no connection; False if it has one, and tells its end itself."""
        if self._transport is None:
            self._closing = True
        return self._transport is None

    # --- what the event loop calls --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        if self._closing:
            transport.abort()
            return
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
        self._arm(self._deadline - self._loop.time(), "no handshake in time")
        self._handshake()

    def data_received(self, data: bytes) -> None:
        """Decrypt."""
        if self._closing:
            return
        self._incoming.write(data)
        if self._up or self._handshake():
            self._read()

    def eof_received(self) -> bool:
        """Close when the other end does."""
        return False

    def pause_writing(self) -> None:
        """Nothing: `backlog` shows it."""

    def resume_writing(self) -> None:
        """Tell the handler."""
        if self._up and not self._closing:
            self._handler.link_drained()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the handler."""
        if self._transport is None:
            return  # forsaken
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._ended(self)
        if exc is not None and self._why == "the other end closed":
            self._why = str(exc) or type(exc).__name__
        self._handler.link_down(self._why)

    # --- TLS ------------------------------------------------------------------------------------------------

    def _handshake(self) -> bool:
        """Go on with the handshake; True once it is complete."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()
            self._abort(f"TLS: {error.reason or error}")
            return False
        self._flush()
        if self._certificate is None:
            try:
                self._certificate = read_certificate(self._tls.getpeercert(binary_form=True) or b"")
            except InvalidCertificate as error:
                self._abort(str(error))
                return False
        if self._timer is not None:
            self._timer.cancel()
        self._up = True
        self._finished(self)
        self._handler.link_up(self)
        return True

    def _read(self) -> None:
        chunks: list[bytes] = []
        ended = None
        while not self._closing:
            try:
                chunk = self._tls.read(_READ)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                ended = f"TLS: {error.reason or error}"
                break
            if not chunk:
                ended = "the other end closed"
                break
            chunks.append(chunk)
        self._flush()  # a key update is answered
        if chunks:
            self._handler.link_data(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        if ended is not None:
            self._abort(ended)

    def _flush(self) -> None:
        if self._outgoing.pending and self._transport is not None:
            self._transport.write(self._outgoing.read())

    def _close_notify(self) -> None:
        with contextlib.suppress(
            ssl.SSLError
        ):  # the other end's has not come, or the handshake is not complete
            self._tls.unwrap()
        self._flush()

    def _arm(self, seconds: float, why: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(0.0, seconds), self._abort, why)

    def _abort(self, why: str) -> None:
        if self._transport is not None and not self._transport.is_closing():
            if not self._closing:
                self._why = why
            self._closing = True
            self._transport.abort()


class _Door(asyncio.Protocol):
    """A connection that has not been let in yet: it becomes a link or ends."""

    def __init__(self, network: "TlsNetwork", accept: Accept) -> None:
        self._network, self._accept = network, accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        link = self._network.admit(transport, self._accept)
        if link is None:
            transport.abort()
            return
        transport.set_protocol(link)
        link.connection_made(transport)


class TlsNetwork:
    """Dials and listens (`links.Network`). Make it inside the running event loop."""

    def __init__(self, identity: Identity, *, handshake_seconds: float = HANDSHAKE_SECONDS) -> None:
        self._identity = identity
        self._seconds = handshake_seconds
        self._server_context = server_context(identity)
        self._client_context = client_context()
        self._servers: list[asyncio.Server] = []
        self._dials: dict[asyncio.Task[str | None], LinkHandler] = {}
        self._links: dict[TlsLink, None] = {}
        self._unfinished: dict[TlsLink, None] = {}
        self._per_host: Counter[str] = Counter()
        self._idle = asyncio.Event()
        """Set while there is neither a link nor a dial."""
        self._idle.set()

    async def listen(self, host: str, port: int, accept: Accept) -> Endpoint:
        """Let links in; `accept` is asked before TLS begins. Gives the address, with a port for 0.

        Raises CannotListen.
        """
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(lambda: _Door(self, accept), host, port, backlog=256)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(Endpoint(host, port)) from error
            raise CannotListen(f"cannot listen on {Endpoint(host, port)}: {error.strerror}") from error
        self._servers.append(server)
        name = server.sockets[0].getsockname()
        return Endpoint(normal_host(name[0]), name[1])

    def dial(self, endpoint: Endpoint, handler: LinkHandler) -> None:
        """Begin to connect."""
        task = asyncio.get_running_loop().create_task(self._dial(endpoint, handler))
        self._dials[task] = handler
        self._idle.clear()
        task.add_done_callback(self._dialled)

    async def close(self) -> None:
        """Listen and dial no more, and end every link; what was written has CLOSE_SECONDS to leave."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for task in list(self._dials):
            task.cancel()
        for link in list(self._links):
            link.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._idle.wait()
        for link in list(self._links):
            link.abort()
        await self._idle.wait()

    def admit(self, transport: asyncio.Transport, accept: Accept) -> TlsLink | None:
        """Ask whether an arriving connection is wanted; None if not."""
        name = transport.get_extra_info("peername")
        if not name:
            return None
        remote = Endpoint(normal_host(name[0].partition("%")[0]), name[1])
        if self._per_host[remote.host] >= MAX_UNFINISHED_PER_HOST:
            return None
        handler = accept(remote)
        if handler is None:
            return None
        if len(self._unfinished) >= MAX_UNFINISHED:
            # The oldest, not the newest: an honest handshake takes two round trips only.
            next(iter(self._unfinished)).abort()
        link = TlsLink(
            handler,
            self._server_context,
            own=self._identity.certificate,
            remote=remote,
            deadline=asyncio.get_running_loop().time() + self._seconds,
            finished=self._finish,
            ended=self._end,
        )
        self._links[link] = self._unfinished[link] = None
        self._idle.clear()
        self._per_host[remote.host] += 1
        return link

    def _finish(self, link: TlsLink) -> None:
        if link in self._unfinished:
            del self._unfinished[link]
            self._per_host[link.remote.host] -= 1
            if not self._per_host[link.remote.host]:
                del self._per_host[link.remote.host]

    def _end(self, link: TlsLink) -> None:
        self._finish(link)
        self._links.pop(link, None)
        self._rest()

    def _rest(self) -> None:
        if not self._links and not self._dials:
            self._idle.set()

    async def _dial(self, endpoint: Endpoint, handler: LinkHandler) -> str | None:
        """Connect; tell why not, or None once the link speaks to its handler itself."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        made: list[TlsLink] = []

        def make() -> TlsLink:
            made.append(
                TlsLink(
                    handler,
                    self._client_context,
                    own=None,
                    remote=endpoint,
                    deadline=deadline,
                    ended=self._end,
                )
            )
            self._links[made[0]] = None
            return made[0]

        try:
            async with asyncio.timeout_at(deadline):
                await loop.create_connection(make, endpoint.host, endpoint.port)
        except (OSError, UnicodeError, asyncio.CancelledError) as error:
            # Event loops differ in whether there is a protocol before there is a connection.
            if made and not made[0].forsake():
                return None
            for link in made:
                self._links.pop(link, None)
            return _why(error)
        return None

    def _dialled(self, task: "asyncio.Task[str | None]") -> None:
        handler = self._dials.pop(task)
        why = "closed" if task.cancelled() else task.result()
        if why is not None:
            handler.link_down(why)
        self._rest()


def _why(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "closed"
    if isinstance(error, TimeoutError):
        return "no connection in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
