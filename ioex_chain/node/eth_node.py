"""What the Ethereum port reads of the running DPoS chain: `rpc.eth_backend.EthBackend`."""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

from ioex_chain import __version__
from ioex_chain.dpos import indexes
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.follower import DposHeadChanged
from ioex_chain.dpos.records import DposEntry
from ioex_chain.dpos.votes import Checkpoint
from ioex_chain.evm.types import Receipt
from ioex_chain.gossip.sync import SyncState
from ioex_chain.ledger.errors import UndoMissing, UnknownBlock
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.dpos_build import HISTORY
from ioex_chain.node.dpos_service import DposService
from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.eth.evm_port import Deadline, Evm, StatePruned
from ioex_chain.rpc.eth.heavy import HeavyPool
from ioex_chain.rpc.eth.state_view import StateView
from ioex_chain.rpc.eth_backend import ArbitrationPort, Location, PoolPort, SoloPort
from ioex_chain.rpc.peer_port import PeerPort

T = TypeVar("T")
_BLOCK_BYTES = 16 << 20
"""Bytes of the blocks that are remembered as they are read; in memory they take a few times as much."""
_RECEIPTS = 50_000
"""Receipts that are remembered, of all blocks together."""
_BAD_BLOCKS = 8


class Newest(Generic[T]):
    """Remembers values by block, the newest first to stay, up to a sum of weights. For several threads."""

    def __init__(self, most: int, weigh: Callable[[T], int]) -> None:
        self._most = most
        self._weigh = weigh
        self._weight = 0
        self._kept: OrderedDict[BlockHash, T] = OrderedDict()
        self._lock = Lock()

    def get(self, hash_: BlockHash) -> T | None:
        """Give what is remembered of a block."""
        return self._kept.get(hash_)

    def keep(self, hash_: BlockHash, value: T) -> None:
        """Remember a value, and forget the oldest ones that have no room beside it."""
        with self._lock:
            old = self._kept.pop(hash_, None)
            self._weight += self._weigh(value) - (0 if old is None else self._weigh(old))
            self._kept[hash_] = value
            while self._weight > self._most and len(self._kept) > 1:
                self._weight -= self._weigh(self._kept.popitem(last=False)[1])


class EthNode:
    """The DPoS chain for the Ethereum port; reads come from any thread, at once."""

    def __init__(
        self,
        config: NodeConfig,
        service: DposService,
        heavy: HeavyPool,
        arbitration: ArbitrationPort,
        evm: Callable[["EthNode"], Evm],
        solo: SoloPort | None = None,
    ) -> None:
        self.spec = service.spec
        self.version = __version__
        self.pool: PoolPort = service.mempool
        self.arbitration = arbitration
        self.solo = solo
        self.state_depth = None if config.archive else HISTORY
        self._service = service
        self._ledger = service.ledger
        self._heavy = heavy
        self._blocks: Newest[Block] = Newest(_BLOCK_BYTES, lambda block: len(block.raw))
        self._receipts: Newest[Sequence[Receipt]] = Newest(_RECEIPTS, lambda receipts: 1 + len(receipts))
        self._bad: deque[Block] = deque(maxlen=_BAD_BLOCKS)
        service.on_head.append(self._head_changed)
        self.evm = evm(self)

    def _head_changed(self, event: DposHeadChanged) -> None:
        for done in event.connected:
            self._receipts.keep(done.entry.hash, done.receipt.receipts)
            if done.receipt.block is not None:
                self._blocks.keep(done.entry.hash, done.receipt.block)

    @property
    def peers(self) -> PeerPort:
        """The peer-to-peer side."""
        return self._service.peers

    def sync_state(self) -> SyncState:
        """Tell how far behind the node is."""
        return self._service.peers.sync_state()

    def head(self) -> DposEntry:
        """Give the best chain's last block."""
        return self._ledger.head

    def safe(self) -> DposEntry:
        """Give the highest justified block of the best chain."""
        return self._on_best(self._service.finality.justified) or self.finalized()

    def finalized(self) -> DposEntry:
        """Give the highest finalised block."""
        return self._on_best(self._service.finality.finalised) or self._ledger.floor

    def _on_best(self, point: Checkpoint) -> DposEntry | None:
        entry = self._ledger.entry_at(point.height)
        return entry if entry is not None and entry.hash == point.hash else None

    def entry(self, hash_: BlockHash) -> DposEntry | None:
        """Find a block on any branch."""
        return self._ledger.entry(hash_)

    def entry_at(self, height: int) -> DposEntry | None:
        """Find the best chain's block at a height."""
        return self._ledger.entry_at(height)

    def is_on_best_chain(self, entry: DposEntry) -> bool:
        """Whether a block is the head or below it."""
        return self._ledger.is_on_best_chain(entry)

    def block(self, hash_: BlockHash) -> Block | None:
        """Give a whole block, None when its body is not stored."""
        found = self._blocks.get(hash_)
        if found is None:
            try:
                found = self._ledger.body(hash_)
            except UnknownBlock:
                return None
            self._blocks.keep(hash_, found)
        return found

    def senders(self, block: Block) -> Sequence[bytes]:
        """Give who signed each transaction."""
        return self._service.chain.senders.of(block.transactions)

    def receipts(self, hash_: BlockHash) -> Sequence[Receipt] | None:
        """Give the receipts of a block of the best chain, or of one that left it lately."""
        found = self._receipts.get(hash_)
        entry = self._ledger.entry(hash_) if found is None else None
        if entry is not None and self._ledger.is_on_best_chain(entry):
            with self._ledger.snapshot() as state:
                found = indexes.receipts(state, entry.height)
            if self._ledger.is_on_best_chain(entry):
                self._receipts.keep(hash_, found)
        return found

    def locate(self, tx_hash: bytes) -> Location | None:
        """Find a transaction of the best chain."""
        found = indexes.find_transaction(self._ledger.view(), tx_hash)
        entry = None if found is None else self._ledger.entry_at(found[0])
        return None if found is None or entry is None else Location(entry.hash, found[1])

    def state(self, entry: DposEntry) -> StateView:
        """Open the state after a block of the best chain. Raises StatePruned."""
        try:
            past = self._ledger.state_at(entry)
        except (UndoMissing, UnknownBlock) as error:
            raise StatePruned(str(error)) from error
        return StateView(past, past.close)

    def next_base_fee(self, entry: DposEntry) -> int:
        """Give the base fee of a block on `entry`, in wei."""
        return self._service.next_base_fee(entry)

    def next_timestamp(self) -> int:
        """Give the Unix time of the next slot after the head that is not over yet."""
        schedule = self._service.engine.schedule
        after_head = self._service.engine.slot_of(self._ledger.head) + 1
        return schedule.slot_start(max(after_head, schedule.slot_of(self._service.clock.now())))

    def bad_blocks(self) -> Sequence[Block]:
        """Give blocks of peers that broke a rule lately, newest first."""
        return tuple(self._bad)

    def saw_bad_block(self, block: Block) -> None:
        """Remember a block that broke a rule."""
        self._bad.appendleft(block)

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the chain's worker thread, after what it is at, and give its result."""
        return await self._service.call(function)

    async def submit(self, raw: bytes) -> bytes:
        """Decode a transaction, put it into the pool, announce it; give its hash."""
        return await self._service.submit_transaction(raw)

    async def run_heavy(self, work: Callable[[Deadline], T], seconds: float) -> T:
        """Run `work` in a thread beside the import. Raises EngineBusy, ExecutionTimeout, and its errors."""
        return await self._heavy.run(work, seconds)
