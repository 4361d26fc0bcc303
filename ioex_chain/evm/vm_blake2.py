"""BLAKE2F (EIP-152): the compression function with a number of rounds that the caller chooses."""

from importlib import import_module
from struct import Struct
from typing import Any

from eth._utils.blake2.compression import Blake2b

from ioex_chain.evm.vm_errors import PrecompileFailure
from ioex_chain.evm.vm_frame import Frame

_INPUT = Struct("<8Q16Q2Q")
_OUTPUT = Struct("<8Q")
_M = (1 << 64) - 1
_PER_LOOK = 1_000
"""Rounds between two looks at the deadline."""
_COMPILED_AT_ONCE = 3_000_000
"""Rounds that the compiled library does in a tenth of a second; more of them must be interruptible."""
_LANES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
          (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))  # fmt: skip


def _find_compiled() -> Any:
    """Give the optional compiled library's function; None where it is not installed."""
    try:
        return import_module("blake2b").compress
    except ImportError:
        return None


_compiled = _find_compiled()


def blake2f(frame: Frame) -> None:
    """BLAKE2F: one gas a round; 213 bytes, the last 0 or 1."""
    data = frame.msg.data
    if len(data) != 213 or data[212] > 1:
        raise PrecompileFailure("blake2f: wrong length or final flag")
    rounds = int.from_bytes(data[:4], "big")
    frame.consume_gas(rounds, "BLAKE2F")
    words = _INPUT.unpack(data[4:212])
    state, block, offset = words[:8], words[8:24], words[24:]
    if _compiled is not None and (rounds <= _COMPILED_AT_ONCE or frame.world.check_deadline is None):
        frame.output = bytes(_compiled(rounds, list(state), list(block), list(offset), bool(data[212])))
    else:
        frame.output = _compress(frame, rounds, state, block, offset, bool(data[212]))


def _compress(
    frame: Frame,
    rounds: int,
    state: tuple[int, ...],
    block: tuple[int, ...],
    offset: tuple[int, ...],
    final: bool,
) -> bytes:
    """RFC 7693, section 3.2."""
    v = [*state, *Blake2b.IV]
    v[12] ^= offset[0]
    v[13] ^= offset[1]
    if final:
        v[14] ^= _M
    check = frame.world.check_deadline
    orders = [[block[index] for index in row] for row in Blake2b.sigma_schedule]
    for number in range(rounds):
        if check is not None and not number % _PER_LOOK:
            check()
        _round(v, orders[number % 10])
    return _OUTPUT.pack(*(state[i] ^ v[i] ^ v[i + 8] for i in range(8)))


def _round(v: list[int], m: list[int]) -> None:
    """Mix columns and diagonals; `m` is the block in this round's order."""
    at = 0
    for a, b, c, d in _LANES:
        va, vb = v[a], v[b]
        va = (va + vb + m[at]) & _M
        x = v[d] ^ va
        vd = x >> 32 | x << 32 & _M
        vc = (v[c] + vd) & _M
        x = vb ^ vc
        vb = x >> 24 | x << 40 & _M
        v[a] = va = (va + vb + m[at + 1]) & _M
        x = vd ^ va
        v[d] = vd = x >> 16 | x << 48 & _M
        v[c] = vc = (vc + vd) & _M
        x = vb ^ vc
        v[b] = x >> 63 | x << 1 & _M
        at += 2
