"""Executes for RPC on the state after any kept block, changing nothing: `rpc.eth.evm_port.Evm`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import orjson

from ioex_chain.dpos import codec
from ioex_chain.dpos.consensus import next_base_fee
from ioex_chain.dpos.header import EMPTY_OMMERS_HASH, Header, SealedHeader
from ioex_chain.dpos.machine import block_hashes, withdrawals_root
from ioex_chain.dpos.records import DposEntry
from ioex_chain.evm import call as calls
from ioex_chain.evm import trace
from ioex_chain.evm.block import BlockRun
from ioex_chain.evm.call_session import change_env
from ioex_chain.evm.call_types import CallRefused, CallReverted, SimulatedRun
from ioex_chain.evm.simulate import GasPool, simulate_block
from ioex_chain.evm.trie import list_root
from ioex_chain.evm.types import BlockEnv, TxOutcome
from ioex_chain.ledger.errors import UndoMissing, UnknownBlock
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.ledger.types import Readable
from ioex_chain.node.dpos_service import DposService
from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.eth.evm_port import (
    AccessResult,
    Base,
    BlockOverride,
    Deadline,
    Message,
    MessageRefused,
    Overrides,
    Reverted,
    SimulatedBlock,
    SimulatedStep,
    StatePruned,
    TraceOptions,
)
from ioex_chain.rpc.eth.values import UINT64
from ioex_chain.rpc.jsonio import dumps

_ANCESTORS = 256
MAX_TRACES = 25_000_000
"""Bytes of JSON of a block's traces together: more than an answer may have."""


class EvmEngine:
    """Calls, estimates, access lists and simulations. Runs in threads of the pool of calls."""

    def __init__(self, service: DposService) -> None:
        self._service = service
        self._ledger = service.ledger

    @contextmanager
    def _state(self, entry: DposEntry) -> Iterator[Readable]:
        """Open the state after a block. Raises StatePruned."""
        if entry.hash == self._ledger.head.hash:
            with self._ledger.snapshot() as newest:
                if newest.head.hash == entry.hash:
                    yield newest
                    return
        try:
            past = self._ledger.state_at(entry)
        except (UndoMissing, UnknownBlock) as error:
            raise StatePruned(str(error)) from error
        with past:
            yield past

    def _env(self, base: Base) -> BlockEnv:
        """Give the block that a message is executed in: that of the state itself, or the next one."""
        header, entry = base.entry.header.header, base.entry
        if not base.next_block:
            parent = entry.parent
            hashes = block_hashes(parent) if parent is not None else _no_hash
            return self._env_of(header, hashes)
        return self._env_of(self._next_header(entry), block_hashes(entry))

    def _env_of(self, header: Header, hashes: Callable[[int], bytes | None]) -> BlockEnv:
        return BlockEnv(
            self._service.spec.dpos.chain_id,
            header.number,
            header.timestamp,
            header.beneficiary,
            header.gas_limit,
            header.base_fee,
            header.mix_hash,
            hashes,
        )

    def _next_header(self, entry: DposEntry) -> Header:
        """Give the next block's header as far as it is known before it is made."""
        engine = self._service.engine
        now = engine.schedule.slot_of(self._service.clock.now())
        slot = max(engine.slot_of(entry) + 1, now)
        context = engine.context(entry, slot)
        header = entry.header.header
        return replace(
            header,
            parent_hash=entry.hash,
            number=header.number + 1,
            timestamp=engine.schedule.slot_start(slot),
            base_fee=next_base_fee(self._service.spec.dpos, header),
            beneficiary=(
                header.beneficiary
                if context is None
                else context.producer(slot, self._service.spec.dpos.seats).payout
            ),
            mix_hash=header.mix_hash if context is None else context.seed,
        )

    def call(
        self, base: Base, message: Message, overrides: Overrides, block: BlockOverride, deadline: Deadline
    ) -> TxOutcome:
        """Execute a message. Raises MessageRefused."""
        with self._state(base.entry) as view, _typed():
            return calls.call(
                view, self._env(base), message, changes=overrides, block=block, check=deadline.check
            )

    def estimate(
        self, base: Base, message: Message, overrides: Overrides, block: BlockOverride, deadline: Deadline
    ) -> int:
        """Give the least gas, to within 1.5 %. Raises MessageRefused, Reverted."""
        with self._state(base.entry) as view, _typed():
            return calls.estimate(
                view, self._env(base), message, changes=overrides, block=block, check=deadline.check
            )

    def access_list(
        self, base: Base, message: Message, overrides: Overrides, deadline: Deadline
    ) -> AccessResult:
        """Find the access list that a message needs. Raises MessageRefused."""
        with self._state(base.entry) as view, _typed():
            found = calls.access_list(view, self._env(base), message, changes=overrides, check=deadline.check)
        return AccessResult(found.entries, found.gas_used, found.error)

    def simulate(
        self,
        base: Base,
        steps: Sequence[SimulatedStep],
        *,
        validation: bool,
        trace_transfers: bool,
        deadline: Deadline,
    ) -> Sequence[SimulatedBlock]:
        """Execute blocks of messages, each on the one before. Raises MessageRefused."""
        found: list[SimulatedBlock] = []
        with self._state(base.entry) as view, _typed():
            overlay, pool = Overlay(view), GasPool()
            headers = _Headers(base.entry)
            parent = base.entry.header.header
            for step in steps:
                env = self._simulated_env(parent, step.block, headers.hash_at, validation)
                withdrawals = step.block.withdrawals or ()
                run = simulate_block(
                    overlay,
                    env,
                    step.calls,
                    changes=step.state,
                    withdrawals=withdrawals,
                    validation=validation,
                    trace_transfers=trace_transfers,
                    pool=pool,
                    check=deadline.check,
                )
                block = _simulated(parent, headers.last_hash, env, run)
                found.append(block)
                parent = block.header.header
                headers.add(parent)
        return found

    def _simulated_env(
        self,
        parent: Header,
        change: BlockOverride,
        hashes: Callable[[int], bytes | None],
        validation: bool,
    ) -> BlockEnv:
        number = parent.number + 1 if change.number is None else change.number
        time = parent.timestamp + self._service.spec.dpos.block_time if change.time is None else change.time
        if number <= parent.number:
            raise MessageRefused(f"block numbers must be in order: {number} <= {parent.number}", -38020)
        if time <= parent.timestamp:
            raise MessageRefused(f"block timestamps must be in order: {time} <= {parent.timestamp}", -38021)
        if time > UINT64:
            raise MessageRefused(f"block timestamp {time} has more than 64 bits", -38021)
        fee = next_base_fee(self._service.spec.dpos, parent) if validation else 0
        env = self._env_of(replace(parent, number=number, timestamp=time, base_fee=fee), hashes)
        return change_env(env, change)

    def trace_call(
        self,
        base: Base,
        message: Message,
        overrides: Overrides,
        block: BlockOverride,
        options: TraceOptions,
        deadline: Deadline,
    ) -> Any:
        """Trace a message; give the tracer's JSON. Raises MessageRefused."""
        with self._state(base.entry) as view, _typed():
            return trace.trace_call(
                view,
                self._env(base),
                message,
                options,
                changes=overrides,
                block=block,
                check=deadline.check,
            )

    def trace_block(
        self, entry: DposEntry, options: TraceOptions, only: int | None, deadline: Deadline
    ) -> Sequence[Any]:
        """Replay a block on its parent's state; give the tracer's JSON of each transaction, or of one.

        Raises MessageRefused when it is too long for an answer.
        """
        parent = entry.parent
        if parent is None:
            return ()
        block = self._ledger.body(entry.hash)
        senders = self._service.chain.senders.of(block.transactions)
        found: list[orjson.Fragment] = []
        size = 0
        with self._state(parent) as view, _typed():
            run = self._service.chain.machine.replay(block, parent, Overlay(view))
            if not isinstance(run, BlockRun):
                raise TypeError("only blocks of the EVM can be traced")
            for index, (tx, sender) in enumerate(zip(block.transactions, senders, strict=True)):
                deadline.check()
                if only is not None and index < only:
                    run.transactions((tx,))
                    continue
                shown, _ = trace.trace_transaction(
                    run.state, run.env, tx, sender, options, check=deadline.check, rules=run.metered(tx)
                )
                written = dumps(shown)  # at once: the objects take many times as much memory
                found.append(orjson.Fragment(written))
                size += len(written)
                if size > MAX_TRACES:
                    raise MessageRefused("the traces are too long for an answer; trace single transactions")
                if index == only:
                    break
        return found


