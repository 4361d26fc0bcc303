"""Calls, gas estimates and access lists on any state, changing nothing: the engine behind eth_call and kin.

Everything runs on an overlay in memory over rows that are only read. `check` is asked often and ends the
work by raising; whatever it raises passes through.
"""

from collections.abc import Callable
from dataclasses import replace

from ioex_chain.evm.call_session import Session, open_session
from ioex_chain.evm.call_types import (
    CALL_GAS,
    AccessResult,
    BlockChange,
    CallMessage,
    CallRefused,
    CallReverted,
    Changes,
)
from ioex_chain.evm.trace_base import Tracer
from ioex_chain.evm.transactions import GAS_TRANSACTION, intrinsic_gas
from ioex_chain.evm.types import AccessEntry, BlockEnv, Transaction, TxOutcome
from ioex_chain.evm.vm_frame import Frame
from ioex_chain.evm.vm_world import Watcher
from ioex_chain.ledger.types import Readable

_ERROR_RATIO = 0.015
"""An estimate may be this much above the least."""
_STIPEND = 2_300
_ADDRESS = (1 << 160) - 1
_SLOAD, _SSTORE = 0x54, 0x55
_TOP_IS_ACCOUNT = frozenset((0x31, 0x3B, 0x3C, 0x3F, 0xFF))
_SECOND_IS_ACCOUNT = frozenset((0xF1, 0xF2, 0xF4, 0xFA))
_MOST_ROUNDS = 16
"""Access lists settle after two or three rounds; code that never settles is not waited for."""


def call(
    view: Readable,
    env: BlockEnv,
    message: CallMessage,
    *,
    changes: Changes | None = None,
    block: BlockChange | None = None,
    check: Callable[[], None] | None = None,
    watcher: Watcher | None = None,
) -> TxOutcome:
    """Execute a message with at most CALL_GAS; nothing is charged when it names no price.

    Raises CallRefused when it cannot begin; a failed execution stands in the outcome.
    """
    session = open_session(view, env, changes, block, check)
    return session.run(session.fill(message), message.sender, watcher)


def estimate(
    view: Readable,
    env: BlockEnv,
    message: CallMessage,
    *,
    changes: Changes | None = None,
    block: BlockChange | None = None,
    check: Callable[[], None] | None = None,
) -> int:
    """Give gas with which the message succeeds, at most 1.5 % above the least.

    Raises CallRefused, and CallReverted when it fails with all the gas that it may have.
    """
    session = open_session(view, env, changes, block, check)
    return _Estimate(session, message).search()


class _Estimate:
    """The search that Ethereum's clients make: the most first, then what that used, then by halves."""

    def __init__(self, session: Session, message: CallMessage) -> None:
        self._session = session
        self._sender = message.sender
        tx = session.fill(message)
        asked = message.gas if message.gas is not None and message.gas >= GAS_TRANSACTION else CALL_GAS
        most = min(asked, CALL_GAS, session.env.gas_limit)
        if tx.max_fee:
            most = min(most, self._affordable(tx))
        self._most = most
        self._tx = replace(tx, gas=most)

    def _affordable(self, tx: Transaction) -> int:
        balance = self._session.state.get_balance(self._sender)
        if balance < tx.value:
            raise CallRefused("insufficient funds for transfer", -38014)
        return (balance - tx.value) // tx.max_fee

    def search(self) -> int:
        if self._is_plain() and self._try(GAS_TRANSACTION) is not None:
            return GAS_TRANSACTION
        outcome = self._session.probe(self._tx, self._sender)
        if outcome.error is not None:
            raise self._refusal(outcome)
        low, high = outcome.gas_used - 1, self._most
        guess = (outcome.gas_used + self._session.refund + _STIPEND) * 64 // 63
        if guess < high:
            low, high = (low, guess) if self._try(guess) is not None else (guess, high)
        return self._halve(low, high)

    def _refusal(self, outcome: TxOutcome) -> Exception:
        if outcome.error == "out of gas" and self._tx.gas == self._most:
            return CallRefused(f"gas required exceeds allowance ({self._most})")
        return CallReverted(outcome)

    def _is_plain(self) -> bool:
        tx = self._tx
        if tx.data or tx.to is None or tx.access_list or tx.authorizations or self._most < GAS_TRANSACTION:
            return False
        return not self._session.state.get_code(tx.to) and tx.to not in self._session.rules.precompiles

    def _try(self, gas: int) -> TxOutcome | None:
        """Run with this gas; None when it fails."""
        tx = replace(self._tx, gas=gas)
        if gas < intrinsic_gas(tx):
            return None
        try:
            outcome = self._session.probe(tx, self._sender)
        except CallRefused:  # below the floor of its data
            return None
        return None if outcome.error is not None else outcome

    def _halve(self, low: int, high: int) -> int:
        while low + 1 < high and (high - low) / high >= _ERROR_RATIO:
            middle = min((high + low) // 2, low * 2)  # most need little more than the least
            low, high = (low, middle) if self._try(middle) is not None else (middle, high)
        return high


class AccessWatcher(Tracer):
    """Collects the accounts and slots that operations name."""

    steps = True

    def __init__(self) -> None:
        self.accounts: dict[bytes, dict[int, None]] = {}

    def step(self, frame: Frame, pc: int, op: int) -> None:  # noqa: ARG002
        """Note what the operation touches."""
        stack = frame.stack
        if op in (_SLOAD, _SSTORE) and stack:
            self.accounts.setdefault(frame.msg.target, {})[stack[-1]] = None
        elif op in _TOP_IS_ACCOUNT and stack:
            self.accounts.setdefault((stack[-1] & _ADDRESS).to_bytes(20, "big"), {})
        elif op in _SECOND_IS_ACCOUNT and len(stack) > 1:
            self.accounts.setdefault((stack[-2] & _ADDRESS).to_bytes(20, "big"), {})

    def entries(self, excluded: set[bytes]) -> tuple[AccessEntry, ...]:
        """Give the list in order of address and slot; excluded accounts only with slots."""
        return tuple(
            AccessEntry(address, tuple(slot.to_bytes(32, "big") for slot in sorted(slots)))
            for address, slots in sorted(self.accounts.items())
            if slots or address not in excluded
        )


def access_list(
    view: Readable,
    env: BlockEnv,
    message: CallMessage,
    *,
    changes: Changes | None = None,
    block: BlockChange | None = None,
    check: Callable[[], None] | None = None,
) -> AccessResult:
    """Find the access list that a message needs, until it no longer grows. Raises CallRefused."""
    session = open_session(view, env, changes, block, check)
    tx = session.fill(message)
    entries = tx.access_list
    for _ in range(_MOST_ROUNDS):
        watcher = AccessWatcher()
        outcome = session.probe(replace(tx, access_list=entries), message.sender, watcher)
        for entry in entries:
            slots = watcher.accounts.setdefault(entry.address, {})
            slots.update(dict.fromkeys(int.from_bytes(slot, "big") for slot in entry.slots))
        found = watcher.entries(_free(session, tx, message.sender, outcome))
        if found == entries:
            break
        entries = found
    return AccessResult(entries, outcome.gas_used, outcome.error)


def _free(session: Session, tx: Transaction, sender: bytes, outcome: TxOutcome) -> set[bytes]:
    """Accounts that are warm without being listed."""
    target = tx.to if tx.to is not None else outcome.created or b""
    return {*session.rules.precompiles, sender, target, session.env.beneficiary}
