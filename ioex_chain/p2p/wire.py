"""The few forms that the messages' payloads are made of, on top of `primitives.codec`."""

import re
import struct
from collections.abc import Sequence

from ioex_chain.primitives.codec import Reader, compact, sized
from ioex_chain.primitives.errors import NotCanonical

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def encode_text(text: str, cap: int) -> bytes:
    """Write a text as printable ASCII (anything else becomes a question mark), cut to `cap` bytes."""
    return sized(_UNPRINTABLE.sub("?", text)[:cap].encode())


def read_text(reader: Reader, cap: int) -> str:
    """Read at most `cap` bytes of printable ASCII: a peer's text must not be able to forge lines of a log."""
    data = reader.sized(cap)
    if not all(0x20 <= byte <= 0x7E for byte in data):
        raise NotCanonical("a text that is not printable ASCII")
    return data.decode("ascii")


def read_flag(reader: Reader) -> bool:
    """Read one byte that is 0 or 1."""
    value = reader.uint8()
    if value > 1:
        raise NotCanonical(f"a flag of {value}")
    return value == 1


def encode_hashes(hashes: Sequence[bytes]) -> bytes:
    """Write a list of 32-byte hashes."""
    return compact(len(hashes)) + b"".join(hashes)


def read_hashes(reader: Reader, cap: int) -> tuple[bytes, ...]:
    """Read a list of at most `cap` 32-byte hashes."""
    data = reader.take(32 * reader.compact(cap))
    return tuple([data[at : at + 32] for at in range(0, len(data), 32)])


def read_uint16s(reader: Reader, cap: int) -> tuple[int, ...]:
    """Read a list of at most `cap` numbers of 16 bits."""
    count = reader.compact(cap)
    return struct.unpack(f"<{count}H", reader.take(2 * count))


def encode_items(items: Sequence[bytes]) -> bytes:
    """Write a list of byte strings."""
    return b"".join((compact(len(items)), *map(sized, items)))


def read_items(reader: Reader, cap: int, item_cap: int) -> tuple[bytes, ...]:
    """Read a list of at most `cap` byte strings of at most `item_cap` bytes each."""
    return tuple([reader.sized(item_cap) for _ in range(reader.compact(cap))])
