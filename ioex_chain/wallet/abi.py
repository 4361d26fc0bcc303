"""Contract ABI for people: texts to typed values, calldata, and answers, events and reverts in words.

The encoding itself is the library's (eth-abi, Solidity's contract ABI specification). Integers leave as
decimal text in JSON forms, because most readers of JSON keep only 53 bits.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
from eth_abi import grammar
from eth_abi.abi import decode, encode, is_encodable_type
from eth_abi.exceptions import ABITypeError, DecodingError, EncodingError, ParseError
from eth_abi.grammar import TupleType, parse

from ioex_chain.crypto.address import InvalidAddress, checksum_account, parse_account
from ioex_chain.crypto.hashes import keccak256
from ioex_chain.wallet.contract_errors import (
    AmbiguousFunction,
    InvalidAbi,
    InvalidArgument,
    NoSuchFunction,
    WrongArgumentCount,
)

Abi = Sequence[Mapping[str, Any]]
Parameter = Mapping[str, Any]
"""One of an ABI's inputs or outputs: `name`, `type`, and `components` when it is a tuple."""

UNITS = {"wei": 0, "gwei": 9, "ether": 18, "ioex": 18}
"""Words that may follow a number, and the power of ten they stand for."""
_NUMBER = re.compile(r"(-?[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][0-9]{1,3})?)\s*([a-z]*)", re.IGNORECASE)
_ARRAY = re.compile(r"(.*)\[(\d*)\]$", re.DOTALL)
_SIGNATURE = re.compile(r"\s*(?:function\s+)?([A-Za-z_$][\w$]*)\s*(\(.*)$", re.DOTALL)
PANICS = {
    0x01: "assertion failed",
    0x11: "arithmetic overflow or underflow",
    0x12: "division by zero",
    0x21: "value is no member of the enum",
    0x22: "storage byte array is encoded wrongly",
    0x31: "pop of an empty array",
    0x32: "index out of bounds",
    0x41: "too much memory",
    0x51: "call of an uninitialised function",
}
"""Codes of Solidity's Panic(uint256)."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function (or the constructor, or an error) with typed parameters."""

    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...] = ()
    mutability: str = "nonpayable"

    @property
    def signature(self) -> str:
        """The canonical form, such as transfer(address,uint256)."""
        return f"{self.name}({','.join(canonical(item) for item in self.inputs)})"

    @property
    def selector(self) -> bytes:
        """The 4 bytes that stand before the arguments."""
        return keccak256(self.signature.encode())[:4]

    def arguments(self, texts: Sequence[Any]) -> list[Any]:
        """Turn texts or JSON values into typed values. Raises WrongArgumentCount, InvalidArgument."""
        if len(texts) != len(self.inputs):
            raise WrongArgumentCount(self.signature, len(self.inputs), len(texts))
        return [parse_value(item, text) for item, text in zip(self.inputs, texts, strict=True)]

    def encode(self, values: Sequence[Any]) -> bytes:
        """Encode typed values, without the selector. Raises InvalidArgument."""
        return encode_values(self.inputs, values)

    def calldata(self, texts: Sequence[Any]) -> bytes:
        """Give selector and arguments. Raises WrongArgumentCount, InvalidArgument."""
        return self.selector + self.encode(self.arguments(texts))


def canonical(item: Parameter) -> str:
    """Give a parameter's canonical type: tuples written out. Raises InvalidAbi."""
    kind = str(item.get("type", ""))
    if not kind.startswith("tuple"):
        return kind
    parts = item.get("components")
    if not isinstance(parts, list):
        raise InvalidAbi("a tuple in the ABI has no components")
    return f"({','.join(canonical(part) for part in parts)}){kind[5:]}"


def read_abi(value: object) -> list[dict[str, Any]]:
    """Check that a JSON value is an ABI. Raises InvalidAbi."""
    if not isinstance(value, list) or not all(isinstance(item, dict) and "type" in item for item in value):
        raise InvalidAbi("this is no contract ABI: a JSON array of objects with a type each")
    for item in value:
        for side in ("inputs", "outputs"):
            _check_types(item.get(side) or [])
    return value


def normalize(kind: str) -> str:
    """Give a type's canonical name: uint is uint256, and so on."""
    return str(grammar.normalize(kind))  # type: ignore[no-untyped-call]


