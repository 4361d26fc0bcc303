"""secp256k1 by libsecp256k1: keys, ECDSA (strict DER, low-S), BIP-340, recovery, and batches of checks.

The batch calls the library's C functions themselves: a key object per signature would cost as much as a
third of the verification. cffi releases the interpreter lock in each call, so threads really run beside
each other.
"""

from collections.abc import Sequence
from typing import NamedTuple

from coincurve import PrivateKey, PublicKey, PublicKeyXOnly
from coincurve._libsecp256k1 import ffi, lib

from ioex_chain.crypto.hashes import tagged_hash
from ioex_chain.primitives.errors import IoexError

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF_ORDER = ORDER // 2

_context = lib.secp256k1_context_create(lib.SECP256K1_CONTEXT_NONE)


class InvalidKey(IoexError, ValueError):
    """Not a private key (1 to order - 1) or not a point of the curve."""


def public_key(private: bytes) -> bytes:
    """Give the 33-byte compressed public key of a 32-byte private key. Raises InvalidKey."""
    try:
        # The library pads a shorter key with zeros; here it is refused like a longer one.
        return PrivateKey(private if len(private) == 32 else bytes(32)).public_key.format(compressed=True)
    except ValueError as error:
        raise InvalidKey("a private key is 32 bytes between 1 and the group order less 1") from error


def public_key_uncompressed(private: bytes) -> bytes:
    """Give the 65-byte uncompressed public key of a 32-byte private key. Raises InvalidKey."""
    return PublicKey(public_key(private)).format(compressed=False)


def x_only(public: bytes) -> bytes:
    """Give the 32-byte x coordinate (BIP-340) of a compressed public key."""
    return public[1:]


def is_public_key(public: bytes) -> bool:
    """Whether these are 33 compressed bytes of a point on the curve."""
    if len(public) != 33 or public[0] not in (2, 3):
        return False
    return bool(lib.secp256k1_ec_pubkey_parse(_context, ffi.new("secp256k1_pubkey *"), public, 33))


def is_x_only(public: bytes) -> bool:
    """Whether these 32 bytes are the x coordinate of a point on the curve."""
    if len(public) != 32:
        return False
    return bool(lib.secp256k1_xonly_pubkey_parse(_context, ffi.new("secp256k1_xonly_pubkey *"), public))


def sign(private: bytes, digest: bytes) -> bytes:
    """ECDSA by RFC 6979 over a 32-byte digest: strict DER, low S."""
    return PrivateKey(private).sign(digest, hasher=None)


def sign_recoverable(private: bytes, digest: bytes) -> bytes:
    """ECDSA over a 32-byte digest: 65 bytes r || s || v with v 0 or 1, low S."""
    return PrivateKey(private).sign_recoverable(digest, hasher=None)


def recover(signature: bytes, digest: bytes) -> bytes:
    """Give the compressed key that made a 65-byte recoverable signature. Raises InvalidKey."""
    try:
        found = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception as error:
        raise InvalidKey("no key can have made this signature") from error
    return bytes(found.format(compressed=True))


def recover_uncompressed(signature: bytes, digest: bytes) -> bytes:
    """Give the 65-byte uncompressed key that made a 65-byte recoverable signature. Raises InvalidKey."""
    try:
        found = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception as error:
        raise InvalidKey("no key can have made this signature") from error
    return bytes(found.format(compressed=False))


def sign_schnorr(private: bytes, digest: bytes, aux: bytes = bytes(32)) -> bytes:
    """BIP-340 over a 32-byte digest: 64 bytes."""
    return PrivateKey(private).sign_schnorr(digest, aux)


def taproot_output_key(internal: bytes, merkle: bytes = b"") -> bytes:
    """BIP-341: the x-only key tweaked by its own tagged hash (and a script tree's root, if any)."""
    if not is_x_only(internal):
        raise InvalidKey("an internal key is the 32-byte x coordinate of a point on the curve")
    key = PublicKeyXOnly(internal)
    key.tweak_add(tagged_hash("TapTweak", internal + merkle))
    return bytes(key.format())


def taproot_private_key(private: bytes, merkle: bytes = b"") -> bytes:
    """BIP-341: the private key that signs for `taproot_output_key` of this key."""
    public = public_key(private)
    number = int.from_bytes(private, "big")
    if public[0] == 3:
        number = ORDER - number
    tweak = int.from_bytes(tagged_hash("TapTweak", public[1:] + merkle), "big")
    return ((number + tweak) % ORDER).to_bytes(32, "big")


def is_strict_der(signature: bytes) -> bool:
    """BIP-66 without the hash type byte: 0x30 len 0x02 len(r) r 0x02 len(s) s, both positive and minimal."""
    size = len(signature)
    if size < 8 or size > 72 or signature[0] != 0x30 or signature[1] != size - 2 or signature[2] != 2:
        return False
    r_size = signature[3]
    if r_size == 0 or 5 + r_size >= size or signature[4 + r_size] != 2:
        return False
    s_size = signature[5 + r_size]
    if s_size == 0 or r_size + s_size + 6 != size:
        return False
    for start, length in ((4, r_size), (6 + r_size, s_size)):
        if signature[start] & 0x80 or (
            length > 1 and not signature[start] and not signature[start + 1] & 0x80
        ):
            return False
    return True


def is_low_s(signature: bytes) -> bool:
    """Whether the s of a strict-DER signature is at most half the group order (BIP-146)."""
    s_start = 6 + signature[3]
    return int.from_bytes(signature[s_start:], "big") <= HALF_ORDER


class SignatureCheck(NamedTuple):
    """One signature to verify: ECDSA when `public` has 33 bytes, BIP-340 when it has 32."""

    public: bytes
    digest: bytes
    signature: bytes


def verify(public: bytes, digest: bytes, signature: bytes) -> bool:
    """Verify strict-DER low-S ECDSA with a compressed key, or BIP-340 with an x-only key."""
    return verify_batch((SignatureCheck(public, digest, signature),)) is None


def verify_batch(checks: Sequence[SignatureCheck]) -> int | None:
    """Verify all; give the position of the first that fails, or None.

    A signature with a high S fails: libsecp256k1 accepts the low form only.
    """
    point, parsed = ffi.new("secp256k1_pubkey *"), ffi.new("secp256k1_ecdsa_signature *")
    x_point = ffi.new("secp256k1_xonly_pubkey *")
    parse_key, parse_der, ecdsa = (
        lib.secp256k1_ec_pubkey_parse,
        lib.secp256k1_ecdsa_signature_parse_der,
        lib.secp256k1_ecdsa_verify,
    )
    context = _context
    for position, (public, digest, signature) in enumerate(checks):
        if len(public) == 33:
            if not (
                parse_key(context, point, public, 33)
                and parse_der(context, parsed, signature, len(signature))
                and ecdsa(context, parsed, digest, point)
            ):
                return position
        elif (
            len(public) != 32
            or len(signature) != 64
            or not (
                lib.secp256k1_xonly_pubkey_parse(context, x_point, public)
                and lib.secp256k1_schnorrsig_verify(context, signature, digest, 32, x_point)
            )
        ):
            return position
    return None
