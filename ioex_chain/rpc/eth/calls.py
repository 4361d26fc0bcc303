"""eth_*: calls, estimates, access lists and simulations."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ioex_chain.evm.transactions import intrinsic_gas
from ioex_chain.evm.types import Transaction, TxOutcome
from ioex_chain.rpc.errors import Code, RpcError
from ioex_chain.rpc.eth import render
from ioex_chain.rpc.eth.call_params import (
    BlockOverrideParam,
    MessageParam,
    OverridesParam,
    Simulation,
    SimulationParam,
)
from ioex_chain.rpc.eth.evm_port import (
    BlockOverride,
    Deadline,
    EngineBusy,
    ExecutionTimeout,
    Message,
    MessageRefused,
    Reverted,
    SimulatedBlock,
    StatePruned,
)
from ioex_chain.rpc.eth.reader import EthReader
from ioex_chain.rpc.eth.revert import revert_message
from ioex_chain.rpc.eth.simulation import filled_steps
from ioex_chain.rpc.eth.values import (
    LATEST,
    BlockParam,
    DataResult,
    ListResult,
    ObjectResult,
    QuantityResult,
    data,
)
from ioex_chain.rpc.eth_backend import EthBackend
from ioex_chain.rpc.registry import method

T = TypeVar("T")
GROUP = "eth"
CALL_SECONDS = 5.0
ESTIMATE_SECONDS = 10.0
SIMULATE_SECONDS = 10.0
REVERTED = "execution reverted"
TIMEOUT = -32016
"""eth_simulateV1's own code for it."""
VM_ERROR = -32015
"""eth_simulateV1's code for a call that fails otherwise than by a revert."""
ERRORS = (3, -32000, -32001, StatePruned, EngineBusy, ExecutionTimeout, MessageRefused)


def failure(outcome: TxOutcome) -> RpcError:
    """Give the error for a message that failed: code 3 with the revert's data, or -32000 with the reason."""
    if outcome.error == REVERTED:
        return RpcError(Code.EXECUTION_REVERTED, revert_message(outcome.output), data(outcome.output))
    return RpcError(Code.INVALID_INPUT, outcome.error or "execution failed")


def intrinsic_gas_of(message: Message) -> int:
    """Give the gas that a message costs before anything of it is executed."""
    kind = 4 if message.authorizations else 2
    access, fees = message.access_list or (), (message.max_priority_fee or 0, message.max_fee or 0)
    tx = Transaction(
        b"", b"", kind, None, 0, *fees, message.gas or 0, message.to, message.value, message.data,
        access, message.authorizations, 0, 0, 0, b"",
    )  # fmt: skip
    return intrinsic_gas(tx)