def _check_types(items: Sequence[Parameter]) -> None:
    for item in items:
        kind = canonical(item)
        try:
            is_known = is_encodable_type(normalize(kind))
        except (ParseError, ABITypeError, ValueError):
            is_known = False
        if not is_known:
            raise InvalidAbi(f"the ABI has the type {kind!r}, which is not known")


# --- finding functions -----------------------------------------------------------------------------------


def constructor(abi: Abi) -> Function:
    """Give the constructor; one without parameters when the ABI names none."""
    for item in abi:
        if item["type"] == "constructor":
            return _function({**item, "name": "constructor"})
    return Function("constructor", ())


def function(abi: Abi, name: str) -> Function:
    """Find a function by name or by signature. Raises NoSuchFunction, AmbiguousFunction."""
    wanted = name.replace(" ", "")
    known = [_function(item) for item in abi if item["type"] == "function"]
    if "(" in wanted:
        found = [one for one in known if one.signature == _canonical_signature(wanted)]
    else:
        found = [one for one in known if one.name == wanted]
    if not found:
        names = ", ".join(sorted(one.signature for one in known)) or "none"
        raise NoSuchFunction(f"the contract has no function {name}; it has: {names}")
    if len(found) > 1:
        raise AmbiguousFunction(
            f"there are several functions {name}; give one of: {', '.join(one.signature for one in found)}"
        )
    return found[0]


def parse_signature(text: str) -> Function:
    """Read a function without an ABI: `balanceOf(address)(uint256)`, the answer's types behind.

    Raises NoSuchFunction when the text is no signature, InvalidAbi for a type that is not known.
    """
    match = _SIGNATURE.match(text)
    if match is None:
        raise NoSuchFunction(
            f"{text!r} is no signature; write for example 'balanceOf(address)(uint256)', or give --abi"
        )
    groups = _groups(match[2].replace(" ", ""))
    if groups is None or not 1 <= len(groups) <= 2:
        raise NoSuchFunction(f"{text!r} is no signature: its parentheses do not match")
    sides = [tuple(_parameter(kind) for kind in _split(group)) for group in groups]
    for side in sides:
        _check_types(side)
    return Function(match[1], sides[0], sides[1] if len(sides) == 2 else ())


def _canonical_signature(text: str) -> str:
    name, _, rest = text.partition("(")
    groups = _groups("(" + rest)
    return f"{name}({','.join(normalize(kind) for kind in _split(groups[0]))})" if groups else text


def _groups(text: str) -> list[str] | None:
    """Split "(a,b)(c)" into "a,b" and "c"; None when parentheses do not match."""
    found, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        if letter == "(":
            if depth == 0:
                start = place + 1
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth < 0:
                return None
            if depth == 0:
                found.append(text[start:place])
        elif depth == 0:
            return None
    return None if depth else found


def _split(text: str) -> list[str]:
    """Split at commas that stand in no parentheses."""
    parts, depth, last = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(text[last:place])
            last = place + 1
    return [*parts, text[last:]] if text else []


def _parameter(kind: str) -> dict[str, Any]:
    if not kind.startswith("("):
        try:
            return {"name": "", "type": normalize(kind)}
        except (ParseError, ValueError) as error:
            raise InvalidAbi(f"the type {kind!r} is not known") from error
    inner, _, suffix = kind[1:].rpartition(")")
    return {"name": "", "type": f"tuple{suffix}", "components": [_parameter(one) for one in _split(inner)]}


def _function(item: Mapping[str, Any]) -> Function:
    return Function(
        str(item.get("name", "")),
        tuple(item.get("inputs") or ()),
        tuple(item.get("outputs") or ()),
        str(item.get("stateMutability", "nonpayable")),
    )


# --- values ----------------------------------------------------------------------------------------------


def parse_value(item: Parameter, given: Any) -> Any:
    """Turn a text (or a JSON value inside an array or tuple) into a value of the parameter's type.

    Integers are decimal, 0x.., or a number with a unit (1.5ether, 3gwei); bytes are 0x..; addresses carry
    EIP-55's checksum or one case; arrays are JSON arrays, tuples JSON arrays or objects by name.
    Raises InvalidArgument.
    """
    kind, name = str(item["type"]), str(item.get("name", ""))
    array = _ARRAY.match(kind)
    if array is not None:
        return _parse_array(item, array, _structure(item, given))
    if kind.startswith("tuple"):
        return _parse_tuple(item, _structure(item, given))
    if kind.startswith(("uint", "int")):
        return _parse_integer(name, kind, given)
    if kind == "address":
        return _parse_address(name, given)
    if kind == "bool":
        return _parse_bool(name, given)
    if kind.startswith("bytes"):
        return _parse_bytes(name, kind, given)
    if kind == "string":
        if not isinstance(given, str):
            raise InvalidArgument(name, kind, f"{given!r} is no text")
        return given
    raise InvalidArgument(name, kind, "values of this type cannot be written here")


