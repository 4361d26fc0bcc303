"""JSON in and out: a strict, bounded reader and an exact writer.

Python's own reader takes NaN, UTF-16 and lone surrogates, keeps the last of two equal keys and raises
untyped errors on deep nesting and huge integers; `orjson` turns integers above 64 bits into floats. So
`orjson` checks the syntax first, then the standard reader builds the values with hooks for the rest.
"""

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, NoReturn

import orjson
from pydantic import BeforeValidator, GetPydanticSchema, WithJsonSchema
from pydantic_core import core_schema

from ioex_chain.primitives.types import COIN
from ioex_chain.rpc.errors import JsonError
from ioex_chain.rpc.limits import Limits

AMOUNT_MAX = 10**17
"""Units: five times the coins of genesis; more is no amount that somebody can mean."""

_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")

JsonAmount = Annotated[
    orjson.Fragment,
    GetPydanticSchema(lambda _source, _handler: core_schema.any_schema()),
    WithJsonSchema({"type": "number", "description": "IOEX with 8 decimal places"}),
]
"""Annotation for an amount in a result; `amount` makes the value."""


def amount(units: int) -> orjson.Fragment:
    """Write PoW units (1e-8 IOEX) as a JSON number with exactly 8 decimals, never through a float."""
    whole, part = divmod(abs(units), COIN)
    return orjson.Fragment(f"{'-' if units < 0 else ''}{whole}.{part:08d}".encode())


def units_from_json(value: object) -> int:
    """Read an amount in IOEX (number or decimal string, at most 8 places) as PoW units.

    A float is read through its shortest decimal form, which is exact for every amount below 90,071,992
    IOEX (2**53 units). Raises ValueError when it is no number, negative, too fine or too large.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("an amount is a number or a string of digits")  # noqa: TRY004  (pydantic heeds it)
    text = repr(value) if isinstance(value, float) else str(value)
    if len(text) > 28 or not _DECIMAL.fullmatch(text):
        raise ValueError("an amount is a number or a string of at most 28 digits")
    units = Decimal(text) * COIN
    if not 0 <= units <= AMOUNT_MAX:
        raise ValueError("amount out of range")
    if units != int(units):
        raise ValueError("an amount has at most 8 decimal places")
    return int(units)


AmountParam = Annotated[
    int,
    BeforeValidator(units_from_json),
    WithJsonSchema(
        {
            "description": "IOEX, at most 8 decimal places",
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d{1,8})?$"}],
        }
    ),
]
"""Annotation for a parameter in IOEX; the method receives PoW units."""


def number(value: float, digits: int = 16) -> float:
    """Round a figure such as a difficulty to `digits` significant digits, as Core prints it."""
    return float(f"{value:.{digits}g}")


def dumps(value: object) -> bytes:
    """Write JSON. Raises TypeError for what JSON cannot hold (bytes, sets, a lone surrogate)."""
    try:
        return orjson.dumps(value, default=_encode_other)
    except TypeError:  # perhaps only for an integer above 64 bits, which orjson does not write
        return orjson.dumps(_widen(value), default=_encode_other)


def _widen(value: object) -> object:
    """Give a copy whose integers above 64 bits are written out digit by digit."""
    if isinstance(value, dict):
        return {key: _widen(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_widen(member) for member in value]
    return writable(value)


def writable(value: object) -> object:
    """Make a scalar, such as a request's id, writable: integers above 64 bits are written out as they are."""
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return orjson.Fragment(str(value).encode())
    return value


def loads(body: bytes, limits: Limits) -> Any:
    """Read a request. Raises JsonError for everything that is not strict, bounded JSON in UTF-8."""
    _check_size(body, limits)
    try:
        orjson.loads(body)
        value = _decoder(limits.number_digits).decode(str(body, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise JsonError(_reason(error)) from None
    if body.count(b"[") + body.count(b"{") > limits.json_depth:
        _check_depth(value, limits.json_depth)
    return value


def _check_size(body: bytes, limits: Limits) -> None:
    if body.count(b",") + body.count(b"[") + body.count(b"{") > limits.json_values:
        raise JsonError(f"more than {limits.json_values} values")


def _check_depth(value: object, depth: int) -> None:
    """Walk level by level: a recursive walk would itself need the depth that is to be refused."""
    level: list[object] = [value]
    for _ in range(depth):
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
        if not level:
            return
    raise JsonError(f"nested deeper than {depth} levels")


def _children(node: object) -> Iterable[object]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


_OFFSET = re.compile(r": line \d+ column \d+ \(char (\d+)\)$")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return _OFFSET.sub(r" at byte \1", str(error))


class _Refused(ValueError):
    """A value that is JSON by its syntax but has no one meaning."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Refused("an object has two members of one name")
    return value


def _no_constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is not JSON")


class _Numbers:
    """Readers for number literals of bounded length."""

    def __init__(self, digits: int) -> None:
        self.digits = digits

    def integer(self, text: str) -> int:
        self._check(text)
        return int(text)

    def real(self, text: str) -> float:
        self._check(text)
        return float(text)

    def _check(self, text: str) -> None:
        if len(text) > self.digits:
            raise _Refused(f"a number has more than {self.digits} digits")


_decoders: dict[int, json.JSONDecoder] = {}


def _decoder(digits: int) -> json.JSONDecoder:
    if digits not in _decoders:
        numbers = _Numbers(digits)
        _decoders[digits] = json.JSONDecoder(
            object_pairs_hook=_unique,
            parse_int=numbers.integer,
            parse_float=numbers.real,
            parse_constant=_no_constant,
        )
    return _decoders[digits]


def _encode_other(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(f"{value:f}".encode())
    raise TypeError(f"{type(value).__name__} has no JSON form")
