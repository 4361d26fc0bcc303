"""What the methods that execute need of the EVM: values, and one Protocol.

All of it runs in a thread of `run_heavy`, asks its deadline often, and changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ioex_chain.dpos.header import SealedHeader
from ioex_chain.evm.types import AccessEntry, Authorization, Transaction, TxOutcome, Withdrawal
from ioex_chain.ledger.types import Entry
from ioex_chain.primitives.errors import IoexError

ZERO_ADDRESS = bytes(20)
CALL_GAS = 50_000_000
"""Most gas of one call, estimate or trace of a call."""


class StatePruned(IoexError):
    """The state after this block is not kept any more."""


class EngineBusy(IoexError):
    """As many calls, estimates and traces are under way or waiting as the node takes."""


class ExecutionTimeout(IoexError):
    """A call, estimate or trace did not end in its time and was stopped."""


class Deadline(Protocol):
    """When a computation has to end. Asked often, from the computing thread."""

    def check(self) -> None:
        """Raise ExecutionTimeout once the time is over or nobody waits for the answer any more."""
        ...


class MessageRefused(IoexError):
    """A message that cannot even begin; the message has the words that clients look for.

    `code`: that of eth_simulateV1 for it, such as -38014 for insufficient funds.
    """

    def __init__(self, message: str, code: int = -32000) -> None:
        super().__init__(message)
        self.code = code


class Reverted(IoexError):
    """An estimate's message reverts or fails at any gas; `outcome` is what it did with the most of it."""

    def __init__(self, outcome: TxOutcome) -> None:
        super().__init__(outcome.error or "execution reverted")
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Message:
    """A transaction without a signature; None is for the engine to fill in or to leave unchecked."""

    sender: bytes = ZERO_ADDRESS
    to: bytes | None = None
    gas: int | None = None
    value: int = 0
    data: bytes = b""
    nonce: int | None = None
    max_fee: int | None = None
    """Also of a message that gives `gasPrice`; then `max_priority_fee` is the same."""
    max_priority_fee: int | None = None
    access_list: tuple[AccessEntry, ...] | None = None
    authorizations: tuple[Authorization, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountOverride:
    """What an account is taken to be instead; None leaves a field as it is."""

    nonce: int | None = None
    balance: int | None = None
    code: bytes | None = None
    state: Mapping[int, int] | None = None
    """The whole storage."""
    state_diff: Mapping[int, int] | None = None
    """Single slots."""
    move_precompile_to: bytes | None = None


@dataclass(frozen=True, slots=True)
class BlockOverride:
    """What the block is taken to say instead."""

    number: int | None = None
    time: int | None = None
    gas_limit: int | None = None
    fee_recipient: bytes | None = None
    prev_randao: bytes | None = None
    base_fee: int | None = None
    blob_base_fee: int | None = None
    withdrawals: tuple[Withdrawal, ...] | None = None


Overrides = Mapping[bytes, AccountOverride]


@dataclass(frozen=True, slots=True)
class Base:
    """What a message is executed on: the state after `entry`.

    The environment is that of `entry` itself, or of the next block on it (tag `pending`).
    """

    entry: Entry[SealedHeader]
    next_block: bool = False


@dataclass(frozen=True, slots=True)
class AccessResult:
    """The access list of a message, the gas that it uses with it, and why it fails, if it does."""

    entries: Sequence[AccessEntry]
    gas_used: int
    error: str | None


@dataclass(frozen=True, slots=True)
class SimulatedStep:
    """One block of eth_simulateV1, as asked for."""

    calls: Sequence[Message] = ()
    block: BlockOverride = field(default_factory=BlockOverride)
    state: Overrides = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SimulatedBlock:
    """One block of eth_simulateV1, executed."""

    header: SealedHeader
    """With the roots of the executed block and an empty seal."""
    withdrawals: Sequence[Withdrawal]
    transactions: Sequence[Transaction]
    """The calls with all that was filled in; r, s and y_parity are 0."""
    senders: Sequence[bytes]
    outcomes: Sequence[TxOutcome]
    size: int


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """How to trace. `tracer`: None for the opcode log, or a name of `TRACERS`."""

    tracer: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    """The tracer's own options (`onlyTopCall`, `withLog`, `diffMode`, ...)."""
    memory: bool = False
    stack: bool = True
    storage: bool = True
    return_data: bool = False
    limit: int = 0
    """Steps to log; 0: as many as fit into the reply."""


TRACERS = ("4byteTracer", "callTracer", "noopTracer", "prestateTracer")


class Evm(Protocol):
    """Executes without changing the chain. Every method may raise ExecutionTimeout and StatePruned."""

    def call(
        self,
        base: Base,
        message: Message,
        overrides: Overrides,
        block: BlockOverride,
        deadline: Deadline,
    ) -> TxOutcome:
        """Execute a message with at most CALL_GAS; prices are not charged when none is given.

        Raises MessageRefused.
        """
        ...

    def estimate(
        self,
        base: Base,
        message: Message,
        overrides: Overrides,
        block: BlockOverride,
        deadline: Deadline,
    ) -> int:
        """Give the least gas (to within 1.5 %) with which it succeeds. Raises MessageRefused, Reverted."""
        ...

    def access_list(
        self, base: Base, message: Message, overrides: Overrides, deadline: Deadline
    ) -> AccessResult:
        """Find the access list that a message needs. Raises MessageRefused."""
        ...

    def simulate(
        self,
        base: Base,
        steps: Sequence[SimulatedStep],
        *,
        validation: bool,
        trace_transfers: bool,
        deadline: Deadline,
    ) -> Sequence[SimulatedBlock]:
        """Execute blocks of messages, each on the one before. Raises MessageRefused with its code."""
        ...

    def trace_call(
        self,
        base: Base,
        message: Message,
        overrides: Overrides,
        block: BlockOverride,
        options: TraceOptions,
        deadline: Deadline,
    ) -> Any:
        """Trace a message; give the tracer's JSON. Raises MessageRefused."""
        ...

    def trace_block(
        self, entry: Entry[SealedHeader], options: TraceOptions, only: int | None, deadline: Deadline
    ) -> Sequence[Any]:
        """Replay a block on its parent's state; give the tracer's JSON of each transaction.

        With `only`, that of this index alone: the ones before it are executed without tracing.
        """
        ...
