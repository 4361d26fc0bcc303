"""One block's execution, step by step, in the order that docs/protocol.md section 4 gives.

Importing and producing drive the same object. What a block may hold is checked where it is counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ioex_chain.evm.errors import (
    ExecutionGasReached,
    GasLimitReached,
    HeavierThanPaid,
    InvalidTransaction,
    SystemGasExceeded,
    TransactionRefused,
)
from ioex_chain.evm.plain import PlainTransfers
from ioex_chain.evm.receipts import encode_receipt, join_blooms, make_receipt
from ioex_chain.evm.senders import Senders
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.transactions import GAS_TRANSACTION, intrinsic_gas
from ioex_chain.evm.trie import list_root
from ioex_chain.evm.types import BlockEnv, Receipt, Transaction, TxOutcome, Withdrawal
from ioex_chain.evm.vm import PRAGUE, apply_transaction, system_call
from ioex_chain.evm.vm_rules import Rules
from ioex_chain.evm.work import FREE_WORK, MAX_WEIGHT, WorkMeter
from ioex_chain.ledger.types import Readable

BEACON_ROOTS = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
"""The contract of EIP-4788."""
HISTORY = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
"""The contract of EIP-2935."""
GWEI = 10**9


@dataclass(frozen=True, slots=True)
class BlockRules:
    """What a block may use, and where base fees go. The defaults are Ethereum's: no bound of our own."""

    execution_gas_limit: int | None = None
    """Gas beyond the transactions' intrinsic gas, slow contracts by weight (`work.py`); None for no limit."""
    system_gas_limit: int = 30_000_000
    """Gas of all system calls together, outside the block's gas limit."""
    fees_to: bytes | None = None
    """Who gets the block's base fees; None burns them."""
    short_path: bool = True
    """Whether plain transfers may do without the interpreter; the result is the same."""
    fork: Rules = PRAGUE


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What a block's execution gives its header, and what is told about it."""

    state_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    gas_used: int
    execution_gas: int
    receipts: tuple[Receipt, ...]
    outcomes: tuple[TxOutcome, ...]


