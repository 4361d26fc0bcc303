"""Keys from one mnemonic: BIP-39, BIP-32, BIP-84 and BIP-86 (docs/protocol.md section 2).

PoW keys are at m/84'/coin'/account'/change/index, DPoS keys at m/44'/60'/0'/0/index.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Self

from bip32 import BIP32, HARDENED_INDEX, base58
from coincurve import PrivateKey
from mnemonic import Mnemonic

from ioex_chain.crypto.address import account_of, witness_script
from ioex_chain.crypto.hashes import hash160
from ioex_chain.crypto.secp256k1 import taproot_output_key
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.wallet.errors import InvalidExtendedKey, InvalidMnemonic, InvalidPrivateKey

GAP_LIMIT = 20
"""BIP-44: unused addresses in a row after which discovery stops."""
WORDS_TO_BYTES = {12: 16, 15: 20, 18: 24, 21: 28, 24: 32}
RECEIVE, CHANGE = 0, 1
ENGLISH = "english"
TEST_COIN_TYPE = 1
"""BIP-44 coin type that every test network shares."""

Path = tuple[int, ...]


DEV_MNEMONIC = "test test test test test test test test test test test junk"
"""Published: on a devnet it owns funds and seals blocks; what it owns has no value anywhere."""


class Purpose(IntEnum):
    """The output form that an account's keys serve, named by its BIP."""

    P2WPKH = 84
    P2TR = 86


# SLIP-132 version bytes of extended public keys: (main networks, test networks).
_XPUB = (bytes.fromhex("0488b21e"), bytes.fromhex("043587cf"))
_ZPUB = (bytes.fromhex("04b24746"), bytes.fromhex("045f1cf6"))
_PRIVATE = tuple(bytes.fromhex(text) for text in ("0488ade4", "04358394", "04b2430c", "045f18bc"))


@cache
def _words(language: str) -> Mnemonic:
    # The library compares NFKD text with its lists, and does not have all of them in that form.
    plain = [Mnemonic.normalize_string(word) for word in Mnemonic(language).wordlist]
    return Mnemonic(language, plain)


