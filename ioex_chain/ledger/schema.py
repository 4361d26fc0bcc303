"""Every row of the database: its key, its value, and who writes it.

The ledger's rows begin with an upper-case letter. A chain's state rows, which its `StateMachine` writes
through the view, begin with a lower-case letter; the chain documents them in its own schema module. Both
live in one store, so that one write changes both. Integers are big-endian, so that rows sort by height.

=====================  ==========================================================================
key                    value
=====================  ==========================================================================
``Mformat``            uint32: FORMAT_VERSION
``Mnetwork``           32 bytes: network identity (docs/protocol.md section 7)
``Mhead``              32 bytes: hash of the best chain's last block; the state rows are its state
``Mfloor``             32 bytes: hash of the block that no reorganisation goes below
``Msequence``          uint64: the next number to give to a block that becomes connectable
``Mundo``              uint32: undo records are kept from this height up to the head
``Mapproved``          n x 32 bytes: blocks whose branches may reorganise deeper than the limit
``Mrepaired``          empty: the files were repaired, so the state must be rebuilt before use
``Manchor``            32 bytes: hash of the block whose branches are preferred (absent: none)
``B`` hash             a block as the chain encodes it
``E`` height hash      uint8 status, uint64 sequence, uint8 length, weight of that length, header
``H`` hash             uint32: height of this header
``K`` hash             what the state machine noted of a block when it was first connected; never undone
``N`` height           32 bytes: hash of the best chain's block at this height
``U`` height hash      undo record of a block on the best chain (`overlay.encode_undo`)
``a``...``z`` anything   a chain's state
=====================  ==========================================================================
"""

from struct import Struct
from struct import error as struct_error

from ioex_chain.ledger.errors import StoreCorrupt
from ioex_chain.primitives.types import BlockHash

FORMAT_VERSION = 1
HASH_SIZE = 32

META = b"M"
META_FORMAT = b"Mformat"
META_NETWORK = b"Mnetwork"
META_HEAD = b"Mhead"
META_FLOOR = b"Mfloor"
META_SEQUENCE = b"Msequence"
META_UNDO = b"Mundo"
META_APPROVED = b"Mapproved"
META_REPAIRED = b"Mrepaired"
META_ANCHOR = b"Manchor"

BODY = b"B"
ENTRY = b"E"
HEIGHT = b"H"
NOTE = b"K"
BEST = b"N"
UNDO = b"U"
LEDGER_PREFIXES = META + BODY + ENTRY + HEIGHT + NOTE + BEST + UNDO

STATE_FIRST = b"a"
"""The first possible state key."""
STATE_END = b"{"
"""The first key after all state keys."""

_uint32 = Struct(">I")
_uint64 = Struct(">Q")
_tall = Struct(">cI")
_tall_hash = Struct(">cI32s")
_record = Struct(">BQB")


def body_key(hash_: bytes) -> bytes:
    """Give the key of a block's bytes."""
    return BODY + hash_


def entry_key(height: int, hash_: bytes) -> bytes:
    """Give the key of a header's record."""
    return _tall_hash.pack(ENTRY, height, hash_)


def level_prefix(height: int) -> bytes:
    """Give the common prefix of the records of all headers at `height`."""
    return _tall.pack(ENTRY, height)


def height_key(hash_: bytes) -> bytes:
    """Give the key under which a header's height is found."""
    return HEIGHT + hash_


def note_key(hash_: bytes) -> bytes:
    """Give the key of what was noted of a block."""
    return NOTE + hash_


def best_key(height: int) -> bytes:
    """Give the key of the best chain's hash at `height`."""
    return _tall.pack(BEST, height)


def undo_key(height: int, hash_: bytes) -> bytes:
    """Give the key of a block's undo record."""
    return _tall_hash.pack(UNDO, height, hash_)


def split_tall_key(key: bytes) -> tuple[int, BlockHash]:
    """Give height and hash of an `E` or `U` key. Raises StoreCorrupt."""
    try:
        _, height, hash_ = _tall_hash.unpack(key)
    except struct_error as error:
        raise damaged(key, "has a key of the wrong length") from error
    return height, BlockHash(hash_)


def encode_height(height: int) -> bytes:
    """Write the value of an `H` row, and of every other uint32."""
    return _uint32.pack(height)


def decode_height(key: bytes, value: bytes) -> int:
    """Read what `encode_height` wrote under `key`. Raises StoreCorrupt."""
    if len(value) != _uint32.size:
        raise damaged(key, "is not 4 bytes")
    height: int = _uint32.unpack(value)[0]
    return height


def encode_sequence(sequence: int) -> bytes:
    """Write the value of `Msequence`."""
    return _uint64.pack(sequence)


def decode_sequence(key: bytes, value: bytes) -> int:
    """Read what `encode_sequence` wrote under `key`. Raises StoreCorrupt."""
    if len(value) != _uint64.size:
        raise damaged(key, "is not 8 bytes")
    sequence: int = _uint64.unpack(value)[0]
    return sequence


def decode_hash(key: bytes, value: bytes) -> BlockHash:
    """Read a value that is one hash. Raises StoreCorrupt."""
    if len(value) != HASH_SIZE:
        raise damaged(key, "is not 32 bytes")
    return BlockHash(value)


def decode_hashes(key: bytes, value: bytes) -> list[BlockHash]:
    """Read a value that is a row of hashes. Raises StoreCorrupt."""
    if len(value) % HASH_SIZE:
        raise damaged(key, "is not a row of hashes")
    return [BlockHash(value[at : at + HASH_SIZE]) for at in range(0, len(value), HASH_SIZE)]


def encode_entry(status: int, sequence: int, weight: int, header: bytes) -> bytes:
    """Write the value of an `E` row; `weight` is below 2^2040."""
    size = (weight.bit_length() + 7) >> 3
    return _record.pack(status, sequence, size) + weight.to_bytes(size, "big") + header


def decode_entry(key: bytes, value: bytes) -> tuple[int, int, int, bytes]:
    """Read status, sequence, weight and header bytes. Raises StoreCorrupt."""
    if len(value) < _record.size:
        raise damaged(key, "is too short")
    status, sequence, size = _record.unpack_from(value)
    end = _record.size + size
    if len(value) < end:
        raise damaged(key, "is too short")
    return status, sequence, int.from_bytes(value[_record.size : end], "big"), value[end:]


def is_state_key(key: bytes) -> bool:
    """Whether a state machine may write this key."""
    return STATE_FIRST <= key < STATE_END


def damaged(key: bytes, what: str) -> StoreCorrupt:
    """Make the error for a row that cannot be right."""
    return StoreCorrupt(
        f"the database is damaged: row {key[:1].decode('ascii', 'replace')}:{key[1:].hex()} {what}; "
        "run `ioex db check` to see how far it goes and `ioex db reindex` to rebuild it"
    )
