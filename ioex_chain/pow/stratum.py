"""Stratum v1 on the wire: lines of JSON in, lines of JSON out, and the protocol's own errors.

The protocol has no standard beside its clients; this is what cgminer, bfgminer, pooler's cpuminer and ASIC
firmware speak: one JSON object a line, `id` returned unchanged, `error` null or [code, message, null].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from ioex_chain.primitives.errors import IoexError

MAX_LINE = 4096
"""Bytes of a line from a miner; no message of the protocol comes near."""
_MAX_NAME = 64
"""Letters of a method's name that an error message repeats."""


class StratumError(IoexError):
    """A request that is refused: `code` is the protocol's, `reason` the word that statistics count by."""

    code: ClassVar[int] = 20
    reason: ClassVar[str] = "other"


class BadRequest(StratumError):
    """A line or parameters that cannot be read."""

    reason = "bad-request"


class UnknownMethod(StratumError):
    """A method that this server does not have."""

    reason = "unknown-method"


class BadShareTime(StratumError):
    """A header time outside of what the job allows."""

    reason = "time"


class BadShareVersion(StratumError):
    """Version bits that were not negotiated (BIP 310)."""

    reason = "version"


class JobNotFound(StratumError):
    """A job that this connection was never given."""

    code = 21
    reason = "job-not-found"


class StaleShare(StratumError):
    """A job on a head that is no longer the best, or one that is too old."""

    code = 21
    reason = "stale"


class DuplicateShare(StratumError):
    """A share that was counted already."""

    code = 22
    reason = "duplicate"


class LowDifficulty(StratumError):
    """A hash that misses the share's target."""

    code = 23
    reason = "low-difficulty"


class Unauthorized(StratumError):
    """A worker that did not name an address of this network."""

    code = 24
    reason = "unauthorized"


class NotSubscribed(StratumError):
    """A request that needs mining.subscribe first."""

    code = 25
    reason = "not-subscribed"


class LineTooLong(StratumError):
    """More than MAX_LINE bytes without an end: whoever sends that is no miner."""

    reason = "line-too-long"


@dataclass(frozen=True, slots=True)
class Request:
    """A call of the miner; `id` is None for a notification or when it was null."""

    id: Any
    method: str
    params: list[Any]


@dataclass(frozen=True, slots=True)
class Response:
    """The miner's answer to a call of ours."""

    id: Any
    result: Any


class LineReader:
    """Cuts a stream into lines, never holding more than MAX_LINE bytes of an unfinished one."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Give the lines that `data` completes, without their ends. Raises LineTooLong."""
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            raise LineTooLong(f"a line has at most {MAX_LINE} bytes")
        self._rest = rest
        return [line for line in lines if line and not line.isspace()]


def read_message(line: bytes) -> Request | Response:
    """Read a line. Raises BadRequest; see `id_of` for the id to refuse it with."""
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise BadRequest("a request is a JSON object")
    method, given = message.get("method"), _plain(message.get("id"))
    if method is None and ("result" in message or "error" in message):
        return Response(given, message.get("result"))
    if not isinstance(method, str):
        raise BadRequest("a request names its method")
    params = message.get("params")
    if params is None:
        params = []
    if not isinstance(params, list):
        raise BadRequest("params is a list")
    return Request(given, method, params)


def id_of(line: bytes) -> Any:
    """Give the id in a line that `read_message` refused, None if there is none to be read."""
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return _plain(message.get("id")) if isinstance(message, dict) else None


def _plain(value: object) -> Any:
    """Give an id back as it came; lists and objects are none."""
    return value if isinstance(value, str | int | float) else None


def encode_result(request_id: Any, result: Any) -> bytes:
    """Write an answer, with its line end."""
    return orjson.dumps({"id": request_id, "result": result, "error": None}) + b"\n"


def encode_error(request_id: Any, error: StratumError) -> bytes:
    """Write a refusal, with its line end."""
    body = {"id": request_id, "result": None, "error": [error.code, str(error), None]}
    return orjson.dumps(body) + b"\n"


def encode_call(method: str, params: list[Any], call_id: Any = None) -> bytes:
    """Write a notification, or a call that the miner answers when it has an id; with its line end."""
    return orjson.dumps({"id": call_id, "method": method, "params": params}) + b"\n"


def unknown(method: str) -> UnknownMethod:
    """Give the error for a method that nobody answers."""
    return UnknownMethod(f"unknown method {method[:_MAX_NAME]}")


def text_at(params: Sequence[Any], index: int, what: str) -> str:
    """Give a string parameter. Raises BadRequest, naming it `what`."""
    if len(params) <= index or not isinstance(params[index], str):
        raise BadRequest(f"{what} is missing, or no string")
    return str(params[index])


def difficulty_of_params(params: Sequence[Any]) -> float:
    """Give the first parameter as a difficulty. Raises BadRequest."""
    value = params[0] if params else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-12 < value < 1e30:
        raise BadRequest("a difficulty is a number above zero")
    return float(value)


def hex_of(value: Any, size: int, what: str) -> bytes:
    """Read exactly `size` bytes in hex. Raises BadRequest, naming them `what`."""
    if isinstance(value, str) and len(value) == 2 * size and value.isalnum():  # fromhex skips spaces
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    raise BadRequest(f"{what} is {2 * size} hex digits")