def generate_mnemonic(words: int = 24, random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """Make an English BIP-39 mnemonic of 12, 15, 18, 21 or 24 words. Raises InvalidMnemonic."""
    if words not in WORDS_TO_BYTES:
        raise InvalidMnemonic("a mnemonic has 12, 15, 18, 21 or 24 words")
    return _words(ENGLISH).to_mnemonic(random(WORDS_TO_BYTES[words]))


def normalize_mnemonic(text: str) -> str:
    """Give a mnemonic of any BIP-39 language in its one form (NFKD, single spaces), checked.

    Raises InvalidMnemonic, which names the places of wrong words but never a word.
    """
    words = Mnemonic.normalize_string(text).lower().split()
    if len(words) not in WORDS_TO_BYTES:
        raise InvalidMnemonic(f"a mnemonic has 12, 15, 18, 21 or 24 words, this has {len(words)}")
    mnemonic = " ".join(words)
    if not any(_words(language).check(mnemonic) for language in (ENGLISH, *Mnemonic.list_languages())):
        raise InvalidMnemonic(_what_is_wrong(words))
    return mnemonic


def _what_is_wrong(words: list[str]) -> str:
    """Say which words no list knows, counting in the list that knows the most of them."""
    unknown = min(
        (
            [place for place, word in enumerate(words, 1) if word not in _words(language).wordlist]
            for language in (ENGLISH, *Mnemonic.list_languages())
        ),
        key=len,
    )
    if unknown:
        return f"not in BIP-39's list: word {', '.join(map(str, unknown))}; check the spelling"
    return "the checksum is wrong: a word is wrong or two are swapped"


def is_main(spec: NetworkSpec) -> bool:
    """Whether extended keys and WIF of this network carry the main networks' version bytes."""
    return spec.coin_type != TEST_COIN_TYPE


def format_path(path: Path) -> str:
    """Write a path as m/84'/1'/0'."""
    steps = (f"{i - HARDENED_INDEX}'" if i >= HARDENED_INDEX else str(i) for i in path)
    return "/".join(("m", *steps))


def account_path(purpose: Purpose, coin_type: int, account: int) -> Path:
    """Give m/purpose'/coin'/account' (BIP-44)."""
    return tuple(HARDENED_INDEX + step for step in (purpose, coin_type, account))


def output_script(purpose: Purpose, public: bytes) -> bytes:
    """Give the output script of a 33-byte key: P2WPKH, or BIP-86's P2TR without scripts."""
    if purpose is Purpose.P2TR:
        return witness_script(1, taproot_output_key(public[1:]))
    return witness_script(0, hash160(public))


class Account:
    """The public half of one account: all its addresses, no private key. What a watch-only wallet has."""

    def __init__(self, purpose: Purpose, node: BIP32, path: Path = (), fingerprint: bytes = bytes(4)) -> None:
        """Take an extended public key, and where it comes from if that is known."""
        self.purpose = purpose
        self.path = path
        self.fingerprint = fingerprint
        self._branches = {branch: _child(node, branch) for branch in (RECEIVE, CHANGE)}
        self._node = node

    @classmethod
    def parse(cls, text: str, purpose: Purpose | None = None, path: Path = (), fp: bytes = bytes(4)) -> Self:
        """Read an xpub/tpub (BIP-84 unless `purpose` says otherwise) or zpub/vpub.

        Raises InvalidExtendedKey.
        """
        version, payload = _decode_base58(text.strip())
        if version in _PRIVATE:
            raise InvalidExtendedKey("this is a private extended key; a watch-only wallet takes a public one")
        if version in _ZPUB:
            if purpose is Purpose.P2TR:
                raise InvalidExtendedKey("a zpub is for P2WPKH addresses, not for taproot")
            payload = _XPUB[_ZPUB.index(version)] + payload[4:]
        elif version not in _XPUB:
            raise InvalidExtendedKey("this extended key is of a kind that is not used here (BIP-84 has zpub)")
        try:
            node = BIP32.from_xpub(base58.b58encode_check(payload).decode())
        except (ValueError, AssertionError) as error:
            raise InvalidExtendedKey(
                "the extended key holds no point of the curve or is malformed"
            ) from error
        return cls(purpose or Purpose.P2WPKH, node, path, fp)

    def public_key(self, branch: int, index: int) -> bytes:
        """Give the 33-byte key of an address: `branch` 0 receives, 1 is change."""
        return bytes(self._branches[branch].get_pubkey_from_path([index]))

    def script(self, branch: int, index: int) -> bytes:
        """Give the output script of an address."""
        return output_script(self.purpose, self.public_key(branch, index))

    def export(self, main: bool) -> str:
        """Give the extended public key: zpub/vpub for P2WPKH, xpub/tpub for P2TR."""
        family = _ZPUB if self.purpose is Purpose.P2WPKH else _XPUB
        return self._encode(family[0 if main else 1])

    def export_xpub(self, main: bool) -> str:
        """Give the extended public key as BIP-32 has it: xpub/tpub."""
        return self._encode(_XPUB[0 if main else 1])

    def _encode(self, version: bytes) -> str:
        return str(base58.b58encode_check(version + self._node.get_xpub_bytes()[4:]).decode())

    def __repr__(self) -> str:
        return f"<Account {format_path(self.path)} {self.purpose.name}>"


class MasterKey:
    """The private root of a mnemonic's tree. Never prints its key."""

    __slots__ = ("_node", "fingerprint")

    def __init__(self, node: BIP32) -> None:
        self._node = node
        self.fingerprint = bytes(node.get_fingerprint())

    @classmethod
    def from_mnemonic(cls, mnemonic: str, passphrase: str = "") -> Self:
        """Derive the tree's root (BIP-39, BIP-32). Raises InvalidMnemonic."""
        return cls(BIP32.from_seed(Mnemonic.to_seed(normalize_mnemonic(mnemonic), passphrase)))

    def account(self, spec: NetworkSpec, purpose: Purpose = Purpose.P2WPKH, account: int = 0) -> Account:
        """Give the public half of an account on a network."""
        path = account_path(purpose, spec.coin_type, account)
        node = BIP32.from_xpub(self._node.get_xpub_from_path(list(path)))
        return Account(purpose, node, path, self.fingerprint)

    def private_key(self, path: Path) -> bytes:
        """Give the 32-byte key at a path."""
        return bytes(self._node.get_privkey_from_path(list(path)))

    def dpos_key(self, index: int = 0) -> bytes:
        """Give the key of DPoS account `index`: m/44'/60'/0'/0/index."""
        hard = HARDENED_INDEX
        return self.private_key((44 + hard, 60 + hard, hard, 0, index))

    def __repr__(self) -> str:
        return f"<MasterKey {self.fingerprint.hex()}>"

    def __reduce__(self) -> str:
        raise TypeError("a master key is not pickled or copied")


def dpos_address(private: bytes) -> bytes:
    """Give the 20-byte DPoS address of a private key."""
    return account_of(PrivateKey(private).public_key.format(compressed=False))


@dataclass(frozen=True, slots=True)
class WifKey:
    """A private key read from text, and whether its network byte was a main network's (None for hex)."""

    private: bytes
    main: bool | None

    def __repr__(self) -> str:
        return "<WifKey>"


def parse_private_key(text: str) -> WifKey:
    """Read a private key as 64 hex digits (0x allowed) or as WIF of a compressed key.

    Raises InvalidPrivateKey; the message never holds the key.
    """
    body = text.strip().removeprefix("0x")
    if len(body) == 64:
        try:
            return WifKey(bytes.fromhex(body), None)
        except ValueError:
            raise InvalidPrivateKey("a private key in hex has 64 hex digits") from None
    try:
        payload = bytes(base58.b58decode_check(body))
    except (ValueError, IndexError, KeyError):
        raise InvalidPrivateKey("not a private key: neither 64 hex digits nor WIF") from None
    if payload[:1] not in (b"\x80", b"\xef") or len(payload) not in (33, 34):
        raise InvalidPrivateKey("not a private key: neither 64 hex digits nor WIF")
    if len(payload) != 34 or payload[33] != 1:
        raise InvalidPrivateKey("this key is for uncompressed public keys, which this chain does not use")
    return WifKey(payload[1:33], payload[0] == 0x80)


def _child(node: BIP32, index: int) -> BIP32:
    return BIP32.from_xpub(node.get_xpub_from_path([index]))


def _decode_base58(text: str) -> tuple[bytes, bytes]:
    try:
        payload = bytes(base58.b58decode_check(text))
    except (ValueError, IndexError, KeyError) as error:
        raise InvalidExtendedKey("the extended key has a typing error (its checksum is wrong)") from error
    if len(payload) != 78:
        raise InvalidExtendedKey(f"an extended key has 78 bytes, this has {len(payload)}")
    return payload[:4], payload
