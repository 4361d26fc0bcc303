"""The running DPoS chain: between the event loop and the worker thread that owns ledger and pool."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ioex_chain.dpos.block import Block
from ioex_chain.dpos.consensus import next_base_fee
from ioex_chain.dpos.finality import Finality
from ioex_chain.dpos.finality_types import Outcome, Verdict
from ioex_chain.dpos.follower import DposHeadChanged, Follower, LedgerTree
from ioex_chain.dpos.mempool import Mempool
from ioex_chain.dpos.mempool_types import Change, PoolChange, PooledTransaction, PoolTip
from ioex_chain.dpos.records import ChainFacts, DposEntry
from ioex_chain.evm.errors import InvalidTransaction
from ioex_chain.evm.schema import CODE
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.types import Account, Transaction
from ioex_chain.ledger.types import Readable
from ioex_chain.node import log
from ioex_chain.node.dpos_build import DposChain
from ioex_chain.node.lifetime import Lifetime
from ioex_chain.node.runner import ChainRunner
from ioex_chain.node.worker import Worker
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.errors import IoexError
from ioex_chain.rpc.peer_port import PeerPort

T = TypeVar("T")
logger = log.get(__name__)
_BATCH = 500
"""Transactions that the pool is given at a time."""
_NO_ACCOUNT = Account()


class HeadAccounts:
    """Accounts in a state, as the pool asks for them."""

    def __init__(self, view: Readable) -> None:
        self._view = view
        self._state = FlatState(view)

    def account(self, address: bytes) -> Account:
        """Give an account; an empty one for an address that has none."""
        return self._state.account(address) or _NO_ACCOUNT

    def code(self, code_hash: bytes) -> bytes:
        """Give the code with this keccak256."""
        return self._view.get(CODE + code_hash) or b""


@dataclass(frozen=True, slots=True)
class DposParts:
    """What the service is made of."""

    chain: DposChain
    mempool: Mempool
    clock: Clock
    worker: Worker
    lifetime: Lifetime
    peers: PeerPort
    follower: type[Follower] = Follower


class DposService:
    """Runs the DPoS chain; listeners are called in the event loop, in order."""

    def __init__(self, parts: DposParts) -> None:
        chain = parts.chain
        self.spec = chain.spec
        self.chain = chain
        self.ledger = chain.ledger
        self.engine = chain.engine
        self.mempool = parts.mempool
        self.clock = parts.clock
        self.peers = parts.peers
        self.stopping = parts.lifetime.stopping
        self._lifetime = parts.lifetime
        self._runner = ChainRunner(parts.worker, parts.lifetime, chain.naming)
        self.facts = ChainFacts(chain.engine.records, lambda: self.ledger.head)
        self.finality = self._new_finality()
        self.follower = parts.follower(
            chain.ledger, self.finality, self.run, tell=self._publish_outcome, conflict=self._conflict
        )
        self._submitted: list[tuple[Transaction, asyncio.Future[None]]] = []
        self._is_submitting = False
        self.keep: Callable[[Sequence[PooledTransaction]], None] = lambda _: None
        """Put transactions of our RPC where a crash leaves them, before they are acknowledged."""
        self._pending: deque[PooledTransaction] = deque()
        self.on_head: list[Callable[[DposHeadChanged], None]] = []
        self.on_transaction: list[Callable[[PooledTransaction], None]] = []
        self.on_connected: list[Callable[[float], None]] = []
        """Hear how many seconds the worker took until a block, or a run of them, was in the database."""
        self.on_outcome: list[Callable[[Outcome], None]] = []
        """Hear what became of votes, certificates, evidence and blocks in finality."""

    def _new_finality(self) -> Finality[DposEntry]:
        ledger = self.ledger
        signatures = self.chain.machine.signatures
        return Finality(LedgerTree(ledger), self.facts, signatures, ledger.head, ledger.floor)

    def restart_finality(self) -> None:
        """Forget what finality knew: the chain was rolled back by hand."""
        self.finality = self.follower.finality = self._new_finality()

    @property
    def failure(self) -> IoexError | None:
        """Why a database failed; None while all is well."""
        return self._lifetime.failure

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

    def tell(self, function: Callable[[], None]) -> None:
        """Have `function` called in the event loop; for the worker's thread."""
        self._runner.tell(function)

    # --- coming in ----------------------------------------------------------------------------------------

    async def submit_block(self, block: Block) -> DposHeadChanged | None:
        """Accept a block as if a peer had sent it. Raises what Ledger.accept_block raises."""
        return await self.call(lambda: self.ledger.accept_block(block))

    async def submit_transaction(self, raw: bytes) -> bytes:
        """Decode a transaction and add it to the pool; give its hash. Raises InvalidTransaction."""
        tx = self.mempool.decode(raw)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._submitted.append((tx, done))
        asyncio.get_running_loop().call_soon(self._submit)
        await done
        return tx.hash

    def _submit(self) -> None:
        """Give the pool all that came while it was busy: a flood costs few turns of the worker."""
        if self._is_submitting or not self._submitted:
            return
        self._is_submitting = True
        batch, self._submitted = self._submitted[:_BATCH], self._submitted[_BATCH:]

        def over() -> None:
            self._is_submitting = False
            self._submit()

        def failed(error: Exception) -> None:
            over()
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)

        def taken(results: Sequence[PooledTransaction | InvalidTransaction]) -> None:
            over()
            for (_, done), result in zip(batch, results, strict=True):
                if done.done():
                    continue  # its caller is gone
                if isinstance(result, InvalidTransaction):
                    done.set_exception(result)
                else:
                    done.set_result(None)

        self.run(lambda: self._take([tx for tx, _ in batch]), taken, failed)

    def _take(self, txs: Sequence[Transaction]) -> Sequence[PooledTransaction | InvalidTransaction]:
        results = self.mempool.add_all(txs, self.tip(), local=True)
        self.keep([entry for entry in results if not isinstance(entry, InvalidTransaction)])
        return results

    # --- the pool's view of the chain (`mempool.Chain`), on the worker ------------------------------------

    def tip(self) -> PoolTip:
        """Give state and base fee on the head."""
        return PoolTip(HeadAccounts(self.ledger.view()), self.next_base_fee(self.ledger.head))

    def next_base_fee(self, entry: DposEntry) -> int:
        """Give the base fee of a block on `entry`, in wei."""
        return next_base_fee(self.spec.dpos, entry.header.header)

    def transactions(self, entry: DposEntry) -> Sequence[Transaction]:
        """Give the transactions of a block that was on the best chain; none if its body is gone."""
        raw = self.ledger.body_bytes(entry.hash)
        return () if raw is None else self.ledger.body(entry.hash).transactions

    # --- what moved ---------------------------------------------------------------------------------------

    def _head_moved(self, event: DposHeadChanged) -> None:
        """Follow on the worker thread, then tell the event loop."""
        seconds = time.monotonic() - self._runner.began
        self.mempool.on_head(event, self)
        self._runner.tell(lambda: self._publish_head(event, seconds))

    def _pool_moved(self, change: PoolChange) -> None:
        if change.change is Change.PENDING:
            self._pending.append(change.entry)
            if len(self._pending) == 1:
                self._runner.tell(self._publish_transactions)

    def _publish_head(self, event: DposHeadChanged, seconds: float) -> None:
        self.follower.head_changed(event)
        head = event.head
        if event.disconnected:
            logger.info(
                "dpos chain reorganised",
                disconnected=len(event.disconnected),
                connected=len(event.connected),
                height=head.height,
                hash=head.hash.hex(),
            )
        else:
            tell = logger.debug if self.peers.sync_state().is_syncing else logger.info
            count = sum(len(done.receipt.receipts) for done in event.connected)
            tell("new dpos head", height=head.height, hash=head.hash.hex(), transactions=count)
        for listener in tuple(self.on_head):
            listener(event)
        for told in tuple(self.on_connected):
            told(seconds)

    def _publish_transactions(self) -> None:
        while self._pending:
            entry = self._pending.popleft()
            for listener in tuple(self.on_transaction):
                listener(entry)

    def _publish_outcome(self, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.CONFLICT:
            self._conflict("a certificate of the other branch is sound")
        for item in outcome.evidence:
            logger.warning("evidence: an arbitrator signed twice", item=type(item).__name__)
        for listener in tuple(self.on_outcome):
            listener(outcome)

    def _conflict(self, what: str) -> None:
        logger.error(
            "finality conflict: more than a third of the arbitrators signed against a final block; "
            "compare block hashes with nodes that you trust before you go on",
            what=what,
        )
