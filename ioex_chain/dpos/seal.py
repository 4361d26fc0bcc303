"""Digests of seals and votes, and their signatures (docs/protocol.md section 4).

A signature is 65 bytes r || s || v with v 0 or 1 and s at most half the group order. Its key is named by its
20-byte address, as everywhere on this chain.
"""

from ioex_chain.crypto import secp256k1
from ioex_chain.crypto.address import account_of
from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.votes import Link
from ioex_chain.primitives.errors import IoexError

SIGNATURE_SIZE = 65
SEAL_DOMAIN = keccak256(b"ioeX/seal/v1")
VOTE_DOMAIN = keccak256(b"ioeX/vote/v1")


class BadSignature(IoexError, ValueError):
    """Not 65 bytes, a recovery byte above 1, a high S, or no key can have made it."""


def seal_digest(genesis: bytes, header_hash: bytes) -> bytes:
    """Give what a seal signs: keccak256(domain || 32-byte DPoS genesis hash || header hash)."""
    return keccak256(SEAL_DOMAIN + genesis + header_hash)


def vote_digest(genesis: bytes, link: Link) -> bytes:
    """Give what a vote signs.

    keccak256(domain || genesis hash || set number || source hash || source height || target hash ||
    target height); numbers are uint64 big-endian.
    """
    source, target = link.source, link.target
    return keccak256(
        b"".join(
            (
                VOTE_DOMAIN,
                genesis,
                link.set_number.to_bytes(8, "big"),
                source.hash,
                source.height.to_bytes(8, "big"),
                target.hash,
                target.height.to_bytes(8, "big"),
            )
        )
    )


def sign(private: bytes, digest: bytes) -> bytes:
    """Sign a 32-byte digest (RFC 6979) with a 32-byte key; gives 65 bytes."""
    return secp256k1.sign_recoverable(private, digest)


def signer_of(signature: bytes, digest: bytes) -> bytes:
    """Give the 20-byte address of the key that signed. Raises BadSignature."""
    if len(signature) != SIGNATURE_SIZE:
        raise BadSignature(f"a signature has 65 bytes, not {len(signature)}")
    if signature[64] > 1:
        raise BadSignature(f"a recovery byte is 0 or 1, not {signature[64]}")
    if int.from_bytes(signature[32:64], "big") > secp256k1.HALF_ORDER:
        raise BadSignature("the S of a signature is at most half the group order")
    try:
        return account_of(secp256k1.recover_uncompressed(signature, digest))
    except secp256k1.InvalidKey as error:
        raise BadSignature("no key can have made this signature") from error


def address_of(private: bytes) -> bytes:
    """Give the 20-byte address of a 32-byte private key. Raises secp256k1.InvalidKey."""
    return account_of(secp256k1.public_key_uncompressed(private))
