"""One hashing process: takes orders from a pipe, answers into it, ends with it.

It imports as little as it can, since every process starts anew. The pipe's other end belongs to the miner
alone: when the miner ends, however, the pipe breaks and the process with it, within a batch.
"""

import signal
import struct
from multiprocessing.connection import Connection
from typing import NamedTuple

from ioex_chain.pow.hashing import BATCH, BATCHES, search

_ORDER = struct.Struct("<I76s32s")
_REPORT = struct.Struct("<IIBI")
_REPORT_EVERY = 16
"""Batches between two reports: about 2**18 hashes."""


class Order(NamedTuple):
    """Search this header (76 bytes) for `target`; `number` comes back in the reports."""

    number: int
    core: bytes
    target: int

    def encode(self) -> bytes:
        """Give the bytes that go through the pipe."""
        return _ORDER.pack(self.number, self.core, self.target.to_bytes(32, "little"))

    @classmethod
    def decode(cls, data: bytes) -> "Order":
        """Read what `encode` gave."""
        number, core, target = _ORDER.unpack(data)
        return cls(number, core, int.from_bytes(target, "little"))


class Report(NamedTuple):
    """Hashes tried since the last report; `nonce` if one was found; `is_done` if the search is over."""

    number: int
    hashes: int
    is_done: bool
    nonce: int | None

    def encode(self) -> bytes:
        """Give the bytes that go through the pipe."""
        flags = self.is_done | (self.nonce is not None) << 1
        return _REPORT.pack(self.number, self.hashes, flags, self.nonce or 0)

    @classmethod
    def decode(cls, data: bytes) -> "Report":
        """Read what `encode` gave."""
        number, hashes, flags, nonce = _REPORT.unpack(data)
        return cls(number, hashes, bool(flags & 1), nonce if flags & 2 else None)


def run_worker(pipe: "Connection[bytes, bytes]") -> None:
    """Serve until the pipe breaks: the process's main function. An empty order means rest."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the miner, which then closes the pipe
    try:
        order = None
        while True:
            data = pipe.recv_bytes()
            order = Order.decode(data) if data else None
            if order is not None:
                _search(pipe, order)
    except (EOFError, OSError):
        return


def _search(pipe: "Connection[bytes, bytes]", order: Order) -> None:
    """Search until a nonce is found, all were tried, or another order waits."""
    hashes = 0
    for batch in range(BATCHES):
        nonce = search(order.core, order.target, batch)
        hashes += BATCH
        if nonce is not None:
            pipe.send_bytes(Report(order.number, hashes, True, nonce).encode())
            return
        if pipe.poll():
            break
        if batch % _REPORT_EVERY == _REPORT_EVERY - 1:
            pipe.send_bytes(Report(order.number, hashes, False, None).encode())
            hashes = 0
    else:
        pipe.send_bytes(Report(order.number, hashes, True, None).encode())
        return
    pipe.send_bytes(Report(order.number, hashes, False, None).encode())
