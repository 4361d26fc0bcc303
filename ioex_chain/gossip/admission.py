"""Transactions on their way into the pool: decoded and checked on the chain's worker, a batch at a time."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ioex_chain.gossip.ports import Context
from ioex_chain.pow.errors import TransactionError
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.policy import MissingInputs
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import get_coin
from ioex_chain.primitives.errors import DecodeError, IoexError

log = logging.getLogger(__name__)

MAX_BATCH = 100
"""Transactions by piece of work, so that a block does not wait long behind them."""
MAX_BATCH_BYTES = 1_000_000


class NotAsked(IoexError):
    """A transaction that nobody asked for."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A transaction from a peer: its bytes, or read already (an orphan). `since` is when it first came.

    `parents`: what was asked for by txid; None when its wtxid was asked for.
    """

    peer: int
    wtxid: bytes
    raw: bytes
    since: float
    tx: Transaction | None = None
    parents: frozenset[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of it: `error` None when the pool took it; `missing` are the txids of unknown parents."""

    arrival: Arrival
    tx: Transaction | None = None
    error: IoexError | None = None
    missing: tuple[bytes, ...] = ()


class Admission:
    """Gives arrivals to the pool in their order; `done` hears of each."""

    def __init__(self, context: Context, done: Callable[[Result], None]) -> None:
        self._chain = context.chain
        self._done = done
        self._waiting: deque[Arrival] = deque()
        self._ids: dict[bytes, int] = {}
        self._running = False
        self.waiting_bytes = 0

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, wtxid: bytes, /) -> bool:
        return wtxid in self._ids

    def add(self, arrival: Arrival) -> None:
        """Take an arrival; one that is on its way already is dropped."""
        if arrival.wtxid in self._ids:
            return
        self._ids[arrival.wtxid] = arrival.peer
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
            lambda: self._work(batch),
            lambda results: self._finished(batch, results),
            lambda error: self._failed(batch, error),
        )

    def _work(self, batch: Sequence[Arrival]) -> list[Result]:
        pool, tip = self._chain.mempool, Tip.of(self._chain.ledger)
        return [_admit(arrival, pool, tip) for arrival in batch]

    def _finished(self, batch: Sequence[Arrival], results: Sequence[Result]) -> None:
        for arrival in batch:
            del self._ids[arrival.wtxid]
            self.waiting_bytes -= len(arrival.raw)
        self._running = False
        for result in results:
            self._done(result)
        self.start()

    def _failed(self, batch: Sequence[Arrival], error: Exception) -> None:
        """Drop what could not be worked on: a fault of our own, so nobody is blamed."""
        log.error("transactions of peers could not be taken", exc_info=error)
        self._finished(batch, ())


def _admit(arrival: Arrival, pool: Mempool, tip: Tip) -> Result:
    tx = arrival.tx
    try:
        if tx is None:
            tx = Transaction.decode(arrival.raw)
            if arrival.parents is not None and tx.txid not in arrival.parents:
                return Result(arrival, tx, NotAsked("it was neither announced nor asked for"))
        pool.add(tx, tip)
    except MissingInputs as error:
        return Result(arrival, tx, error, _missing(tx, pool, tip) if tx else ())
    except (TransactionError, DecodeError) as error:
        return Result(arrival, tx, error)
    return Result(arrival, tx)


def _missing(tx: Transaction, pool: Mempool, tip: Tip) -> tuple[bytes, ...]:
    """Give the parents that are not known, each once; none when one is known and has no such output."""
    missing: dict[bytes, None] = {}
    for item in tx.inputs:
        outpoint = item.outpoint
        if pool.output(outpoint) is not None or get_coin(tip.view, outpoint) is not None:
            continue
        if outpoint[:32] in pool:
            return ()
        missing[outpoint[:32]] = None
    return tuple(missing)
