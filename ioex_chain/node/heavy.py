"""Calls, estimates and traces: few threads beside the import, a bounded queue, a time that ends them."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ioex_chain.rpc.eth.evm_port import EngineBusy, ExecutionTimeout

T = TypeVar("T")
MAX_WAITING = 1_000
"""Computations that may wait for a thread; more are refused at once."""


class TimeLimit:
    """Ends a computation: when its time is over, or when nobody waits for it any more."""

    __slots__ = ("_cancelled", "_now", "_seconds", "_until")

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seconds = seconds
        self._until = now() + seconds
        self._cancelled = False

    def cancel(self) -> None:
        """End it at its next look at the time."""
        self._cancelled = True

    def check(self) -> None:
        """Raise ExecutionTimeout once it has to end."""
        if self._cancelled or self._now() >= self._until:
            raise ExecutionTimeout(f"execution was stopped after {self._seconds:g} s")


class HeavyWork:
    """Runs what executes contracts for RPC; `threads` at a time, so that import and reads get their turn."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="calls")
        self._waiting = 0

    async def run(self, work: Callable[[TimeLimit], T], seconds: float) -> T:
        """Run `work`; its time counts from when it begins. Raises EngineBusy, ExecutionTimeout."""
        if self._waiting >= MAX_WAITING:
            raise EngineBusy("too many calls are under way; ask again later")
        self._waiting += 1
        limits: list[TimeLimit] = []
        gone = False

        def begin() -> T:
            limit = TimeLimit(seconds)
            limits.append(limit)
            if gone:
                limit.cancel()
            limit.check()
            return work(limit)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, begin)
        except asyncio.CancelledError:
            gone = True
            for limit in limits:
                limit.cancel()
            raise
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Drop what waits; what runs ends by its deadline."""
        self._pool.shutdown(wait=False, cancel_futures=True)
