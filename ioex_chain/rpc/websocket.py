"""One WebSocket: requests in, replies and notifications out, each within bounds."""

import asyncio
import logging
from collections import deque
from contextlib import suppress

from aiohttp import WSMsgType, web

from ioex_chain.rpc.budget import Budget, Hold
from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.envelope import write_error
from ioex_chain.rpc.errors import LimitExceeded, internal_error
from ioex_chain.rpc.limits import Limits

log = logging.getLogger(__name__)


class Outbox:
    """Messages that wait for one socket, bounded in number and bytes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages: deque[bytes] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()

    def put(self, message: bytes) -> bool:
        """Queue a message; False when that is more than a client may fall behind."""
        if self._messages and (
            len(self._messages) >= self._limits.ws_queue_items
            or self._bytes + len(message) > self._limits.ws_queue_bytes
        ):
            return False
        self._messages.append(message)
        self._bytes += len(message)
        self._filled.set()
        return True

    async def first(self) -> bytes:
        """Wait for the oldest message; it counts until `sent`."""
        while not self._messages:
            self._filled.clear()
            await self._filled.wait()
        return self._messages[0]

    def sent(self) -> None:
        """Drop the oldest message: the socket has taken it."""
        self._bytes -= len(self._messages.popleft())


class Session:
    """Serves one WebSocket until either side closes it. Text and binary frames mean the same."""

    def __init__(
        self, socket: web.WebSocketResponse, request: web.BaseRequest, dispatcher: Dispatcher, budget: Budget
    ) -> None:
        self._socket = socket
        self._transport = request.transport
        self._dispatcher = dispatcher
        self._limits = dispatcher.limits
        self._budget = budget
        self._outbox = Outbox(self._limits)
        self._slots = asyncio.Semaphore(self._limits.ws_calls)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def limit(self) -> int:
        """Most subscriptions of this connection."""
        return self._limits.subscriptions

    def push(self, message: bytes) -> None:
        """Queue a message; a client that does not read loses the connection."""
        if not self._outbox.put(message):
            log.info("a WebSocket client reads too slowly and is dropped")
            self.abort()

    def abort(self) -> None:
        """Close the socket without ceremony."""
        if self._transport is not None:
            self._transport.abort()

    async def run(self, authorized: bool, remote: str) -> None:
        """Read and answer until the connection ends."""
        writer = asyncio.create_task(self._write())
        try:
            while True:
                message = await self._socket.receive()
                if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                    await self._accept(message.data, CallContext(authorized, remote, self))
                else:
                    break
        finally:
            writer.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(writer, *self._tasks, return_exceptions=True)

    async def _accept(self, data: bytes | str, context: CallContext) -> None:
        """Answer a plain call at once; begin any other as soon as fewer than the allowed number are run."""
        body = data.encode() if isinstance(data, str) else data
        if len(body) <= self._limits.small_body_bytes:
            reply = self._dispatcher.handle_now(body, context)
            if reply is not None:
                self.push(reply)
                await asyncio.sleep(0)  # the writer's turn, and other connections'
                return
        await self._slots.acquire()
        task = asyncio.create_task(self._answer(body, context))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            internal_error(error, "websocket")
            self.abort()

    async def _answer(self, body: bytes, context: CallContext) -> None:
        with Hold(self._budget, self._limits.small_body_bytes) as hold:
            try:
                hold.grow(len(body))
            except LimitExceeded as error:
                self.push(write_error(error))
                return
            reply = await self._dispatcher.handle(body, context)
        if reply.body is not None:
            self.push(reply.body)
        for announce in context.after_reply:
            announce()

    async def _write(self) -> None:
        with suppress(ConnectionError):
            while True:
                message = await self._outbox.first()
                await self._socket.send_frame(message, WSMsgType.TEXT)
                self._outbox.sent()
