"""RLP (yellow paper, appendix B), strict: what is not the one shortest form is refused.

An item is a byte string or a list of items. The package `rlp` decodes the same, with an object per item.
"""

from typing import TypeAlias

from ioex_chain.primitives.errors import NotCanonical, OverCap, TrailingBytes, UnexpectedEnd

Item: TypeAlias = "bytes | list[Item]"
Field: TypeAlias = bytes | tuple[int, int]
"""A byte string, or where the items of a list begin and end that was not looked into."""

MAX_DEPTH = 64
"""Lists within lists; no format of this chain has more than six."""
EMPTY_STRING = b"\x80"
EMPTY_LIST = b"\xc0"


def _make_heads(base: int) -> tuple[bytes, ...]:
    short = [bytes((base + size,)) for size in range(56)]
    one, two = range(56, 256), range(256, 1024)
    long = [bytes((base + 57, size >> 8, size & 255)) for size in two]
    return (*short, *(bytes((base + 56, size)) for size in one), *long)


STRING_HEADS = _make_heads(0x80)
"""What stands before a byte string of so many bytes, up to 1,023; a lone byte below 0x80 has none."""
LIST_HEADS = _make_heads(0xC0)
"""What stands before a list whose items have so many bytes, up to 1,023."""
SMALL_UINTS = (EMPTY_STRING, *(bytes((value,)) for value in range(1, 0x80)))
"""The encodings of 0 to 127."""


def uint(value: int) -> bytes:
    """Give an unsigned integer as RLP writes it: big-endian, no leading zeros, zero is empty."""
    return value.to_bytes((value.bit_length() + 7) >> 3, "big")


def encode_string(value: bytes) -> bytes:
    """Encode a byte string."""
    size = len(value)
    if size == 1 and value[0] < 0x80:
        return value
    if size < 1024:
        return STRING_HEADS[size] + value
    length = uint(size)
    return bytes((0xB7 + len(length),)) + length + value


def encode_uint(value: int) -> bytes:
    """Encode an unsigned integer."""
    if value < 0x80:
        return SMALL_UINTS[value]
    size = (value.bit_length() + 7) >> 3
    if size < 256:
        return STRING_HEADS[size] + value.to_bytes(size, "big")
    return encode_string(uint(value))


def list_head(size: int) -> bytes:
    """Give what stands before a list whose encoded items are `size` bytes together."""
    if size < 1024:
        return LIST_HEADS[size]
    length = uint(size)
    return bytes((0xF7 + len(length),)) + length


def wrap_list(payload: bytes) -> bytes:
    """Encode a list whose items are encoded and joined already."""
    return list_head(len(payload)) + payload


def encode(item: Item) -> bytes:
    """Encode an item."""
    if isinstance(item, list):
        return wrap_list(b"".join(map(encode, item)))
    return encode_string(item)


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


def read_head(data: bytes, at: int, limit: int) -> tuple[bool, int, int]:
    """Give whether the item at `at` is a list, where its content begins and where it ends."""
    if at >= limit:
        raise UnexpectedEnd("an RLP item is missing")
    first = data[at]
    if first < 0x80:
        return False, at, at + 1
    is_list = first >= 0xC0
    short = first - (0xC0 if is_list else 0x80)
    if short < 56:
        start, size = at + 1, short
    else:
        start = at + short - 54
        size = _long_size(data[at + 1 : start], short - 55)
    end = start + size
    if end > limit:
        raise UnexpectedEnd("an RLP item ends outside of its list")
    if first == 0x81 and data[start] < 0x80:
        raise NotCanonical("a single byte below 0x80 is its own RLP")
    return is_list, start, end


def _long_size(field: bytes, width: int) -> int:
    if len(field) != width:
        raise UnexpectedEnd("an RLP length is cut off")
    if field[0] == 0:
        raise NotCanonical("an RLP length has leading zeros")
    size = int.from_bytes(field, "big")
    if size < 56:
        raise NotCanonical("an RLP length below 56 has a form of one byte")
    return size
