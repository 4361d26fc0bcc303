"""What a transaction must satisfy to come into the pool, whatever else is in it."""

from ioex_chain.dpos import mempool_errors as errors
from ioex_chain.dpos.mempool_types import PoolPolicy
from ioex_chain.evm.errors import NonceTooLow, SenderNotExternal
from ioex_chain.evm.transactions import check_transaction
from ioex_chain.evm.types import EMPTY_CODE_HASH, Account, Transaction
from ioex_chain.spec.model import DposSpec

DELEGATION = b"\xef\x01\x00"
"""What the code of a delegated account begins with; an address follows (EIP-7702)."""


def check_size(policy: PoolPolicy, raw: bytes) -> None:
    """Check what depends on a transaction's length alone. Raises OversizedTransaction."""
    if len(raw) > policy.max_size:
        raise errors.OversizedTransaction(f"transaction size {len(raw)}, limit {policy.max_size}")


def check_form(spec: DposSpec, policy: PoolPolicy, tx: Transaction) -> None:
    """Check what depends on the transaction alone. Raises InvalidTransaction."""
    check_size(policy, tx.raw)
    intrinsic = check_transaction(tx, spec.chain_id)
    if tx.gas > spec.gas_limit:
        raise errors.GasLimitExceeded(f"tx gas {tx.gas}, limit {spec.gas_limit}")
    most = intrinsic + spec.execution_gas_limit
    if tx.gas > most:
        raise errors.GasLimitExceeded(f"tx gas {tx.gas}, a block has room to execute {most} for it")


def check_price(spec: DposSpec, policy: PoolPolicy, tx: Transaction) -> None:
    """Check the prices against the least of all times. Raises Underpriced."""
    if tx.max_priority_fee < policy.min_tip:
        raise errors.Underpriced(f"gas tip cap {tx.max_priority_fee}, minimum needed {policy.min_tip}")
    if tx.max_fee < spec.min_base_fee:
        raise errors.Underpriced(f"gas fee cap {tx.max_fee}, the base fee is at least {spec.min_base_fee}")


def check_account(tx: Transaction, sender: bytes, account: Account, code: bytes) -> None:
    """Check what depends on the sender's account alone. Raises NonceTooLow, SenderNotExternal."""
    if account.code_hash != EMPTY_CODE_HASH and not is_delegation(code):
        raise SenderNotExternal(f"address 0x{sender.hex()}, codehash: 0x{account.code_hash.hex()}")
    if tx.nonce < account.nonce:
        raise NonceTooLow(f"next nonce {account.nonce}, tx nonce {tx.nonce}")


def is_delegation(code: bytes) -> bool:
    """Whether an account's code says only where its code is (EIP-7702)."""
    return len(code) == 23 and code.startswith(DELEGATION)


def check_bump(policy: PoolPolicy, old: Transaction, new: Transaction) -> None:
    """Check that a replacement pays enough more, in both prices. Raises ReplacementUnderpriced."""
    least_fee = max(old.max_fee + 1, -(-old.max_fee * (100 + policy.price_bump) // 100))
    least_tip = max(old.max_priority_fee + 1, -(-old.max_priority_fee * (100 + policy.price_bump) // 100))
    if new.max_fee < least_fee or new.max_priority_fee < least_tip:
        raise errors.ReplacementUnderpriced(
            f"needs maxFeePerGas {least_fee} and maxPriorityFeePerGas {least_tip}"
        )
