"""The forks' machines, taken from py-evm: which operations exist, their constant gas, the precompiles."""

from collections.abc import Callable, Mapping
from typing import Any

from eth.abc import OpcodeAPI
from eth.exceptions import InvalidInstruction
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.forks.prague.computation import PragueComputation

from ioex_chain.evm import vm_ops_arith as arith
from ioex_chain.evm import vm_ops_call as calls
from ioex_chain.evm import vm_ops_data as data
from ioex_chain.evm import vm_ops_write as write
from ioex_chain.evm.vm_frame import Frame
from ioex_chain.evm.vm_precompiles import make_precompiles
from ioex_chain.evm.vm_rules import Rules

Operation = Callable[[Frame], None]

_SIMPLE: dict[int, Operation] = {
    0x00: data.stop, 0x01: arith.add, 0x02: arith.mul, 0x03: arith.sub, 0x04: arith.div, 0x05: arith.sdiv,
    0x06: arith.mod, 0x07: arith.smod, 0x08: arith.addmod, 0x09: arith.mulmod, 0x0A: arith.exp,
    0x0B: arith.signextend, 0x10: arith.lt, 0x11: arith.gt, 0x12: arith.slt, 0x13: arith.sgt, 0x14: arith.eq,
    0x15: arith.iszero, 0x16: arith.and_, 0x17: arith.or_, 0x18: arith.xor, 0x19: arith.not_,
    0x1A: arith.byte, 0x1B: arith.shl, 0x1C: arith.shr, 0x1D: arith.sar, 0x20: data.keccak,
    0x30: data.address, 0x31: data.balance, 0x32: data.origin, 0x33: data.caller, 0x34: data.callvalue,
    0x35: data.calldataload, 0x36: data.calldatasize, 0x37: data.calldatacopy, 0x38: data.codesize,
    0x39: data.codecopy, 0x3A: data.gasprice, 0x3B: data.extcodesize, 0x3C: data.extcodecopy,
    0x3D: data.returndatasize, 0x3E: data.returndatacopy, 0x3F: data.extcodehash, 0x40: data.blockhash,
    0x41: data.coinbase, 0x42: data.timestamp, 0x43: data.number, 0x44: data.prevrandao,
    0x45: data.gaslimit, 0x46: data.chainid, 0x47: data.selfbalance, 0x48: data.basefee,
    0x49: data.blobhash, 0x4A: data.blobbasefee, 0x50: data.pop, 0x51: data.mload, 0x52: data.mstore,
    0x53: data.mstore8, 0x54: data.sload, 0x55: write.sstore, 0x58: data.pc, 0x59: data.msize,
    0x5A: data.gas, 0x5B: data.jumpdest, 0x5C: data.tload, 0x5D: write.tstore, 0x5E: data.mcopy,
    0xF0: calls.create_, 0xF1: calls.call_, 0xF2: calls.callcode, 0xF3: data.return_,
    0xF4: calls.delegatecall, 0xF5: calls.create2, 0xFA: calls.staticcall, 0xFD: data.revert,
    0xFF: write.selfdestruct,
}  # fmt: skip
_JUMPS = (0x56, 0x57)
"""Done in the loop itself."""


def _make_push(size: int) -> Operation:
    def push(f: Frame) -> None:
        code = f.msg.code[f.pc + 1 : f.pc + 1 + size]
        data.push(f, int.from_bytes(code.ljust(size, b"\0"), "big"))

    return push


def _make_dup(depth: int) -> Operation:
    def dup(f: Frame) -> None:
        data.push(f, f.stack[-depth])

    return dup


def _make_swap(depth: int) -> Operation:
    def swap(f: Frame) -> None:
        s = f.stack
        s[-1], s[-1 - depth] = s[-1 - depth], s[-1]

    return swap


def _make_invalid(op: int) -> Operation:
    def invalid(f: Frame) -> None:  # noqa: ARG001
        raise InvalidInstruction(f"invalid opcode: {_name_unknown(op)}")

    return invalid


def _name_unknown(op: int) -> str:
    return "INVALID" if op == 0xFE else f"opcode {op:#04x} not defined"


def _operation(op: int) -> Operation:
    if op in _SIMPLE:
        return _SIMPLE[op]
    if 0x5F <= op <= 0x7F:
        return _make_push(op - 0x5F)
    if 0x80 <= op <= 0x8F:
        return _make_dup(op - 0x7F)
    if 0x90 <= op <= 0x9F:
        return _make_swap(op - 0x8F)
    if 0xA0 <= op <= 0xA4:
        return write.make_log(op - 0xA0)
    return _make_invalid(op)


_RENAMED = {0x20: "KECCAK256", 0x44: "DIFFICULTY"}
"""Where tracers' names differ from py-evm's."""


def _cost(entry: Any) -> int:
    """Constant gas of py-evm's operation, behind the wrapper that some have."""
    return int(getattr(entry, "__wrapped__", entry).gas_cost)


def _name(op: int, entry: Any) -> str:
    if entry is None:
        return _name_unknown(op)
    return _RENAMED.get(op) or str(getattr(entry, "__wrapped__", entry).mnemonic)


def _build(
    name: str, table: Mapping[int, OpcodeAPI], precompiles: Mapping[Any, Callable[[Any], Any]], prague: bool
) -> Rules:
    known = [table.get(op) for op in range(256)]
    functions = [
        _operation(op) if known[op] is not None and op not in _JUMPS else _make_invalid(op)
        for op in range(256)
    ]
    return Rules(
        name=name,
        costs=tuple(0 if entry is None else _cost(entry) for entry in known),
        functions=tuple(functions),
        names=tuple(_name(op, entry) for op, entry in enumerate(known)),
        precompiles=make_precompiles(precompiles),
        delegations=prague,
        data_floor=prague,
    )


PRAGUE = _build("Prague", PragueComputation.opcodes, PragueComputation.get_precompiles(), True)
"""This chain's rules."""
CANCUN = _build("Cancun", CancunComputation.opcodes, CancunComputation.get_precompiles(), False)
"""The rules before; Ethereum's state tests ask for them too."""
