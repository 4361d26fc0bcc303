"""Plain transfers without an interpreter: value to an account that runs nothing.

Whatever is not plainly one goes the general way, which also finds the error of an invalid one; what is one
has bit for bit the result of the general way (tests/property/test_evm_state_block.py).
"""

from ioex_chain.evm.accounts import Live
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.transactions import (
    GAS_TRANSACTION,
    MAX_NONCE,
    floor_gas,
    intrinsic_gas,
)
from ioex_chain.evm.types import EMPTY_CODE_HASH, BlockEnv, Transaction, TxOutcome
from ioex_chain.evm.vm_rules import Rules


def _outcome(gas_used: int, intrinsic: int) -> TxOutcome:
    return TxOutcome(1, gas_used, gas_used - intrinsic, (), b"", None, None)


_SIMPLE = _outcome(GAS_TRANSACTION, GAS_TRANSACTION)


class PlainTransfers:
    """The short path of one block."""

    def __init__(self, state: FlatState, env: BlockEnv, rules: Rules) -> None:
        self._state = state
        self._env = env
        self._precompiles = rules.precompiles
        self._floor = rules.data_floor

    def run(self, tx: Transaction, sender: bytes, execution_left: int | None) -> TxOutcome | None:
        """Apply the transaction if it is a valid plain transfer; None, with nothing changed, if not.

        What it asks for is in the block's limits: the caller looks.
        What it changes is not journaled: it is only done when it may stand in the block.
        """
        to, base_fee, gas = tx.to, self._env.base_fee, tx.gas
        if to is None or tx.type == 4 or to in self._precompiles:
            return None
        payer, payee = self._state.live(sender), self._state.live(to)
        if payer.code_hash != EMPTY_CODE_HASH or payee.code_hash != EMPTY_CODE_HASH:
            return None
        if (
            tx.nonce != payer.nonce
            or tx.nonce >= MAX_NONCE
            or tx.chain_id not in (self._env.chain_id, None)
            or not base_fee <= tx.max_fee >= tx.max_priority_fee
            or gas * tx.max_fee + tx.value > payer.balance
        ):
            return None
        outcome = self._gas(tx)
        price = min(tx.max_fee, base_fee + tx.max_priority_fee)
        if outcome is None or (execution_left is not None and outcome.execution_gas > execution_left):
            return None
        if not self._move(tx, payer, payee, outcome.gas_used, price):
            return None
        self._state.mark(sender, payer)
        return outcome

    def _gas(self, tx: Transaction) -> TxOutcome | None:
        if not tx.data and not tx.access_list:
            return _SIMPLE if tx.gas >= GAS_TRANSACTION else None
        intrinsic = intrinsic_gas(tx)
        used = max(intrinsic, floor_gas(tx)) if self._floor else intrinsic
        return _outcome(used, intrinsic) if tx.gas >= used else None

    def _move(self, tx: Transaction, payer: Live, payee: Live, gas_used: int, price: int) -> bool:
        """Move value and fees; False, with nothing moved, where it is not so simple.

        That is where an empty account would have to vanish, or a balance might reach 2^256.
        """
        state, beneficiary = self._state, self._env.beneficiary
        collector = state.live(beneficiary)
        tip = gas_used * (price - self._env.base_fee)
        if (not tip and _vanishes(collector)) or (not tx.value and _vanishes(payee)):
            return False
        if (payer.balance + payee.balance + collector.balance) >> 256:  # made up: the machine refuses it
            return False
        payer.nonce += 1
        payer.balance -= gas_used * price + tx.value
        if tx.value:
            payee.balance += tx.value
            state.mark(tx.to or b"", payee)
        if tip:
            collector.balance += tip
            state.mark(beneficiary, collector)
        return True


def _vanishes(live: Live) -> bool:
    """Whether touching it would remove it (EIP-161): it stands in the state and is empty."""
    return live.exists and live.is_empty