def _structure(item: Parameter, given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return orjson.loads(given)
    except orjson.JSONDecodeError as error:
        name, kind = str(item.get("name", "")), str(item["type"])
        example = "'[\"0x..\", 5]'" if kind.startswith("tuple") else "'[1, 2]'"
        raise InvalidArgument(name, kind, f"write it as JSON, as in {example}") from error


def _parse_array(item: Parameter, array: re.Match[str], given: Any) -> list[Any]:
    name, kind = str(item.get("name", "")), str(item["type"])
    if not isinstance(given, list):
        raise InvalidArgument(name, kind, "a JSON array is needed")
    if array[2] and len(given) != int(array[2]):
        raise InvalidArgument(name, kind, f"needs {array[2]} elements, not {len(given)}")
    element = {**item, "type": array[1]}
    return [parse_value({**element, "name": f"{name}[{place}]"}, one) for place, one in enumerate(given)]


def _parse_tuple(item: Parameter, given: Any) -> tuple[Any, ...]:
    name, kind, parts = str(item.get("name", "")), canonical(item), item["components"]
    if isinstance(given, dict):
        names = [str(part.get("name", "")) for part in parts]
        if sorted(given) != sorted(names):
            raise InvalidArgument(name, kind, f"its members are {', '.join(names)}")
        given = [given[member] for member in names]
    if not isinstance(given, list) or len(given) != len(parts):
        raise InvalidArgument(name, kind, f"a JSON array of {len(parts)} values or an object is needed")
    return tuple(
        parse_value({**part, "name": f"{name}.{part.get('name') or place}"}, one)
        for place, (part, one) in enumerate(zip(parts, given, strict=True))
    )


def _parse_integer(name: str, kind: str, given: Any) -> int:
    value = parse_integer(str(given)) if isinstance(given, str | int) and given is not True else None
    if value is None or isinstance(given, bool):
        raise InvalidArgument(name, kind, f"{given!r} is no whole number")
    bits = int(re.sub(r"\D", "", kind) or 256)
    low, high = (0, 1 << bits) if kind.startswith("u") else (-(1 << bits - 1), 1 << bits - 1)
    if not low <= value < high:
        raise InvalidArgument(name, kind, f"{given} is out of its range")
    return value


def parse_integer(text: str) -> int | None:
    """Read 12, 1_000, 0x1f, 1e18 or 1.5ether; None when it is no whole number."""
    text = text.strip()
    if re.fullmatch(r"-?0[xX][0-9a-fA-F]{1,64}", text):
        return int(text, 16)
    match = _NUMBER.fullmatch(text)
    if match is None or (match[2] and match[2].lower() not in UNITS):
        return None
    try:
        number = Decimal(match[1].replace("_", ""))
    except InvalidOperation:
        return None
    sign, digits, exponent = number.as_tuple()
    shift = int(exponent) + UNITS.get(match[2].lower(), 0)
    whole = int("".join(map(str, digits)))
    if shift > 200 or len(digits) > 100:
        return None
    scaled, rest = (whole * 10**shift, 0) if shift >= 0 else divmod(whole, 10**-shift)
    return None if rest else -scaled if sign else scaled


def _parse_address(name: str, given: Any) -> str:
    try:
        return checksum_account(parse_account(given if isinstance(given, str) else ""))
    except InvalidAddress as error:
        raise InvalidArgument(name, "address", str(error)) from error


def _parse_bool(name: str, given: Any) -> bool:
    value = {"true": True, "false": False, "1": True, "0": False}.get(str(given).lower())
    if value is None:
        raise InvalidArgument(name, "bool", f"true or false, not {given!r}")
    return value


def _parse_bytes(name: str, kind: str, given: Any) -> bytes:
    if not isinstance(given, str) or not re.fullmatch(r"0[xX](?:[0-9a-fA-F]{2})*", given.strip()):
        raise InvalidArgument(name, kind, "0x and pairs of hex digits are needed")
    value = bytes.fromhex(given.strip()[2:])
    size = kind.removeprefix("bytes")
    if size and len(value) != int(size):
        raise InvalidArgument(name, kind, f"has {size} bytes, not {len(value)}")
    return value


def encode_values(items: Sequence[Parameter], values: Sequence[Any]) -> bytes:
    """Encode typed values as the ABI has it. Raises InvalidArgument."""
    try:
        return encode([canonical(item) for item in items], list(values))
    except (EncodingError, ParseError, ValueError, TypeError) as error:
        kinds = ",".join(canonical(item) for item in items)
        raise InvalidArgument("", kinds, str(error)) from error


def decode_values(items: Sequence[Parameter], data: bytes) -> list[Any]:
    """Decode and give values that JSON can hold. Raises InvalidAbi when the bytes are of other types."""
    kinds = [canonical(item) for item in items]
    try:
        values = decode(kinds, data)
    except (DecodingError, ParseError, ValueError, OverflowError) as error:
        raise InvalidAbi(f"the answer is not of the types ({', '.join(kinds)}): {error}") from error
    return [to_plain(kind, value) for kind, value in zip(kinds, values, strict=True)]


def to_plain(kind: str, value: Any) -> Any:
    """Give a decoded value as JSON holds it: integers as decimal text, bytes as 0x.., tuples as arrays."""
    array = _ARRAY.match(kind)
    if array is not None:
        return [to_plain(array[1], one) for one in value]
    if kind.startswith("("):
        parsed = parse(kind)
        if not isinstance(parsed, TupleType):  # cannot be: the type begins with a parenthesis
            raise InvalidAbi(f"the type {kind!r} is not known")
        parts = [part.to_type_str() for part in parsed.components]
        return [to_plain(part, one) for part, one in zip(parts, value, strict=True)]
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value)
    return checksum_account(bytes.fromhex(value[2:])) if kind == "address" else value


