"""CALL, CALLCODE, DELEGATECALL, STATICCALL, CREATE and CREATE2."""

from eth.exceptions import OutOfGas, WriteProtection
from rlp import encode as rlp_encode

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.vm_calls import MAX_DEPTH, call, create, take_gas
from ioex_chain.evm.vm_frame import Frame, Message
from ioex_chain.evm.vm_ops_data import pay_account, pay_copy, pop_address
from ioex_chain.evm.vm_world import MAX_NONCE

MAX_INITCODE = 49_152
"""Bytes of init code (EIP-3860)."""
_CALL_VALUE = 9_000
_NEW_ACCOUNT = 25_000
_STIPEND = 2_300


def contract_address(sender: bytes, nonce: int) -> bytes:
    """Address of a contract that `sender` creates at `nonce`: keccak256(rlp([sender, nonce]))[12:]."""
    return keccak256(bytes(rlp_encode([sender, nonce])))[12:]


def _read_areas(f: Frame) -> tuple[bytes, int, int]:
    """Pop input and output areas, pay for both; gives the call data and where the answer goes."""
    s = f.stack
    start, size, out_start, out_size = s.pop(), s.pop(), s.pop(), s.pop()
    f.extend_memory(start, size)
    f.extend_memory(out_start, out_size)
    return (bytes(f.memory[start : start + size]) if size else b""), out_start, out_size


def _load_code(f: Frame, address: bytes) -> tuple[bytes, bytes, bool]:
    """Pay for the account and, when it delegates, for that one too (EIP-7702): code, its address, is own."""
    pay_account(f, address)
    code = f.world.get_code(address)
    delegate = f.world.delegate(code) if len(code) == 23 else None
    if delegate is None:
        return code, address, True
    pay_account(f, delegate)
    return f.world.get_code(delegate), delegate, False


