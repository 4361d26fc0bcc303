"""The hash functions of both chains."""

import hashlib
from functools import lru_cache
from hashlib import sha256

from Crypto.Hash import RIPEMD160
from sha3 import keccak_256


def sha256d(data: bytes) -> bytes:
    """SHA-256 twice (Bitcoin's block and transaction hash)."""
    return sha256(sha256(data).digest()).digest()


def _ripemd160_fallback(data: bytes) -> bytes:
    return RIPEMD160.new(data).digest()


def _ripemd160_openssl(data: bytes) -> bytes:
    hasher = _ripemd160_start.copy()  # looking the algorithm up by name costs more than the hash
    hasher.update(data)
    return hasher.digest()


# OpenSSL 3 may be built without RIPEMD-160; where it has it, it is the faster of the two.
if "ripemd160" in hashlib.algorithms_available:
    _ripemd160_start = hashlib.new("ripemd160", usedforsecurity=False)
    ripemd160 = _ripemd160_openssl
else:
    ripemd160 = _ripemd160_fallback


def hash160(data: bytes) -> bytes:
    """RIPEMD-160 of SHA-256: 20 bytes, a key's hash in P2WPKH."""
    return ripemd160(sha256(data).digest())


def keccak256(data: bytes) -> bytes:
    """Ethereum's Keccak-256 (not the later SHA3-256)."""
    digest: bytes = keccak_256(data).digest()
    return digest


@lru_cache(maxsize=64)
def _tag_prefix(tag: str) -> bytes:
    return sha256(tag.encode()).digest() * 2


def tagged_hash(tag: str, data: bytes) -> bytes:
    """BIP-340's tagged hash."""
    return sha256(_tag_prefix(tag) + data).digest()
