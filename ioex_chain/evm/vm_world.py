"""What the EVM sees while one transaction runs: accounts, block, and the journal of what lasts that long."""

from collections.abc import Callable
from typing import Any, Protocol

from ioex_chain.evm.types import EMPTY_CODE_HASH, BlockEnv, Log
from ioex_chain.evm.vm_rules import Rules

MAX_NONCE = 2**64 - 1
"""No account reaches this nonce (EIP-2681)."""
DELEGATION_PREFIX = b"\xef\x01\x00"
"""Code that is this and an address delegates to that address (EIP-7702)."""


class Accounts(Protocol):
    """What the EVM needs of an account state: part of py-evm's AccountDatabaseAPI, and `has_storage`."""

    def get_storage(self, address: bytes, slot: int, from_journal: bool = True) -> int:
        """Give a slot's value; that at the transaction's begin when `from_journal` is False."""
        ...

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        """Write a slot."""
        ...

    def has_storage(self, address: bytes) -> bool:
        """Whether any slot of the account is not zero."""
        ...

    def get_balance(self, address: bytes) -> int:
        """Give the balance in wei."""
        ...

    def set_balance(self, address: bytes, balance: int) -> None:
        """Write the balance."""
        ...

    def get_nonce(self, address: bytes) -> int:
        """Give the nonce."""
        ...

    def set_nonce(self, address: bytes, nonce: int) -> None:
        """Write the nonce."""
        ...

    def get_code(self, address: bytes) -> bytes:
        """Give the code, empty when there is none."""
        ...

    def get_code_hash(self, address: bytes) -> bytes:
        """Give the code's keccak256."""
        ...

    def set_code(self, address: bytes, code: bytes) -> None:
        """Write the code."""
        ...

    def delete_account(self, address: bytes) -> None:
        """Remove the account with its storage."""
        ...

    def account_is_empty(self, address: bytes) -> bool:
        """Whether nonce and balance are 0 and there is no code (EIP-161); so is one that does not exist."""
        ...

    def record(self) -> object:
        """Set a checkpoint."""
        ...

    def discard(self, checkpoint: object) -> None:
        """Go back to a checkpoint."""
        ...

    def commit(self, checkpoint: object) -> None:
        """Forget a checkpoint, keeping what came after it."""
        ...

    def lock_changes(self) -> None:
        """End a transaction: what stands now is the next one's beginning."""
        ...


class Watcher(Protocol):
    """Follows an execution (a tracer). `steps` tells whether it wants every operation."""

    steps: bool

    def enter(self, frame: Any) -> None:
        """Hear that a message call or creation begins: its `frame` is set up, nothing has run."""
        ...

    def leave(self, frame: Any) -> None:
        """Hear that it ended: the frame has its output, its error and its gas."""
        ...

    def step(self, frame: Any, pc: int, op: int) -> None:
        """Hear that an operation is about to run."""
        ...

    def destroy(self, frame: Any, beneficiary: bytes, balance: int) -> None:
        """Hear that the frame's account destroys itself and leaves `balance` wei."""
        ...


Snapshot = tuple[object, int, int, int, int]


