"""Staged writes over a store, with the previous value of every key that a block touches.

The previous values are the block's undo record: nobody ever writes a `disconnect`. The layout of a record
is columnar, so that encoding it costs a few C calls and not a Python step per key:

    uint32 a           keys that were absent before the block
    uint32 p           keys that had a value
    (a + p) x uint16   key lengths, the absent ones first
    p x uint32         value lengths
    keys, values       joined, in the same order
"""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from struct import Struct

from ioex_chain.ledger.schema import STATE_END, is_state_key
from ioex_chain.ledger.types import Readable
from ioex_chain.primitives.errors import DecodeError

_counts = Struct(">II")
_MAX_KEY = 0xFFFF


class StateKeyError(ValueError):
    """A state machine wrote a key that is not a state key (schema): a fault of the program."""


class Overlay:
    """The state under a block: reads see earlier writes, nothing reaches the store.

    `changes` holds what is staged; None deletes. `begin` starts a block, `seal` gives its undo record,
    `restore` takes a block back. The base must not change while the overlay lives.
    """

    __slots__ = ("_base", "_base_get", "_before", "_reads", "_sorted", "changes", "noted")

    def __init__(self, base: Readable) -> None:
        self._base = base
        self._base_get = base.get
        self._reads: dict[bytes, bytes | None] = {}
        self._before: dict[bytes, bytes | None] = {}
        self._sorted: list[bytes] = []
        self.changes: dict[bytes, bytes | None] = {}
        self.noted: bytes | None = None
        """What the block since `begin` noted."""

    def get(self, key: bytes) -> bytes | None:
        """Give the value, or None."""
        if key in self.changes:
            return self.changes[key]
        if key in self._reads:  # a spent output is read once, not again for its before-image
            return self._reads[key]
        value = self._reads[key] = self._base_get(key)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Write a value."""
        if key not in self._before:
            self._before[key] = self.get(key)
        self.changes[key] = value

    def create(self, key: bytes, value: bytes) -> None:
        """Write a value under a key that is known to be absent: no read is spent on it."""
        self._before.setdefault(key, None)
        self.changes[key] = value

    def swap(self, key: bytes, before: bytes | None, after: bytes | None) -> None:
        """Replace a value that the caller knows, None for absent: no read is spent on it."""
        self._before.setdefault(key, before)
        self.changes[key] = after

    def delete(self, key: bytes) -> None:
        """Remove a key; it need not exist."""
        if key not in self._before:
            self._before[key] = self.get(key)
        self.changes[key] = None

    def note(self, value: bytes) -> None:
        """Keep `value` beside the block."""
        self.noted = value

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs whose key begins with `prefix`, in key order, as they are at the call's start."""
        staged = self._staged(prefix)
        at = 0
        for key, value in self._base.scan(prefix):
            while at < len(staged) and staged[at][0] < key:
                yield from _present(staged[at])
                at += 1
            if at < len(staged) and staged[at][0] == key:
                yield from _present(staged[at])
                at += 1
            else:
                yield key, value
        for pair in staged[at:]:
            yield from _present(pair)

    def _staged(self, prefix: bytes) -> list[tuple[bytes, bytes | None]]:
        if len(self._sorted) != len(self.changes):  # keys are only ever added
            self._sorted = sorted(self.changes)
        found = []
        for at in range(bisect_left(self._sorted, prefix), len(self._sorted)):
            key = self._sorted[at]
            if not key.startswith(prefix):
                break
            found.append((key, self.changes[key]))
        return found

    def begin(self) -> None:
        """Start a block: before-images are taken anew."""
        self._before = {}
        self.noted = None

    def seal(self) -> bytes:
        """Give the undo record of the block since `begin`.

        Raises StateKeyError if the block wrote outside the state's key range.
        """
        before = self._before
        if before and not (is_state_key(min(before)) and max(before) < STATE_END):
            raise StateKeyError(
                f"state keys begin with a lower-case letter: {min(before)!r}, {max(before)!r}"
            )
        return encode_undo(before)

    def restore(self, undo: bytes) -> None:
        """Take back the block that `undo` belongs to; blocks after it were taken back before."""
        self.changes.update(decode_undo(undo))


def _present(pair: tuple[bytes, bytes | None]) -> Iterator[tuple[bytes, bytes]]:
    if pair[1] is not None:
        yield pair[0], pair[1]


def _big_endian(kind: str, numbers: "list[int]") -> bytes:
    column = array(kind, numbers)
    if sys.byteorder == "little":
        column.byteswap()
    return column.tobytes()


def encode_undo(before: Mapping[bytes, bytes | None]) -> bytes:
    """Write the previous values, None where a key was absent; keys are shorter than 64 KiB."""
    absent = [key for key, value in before.items() if value is None]
    present = {key: value for key, value in before.items() if value is not None}
    keys = [*absent, *present]
    if max(map(len, keys), default=0) > _MAX_KEY:
        raise StateKeyError("a state key is longer than 65,535 bytes")
    return b"".join(
        (
            _counts.pack(len(absent), len(present)),
            _big_endian("H", list(map(len, keys))),
            _big_endian("I", list(map(len, present.values()))),
            *keys,
            *present.values(),
        )
    )


def _columns(data: bytes, offset: int, sizes: list[int]) -> list[bytes]:
    return [data[start:end] for start, end in pairwise(accumulate(sizes, initial=offset))]


def _read_numbers(kind: str, data: bytes) -> list[int]:
    column = array(kind, data)
    if sys.byteorder == "little":
        column.byteswap()
    return column.tolist()


def decode_undo(data: bytes) -> dict[bytes, bytes | None]:
    """Read what `encode_undo` wrote. Raises DecodeError."""
    if len(data) < _counts.size:
        raise DecodeError("an undo record has at least 8 bytes")
    absent, present = _counts.unpack_from(data)
    values_at = _counts.size + 2 * (absent + present)
    keys_at = values_at + 4 * present
    if keys_at > len(data):
        raise DecodeError("an undo record ends within its lengths")
    key_sizes = _read_numbers("H", data[_counts.size : values_at])
    value_sizes = _read_numbers("I", data[values_at:keys_at])
    if keys_at + sum(key_sizes) + sum(value_sizes) != len(data):
        raise DecodeError("an undo record's lengths do not add up to its size")
    keys = _columns(data, keys_at, key_sizes)
    values = _columns(data, keys_at + sum(key_sizes), value_sizes)
    before: dict[bytes, bytes | None] = dict.fromkeys(keys[:absent])
    before.update(zip(keys[absent:], values, strict=True))
    if len(before) != absent + present:
        raise DecodeError("an undo record names a key twice")
    return before
