"""Watches the frames of one WebSocket before aiohttp parses them.

aiohttp accepts unmasked frames from clients, which RFC 6455 section 5.1 forbids, and has no account of
what half-received messages hold in memory. This reader follows the frame headers alone, for both.
"""

from collections.abc import Callable
from typing import Protocol

from ioex_chain.rpc.budget import Hold
from ioex_chain.rpc.errors import LimitExceeded

_CONTROL = 0x08


class Parser(Protocol):
    """What the connection feeds: aiohttp's reader, or this module's around it."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes; give whether the stream is at its end, and what was left over."""

    def feed_eof(self) -> None:
        """Take the end of the stream."""


class FrameScanner:
    """Follows frame boundaries without keeping payloads."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._skip = 0
        self._ends_message = False

    def scan(self, data: bytes) -> tuple[bool, bool]:
        """Take bytes; give whether every frame in them is masked, and whether a message ended in them."""
        ended = False
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
            else:
                self._head.append(data[at])
                at += 1
                if len(self._head) == 2 and not self._head[1] & 0x80:
                    return False, ended
                self._read_head()
            ended |= self._message_done()
        return True, ended

    def _read_head(self) -> None:
        """Once the head of a masked frame is whole, start to skip its payload."""
        if len(self._head) < 2:
            return
        short = self._head[1] & 0x7F
        extended = {126: 2, 127: 8}.get(short, 0)
        if len(self._head) < 2 + extended + 4:
            return
        self._skip = int.from_bytes(self._head[2 : 2 + extended], "big") if extended else short
        self._ends_message = bool(self._head[0] & 0x80) and not self._head[0] & _CONTROL
        self._head.clear()

    def _message_done(self) -> bool:
        done = self._ends_message and self._skip == 0
        if done:
            self._ends_message = False
        return done


class FrameGuard:
    """Stands before aiohttp's reader: refuses unmasked frames, books half-received messages on the budget.

    `refuse` is called once, when this connection is to be closed.
    """

    def __init__(self, parser: Parser, hold: Hold, refuse: Callable[[], None]) -> None:
        self._parser = parser
        self._hold = hold
        self._refuse = refuse
        self._scanner = FrameScanner()
        self._refused = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Pass bytes on while they keep the rules; after that end this one connection."""
        if self._refused:
            return False, b""
        masked, ended = self._scanner.scan(data)
        if ended:
            self._hold.release()
        if not masked or not self._booked(len(data)):
            self._refused = True
            self._hold.release()
            self._refuse()
            return False, b""
        return self._parser.feed_data(data)

    def feed_eof(self) -> None:
        """Pass the end on."""
        self._hold.release()
        self._parser.feed_eof()

    def _booked(self, count: int) -> bool:
        try:
            self._hold.grow(count)
        except LimitExceeded:
            return False
        return True
