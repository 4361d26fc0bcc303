"""Operations that write: storage, logs, self-destruction."""

from collections.abc import Callable

from eth.exceptions import Halt, OutOfGas, WriteProtection

from ioex_chain.evm.types import Log
from ioex_chain.evm.vm_frame import Frame
from ioex_chain.evm.vm_ops_data import pop_address

_COLD_SLOT = 2100
_COLD_ACCOUNT = 2600
_WARM = 100
_SSTORE_SENTRY = 2300
_SSTORE_SET = 20_000
_SSTORE_RESET = 2_900
_REFUND_CLEAR = 4_800
_LOG_BYTE = 8
_LOG_TOPIC = 375
_NEW_ACCOUNT = 25_000


def _sstore_cost(original: int, current: int, new: int) -> int:
    """EIP-2200 with EIP-2929's prices, without the surcharge for a cold slot."""
    if current == new or original != current:
        return _WARM
    return _SSTORE_SET if original == 0 else _SSTORE_RESET


def _sstore_refund(original: int, current: int, new: int) -> int:
    """EIP-3529's change of the refund counter."""
    if current == new:
        return 0
    if original == current:
        return _REFUND_CLEAR if original and new == 0 else 0
    change = 0
    if original:
        change += -_REFUND_CLEAR if current == 0 else _REFUND_CLEAR if new == 0 else 0
    if original == new:
        change += (_SSTORE_SET if original == 0 else _SSTORE_RESET) - _WARM
    return change


def sstore(f: Frame) -> None:
    """SSTORE."""
    s = f.stack
    slot, new = s.pop(), s.pop()
    msg, world = f.msg, f.world
    if f.gas <= _SSTORE_SENTRY:
        raise OutOfGas("SSTORE: not enough gas for reentrancy sentry")
    if msg.is_static:
        raise WriteProtection
    target = msg.target
    current = world.get_storage(target, slot)
    original = 0 if target in world.created else world.get_storage(target, slot, False)
    cost = _sstore_cost(original, current, new)
    if world.warm_slot(target, slot):
        cost += _COLD_SLOT
    if cost > f.gas:
        raise OutOfGas("SSTORE")
    f.gas -= cost
    if current != new:
        world.refund += _sstore_refund(original, current, new)
        world.set_storage(target, slot, new)


def tstore(f: Frame) -> None:
    """TSTORE (EIP-1153)."""
    s = f.stack
    slot, value = s.pop(), s.pop()
    if f.msg.is_static:
        raise WriteProtection
    f.world.set_transient(f.msg.target, slot, value)


def make_log(topics: int) -> Callable[[Frame], None]:
    """Build LOG0 to LOG4."""

    def log(f: Frame) -> None:
        s = f.stack
        start, size = s.pop(), s.pop()
        values = tuple(s.pop().to_bytes(32, "big") for _ in range(topics))
        cost = _LOG_TOPIC * topics + _LOG_BYTE * size
        if cost > f.gas:
            raise OutOfGas("LOG")
        f.gas -= cost
        f.extend_memory(start, size)
        if f.msg.is_static:
            raise WriteProtection
        f.world.logs.append(Log(f.msg.target, values, bytes(f.memory[start : start + size]) if size else b""))

    return log


def selfdestruct(f: Frame) -> None:
    """SELFDESTRUCT: only a contract created in the same transaction vanishes (EIP-6780)."""
    world, target = f.world, f.msg.target
    beneficiary = pop_address(f)
    balance = world.get_balance(target)
    cost = _COLD_ACCOUNT if world.warm_address(beneficiary) else 0
    if balance and world.account_is_empty(beneficiary):
        cost += _NEW_ACCOUNT
    if cost > f.gas:
        raise OutOfGas("SELFDESTRUCT")
    f.gas -= cost
    if f.msg.is_static:
        raise WriteProtection
    if world.watcher is not None:
        world.watcher.destroy(f, beneficiary, balance)
    _give_away(f, target, beneficiary, balance)
    raise Halt("SELFDESTRUCT")


def _give_away(f: Frame, target: bytes, beneficiary: bytes, balance: int) -> None:
    world = f.world
    if target != beneficiary:
        world.transfer(target, beneficiary, balance)
    if target in world.created:
        world.accounts.set_balance(target, 0)
        world.doomed.append(target)
