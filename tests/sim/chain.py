"""One node's chain: the real ledger, pool and rules behind a worker whose time is virtual."""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TypeVar

from ioex_chain.bridge.settlement import settlement_rule
from ioex_chain.ledger.errors import Rejected, StoreError
from ioex_chain.ledger.types import KeyValueStore
from ioex_chain.node.build import open_ledger
from ioex_chain.pow.ledger import PowHeadChanged
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.policy import Policy
from ioex_chain.pow.pool_events import PoolChange
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.verified import VerifiedCache
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import display
from ioex_chain.spec.model import NetworkSpec

from .scheduler import Scheduler

T = TypeVar("T")


class SimChain:
    """A `gossip.ports.Chain`: jobs run one after the other, each after a service time by chance.

    What the ledger and the pool tell while a job runs reaches the listeners after it, before the job's own
    answer: the order of the node's event loop.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        name: str,
        spec: NetworkSpec,
        store: KeyValueStore,
        clock: Clock,
        chance: Random,
        *,
        service_time: float = 0.003,
        max_pool: int = 4 << 20,
    ) -> None:
        """`service_time` is a job's mean in seconds, `max_pool` bytes of the mempool."""
        self.spec = spec
        self.clock = clock
        verified = VerifiedCache(20_000)
        self.ledger = open_ledger(spec, store, clock, verified=verified)
        self.mempool = Mempool(
            spec,
            clock,
            policy=Policy(max_usage=max_pool),
            verified=verified,
            settlements=settlement_rule(spec),
        )
        self.on_head: list[Callable[[PowHeadChanged], None]] = []
        self.on_transaction: list[Callable[[Transaction], None]] = []
        self.on_fault: Callable[[Exception], None] = _raise
        self.reorganisations = 0
        self.longest_queue = 0
        self._scheduler = scheduler
        self._name = name
        self._chance = chance
        self._service_time = service_time
        self._jobs: deque[Callable[[], Callable[[], None]]] = deque()
        self._busy = False
        self._alive = True
        self.ledger.subscribe(self._head_moved)
        self.mempool.subscribe(self._pool_moved)

    def run(
        self, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[Exception], None]
    ) -> None:
        """Have `work` run after all that was asked before; see `gossip.ports.Chain.run`."""

        def job() -> Callable[[], None]:
            try:
                result = work()
            except StoreError:
                raise
            except IoexError as error:
                refused = error
                return lambda: failed(refused)
            return lambda: done(result)

        self._jobs.append(job)
        self.longest_queue = max(self.longest_queue, len(self._jobs))
        self._next()

    def submit(self, tx: Transaction, told: Callable[[Exception | None], None] | None = None) -> None:
        """Offer a transaction to the pool, as a wallet does by RPC."""
        tell = told or (lambda _error: None)
        self.run(
            lambda: self.mempool.add(tx, Tip.of(self.ledger)), lambda _entry: tell(None), lambda e: tell(e)
        )

    def stop(self) -> None:
        """Die: no job runs and no answer comes any more."""
        self._alive = False
        self._jobs.clear()

    def _next(self) -> None:
        if self._jobs and not self._busy:
            self._busy = True
            self._scheduler.after(self._chance.expovariate(1 / self._service_time), self._work)

    def _work(self) -> None:
        if not self._alive:
            return
        try:
            answer = self._jobs.popleft()()
            self._tell(answer)
        except Exception as error:  # noqa: BLE001 - a node that stops is what the world looks for
            self.on_fault(error)
        self._busy = False
        self._next()

    def _tell(self, answer: Callable[[], None]) -> None:
        self._scheduler.after(0.0, lambda: answer() if self._alive else None)

    def _head_moved(self, event: PowHeadChanged) -> None:
        self.mempool.on_head(event, self.ledger)
        self.reorganisations += bool(event.disconnected)
        self._scheduler.note(
            self._name,
            f"head {event.head.height} {display(event.head.hash)[-12:]} -{len(event.disconnected)}"
            f" +{len(event.connected)} pool {len(self.mempool)}",
        )
        for listener in tuple(self.on_head):
            self._tell(lambda heard=listener: heard(event))  # type: ignore[misc]

    def _pool_moved(self, change: PoolChange) -> None:
        if change.left is not None:
            return
        self._scheduler.note(self._name, f"transaction {change.entry.tx.wtxid.hex()[:12]}")
        for listener in tuple(self.on_transaction):
            self._tell(lambda heard=listener: heard(change.entry.tx))  # type: ignore[misc]


def is_refusal(error: Exception) -> bool:
    """Whether an error is a rule's verdict, not a fault."""
    return isinstance(error, Rejected | IoexError)


def _raise(error: Exception) -> None:
    raise error
