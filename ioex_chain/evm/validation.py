"""What the state and the block demand of a transaction before it runs; transactions.py checks the rest."""

from ioex_chain.evm.errors import (
    FeeCapTooLow,
    FloorGasTooLow,
    GasLimitReached,
    InsufficientFunds,
    NonceTooHigh,
    NonceTooLow,
    SenderNotExternal,
)
from ioex_chain.evm.transactions import check_transaction, intrinsic_gas
from ioex_chain.evm.types import BlockEnv, Transaction
from ioex_chain.evm.vm_rules import Rules
from ioex_chain.evm.vm_world import DELEGATION_PREFIX, Accounts


def check_against_state(state: Accounts, env: BlockEnv, tx: Transaction, sender: bytes, rules: Rules) -> int:
    """Check every rule for running `tx` on this state in this block; give the intrinsic gas.

    Raises the subclass of InvalidTransaction that names the broken rule.
    """
    intrinsic = _check_form(tx, env.chain_id, rules)
    if tx.gas > env.gas_limit:
        raise GasLimitReached(f"have {tx.gas}, the block has {env.gas_limit}")
    _check_nonce(tx.nonce, state.get_nonce(sender), sender)
    check_external(state.get_code(sender), sender, rules)
    if tx.max_fee < env.base_fee:
        raise FeeCapTooLow(f"address 0x{sender.hex()}, maxFeePerGas: {tx.max_fee}, baseFee: {env.base_fee}")
    cost = tx.gas * tx.max_fee + tx.value
    balance = state.get_balance(sender)
    if balance < cost:
        raise InsufficientFunds(f"address 0x{sender.hex()} have {balance} want {cost}")
    return intrinsic


def _check_form(tx: Transaction, chain_id: int, rules: Rules) -> int:
    try:
        return check_transaction(tx, chain_id)
    except FloorGasTooLow:
        if rules.data_floor:
            raise
        return intrinsic_gas(tx)


def _check_nonce(nonce: int, expected: int, sender: bytes) -> None:
    where = f"address 0x{sender.hex()}, tx: {nonce} state: {expected}"
    if nonce < expected:
        raise NonceTooLow(where)
    if nonce > expected:
        raise NonceTooHigh(where)


def check_external(code: bytes, sender: bytes, rules: Rules) -> None:
    """Check EIP-3607: no code at the sender, except a delegation (EIP-7702). Raises SenderNotExternal."""
    if code and not (rules.delegations and len(code) == 23 and code.startswith(DELEGATION_PREFIX)):
        raise SenderNotExternal(f"address 0x{sender.hex()}")
