"""What the PoW methods need of a running node: declared here by the consumer, built in `node`.

Threads: the ledger, the mempool and the fee estimator belong to one worker thread. `call` runs a function
there; reads of the ledger that its docstring names thread-safe may be made from any thread.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ioex_chain.pow.block import Block
from ioex_chain.pow.fees import FeeEstimator
from ioex_chain.pow.header import Header
from ioex_chain.pow.ledger import PowHeadChanged, PowLedger
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.peer_port import PeerPort
from ioex_chain.spec.model import NetworkSpec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodeState:
    """What the node says of itself."""

    version: str
    started_at: int
    """Unix time."""
    datadir: str
    network: str
    warnings: tuple[str, ...]
    dpos_rpc: str | None = None
    """URL of the DPoS chain's RPC; empty while that chain starts, None on a node without it."""


class PowBackend(Protocol):
    """A running PoW chain."""

    spec: NetworkSpec
    ledger: PowLedger
    mempool: Mempool
    fees: FeeEstimator
    clock: Clock
    indexes: bool
    """Whether the address and transaction indexes are kept."""

    @property
    def peers(self) -> PeerPort:
        """The peer-to-peer side; used in the event loop only."""
        ...

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the chain's worker thread and give its result."""
        ...

    async def submit_block(self, block: Block) -> PowHeadChanged | None:
        """Accept a block as if a peer had sent it. Raises what Ledger.accept_block raises."""
        ...

    async def submit_header(self, header: Header) -> None:
        """Accept a header. Raises what Ledger.accept_header raises."""
        ...

    async def submit_transaction(self, tx: Transaction) -> None:
        """Add to the mempool and announce. Raises what Mempool.add raises."""
        ...

    async def wait_for_template_change(self, head: BlockHash, mempool_version: int, timeout: float) -> None:
        """Return when a better template than that of `head` and `mempool_version` can be made.

        That is at once on another head; with other fees after a while in which they gather; after
        `timeout` seconds in any case.
        """
        ...

    def state(self) -> NodeState:
        """Tell how the node is."""
        ...

    def database_size(self) -> int:
        """Give the bytes of the database on disk."""
        ...

    def request_stop(self) -> None:
        """Ask the node to flush and exit."""
        ...
