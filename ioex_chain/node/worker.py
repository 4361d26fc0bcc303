"""The chain's one worker thread: everything that writes ledger or mempool runs here, in order."""

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_COLLECT_EVERY = 64


class Worker:
    """Runs functions one after the other on a thread of its own."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._calls = 0
        self.began = 0.0
        """When the present call began, monotonic seconds; for what runs within it."""
        # The event loop must get its turn soon while a block is being connected on this thread.
        sys.setswitchinterval(0.001)

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` after all that was asked before; give its result or its error.

        Once it has begun it runs to its end, whatever becomes of the caller.
        """
        return await asyncio.shield(
            asyncio.get_running_loop().run_in_executor(self._pool, self._run, function)
        )

    def post(self, function: Callable[[], T], done: Callable[[Future[T]], None]) -> None:
        """Run `function` likewise; `done` is then called with the outcome, on the worker's thread."""
        self._pool.submit(self._run, function).add_done_callback(done)

    def _run(self, function: Callable[[], T]) -> T:
        # A full block makes a million objects that no cycle holds: collecting while they come costs a fifth
        # of the time, so it waits until the block is done.
        gc.disable()
        self.began = time.monotonic()
        try:
            return function()
        finally:
            gc.enable()
            self._calls += 1
            if self._calls % _COLLECT_EVERY == 0:
                gc.collect(1)

    def close(self) -> None:
        """Finish what was asked, then end the thread."""
        self._pool.shutdown(wait=True)