class CallsApi:
    """Execution that changes nothing, beside the import, each within a deadline and 50,000,000 gas."""

    def __init__(self, backend: EthBackend, reader: EthReader) -> None:
        self._backend = backend
        self._reader = reader
        self._evm = backend.evm

    async def _run(self, work: Callable[[Deadline], T], seconds: float) -> T:
        return await self._backend.run_heavy(work, seconds)

    @method("eth_call", group=GROUP, errors=ERRORS)
    async def call(
        self,
        message: MessageParam,
        block: BlockParam = LATEST,
        overrides: OverridesParam | None = None,
        block_overrides: BlockOverrideParam | None = None,
    ) -> DataResult:
        """Execute a message on the state after a block and give what it returns."""
        base, changed = self._reader.base(block), block_overrides or BlockOverride()
        outcome = await self._run(
            lambda deadline: self._evm.call(base, message, overrides or {}, changed, deadline), CALL_SECONDS
        )
        if outcome.error is not None:
            raise failure(outcome)
        return data(outcome.output)

    @method("eth_estimateGas", group=GROUP, errors=ERRORS)
    async def estimate(
        self,
        message: MessageParam,
        block: BlockParam = LATEST,
        overrides: OverridesParam | None = None,
        block_overrides: BlockOverrideParam | None = None,
    ) -> QuantityResult:
        """Give gas with which a message succeeds, within 1.5 % of the least.

        More than one block executes (spec: execution gas limit) is an error: no block could hold it.
        """
        base, changed = self._reader.base(block), block_overrides or BlockOverride()
        try:
            gas = await self._run(
                lambda deadline: self._evm.estimate(base, message, overrides or {}, changed, deadline),
                ESTIMATE_SECONDS,
            )
        except Reverted as error:
            raise failure(error.outcome) from None
        most = intrinsic_gas_of(message) + self._backend.spec.dpos.execution_gas_limit
        if gas > most:
            raise MessageRefused(f"gas required exceeds allowance ({most})")
        return hex(gas)

    @method("eth_createAccessList", group=GROUP, errors=ERRORS)
    async def access_list(
        self,
        message: MessageParam,
        block: BlockParam = LATEST,
        overrides: OverridesParam | None = None,
    ) -> ObjectResult:
        """Find the accounts and slots that a message touches, and the gas that it uses when they are warm."""
        base = self._reader.base(block)
        found = await self._run(
            lambda deadline: self._evm.access_list(base, message, overrides or {}, deadline), ESTIMATE_SECONDS
        )
        answer = {"accessList": render.access_list_json(found.entries), "gasUsed": hex(found.gas_used)}
        return answer if found.error is None else answer | {"error": found.error}

    @method("eth_simulateV1", group=GROUP, errors=ERRORS)
    async def simulate(self, payload: SimulationParam, block: BlockParam = LATEST) -> ListResult:
        """Execute blocks of calls, each on the one before; give the blocks with their calls' results."""
        base = self._reader.base(block)

        block_time = self._backend.spec.dpos.block_time

        def work(deadline: Deadline) -> Sequence[SimulatedBlock]:
            return self._evm.simulate(
                base,
                filled_steps(base.entry.header.header, payload.steps, block_time),
                validation=payload.validation,
                trace_transfers=payload.trace_transfers,
                deadline=deadline,
            )

        try:
            blocks = await self._run(work, SIMULATE_SECONDS)
        except MessageRefused as error:
            raise RpcError(error.code, str(error)) from None
        except ExecutionTimeout as error:
            raise RpcError(TIMEOUT, str(error)) from None
        return [_simulated_json(simulated, payload) for simulated in blocks]


def _simulated_json(simulated: SimulatedBlock, payload: Simulation) -> render.Json:
    place = render.Place.of(simulated.header)
    listed: list[Any] = ["0x" + tx.hash.hex() for tx in simulated.transactions]
    if payload.full:
        rows = zip(simulated.transactions, simulated.senders, strict=True)
        listed = [render.transaction_json(tx, sender, place, at) for at, (tx, sender) in enumerate(rows)]
    body = render.block_json(simulated.header, simulated.withdrawals, simulated.size, listed)
    calls, logs_before = [], 0
    for index, outcome in enumerate(simulated.outcomes):
        tx_hash = "0x" + simulated.transactions[index].hash.hex()
        calls.append(_call_json(outcome, place, tx_hash, index, logs_before))
        logs_before += len(outcome.logs)
    return body | {"calls": calls}


def _call_json(
    outcome: TxOutcome, place: render.Place, tx_hash: str, index: int, logs_before: int
) -> render.Json:
    body: render.Json = {
        "status": hex(outcome.status),
        "returnData": data(outcome.output),
        "gasUsed": hex(outcome.gas_used),
        "logs": [
            render.log_json(log, place, tx_hash, hex(index), logs_before + at)
            for at, log in enumerate(outcome.logs)
        ],
    }
    if outcome.error == REVERTED:
        message = revert_message(outcome.output)
        body["error"] = {
            "code": int(Code.EXECUTION_REVERTED),
            "message": message,
            "data": data(outcome.output),
        }
    elif outcome.error is not None:
        body["error"] = {"code": VM_ERROR, "message": f"vm execution error: {outcome.error}"}
    return body
