"""Names for byte strings and integers, so that a type checker tells a block hash from a transaction id.

Hashes are kept in the byte order in which they are hashed and sent ("internal" order). Bitcoin's tools
print them reversed: `display` and `from_display` convert, and only the edges of the program call them.
"""

from typing import NewType

BlockHash = NewType("BlockHash", bytes)
"""32 bytes, internal order."""
TxHash = NewType("TxHash", bytes)
"""32 bytes, internal order; a PoW transaction's id or a DPoS transaction's hash."""
OutPoint = NewType("OutPoint", bytes)
"""36 bytes: transaction id, then the output's index as a little-endian uint32."""
Amount = NewType("Amount", int)
"""PoW units of 1e-8 IOEX."""
Height = NewType("Height", int)

COIN = 100_000_000
"""PoW units in one IOEX."""


def display(hash_: bytes) -> str:
    """Give the hex form that Bitcoin's tools print: the hash's bytes reversed."""
    return hash_[::-1].hex()


def from_display(text: str) -> bytes:
    """Read what `display` printed. Raises ValueError unless `text` is 64 hex digits."""
    if len(text) != 64:
        raise ValueError(f"a hash has 64 hex digits, this has {len(text)}")
    return bytes.fromhex(text)[::-1]
