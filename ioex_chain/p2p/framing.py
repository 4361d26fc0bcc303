"""Frames: payload length (uint32, little-endian), type (1 byte), payload (docs/protocol.md section 9.2)."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ioex_chain.p2p.table import MessageTable, Row
from ioex_chain.p2p.types import P2pError

HEAD_BYTES = 5


class FrameError(P2pError):
    """A frame that is refused when its head is read; nothing of its payload was kept."""


class UnknownType(FrameError):
    """A type that the message table has not."""


class OversizeFrame(FrameError):
    """A payload above its type's cap."""


class Frame(NamedTuple):
    """A frame that is complete; `payload` is None when it was not wanted and its bytes were passed over."""

    row: Row
    payload: bytes | None


def frame_head(type_: int, size: int) -> bytes:
    """Give the head of a frame whose payload has `size` bytes."""
    return size.to_bytes(4, "little") + bytes((type_,))


class FrameReader:
    """Cuts a stream of bytes into frames; keeps at most one payload, so at most the largest cap.

    `wanted` is asked as soon as a head is there, after type and cap were checked: it may raise, and where
    it says no the payload is passed over without being kept.
    """

    def __init__(self, table: MessageTable, wanted: Callable[[Row], bool]) -> None:
        self._table = table
        self._wanted = wanted
        self._head = bytearray()
        self._row: Row | None = None
        self._keep = False
        self._missing = 0
        self._payload = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes that are kept."""
        return len(self._head) + len(self._payload)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes and give the frames that they complete, one at a time; raises FrameError.

        The next head is looked at only when the next frame is asked for, so `wanted` knows what the frames
        before have changed. An iterator that is left early loses the rest of `data`.
        """
        at = 0
        while at < len(data):
            if self._row is None:
                at = self._read_head(data, at)
            row = self._row
            if row is None:
                return
            size = min(self._missing, len(data) - at)
            whole = size == self._missing and not self._payload
            if self._keep and not whole:
                self._payload += memoryview(data)[at : at + size]
            at += size
            self._missing -= size
            if self._missing == 0:
                yield Frame(row, self._finish(data[at - size : at] if whole and self._keep else None))

    def _finish(self, whole: bytes | None) -> bytes | None:
        """Give the payload, if it was kept, and be ready for the next head."""
        payload = whole if whole is not None or not self._keep else bytes(self._payload)
        self._row, self._payload = None, bytearray()
        return payload

    def _read_head(self, data: bytes, at: int) -> int:
        """Read what is there of a head; give the position after it."""
        end = at + HEAD_BYTES - len(self._head)
        self._head += memoryview(data)[at:end]
        if len(self._head) == HEAD_BYTES:
            size, type_ = int.from_bytes(self._head[:4], "little"), self._head[4]
            self._head.clear()
            self._row = self._check_head(type_, size)
            self._missing = size
        return min(end, len(data))

    def _check_head(self, type_: int, size: int) -> Row:
        row = self._table.get(type_)
        if row is None:
            raise UnknownType(f"type {type_}")
        if size > row.cap:
            raise OversizeFrame(f"{row.name} of {size} bytes; at most {row.cap}")
        self._keep = self._wanted(row)
        return row
