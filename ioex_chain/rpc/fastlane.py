"""The short way of plain requests: whole HTTP messages whose method answers at once, one write each.

A request takes it when its bytes come in one piece, its head has nothing but the fields listed here, and
its method is a plain function. Everything else, also whatever is wrong in any way, goes the usual way
through aiohttp, which decides and answers; so nothing is accepted here that is refused there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.origin import OriginPolicy

_START = b"POST / HTTP/1.1\r\n"
_END = b"\r\n\r\n"
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
        self._begin = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
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

    def answer(self, body: bytes, remote: str) -> bytes | None:
        """Give the whole response to a body; None when the request must go the usual way."""
        reply = self._dispatcher.handle_now(body, CallContext(False, remote))
        if reply is None:
            return None
        date = rfc822_formatted_time().encode()
        return b"".join((self._begin, b"%d" % len(reply), self._middle, date, _END, reply))

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
