"""The node's side of the bridge's relayer: both chains' services, the pool, a file of how far was read."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from ioex_chain.bridge.deposit_watch import DepositWatch, ReadTo
from ioex_chain.bridge.finality_proofs import FinalityProofs
from ioex_chain.bridge.relayer import PowItems, Relayer, Settled, Stuck
from ioex_chain.bridge.settlement import settlement_rule
from ioex_chain.bridge.settling import Due, SettlementPlanner
from ioex_chain.ledger.errors import UndoMissing, UnknownBlock
from ioex_chain.ledger.types import Readable
from ioex_chain.node import log
from ioex_chain.node.chain_service import ChainService
from ioex_chain.node.datadir import write_atomically
from ioex_chain.node.dpos_build import HISTORY
from ioex_chain.node.dpos_service import DposService
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import BlockHash, display, from_display

T = TypeVar("T")
logger = log.get(__name__)
KEEP_EVERY = 64
"""PoW blocks read between two writes of the file."""


class Bridging:
    """Runs the relayer of a node. `start` and `stop` are awaited by the node; `items` serves producers."""

    def __init__(self, pow_service: ChainService, dpos_service: DposService, kept: Path) -> None:
        """`kept` is the file that remembers how far the PoW chain was read for deposits."""
        self._pow = pow_service
        self._dpos = dpos_service
        self._kept = kept
        spec = dpos_service.spec
        self._written = read_kept(kept)
        watch = DepositWatch(pow_service.ledger, spec.bridge.min_relayed_deposit, self._written)
        self._watch = watch
        proofs = FinalityProofs(dpos_service.ledger, dpos_service.engine.records)
        self._planner = SettlementPlanner(spec, settlement_rule(spec), proofs)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bridge")
        self._task: asyncio.Task[None] | None = None
        self.relayer = Relayer(spec, pow_service.ledger, watch, self)

    async def start(self) -> None:
        """Begin to carry."""
        self._pow.on_head.append(lambda _: self.relayer.wake())
        self._dpos.on_head.append(lambda _: self.relayer.wake())
        self._task = asyncio.create_task(self.relayer.run())
        self._task.add_done_callback(self._ended)
        self.relayer.wake()

    async def stop(self) -> None:
        """Carry nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(cancel_futures=True)
        self._write(self._watch.read_to())

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            logger.error("the bridge's relayer failed; stopping", exc_info=task.exception())
            self._dpos.stopping.set()

    def items(self, state: Readable, timestamp: int) -> PowItems:
        """Give what a DPoS block at Unix time `timestamp` on this state can carry of the PoW chain.

        Nothing when that chain cannot be read: blocks are made all the same.
        """
        try:
            return self.relayer.items(state, timestamp)
        except IoexError as error:
            logger.warning("a block carries nothing of the PoW chain", reason=str(error))
            return PowItems()

    # --- `bridge.relayer.Node` ----------------------------------------------------------------------------

    def is_synced(self) -> bool:
        """Whether both chains are known as far as the node can tell."""
        return not (self._pow.peers.sync_state().is_syncing or self._dpos.peers.sync_state().is_syncing)

    async def read(self, work: Callable[[], T], /) -> T:
        """Run a longer reading call on a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def settlement(self) -> Due | None:
        """Plan a settlement on the heads of both chains. Raises IoexError, LookupError."""
        return await self._pow.call(self._plan)

    def _plan(self) -> Due | None:
        ledger, pooled = self._pow.ledger, self._pow.mempool.settlement
        return self._planner.due(
            ledger.view(),
            ledger.head.height,
            self._dpos.ledger.view(),
            None if pooled is None or pooled.settles is None else pooled.settles.done,
        )

    async def submit(self, transaction: Transaction) -> None:
        """Add a settlement to the PoW chain's pool. Raises what Mempool.add raises."""
        await self._pow.submit_transaction(transaction)

    def head_state(self) -> Readable:
        """Give the state after the DPoS chain's best block, always the newest."""
        return self._dpos.ledger.view()

    def on_final(self, work: Callable[[Readable], None], /) -> None:
        """Run `work` on the state after the last final DPoS block, if it is still there.

        Not while finality is far behind: a past state holds every undo record since in memory.
        """
        ledger = self._dpos.ledger
        floor = ledger.floor
        if ledger.head.height - floor.height > HISTORY:
            return
        try:
            state = ledger.state_at(floor)
        except (UndoMissing, UnknownBlock):
            return  # between two readings the chain went on; there is a next time
        with closing(state):
            work(state)

    def keep(self, read_to: ReadTo) -> None:
        """Remember how far the chain was read, once it is worth a write."""
        before = self._written
        if before is None or abs(read_to.height - before.height) >= KEEP_EVERY:
            self._write(read_to)

    def _write(self, read_to: ReadTo) -> None:
        text = json.dumps({"height": read_to.height, "hash": display(read_to.hash)})
        try:
            write_atomically(self._kept, text.encode())
        except OSError as error:
            logger.warning(
                "cannot remember how far deposits were read", file=str(self._kept), reason=str(error)
            )
            return
        self._written = read_to

    def report(self, event: Settled | Stuck) -> None:
        """Log what became of settlements."""
        if isinstance(event, Stuck):
            logger.warning("no settlement handed in", reason=event.reason)
            return
        due = event.due
        logger.info(
            "settlement handed in",
            txid=display(due.transaction.txid),
            requests=due.count,
            set=due.set_number,
        )


def read_kept(path: Path) -> ReadTo | None:
    """Give what `keep` wrote; None if there is nothing to rely on: then the chain is read anew."""
    try:
        kept = json.loads(path.read_bytes())
        return ReadTo(int(kept["height"]), BlockHash(from_display(kept["hash"])))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