class World:
    """One transaction's surroundings. Warm sets, transient storage, logs and refunds live and die with it."""

    def __init__(
        self,
        accounts: Accounts,
        env: BlockEnv,
        rules: Rules,
        *,
        origin: bytes,
        gas_price: int,
        watcher: Watcher | None = None,
        check_deadline: Callable[[], None] | None = None,
    ) -> None:
        self.accounts = accounts
        self.env = env
        self.rules = rules
        self.origin = origin
        self.gas_price = gas_price
        self.watcher = watcher
        self.check_deadline = check_deadline
        self.precompiles = rules.precompiles
        self.warm: set[bytes] = set(rules.precompiles)
        self.warm.add(env.beneficiary)  # EIP-3651
        self.warm_slots: set[tuple[bytes, int]] = set()
        self.transient: dict[tuple[bytes, int], int] = {}
        self.created: set[bytes] = set()
        self.doomed: list[bytes] = []
        self.logs: list[Log] = []
        self.refund = 0
        self.transfers: Callable[[bytes, bytes, int], Log] | None = None
        self._journal: list[tuple[int, Any, int]] = []
        # Bound once: these are the hot ways into the state.
        self.get_balance = accounts.get_balance
        self.get_nonce = accounts.get_nonce
        self.get_code = accounts.get_code
        self.get_code_hash = accounts.get_code_hash
        self.get_storage = accounts.get_storage
        self.account_is_empty = accounts.account_is_empty

    def snapshot(self) -> Snapshot:
        """Mark a point to go back to."""
        return self.accounts.record(), len(self._journal), len(self.logs), len(self.doomed), self.refund

    def commit(self, snapshot: Snapshot) -> None:
        """Keep what came after the mark."""
        self.accounts.commit(snapshot[0])

    def revert(self, snapshot: Snapshot) -> None:
        """Undo everything after the mark, warmth included (EIP-2929)."""
        checkpoint, journal, logs, doomed, self.refund = snapshot
        self.accounts.discard(checkpoint)
        del self.logs[logs:]
        del self.doomed[doomed:]
        entries = self._journal
        while len(entries) > journal:
            self._undo(*entries.pop())

    def _undo(self, kind: int, key: Any, before: int) -> None:
        if kind == 0:
            self.warm.discard(key)
        elif kind == 1:
            self.warm_slots.discard(key)
        else:
            self.transient[key] = before

    def warm_address(self, address: bytes) -> bool:
        """Mark an address as accessed; tells whether it was cold."""
        if address in self.warm:
            return False
        self.warm.add(address)
        self._journal.append((0, address, 0))
        return True

    def warm_slot(self, address: bytes, slot: int) -> bool:
        """Mark a storage slot as accessed; tells whether it was cold."""
        key = (address, slot)
        if key in self.warm_slots:
            return False
        self.warm_slots.add(key)
        self._journal.append((1, key, 0))
        return True

    def set_transient(self, address: bytes, slot: int, value: int) -> None:
        """Write transient storage (EIP-1153)."""
        key = (address, slot)
        self._journal.append((2, key, self.transient.get(key, 0)))
        self.transient[key] = value

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        """Write a storage slot."""
        self.accounts.set_storage(address, slot, value)

    def increment_nonce(self, address: bytes) -> None:
        """Add one to a nonce."""
        self.accounts.set_nonce(address, self.get_nonce(address) + 1)

    def transfer(self, sender: bytes, receiver: bytes, value: int) -> None:
        """Move wei; the sender has it."""
        accounts = self.accounts
        accounts.set_balance(sender, self.get_balance(sender) - value)
        accounts.set_balance(receiver, self.get_balance(receiver) + value)
        if self.transfers is not None and value:
            self.logs.append(self.transfers(sender, receiver, value))

    def is_taken(self, address: bytes) -> bool:
        """Whether nothing may be created at the address: nonce, code or storage (EIP-684, EIP-7610)."""
        return (
            self.get_nonce(address) != 0
            or self.get_code_hash(address) not in (EMPTY_CODE_HASH, b"")
            or self.accounts.has_storage(address)
        )

    def delegate(self, code: bytes) -> bytes | None:
        """Give the address that a delegation points to, None for other code (EIP-7702, from Prague)."""
        if self.rules.delegations and len(code) == 23 and code.startswith(DELEGATION_PREFIX):
            return code[3:]
        return None

    def finish(self) -> None:
        """End the transaction: destroyed accounts vanish, the state locks the rest in.

        Empty accounts are the state's: it neither writes them nor tells them from absent ones (EIP-7523).
        """
        accounts = self.accounts
        for address in self.doomed:
            accounts.delete_account(address)
        accounts.lock_changes()