# --- what comes back -------------------------------------------------------------------------------------


def revert_reason(data: bytes, abi: Abi = ()) -> str:
    """Say why a contract reverted: its message, a panic in words, an error of its ABI, or the bytes."""
    known = [
        Function("Error", ({"name": "message", "type": "string"},)),
        Function("Panic", ({"name": "code", "type": "uint256"},)),
        *(_function(item) for item in abi if item["type"] == "error"),
    ]
    for error in known:
        if data[:4] == error.selector:
            try:
                values = decode_values(error.inputs, data[4:])
            except InvalidAbi:
                break
            return _said(error, values)
    return f"0x{data.hex()}" if data else "it gave no reason"


def _said(error: Function, values: list[Any]) -> str:
    if error.signature == "Error(string)":
        return str(values[0])
    if error.signature == "Panic(uint256)":
        code = int(values[0])
        return f"panic 0x{code:02x}: {PANICS.get(code, 'unknown code')}"
    names = [str(item.get("name", "")) for item in error.inputs]
    shown = [f"{name}={value}" if name else str(value) for name, value in zip(names, values, strict=True)]
    return f"{error.name}({', '.join(shown)})"


def decode_log(abi: Abi, topics: Sequence[bytes], data: bytes) -> dict[str, Any] | None:
    """Give an event's name and arguments, or None when the ABI does not know it.

    Indexed values of dynamic types are only hashes in a log and come as such.
    """
    for item in abi:
        if item["type"] != "event" or item.get("anonymous") or not topics:
            continue
        event = _function(item)
        indexed = [one for one in event.inputs if one.get("indexed")]
        if keccak256(event.signature.encode()) != topics[0] or len(topics) != len(indexed) + 1:
            continue
        try:
            plain = iter(decode_values([one for one in event.inputs if not one.get("indexed")], data))
            marked = iter([_topic(one, topic) for one, topic in zip(indexed, topics[1:], strict=True)])
        except InvalidAbi:
            continue
        values = {
            str(one.get("name") or place): next(marked if one.get("indexed") else plain)
            for place, one in enumerate(event.inputs)
        }
        return {"event": event.name, "signature": event.signature, "arguments": values}
    return None


def _topic(item: Parameter, topic: bytes) -> Any:
    kind = canonical(item)
    if kind in ("string", "bytes") or kind.endswith("]") or kind.startswith("("):
        return "0x" + topic.hex()
    return decode_values([item], topic)[0]
