"""A client for this project's RPC ports, and for any other JSON-RPC 2.0 port over HTTP.

Numbers with a fraction come back as `Decimal`, so that amounts stay exact.
"""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from ioex_chain.primitives.errors import IoexError
from ioex_chain.rpc.auth import CookieError, CookieFile, Credential
from ioex_chain.rpc.jsonio import dumps

MESSAGE_CAP = 64 * 1024 * 1024


class RpcClientError(IoexError):
    """A call that gave no result."""


class RpcCallError(RpcClientError):
    """The node answered with an error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{message} (code {code})")
        self.code = code
        self.message = message
        self.data = data


class RpcUnreachable(RpcClientError):
    """Nobody answers at the URL, or not in time."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"no answer from the node at {url} ({reason}). Start one with 'ioex node' (or 'ioex devnet'), "
            "or name another with --rpc-url"
        )
        self.url = url


class RpcUnauthorized(RpcClientError):
    """The node does not take the credentials."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"the node at {url} refuses the credentials. Use its data directory (--datadir, for the cookie "
            "file) or its RPC user and password"
        )


class RpcProtocolError(RpcClientError):
    """What answers at the URL does not speak JSON-RPC."""

    def __init__(self, url: str, detail: str) -> None:
        super().__init__(f"the answer from {url} is not JSON-RPC ({detail}); is this the node's RPC port?")


class RpcClient:
    """Calls methods over one keep-alive pool of connections; an async context manager.

    Give a `credential`, or the node's `cookie` file, which is read again when the node has renewed it.
    """

    def __init__(
        self,
        url: str,
        *,
        credential: Credential | None = None,
        cookie: CookieFile | Path | None = None,
        timeout: float = 60.0,
    ) -> None:
        self.url = url
        self._fixed = credential
        self._cookie = CookieFile(cookie) if isinstance(cookie, Path) else cookie
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._authorization: str | None = credential.header() if credential else None
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, method: str, /, *params: object, **named: object) -> Any:
        """Call one method, its parameters by position or by name; give its result.

        Raises RpcCallError, RpcUnreachable, RpcUnauthorized, RpcProtocolError.
        """
        id_ = next(self._ids)
        answer = await self._post(_request(method, params, named, id_))
        if not isinstance(answer, dict) or answer.get("id") not in (id_, None):
            raise RpcProtocolError(self.url, "no response object with our id")
        return self._result(answer)

    async def batch(self, calls: Iterable[tuple[str, Sequence[object]]]) -> list[Any]:
        """Call several methods in one request; give results and, where one failed, its RpcCallError."""
        requests = [_request(method, params, {}, next(self._ids)) for method, params in calls]
        if not requests:
            return []
        answer = await self._post(requests)
        if isinstance(answer, dict):
            self._result(answer)
        if not isinstance(answer, list):
            raise RpcProtocolError(self.url, "no array of responses")
        by_id = {item.get("id"): item for item in answer if isinstance(item, dict)}
        return [self._outcome(by_id.get(request["id"])) for request in requests]

    async def subscribe(
        self, topic: str, *params: object, method: str = "subscribe", connected: asyncio.Event | None = None
    ) -> AsyncIterator[Any]:
        """Yield a topic's events over a WebSocket until the caller stops or the node closes it.

        `connected` is set once the subscription stands. Raises as `call` does; RpcUnreachable when the
        node goes away.
        """
        await self._authorize()
        try:
            async with self._http().ws_connect(
                self._ws_url(), headers=self._headers(), max_msg_size=MESSAGE_CAP, heartbeat=30
            ) as socket:
                await socket.send_str(dumps(_request(method, (topic, *params), {}, 0)).decode())
                id_ = self._result(self._parse(await self._receive(socket)))
                if connected is not None:
                    connected.set()
                while True:
                    notice = self._parse(await self._receive(socket))
                    if (
                        isinstance(notice, dict)
                        and (body := notice.get("params", {})).get("subscription") == id_
                    ):
                        yield body.get("result")
        except aiohttp.WSServerHandshakeError as error:
            raise self._refused(error.status) from None
        except aiohttp.ClientError as error:
            raise RpcUnreachable(self.url, _reason(error)) from None

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> str | bytes:
        message = await socket.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            data: str | bytes = message.data
            return data
        raise RpcUnreachable(self.url, "the node closed the connection")

    async def _post(self, request: object) -> Any:
        """Send a body; after a 401, read the cookie file anew and try once more."""
        await self._authorize()
        status, body = await self._exchange(request)
        if status == 401 and self._cookie is not None:
            self._authorization = None
            await self._authorize()
            status, body = await self._exchange(request)
        if status == 401:
            raise RpcUnauthorized(self.url)
        return self._parse(body)

    async def _exchange(self, request: object) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", **self._headers()}
        try:
            async with self._http().post(self.url, data=dumps(request), headers=headers) as response:
                return response.status, await response.read()
        except TimeoutError:
            raise RpcUnreachable(self.url, f"timed out after {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise RpcUnreachable(self.url, _reason(error)) from None

    async def _authorize(self) -> None:
        """Read the cookie file if it is there; without it, the node may still answer reads."""
        if self._authorization is None and self._cookie is not None:
            with suppress(CookieError):
                self._authorization = (await asyncio.to_thread(self._cookie.read)).header()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": self._authorization} if self._authorization else {}

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self._session

    def _ws_url(self) -> str:
        return "ws" + self.url.removeprefix("http")

    def _refused(self, status: int) -> RpcClientError:
        if status == 401:
            return RpcUnauthorized(self.url)
        return RpcProtocolError(self.url, f"HTTP {status} to a WebSocket handshake")

    def _parse(self, body: bytes | str) -> Any:
        try:
            orjson.loads(body)  # refuses deep nesting, which the standard decoder may crash on
            return json.loads(body, parse_float=Decimal)
        except (ValueError, RecursionError):
            raise RpcProtocolError(self.url, "no JSON") from None

    def _result(self, answer: object) -> Any:
        outcome = self._outcome(answer)
        if isinstance(outcome, RpcCallError):
            raise outcome
        return outcome

    def _outcome(self, answer: object) -> Any:
        if not isinstance(answer, dict):
            raise RpcProtocolError(self.url, "a response is missing")
        error = answer.get("error")
        if error is None:
            return answer.get("result")
        if not isinstance(error, dict) or not isinstance(error.get("code"), int):
            raise RpcProtocolError(self.url, "an error without a code")
        return RpcCallError(error["code"], str(error.get("message", "")), error.get("data"))


class SyncRpcClient:
    """The same client for code without an event loop, such as a command line; a context manager."""

    def __init__(
        self,
        url: str,
        *,
        credential: Credential | None = None,
        cookie: CookieFile | Path | None = None,
        timeout: float = 60.0,
    ) -> None:
        self._client = RpcClient(url, credential=credential, cookie=cookie, timeout=timeout)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, method: str, /, *params: object, **named: object) -> Any:
        """Call one method; see `RpcClient.call`."""
        return self._runner.run(self._client.call(method, *params, **named))

    def batch(self, calls: Iterable[tuple[str, Sequence[object]]]) -> list[Any]:
        """Call several methods in one request; see `RpcClient.batch`."""
        return self._runner.run(self._client.batch(calls))

    def close(self) -> None:
        """Close the connections and the event loop."""
        self._runner.run(self._client.close())
        self._runner.close()


def _reason(error: Exception) -> str:
    """Say shortly why there was no answer, such as "Connection refused"."""
    number = error.errno if isinstance(error, aiohttp.ClientConnectorError) else None
    if number is not None and number > 0:  # names that do not resolve have negative ones
        return os.strerror(number)
    return str(error) or type(error).__name__


def _request(method: str, params: Sequence[object], named: dict[str, object], id_: int) -> dict[str, Any]:
    """Write one request; parameters given both ways go into `named` with Core's `args`."""
    body: object = list(params)
    if named:
        body = {"args": list(params), **named} if params else named
    return {"jsonrpc": "2.0", "method": method, "params": body, "id": id_}
