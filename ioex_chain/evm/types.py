"""What the EVM side is made of: values only. Addresses are 20 bytes, hashes 32, amounts wei (1e-18 IOEX)."""

from collections.abc import Callable
from dataclasses import dataclass

EMPTY_CODE_HASH = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
"""keccak256 of nothing."""
EMPTY_TRIE_ROOT = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
"""Root of a Merkle-Patricia trie without entries."""
WEI = 10**18
"""Wei in one IOEX."""
WEI_PER_POW_UNIT = 10**10
"""Wei in one unit of the PoW chain (docs/protocol.md section 1)."""
SYSTEM_ADDRESS = bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe")
"""The caller of system calls (EIP-4788)."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account's four fields (Ethereum yellow paper, section 4.1)."""

    nonce: int = 0
    balance: int = 0
    storage_root: bytes = EMPTY_TRIE_ROOT
    code_hash: bytes = EMPTY_CODE_HASH


@dataclass(frozen=True, slots=True)
class AccessEntry:
    """An address and the 32-byte storage keys that an EIP-2930 access list warms."""

    address: bytes
    slots: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Authorization:
    """An EIP-7702 authorisation as it stands in a type 4 transaction."""

    chain_id: int
    address: bytes
    nonce: int
    y_parity: int
    r: int
    s: int


@dataclass(frozen=True, slots=True, eq=False)
class Transaction:
    """A decoded transaction of type 0, 1, 2 or 4. `raw` is its EIP-2718 encoding, `hash` keccak256 of that.

    Types 0 and 1 have `max_fee` = `max_priority_fee` = their gas price. `chain_id` is None in a type 0
    transaction without EIP-155. `to` is None for a contract creation. `y_parity` is 0 or 1 whatever the form.
    """

    raw: bytes
    hash: bytes
    type: int
    chain_id: int | None
    nonce: int
    max_priority_fee: int
    max_fee: int
    gas: int
    to: bytes | None
    value: int
    data: bytes
    access_list: tuple[AccessEntry, ...]
    authorizations: tuple[Authorization, ...]
    y_parity: int
    r: int
    s: int
    signing_hash: bytes
    """What the signature is over."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transaction) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    def effective_gas_price(self, base_fee: int) -> int:
        """Give what a unit of gas costs the sender in a block of this base fee (EIP-1559)."""
        return min(self.max_fee, base_fee + self.max_priority_fee)


@dataclass(frozen=True, slots=True)
class Log:
    """An event: 20-byte address, up to four 32-byte topics, data."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as it is hashed (EIP-2718 form by `type`). `bloom` is 256 bytes."""

    type: int
    status: int
    cumulative_gas: int
    bloom: bytes
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """EIP-4895: a credit from the PoW chain; `amount` in gwei."""

    index: int
    validator_index: int
    address: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class BlockEnv:
    """What a block gives the EVM besides state. Blob fields are fixed: no blobs, blob base fee 1."""

    chain_id: int
    number: int
    timestamp: int
    beneficiary: bytes
    gas_limit: int
    base_fee: int
    prev_randao: bytes
    """The header's mixHash: what PREVRANDAO pushes."""
    block_hash: Callable[[int], bytes | None]
    """Hash of one of the last 256 ancestors by number, None otherwise."""


@dataclass(frozen=True, slots=True)
class TxOutcome:
    """What one transaction did; the state holds its changes already."""

    status: int
    gas_used: int
    """After refunds and the EIP-7623 floor: what the sender paid for."""
    execution_gas: int
    """`gas_used` beyond the intrinsic gas, at least 0 (docs/protocol.md section 4)."""
    logs: tuple[Log, ...]
    output: bytes
    """Returned data, revert data, or nothing."""
    created: bytes | None
    """Address of the contract that a creation made or tried to make."""
    error: str | None
    """None on success, else the EVM's word for it ("execution reverted", "out of gas", ...)."""
