"""JSON-RPC error codes, and the one table that gives each domain error its code.

Codes are those of JSON-RPC 2.0 section 5.1, Bitcoin Core's `rpc/protocol.h` and EIP-1474.
"""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

from ioex_chain.primitives.errors import DecodeError, IoexError

log = logging.getLogger(__name__)


class Code(IntEnum):
    """Error codes; which server uses which of them is `Flavour`'s matter."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603

    # EIP-1474
    INVALID_INPUT = -32000
    RESOURCE_NOT_FOUND = -32001
    RESOURCE_UNAVAILABLE = -32002
    TRANSACTION_REJECTED = -32003
    METHOD_NOT_SUPPORTED = -32004
    LIMIT_EXCEEDED = -32005
    EXECUTION_REVERTED = 3

    # EIP-1193
    UNAUTHORIZED = 4100

    # Bitcoin Core
    MISC_ERROR = -1
    TYPE_ERROR = -3
    INVALID_ADDRESS_OR_KEY = -5
    OUT_OF_MEMORY = -7
    INVALID_PARAMETER = -8
    CLIENT_NOT_CONNECTED = -9
    CLIENT_IN_INITIAL_DOWNLOAD = -10
    DATABASE_ERROR = -20
    DESERIALIZATION_ERROR = -22
    NODE_ALREADY_ADDED = -23
    NODE_NOT_ADDED = -24
    VERIFY_ERROR = -25
    VERIFY_REJECTED = -26
    VERIFY_ALREADY_IN_UTXO_SET = -27
    IN_WARMUP = -28
    NODE_NOT_CONNECTED = -29
    INVALID_IP_OR_SUBNET = -30
    P2P_DISABLED = -31
    METHOD_DEPRECATED = -32


class Flavour(Enum):
    """Whose conventions a port follows where JSON-RPC leaves a choice."""

    CORE = "core"
    """Bitcoin Core: codes -1, -3 and -8 for wrong parameters, HTTP 500 for an unreadable request."""
    ETHEREUM = "ethereum"
    """-32602 for wrong parameters, HTTP 200 for an unreadable request."""


class RpcError(IoexError):
    """An error as the client receives it: `code`, `message` and optional JSON `data`."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = int(code)
        self.message = message
        self.data = data

    def as_json(self) -> dict[str, object]:
        """Give the `error` member of a response."""
        body: dict[str, object] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


class JsonError(RpcError):
    """The request is not JSON that this server reads."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.PARSE_ERROR, f"Parse error: {message}")


class InvalidRequest(RpcError):
    """JSON, but no JSON-RPC request."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.INVALID_REQUEST, f"Invalid request: {message}")


class MethodNotFound(RpcError):
    """No method has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(Code.METHOD_NOT_FOUND, "Method not found", {"method": name[:64]})


class Unauthorized(RpcError):
    """The method changes the node, or the port is closed, and the caller has not shown who they are."""

    def __init__(self, reason: str) -> None:
        super().__init__(Code.UNAUTHORIZED, f"Unauthorized: {reason}")


class LimitExceeded(RpcError):
    """The request or its reply is larger, or there are more of them, than this server takes."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.LIMIT_EXCEEDED, message)


class DeadlineExceeded(RpcError):
    """The method did not finish in its time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(Code.RESOURCE_UNAVAILABLE, f"Request timed out after {seconds:g} s")


class ParameterFault(Enum):
    """What is wrong with a parameter."""

    COUNT = "count"
    TYPE = "type"
    VALUE = "value"
    UNKNOWN = "unknown"
    TWICE = "twice"


class ParameterError(RpcError):
    """A parameter is missing, unknown, given twice, of the wrong type or out of range.

    An API method raises it too, for what its annotations cannot say; `name` is the parameter's JSON name.
    """

    def __init__(self, name: str, message: str, fault: ParameterFault = ParameterFault.VALUE) -> None:
        super().__init__(Code.INVALID_PARAMS, f"{name}: {message}")
        self.name = name
        self.fault = fault

    def in_flavour(self, flavour: Flavour) -> RpcError:
        """Give the same error with the code that this kind of port uses."""
        if flavour is Flavour.CORE:
            return RpcError(_CORE_PARAMETER_CODES[self.fault], self.message)
        return self


_CORE_PARAMETER_CODES = {
    ParameterFault.COUNT: Code.MISC_ERROR,
    ParameterFault.TYPE: Code.TYPE_ERROR,
    ParameterFault.VALUE: Code.INVALID_PARAMETER,
    ParameterFault.UNKNOWN: Code.INVALID_PARAMETER,
    ParameterFault.TWICE: Code.INVALID_PARAMETER,
}


@dataclass(frozen=True, slots=True)
class Row:
    """A table row: the code, and a fixed message where the error's own must stay inside (it names a path)."""

    code: int
    message: str | None = None


ErrorRows = Mapping[type[Exception], int | Row]


class ErrorTable:
    """Domain error classes and their codes; a subclass without a row of its own has its nearest base's.

    An error that no row covers becomes -32603 with a reference number; what happened goes to the log only.
    """

    def __init__(self, rows: ErrorRows | None = None, flavour: Flavour = Flavour.CORE) -> None:
        self.flavour = flavour
        base: ErrorRows = {
            DecodeError: Code.DESERIALIZATION_ERROR if flavour is Flavour.CORE else Code.INVALID_INPUT
        }
        merged = {**base, **(rows or {})}
        self._rows = {cls: row if isinstance(row, Row) else Row(row) for cls, row in merged.items()}

    def row(self, error: type[BaseException]) -> Row | None:
        """Find the row of a class or of its nearest base, if there is one."""
        return next((self._rows[cls] for cls in error.__mro__ if cls in self._rows), None)

    def translate(self, error: Exception, method: str) -> RpcError:
        """Give what the client is told about `error`, which `method` raised."""
        if isinstance(error, ParameterError):
            return error.in_flavour(self.flavour)
        if isinstance(error, RpcError):
            return error
        row = self.row(type(error))
        if row is not None:
            return RpcError(row.code, row.message or str(error) or type(error).__name__)
        return internal_error(error, method)


def internal_error(error: BaseException, method: str) -> RpcError:
    """Log an unforeseen error under a reference number and give the client that number alone."""
    reference = secrets.token_hex(4)
    log.error("internal error %s in RPC method %s", reference, method, exc_info=error)
    return RpcError(
        Code.INTERNAL_ERROR,
        f"Internal error; the node's log has it under {reference}",
        {"reference": reference},
    )
