"""`ioex devnet --solo`: one arbitrator without peers, a clock that can be moved, a state that can be edited.

Nothing of this is reachable without `--solo`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ioex_chain.dpos.finality_types import Finalize, Prefer
from ioex_chain.dpos.follower import Follower
from ioex_chain.dpos.machine import Assembled, Candidate
from ioex_chain.dpos.mempool_select import Offers
from ioex_chain.dpos.records import DposEntry
from ioex_chain.dpos.seal import seal_digest, vote_digest
from ioex_chain.dpos.signer import SigningKey
from ioex_chain.dpos.votes import Vote
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.transactions import signed
from ioex_chain.evm.types import AccessEntry, Transaction
from ioex_chain.ledger.types import StateView
from ioex_chain.node.dpos_service import DposService
from ioex_chain.node.solo_chain import MARK, Edit, Notes
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.eth_backend import SoloTransaction

_DEFAULT_GAS = 10_000_000


class SoloFollower(Follower):
    """Leaves the ledger's floor where it is, so that a snapshot can be gone back to."""

    def _do(self, action: Prefer | Finalize) -> None:
        del action


@dataclass(frozen=True, slots=True)
class _Snapshot:
    height: int
    hash: BlockHash
    lead: int


class Solo:
    """Makes the blocks, one per slot and whenever it is asked: `rpc.eth_backend.SoloPort`.

    `start` and `stop` are awaited by the node.
    """

    def __init__(self, service: DposService, key: SigningKey, clock: Clock, notes: Notes) -> None:
        self.automine = True
        self._service = service
        self._key = key
        self._clock = clock
        self._notes = notes
        self._snapshots: dict[int, _Snapshot] = {}
        self._next_snapshot = 1
        self._impersonated: dict[bytes, None] = {}
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to make blocks."""
        self._service.on_transaction.append(lambda _: self._wake.set())
        self._tasks = [asyncio.create_task(self._cadence()), asyncio.create_task(self._on_demand())]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Make no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self._service.stopping.set()
            task.result()

    async def _cadence(self) -> None:
        """Make a block in each slot that has none yet."""
        while True:
            await asyncio.sleep(0.05)
            async with self._lock:
                if self._slot_now() > self._service.engine.slot_of(self._service.ledger.head):
                    await self._make()

    async def _on_demand(self) -> None:
        """Make blocks as long as transactions wait."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            async with self._lock:
                while self.automine and self._service.mempool.status().pending:
                    if not await self._make():
                        break

    def _slot_now(self) -> int:
        return self._service.engine.schedule.slot_of(self._clock.now())

    async def _make(self, skip: int = 0) -> bool:
        """Make a block in the next slot (`skip` slots later); say whether it took a transaction."""
        service, schedule = self._service, self._service.engine.schedule
        head = service.ledger.head
        slot = max(self._slot_now(), service.engine.slot_of(head) + 1 + skip)
        behind = schedule.slot_start(slot) - self._clock.now()
        if behind > 0:
            self._lead(self._notes.lead + behind)
        certificate = service.finality.certificate_for(head)

        def work(view: StateView, parent: DposEntry) -> Assembled:
            spec = service.spec.dpos
            entries = service.mempool.select(
                service.next_base_fee(parent),
                max_count=spec.max_block_transactions,
                max_bytes=spec.max_block_size,
            )
            candidate = Candidate(slot, Offers(entries), certificate)
            return service.chain.machine.assemble(view, parent, candidate)

        def build() -> Assembled:
            assembled = service.ledger.try_on_head(work)
            for tx, reason in assembled.rejected:
                service.mempool.drop(tx.hash, reason)
            return assembled

        assembled = await service.call(build)
        genesis = service.engine.genesis
        block = assembled.sealed(self._key.sign(seal_digest(genesis, assembled.header.hash)))
        await service.call(lambda: service.ledger.accept_block(block))
        link = service.finality.link_for(service.ledger.head)
        if link is not None:
            service.follower.on_votes([Vote(link, self._key.sign(vote_digest(genesis, link)))])
        return bool(assembled.transactions)

    def _lead(self, seconds: int) -> None:
        self._notes.lead = seconds
        self._notes.save()

    # --- what RPC asks --------------------------------------------------------------------------------------

    async def mine(self, blocks: int, interval: int = 1) -> None:
        """Produce blocks, `interval` slots apart."""
        async with self._lock:
            for number in range(blocks):
                await self._make(interval - 1 if number else 0)

    async def snapshot(self) -> int:
        """Keep the present chain and clock; give its number."""
        async with self._lock:
            head = self._service.ledger.head
            number, self._next_snapshot = self._next_snapshot, self._next_snapshot + 1
            self._snapshots[number] = _Snapshot(head.height, head.hash, self._notes.lead)
            return number

    async def revert(self, number: int) -> bool:
        """Go back to a snapshot and drop it and all later ones; False if there is none."""
        async with self._lock:
            kept = self._snapshots.get(number)
            ledger = self._service.ledger
            at = None if kept is None else ledger.entry_at(kept.height)
            if kept is None or at is None or at.hash != kept.hash:
                return False
            count = ledger.head.height - kept.height
            if count:
                await self._service.call(lambda: self._roll_back(count))
            for later in [other for other in self._snapshots if other >= number]:
                del self._snapshots[later]
            for height in [height for height in self._notes.edits if height > kept.height]:
                del self._notes.edits[height]
            self._lead(kept.lead)
            self._service.restart_finality()
            return True

    def _roll_back(self, count: int) -> None:
        self._service.ledger.rollback(count)
        for sender in self._service.mempool.senders():
            for entry in (
                *self._service.mempool.pending_of(sender),
                *self._service.mempool.queued_of(sender),
            ):
                self._service.mempool.drop(entry.tx.hash)

    async def _edit(self, edit: Edit) -> None:
        async with self._lock:
            height = self._service.ledger.head.height + 1
            self._notes.edits.setdefault(height, []).append(edit)
            self._notes.save()
            await self._make()

    async def set_balance(self, address: bytes, wei: int) -> None:
        """Set a balance."""
        await self._edit(Edit("balance", address, wei))

    async def set_nonce(self, address: bytes, nonce: int) -> None:
        """Set a nonce."""
        await self._edit(Edit("nonce", address, nonce))

    async def set_code(self, address: bytes, code: bytes) -> None:
        """Set an account's code."""
        await self._edit(Edit("code", address, code=code))

    async def set_storage(self, address: bytes, slot: int, value: int) -> None:
        """Set a storage slot."""
        await self._edit(Edit("storage", address, value, slot))

    def impersonate(self, address: bytes, on: bool) -> None:
        """Let transactions of this address in without its signature, or no longer."""
        if on:
            self._impersonated[address] = None
        else:
            self._impersonated.pop(address, None)

    def impersonated(self) -> Sequence[bytes]:
        """Give the addresses that are impersonated."""
        return tuple(self._impersonated)

    async def send(self, tx: SoloTransaction) -> bytes:
        """Put an impersonated account's transaction into the pool; give its hash. Raises as `submit`."""
        service = self._service
        base_fee = service.next_base_fee(service.ledger.head)
        tip = 10**9 if tx.max_priority_fee is None else tx.max_priority_fee
        nonce = tx.nonce
        if nonce is None:
            nonce = service.mempool.next_nonce(tx.sender)
        if nonce is None:
            nonce = FlatState(service.ledger.view()).get_nonce(tx.sender)
        unsigned = Transaction(
            raw=b"",
            hash=b"",
            type=2,
            chain_id=service.spec.dpos.chain_id,
            nonce=nonce,
            max_priority_fee=tip,
            max_fee=2 * base_fee + tip if tx.max_fee is None else max(tx.max_fee, tip),
            gas=_DEFAULT_GAS if tx.gas is None else tx.gas,
            to=tx.to,
            value=tx.value,
            data=tx.data,
            access_list=tuple(AccessEntry(address, slots) for address, slots in tx.access_list),
            authorizations=(),
            y_parity=0,
            r=0,
            s=0,
            signing_hash=b"",
        )
        mark = MARK << 160 | int.from_bytes(tx.sender, "big")
        return await service.submit_transaction(signed(unsigned, 0, mark, 1).raw)

    async def increase_time(self, seconds: int) -> int:
        """Move the clock on; give by how many seconds it is ahead in all."""
        async with self._lock:
            self._lead(self._notes.lead + seconds)
            return self._notes.lead

    async def set_next_timestamp(self, time: int) -> None:
        """Give the next block the first slot at or after this Unix time. Raises ValueError for the past."""
        async with self._lock:
            schedule = self._service.engine.schedule
            slot = schedule.slot_of(time)
            if schedule.slot_start(slot) < time:
                slot += 1
            if slot <= self._service.engine.slot_of(self._service.ledger.head):
                raise ValueError("the time of the next block is later than the last one's")
            behind = schedule.slot_start(slot) - self._clock.now()
            if behind > 0:
                self._lead(self._notes.lead + behind)
