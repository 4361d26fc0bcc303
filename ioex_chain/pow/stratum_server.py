"""The Stratum server: the asynchronous shell around `stratum_session`, on one port of the node.

`start` listens, `run` keeps the miners in work until it is cancelled, `stop` ends all connections.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from typing import cast

from ioex_chain.ledger.errors import NotYetValid, StoreError
from ioex_chain.pow.stratum_jobs import JobBook
from ioex_chain.pow.stratum_limits import ConnectThrottle, StratumSettings, TokenBucket, is_this_machine
from ioex_chain.pow.stratum_session import Bench, FoundBlock, Session
from ioex_chain.pow.stratum_stats import ShareStats, StratumStats, count
from ioex_chain.pow.template import Template, TemplateRefused
from ioex_chain.pow.work import LocalNode
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import BlockHash, display
from ioex_chain.spec.model import NetworkSpec

logger = logging.getLogger(__name__)
_READ_BYTES = 8192
"""Read at once: some 80 shares, so that one miner never holds up the others for long."""
_SLICE = 32
"""Miners that are told of new work between two looks at what came in."""
_MAX_FOUND = 64
"""Blocks that wait for the node; more come only where every hash is one."""
_RETRY_SECONDS = 2.0
_CLOSE_SECONDS = 5.0
"""For a miner that ends to read what was written to it."""
_LEAST_PAUSE = 0.25
"""Between two templates on the same head."""


class StratumPortTaken(IoexError):
    """The port cannot be listened on; the message says which and why."""


class StratumServer:
    """Serves miners; blocks pay the address that each names."""

    def __init__(
        self,
        node: LocalNode,
        build: Callable[[], Template],
        spec: NetworkSpec,
        settings: StratumSettings,
        clock: Clock,
        now: Callable[[], float],
        *,
        empty: Callable[[], Template] | None = None,
        is_ready: Callable[[], bool] = lambda: True,
        first_extranonce: int | None = None,
    ) -> None:
        """Take `TemplateBuilder.build` and, for a quick start on a new head, `TemplateBuilder.empty`.

        `clock` gives Unix time, `now` monotonic seconds. While `is_ready` says no (the node syncs), miners
        wait without work. `first_extranonce` is random unless it is given.
        """
        self._node = node
        self._build = build
        self._empty = empty
        self._is_ready = is_ready
        self._now = now
        self.settings = settings
        self.spec = spec
        self.stats = StratumStats(ShareStats(now()))
        self.port = 0
        self.buffer = memoryview(bytearray(_READ_BYTES))
        """Where all connections read: each is emptied before the next one is read."""
        self._book = JobBook(settings.tag)
        self._bench = Bench(spec, settings.session, self._book, self.stats, clock, now, self._take_found)
        self._throttle = ConnectThrottle(settings.connects_per_second, settings.connect_burst)
        self._connections: dict[bytes, Connection] = {}
        start = secrets.randbits(32) if first_extranonce is None else first_extranonce
        self._next_extranonce = start & 0xFFFFFFFF
        self._found: asyncio.Queue[FoundBlock] = asyncio.Queue(_MAX_FOUND)
        self._server: asyncio.Server | None = None
        self._solved = b""
        """The head on which the last block from here was made."""
        self._full: Template | None = None
        """The newest template with transactions."""

    @property
    def connections(self) -> Iterable["Connection"]:
        """The connections as they are now."""
        return tuple(self._connections.values())

    def now(self) -> float:
        """Give monotonic time, which all figures are in."""
        return self._now()

    async def start(self) -> None:
        """Listen. Raises StratumPortTaken."""
        host, port = self.settings.host, self.settings.port
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        except OSError as error:
            raise StratumPortTaken(
                f"cannot listen for miners on {host}:{port}: {error.strerror}; choose another stratum_port"
            ) from error
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def run(self) -> None:
        """Keep miners in work until cancelled. Raises StoreError when the node's disk failed."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._submit_found())
                group.create_task(self._watch())
        except* StoreError as failed:
            raise failed.exceptions[0] from None

    async def stop(self) -> None:
        """End all connections and stop listening."""
        if self._server is not None:
            self._server.close()
        for connection in self.connections:
            connection.end("stopped")
        if self._server is not None:
            await self._server.wait_closed()

    # --- work --------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Make templates: an empty one at once on a new head, then full ones as fees and time go on."""
        while True:
            if not self._is_ready():
                await asyncio.sleep(1.0)
                continue
            try:
                template = await self._next_template()
            except TemplateRefused as error:
                logger.error("no work for miners: %s", error)  # noqa: TRY400 - no trace for users
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if template is None:
                await asyncio.sleep(1.0)
                continue
            began = self.now()
            await self._node.wait_for_template_change(
                template.parent_hash, template.pool_version, self.settings.refresh
            )
            await self._rest(template.parent_hash, began)

    async def _next_template(self) -> Template | None:
        """Hand out what is best now; give the full template, by which to wait for a better one.

        None when the chain's time is so far ahead of the clock that no block would be valid yet.
        """
        quick = await self._node.call(self._empty or self._build)
        if quick.time > quick.max_time:
            return None
        if self._empty is None:
            return await self._hand_out(quick)
        full, latest = self._full, self._book.latest
        if latest is None or latest.template.parent_hash != quick.parent_hash:
            await self._hand_out(quick)
        elif full is not None and (full.parent_hash, full.pool_version) == (
            quick.parent_hash,
            quick.pool_version,
        ):
            return await self._hand_out(full.at_time(quick.time, quick.max_time))
        self._full = full = await self._node.call(self._build)
        latest = self._book.latest
        is_first = latest is not None and latest.template is quick
        if full.entries or not is_first:  # without `urgent` some programs stay a minute with the empty one
            await self._hand_out(full, urgent=is_first)
        return full

    async def _rest(self, parent: BlockHash, began: float) -> None:
        """Pause when the node answered at once without a new head, as it does while it stops."""
        latest = self._book.latest
        if latest is not None and latest.template.parent_hash == parent and self.now() - began < _LEAST_PAUSE:
            await asyncio.sleep(_LEAST_PAUSE)

    async def _hand_out(self, template: Template, *, urgent: bool = False) -> Template:
        work, clean = self._book.add(template)
        self.stats.jobs += 1
        for place, connection in enumerate(self.connections, 1):
            if self._book.latest is not work:
                break  # a block was found meanwhile
            connection.write(connection.session.work_changed(clean=clean, urgent=urgent))
            if place % _SLICE == 0:
                await asyncio.sleep(0)
        return template

    async def _watch(self) -> None:
        """Look at every connection once a second."""
        while True:
            await asyncio.sleep(1.0)
            for place, connection in enumerate(self.connections, 1):
                connection.tick()
                if place % _SLICE == 0:
                    await asyncio.sleep(0)
            self._throttle.tidy(self.now())

    # --- blocks ------------------------------------------------------------------------------------------

    def _take_found(self, found: FoundBlock) -> None:
        """Queue a block: more than a few on one head are siblings of which only one can stay."""
        if not self._found.full():
            self._found.put_nowait(found)

    async def _submit_found(self) -> None:
        while True:
            found = await self._found.get()
            if found.work.template.parent_hash == self._solved:
                continue  # another block on this head was taken meanwhile
            self.stats.blocks_found += 1
            if not await self._submit(found):
                self.stats.blocks_refused += 1

    async def _submit(self, found: FoundBlock) -> bool:
        template = found.work.template
        block = await asyncio.to_thread(found.work.block, found.payout_script, found.share)
        name = display(block.hash)
        try:
            changed = await self._node.submit_block(block)
        except StoreError:
            raise
        except NotYetValid as error:
            logger.warning("a miner's block %s came too early: %s", name, error)
            return False
        except IoexError as error:
            logger.warning("a miner's block %s was refused: %s", name, error)
            return False
        if changed is None:
            logger.info("a miner's block %s at height %s came too late", name, template.height)
            return False
        self._solved = template.parent_hash
        self._book.retire(template.parent_hash)
        for stats in (self.stats.total, found.session.stats, *found.owners):
            stats.blocks += 1
        logger.info("block %s at height %s found by %s", name, template.height, found.owners[0].name)
        connection = self._connections.get(found.session.extranonce1)
        if connection is not None:
            connection.write(found.session.show_message(f"you found block {template.height}: {name}"))
        return True

    # --- connections -------------------------------------------------------------------------------------

    def admit(self, connection: "Connection", host: str) -> Session | None:
        """Make a session for a new connection; None when it is not welcome."""
        self.stats.connections_total += 1
        full = len(self._connections) >= self.settings.max_connections
        if full or not (is_this_machine(host) or self._throttle.allows(host, self.now())):
            self.stats.refused_connections += 1
            return None
        session = Session(self._bench, self._extranonce())
        self._connections[session.extranonce1] = connection
        self.stats.connections = len(self._connections)
        return session

    def _extranonce(self) -> bytes:
        """Give the next extra nonce that no connection has."""
        while True:
            chosen = self._next_extranonce.to_bytes(4, "big")
            self._next_extranonce = (self._next_extranonce + 1) & 0xFFFFFFFF
            if chosen not in self._connections:
                return chosen

    def forget(self, session: Session) -> None:
        """Take a connection that ended out of the books."""
        known = self._connections.get(session.extranonce1)
        if known is not None and known.session is session:
            del self._connections[session.extranonce1]
            session.leave()
            self.stats.connections = len(self._connections)