class BlockRun:
    """Executes a block on a view; `finish` writes to it. `state` may be read and changed between steps."""

    def __init__(
        self, view: Readable, env: BlockEnv, rules: BlockRules, senders: Senders | None = None
    ) -> None:
        self.state = FlatState(view)
        self.env = env
        self.rules = rules
        self.gas_used = 0
        self.execution_gas = 0
        self.base_fees = 0
        """Wei of base fees not yet credited."""
        self._senders = senders or Senders()
        self._system_left = rules.system_gas_limit
        self._meter = WorkMeter(rules.fork)
        self._is_crowded = False
        self._wasted = 0
        self._plain = PlainTransfers(self.state, env, rules.fork)
        self._receipts: list[Receipt] = []
        self._outcomes: list[TxOutcome] = []

    def begin(self, parent_hash: bytes, parent_beacon_root: bytes) -> None:
        """Make the system calls of EIP-4788 and EIP-2935. Raises SystemCallFailed."""
        self.system_call(BEACON_ROOTS, parent_beacon_root)
        self.system_call(HISTORY, parent_hash)

    def system_call(self, to: bytes, data: bytes) -> bytes:
        """Call a contract as the system; give what it returned. Raises SystemCallFailed.

        All calls of the block draw on one budget; SystemGasExceeded when nothing is left of it.
        """
        if self._system_left <= 0:
            raise SystemGasExceeded(
                f"the block's {self.rules.system_gas_limit} gas for system calls is used up"
            )
        done = system_call(self.state, self.env, to, data, self._system_left, rules=self.rules.fork)
        self._system_left -= done.gas_used
        return done.output

    @property
    def system_gas_left(self) -> int:
        """Gas that system calls of the block may still use."""
        return self._system_left

    def transactions(self, txs: Sequence[Transaction]) -> None:
        """Execute all in order. Raises TransactionRefused for the first that may not stand there."""
        senders = self._senders.of(txs)
        for position, (tx, sender) in enumerate(zip(txs, senders, strict=True)):
            try:
                outcome = self._apply(tx, sender)
                self._check_execution(outcome)
            except InvalidTransaction as error:
                raise TransactionRefused(position, error) from error
            self._count(tx, outcome)

    def try_transaction(self, tx: Transaction, times: int | None = None) -> TxOutcome:
        """Execute one more if it may stand here; else raise InvalidTransaction with nothing changed.

        GasLimitReached and ExecutionGasReached say that it may stand in another block: the first that
        executes anything always may. So that the time for filling is not spent on what finds no room, later
        ones are taken only if they ask for less than is left and than a quarter of the limit; once one was
        executed in vain, only if they fit whatever they do. With `times`, HeavierThanPaid says that its
        execution gas is more than so many times its gas; so it is taken if so much fits, until a quarter of
        the limit was spent on finding this out.
        """
        state, allowance = self.state, self._allowance(tx, times)
        state.hold()
        try:
            outcome = self._apply(tx, self._senders.sender(tx), allowance, times)
            extra = outcome.execution_gas - outcome.gas_used
            self._meter.check_pace(outcome.gas_used, extra, max(extra, 0))
            self._check_execution(outcome)
        except BaseException as error:
            state.take_back()
            self._is_crowded = self._is_crowded or self._is_vain(error)
            raise
        state.release()
        self._count(tx, outcome)
        return outcome

    def _is_vain(self, error: BaseException) -> bool:
        """Whether what was executed for nothing is enough to be careful from now on."""
        limit = self.rules.execution_gas_limit
        if isinstance(error, HeavierThanPaid) and limit is not None:
            self._wasted += error.wasted
            return self._wasted > limit // 4
        return isinstance(error, ExecutionGasReached)

    def _allowance(self, tx: Transaction, times: int | None) -> int | None:
        """Give how much a transaction that is tried may add to its gas. Raises ExecutionGasReached."""
        limit = self.rules.execution_gas_limit
        if limit is None or not self.execution_gas:
            return None
        left, asked = limit - self.execution_gas, tx.gas - GAS_TRANSACTION
        if times and self._wasted <= limit // 4 and times * tx.gas + FREE_WORK <= left:
            return left
        most = left // MAX_WEIGHT if self._is_crowded else min(left, limit // 4)
        if asked > most and tx.gas - intrinsic_gas(tx) > most:
            raise ExecutionGasReached(f"it asks for up to {asked}, and {left} are left in the block")
        return min(left, limit // 4)

    def _apply(
        self, tx: Transaction, sender: bytes, allowance: int | None = None, times: int | None = None
    ) -> TxOutcome:
        left, limit = self.env.gas_limit - self.gas_used, self.rules.execution_gas_limit
        execution_left = None if limit is None else limit - self.execution_gas
        if tx.gas > left:
            raise GasLimitReached(f"the transaction asks for {tx.gas}, {left} are left in the block")
        if limit is not None and tx.gas - GAS_TRANSACTION > limit < tx.gas - intrinsic_gas(tx):
            raise ExecutionGasReached(f"{tx.gas} gas, {limit} beyond the intrinsic gas are allowed")
        if self.rules.short_path:
            outcome = self._plain.run(tx, sender, execution_left)
            if outcome is not None:
                return outcome
        rules = self.metered(tx, execution_left if allowance is None else allowance, times)
        outcome = apply_transaction(self.state, self.env, tx, sender, rules=rules)
        if not self._meter.extra:
            return outcome
        return replace(outcome, execution_gas=outcome.execution_gas + self._meter.extra)

    def metered(self, tx: Transaction, left: int | None = None, times: int | None = None) -> Rules:
        """Give the rules to run a transaction under, which end what it may not add; for tracing it too."""
        limit = self.rules.execution_gas_limit
        intrinsic = intrinsic_gas(tx)
        most = None if limit is None else limit - (tx.gas - intrinsic)
        self._meter.begin(left, most, gas=tx.gas, intrinsic=intrinsic, times=times)
        return self._meter.rules

    def _check_execution(self, outcome: TxOutcome) -> None:
        limit = self.rules.execution_gas_limit
        if limit is not None and self.execution_gas + outcome.execution_gas > limit:
            left = limit - self.execution_gas
            raise ExecutionGasReached(f"it used {outcome.execution_gas}, {left} were left in the block")

    def _count(self, tx: Transaction, outcome: TxOutcome) -> None:
        self.gas_used += outcome.gas_used
        self.execution_gas += outcome.execution_gas
        self.base_fees += outcome.gas_used * self.env.base_fee
        self._outcomes.append(outcome)
        self._receipts.append(make_receipt(tx.type, outcome.status, self.gas_used, outcome.logs))

    def credit(self, address: bytes, wei: int) -> None:
        """Add to a balance; nothing happens for 0."""
        if wei:
            self.state.set_balance(address, self.state.get_balance(address) + wei)
            self.state.lock_changes()

    def settle_base_fees(self) -> None:
        """Credit the base fees collected so far to where they go, in one step, or burn them."""
        fees, self.base_fees = self.base_fees, 0
        if self.rules.fees_to is not None:
            self.credit(self.rules.fees_to, fees)

    def withdrawals(self, items: Iterable[Withdrawal]) -> None:
        """Credit withdrawals (EIP-4895)."""
        for item in items:
            self.credit(item.address, item.amount * GWEI)

    def finish(self) -> BlockResult:
        """Write the state to the view and give the roots; base fees not settled yet are settled first."""
        self.settle_base_fees()
        return BlockResult(
            state_root=self.state.flush(),
            receipts_root=list_root(map(encode_receipt, self._receipts)),
            logs_bloom=join_blooms(receipt.bloom for receipt in self._receipts),
            gas_used=self.gas_used,
            execution_gas=self.execution_gas,
            receipts=tuple(self._receipts),
            outcomes=tuple(self._outcomes),
        )
