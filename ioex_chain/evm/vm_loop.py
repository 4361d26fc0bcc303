"""The machine's loop: fetch, pay, do. The commonest operations stand here, the others in functions."""

import re
from array import array
from functools import lru_cache

from eth.exceptions import (
    FullStack,
    Halt,
    InsufficientStack,
    InvalidJumpDestination,
    OutOfGas,
)

from ioex_chain.evm.vm_frame import Frame
from ioex_chain.evm.vm_world import Watcher

_PUSH0, _PUSH32 = 0x5F, 0x7F
_DUP1, _SWAP1, _SWAP16 = 0x80, 0x90, 0x9F
_JUMP, _JUMPI, _PC, _JUMPDEST = 0x56, 0x57, 0x58, 0x5B
_JUMPS = (_JUMP, _JUMPI)
_STACK_LIMIT = 1024
_DEADLINE_EVERY = 512
"""Jumps between two looks at the deadline: code without jumps ends soon."""
_PADDING = bytes(33)
"""Running off the end of code is STOP, and a PUSH at the end reads zeros."""


_PUSHES = b"|".join(b"(?:%s.{%d})++" % (re.escape(bytes((_PUSH0 + size,))), size) for size in range(1, 33))
_INSTRUCTIONS = re.compile(b"(?:[^\x60-\x7f]++|" + _PUSHES + b")*+", re.DOTALL)
"""As many whole instructions as there are: a PUSH goes with its data."""
_STRIDE = 256


class Program:
    """Code prepared to run: padded, with what is known of the places that may be jumped to.

    They are looked for when they are jumped to: code that is called without a jump costs nothing, and what is
    kept has the size of the code whatever stands in it.
    """

    __slots__ = ("_marks", "_size", "code", "found")

    def __init__(self, code: bytes) -> None:
        self.code = code + _PADDING
        self.found = bytearray(len(code))
        """1 where a jump was found to be allowed."""
        self._size = len(code)
        self._marks = array("I", (0,))  # mark i: where the instruction at or around byte i * _STRIDE begins

    def leads(self, target: int) -> bool:
        """Whether a JUMPDEST that is not data of a PUSH stands at `target`."""
        if target >= self._size:
            return False
        if self.found[target]:
            return True
        if self.code[target] != _JUMPDEST or self._boundary(target) != target:
            return False
        self.found[target] = 1
        return True

    def _boundary(self, target: int) -> int:
        """Give where the instruction at or around `target` begins."""
        marks = self._marks
        while len(marks) <= target // _STRIDE:
            marks.append(_end_of_instructions(self.code, marks[-1], len(marks) * _STRIDE))
        return _end_of_instructions(self.code, marks[target // _STRIDE], target)


def _end_of_instructions(code: bytes, start: int, end: int) -> int:
    found = _INSTRUCTIONS.match(code, start, end)
    return start if found is None else found.end()  # it matches always: nothing is a match too


_KEPT_SIZE = 24_576
"""Bytes of code that is kept prepared: as much as a contract has; what is longer is run once."""
_prepare = lru_cache(maxsize=512)(Program)


def prepare(code: bytes) -> Program:
    """Give the program of some code; the latest ones are kept (a code object's hash is taken once)."""
    return _prepare(code) if len(code) <= _KEPT_SIZE else Program(code)


def run(f: Frame) -> None:
    """Run a frame's code to its end. Raises VMError when it fails; output and gas are in the frame."""
    watcher = f.world.watcher
    try:
        if watcher is not None and watcher.steps:
            _run_watched(f, watcher)
        else:
            _run(f)
    except Halt:
        return
    except IndexError:
        raise InsufficientStack("stack underflow") from None


def _run(f: Frame) -> None:
    # One flat function: calls and attribute look-ups are what an interpreter in Python spends its time on.
    rules = f.world.rules
    costs, functions, check = rules.costs, rules.functions, f.world.check_deadline
    program = prepare(f.msg.code)
    code, found, leads = program.code, program.found, program.leads
    size = len(found)
    stack = f.stack
    append, pop = stack.append, stack.pop
    gas, pc, jumps = f.gas, 0, 0
    while True:
        op = code[pc]
        if _PUSH0 <= op <= _SWAP16:
            gas -= 3
            if op >= _SWAP1:
                at = -2 - (op & 15)
                stack[-1], stack[at] = stack[at], stack[-1]
                pc += 1
            else:
                if op >= _DUP1:
                    append(stack[-1 - (op & 15)])
                    pc += 1
                elif op == _PUSH0:
                    gas += 1
                    append(0)
                    pc += 1
                else:
                    pc += 1
                    end = pc + op - _PUSH0
                    append(int.from_bytes(code[pc:end], "big"))
                    pc = end
                if len(stack) > _STACK_LIMIT:
                    raise FullStack("stack limit reached 1024 (1023)")
            if gas < 0:
                raise OutOfGas
            continue
        gas -= costs[op]
        if gas < 0:
            raise OutOfGas
        if op in _JUMPS:
            target = pop()
            if op == _JUMPI and not pop():
                pc += 1
                continue
            if target >= size or not (found[target] or leads(target)):
                raise InvalidJumpDestination("invalid jump destination")
            pc = target
            jumps += 1
            if check is not None and not jumps % _DEADLINE_EVERY:
                check()
            continue
        f.gas = gas
        f.pc = pc
        functions[op](f)
        gas = f.gas
        pc += 1


def _run_watched(f: Frame, watcher: Watcher) -> None:
    """Do the same, slower: the watcher hears of each operation first, the frame is always up to date."""
    rules, check = f.world.rules, f.world.check_deadline
    program = prepare(f.msg.code)
    steps = 0
    while True:
        op = program.code[f.pc]
        steps += 1
        if check is not None and not steps % _DEADLINE_EVERY:
            check()
        watcher.step(f, f.pc, op)
        if rules.costs[op] > f.gas:
            raise OutOfGas
        f.gas -= rules.costs[op]
        if op in _JUMPS:
            _jump(f, op, program)
        else:
            rules.functions[op](f)
            f.pc += 1 + (op - _PUSH0 if _PUSH0 < op <= _PUSH32 else 0)


def _jump(f: Frame, op: int, program: Program) -> None:
    target = f.stack.pop()
    if op == _JUMPI and not f.stack.pop():
        f.pc += 1
    elif program.leads(target):
        f.pc = target
    else:
        raise InvalidJumpDestination("invalid jump destination")
