"""Arithmetic, comparison and bit operations on the integer stack. Underflow shows as IndexError."""

from eth.exceptions import OutOfGas

from ioex_chain.evm.vm_frame import Frame

U256 = (1 << 256) - 1
"""Largest word."""
_SIGN = 1 << 255
_MODULUS = 1 << 256
_GAS_EXP_BYTE = 50


def signed(word: int) -> int:
    """Read a word as two's complement."""
    return word - _MODULUS if word & _SIGN else word


def add(f: Frame) -> None:
    """ADD."""
    s = f.stack
    a = s.pop()
    s[-1] = (a + s[-1]) & U256


def mul(f: Frame) -> None:
    """MUL."""
    s = f.stack
    a = s.pop()
    s[-1] = (a * s[-1]) & U256


def sub(f: Frame) -> None:
    """SUB."""
    s = f.stack
    a = s.pop()
    s[-1] = (a - s[-1]) & U256


def div(f: Frame) -> None:
    """DIV."""
    s = f.stack
    a = s.pop()
    b = s[-1]
    s[-1] = a // b if b else 0


def sdiv(f: Frame) -> None:
    """SDIV: rounds towards zero."""
    s = f.stack
    a = signed(s.pop())
    b = signed(s[-1])
    if b == 0:
        s[-1] = 0
    else:
        quotient = abs(a) // abs(b)
        s[-1] = (quotient if (a < 0) == (b < 0) else -quotient) & U256


def mod(f: Frame) -> None:
    """MOD."""
    s = f.stack
    a = s.pop()
    b = s[-1]
    s[-1] = a % b if b else 0


def smod(f: Frame) -> None:
    """SMOD: the result has the dividend's sign."""
    s = f.stack
    a = signed(s.pop())
    b = abs(signed(s[-1]))
    if b == 0:
        s[-1] = 0
    else:
        s[-1] = (-(-a % b) if a < 0 else a % b) & U256


def addmod(f: Frame) -> None:
    """ADDMOD: the sum is not cut to a word."""
    s = f.stack
    a = s.pop()
    b = s.pop()
    m = s[-1]
    s[-1] = (a + b) % m if m else 0


def mulmod(f: Frame) -> None:
    """MULMOD: the product is not cut to a word."""
    s = f.stack
    a = s.pop()
    b = s.pop()
    m = s[-1]
    s[-1] = (a * b) % m if m else 0


def exp(f: Frame) -> None:
    """EXP: 50 gas per byte of the exponent (EIP-160)."""
    s = f.stack
    base = s.pop()
    exponent = s[-1]
    cost = _GAS_EXP_BYTE * ((exponent.bit_length() + 7) >> 3)
    if cost > f.gas:
        raise OutOfGas("EXP")
    f.gas -= cost
    s[-1] = pow(base, exponent, _MODULUS)


def signextend(f: Frame) -> None:
    """SIGNEXTEND."""
    s = f.stack
    size = s.pop()
    if size < 31:
        value = s[-1]
        bit = 8 * size + 7
        if value >> bit & 1:
            s[-1] = value | (U256 - (1 << bit) + 1)
        else:
            s[-1] = value & ((1 << bit) - 1)
    else:
        s[-1] = s[-1]


def lt(f: Frame) -> None:
    """LT."""
    s = f.stack
    a = s.pop()
    s[-1] = 1 if a < s[-1] else 0


def gt(f: Frame) -> None:
    """GT."""
    s = f.stack
    a = s.pop()
    s[-1] = 1 if a > s[-1] else 0


def slt(f: Frame) -> None:
    """SLT: flipping the sign bit orders two's complement."""
    s = f.stack
    a = s.pop()
    s[-1] = 1 if a ^ _SIGN < s[-1] ^ _SIGN else 0


def sgt(f: Frame) -> None:
    """SGT."""
    s = f.stack
    a = s.pop()
    s[-1] = 1 if a ^ _SIGN > s[-1] ^ _SIGN else 0


def eq(f: Frame) -> None:
    """EQ."""
    s = f.stack
    a = s.pop()
    s[-1] = 1 if a == s[-1] else 0


def iszero(f: Frame) -> None:
    """ISZERO."""
    s = f.stack
    s[-1] = 0 if s[-1] else 1


def and_(f: Frame) -> None:
    """AND."""
    s = f.stack
    a = s.pop()
    s[-1] &= a


def or_(f: Frame) -> None:
    """OR."""
    s = f.stack
    a = s.pop()
    s[-1] |= a


def xor(f: Frame) -> None:
    """XOR."""
    s = f.stack
    a = s.pop()
    s[-1] ^= a


def not_(f: Frame) -> None:
    """NOT."""
    s = f.stack
    s[-1] ^= U256


def byte(f: Frame) -> None:
    """BYTE: counted from the most significant."""
    s = f.stack
    position = s.pop()
    s[-1] = s[-1] >> (8 * (31 - position)) & 0xFF if position < 32 else s[-1] & 0


def shl(f: Frame) -> None:
    """SHL (EIP-145)."""
    s = f.stack
    shift = s.pop()
    s[-1] = s[-1] << shift & U256 if shift < 256 else s[-1] & 0


def shr(f: Frame) -> None:
    """SHR (EIP-145)."""
    s = f.stack
    shift = s.pop()
    s[-1] = s[-1] >> shift if shift < 256 else s[-1] & 0


def sar(f: Frame) -> None:
    """SAR (EIP-145)."""
    s = f.stack
    shift = s.pop()
    s[-1] = signed(s[-1]) >> min(shift, 256) & U256
