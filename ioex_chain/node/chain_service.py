"""The running PoW chain: between the event loop and the worker thread that owns ledger and mempool."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ioex_chain import __version__
from ioex_chain.ledger.errors import StoreError
from ioex_chain.node import log
from ioex_chain.node.datadir import DataDir
from ioex_chain.node.lifetime import Lifetime
from ioex_chain.node.no_peers import NoPeers
from ioex_chain.node.runner import ChainRunner
from ioex_chain.node.worker import Worker
from ioex_chain.pow.block import Block
from ioex_chain.pow.fees import FeeEstimator
from ioex_chain.pow.header import Header
from ioex_chain.pow.ledger import PowHeadChanged, PowLedger
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.pool_events import PoolChange
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.types import BlockHash, display
from ioex_chain.rpc.peer_port import PeerPort
from ioex_chain.rpc.pow_backend import NodeState
from ioex_chain.spec.model import NetworkSpec

T = TypeVar("T")
logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class ChainParts:
    """What a chain service is made of."""

    spec: NetworkSpec
    datadir: DataDir
    ledger: PowLedger
    mempool: Mempool
    fees: FeeEstimator
    clock: Clock
    worker: Worker
    lifetime: Lifetime
    indexes: bool
    database_size: Callable[[], int]


class ChainService:
    """Implements `rpc.pow_backend.PowBackend`; listeners are called in the event loop, in order."""

    def __init__(self, parts: ChainParts) -> None:
        self.spec = parts.spec
        self.ledger = parts.ledger
        self.mempool = parts.mempool
        self.fees = parts.fees
        self.clock = parts.clock
        self.indexes = parts.indexes
        self._datadir = parts.datadir
        self._lifetime = parts.lifetime
        self._runner = ChainRunner(parts.worker, parts.lifetime)
        self._database_size = parts.database_size
        self.dpos_rpc: str | None = None
        """URL of the other chain's RPC; empty while it starts, None without it."""
        self._started_at = parts.clock.now()
        self.stopping = parts.lifetime.stopping
        self._changed = asyncio.Event()
        self.on_head: list[Callable[[PowHeadChanged], None]] = []
        self.on_transaction: list[Callable[[Transaction], None]] = []
        self.on_connected: list[Callable[[float], None]] = []
        """Hear how many seconds the worker took until a block, or a run of them, was in the database."""
        self.peers: PeerPort = NoPeers(parts.ledger, self.rates)

    def rates(self) -> tuple[int, int]:
        """Give the least fee rate that the pool relays, and the one that it asks for now."""
        return self.mempool.policy.min_relay_rate, self.mempool.min_rate()

    def join_network(self, peers: PeerPort) -> None:
        """Have peers from now on."""
        self.peers = peers

    def start(self) -> None:
        """Begin to follow the ledger; call it in the event loop."""
        self._runner.start()
        self.ledger.subscribe(self._head_moved)
        self.mempool.subscribe(self._pool_moved)

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the chain's worker thread. A failing disk stops the node."""
        return await self._runner.call(function)

    def run(
        self, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[Exception], None]
    ) -> None:
        """Run `work` likewise and call back in the event loop: `gossip.ports.Chain`."""
        self._runner.run(work, done, failed)

    @property
    def failure(self) -> StoreError | None:
        """Why a database failed; None while all is well."""
        return self._lifetime.failure

    async def submit_block(self, block: Block) -> PowHeadChanged | None:
        """Accept a block as if a peer had sent it. Raises what Ledger.accept_block raises."""
        return await self.call(lambda: self.ledger.accept_block(block))

    async def submit_header(self, header: Header) -> None:
        """Accept a header. Raises what Ledger.accept_header raises."""
        await self.call(lambda: self.ledger.accept_header(header))

    async def submit_transaction(self, tx: Transaction) -> None:
        """Add to the mempool. Raises what Mempool.add raises."""
        await self.call(lambda: self.mempool.add(tx, Tip.of(self.ledger)))

    def _head_moved(self, event: PowHeadChanged) -> None:
        """Follow on the worker thread, then tell the event loop."""
        seconds = time.monotonic() - self._runner.began
        self.mempool.on_head(event, self.ledger)
        self._runner.tell(lambda: self._publish_head(event, seconds))

    def _pool_moved(self, change: PoolChange) -> None:
        if change.left is None:
            self._runner.tell(lambda: self._publish_transaction(change.entry.tx))

    def _publish_head(self, event: PowHeadChanged, seconds: float) -> None:
        head = event.head
        if event.disconnected:
            logger.warning(
                "chain reorganised",
                disconnected=len(event.disconnected),
                connected=len(event.connected),
                height=head.height,
                hash=display(head.hash),
            )
        else:
            tell = logger.debug if self.peers.sync_state().is_syncing else logger.info
            tell("new head", height=head.height, hash=display(head.hash))
        for branch in self.ledger.deep_branches()[:1]:
            logger.warning(
                "a better chain forks deeper than this node reorganises by itself; if it is right, run "
                f"`ioex rpc acceptdeepreorg {display(branch.hash)}`",
                height=branch.height,
            )
        self._wake()
        for listener in tuple(self.on_head):
            listener(event)
        for told in tuple(self.on_connected):
            told(seconds)

    def _publish_transaction(self, tx: Transaction) -> None:
        self._wake()
        for listener in tuple(self.on_transaction):
            listener(tx)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_template_change(self, head: BlockHash, mempool_version: int, timeout: float) -> None:
        """Return on another head, on fees that had time to gather, or after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        fees_from = loop.time() + min(30.0, self.spec.pow.spacing / 4)
        while self.ledger.head.hash == head and not self.stopping.is_set():
            now = loop.time()
            if now >= deadline or (now >= fees_from and self.mempool.version != mempool_version):
                return
            until = fees_from if now < fees_from else deadline
            changed = self._changed
            try:
                async with asyncio.timeout_at(min(until, deadline)):
                    await changed.wait()
            except TimeoutError:
                continue

    def state(self) -> NodeState:
        """Tell how the node is."""
        return NodeState(
            version=__version__,
            started_at=self._started_at,
            datadir=str(self._datadir.path),
            network=self.spec.name,
            warnings=tuple(
                f"the branch {display(branch.hash)} is better but forks too deep; see acceptdeepreorg"
                for branch in self.ledger.deep_branches()
            ),
            dpos_rpc=self.dpos_rpc,
        )

    def database_size(self) -> int:
        """Give the bytes of the database on disk."""
        return self._database_size()

    def request_stop(self) -> None:
        """Ask the node to flush and exit."""
        self._lifetime.request_stop()
        self._wake()
