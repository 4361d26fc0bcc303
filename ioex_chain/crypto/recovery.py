"""Addresses from recoverable signatures, many at once, by libsecp256k1's own functions.

cffi releases the interpreter lock in each call, so that two threads recover nearly twice as many.
"""

from collections.abc import Iterable
from typing import NamedTuple

from coincurve._libsecp256k1 import ffi, lib

from ioex_chain.crypto.hashes import keccak256

_context = lib.secp256k1_context_create(lib.SECP256K1_CONTEXT_NONE)


class Recovery(NamedTuple):
    """A 32-byte digest, 64 bytes r || s, and the parity (0 or 1) of the point that the signer drew."""

    digest: bytes
    signature: bytes
    y_parity: int


def recover_addresses(items: Iterable[Recovery]) -> list[bytes | None]:
    """Give each signer's 20-byte address, None where no key can have made the signature."""
    parsed, point = ffi.new("secp256k1_ecdsa_recoverable_signature *"), ffi.new("secp256k1_pubkey *")
    output, size = ffi.new("unsigned char[65]"), ffi.new("size_t *")
    buffer = ffi.buffer(output)
    parse, recover, serialize = (
        lib.secp256k1_ecdsa_recoverable_signature_parse_compact,
        lib.secp256k1_ecdsa_recover,
        lib.secp256k1_ec_pubkey_serialize,
    )
    form, context = lib.SECP256K1_EC_UNCOMPRESSED, _context
    found: list[bytes | None] = []
    for digest, signature, y_parity in items:
        if not (parse(context, parsed, signature, y_parity) and recover(context, point, parsed, digest)):
            found.append(None)
            continue
        size[0] = 65
        serialize(context, output, size, point, form)
        found.append(keccak256(buffer[1:65])[12:])
    return found


def recover_address(digest: bytes, signature: bytes, y_parity: int) -> bytes | None:
    """Give the signer's 20-byte address, None when no key can have made the signature."""
    return recover_addresses((Recovery(digest, signature, y_parity),))[0]
