"""Contracts that cost the most time for their gas: each loops over one thing until its gas is gone."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from py_ecc import bls12_381, bn128

from benchmarks.dpos_world import private_key
from ioex_chain.crypto.hashes import keccak256

LOOP_AT = 8
"""Where every loop begins: the code before it copies the input to memory."""


def push(value: int, size: int = 0) -> bytes:
    data = value.to_bytes(size or max(1, (value.bit_length() + 7) // 8), "big")
    return bytes((0x5F + len(data),)) + data


def looping(body: bytes, data: bytes = b"") -> bytes:
    """Give code that puts `data` into memory and runs `body` for ever; it leaves the stack as it was."""
    end = b"\x5b" + body + push(LOOP_AT) + b"\x56"
    head = push(len(data), 2) + push(LOOP_AT + len(end), 2) + b"\x5f\x39"
    assert len(head) == LOOP_AT
    return head + end + data


def calling(address: int, data: bytes, output: int = 0) -> bytes:
    """Call a precompiled contract with `data` over and over."""
    body = (
        push(output, 2)
        + push(len(data), 2)
        + push(len(data), 2)
        + b"\x5f"
        + push(address, 2)
        + b"\x5a\xfa\x50"
    )
    return looping(body, data)


def word(*values: int) -> bytes:
    return b"".join(value.to_bytes(32, "big") for value in values)


def wide(*values: int) -> bytes:
    """A field element of BLS12-381 has 64 bytes."""
    return b"".join(value.to_bytes(64, "big") for value in values)


def _ecrecover() -> bytes:
    digest = keccak256(b"worst case")
    signature = private_key(1).sign_recoverable(digest, hasher=None)
    return digest + word(27 + signature[64]) + signature[:64]


def _modexp(base: int, exponent: int, modulus: int) -> bytes:
    return (
        word(base, exponent, modulus)
        + b"\xff" * base
        + b"\xff" * exponent
        + b"\xff" * (modulus - 1)
        + b"\xfd"
    )


def _bn_pairs(count: int) -> bytes:
    x, y = bn128.G1
    (xr, xi), (yr, yi) = (part.coeffs for part in bn128.G2)
    return word(int(x), int(y), int(xi), int(xr), int(yi), int(yr)) * count


def _g1() -> bytes:
    return wide(*(int(part) for part in bls12_381.G1))


def _g2() -> bytes:
    return wide(*(int(number) for part in bls12_381.G2 for number in part.coeffs))


def _point_evaluation() -> bytes:
    commitment = b"\xc0" + bytes(47)
    versioned = b"\x01" + sha256(commitment).digest()[1:]
    return versioned + word(1, 0) + commitment + b"\xc0" + bytes(47)


_BIG = "7f" + "ff" * 31 + "fb"  # PUSH32
_OTHER = "7f" + "ab" * 32


def _operations() -> Iterator[tuple[str, bytes]]:
    code = bytes.fromhex
    yield "ADD", looping(code("5f5f01505f5f0150" * 8))
    yield "MULMOD", looping(code(f"{_BIG}{_OTHER}{_BIG}0950"))
    yield "ADDMOD", looping(code(f"{_BIG}{_OTHER}{_BIG}0850"))
    yield "SDIV", looping(code(f"{_OTHER}{_BIG}0550"))
    yield "EXP, 32-byte exponent", looping(code(f"{_BIG}{_OTHER}0a50"))
    yield "EXP, 1-byte exponent", looping(code(f"60ff{_OTHER}0a50"))
    yield "KECCAK256 of 32 bytes", looping(code("60205f2050"))
    yield "KECCAK256 of 8 KiB", looping(code("6120005f2050"))
    yield "JUMP only", looping(b"")
    yield "MLOAD and MSTORE", looping(code("5f515f52"))
    yield "MCOPY of 32 KiB", looping(code("6180005f5f5e"))
    yield "CALLDATACOPY of 32 KiB", looping(code("6180005f5f37"))
    yield "TSTORE, new slots", looping(code("5f5a5d"))
    yield "SLOAD, cold slots", looping(code("5a5450"))
    yield "SLOAD, one warm slot", looping(code("5f5450"))
    yield "SSTORE, new slots", looping(code("60015a55"))
    yield "SSTORE, back and forth", looping(code("5a5f55"))
    yield "BALANCE, cold accounts", looping(code("5a3150"))
    yield "EXTCODESIZE, cold accounts", looping(code("5a3b50"))
    yield "LOG4 without data", looping(code("5f5f5f5f5f5fa4"))
    yield "LOG0 of 8 KiB", looping(code("6120005fa0"))
    yield "CREATE of nothing", looping(code("5f5f5ff050"))
    yield "CREATE2 of nothing", looping(code("5a5f5f5ff550"))
    yield "CREATE2 of 48 KiB that differ", looping(code("5a5f525f61c0005f5ff550"))
    yield "CALL to itself, as deep as it goes", looping(code("5f5f5f5f5f305af150"))
    yield "DELEGATECALL to itself, as deep as it goes", looping(code("5f5f5f5f305af450"))
    yield "CALL with value to new accounts", looping(code("5f5f5f5f60015a5af150"))
    # the init code is ADDRESS SELFDESTRUCT
    yield "CREATE2 and SELFDESTRUCT", looping(code("6130ff5f525a6002601e5ff550"))


def _precompiles() -> Iterator[tuple[str, bytes]]:
    scalar = b"\xff" * 32
    yield "ecrecover", calling(1, _ecrecover(), 32)
    yield "sha256 of 32 bytes", calling(2, bytes(32), 32)
    yield "ripemd160 of 32 bytes", calling(3, bytes(32), 32)
    yield "identity of 32 KiB", looping(bytes.fromhex("5f5f6180005f6100045afa50"))
    yield "modexp, 32-byte numbers", calling(5, _modexp(32, 32, 32), 32)
    yield "modexp, 256-byte numbers", calling(5, _modexp(256, 256, 256), 32)
    yield "modexp, 1-byte base, 1 KiB modulus", calling(5, _modexp(1, 1, 1024), 32)
    yield "bn256 add", calling(6, word(1, 2, 1, 2), 64)
    yield "bn256 mul", calling(7, word(1, 2) + scalar, 64)
    yield "bn256 pairing, 1 pair", calling(8, _bn_pairs(1), 32)
    yield "bn256 pairing, 8 pairs", calling(8, _bn_pairs(8), 32)
    yield "blake2f, 100 rounds", calling(9, (100).to_bytes(4, "big") + bytes(208) + b"\x01", 64)
    yield "blake2f, 20,000 rounds", calling(9, (20_000).to_bytes(4, "big") + bytes(208) + b"\x01", 64)
    yield "point evaluation", calling(10, _point_evaluation(), 64)
    yield "BLS12-381 G1 add", calling(11, _g1() + _g1(), 128)
    yield "BLS12-381 G1 msm of 1", calling(12, _g1() + scalar, 128)
    yield "BLS12-381 G1 msm of 16", calling(12, (_g1() + scalar) * 16, 128)
    yield "BLS12-381 G2 add", calling(13, _g2() + _g2(), 256)
    yield "BLS12-381 G2 msm of 1", calling(14, _g2() + scalar, 256)
    yield "BLS12-381 G2 msm of 16", calling(14, (_g2() + scalar) * 16, 256)
    yield "BLS12-381 pairing, 1 pair", calling(15, _g1() + _g2(), 32)
    yield "BLS12-381 pairing, 4 pairs", calling(15, (_g1() + _g2()) * 4, 32)
    yield "BLS12-381 map to G1", calling(16, wide(12345), 128)
    yield "BLS12-381 map to G2", calling(17, wide(12345, 54321), 256)


@dataclass(frozen=True)
class Case:
    """A contract, and the precompiled one that it calls, if any."""

    name: str
    code: bytes
    precompile: bytes = b""


def cases() -> list[Case]:
    contracts = [Case(name, code) for name, code in _operations()]
    for name, code in _precompiles():
        at = code.index(b"\x5a\xfa") - 2  # what stands before GAS STATICCALL is the address
        contracts.append(Case(name, code, int.from_bytes(code[at : at + 2], "big").to_bytes(20, "big")))
    return contracts
