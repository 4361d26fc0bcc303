"""Strict RLP (Ethereum yellow paper, appendix B).

One value has one form, and every length is checked against the bytes that are there before anything is
allocated.
`decode` gives nested lists of byte strings. `items` walks one list without decoding what is inside, so that
a large body costs one step an item.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ioex_chain.primitives.errors import DecodeError, NotCanonical, OverCap, TrailingBytes, UnexpectedEnd

Item = bytes | list["Item"]
_MAX_DEPTH = 16


def _make_heads(base: int) -> tuple[bytes, ...]:
    short = [bytes((base + size,)) for size in range(56)]
    one, two = range(56, 256), range(256, 1024)
    long = [bytes((base + 57, size >> 8, size & 255)) for size in two]
    return (*short, *(bytes((base + 56, size)) for size in one), *long)


STRING_HEADS = _make_heads(0x80)
"""What stands before a byte string of so many bytes, up to 1,023; a lone byte below 0x80 has none."""
LIST_HEADS = _make_heads(0xC0)
"""What stands before a list whose items have so many bytes, up to 1,023."""


class WrongShape(DecodeError):
    """A list where a byte string belongs or the other way round, or one of the wrong length."""


class Span(NamedTuple):
    """Where an item stands: it begins at `at`, its payload is `data[start:end]`, and it ends at `end`."""

    is_list: bool
    at: int
    start: int
    end: int


def read_head(data: bytes, at: int, limit: int) -> tuple[bool, int, int]:
    """Give whether the item at `at` is a list, where its content begins and where it ends: by `limit`."""
    if at >= limit:
        raise UnexpectedEnd(f"an RLP item is missing at offset {at}")
    first = data[at]
    if first < 0x80:
        return False, at, at + 1
    is_list = first >= 0xC0
    size = first - (0xC0 if is_list else 0x80)
    start = at + 1
    if size > 55:
        start, size = _long_size(data, start, size - 55, limit)
    end = start + size
    if end > limit:
        raise UnexpectedEnd(f"an RLP item of {size} bytes at offset {at} goes beyond its end")
    if first == 0x81 and data[start] < 0x80:
        raise NotCanonical(f"a single byte below 0x80 at offset {at} stands for itself")
    return is_list, start, end


def _long_size(data: bytes, start: int, width: int, limit: int) -> tuple[int, int]:
    end = start + width
    if end > limit:
        raise UnexpectedEnd("an RLP length goes beyond the end")
    size = int.from_bytes(data[start:end], "big")
    if size <= 55 or not data[start]:
        raise NotCanonical(f"the RLP length {size} is written in {width} bytes")
    return end, size


def span(data: bytes, at: int, limit: int) -> Span:
    """Read the head of the item at `at`, which must end at or before `limit`."""
    is_list, start, end = read_head(data, at, limit)
    return Span(is_list, at, start, end)


def items(data: bytes, outer: Span, cap: int) -> list[Span]:
    """Give the items of a list. Raises OverCap when it has more than `cap`, WrongShape for a string."""
    if not outer.is_list:
        raise WrongShape("a byte string stands where a list belongs")
    found: list[Span] = []
    at, end = outer.start, outer.end
    while at < end:
        if len(found) == cap:
            raise OverCap(f"a list has more than {cap} items")
        item = span(data, at, end)
        found.append(item)
        at = item.end
    return found


def whole(data: bytes) -> Span:
    """Give the one item that `data` is. Raises TrailingBytes if something follows it."""
    found = span(data, 0, len(data))
    if found.end != len(data):
        raise TrailingBytes(f"{len(data) - found.end} bytes after an RLP item")
    return found


def string(data: bytes, item: Span) -> bytes:
    """Give the bytes of an item that is a string. Raises WrongShape."""
    if item.is_list:
        raise WrongShape("a list stands where a byte string belongs")
    return data[item.start : item.end]


def decode(data: bytes, cap: int = 65_536) -> Item:
    """Read one item wholly; `cap` bounds the items of any one list. Raises DecodeError."""
    return _build(data, whole(data), cap, 0)


def build(data: bytes, item: Span, cap: int = 65_536) -> Item:
    """Give an item's value. Raises DecodeError."""
    return _build(data, item, cap, 0)


def _build(data: bytes, item: Span, cap: int, depth: int) -> Item:
    if not item.is_list:
        return data[item.start : item.end]
    if depth == _MAX_DEPTH:
        raise OverCap(f"lists are nested more than {_MAX_DEPTH} deep")
    return [_build(data, inner, cap, depth + 1) for inner in items(data, item, cap)]


def integer(data: bytes, size: int = 8) -> int:
    """Read a big-endian unsigned integer of at most `size` bytes without leading zeros."""
    if len(data) > size:
        raise OverCap(f"an integer of {len(data)} bytes, at most {size} are allowed")
    if data and not data[0]:
        raise NotCanonical("an integer is written with a leading zero")
    return int.from_bytes(data, "big")


def encode_integer(value: int) -> bytes:
    """Give the byte string of an integer (not yet RLP): big-endian without leading zeros."""
    return value.to_bytes((value.bit_length() + 7) >> 3, "big")


def encode_string(data: bytes) -> bytes:
    """Write a byte string."""
    size = len(data)
    if size == 1 and data[0] < 0x80:
        return data
    return (STRING_HEADS[size] if size < 1024 else _long_head(0xB7, size)) + data


def _long_head(base: int, size: int) -> bytes:
    length = encode_integer(size)
    return bytes((base + len(length),)) + length


def list_head(size: int) -> bytes:
    """Give what stands before a list whose encoded items are `size` bytes together."""
    return LIST_HEADS[size] if size < 1024 else _long_head(0xF7, size)


def wrap_list(payload: bytes) -> bytes:
    """Write a list whose items are encoded and joined already."""
    return list_head(len(payload)) + payload


def encode_list(encoded: Sequence[bytes]) -> bytes:
    """Write a list of items that are encoded already."""
    return wrap_list(b"".join(encoded))


def encode(item: "Item | Sequence[Item]") -> bytes:
    """Write nested lists of byte strings."""
    if isinstance(item, bytes):
        return encode_string(item)
    return wrap_list(b"".join(map(encode, item)))
