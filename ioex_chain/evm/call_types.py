"""What a call without a signature is made of, as its asker describes it, and why it may be refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ioex_chain.evm.errors import EvmError
from ioex_chain.evm.types import AccessEntry, Authorization, Transaction, TxOutcome, Withdrawal

CALL_GAS = 50_000_000
"""Most gas of one call."""


class CallMessage(Protocol):
    """A transaction without a signature; None is to be filled in or left unchecked."""

    @property
    def sender(self) -> bytes:
        """Who calls; 20 zero bytes when nobody is named."""
        ...

    @property
    def to(self) -> bytes | None:
        """Whom; None to create a contract."""
        ...

    @property
    def gas(self) -> int | None:
        """Gas limit."""
        ...

    @property
    def value(self) -> int:
        """Wei sent along."""
        ...

    @property
    def data(self) -> bytes:
        """Call data or init code."""
        ...

    @property
    def nonce(self) -> int | None:
        """Nonce."""
        ...

    @property
    def max_fee(self) -> int | None:
        """Most wei per gas; None charges nothing."""
        ...

    @property
    def max_priority_fee(self) -> int | None:
        """Most wei per gas for the producer."""
        ...

    @property
    def access_list(self) -> tuple[AccessEntry, ...] | None:
        """EIP-2930 list."""
        ...

    @property
    def authorizations(self) -> tuple[Authorization, ...]:
        """EIP-7702 list."""
        ...


class AccountChange(Protocol):
    """What an account is taken to be instead; None leaves a field as it is."""

    @property
    def nonce(self) -> int | None:
        """Nonce."""
        ...

    @property
    def balance(self) -> int | None:
        """Wei."""
        ...

    @property
    def code(self) -> bytes | None:
        """Code."""
        ...

    @property
    def state(self) -> Mapping[int, int] | None:
        """The whole storage."""
        ...

    @property
    def state_diff(self) -> Mapping[int, int] | None:
        """Single slots."""
        ...

    @property
    def move_precompile_to(self) -> bytes | None:
        """Where the precompile of this address is to be found instead."""
        ...


class BlockChange(Protocol):
    """What the block is taken to say instead."""

    @property
    def number(self) -> int | None:
        """Height."""
        ...

    @property
    def time(self) -> int | None:
        """Unix seconds."""
        ...

    @property
    def gas_limit(self) -> int | None:
        """Gas limit."""
        ...

    @property
    def fee_recipient(self) -> bytes | None:
        """Beneficiary."""
        ...

    @property
    def prev_randao(self) -> bytes | None:
        """MixHash."""
        ...

    @property
    def base_fee(self) -> int | None:
        """Base fee."""
        ...

    @property
    def blob_base_fee(self) -> int | None:
        """What BLOBBASEFEE pushes."""
        ...


Changes = Mapping[bytes, AccountChange]


class CallRefused(EvmError):
    """A call that cannot begin, in words that clients know. `code`: eth_simulateV1's for it."""

    def __init__(self, message: str, code: int = -32000) -> None:
        super().__init__(message)
        self.code = code


class CallReverted(EvmError):
    """An estimate's message fails with all the gas it may have; `outcome` is what it did."""

    def __init__(self, outcome: TxOutcome) -> None:
        super().__init__(outcome.error or "execution reverted")
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class AccessResult:
    """The access list of a message, the gas that it uses with it, and why it fails, if it does."""

    entries: tuple[AccessEntry, ...]
    gas_used: int
    error: str | None


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """One simulated block, executed: what its header commits to, and what its calls did."""

    state_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    gas_used: int
    transactions: Sequence[Transaction]
    """With all that was filled in; r, s and y_parity are 0."""
    senders: Sequence[bytes]
    outcomes: Sequence[TxOutcome]
    withdrawals: Sequence[Withdrawal]
