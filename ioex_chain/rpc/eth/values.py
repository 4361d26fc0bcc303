"""Ethereum's JSON values: how quantities, bytes and blocks are written (EIP-1474) and read.

Reading is strict where a wrong value could be taken for another one: no leading zeros, no decimal strings,
no odd number of digits in byte strings.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import GetPydanticSchema, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema

from ioex_chain.rpc.params import Param

T = TypeVar("T")
UINT64 = (1 << 64) - 1
UINT256 = (1 << 256) - 1
TAGS = ("earliest", "finalized", "safe", "latest", "pending")
_QUANTITY = re.compile(r"0x(?:0|[1-9a-fA-F][0-9a-fA-F]{0,63})")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_BYTES = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_SLOT = re.compile(r"0x[0-9a-fA-F]{1,64}")


def quantity(value: int) -> str:
    """Write an integer >= 0."""
    return hex(value)


def data(value: bytes) -> str:
    """Write bytes."""
    return "0x" + value.hex()


def word(value: int) -> str:
    """Write an integer as 32 bytes."""
    return f"0x{value:064x}"


def fault(message: str) -> PydanticCustomError:
    """Make the error of a reader; the parameter's name is put before it."""
    return PydanticCustomError("eth_value", "{reason}", {"reason": message})


def wrong_type(message: str) -> PydanticCustomError:
    """Make the error of a reader for a value of another JSON type."""
    return PydanticCustomError("eth_type", "{reason}", {"reason": message})


def read_quantity(value: object, most: int = UINT256) -> int:
    """Read `0x` and hex digits without leading zeros, at most `most`."""
    if not isinstance(value, str):
        raise wrong_type('must be a quantity: "0x" and hex digits')
    if not _QUANTITY.fullmatch(value):
        raise fault('must be a quantity: "0x" and 1 to 64 hex digits without leading zeros')
    number = int(value, 16)
    if number > most:
        raise fault(f"is above {hex(most)}")
    return number