@contextmanager
def _typed() -> Iterator[None]:
    """Say the engine's refusals as the port does."""
    try:
        yield
    except CallRefused as error:
        raise MessageRefused(str(error), error.code) from None
    except CallReverted as error:
        raise Reverted(error.outcome) from None


class _Headers:
    """Hashes of ancestors, the simulated ones among them."""

    def __init__(self, entry: DposEntry) -> None:
        self._base = block_hashes(entry)
        self._own: dict[int, BlockHash] = {}
        self.last_hash = entry.hash

    def add(self, header: Header) -> None:
        self._own[header.number] = self.last_hash = header.hash

    def hash_at(self, number: int) -> bytes | None:
        return self._own.get(number) or self._base(number)


def _simulated(parent: Header, parent_hash: BlockHash, env: BlockEnv, run: SimulatedRun) -> SimulatedBlock:
    """Put the block together; what a simulation has not (payload, requests) is as in the parent."""
    header = Header(
        parent_hash=parent_hash,
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=env.beneficiary,
        state_root=run.state_root,
        transactions_root=list_root([tx.raw for tx in run.transactions]),
        receipts_root=run.receipts_root,
        logs_bloom=run.logs_bloom,
        difficulty=0,
        number=env.number,
        gas_limit=env.gas_limit,
        gas_used=run.gas_used,
        timestamp=env.timestamp,
        extra_data=b"",
        mix_hash=env.prev_randao,
        nonce=bytes(8),
        base_fee=env.base_fee,
        withdrawals_root=withdrawals_root(run.withdrawals),
        blob_gas_used=0,
        excess_blob_gas=0,
        parent_beacon_root=parent.parent_beacon_root,
        requests_hash=parent.requests_hash,
    )
    sealed = SealedHeader(header, b"")
    size = len(sealed.encode()) + sum(len(tx.raw) for tx in run.transactions)
    size += len(codec.encode_withdrawals(run.withdrawals))
    return SimulatedBlock(sealed, tuple(run.withdrawals), run.transactions, run.senders, run.outcomes, size)


def _no_hash(_number: int) -> None:
    return None
