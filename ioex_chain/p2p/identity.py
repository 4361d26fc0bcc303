"""A node is its Ed25519 key: the key file, and the certificate with the key (docs/protocol.md section 9.1).

The certificate follows from the key alone (fixed names and dates, Ed25519 signs deterministically), so it is
never stored and its digest is the same at every start.
"""

import os
import secrets
import stat
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from ioex_chain.p2p.links import Certificate
from ioex_chain.p2p.types import P2pError, PeerId

_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ioex")])
_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280 section 4.1.2.5: a certificate without a well-defined end."""
MAX_KEY_FILE = 4_096
MAX_CERTIFICATE = 4_096


class InvalidNodeKey(P2pError):
    """The file of the node's key cannot be used; the message names it and says what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path}: {problem}; restore it from a backup, or remove it and the node takes a new identity"
        )


class ExposedNodeKey(P2pError):
    """Others on this machine can read the node's key."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} can be read by other users; run: chmod 600 {path}")


class InvalidCertificate(P2pError):
    """Not a certificate with an Ed25519 key."""


class Identity:
    """A node's key: `id` names the node, `sign` proves the name. Prints as its id only."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        public = private.public_key()
        self.id = PeerId(
            public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw),
        )
        built = (
            x509.CertificateBuilder()
            .subject_name(_NAME)
            .issuer_name(_NAME)
            .public_key(public)
            .serial_number(1 + int.from_bytes(self.id[:8], "big"))
            .not_valid_before(_BEGIN)
            .not_valid_after(_END)
            .sign(private, None)
        )
        self.certificate_der = built.public_bytes(serialization.Encoding.DER)
        self.certificate = Certificate(self.id, sha256(self.certificate_der).digest())

    @classmethod
    def from_seed(cls, seed: bytes) -> "Identity":
        """Take the key from its 32 bytes."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load_or_create(cls, path: Path) -> "Identity":
        """Read the key file (the id, then PKCS #8 in PEM), or make it with mode 0600 where there is none.

        Raises InvalidNodeKey, ExposedNodeKey, OSError.
        """
        if not path.exists():
            _create(path, secrets.token_bytes(32))
        return cls(_read(path))

    def sign(self, data: bytes) -> bytes:
        """Give the 64-byte Ed25519 signature (RFC 8032)."""
        return self._private.sign(data)

    def pem(self) -> bytes:
        """Give private key and certificate as the TLS library wants to read them. Secret."""
        return _private_pem(self._private) + x509.load_der_x509_certificate(
            self.certificate_der
        ).public_bytes(serialization.Encoding.PEM)

    def __repr__(self) -> str:
        return f"<Identity {self.id.hex()}>"

    def __reduce__(self) -> str:
        raise TypeError("a node's key is not pickled or copied")


def read_certificate(der: bytes) -> Certificate:
    """Give key and digest of a certificate. Raises InvalidCertificate unless its key is Ed25519."""
    if len(der) > MAX_CERTIFICATE:
        raise InvalidCertificate(f"a certificate of {len(der)} bytes, more than {MAX_CERTIFICATE}")
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, InternalError) as error:
        raise InvalidCertificate("the certificate cannot be read") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidCertificate("the certificate's key is not Ed25519")
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return Certificate(PeerId(raw), sha256(der).digest())


def _private_pem(private: Ed25519PrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(path: Path) -> Ed25519PrivateKey:
    with path.open("rb") as file:
        if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise ExposedNodeKey(path)
        data = file.read(MAX_KEY_FILE + 1)
    if len(data) > MAX_KEY_FILE:
        raise InvalidNodeKey(path, "too long for a key")
    try:
        private = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError):
        # Without the cause: it may quote the file.
        raise InvalidNodeKey(path, "not a readable private key") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise InvalidNodeKey(path, "its key is not Ed25519")
    if data != _file_of(private):
        raise InvalidNodeKey(path, "its key is not the one that its first line names")
    return private


def _file_of(private: Ed25519PrivateKey) -> bytes:
    """Give the file's bytes: a line with the id before the key, because one wrong digit is another key."""
    return b"ioex node %s\n" % private.public_key().public_bytes_raw().hex().encode() + _private_pem(private)


def _create(path: Path, seed: bytes) -> None:
    """Write the whole file under another name, then link it in place: it appears complete or not at all."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_file_of(Ed25519PrivateKey.from_private_bytes(seed)))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            return  # somebody was quicker: theirs is read
    finally:
        fresh.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
