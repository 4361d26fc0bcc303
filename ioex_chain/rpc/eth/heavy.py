"""The bounded pool of threads for calls, estimates and traces; each ends by its deadline."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ioex_chain.rpc.eth.evm_port import Deadline, EngineBusy, ExecutionTimeout

T = TypeVar("T")


class TimeLimit:
    """A deadline of the monotonic clock that begins with the work, and that the waiting side can call off."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._end = now() + seconds
        self._called_off = False

    def begin(self) -> None:
        """Count from now on: time in the queue is not the work's."""
        self._end = self._now() + self._seconds

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        self._called_off = True

    def check(self) -> None:
        """Raise ExecutionTimeout once the time is over."""
        if self._called_off or self._now() > self._end:
            raise ExecutionTimeout(f"execution aborted (timeout = {self._seconds:g} s)")


class HeavyPool:
    """Runs work in `threads` threads; at most `waiting` more wait, each for `patience` seconds."""

    def __init__(
        self,
        threads: int = 2,
        waiting: int = 256,
        patience: float = 10.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="evm")
        self._most = threads + waiting
        self._patience = patience
        self._now = now
        self._inside = 0

    @property
    def inside(self) -> int:
        """How many are running or waiting."""
        return self._inside

    async def run(self, work: Callable[[Deadline], T], seconds: float) -> T:
        """Run `work` with a deadline. Raises EngineBusy, ExecutionTimeout, and what `work` raises."""
        if self._inside >= self._most:
            raise EngineBusy("the node executes as many calls as it may; try again later")
        limit = TimeLimit(seconds, self._now)
        latest = self._now() + self._patience
        self._inside += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._run, work, limit, latest)
        future.add_done_callback(self._left)
        try:
            return await future
        except asyncio.CancelledError:
            limit.cancel()
            raise

    def _run(self, work: Callable[[Deadline], T], limit: TimeLimit, latest: float) -> T:
        if self._now() > latest:
            raise EngineBusy("the node is busy with other calls; try again later")
        limit.begin()
        return work(limit)

    def _left(self, future: "asyncio.Future[T]") -> None:
        self._inside -= 1
        if not future.cancelled():
            future.exception()

    def close(self) -> None:
        """Take no more work; threads end with what they are at."""
        self._executor.shutdown(wait=False, cancel_futures=True)
