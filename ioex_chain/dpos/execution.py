"""What the machine drives: a block's execution, and the registry's storage read after it.

`evm.block.BlockRun` and `RegistryState` are the real ones; a simulation has smaller ones.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from ioex_chain.dpos import registry
from ioex_chain.dpos.sets import Member
from ioex_chain.evm.block import BlockResult, BlockRules, BlockRun
from ioex_chain.evm.genesis import write_genesis
from ioex_chain.evm.senders import Senders
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.types import BlockEnv, Transaction, TxOutcome, Withdrawal
from ioex_chain.ledger.types import Readable, StateView
from ioex_chain.spec.model import NetworkSpec


class Execution(Protocol):
    """One block's execution, step by step; `evm.block.BlockRun` documents each."""

    def begin(self, parent_hash: bytes, parent_beacon_root: bytes) -> None:
        """Make the calls that begin a block. Raises SystemCallFailed."""
        ...

    def system_call(self, to: bytes, data: bytes) -> bytes:
        """Call a contract as the system. Raises SystemCallFailed with nothing changed."""
        ...

    @property
    def system_gas_left(self) -> int:
        """Gas that system calls of the block may still use."""
        ...

    def transactions(self, txs: Sequence[Transaction]) -> None:
        """Execute all in order. Raises TransactionRefused for the first that may not stand there."""
        ...

    def try_transaction(self, tx: Transaction, times: int | None = None) -> TxOutcome:
        """Execute one more, or raise InvalidTransaction with nothing changed.

        Raises HeavierThanPaid when it needs more than `times` its gas of execution gas.
        """
        ...

    def settle_base_fees(self) -> None:
        """Credit the base fees in one step."""
        ...

    def withdrawals(self, items: Iterable[Withdrawal]) -> None:
        """Credit withdrawals."""
        ...

    def finish(self) -> BlockResult:
        """Write the state to the view and give the roots."""
        ...


class Registry(Protocol):
    """What is read of ArbitratorRegistry's storage after a block."""

    def version(self, view: Readable) -> int:
        """Give a number that changes with everything that may change ranking or payout addresses."""
        ...

    def ranking(self, view: Readable) -> tuple[Member, ...]:
        """Give who would make up a set, best first, at most the network's seats."""
        ...

    def payout(self, view: Readable, key: bytes) -> bytes | None:
        """Give the payout address of any key that was ever registered, None for others."""
        ...


class World(Protocol):
    """The state under the machine: how blocks execute on it, how genesis begins it, what it says of seats."""

    @property
    def registry(self) -> Registry:
        """The reader of the registry."""
        ...

    def genesis(self, view: StateView, pow_genesis: bytes) -> None:
        """Write the genesis state; `pow_genesis` is the PoW genesis hash as it is hashed."""
        ...

    def run(self, view: StateView, env: BlockEnv) -> Execution:
        """Begin a block."""
        ...


class RegistryState:
    """The registry's storage in the EVM's state."""

    def __init__(self, spec: NetworkSpec) -> None:
        self._spec = spec

    def version(self, view: Readable) -> int:
        """Give a number that changes with everything that may change ranking or payout addresses."""
        return registry.version(self._spec, view)

    def ranking(self, view: Readable) -> tuple[Member, ...]:
        """Give who would make up a set, best first."""
        return registry.ranking(self._spec, view)

    def payout(self, view: Readable, key: bytes) -> bytes | None:
        """Give the payout address of a key's partner, None if there is no such partner."""
        partner = registry.RegistryReader(self._spec, FlatState(view)).partner_of(key)
        return None if partner is None else partner.payout


class EvmWorld:
    """The EVM's state; `senders` remembers who signed what, as of the transactions that the pool took."""

    def __init__(self, spec: NetworkSpec, senders: Senders | None = None) -> None:
        self.spec = spec
        self.senders = senders or Senders()
        self.rules = block_rules(spec)
        self.registry: Registry = RegistryState(spec)

    def genesis(self, view: StateView, pow_genesis: bytes) -> None:
        """Write the genesis state."""
        state = FlatState(view)
        write_genesis(self.spec, state, pow_genesis)
        state.flush()

    def run(self, view: StateView, env: BlockEnv) -> Execution:
        """Begin a block."""
        return BlockRun(view, env, self.rules, self.senders)


def block_rules(spec: NetworkSpec) -> BlockRules:
    """Give the rules that blocks of a network are executed under."""
    return BlockRules(
        execution_gas_limit=spec.dpos.execution_gas_limit,
        system_gas_limit=spec.dpos.system_gas_limit,
        fees_to=spec.contracts.reward_pool,
    )