class Connection(asyncio.BufferedProtocol):
    """One miner's TCP connection."""

    session: Session

    def __init__(self, server: StratumServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._bucket: TokenBucket | None = None
        self.host = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection in, or end it at once."""
        chosen = cast("asyncio.Transport", transport)
        peer = chosen.get_extra_info("peername")
        self.host = str(peer[0]) if peer else ""
        session = self._server.admit(self, self.host)
        if session is None:
            chosen.abort()
            return
        settings = self._server.settings
        self.session = session
        self._bucket = TokenBucket(settings.messages_per_second, settings.message_burst, self._server.now())
        self._transport = chosen

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give the place where the next bytes go; asyncio says how it is used."""
        del sizehint
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Answer what came in; read on later when it was too much."""
        if self._transport is None or self._bucket is None:
            return
        session, before = self.session, self.session.messages
        self.write(session.receive(bytes(self._server.buffer[:nbytes])))
        if session.closing:
            self.end(session.closing)
            return
        delay = self._bucket.take(session.messages - before, self._server.now())
        if delay > 0:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(delay, self._read_on)

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Send; a miner that does not read is dropped."""
        if self._transport is None or not data:
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > self._server.settings.write_buffer:
            self._drop("slow-reader")
            self._transport.abort()

    def tick(self) -> None:
        """Let the session look at the time."""
        self.write(self.session.tick())
        if self.session.closing:
            self.end(self.session.closing)

    def end(self, reason: str) -> None:
        """Close once what was written is out."""
        if self._transport is not None and not self._transport.is_closing():
            self._drop(reason)
            self._transport.close()
            asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._transport.abort)

    def _drop(self, reason: str) -> None:
        count(self._server.stats.dropped, reason)
        self._server.forget(self.session)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        del exc
        if self._transport is not None:
            self._server.forget(self.session)
            self._transport = None
