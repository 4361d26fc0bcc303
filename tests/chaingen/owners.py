"""Keys that can receive and spend each form of the closed set (docs/protocol.md section 3).

An owner is an output script together with what signs for it, so that a test says `owner.script` to pay and
`ChainBuilder.spend` to spend, whatever the form is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Protocol

from ioex_chain.crypto.address import witness_script
from ioex_chain.crypto.hashes import hash160
from ioex_chain.crypto.secp256k1 import (
    public_key,
    sign,
    sign_schnorr,
    taproot_output_key,
    taproot_private_key,
)
from ioex_chain.pow.script import SIGHASH_DEFAULT, SighashContext

Witness = tuple[bytes, ...]


def private_key(name: str | int) -> bytes:
    """Give the 32-byte private key that a name stands for: the same in every run."""
    return sha256(f"chaingen key {name}".encode()).digest()


class Owner(Protocol):
    """An output script and what spends it."""

    @property
    def script(self) -> bytes:
        """The output script that pays this owner."""
        ...

    def witness(self, context: SighashContext, index: int, hash_type: int) -> Witness:
        """Sign input `index`; `hash_type` is Bitcoin's (1 = ALL)."""
        ...


@dataclass(frozen=True)
class KeyHash:
    """P2WPKH."""

    private: bytes

    @cached_property
    def public(self) -> bytes:
        """The compressed public key."""
        return public_key(self.private)

    @cached_property
    def script(self) -> bytes:
        return witness_script(0, hash160(self.public))

    def witness(self, context: SighashContext, index: int, hash_type: int) -> Witness:
        code = b"\x76\xa9\x14" + self.script[2:] + b"\x88\xac"
        return ecdsa(self.private, context, index, code, hash_type), self.public


@dataclass(frozen=True)
class Taproot:
    """P2TR by key path; the output key commits to no script (BIP-86)."""

    private: bytes

    @cached_property
    def script(self) -> bytes:
        return witness_script(1, taproot_output_key(public_key(self.private)[1:]))

    def witness(self, context: SighashContext, index: int, hash_type: int) -> Witness:
        """As every owner; hash type ALL is written as BIP-341's default, which signs the same."""
        kind = SIGHASH_DEFAULT if hash_type == 1 else hash_type
        digest = context.taproot_digest(index, kind)
        return (sign_schnorr(taproot_private_key(self.private), digest) + bytes((kind,) if kind else ()),)


@dataclass(frozen=True)
class ScriptHash:
    """P2WSH: locks, then a key, a key hash or m of n keys; the first `required` keys sign."""

    privates: tuple[bytes, ...]
    required: int = 1
    lock_time: int | None = None
    sequence: int | None = None
    kind: str = "key"
    """key, keyhash or multisig."""

    @cached_property
    def witness_script(self) -> bytes:
        """The script that P2WSH hides."""
        keys = [public_key(private) for private in self.privates]
        head = lock_prefix(self.lock_time, self.sequence)
        if self.kind == "key":
            return head + b"\x21" + keys[0] + b"\xac"
        if self.kind == "keyhash":
            return head + b"\x76\xa9\x14" + hash160(keys[0]) + b"\x88\xac"
        return head + multisig_script(self.required, keys)

    @cached_property
    def script(self) -> bytes:
        return witness_script(0, sha256(self.witness_script).digest())

    def witness(self, context: SighashContext, index: int, hash_type: int) -> Witness:
        code = self.witness_script
        signed = [
            ecdsa(private, context, index, code, hash_type) for private in self.privates[: self.required]
        ]
        if self.kind == "key":
            return signed[0], code
        if self.kind == "keyhash":
            return signed[0], public_key(self.privates[0]), code
        return b"", *signed, code


@dataclass(frozen=True)
class Fixed:
    """Any output script, spent with a witness that is given as it is: to spend wrongly on purpose."""

    script: bytes
    stack: Witness = ()

    def witness(self, context: SighashContext, index: int, hash_type: int) -> Witness:
        return self.stack


@dataclass(frozen=True)
class Altered:
    """Another owner whose witness is changed after signing."""

    owner: Owner
    change: Callable[[Witness], Witness]

    @cached_property
    def script(self) -> bytes:
        return self.owner.script

    def witness(self, context: SighashContext, index: int, hash_type: int) -> Witness:
        return self.change(self.owner.witness(context, index, hash_type))


@dataclass(frozen=True)
class Impostor:
    """The output of one owner, signed for by another."""

    of: Owner
    signer: Owner

    @cached_property
    def script(self) -> bytes:
        return self.of.script

    def witness(self, context: SighashContext, index: int, hash_type: int) -> Witness:
        return self.signer.witness(context, index, hash_type)


@dataclass(frozen=True)
class HiddenScript:
    """P2WSH of any witness script; `key` signs once, and `head` and `tail` stand around the signature."""

    witness_script: bytes
    key: bytes
    head: Witness = ()
    tail: Witness = ()

    @cached_property
    def script(self) -> bytes:
        return witness_script(0, sha256(self.witness_script).digest())

    def witness(self, context: SighashContext, index: int, hash_type: int) -> Witness:
        signature = ecdsa(self.key, context, index, self.witness_script, hash_type)
        return *self.head, signature, *self.tail, self.witness_script


def ecdsa(private: bytes, context: SighashContext, index: int, code: bytes, hash_type: int) -> bytes:
    """Give a BIP-143 signature with its hash type byte."""
    return sign(private, context.segwit_digest(index, code, hash_type)) + bytes((hash_type,))


def push_number(number: int) -> bytes:
    """Write a script number with the one minimal push that consensus accepts."""
    if number == 0:
        return b"\x00"
    if number == -1:
        return b"\x4f"
    if 1 <= number <= 16:
        return bytes((0x50 + number,))
    size = (abs(number).bit_length() + 8) // 8
    data = bytearray(abs(number).to_bytes(size, "little"))
    data[-1] |= 0x80 if number < 0 else 0
    return bytes((size,)) + bytes(data)


def lock_prefix(lock_time: int | None, sequence: int | None) -> bytes:
    """Give `[<n> CLTV DROP] [<n> CSV DROP]`."""
    cltv = b"" if lock_time is None else push_number(lock_time) + b"\xb1\x75"
    csv = b"" if sequence is None else push_number(sequence) + b"\xb2\x75"
    return cltv + csv


def multisig_script(required: int, keys: Sequence[bytes]) -> bytes:
    """Give `m key... n CHECKMULTISIG`."""
    pushed = b"".join(bytes((len(key),)) + key for key in keys)
    return push_number(required) + pushed + push_number(len(keys)) + b"\xae"