def _charge(f: Frame, asked: int, extra: int) -> int:
    """Take `extra` and what the callee gets: at most all but a 64th of the rest (EIP-150)."""
    take_gas(f, extra)
    given = min(asked, f.gas - f.gas // 64)
    f.gas -= given
    return given


def _enter(f: Frame, msg: Message, out_start: int, out_size: int) -> None:
    f.return_data = b""
    if msg.depth > MAX_DEPTH:
        f.gas += msg.gas
        f.stack.append(0)
        return
    child = call(f.world, msg)
    f.gas += child.gas
    f.return_data = output = child.output
    f.stack.append(0 if child.error else 1)
    size = min(out_size, len(output))
    f.memory[out_start : out_start + size] = output[:size] if size else b""


def _enter_with_value(f: Frame, msg: Message, out_start: int, out_size: int) -> None:
    if msg.value and f.world.get_balance(f.msg.target) < msg.value:
        f.return_data = b""
        f.gas += msg.gas
        f.stack.append(0)
    else:
        _enter(f, msg, out_start, out_size)


def call_(f: Frame) -> None:
    """CALL."""
    asked, to, value = f.stack.pop(), pop_address(f), f.stack.pop()
    data, out_start, out_size = _read_areas(f)
    code, code_address, own = _load_code(f, to)
    if f.msg.is_static and value:
        raise WriteProtection
    extra = 0
    if value:
        extra = _CALL_VALUE + (_NEW_ACCOUNT if f.world.account_is_empty(to) else 0)
    gas = _charge(f, asked, extra) + (_STIPEND if value else 0)
    msg = Message(
        "CALL",
        sender=f.msg.target,
        target=to,
        to=to,
        value=value,
        data=data,
        code=code,
        gas=gas,
        depth=f.msg.depth + 1,
        code_address=code_address,
        is_static=f.msg.is_static,
        runs_precompile=own,
    )
    _enter_with_value(f, msg, out_start, out_size)


def callcode(f: Frame) -> None:
    """CALLCODE: another's code on one's own account."""
    asked, to, value = f.stack.pop(), pop_address(f), f.stack.pop()
    data, out_start, out_size = _read_areas(f)
    code, code_address, own = _load_code(f, to)
    gas = _charge(f, asked, _CALL_VALUE if value else 0) + (_STIPEND if value else 0)
    msg = Message(
        "CALLCODE",
        sender=f.msg.target,
        target=f.msg.target,
        to=to,
        value=value,
        data=data,
        code=code,
        gas=gas,
        depth=f.msg.depth + 1,
        code_address=code_address,
        is_static=f.msg.is_static,
        runs_precompile=own,
    )
    _enter_with_value(f, msg, out_start, out_size)


def delegatecall(f: Frame) -> None:
    """DELEGATECALL (EIP-7): another's code with one's own caller and value."""
    asked, to = f.stack.pop(), pop_address(f)
    data, out_start, out_size = _read_areas(f)
    code, code_address, own = _load_code(f, to)
    msg = Message(
        "DELEGATECALL",
        sender=f.msg.sender,
        target=f.msg.target,
        to=to,
        value=f.msg.value,
        data=data,
        code=code,
        gas=_charge(f, asked, 0),
        depth=f.msg.depth + 1,
        code_address=code_address,
        is_static=f.msg.is_static,
        runs_precompile=own,
    )
    _enter(f, msg, out_start, out_size)


def staticcall(f: Frame) -> None:
    """STATICCALL (EIP-214)."""
    asked, to = f.stack.pop(), pop_address(f)
    data, out_start, out_size = _read_areas(f)
    code, code_address, own = _load_code(f, to)
    msg = Message(
        "STATICCALL",
        sender=f.msg.target,
        target=to,
        to=to,
        value=0,
        data=data,
        code=code,
        gas=_charge(f, asked, 0),
        depth=f.msg.depth + 1,
        code_address=code_address,
        is_static=True,
        runs_precompile=own,
    )
    _enter(f, msg, out_start, out_size)


def _read_initcode(f: Frame, start: int, size: int, per_word: int) -> bytes:
    """Pay for and read init code (EIP-3860)."""
    if size > MAX_INITCODE:
        raise OutOfGas("max initcode size exceeded")
    pay_copy(f, size, per_word)
    return f.read_memory(start, size)


def create_(f: Frame) -> None:
    """CREATE."""
    s = f.stack
    value, start, size = s.pop(), s.pop(), s.pop()
    code = _read_initcode(f, start, size, 2)
    sender = f.msg.target
    _create(f, "CREATE", value, code, contract_address(sender, f.world.get_nonce(sender)))


def create2(f: Frame) -> None:
    """CREATE2 (EIP-1014)."""
    s = f.stack
    value, start, size, salt = s.pop(), s.pop(), s.pop(), s.pop()
    code = _read_initcode(f, start, size, 8)
    seed = b"\xff" + f.msg.target + salt.to_bytes(32, "big") + keccak256(code)
    _create(f, "CREATE2", value, code, keccak256(seed)[12:])


def _create(f: Frame, kind: str, value: int, code: bytes, address: bytes) -> None:
    world, sender = f.world, f.msg.target
    if f.msg.is_static:
        raise WriteProtection
    f.return_data = b""
    depth = f.msg.depth + 1
    if world.get_balance(sender) < value or world.get_nonce(sender) == MAX_NONCE or depth > MAX_DEPTH:
        f.stack.append(0)
        return
    gas = f.gas - f.gas // 64
    f.gas -= gas
    world.warm_address(address)
    taken = world.is_taken(address)
    world.increment_nonce(sender)
    if taken:
        f.stack.append(0)
        return
    msg = Message(
        kind,
        sender=sender,
        target=address,
        to=address,
        value=value,
        data=b"",
        code=code,
        gas=gas,
        depth=depth,
        runs_precompile=False,
    )
    child = create(world, msg)
    f.gas += child.gas
    f.return_data = child.output if child.error else b""
    f.stack.append(0 if child.error else int.from_bytes(address, "big"))
