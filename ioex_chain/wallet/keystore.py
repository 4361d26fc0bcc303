"""Encrypted key files: Web3 secret storage v3 for raw keys, and the same `crypto` section over a mnemonic.

A v3 file's MAC fails alike for a wrong password and for damage. These files therefore carry a SHA-256
checksum of their own and one canonical form: damage is found before a password is tried, and after that a
failing MAC can only mean the password. Files are mode 0600, appear whole or not at all, and are never
written over.
"""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from Crypto.Cipher import AES
from Crypto.Protocol.KDF import scrypt
from Crypto.Util import Counter

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.wallet.errors import (
    KeystoreDamaged,
    KeystoreExists,
    KeystoreMissing,
    KeystoreTooNew,
    KeystoreUnreadable,
    WrongPassword,
    WrongPasswordOrDamaged,
)

SCRYPT_N = 1 << 18
"""scrypt's cost as Web3 secret storage recommends it: about a second and 256 MiB."""
FORMAT = "ioex-wallet"
FORMAT_VERSION = 1
MAX_FILE = 1 << 20
"""Bytes: no key file is larger, and nothing larger is read."""
_MAX_SCRYPT_MEMORY = 1 << 30
_MAX_PBKDF2_ROUNDS = 10_000_000

Document = dict[str, Any]


