"""The roots of a block's lists that do not depend on execution, and account proofs."""

from collections.abc import Iterable

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.state import account_trie, storage_trie
from ioex_chain.evm.strict_rlp import encode_uint
from ioex_chain.evm.trie import list_root
from ioex_chain.evm.types import Transaction, Withdrawal
from ioex_chain.ledger.types import Readable
from ioex_chain.primitives.rlp import encode_string, wrap_list


def transactions_root(transactions: Iterable[Transaction]) -> bytes:
    """Give the root over the EIP-2718 bytes."""
    return list_root(tx.raw for tx in transactions)


def encode_withdrawal(item: Withdrawal) -> bytes:
    """Give rlp([index, validator index, address, amount]) (EIP-4895)."""
    fields = encode_uint(item.index) + encode_uint(item.validator_index)
    return wrap_list(fields + encode_string(item.address) + encode_uint(item.amount))


def withdrawals_root(withdrawals: Iterable[Withdrawal]) -> bytes:
    """Give the root over the withdrawals (EIP-4895)."""
    return list_root(map(encode_withdrawal, withdrawals))


def state_root(view: Readable) -> bytes:
    """Give the root of the account trie as it stands in the rows."""
    return account_trie(view).root()


def account_proof(view: Readable, address: bytes) -> list[bytes]:
    """Give the account trie's nodes from the root to the address (EIP-1186)."""
    return account_trie(view).prove(keccak256(address))


def storage_proof(view: Readable, address: bytes, slot: int) -> list[bytes]:
    """Give the storage trie's nodes from the account's storage root to the slot (EIP-1186)."""
    return storage_trie(view, keccak256(address)).prove(keccak256(slot.to_bytes(32, "big")))
