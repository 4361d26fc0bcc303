"""Precompiled contracts: py-evm's, with the faults of its own put right and long work made interruptible."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from importlib import import_module
from typing import Any

from eth.precompiles.ecpairing import _process_point
from eth.precompiles.point_evaluation import TRUSTED_SETUP_PATH
from eth.vm.forks.cancun.constants import (
    BLS_MODULUS,
    FIELD_ELEMENTS_PER_BLOB,
    POINT_EVALUATION_PRECOMPILE_GAS,
)
from eth_utils.exceptions import ValidationError

from ioex_chain.evm import vm_bn254
from ioex_chain.evm import vm_precompiles_bls as bls
from ioex_chain.evm.vm_blake2 import blake2f
from ioex_chain.evm.vm_errors import PrecompileFailure
from ioex_chain.evm.vm_frame import Frame

Precompile = Callable[[Any], object]

ckzg: Any = import_module("ckzg")  # without type information
bn128: Any = import_module("py_ecc.optimized_bn128")  # its types do not follow its own aliases

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


@lru_cache(maxsize=1)
def _trusted_setup() -> Any:
    """Ethereum's KZG setup as py-evm ships it; reading it takes a second."""
    return ckzg.load_trusted_setup(TRUSTED_SETUP_PATH, 0)


def point_evaluation(frame: Frame) -> None:
    """POINT_EVALUATION (EIP-4844): that a committed polynomial has value y at z."""
    frame.consume_gas(POINT_EVALUATION_PRECOMPILE_GAS, "POINT_EVALUATION")
    data = frame.msg.data
    versioned_hash, z, y, commitment, proof = data[:32], data[32:64], data[64:96], data[96:144], data[144:]
    if len(data) != 192 or b"\x01" + sha256(commitment).digest()[1:] != versioned_hash:
        raise PrecompileFailure("point evaluation: wrong length or versioned hash")
    try:
        sound = ckzg.verify_kzg_proof(commitment, z, y, proof, _trusted_setup())
    except RuntimeError as error:  # a point or a scalar that is none
        raise PrecompileFailure("point evaluation: malformed input") from error
    if not sound:
        raise PrecompileFailure("point evaluation: wrong proof")
    frame.output = FIELD_ELEMENTS_PER_BLOB.to_bytes(32, "big") + BLS_MODULUS.to_bytes(32, "big")


def ecpairing(frame: Frame) -> None:
    """BN254 pairing check (EIP-197, EIP-1108), pair by pair."""
    data = frame.msg.data
    if len(data) % 192:
        raise PrecompileFailure("pairing: length is no multiple of 192")
    frame.consume_gas(45_000 + 34_000 * (len(data) // 192), "ECPAIRING")
    product = bn128.FQ12.one()
    try:
        for start in range(0, len(data), 192):
            look(frame)
            product = _process_point(data[start : start + 192], product)
    except ValidationError as error:
        raise PrecompileFailure("pairing: not a point of the curve") from error
    frame.output = int(bn128.final_exponentiate(product) == bn128.FQ12.one()).to_bytes(32, "big")


def look(frame: Frame) -> None:
    """Look at the deadline of the execution, if it has one."""
    if frame.world.check_deadline is not None:
        frame.world.check_deadline()


_OWN: dict[int, Precompile] = {
    0x05: modexp,
    0x06: vm_bn254.ecadd,
    0x07: vm_bn254.ecmul,
    0x08: ecpairing,
    0x09: blake2f,
    0x0A: point_evaluation,
    0x0C: bls.g1_msm,
    0x0E: bls.g2_msm,
    0x0F: bls.pairing_check,
}


def make_precompiles(table: Mapping[bytes, Precompile]) -> dict[bytes, Precompile]:
    """Take py-evm's precompiles by address, with those of this module in their places."""
    return {bytes(address): _OWN.get(address[-1], entry) for address, entry in table.items()}
