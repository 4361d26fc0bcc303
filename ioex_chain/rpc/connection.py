"""The connections of one port: their number, their idle time, and JSON-RPC bodies for HTTP's own errors."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiohttp import web

from ioex_chain.rpc.budget import Budget, Hold
from ioex_chain.rpc.envelope import write_error
from ioex_chain.rpc.errors import InvalidRequest, RpcError, internal_error
from ioex_chain.rpc.fastlane import FastLane
from ioex_chain.rpc.frames import FrameGuard, Parser
from ioex_chain.rpc.limits import Limits

log = logging.getLogger(__name__)

JSON_TYPE = "application/json"
_CLOSE_PROTOCOL_ERROR = b"\x88\x02\x03\xea"
"""A WebSocket close frame with code 1002 (RFC 6455 section 7.4.1)."""

HttpHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def error_response(status: int, error: RpcError, *, close: bool = False) -> web.Response:
    """Answer a request that did not get as far as a JSON-RPC id."""
    response = web.Response(status=status, body=write_error(error), content_type=JSON_TYPE)
    if close:
        response.force_close()
    return response


class Connection(web.RequestHandler):
    """aiohttp's connection, with guarded WebSocket frames and JSON-RPC bodies in its error answers."""

    def __init__(self, manager: "ConnectionServer", **options: Any) -> None:
        super().__init__(manager, **options)
        self._port = manager
        self._is_plain = manager.lane is not None
        self._remote = ""
        self._work: asyncio.Task[None] | None = None
        """The plain request that is being answered; what comes meanwhile is `_held`, at most one piece."""
        self._held = b""
        self._ends = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who called."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._remote = str(peer[0]) if isinstance(peer, tuple) and peer else ""

    def data_received(self, data: bytes) -> None:
        """Answer a plain request here; hand all others to aiohttp's reader.

        Once something has come that is not exactly one whole request, aiohttp's reader may be in the middle
        of a message, so that everything after it is its matter too.
        """
        if self._work is not None:
            self._held += data
            if self.transport is not None:
                self.transport.pause_reading()
            return
        if self._is_plain:
            body = self._port.lane.body_of(data) if self._port.lane is not None else None
            if body is None:
                self._is_plain = False
            elif self._is_idle() and self._answer_plain(body):
                return
        super().data_received(data)

    def _is_idle(self) -> bool:
        """Whether no request is under way and the client reads its answers."""
        waits = self._waiter is not None and not self._waiter.done()
        return waits and not (self._messages or self._close or self._force_close or self._paused)

    def _answer_plain(self, body: bytes) -> bool:
        lane = self._port.lane
        reply = lane.answer(body, self._remote) if lane is not None else None
        if reply is None:
            return False
        self._port.heard(self)
        if isinstance(reply, bytes):
            self._send_plain(reply)
        else:
            self._work = self._loop.create_task(self._answer_later(reply))
        return True

    def _send_plain(self, reply: bytes) -> None:
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self.transport is not None:
            self.transport.write(reply)

    async def _answer_later(self, reply: Coroutine[Any, Any, bytes]) -> None:
        try:
            answer = await reply
        except Exception:
            log.exception("a request could not be answered")
            self.force_close()
            return
        self._work = None
        self._send_plain(answer)
        held, self._held = self._held, b""
        if self._ends:
            self.close()
        elif held and self.transport is not None:
            self.transport.resume_reading()
            self.data_received(held)

    def close(self) -> None:
        """End the connection, after the answer that is under way."""
        if self._work is None:
            super().close()
        else:
            self._ends = True

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """End the connection; what is under way has `timeout` seconds."""
        if self._work is not None:
            await asyncio.wait((self._work,), timeout=timeout)
        await super().shutdown(timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leave off what nobody waits for any more."""
        if self._work is not None:
            self._work.cancel()
        super().connection_lost(exc)

    def _process_keepalive(self) -> None:
        """Close an idle connection; one whose request is being answered is not idle."""
        if self._work is not None:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        """Put the frame guard between the socket and aiohttp's WebSocket reader."""
        hold = Hold(self._port.budget, self._port.limits.small_body_bytes)
        guard: Parser = FrameGuard(parser, hold, self._refuse)
        super().set_parser(guard, data_received_cb)  # type: ignore[arg-type]  # it asks for the two methods only

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  (aiohttp's text echoes the request)
    ) -> web.StreamResponse:
        """Answer bytes that are no HTTP (400) or a fault of this server (500); the connection ends."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        if status < 500 or exc is None:
            log.debug("bad HTTP from %s", request.remote, exc_info=exc)
            return error_response(status, InvalidRequest("malformed HTTP request"), close=True)
        return error_response(status, internal_error(exc, "http"), close=True)

    def _refuse(self) -> None:
        if self.transport is not None:
            self.transport.write(_CLOSE_PROTOCOL_ERROR)
            self.transport.close()


class ConnectionServer(web.Server):
    """Makes the connections of one port and holds their number below the cap.

    At the cap a newcomer takes the place of the oldest connection that has not finished sending its first
    request; when there is none, the newcomer is closed.
    """

    def __init__(
        self, handler: HttpHandler, limits: Limits, budget: Budget, lane: FastLane | None = None
    ) -> None:
        super().__init__(
            handler,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=limits.connections_idle_seconds,
            lingering_time=1.0,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.header_fields,
        )
        self.limits = limits
        self.budget = budget
        self.lane = lane
        self._open: set[web.RequestHandler] = set()
        self._silent: dict[web.RequestHandler, asyncio.Transport] = {}

    def __call__(self) -> web.RequestHandler:
        """Make the protocol object for one accepted socket."""
        return Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count a new connection, or make room for it, or close it."""
        super().connection_made(handler, transport)
        if len(self._open) >= self.limits.connections:
            if not self._silent:
                transport.abort()
                return
            oldest = next(iter(self._silent))
            self._forget(oldest).abort()
        self._open.add(handler)
        self._silent[handler] = transport

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Count it no more."""
        super().connection_lost(handler, exc)
        self._open.discard(handler)
        self._silent.pop(handler, None)

    def heard(self, handler: web.RequestHandler) -> None:
        """Note that a connection has sent a whole request, so it is no longer the first to go."""
        self._silent.pop(handler, None)

    @property
    def open_connections(self) -> int:
        """How many there are."""
        return len(self._open)

    def _forget(self, handler: web.RequestHandler) -> asyncio.Transport:
        self._open.discard(handler)
        return self._silent.pop(handler)
