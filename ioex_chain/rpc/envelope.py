"""The outer form of requests and responses, JSON-RPC 2.0 and, as Bitcoin Core speaks them, 1.0 and 1.1."""

from dataclasses import dataclass
from enum import Enum

from ioex_chain.rpc.errors import Code, InvalidRequest, RpcError
from ioex_chain.rpc.jsonio import dumps


class Version(Enum):
    """Which JSON-RPC a request speaks; without a `jsonrpc` member it is the old one."""

    LEGACY = "1.0"
    V2 = "2.0"


_VERSIONS = {None: Version.LEGACY, "1.0": Version.LEGACY, "1.1": Version.LEGACY, "2.0": Version.V2}


@dataclass(frozen=True, slots=True)
class Call:
    """One request that has the right form."""

    method: str
    params: list[object] | dict[str, object]
    id: object
    version: Version
    is_notification: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """One request that has not: what to answer, and to which id."""

    error: RpcError
    id: object
    version: Version


def read_call(value: object) -> Call | Refused:
    """Judge one request by JSON-RPC 2.0 section 4, or its 1.0 form.

    Only a 2.0 request without `id` is a notification: 1.0 clients of Bitcoin Core that leave it out wait
    for an answer with a null id.
    """
    if not isinstance(value, dict):
        return Refused(InvalidRequest("a request is an object"), None, Version.V2)
    stated = value.get("jsonrpc")
    version = _VERSIONS.get(stated) if stated is None or isinstance(stated, str) else None
    id_ = value.get("id")
    fault = _fault(value, version, id_)
    if fault is not None:
        known = id_ if _is_id(id_) else None
        return Refused(InvalidRequest(fault), known, version or Version.V2)
    assert version is not None  # noqa: S101  (_fault has seen to it)
    params = value.get("params")
    notification = version is Version.V2 and "id" not in value
    return Call(value["method"], [] if params is None else params, id_, version, notification)


def _fault(value: dict[str, object], version: Version | None, id_: object) -> str | None:
    if version is None:
        return 'jsonrpc must be "2.0", "1.1" or "1.0"'
    if not _is_id(id_):
        return "id must be a string, a number or null"
    if not isinstance(value.get("method"), str):
        return "method must be a string"
    if not isinstance(value.get("params"), list | dict | None):
        return "params must be an array or an object"
    return None


def _is_id(value: object) -> bool:
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))


def write_result(result: object, id_: object, version: Version) -> bytes:
    """Write a response with a result. Raises TypeError when the result has no JSON form."""
    if version is Version.V2:
        return dumps({"jsonrpc": "2.0", "result": result, "id": id_})
    return dumps({"result": result, "error": None, "id": id_})


def write_error(error: RpcError, id_: object = None, version: Version = Version.V2) -> bytes:
    """Write a response with an error."""
    if version is Version.V2:
        return dumps({"jsonrpc": "2.0", "error": error.as_json(), "id": id_})
    return dumps({"result": None, "error": error.as_json(), "id": id_})


_LEGACY_STATUS: dict[int, int] = {Code.INVALID_REQUEST: 400, Code.METHOD_NOT_FOUND: 404}


def http_status(error: RpcError, version: Version) -> int:
    """Give the HTTP status of a single response with an error: 2.0 has 200, 1.0 Bitcoin Core's.

    A missing or wrong password is 401 for both: that answer is HTTP's own.
    """
    if error.code == Code.UNAUTHORIZED:
        return 401
    if version is Version.V2:
        return 200
    return _LEGACY_STATUS.get(error.code, 500)
