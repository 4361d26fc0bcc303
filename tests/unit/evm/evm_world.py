"""A block, a key and transactions of it, for tests of the EVM."""

from typing import Any

from ioex_chain.evm.types import BlockEnv, Transaction

KEY = bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")
SENDER = bytes.fromhex("2c7536e3605d9c16a7a3d7b1898e529396a65c23")
BENEFICIARY = bytes.fromhex("bbbb" * 10)


def env(**changes: Any) -> BlockEnv:
    fields: dict[str, Any] = {
        "chain_id": 51_337,
        "number": 10,
        "timestamp": 1_000,
        "beneficiary": BENEFICIARY,
        "gas_limit": 40_000_000,
        "base_fee": 10**9,
        "prev_randao": bytes(31) + b"\7",
        "block_hash": lambda number: number.to_bytes(32, "big"),
    }
    return BlockEnv(**{**fields, **changes})


def transaction(**changes: Any) -> Transaction:
    """A transaction without a sound signature: the EVM is told the sender."""
    fields: dict[str, Any] = {
        "raw": b"",
        "hash": bytes(32),
        "type": 2,
        "chain_id": 51_337,
        "nonce": 0,
        "max_priority_fee": 10**9,
        "max_fee": 3 * 10**9,
        "gas": 21_000,
        "to": None,
        "value": 0,
        "data": b"",
        "access_list": (),
        "authorizations": (),
        "y_parity": 0,
        "r": 1,
        "s": 1,
        "signing_hash": bytes(32),
    }
    fields.update(changes)
    fields["max_priority_fee"] = changes.get("max_priority_fee", min(10**9, fields["max_fee"]))
    return Transaction(**fields)
