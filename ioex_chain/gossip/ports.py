"""What the gossip needs of a running chain: declared here by the consumer, built in `node`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ioex_chain.gossip.pow_pool import PowPool
from ioex_chain.gossip.pow_wire import PowWire
from ioex_chain.gossip.wire import AnyLedger, ChainWire, PoolWire
from ioex_chain.primitives.clock import Clock
from ioex_chain.spec.model import NetworkSpec

T = TypeVar("T")


class Chain(Protocol):
    """A chain behind a worker. Reads of the ledger that are thread-safe may be made at once."""

    spec: NetworkSpec
    ledger: AnyLedger
    mempool: Any
    """The chain's pool; touched inside `run` only, but for what `PoolWire` says."""
    clock: Clock
    """Wall time."""

    def run(
        self, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[Exception], None]
    ) -> None:
        """Have `work` run where ledger and pool may be written, in the order of the calls.

        Then `done` or `failed` is called in this thread, later, never from within `run`. A failing disk
        (StoreError) stops the node and calls neither.
        """
        ...


class Chance(Protocol):
    """A source of randomness: `random.Random`, or the system's."""

    def random(self) -> float:
        """Give a number in [0, 1)."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """Give an integer of k random bits."""
        ...

    def expovariate(self, lambd: float) -> float:
        """Give an exponentially distributed number with mean 1/lambd."""
        ...

    def shuffle(self, x: list[bytes]) -> None:
        """Shuffle a list in place."""
        ...


def _ignore(number: int) -> None:
    del number


@dataclass(frozen=True, slots=True)
class Context:
    """What every part of the gossip is given."""

    chain: Chain
    now: Callable[[], float]
    """Monotonic seconds."""
    chance: Chance
    gave_block: Callable[[int], None] = _ignore
    """Hears the number of a connection that gave a new head: worth keeping when one has to go."""
    gave_transaction: Callable[[int], None] = _ignore
    """Hears the number of a connection that gave a transaction which the pool took."""
    wire: ChainWire = None  # type: ignore[assignment]  # the PoW chain's, as below
    pool: PoolWire = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """Take the PoW chain's adapters unless others are given."""
        if self.wire is None:
            object.__setattr__(self, "wire", PowWire(self.chain.spec))
        if self.pool is None:
            object.__setattr__(self, "pool", PowPool(self.chain))
