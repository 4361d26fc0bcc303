"""Between the event loop and a chain's worker thread: work goes one way, its outcome comes back the other."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from ioex_chain.ledger.errors import StoreError
from ioex_chain.node.lifetime import Lifetime
from ioex_chain.node.worker import Worker

T = TypeVar("T")


class ChainRunner:
    """Runs what writes a chain's ledger and pool, in order. A failing disk stops the node."""

    def __init__(
        self,
        worker: Worker,
        lifetime: Lifetime,
        naming: Callable[[StoreError], StoreError] = lambda error: error,
    ) -> None:
        """`naming` puts the database's place into an error's message."""
        self._worker = worker
        self._naming = naming
        self._lifetime = lifetime
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Deliver to this event loop from now on."""
        self._loop = asyncio.get_running_loop()

    @property
    def began(self) -> float:
        """When the worker's present call began, monotonic seconds."""
        return self._worker.began

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the chain's worker thread."""
        try:
            return await self._worker.call(function)
        except StoreError as error:
            self._lifetime.fail(self._naming(error))
            raise

    def run(
        self, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[Exception], None]
    ) -> None:
        """Run `work` likewise and call back in the event loop: `gossip.ports.Chain`."""
        self._worker.post(work, lambda future: self.tell(lambda: self._deliver(future, done, failed)))

    def tell(self, function: Callable[[], None]) -> None:
        """Have `function` called in the event loop; for the worker's thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    def _deliver(
        self, future: Future[T], done: Callable[[T], None], failed: Callable[[Exception], None]
    ) -> None:
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or self._lifetime.stopping.is_set():
            return
        if error is None:
            done(future.result())
        elif isinstance(error, StoreError):
            self._lifetime.fail(self._naming(error))
        elif isinstance(error, Exception):
            failed(error)
        else:
            raise error