class Secret:
    """Secret bytes that print as nothing; `reveal` is the one way to them."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def reveal(self) -> bytes:
        """Give the bytes."""
        return self._data

    def __repr__(self) -> str:
        return "<Secret>"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled or copied")


@dataclass(frozen=True, slots=True)
class Sealer:
    """Encrypts; cost and randomness come from outside so that tests are quick and repeatable."""

    scrypt_n: int = SCRYPT_N
    random: Callable[[int], bytes] = secrets.token_bytes

    def seal(self, plain: bytes, password: str) -> Document:
        """Give a v3 `crypto` section over any bytes: scrypt, AES-128-CTR, Keccak MAC."""
        salt, iv = self.random(32), self.random(16)
        derived = _scrypt(password, salt, self.scrypt_n)
        counter = Counter.new(128, initial_value=int.from_bytes(iv, "big"))
        ciphertext = AES.new(derived[:16], AES.MODE_CTR, counter=counter).encrypt(plain)
        return {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": "scrypt",
            "kdfparams": {"dklen": 32, "n": self.scrypt_n, "p": 1, "r": 8, "salt": salt.hex()},
            "mac": keccak256(derived[16:32] + ciphertext).hex(),
        }

    def key_document(self, private: bytes, address: bytes, password: str) -> Document:
        """Give a Web3 v3 document of a raw 32-byte key; `address` is its DPoS address."""
        return {
            "address": address.hex(),
            "crypto": self.seal(private, password),
            "id": str(UUID(bytes=self.random(16), version=4)),
            "version": 3,
        }


def open_sealed(path: Path, document: Document, password: str) -> Secret:
    """Decrypt the `crypto` section of a document that `read_document` or `read_foreign` gave.

    Raises WrongPassword, or WrongPasswordOrDamaged for a file without a checksum; KeystoreDamaged if the
    section is not v3 or asks for more than 1 GiB of memory.
    """
    from eth_keyfile.keyfile import decode_keyfile_json  # a second to import: only when a key is needed

    crypto = document.get("crypto", document.get("Crypto"))
    _check_crypto(path, crypto)
    try:
        return Secret(decode_keyfile_json({"version": 3, "crypto": crypto}, password.encode()))
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise KeystoreDamaged(path, "the crypto section is not Web3 secret storage v3") from error
    except ValueError as error:
        if "MAC mismatch" not in str(error):
            raise KeystoreDamaged(path, "the crypto section is not Web3 secret storage v3") from error
        if "checksum" in document:
            raise WrongPassword(path, "wrong password") from None
        raise WrongPasswordOrDamaged(
            path, "wrong password, or the file is damaged (it has no checksum to tell)"
        ) from None


def write_document(path: Path, document: Document) -> None:
    """Write a new file, whole and synced, mode 0600. Raises KeystoreExists, KeystoreUnreadable."""
    data = _canonical({**document, "checksum": _checksum(document)})
    create_file(path, data)


def read_document(path: Path) -> Document:
    """Read what `write_document` wrote. Raises KeystoreMissing, KeystoreDamaged, KeystoreUnreadable."""
    data = _read(path)
    document = _parse(path, data)
    if document.get("checksum") != _checksum(document) or _canonical(document) != data:
        raise KeystoreDamaged(path, "the file is damaged; restore it from a backup or from the mnemonic")
    return document


def read_wallet(path: Path) -> Document:
    """Read a wallet file. Raises as `read_document`, and KeystoreTooNew for a later format."""
    document = read_document(path)
    if document.get("format") != FORMAT:
        raise KeystoreDamaged(path, "this is not a wallet file")
    if document.get("version") != FORMAT_VERSION:
        raise KeystoreTooNew(
            path, f"written in format {document.get('version')}, this program reads {FORMAT_VERSION}; upgrade"
        )
    return document


def read_foreign(path: Path) -> Document:
    """Read a v3 key file of any program; one of ours is checked fully."""
    document = _parse(path, _read(path))
    if "checksum" in document:
        return read_document(path)
    if document.get("version") != 3:
        raise KeystoreDamaged(path, "this is not a Web3 secret storage file of version 3")
    return document


def create_file(path: Path, data: bytes) -> None:
    """Create a file that must not exist: temporary file, fsync, link, fsync of the directory.

    A hard link fails where the name is taken, so that two processes cannot write over each other either.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_synced(temporary, data)
        try:
            os.link(temporary, path)
        finally:
            temporary.unlink()
        _sync_directory(path.parent)
    except FileExistsError as error:
        raise KeystoreExists(path, "exists already and is never written over; choose another name") from error
    except OSError as error:
        raise KeystoreUnreadable(path, f"cannot be written: {error.strerror}") from error


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that may exist and holds no secret: old bytes or new ones, never a mixture."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            _write_synced(temporary, data)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise KeystoreUnreadable(path, f"cannot be written: {error.strerror}") from error


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError as error:
        raise KeystoreMissing(path, "there is no such file") from error
    except OSError as error:
        raise KeystoreUnreadable(path, f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE:
        raise KeystoreDamaged(path, f"larger than any key file ({MAX_FILE} bytes)")
    return data


def _parse(path: Path, data: bytes) -> Document:
    # orjson, because the standard library's decoder can exhaust the stack on deep nesting
    try:
        document = orjson.loads(data)
        orjson.dumps(document)
    except (ValueError, TypeError) as error:
        raise KeystoreDamaged(path, "the file is damaged (not JSON); restore it from a backup") from error
    if not isinstance(document, dict):
        raise KeystoreDamaged(path, "this is not a key file")
    return document


def _canonical(document: Document) -> bytes:
    return orjson.dumps(
        document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    )


def _checksum(document: Document) -> str:
    return sha256(_canonical({key: document[key] for key in document if key != "checksum"})).hexdigest()


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    # N is a power of two, and pycryptodome's own limit allows it; r = 8 and p = 1 as the format has it.
    return bytes(scrypt(password.encode(), salt, 32, cost, 8, 1))  # type: ignore[arg-type]


def _check_crypto(path: Path, crypto: object) -> None:
    """Refuse what would not decrypt or would exhaust memory, before any work is done."""
    if not isinstance(crypto, dict) or not isinstance(crypto.get("kdfparams"), dict):
        raise KeystoreDamaged(path, "the file has no crypto section")
    params = crypto["kdfparams"]
    if crypto.get("cipher") != "aes-128-ctr" or params.get("dklen") != 32:
        raise KeystoreDamaged(path, "the cipher is not aes-128-ctr with a 32-byte derived key")
    names = ("n", "r", "p") if crypto.get("kdf") == "scrypt" else ("c",)
    if any(type(params.get(name)) is not int or params[name] < 1 for name in names):
        raise KeystoreDamaged(path, "the key derivation's parameters are not positive numbers")
    if crypto.get("kdf") == "scrypt":
        too_much = 128 * params["n"] * params["r"] > _MAX_SCRYPT_MEMORY or params["p"] > 16
    else:
        too_much = params["c"] > _MAX_PBKDF2_ROUNDS or params.get("prf", "hmac-sha256") != "hmac-sha256"
    if too_much:
        raise KeystoreDamaged(path, "the key derivation asks for more memory or time than any key file needs")
