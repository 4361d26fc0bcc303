"""The state that a transaction needs (prestateTracer), or what it changes (diffMode)."""

from typing import Any

from ioex_chain.evm.senders import authority
from ioex_chain.evm.trace_base import Tracer, hex_data
from ioex_chain.evm.types import BlockEnv, Transaction, TxOutcome
from ioex_chain.evm.vm_frame import Frame
from ioex_chain.evm.vm_world import DELEGATION_PREFIX, Accounts

_ADDRESS = (1 << 160) - 1
_SLOAD, _SSTORE = 0x54, 0x55
_TOP_IS_ACCOUNT = frozenset((0x31, 0x3B, 0x3C, 0x3F, 0xFF))
_SECOND_IS_ACCOUNT = frozenset((0xF1, 0xF2, 0xF4, 0xFA))


class _Before:
    """An account at the transaction's begin, with the slots that it touched."""

    __slots__ = ("balance", "code", "nonce", "slots")

    def __init__(self, state: Accounts, address: bytes) -> None:
        self.balance = state.get_balance(address)
        self.nonce = state.get_nonce(address)
        self.code = state.get_code(address)
        self.slots: dict[int, int] = {}

    @property
    def is_empty(self) -> bool:
        return not (self.balance or self.nonce or self.code)


class PrestateTracer(Tracer):
    """Notes each account and slot when it is first named, which is before it changes."""

    steps = True

    def __init__(
        self,
        *,
        diff_mode: bool = False,
        disable_code: bool = False,
        disable_storage: bool = False,
        include_empty: bool = False,
    ) -> None:
        self._diff = diff_mode
        self._code = not disable_code
        self._storage = not disable_storage
        self._include_empty = include_empty
        self._state: Accounts | None = None
        self._before: dict[bytes, _Before] = {}
        self._gone: set[bytes] = set()

    def begin(self, state: Accounts, env: BlockEnv, tx: Transaction, sender: bytes) -> None:
        """Note the sender, the target, the beneficiary and who authorises."""
        self._state = state
        for address in (sender, env.beneficiary, *((tx.to,) if tx.to is not None else ())):
            self._look(state, address)
        for item in tx.authorizations:
            signer = authority(item)
            if signer is not None:
                self._look(state, signer)

    def _look(self, state: Accounts, address: bytes) -> _Before:
        found = self._before.get(address)
        if found is None:
            found = self._before[address] = _Before(state, address)
            if len(found.code) == 23 and found.code.startswith(DELEGATION_PREFIX):
                self._look(state, found.code[3:])
        return found

    def enter(self, frame: Frame) -> None:
        """Note who is called or created."""
        self._look(frame.world.accounts, frame.msg.target)
        if frame.msg.depth == 0 and frame.msg.code_address not in frame.world.precompiles:
            self._look(frame.world.accounts, frame.msg.code_address)

    def step(self, frame: Frame, pc: int, op: int) -> None:  # noqa: ARG002
        """Note what the operation names."""
        stack, state = frame.stack, frame.world.accounts
        if op in (_SLOAD, _SSTORE) and stack:
            slots = self._look(state, frame.msg.target).slots
            if stack[-1] not in slots:
                slots[stack[-1]] = state.get_storage(frame.msg.target, stack[-1])
        elif op in _TOP_IS_ACCOUNT and stack:
            self._look(state, (stack[-1] & _ADDRESS).to_bytes(20, "big"))
        elif op in _SECOND_IS_ACCOUNT and len(stack) > 1:
            self._look(state, (stack[-2] & _ADDRESS).to_bytes(20, "big"))

    def destroy(self, frame: Frame, beneficiary: bytes, balance: int) -> None:  # noqa: ARG002
        """Note an account that will be gone."""
        if frame.msg.target in frame.world.created:
            self._gone.add(frame.msg.target)

    def result(self, tx: Transaction, outcome: TxOutcome) -> Any:  # noqa: ARG002
        """Give the accounts as they were, or the two sides of what changed."""
        kept = {
            address: before
            for address, before in self._before.items()
            if self._include_empty or not before.is_empty
        }
        if not self._diff:
            return {hex_data(address): self._show(before, before.slots) for address, before in kept.items()}
        return self._differences()

    def _show(self, before: _Before, slots: dict[int, int]) -> dict[str, Any]:
        shown: dict[str, Any] = {"balance": hex(before.balance)}
        if before.code and self._code:
            shown["code"] = hex_data(before.code)
        if before.nonce:
            shown["nonce"] = before.nonce
        if slots and self._storage:
            shown["storage"] = {_word(slot): _word(value) for slot, value in slots.items()}
        return shown

    def _differences(self) -> dict[str, Any]:
        state = self._state
        pre: dict[str, Any] = {}
        post: dict[str, Any] = {}
        for address, before in self._before.items():
            name = hex_data(address)
            if state is None or address in self._gone:
                changed: dict[str, Any] | None = None
            else:
                changed = self._changes(before, _Before(state, address), state, address)
                if not changed:
                    continue
                post[name] = changed
            if not before.is_empty or self._include_empty:
                pre[name] = self._show(before, self._changed_slots(before, address))
        return {"pre": pre, "post": post}

    def _changed_slots(self, before: _Before, address: bytes) -> dict[int, int]:
        assert self._state is not None  # noqa: S101
        read = self._state.get_storage
        return {slot: value for slot, value in before.slots.items() if value and read(address, slot) != value}

    def _changes(self, before: _Before, after: _Before, state: Accounts, address: bytes) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        if after.balance != before.balance:
            changed["balance"] = hex(after.balance)
        if after.nonce != before.nonce:
            changed["nonce"] = after.nonce
        if after.code != before.code and self._code:
            changed["code"] = hex_data(after.code)
        slots = {slot: state.get_storage(address, slot) for slot in before.slots}
        moved = {slot: value for slot, value in slots.items() if value != before.slots[slot]}
        if moved and self._storage:
            changed["storage"] = {_word(slot): _word(value) for slot, value in moved.items() if value}
        return changed


def _word(value: int) -> str:
    return f"0x{value:064x}"
