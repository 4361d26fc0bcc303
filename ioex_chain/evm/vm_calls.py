"""Message calls and creations: what they do around the code that they run."""

from eth.exceptions import (
    ContractCreationCollision,
    OutOfGas,
    ReservedBytesInCode,
    Revert,
    VMError,
)

from ioex_chain.evm.vm_errors import CodeStoreOutOfGas, CodeTooLarge
from ioex_chain.evm.vm_frame import Frame, Message
from ioex_chain.evm.vm_loop import run
from ioex_chain.evm.vm_world import World

MAX_DEPTH = 1024
"""Frames below the first."""
MAX_CODE = 24_576
"""Bytes of a contract's code (EIP-170)."""
_CODE_BYTE = 200


def call(world: World, msg: Message) -> Frame:
    """Run a message call and undo it if it fails. The caller checked depth; funds are checked here.

    Raises DeadlineExceeded only; every EVM error stands in the frame.
    """
    frame = Frame(world, msg)
    snapshot = world.snapshot()
    if world.watcher is not None:
        world.watcher.enter(frame)
    if msg.kind != "DELEGATECALL":
        _move_value(world, msg)
    _execute(frame)
    if frame.error is None:
        world.commit(snapshot)
    else:
        world.revert(snapshot)
    if world.watcher is not None:
        world.watcher.leave(frame)
    return frame


def _move_value(world: World, msg: Message) -> None:
    if msg.value and msg.kind != "CALLCODE":
        world.transfer(msg.sender, msg.target, msg.value)


def _execute(frame: Frame) -> None:
    world, msg = frame.world, frame.msg
    if world.check_deadline is not None:
        world.check_deadline()
    try:
        precompile = world.precompiles.get(msg.code_address) if msg.runs_precompile else None
        if precompile is not None:
            precompile(frame)
        elif msg.code:
            if world.rules.code_run is not None:
                world.rules.code_run(frame)
            run(frame)
    except Revert as error:
        frame.error = error
    except VMError as error:
        _fail(frame, error)


def _fail(frame: Frame, error: VMError) -> None:
    """All gas is gone and nothing is returned."""
    frame.error = error
    frame.gas = 0
    frame.output = b""


def create(world: World, msg: Message) -> Frame:
    """Run a creation: nonce 1, value, init code, then the code that it returns (EIP-161, 170, 3541)."""
    frame = Frame(world, msg)
    snapshot = world.snapshot()
    if world.watcher is not None:
        world.watcher.enter(frame)
    world.created.add(msg.target)
    world.accounts.set_nonce(msg.target, 1)
    _move_value(world, msg)
    _execute(frame)
    if frame.error is None:
        _store_code(frame)
    if frame.error is None:
        world.commit(snapshot)
    else:
        world.revert(snapshot)
    if world.watcher is not None:
        world.watcher.leave(frame)
    return frame


def _store_code(frame: Frame) -> None:
    code = frame.output
    try:
        if code[:1] == b"\xef":
            raise ReservedBytesInCode
        if len(code) > MAX_CODE:
            raise CodeTooLarge
        if _CODE_BYTE * len(code) > frame.gas:
            raise CodeStoreOutOfGas
    except VMError as error:
        _fail(frame, error)
        return
    frame.gas -= _CODE_BYTE * len(code)
    if code:
        frame.world.accounts.set_code(frame.msg.target, code)


def collide(world: World, msg: Message) -> Frame:
    """Give the failed frame of a creation whose address is taken (EIP-684, EIP-7610)."""
    frame = Frame(world, msg)
    if world.watcher is not None:
        world.watcher.enter(frame)
    _fail(frame, ContractCreationCollision())
    if world.watcher is not None:
        world.watcher.leave(frame)
    return frame


def take_gas(frame: Frame, amount: int) -> None:
    """Take gas or raise OutOfGas."""
    if amount > frame.gas:
        raise OutOfGas
    frame.gas -= amount
