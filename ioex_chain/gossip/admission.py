"""Transactions on their way into the pool: decoded and checked on the chain's worker, a batch at a time."""

import logging
from collections import deque
from collections.abc import Callable, Sequence

from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.wire import Arrival, Result

log = logging.getLogger(__name__)

MAX_BATCH = 100
"""Transactions by piece of work, so that a block does not wait long behind them."""
MAX_BATCH_BYTES = 1_000_000


class Admission:
    """Gives arrivals to the pool in their order; `done` hears of each."""

    def __init__(self, context: Context, done: Callable[[Result], None]) -> None:
        self._chain = context.chain
        self._pool = context.pool
        self._done = done
        self._waiting: deque[Arrival] = deque()
        self._ids: dict[bytes, int] = {}
        self._running = False
        self.waiting_bytes = 0

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id_: bytes, /) -> bool:
        return id_ in self._ids

    def add(self, arrival: Arrival) -> None:
        """Take an arrival; one that is on its way already is dropped."""
        if arrival.id in self._ids:
            return
        self._ids[arrival.id] = arrival.peer
        self.waiting_bytes += len(arrival.raw)
        self._waiting.append(arrival)

    def start(self) -> None:
        """Have the worker take the next batch, unless it has one."""
        if self._running or not self._waiting:
            return
        batch: list[Arrival] = []
        size = 0
        while self._waiting and len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].raw)
        self._running = True
        self._chain.run(
            lambda: self._pool.admit(batch),
            lambda results: self._finished(batch, results),
            lambda error: self._failed(batch, error),
        )

    def _finished(self, batch: Sequence[Arrival], results: Sequence[Result]) -> None:
        for arrival in batch:
            del self._ids[arrival.id]
            self.waiting_bytes -= len(arrival.raw)
        self._running = False
        for result in results:
            self._done(result)
        self.start()

    def _failed(self, batch: Sequence[Arrival], error: Exception) -> None:
        """Drop what could not be worked on: a fault of our own, so nobody is blamed."""
        log.error("transactions of peers could not be taken", exc_info=error)
        self._finished(batch, ())
