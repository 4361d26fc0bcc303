"""The few forms that the messages' payloads are made of, on top of `primitives.codec`."""

from collections.abc import Sequence

from ioex_chain.primitives.codec import Reader, compact, sized
from ioex_chain.primitives.errors import NotCanonical


def read_text(reader: Reader, cap: int) -> str:
    """Read a UTF-8 text of at most `cap` bytes."""
    data = reader.sized(cap)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise NotCanonical("a text that is not UTF-8") from error


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


def encode_items(items: Sequence[bytes]) -> bytes:
    """Write a list of byte strings."""
    return b"".join((compact(len(items)), *map(sized, items)))


def read_items(reader: Reader, cap: int, item_cap: int) -> tuple[bytes, ...]:
    """Read a list of at most `cap` byte strings of at most `item_cap` bytes each."""
    return tuple([reader.sized(item_cap) for _ in range(reader.compact(cap))])
