"""How the small files of the network are kept: magic, version, body, SHA-256 of all before.

    magic (8 bytes), version uint8, body, SHA-256 (32 bytes)

They are conveniences: when one is damaged the node says so and starts without it.
"""

from hashlib import sha256

from ioex_chain.primitives.errors import DecodeError

_MAGIC_SIZE = 8
_SUM_SIZE = 32


class KeptFileUnreadable(DecodeError):
    """Not a kept file of this kind and version, or damaged: start without it."""


def seal(magic: bytes, version: int, body: bytes) -> bytes:
    """Give the file's bytes; `magic` is 8 bytes."""
    data = magic + bytes((version,)) + body
    return data + sha256(data).digest()


def unseal(magic: bytes, version: int, data: bytes) -> bytes:
    """Give the body. Raises KeptFileUnreadable."""
    if data[:_MAGIC_SIZE] != magic:
        raise KeptFileUnreadable(f"does not begin with {magic!r}")
    if sha256(data[:-_SUM_SIZE]).digest() != data[-_SUM_SIZE:]:
        raise KeptFileUnreadable("its checksum does not fit: it was cut or changed")
    if data[_MAGIC_SIZE] != version:
        raise KeptFileUnreadable(f"version {data[_MAGIC_SIZE]}, this program reads {version}")
    return data[_MAGIC_SIZE + 1 : -_SUM_SIZE]
