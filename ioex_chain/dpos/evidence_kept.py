"""Evidence as bytes, to be kept over a restart until a final block carries it.

    magic "ioexevid", version uint16, checksum (32): keccak256 of all that follows
    per item: size uint32, the item as docs/protocol.md section 4.1 writes it

Numbers are little-endian.
"""

from collections.abc import Sequence

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos import codec
from ioex_chain.dpos.evidence_pool import MAX_OFFENCES
from ioex_chain.dpos.votes import Evidence
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.errors import DecodeError, OverCap

_HEAD = b"ioexevid" + (1).to_bytes(2, "little")


class EvidenceUnreadable(DecodeError):
    """Not kept evidence of this version, or damaged: begin with none."""


def encode_kept(items: Sequence[Evidence]) -> bytes:
    """Write evidence, in its order."""
    encoded = map(codec.encode_evidence, items)
    body = b"".join(len(one).to_bytes(4, "little") + one for one in encoded)
    return _HEAD + keccak256(body) + body


def decode_kept(data: bytes) -> list[Evidence]:
    """Read what `encode_kept` wrote. Raises EvidenceUnreadable."""
    head, checksum, body = data[: len(_HEAD)], data[len(_HEAD) :][:32], data[len(_HEAD) + 32 :]
    if head != _HEAD or keccak256(body) != checksum:
        raise EvidenceUnreadable("the file is damaged, or of another version")
    try:
        return _items(Reader(body))
    except DecodeError as error:
        raise EvidenceUnreadable(str(error)) from error


def _items(reader: Reader) -> list[Evidence]:
    found: list[Evidence] = []
    while reader.left:
        if len(found) == MAX_OFFENCES:
            raise OverCap(f"more than {MAX_OFFENCES} items")
        found.append(codec.decode_evidence(reader.take(int.from_bytes(reader.take(4), "little"))))
    return found
