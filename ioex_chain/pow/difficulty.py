"""Work and targets: Bitcoin's compact form, and the ASERT rule (aserti3-2d integers)."""

from functools import lru_cache

from ioex_chain.pow.errors import BadCompact
from ioex_chain.spec.model import PowSpec


@lru_cache(maxsize=4096)
def target_of(bits: int) -> int:
    """Read Bitcoin's compact form. Raises BadCompact when it is negative, zero or above 256 bits."""
    exponent, mantissa = bits >> 24, bits & 0x007FFFFF
    target = mantissa >> 8 * (3 - exponent) if exponent <= 3 else mantissa << 8 * (exponent - 3)
    if bits & 0x00800000 or target == 0 or target >> 256:
        raise BadCompact(f"bits {bits:08x} are no target")
    return target


def bits_of(target: int) -> int:
    """Write a target in compact form, truncated to its 23 leading bits as Bitcoin does."""
    size = (target.bit_length() + 7) // 8
    mantissa = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if mantissa & 0x00800000:
        mantissa >>= 8
        size += 1
    return size << 24 | mantissa


@lru_cache(maxsize=4096)
def work_of(bits: int) -> int:
    """Give the expected number of hashes behind a block: 2**256 / (target + 1)."""
    return (1 << 256) // (target_of(bits) + 1)


def difficulty_of(bits: int) -> float:
    """Give the difficulty that people read: how much harder than Bitcoin's easiest target."""
    return (0xFFFF << 208) / target_of(bits)


def _asert(target: int, limit: int, spacing: int, half_life: int, time_diff: int, height_diff: int) -> int:
    # Python's >> and // round towards minus infinity; the reference divides in C, which truncates.
    numerator = (time_diff - spacing * (height_diff + 1)) * 65536
    exponent = -(-numerator // half_life) if numerator < 0 else numerator // half_life
    shifts = exponent >> 16
    fraction = exponent & 0xFFFF
    factor = (
        (195766423245049 * fraction + 971821376 * fraction**2 + 5127 * fraction**3 + (1 << 47)) >> 48
    ) + 65536
    shifts -= 16
    scaled = target * factor
    scaled = scaled >> -shifts if shifts < 0 else scaled << shifts
    if scaled == 0:
        return bits_of(1)
    return bits_of(min(scaled, limit))


def next_bits(spec: PowSpec, parent_height: int, parent_time: int) -> int:
    """Give the compact target of the block after a parent (ASERT, aserti3-2d).

    Anchored at genesis, whose parent's time is taken as genesis time less one spacing; clamped to the limit.
    """
    if spec.fixed_difficulty:
        return spec.pow_limit_bits
    return _asert(
        target_of(spec.genesis_bits),
        target_of(spec.pow_limit_bits),
        spec.spacing,
        spec.half_life,
        parent_time - (spec.genesis_time - spec.spacing),
        parent_height,
    )
