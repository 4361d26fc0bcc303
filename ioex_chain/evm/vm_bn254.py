"""ECADD and ECMUL (EIP-196, EIP-1108) on plain integers: y^2 = x^3 + 3 over BN254's field."""

from ioex_chain.evm.vm_errors import PrecompileFailure
from ioex_chain.evm.vm_frame import Frame

P = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""The field's modulus."""
_ADD_GAS, _MUL_GAS = 150, 6_000
Point = tuple[int, int, int]
"""Jacobian coordinates; z = 0 at infinity."""
_INFINITY: Point = (1, 1, 0)


def _read(data: bytes, at: int) -> Point:
    part = data[at : at + 64].ljust(64, b"\0")
    x, y = int.from_bytes(part[:32], "big"), int.from_bytes(part[32:], "big")
    if x >= P or y >= P:
        raise PrecompileFailure("bn254: coordinate is not in the field")
    if x == y == 0:
        return _INFINITY
    if (y * y - x * x * x - 3) % P:
        raise PrecompileFailure("bn254: point is not on the curve")
    return x, y, 1


def _write(point: Point) -> bytes:
    x, y, z = point
    if z == 0:
        return bytes(64)
    inverse = pow(z, -1, P)
    square = inverse * inverse % P
    return (x * square % P).to_bytes(32, "big") + (y * square * inverse % P).to_bytes(32, "big")


def _double(point: Point) -> Point:
    x, y, z = point
    if z == 0 or y == 0:
        return _INFINITY
    yy = y * y % P
    s = 4 * x * yy % P
    m = 3 * x * x % P
    nx = (m * m - 2 * s) % P
    return nx, (m * (s - nx) - 8 * yy * yy) % P, 2 * y * z % P


def _add(first: Point, second: Point) -> Point:
    if first[2] == 0:
        return second
    if second[2] == 0:
        return first
    x1, y1, z1 = first
    x2, y2, z2 = second
    zz1, zz2 = z1 * z1 % P, z2 * z2 % P
    u1, u2 = x1 * zz2 % P, x2 * zz1 % P
    s1, s2 = y1 * zz2 * z2 % P, y2 * zz1 * z1 % P
    if u1 == u2:
        return _double(first) if s1 == s2 else _INFINITY
    h, r = u2 - u1, s2 - s1
    hh = h * h % P
    hhh, v = h * hh % P, u1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - s1 * hhh) % P, z1 * z2 * h % P


def ecadd(frame: Frame) -> None:
    """ECADD."""
    frame.consume_gas(_ADD_GAS, "ECADD")
    data = frame.msg.data
    frame.output = _write(_add(_read(data, 0), _read(data, 64)))


def ecmul(frame: Frame) -> None:
    """ECMUL: doubles and adds from the scalar's top bit."""
    frame.consume_gas(_MUL_GAS, "ECMUL")
    data = frame.msg.data
    point, total = _read(data, 0), _INFINITY
    for bit in f"{int.from_bytes(data[64:96].ljust(32, bytes(1)), 'big'):b}":
        total = _double(total)
        if bit == "1":
            total = _add(total, point)
    frame.output = _write(total)
