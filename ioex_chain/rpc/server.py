"""The JSON-RPC server: one port, HTTP POST and WebSocket on the same path."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from ioex_chain.primitives.errors import IoexError
from ioex_chain.rpc.auth import Authenticator
from ioex_chain.rpc.budget import Budget, Hold
from ioex_chain.rpc.connection import JSON_TYPE, ConnectionServer, error_response
from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.errors import InvalidRequest, JsonError, LimitExceeded, RpcError, Unauthorized
from ioex_chain.rpc.fastlane import FastLane
from ioex_chain.rpc.limits import Limits
from ioex_chain.rpc.origin import OriginPolicy, is_plain_form
from ioex_chain.rpc.subscriptions import Subscriptions
from ioex_chain.rpc.websocket import Session

log = logging.getLogger(__name__)

Page = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class PortTaken(IoexError):
    """The server cannot listen; the message names the address and the setting."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where a port listens and whom it answers. `port` 0 takes any free one."""

    host: str = "127.0.0.1"
    port: int = 0
    policy: OriginPolicy = field(default_factory=OriginPolicy)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every answer (`X-Long-Polling`, `X-Stratum`)."""
    pages: Mapping[str, Page] = field(default_factory=dict)
    """GET paths beside the RPC path, such as `/healthz`. They pass the host check, not authentication."""


class _Answered(Exception):
    """The request is answered before it reaches the dispatcher."""

    def __init__(self, status: int, error: RpcError, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.error = error
        self.headers = headers or {}


class RpcServer:
    """Serves one `Dispatcher` on one port.

    `start` listens, `stop` closes every connection; both are awaited by the one who constructed it.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        config: ServerConfig | None = None,
        authenticator: Authenticator | None = None,
        subscriptions: Subscriptions | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._config = config or ServerConfig()
        self._auth = authenticator or Authenticator()
        self._subscriptions = subscriptions
        self._limits: Limits = dispatcher.limits
        self._budget = Budget(self._limits.buffered_bytes)
        self._connections: ConnectionServer | None = None
        self._listener: asyncio.Server | None = None
        self._sessions: set[Session] = set()

    @property
    def port(self) -> int:
        """The port it listens on. Raises RuntimeError before `start`."""
        if self._listener is None:
            raise RuntimeError("the RPC server is not started")
        return int(self._listener.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The address for clients on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._config.host, self._config.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def open_connections(self) -> int:
        """How many there are, WebSockets among them."""
        return self._connections.open_connections if self._connections is not None else 0

    async def start(self) -> None:
        """Listen. Raises PortTaken."""
        lane = FastLane(self._dispatcher, self._config.policy, self._config.headers)
        self._connections = ConnectionServer(self._handle, self._limits, self._budget, lane)
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._connections, self._config.host, self._config.port, backlog=512
            )
        except OSError as error:
            raise PortTaken(
                f"cannot listen on {self._config.host}:{self._config.port}: {error.strerror}. "
                "Another program has this port, or the address is not this machine's; change the settings"
            ) from error

    async def stop(self, grace_seconds: float = 1.5) -> None:
        """Stop listening, end WebSockets and long polls, give other requests `grace_seconds` to finish.

        A call that does not heed its cancellation can take as long again.
        """
        if self._listener is None or self._connections is None:
            return
        self._listener.close()
        self._dispatcher.end_long_polls()
        for session in list(self._sessions):
            session.abort()
        self._connections.pre_shutdown()  # idle connections end now, the others after their answer
        await self._connections.shutdown(grace_seconds)
        self._dispatcher.close()
        self._listener = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self._connections is not None  # noqa: S101  (requests come after start)
        self._connections.heard(request.protocol)
        origin = request.headers.get("Origin")
        try:
            self._check_head(request)
            response = await self._route(request, origin)
        except _Answered as answer:
            response = error_response(answer.status, answer.error, close=not request.content.at_eof())
            response.headers.update(answer.headers)
        if not response.prepared:
            response.headers.update(self._config.headers)
            response.headers.update(self._config.policy.cors_headers(origin))
        return response

    def _check_head(self, request: web.BaseRequest) -> None:
        head = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
        if head + len(request.raw_path) > self._limits.header_bytes:
            raise _Answered(431, LimitExceeded(f"Request head larger than {self._limits.header_bytes} bytes"))
        if not self._config.policy.allows_host(request.headers.get("Host")):
            raise _Answered(
                403, InvalidRequest("this Host name is not allowed; list it in the node's settings")
            )

    async def _route(self, request: web.BaseRequest, origin: str | None) -> web.StreamResponse:
        page = self._config.pages.get(request.path)
        if page is not None and request.method in ("GET", "HEAD"):
            return await page(request)
        if request.path != "/":
            raise _Answered(404, InvalidRequest("the RPC path is /"))
        if request.method == "OPTIONS":
            return self._preflight(origin)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(request, origin)
        if request.method != "POST":
            raise _Answered(405, InvalidRequest("send requests with POST"), {"Allow": "POST, OPTIONS"})
        return await self._post(request, origin)

    def _preflight(self, origin: str | None) -> web.Response:
        headers = self._config.policy.preflight_headers(origin)
        if not headers:
            raise _Answered(
                403, InvalidRequest("pages of this origin are not allowed; list it in the node's settings")
            )
        return web.Response(status=204, headers=headers)

    async def _post(self, request: web.BaseRequest, origin: str | None) -> web.Response:
        self._check_post_head(request, origin)
        authorized = await self._authenticate(request)
        with Hold(self._budget, self._limits.small_body_bytes) as hold:
            body = await self._read_body(request, hold)
            reply = await self._dispatcher.handle(body, CallContext(authorized, request.remote or ""))
        if reply.body is None:
            return web.Response(status=reply.status)
        response = web.Response(status=reply.status, body=reply.body, content_type=JSON_TYPE)
        if reply.status == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="jsonrpc"'
        return response

    def _check_post_head(self, request: web.BaseRequest, origin: str | None) -> None:
        host = request.headers.get("Host")
        foreign = not self._config.policy.allows_origin(origin, host)
        if foreign and is_plain_form(request.headers.get("Content-Type")):
            raise _Answered(
                403, InvalidRequest("pages of this origin are not allowed; list it in the node's settings")
            )
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _Answered(415, JsonError("compressed requests are not taken"))
        if (request.content_length or 0) > self._limits.body_bytes:
            raise self._body_too_large()

    def _body_too_large(self) -> _Answered:
        return _Answered(413, LimitExceeded(f"Request body larger than {self._limits.body_bytes} bytes"))

    async def _authenticate(self, request: web.BaseRequest) -> bool:
        """Say whether the caller has authenticated; wrong credentials are refused slowly."""
        header = request.headers.get("Authorization")
        if header is None:
            return False
        if self._auth.accepts(header):
            return True
        await asyncio.sleep(self._limits.auth_failure_seconds)
        error = Unauthorized("wrong user or password; the cookie file is renewed at every start of the node")
        raise _Answered(401, error, {"WWW-Authenticate": 'Basic realm="jsonrpc"'})

    async def _read_body(self, request: web.BaseRequest, hold: Hold) -> bytes:
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while chunk := await request.content.readany():
                    hold.grow(len(chunk))
                    if hold.size > self._limits.body_bytes:
                        raise self._body_too_large()
                    parts.append(chunk)
        except TimeoutError:
            raise _Answered(408, InvalidRequest("the request did not arrive in time")) from None
        except LimitExceeded as error:
            raise _Answered(503, error) from None
        except (web.RequestPayloadError, ValueError) as error:
            raise _Answered(400, InvalidRequest("malformed HTTP body")) from error
        return b"".join(parts)

    async def _websocket(self, request: web.BaseRequest, origin: str | None) -> web.StreamResponse:
        if not self._config.policy.allows_origin(origin, request.headers.get("Host")):
            raise _Answered(
                403, InvalidRequest("pages of this origin are not allowed; list it in the node's settings")
            )
        if len(self._sessions) >= self._limits.ws_connections:
            raise _Answered(
                503, LimitExceeded("The server has as many WebSockets as it may; try again later")
            )
        authorized = await self._authenticate(request)
        socket = web.WebSocketResponse(
            max_msg_size=self._limits.ws_message_bytes,
            heartbeat=self._limits.ws_heartbeat_seconds,
            compress=False,
            timeout=1.0,
        )
        if not socket.can_prepare(request):
            raise _Answered(400, InvalidRequest("malformed WebSocket handshake"))
        await socket.prepare(request)
        await self._serve(Session(socket, request, self._dispatcher, self._budget), request, authorized)
        return socket

    async def _serve(self, session: Session, request: web.BaseRequest, authorized: bool) -> None:
        self._sessions.add(session)
        try:
            await session.run(authorized, request.remote or "")
        finally:
            self._sessions.discard(session)
            if self._subscriptions is not None:
                self._subscriptions.drop(session)