def read_count(value: object, most: int = UINT64) -> int:
    """Read a quantity or a JSON integer, as development tools send either."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= most:
            raise fault(f"must lie between 0 and {most}")
        return value
    return read_quantity(value, most)


def read_uint64(value: object) -> int:
    """Read a quantity of at most 64 bits."""
    return read_quantity(value, UINT64)


def read_address(value: object) -> bytes:
    """Read 20 bytes; capitals are not checked (EIP-55 is for people)."""
    if not isinstance(value, str):
        raise wrong_type('must be an address: "0x" and 40 hex digits')
    if not _ADDRESS.fullmatch(value):
        raise fault('must be an address: "0x" and 40 hex digits')
    return bytes.fromhex(value[2:])


def read_hash(value: object) -> bytes:
    """Read 32 bytes."""
    if not isinstance(value, str):
        raise wrong_type('must be 32 bytes: "0x" and 64 hex digits')
    if not _HASH.fullmatch(value):
        raise fault('must be 32 bytes: "0x" and 64 hex digits')
    return bytes.fromhex(value[2:])


def read_bytes(value: object) -> bytes:
    """Read bytes of any length."""
    if not isinstance(value, str):
        raise wrong_type('must be bytes: "0x" and an even number of hex digits')
    if not _BYTES.fullmatch(value):
        raise fault('must be bytes: "0x" and an even number of hex digits')
    return bytes.fromhex(value[2:])


def read_slot(value: object) -> int:
    """Read a storage slot: up to 32 bytes, as a number or padded."""
    if not isinstance(value, str):
        raise wrong_type('must be a storage slot: "0x" and 1 to 64 hex digits')
    if not _SLOT.fullmatch(value):
        raise fault('must be a storage slot: "0x" and 1 to 64 hex digits')
    return int(value, 16)


def read_list(value: object, read: Callable[[object], T], most: int) -> list[T]:
    """Read an array of at most `most` values."""
    if not isinstance(value, list):
        raise wrong_type("must be an array")
    if len(value) > most:
        raise fault(f"has {len(value)} items, at most {most} are taken")
    return [read(item) for item in value]


@dataclass(frozen=True, slots=True)
class BlockId:
    """Which block is meant: exactly one of the first three is set."""

    tag: str | None = None
    number: int | None = None
    hash: bytes | None = None
    require_canonical: bool = False
    """Refuse a hash that is not on the best chain (EIP-1898)."""


LATEST = BlockId(tag="latest")


def read_block_id(value: object) -> BlockId:
    """Read a tag, a number, a hash, or an object of EIP-1898."""
    if isinstance(value, str):
        if value in TAGS:
            return BlockId(tag=value)
        if len(value) == 66:
            return BlockId(hash=read_hash(value))
        return BlockId(number=read_block_number(value))
    if isinstance(value, dict):
        return _read_object(value)
    raise wrong_type(f"must be a block: a number, a hash, an object of EIP-1898 or one of {', '.join(TAGS)}")


def read_block_tag(value: object) -> BlockId:
    """Read a tag or a number, as the methods that name a block by height take it."""
    if isinstance(value, str) and value in TAGS:
        return BlockId(tag=value)
    return BlockId(number=read_block_number(value))


def read_block_number(value: object) -> int:
    """Read a height."""
    try:
        return read_quantity(value, UINT64)
    except PydanticCustomError as error:
        raise fault(f"{error.message()}, or one of {', '.join(TAGS)}") from None


def _read_object(value: dict[str, object]) -> BlockId:
    if set(value) == {"blockNumber"}:
        return read_block_tag(value["blockNumber"])
    canonical = value.get("requireCanonical", False)
    if "blockHash" not in value or set(value) - {"blockHash", "requireCanonical"}:
        raise fault("an object names blockNumber, or blockHash and perhaps requireCanonical (EIP-1898)")
    if not isinstance(canonical, bool):
        raise wrong_type("requireCanonical must be true or false")
    return BlockId(hash=read_hash(value["blockHash"]), require_canonical=canonical)


def _schema(pattern: str, description: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "description": description})


QUANTITY_SCHEMA = _schema(r"^0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})$", "a quantity")
_BLOCK_TAG_SCHEMA = {"type": "string", "description": f"a quantity, or one of {', '.join(TAGS)}"}
_BLOCK_SCHEMA = {
    "anyOf": [
        _BLOCK_TAG_SCHEMA,
        {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$"},
        {
            "type": "object",
            "description": "EIP-1898",
            "properties": {
                "blockHash": {"type": "string"},
                "blockNumber": _BLOCK_TAG_SCHEMA,
                "requireCanonical": {"type": "boolean"},
            },
        },
    ]
}

Quantity = Annotated[int, PlainValidator(read_quantity), QUANTITY_SCHEMA]
Uint64 = Annotated[int, PlainValidator(read_uint64), QUANTITY_SCHEMA]
Count = Annotated[
    int,
    PlainValidator(read_count),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]}),
]
Address = Annotated[bytes, PlainValidator(read_address), _schema("^0x[0-9a-fA-F]{40}$", "an address")]
Hash = Annotated[bytes, PlainValidator(read_hash), _schema("^0x[0-9a-fA-F]{64}$", "32 bytes")]
Bytes = Annotated[bytes, PlainValidator(read_bytes), _schema("^0x([0-9a-fA-F]{2})*$", "bytes")]
Slot = Annotated[int, PlainValidator(read_slot), _schema("^0x[0-9a-fA-F]{1,64}$", "a storage slot")]
BlockParam = Annotated[
    BlockId,
    PlainValidator(read_block_id),
    WithJsonSchema(_BLOCK_SCHEMA),
    Param("the block; the latest one without it"),
]
BlockTagParam = Annotated[
    BlockId, PlainValidator(read_block_tag), WithJsonSchema(_BLOCK_TAG_SCHEMA), Param("height or tag")
]
BlockHashParam = Annotated[Hash, Param("the block's hash")]
TxHashParam = Annotated[Hash, Param("the transaction's hash")]

QuantityResult = Annotated[str, QUANTITY_SCHEMA]
DataResult = Annotated[str, _schema("^0x([0-9a-f]{2})*$", "bytes")]
HashResult = Annotated[str, _schema("^0x[0-9a-f]{64}$", "32 bytes")]
Slots = Annotated[
    list[int],
    PlainValidator(lambda value: read_list(value, read_slot, 1_024)),
    WithJsonSchema({"type": "array", "maxItems": 1_024, "items": {"type": "string"}}),
]


def _any(schema: dict[str, Any]) -> tuple[GetPydanticSchema, WithJsonSchema]:
    """Give what marks a result that is written by hand: not checked again, described by `schema`."""
    return GetPydanticSchema(lambda _source, _handler: core_schema.any_schema()), WithJsonSchema(schema)


def _object(name: str) -> dict[str, Any]:
    return {"type": "object", "title": name, "description": f"{name} of the execution-apis specification"}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


_TEXT = {"type": "string"}
BlockResult = Annotated[Any, *_any(_or_null(_object("Block")))]
TransactionResult = Annotated[Any, *_any(_or_null(_object("TransactionInfo")))]
ReceiptResult = Annotated[Any, *_any(_or_null(_object("ReceiptInfo")))]
ReceiptsResult = Annotated[Any, *_any(_or_null(_list(_object("ReceiptInfo"))))]
QuantityOrNull = Annotated[Any, *_any(_or_null(_TEXT))]
LogsResult = Annotated[Any, *_any(_list(_object("Log")))]
ChangesResult = Annotated[Any, *_any(_list({"anyOf": [_object("Log"), _TEXT]}))]
ObjectResult = Annotated[Any, *_any({"type": "object"})]
ListResult = Annotated[Any, *_any({"type": "array"})]
AnyResult = Annotated[Any, *_any({})]
SyncingResult = Annotated[Any, *_any({"anyOf": [_object("SyncingStatus"), {"type": "boolean"}]})]
