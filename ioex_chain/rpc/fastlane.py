"""The short way of plain requests: whole HTTP messages with one call each, answered by one write each.

A request takes it when its bytes come in one piece, its head has nothing but the fields listed here, and
its method changes nothing of the operator's. Everything else, also whatever is wrong with head or JSON,
goes the usual way through aiohttp, which decides and answers; so nothing is accepted here that is refused
there. A method that waits does so within the dispatcher's limits, as on the usual way.
"""

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.dispatch import Dispatcher, Reply
from ioex_chain.rpc.origin import OriginPolicy

_START = b"POST / HTTP/1.1\r\n"
_END = b"\r\n\r\n"
_OK = b"HTTP/1.1 200 OK"
_PLAIN_FIELDS = frozenset(
    ("host", "content-length", "content-type", "accept", "accept-encoding", "accept-language", "user-agent")
)
MAX_HEAD = 2_048
MAX_BODY = 16_384
_REMEMBERED = 1_024


@dataclass(frozen=True, slots=True)
class _Head:
    """What a head says: the body's length; `is_plain` False for one that goes the usual way."""

    is_plain: bool
    length: int = 0


_USUAL = _Head(False)


class FastLane:
    """Answers plain requests of one port. Heads that were judged once are known by their bytes."""

    def __init__(self, dispatcher: Dispatcher, policy: OriginPolicy, headers: Mapping[str, str]) -> None:
        self._dispatcher = dispatcher
        self._policy = policy
        self._heads: dict[bytes, _Head] = {}
        own = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._begin = b"\r\nContent-Type: application/json\r\nContent-Length: "
        self._middle = f"\r\n{own}Server: {SERVER_SOFTWARE}\r\nDate: ".encode()

    def body_of(self, data: bytes) -> bytes | None:
        """Give the body when `data` is exactly one plain request; None for anything else."""
        end = data.find(_END, 0, MAX_HEAD)
        if end < 0:
            return None
        head = data[:end]
        known = self._heads.get(head)
        if known is None:
            known = self._judge(head)
        if not known.is_plain or len(data) != end + 4 + known.length:
            return None
        return data[end + 4 :]

    def answer(self, body: bytes, remote: str) -> bytes | Coroutine[Any, Any, bytes] | None:
        """Give the whole response to a body, or what waits for it; None: it must go the usual way."""
        found = self._dispatcher.begin(body, CallContext(False, remote))
        if found is None:
            return None
        return self._response(_OK, found) if isinstance(found, bytes) else self._later(found)

    async def _later(self, work: Coroutine[Any, Any, Reply]) -> bytes:
        reply = await work
        status = HTTPStatus(reply.status)
        line = _OK if status == HTTPStatus.OK else f"HTTP/1.1 {status.value} {status.phrase}".encode()
        return self._response(line, reply.body or b"")

    def _response(self, line: bytes, body: bytes) -> bytes:
        date = rfc822_formatted_time().encode()
        return b"".join((line, self._begin, b"%d" % len(body), self._middle, date, _END, body))

    def _judge(self, head: bytes) -> _Head:
        if len(self._heads) >= _REMEMBERED:
            self._heads.clear()
        judged = self._heads[head] = self._read(head)
        return judged

    def _read(self, head: bytes) -> _Head:
        if not head.startswith(_START) or not head.isascii():
            return _USUAL
        fields: dict[str, str] = {}
        for line in head[len(_START) :].decode("ascii").split("\r\n"):
            name, colon, value = line.partition(":")
            name, value = name.lower(), value.strip(" \t")
            if name == "connection" and value.lower() == "keep-alive":
                continue
            if not colon or name not in _PLAIN_FIELDS or name in fields or not value.isprintable():
                return _USUAL
            fields[name] = value
        length = fields.get("content-length", "")
        if not length.isdigit() or len(length) > 5 or int(length) > MAX_BODY:
            return _USUAL
        if "host" not in fields or not self._policy.allows_host(fields["host"]):
            return _USUAL
        return _Head(True, int(length))
