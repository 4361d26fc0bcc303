"""Types of parameters that many methods share, with Bitcoin Core's messages."""

import re
from binascii import a2b_hex
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from ioex_chain.primitives.errors import IoexError
from ioex_chain.rpc.errors import Code, RpcError
from ioex_chain.rpc.params import Param

_HEX = re.compile(r"[0-9a-fA-F]*")
HASH_SCHEMA = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}


def _read_hash(value: object) -> bytes:
    """Read 64 hex digits as Bitcoin's tools print a hash: bytes reversed."""
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "must be a string of 64 hex digits")
    if len(value) != 64:
        shown = {"length": len(value), "text": value[:80]}
        raise PydanticCustomError("hash_length", "must be of length 64 (not {length}, for '{text}')", shown)
    if not _HEX.fullmatch(value):
        raise PydanticCustomError("hash_hex", "must be hexadecimal string (not '{text}')", {"text": value})
    return a2b_hex(value)[::-1]


HashBytes = Annotated[bytes, BeforeValidator(_read_hash), WithJsonSchema(HASH_SCHEMA)]
"""A hash or transaction id; the method receives 32 bytes in internal order."""
BlockHashParam = Annotated[HashBytes, Param("the block's hash")]
TxidParam = Annotated[HashBytes, Param("the transaction's id")]
Verbosity2 = Annotated[
    bool | Annotated[int, Field(ge=0, le=2)],
    Param("0: hex, 1: JSON, 2: JSON with fee and the outputs spent", also=("verbose",)),
]
Verbosity3 = Annotated[
    bool | Annotated[int, Field(ge=0, le=3)],
    Param(
        "0: hex, 1: JSON with ids, 2: with transactions, 3: with the outputs that they spend",
        also=("verbose",),
    ),
]
HexParam = Annotated[str, Field(max_length=16_000_200)]
"""Bytes in hex, decoded by `from_hex` so that what is wrong gets the method's own code."""
Confirmations = Annotated[int, Field(ge=0, le=9_999_999)]
AddressText = Annotated[str, Field(max_length=200)]


class HexError(IoexError, ValueError):
    """Text that is not an even number of hex digits."""


def from_hex(text: str) -> bytes:
    """Read hex digits, nothing else between them. Raises HexError."""
    try:
        return a2b_hex(text)
    except ValueError:
        raise HexError("not an even number of hex digits") from None


def decode_failed(what: str, reason: object) -> RpcError:
    """Make Core's error for bytes that do not decode (-22), with our reason behind it."""
    return RpcError(Code.DESERIALIZATION_ERROR, f"{what} decode failed: {reason}")


def not_found(message: str) -> RpcError:
    """Make Core's error for a block or transaction that is not known (-5)."""
    return RpcError(Code.INVALID_ADDRESS_OR_KEY, message)
