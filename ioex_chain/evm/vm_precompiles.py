"""Precompiled contracts: py-evm's, with the faults of its own put right and long work made interruptible."""

from collections.abc import Callable, Mapping
from typing import Any

from ioex_chain.evm.vm_frame import Frame

Precompile = Callable[[Any], object]

_CHUNK_BITS = 256
"""Bits of an exponent between two looks at the deadline."""


def _number(data: bytes, start: int, size: int) -> int:
    part = data[start : start + size] if start < len(data) else b""
    return int.from_bytes(part, "big") << 8 * (size - len(part)) if part else 0


def _modexp_gas(base: int, exponent: int, modulus: int, head: int) -> int:
    """EIP-2565's price from the three lengths and the exponent's first 32 bytes."""
    words = (max(base, modulus) + 7) // 8
    bits = max(head.bit_length() - 1, 0)
    iterations = bits if exponent <= 32 else 8 * (exponent - 32) + bits
    return max(200, words * words * max(iterations, 1) // 3)


def modexp(frame: Frame) -> None:
    """MODEXP (EIP-198, EIP-2565); an empty base is 0, so 0^0 mod m is 1 mod m."""
    data = frame.msg.data
    base_size, exponent_size, modulus_size = (_number(data, at, 32) for at in (0, 32, 64))
    head = _number(data, 96 + base_size, min(exponent_size, 32))
    frame.consume_gas(_modexp_gas(base_size, exponent_size, modulus_size, head), "MODEXP")
    if modulus_size == 0:
        frame.output = b""
        return
    base = _number(data, 96, base_size)
    exponent = _number(data, 96 + base_size, exponent_size)
    modulus = _number(data, 96 + base_size + exponent_size, modulus_size)
    result = _power(base, exponent, modulus, frame.world.check_deadline) if modulus else 0
    frame.output = result.to_bytes(modulus_size, "big")


def _power(base: int, exponent: int, modulus: int, check: Callable[[], None] | None) -> int:
    if check is None or exponent.bit_length() <= _CHUNK_BITS:
        return pow(base, exponent, modulus)
    result = 1
    chunks = -(-exponent.bit_length() // _CHUNK_BITS)
    for chunk in reversed(range(chunks)):
        check()
        part = exponent >> (chunk * _CHUNK_BITS) & ((1 << _CHUNK_BITS) - 1)
        result = pow(result, 1 << _CHUNK_BITS, modulus) * pow(base, part, modulus) % modulus
    return result


_OWN: dict[int, Precompile] = {0x05: modexp}


def make_precompiles(table: Mapping[bytes, Precompile]) -> dict[bytes, Precompile]:
    """Take py-evm's precompiles by address, with those of this module in their places."""
    return {bytes(address): _OWN.get(address[-1], entry) for address, entry in table.items()}
