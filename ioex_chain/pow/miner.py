"""The CPU miner: work from a node, hashing processes on all cores but one, blocks back to the node.

This is the package's asynchronous shell: what it drives (`hash_pool`, `work`, `template`) knows no event
loop. A miner is `run()`, started and cancelled by its parent.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ioex_chain.pow.block import Block
from ioex_chain.pow.hash_pool import HashPool, WorkerDied
from ioex_chain.pow.hash_worker import Order, Report
from ioex_chain.pow.hashing import BATCH, BATCHES, search
from ioex_chain.pow.header import Header
from ioex_chain.pow.mining_stats import MinerStats, Reward
from ioex_chain.pow.template import Job
from ioex_chain.pow.work import Work, WorkSource, miner_value
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.errors import IoexError
from ioex_chain.spec.model import PowSpec

_NEW_TIME_EVERY = 15.0
"""Seconds after which headers get a new time (and another extra nonce)."""
_RETRY_SECONDS = 2.0
"""How long to wait after the node gave no work or refused a block."""
_STALE = frozenset({"inconclusive", "stale", "stale-prevblk", "duplicate", "inconclusive-not-best-prevblk"})

Sleep = Callable[[float], Awaitable[None]]


class Pacer:
    """Says when hashing for a height may begin where work is too easy to keep the spacing (devnet).

    Blocks come `spacing` seconds apart, by our clock: a block that came when ours was due keeps the
    rhythm, one that came at another time begins a new one. The first may come at once.
    """

    def __init__(self, spacing: float) -> None:
        self._spacing = spacing
        self._parent = b""
        self._due: float | None = None

    def due(self, parent_hash: bytes, now: float) -> float:
        """Give the time at which a block on this parent may be made."""
        if self._due is None:
            self._due = now
        elif parent_hash != self._parent:
            late = now - self._due
            self._due = (self._due if 0 <= late < self._spacing / 2 else now) + self._spacing
        self._parent = parent_hash
        return self._due


@dataclass(frozen=True, slots=True)
class _Assignment:
    work: Work
    extra_nonce: int
    header: Header


class Miner:
    """Mines until cancelled. One `run()` at a time; `stats` may be read meanwhile."""

    def __init__(
        self,
        spec: PowSpec,
        source: WorkSource,
        clock: Clock,
        *,
        hashers: HashPool | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        pace: bool = True,
        first_extra_nonce: int = 0,
    ) -> None:
        """`pace` holds a fixed-difficulty network to its spacing.

        `first_extra_nonce` keeps two miners that pay the same address from doing the same work.
        """
        self.stats = MinerStats(monotonic())
        self._spec = spec
        self._source = source
        self._clock = clock
        self._hashers = hashers or HashPool()
        self._monotonic = monotonic
        self._sleep = sleep
        self._pacer = Pacer(spec.spacing) if pace and spec.fixed_difficulty else None
        self._extra_nonce = first_extra_nonce
        self._orders = 0
        self._assigned: dict[int, _Assignment] = {}
        self._work: Work | None = None
        self._solved = b""
        self._news = asyncio.Event()
        self._again = asyncio.Event()
        self._found: asyncio.Queue[tuple[_Assignment, int]] = asyncio.Queue()
        self._failure: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Mine until cancelled; then the processes are gone within a second. Raises WorkerDied."""
        loop = asyncio.get_running_loop()
        self._failure = loop.create_future()
        watched: list[int] = []
        try:
            self._hashers.start()
            for worker in range(self._hashers.count):
                watched.append(self._hashers.fileno(worker))
                loop.add_reader(watched[-1], self._read, worker)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._hash())
                group.create_task(self._submit_found())
                group.create_task(self._fail())
        except* WorkerDied as group_error:
            raise group_error.exceptions[0] from None
        finally:
            for descriptor in watched:
                loop.remove_reader(descriptor)
            await asyncio.shield(asyncio.to_thread(self._hashers.stop))

    async def _fail(self) -> None:
        assert self._failure is not None  # noqa: S101 - `run` made it
        await self._failure

    # --- work ---------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Keep the newest work: wait for better, or ask at once when a block was refused."""
        longpoll: str | None = None
        while True:
            self._again.clear()
            asking = asyncio.ensure_future(self._source.get_template(longpoll))
            again = asyncio.ensure_future(self._again.wait())
            try:
                await asyncio.wait({asking, again}, return_when=asyncio.FIRST_COMPLETED)
                if not asking.done():
                    longpoll = None
                    continue
                work = asking.result()
            except IoexError as error:
                self.stats.last_error = str(error)
                longpoll = None
                await self._sleep(_RETRY_SECONDS)
                continue
            finally:
                asking.cancel()
                again.cancel()
            longpoll = work.longpoll
            self._take(work)

    def _take(self, work: Work) -> None:
        template = work.job.template
        self.stats.height, self.stats.bits = template.height, template.bits
        self.stats.last_error = ""
        if template.parent_hash != self._solved:  # our own block on it is on its way
            self._work = work
            self._news.set()

    async def _hash(self) -> None:
        """Put the processes on the newest work, when it is due; give headers a new time now and then."""
        while True:
            self._news.clear()
            work = self._work
            pause = _NEW_TIME_EVERY
            if work is not None:
                wait = self._wait_for(work)
                self.stats.is_pacing = wait > 0
                if wait > 0:
                    self._rest()
                    pause = wait
                else:
                    self._order_all(work)
            await self._sleep_or_news(pause)

    def _wait_for(self, work: Work) -> float:
        if self._pacer is None:
            return 0.0
        now = self._monotonic()
        return self._pacer.due(work.job.template.parent_hash, now) - now

    async def _sleep_or_news(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        news = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({sleeping, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            news.cancel()

    def _order_all(self, work: Work) -> None:
        self._assigned.clear()
        for worker in range(self._hashers.count):
            self._order(worker, work)

    def _order(self, worker: int, work: Work) -> None:
        template = work.job.template
        at = min(max(template.min_time, template.time, self._clock.now()), template.max_time)
        header = work.job.header(self._extra_nonce, time=at)
        self._orders = (self._orders + 1) & 0xFFFFFFFF
        self._assigned[self._orders] = _Assignment(work, self._extra_nonce, header)
        self._extra_nonce = (self._extra_nonce + 1) & 0xFFFFFFFFFFFFFFFF
        self._hashers.order(worker, Order(self._orders, header.core[:76], template.target))

    def _rest(self) -> None:
        self._assigned.clear()
        for worker in range(self._hashers.count):
            self._hashers.order(worker, None)

    # --- results ------------------------------------------------------------------------------------------

    def _read(self, worker: int) -> None:
        """Take a worker's reports: called by the event loop when there are some."""
        try:
            for report in self._hashers.reports(worker):
                self._heed(worker, report)
        except WorkerDied as error:
            asyncio.get_running_loop().remove_reader(self._hashers.fileno(worker))
            if self._failure is not None and not self._failure.done():
                self._failure.set_exception(error)

    def _heed(self, worker: int, report: Report) -> None:
        self.stats.add_hashes(self._monotonic(), report.hashes)
        assignment = self._assigned.get(report.number)
        if assignment is None:  # of an order that was taken back meanwhile
            return
        if report.nonce is not None:
            self._work = None
            self._solved = assignment.header.parent_hash
            self._rest()
            self._found.put_nowait((assignment, report.nonce))
        elif report.is_done:
            self._order(worker, assignment.work)

    async def _submit_found(self) -> None:
        while True:
            assignment, nonce = await self._found.get()
            job = assignment.work.job
            block = job.block_with(assignment.header.with_nonce(nonce), assignment.extra_nonce)
            self.stats.found += 1
            try:
                answer = await self._source.submit(block)
            except IoexError as error:
                answer = str(error)
            self._count(assignment, block, answer)
            if answer is not None:
                self._solved = b""
                await self._sleep(_RETRY_SECONDS)
                self._again.set()

    def _count(self, assignment: _Assignment, block: Block, answer: str | None) -> None:
        if answer is None:
            self.stats.accepted += 1
            height = assignment.work.job.template.height
            value = miner_value(block.transactions[0])
            matures = height + self._spec.coinbase_maturity
            self.stats.rewards.append(Reward(height, block.hash, value, matures))
        elif answer in _STALE:
            self.stats.stale += 1
        else:
            self.stats.rejected += 1
            self.stats.last_error = f"block refused: {answer}"


def mine_block(job: Job, *, max_tries: int = 1_000_000, extra_nonce: int = 0) -> Block | None:
    """Search here and now, without pacing; None after `max_tries` hashes. For easy networks."""
    while max_tries > 0:
        header = job.header(extra_nonce)
        for batch in range(BATCHES):
            nonce = search(header.core, job.template.target, batch, min(BATCH, max_tries))
            if nonce is not None:
                return job.block_with(header.with_nonce(nonce), extra_nonce)
            max_tries -= BATCH
            if max_tries <= 0:
                return None
        extra_nonce += 1
    return None
