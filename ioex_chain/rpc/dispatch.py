"""From the bytes of a request to the bytes of its answer; knows nothing of HTTP or WebSocket."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from inspect import iscoroutine
from typing import Any

from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.envelope import (
    Call,
    Refused,
    Version,
    http_status,
    read_call,
    write_error,
    write_result,
)
from ioex_chain.rpc.errors import (
    Code,
    DeadlineExceeded,
    ErrorTable,
    Flavour,
    InvalidRequest,
    JsonError,
    LimitExceeded,
    MethodNotFound,
    RpcError,
    Unauthorized,
    internal_error,
)
from ioex_chain.rpc.jsonio import loads
from ioex_chain.rpc.limits import Limits
from ioex_chain.rpc.registry import Method, MethodTable

log = logging.getLogger(__name__)

Observer = Callable[[str, float, int], None]
"""Told after each call: method ("unknown" for one that is not in the table), seconds, error code or 0."""

Begin = Callable[[], "asyncio.Future[Any]"]
"""Starts a call's work."""

OK = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: HTTP status and body; no body when there is nothing to say (notifications)."""

    status: int
    body: bytes | None


class _Once:
    """Starts a coroutine that exists already; one that is never started is closed without a warning."""

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._work: Coroutine[Any, Any, Any] | None = work

    def __call__(self) -> "asyncio.Future[Any]":
        work, self._work = self._work, None
        assert work is not None  # noqa: S101  (it is begun once)
        return asyncio.get_running_loop().create_task(work)

    def __del__(self) -> None:
        if self._work is not None:
            self._work.close()


class Dispatcher:
    """Answers requests from one table of methods, within one set of limits."""

    def __init__(
        self,
        table: MethodTable,
        *,
        errors: ErrorTable | None = None,
        limits: Limits | None = None,
        observe: Observer | None = None,
        reads_need_auth: bool = False,
    ) -> None:
        self.table = table
        self.errors = errors or ErrorTable()
        self.limits = limits or Limits()
        self.reads_need_auth = reads_need_auth
        self._observe = observe
        self._calls = asyncio.Semaphore(self.limits.concurrent_calls)
        self._long_polls = asyncio.Semaphore(self.limits.long_polls)
        self._pool = ThreadPoolExecutor(self.limits.threads, thread_name_prefix="rpc")
        self._left_behind: set[asyncio.Future[Any]] = set()
        self._polling: set[asyncio.Future[Any]] = set()

    @property
    def flavour(self) -> Flavour:
        """Whose conventions this port follows."""
        return self.errors.flavour

    def end_long_polls(self) -> None:
        """Answer those who wait for something to happen: the node is stopping."""
        for work in self._polling:
            work.cancel()

    def close(self) -> None:
        """Cancel what is still running. Threads end with the function that they are in."""
        for task in self._left_behind:
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def handle(self, body: bytes, context: CallContext) -> Reply:
        """Answer one HTTP body or WebSocket message: a request, or a batch of them."""
        try:
            value = loads(body, self.limits)
        except JsonError as error:
            self._tell("unknown", 0.0, error.code)
            legacy = self.flavour is Flavour.CORE
            return Reply(500 if legacy else 200, write_error(error))
        if isinstance(value, list):
            return await self._batch(value, context)
        return await self._single(read_call(value), context)

    def handle_now(self, body: bytes, context: CallContext) -> bytes | None:
        """Answer one request without waiting, if it is a 2.0 call of a plain function that answers at once.

        None for all others, and nothing has happened: `handle` answers them.
        """
        call = self._plain_call(body)
        entry = None if call is None else self.table.get(call.method)
        if call is None or entry is None or entry.mark.write:
            return None
        return self._at_once(entry, call, context)

    def begin(self, body: bytes, context: CallContext) -> bytes | Coroutine[Any, Any, Reply] | None:
        """Answer one request at once if `handle_now` would; else give what answers it, not yet begun.

        None for what is not a 2.0 call of a known method that everybody may call: `handle` answers that.
        """
        call = self._plain_call(body)
        entry = None if call is None else self.table.get(call.method)
        if call is None or entry is None or entry.mark.write:
            return None
        reply = self._at_once(entry, call, context)
        return self._single(call, context) if reply is None else reply

    def _at_once(self, entry: Method, call: Call, context: CallContext) -> bytes | None:
        if entry.is_async or entry.mark.thread:
            return None
        start = time.perf_counter()
        try:
            result = entry.function(**entry.signature.bind(call.params, context))
            if iscoroutine(result):
                result.close()
                return None
            reply = write_result(result, call.id, call.version)
        except Exception:  # noqa: BLE001  (the usual way makes an answer of it)
            return None
        code = OK
        if len(reply) > self.limits.reply_bytes:  # asked again, a filter would have lost what it gathered
            error = self._too_large()
            reply, code = write_error(error, call.id, call.version), error.code
        self._tell(entry.name, time.perf_counter() - start, code)
        return reply

    def _plain_call(self, body: bytes) -> Call | None:
        if self.reads_need_auth:
            return None
        try:
            call = read_call(loads(body, self.limits))
        except JsonError:
            return None
        if isinstance(call, Refused) or call.is_notification or call.version is not Version.V2:
            return None
        return call

    async def _single(self, call: Call | Refused, context: CallContext) -> Reply:
        body, error = await self._answer(call, context, self.limits.request_seconds, alone=True)
        if body is not None and len(body) > self.limits.reply_bytes:
            error = self._too_large()
            body = write_error(error, call.id, call.version)
        if body is None:
            return Reply(204, None)
        return Reply(200 if error is None else http_status(error, call.version), body)

    async def _batch(self, values: list[object], context: CallContext) -> Reply:
        """Answer the items one after the other; each fails alone. They share a deadline and a reply cap."""
        refusal = self._batch_refusal(values)
        if refusal is not None:
            self._tell("unknown", 0.0, refusal.code)
            return Reply(200, write_error(refusal))
        deadline = time.monotonic() + self.limits.request_seconds
        parts: list[bytes] = []
        room = self.limits.reply_bytes - 2
        for value in values:
            call = read_call(value)
            left = deadline - time.monotonic()
            body = await self._batch_item(call, context, left, room)
            if body is not None:
                parts.append(body)
                room -= len(body) + 1
            await asyncio.sleep(0)
        return Reply(200, b"[" + b",".join(parts) + b"]") if parts else Reply(204, None)

    async def _batch_item(
        self, call: Call | Refused, context: CallContext, left: float, room: int
    ) -> bytes | None:
        if room <= 0 or left <= 0:
            if isinstance(call, Call) and call.is_notification:
                return None
            error = self._too_large() if room <= 0 else DeadlineExceeded(self.limits.request_seconds)
            return write_error(error, call.id, call.version)
        body, _ = await self._answer(call, context, left, alone=False)
        if body is not None and len(body) > room:
            return write_error(self._too_large(), call.id, call.version)
        return body

    def _batch_refusal(self, values: list[object]) -> RpcError | None:
        if not values:
            return InvalidRequest("a batch has at least one request")
        if len(values) > self.limits.batch_items:
            return LimitExceeded(f"Batch of {len(values)} requests, at most {self.limits.batch_items} taken")
        return None

    def _too_large(self) -> LimitExceeded:
        return LimitExceeded(f"Reply larger than {self.limits.reply_bytes} bytes; ask for less at a time")

    async def _answer(
        self, call: Call | Refused, context: CallContext, seconds: float, *, alone: bool
    ) -> tuple[bytes | None, RpcError | None]:
        """Give the response's bytes (None for a notification) and its error, if it is one."""
        if isinstance(call, Refused):
            self._tell("unknown", 0.0, call.error.code)
            return write_error(call.error, call.id, call.version), call.error
        entry = self.table.get(call.method)
        start = time.perf_counter()
        body, error = await self._execute(entry, call, context, seconds, alone=alone)
        self._tell(
            entry.name if entry else "unknown", time.perf_counter() - start, error.code if error else OK
        )
        return (None if call.is_notification else body), error

    async def _execute(
        self, entry: Method | None, call: Call, context: CallContext, seconds: float, *, alone: bool
    ) -> tuple[bytes, RpcError | None]:
        error: RpcError
        try:
            self._check_access(entry, call.method, context)
            assert entry is not None  # noqa: S101  (_check_access has seen to it)
            result = await self._run(entry, entry.signature.bind(call.params, context), seconds, alone=alone)
            return write_result(result, call.id, call.version), None
        except Exception as raised:  # noqa: BLE001  (whatever a method raises becomes an answer)
            error = self.errors.translate(raised, call.method[:64])
        try:
            return write_error(error, call.id, call.version), error
        except (TypeError, RecursionError) as raised:  # its data has no JSON form
            error = internal_error(raised, call.method[:64])
            return write_error(error, call.id, call.version), error

    def _check_access(self, entry: Method | None, name: str, context: CallContext) -> None:
        if not context.authorized:
            if self.reads_need_auth:
                raise Unauthorized(
                    "this port answers only callers that authenticate (cookie file or password)"
                )
            if entry is not None and entry.mark.write:
                raise Unauthorized(
                    f"{name} changes the node; authenticate with the cookie file or the password"
                )
        if entry is None:
            raise MethodNotFound(name)

    async def _run(self, entry: Method, arguments: dict[str, Any], seconds: float, *, alone: bool) -> Any:
        begin: Begin = partial(self._begin, entry, arguments)
        if not entry.is_async and not entry.mark.thread:
            result = entry.function(**arguments)
            if not iscoroutine(result):
                return result
            begin = _Once(result)  # this very call takes longer than the method's others
        own = entry.mark.timeout
        if own is not None:
            seconds = own if alone else min(own, seconds)
        if seconds > self.limits.request_seconds:
            return await self._run_long_poll(entry, begin, seconds)
        deadline = time.monotonic() + seconds
        await self._enter(self._calls, seconds)
        try:
            return await self._within(entry, begin, deadline - time.monotonic(), seconds)
        finally:
            self._calls.release()

    async def _run_long_poll(self, entry: Method, begin: Begin, seconds: float) -> Any:
        if self._long_polls.locked():
            raise LimitExceeded(f"{self.limits.long_polls} long polls are waiting already; try again later")
        async with self._long_polls:
            return await self._within(entry, begin, seconds, seconds)

    async def _enter(self, slots: asyncio.Semaphore, seconds: float) -> None:
        if not slots.locked():
            await slots.acquire()
            return
        try:
            async with asyncio.timeout(seconds):
                await slots.acquire()
        except TimeoutError:
            raise LimitExceeded("The server is busy with other calls; try again later") from None

    async def _within(self, entry: Method, begin: Begin, left: float, stated: float) -> Any:
        """Await a call, but answer at its deadline even if it does not heed its cancellation."""
        work = begin()
        if stated > self.limits.request_seconds:
            self._polling.add(work)
            work.add_done_callback(self._polling.discard)
        try:
            done, _ = await asyncio.wait((work,), timeout=max(left, 0))
        except asyncio.CancelledError:  # the client has gone
            self._leave(work, cancel=not entry.mark.write)
            raise
        if not done:
            self._leave(work, cancel=True)
            raise DeadlineExceeded(stated)
        if work.cancelled():
            raise RpcError(Code.RESOURCE_UNAVAILABLE, "The call was cancelled because the node is stopping")
        return work.result()

    def _begin(self, entry: Method, arguments: dict[str, Any]) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        if entry.mark.thread:
            return loop.run_in_executor(self._pool, partial(entry.function, **arguments))
        return loop.create_task(entry.function(**arguments))

    def _leave(self, work: "asyncio.Future[Any]", *, cancel: bool) -> None:
        """Keep a call that nobody awaits any more alive until it ends, and heed its outcome."""
        self._left_behind.add(work)
        work.add_done_callback(self._ended)
        if cancel:
            work.cancel()

    def _ended(self, work: "asyncio.Future[Any]") -> None:
        self._left_behind.discard(work)
        if not work.cancelled() and (error := work.exception()) is not None:
            log.debug("a call that nobody awaited any more failed", exc_info=error)

    def _tell(self, name: str, seconds: float, code: int) -> None:
        if self._observe is not None:
            self._observe(name, seconds, code)
