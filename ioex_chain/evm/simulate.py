"""A block of eth_simulateV1: calls, each on the one before, and the roots that a header needs."""

from collections.abc import Callable, Sequence

from ioex_chain.evm.call_session import TRANSFER_LOGGER, Session, change_state, with_bytes
from ioex_chain.evm.call_types import CALL_GAS, CallMessage, CallRefused, Changes, SimulatedRun
from ioex_chain.evm.receipts import encode_receipt, join_blooms, make_receipt
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.trie import list_root
from ioex_chain.evm.types import BlockEnv, Receipt, Transaction, TxOutcome, Withdrawal
from ioex_chain.evm.vm import PRAGUE
from ioex_chain.ledger.types import StateView


class GasPool:
    """Gas that all calls of a simulation share."""

    def __init__(self, gas: int = CALL_GAS) -> None:
        self.left = gas


def simulate_block(
    view: StateView,
    env: BlockEnv,
    calls: Sequence[CallMessage],
    *,
    changes: Changes | None = None,
    withdrawals: Sequence[Withdrawal] = (),
    validation: bool = False,
    trace_transfers: bool = False,
    pool: GasPool | None = None,
    check: Callable[[], None] | None = None,
) -> SimulatedRun:
    """Execute one block on `view` (an overlay: it is written) and give what its header commits to.

    Without `validation` calls need no nonce and no price. Raises CallRefused with eth_simulateV1's code.
    """
    session = Session(FlatState(view), env, PRAGUE, check)
    session.trace_transfers = trace_transfers
    if changes:
        change_state(session, changes)
    run = _BlockOfCalls(session, pool or GasPool(), validation)
    for message in calls:
        run.add(message)
    session.withdraw(withdrawals)
    return run.finish(withdrawals)


class _BlockOfCalls:
    def __init__(self, session: Session, pool: GasPool, validation: bool) -> None:
        self._session = session
        self._pool = pool
        self._validation = validation
        self._gas_used = 0
        self._txs: list[Transaction] = []
        self._senders: list[bytes] = []
        self._outcomes: list[TxOutcome] = []
        self._receipts: list[Receipt] = []

    def add(self, message: CallMessage) -> None:
        left = self._session.env.gas_limit - self._gas_used
        if message.gas is not None and message.gas > left:
            raise CallRefused(f"block gas limit reached: {message.gas} > {left}", -38015)
        tx = self._session.fill(message, min(left, self._pool.left))
        outcome = self._session.run(tx, message.sender, validation=self._validation)
        self._gas_used += outcome.gas_used
        self._pool.left = max(0, self._pool.left - outcome.gas_used)
        self._txs.append(with_bytes(tx))
        self._senders.append(message.sender)
        self._outcomes.append(outcome)
        logs = tuple(log for log in outcome.logs if log.address != TRANSFER_LOGGER)
        self._receipts.append(make_receipt(tx.type, outcome.status, self._gas_used, logs))

    def finish(self, withdrawals: Sequence[Withdrawal]) -> SimulatedRun:
        return SimulatedRun(
            state_root=self._session.state.flush(),
            receipts_root=list_root(map(encode_receipt, self._receipts)),
            logs_bloom=join_blooms(receipt.bloom for receipt in self._receipts),
            gas_used=self._gas_used,
            transactions=self._txs,
            senders=self._senders,
            outcomes=self._outcomes,
            withdrawals=withdrawals,
        )
