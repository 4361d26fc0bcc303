"""Wires between real nodes that a test can cut and mend: each a small TCP relay on loopback."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self

CHUNK = 1 << 16


class Wire:
    """Forwards connections from `port` to `target` while it is whole."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.whole = True
        self.writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self.server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.whole:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self.writers |= {writer, far_writer}
        await asyncio.gather(
            self._pump(reader, far_writer), self._pump(far_reader, writer), return_exceptions=True
        )
        self.writers -= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def cut(self) -> None:
        """Break what is connected and refuse what comes."""
        self.whole = False
        for writer in tuple(self.writers):
            writer.transport.abort()

    async def mend(self) -> None:
        self.whole = True


class Wires:
    """All wires of a test, on a thread of their own. A context manager."""

    def __enter__(self) -> Self:
        self.wires: dict[tuple[str, str], Wire] = {}
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for wire in self.wires.values():
            self._do(wire.cut())
            self.loop.call_soon_threadsafe(wire.server.close)
        self._do(asyncio.sleep(0))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def lay(self, near: str, far: str, target: int) -> int:
        """Lay a wire over which `near` dials `far`; give the port to dial."""
        wire = self.wires.get((near, far))
        if wire is None:
            wire = self.wires[near, far] = Wire(target)
            self._do(wire.open())
        wire.target = target
        return wire.port

    def part(self, *groups: str) -> None:
        """Cut every wire between two groups; each is a text of one-letter names."""
        of = {name: group for group in groups for name in group}
        for (near, far), wire in self.wires.items():
            if of.get(near) != of.get(far):
                self._do(wire.cut())

    def heal(self) -> None:
        for wire in self.wires.values():
            self._do(wire.mend())
