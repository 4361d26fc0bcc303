"""RLP for transactions, receipts and tries: values at once, where `primitives.rlp` gives places first.

An item is a byte string or a list of items.
"""

from typing import TypeAlias

from ioex_chain.primitives.errors import NotCanonical, OverCap, TrailingBytes, UnexpectedEnd
from ioex_chain.primitives.rlp import STRING_HEADS, encode_integer, encode_string, read_head

Item: TypeAlias = "bytes | list[Item]"
Field: TypeAlias = bytes | tuple[int, int]
"""A byte string, or where the items of a list begin and end that was not looked into."""

MAX_DEPTH = 64
"""Lists within lists; no format of this chain has more than six."""
EMPTY_STRING = b"\x80"
EMPTY_LIST = b"\xc0"


SMALL_UINTS = (EMPTY_STRING, *(bytes((value,)) for value in range(1, 0x80)))
"""The encodings of 0 to 127."""


def encode_uint(value: int) -> bytes:
    """Encode an unsigned integer."""
    if value < 0x80:
        return SMALL_UINTS[value]
    size = (value.bit_length() + 7) >> 3
    if size < 256:
        return STRING_HEADS[size] + value.to_bytes(size, "big")
    return encode_string(encode_integer(value))


def decode(data: bytes) -> Item:
    """Decode one item that uses every byte. Raises DecodeError."""
    is_list, start, end = read_head(data, 0, len(data))
    if end != len(data):
        raise TrailingBytes("bytes follow an RLP item")
    return decode_items(data, start, end) if is_list else data[start:end]


def decode_list(data: bytes) -> list[Item]:
    """Decode one list that uses every byte. Raises DecodeError."""
    start = list_start(data)
    return decode_items(data, start, len(data))


def list_start(data: bytes, at: int = 0) -> int:
    """Give where the items of a list begin that uses every byte from `at` on. Raises DecodeError."""
    is_list, start, end = read_head(data, at, len(data))
    if not is_list:
        raise NotCanonical("an RLP list is expected, here is a byte string")
    if end != len(data):
        raise TrailingBytes("bytes follow an RLP list")
    return start


def read_fields(data: bytes, at: int, end: int, most: int) -> list[Field]:
    """Read the items that stand one after the other in data[at:end], lists unread. Raises DecodeError.

    More than `most` of them raise OverCap before the rest is looked at.
    """
    items: list[Field] = []
    while at < end:
        if len(items) == most:
            raise OverCap(f"an RLP list has more than {most} items")
        first = data[at]
        if first < 0x80:
            items.append(data[at : at + 1])
            at += 1
        elif 0x80 < first < 0xB8:  # the most frequent form, decided without a call
            start, at = at + 1, at + first - 0x7F
            if at > end:
                raise UnexpectedEnd("an RLP string ends outside of its list")
            value = data[start:at]
            if first == 0x81 and value[0] < 0x80:
                raise NotCanonical("a single byte below 0x80 is its own RLP")
            items.append(value)
        elif first == 0x80:
            items.append(b"")
            at += 1
        else:
            is_list, start, at = read_head(data, at, end)
            items.append((start, at) if is_list else data[start:at])
    return items


def decode_items(data: bytes, at: int, end: int, depth: int = 0) -> list[Item]:
    """Decode the items that stand one after the other in data[at:end]. Raises DecodeError."""
    if depth > MAX_DEPTH:
        raise OverCap(f"RLP lists are nested deeper than {MAX_DEPTH}")
    return [
        field if isinstance(field, bytes) else decode_items(data, *field, depth + 1)
        for field in read_fields(data, at, end, end - at)
    ]
