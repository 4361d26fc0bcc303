"""The node's key: its file and its certificate."""

import pickle
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from ioex_chain.p2p.identity import (
    MAX_KEY_FILE,
    ExposedNodeKey,
    Identity,
    InvalidCertificate,
    InvalidNodeKey,
    read_certificate,
)

SEED = sha256(b"seed").digest()


def test_a_new_key_is_written_once_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    made = Identity.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["node.key"]
    assert Identity.load_or_create(path).id == made.id
    assert Identity.load_or_create(tmp_path / "other.key").id != made.id


def test_the_file_is_a_plain_pkcs8_key(tmp_path: Path) -> None:
    made = Identity.load_or_create(tmp_path / "node.key")
    read = serialization.load_pem_private_key((tmp_path / "node.key").read_bytes(), None)
    assert isinstance(read, Ed25519PrivateKey)
    assert read.public_key().public_bytes_raw() == made.id


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x00" * 100, b"x" * (MAX_KEY_FILE + 1)])
def test_a_damaged_file_is_named_with_its_repair(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "node.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InvalidNodeKey, match=r"node\.key.*(backup).*remove"):
        Identity.load_or_create(path)
    assert path.read_bytes() == content


def test_no_changed_letter_makes_another_identity(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    Identity.load_or_create(path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        with pytest.raises(InvalidNodeKey):
            Identity.load_or_create(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    Identity.load_or_create(path)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 2, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(InvalidNodeKey):
            Identity.load_or_create(path)


def test_a_key_of_another_sort_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    other = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(
        other.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)
    with pytest.raises(InvalidNodeKey, match="not Ed25519"):
        Identity.load_or_create(path)


def test_a_key_that_others_can_read_is_refused_with_the_command(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    Identity.load_or_create(path)
    path.chmod(0o644)
    with pytest.raises(ExposedNodeKey, match="chmod 600"):
        Identity.load_or_create(path)


def test_the_signature_is_ed25519() -> None:
    # RFC 8032 section 7.1, test 2.
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    identity = Identity.from_seed(seed)
    assert identity.id.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert identity.sign(b"\x72").hex().startswith("92a009a9f0d4cab8720e820b5f642540")


def test_the_certificate_follows_from_the_key_and_is_signed_by_it() -> None:
    one, again = Identity.from_seed(SEED), Identity.from_seed(SEED)
    assert one.certificate_der == again.certificate_der
    parsed = x509.load_der_x509_certificate(one.certificate_der)
    key = parsed.public_key()
    assert isinstance(key, Ed25519PublicKey)
    key.verify(parsed.signature, parsed.tbs_certificate_bytes)
    assert parsed.not_valid_before_utc < datetime(2024, 1, 1, tzinfo=UTC)
    assert parsed.not_valid_after_utc.year == 9999
    assert read_certificate(one.certificate_der) == one.certificate
    assert one.certificate.key == one.id
    assert one.certificate.digest == sha256(one.certificate_der).digest()


def test_other_certificates_are_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime(2025, 1, 1, tzinfo=UTC)
    other = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    for der in (b"", b"\x30\x00", other, Identity.from_seed(SEED).certificate_der[:-1], bytes(5_000)):
        with pytest.raises(InvalidCertificate):
            read_certificate(der)


def test_nothing_prints_or_copies_the_key() -> None:
    identity = Identity.from_seed(SEED)
    assert SEED.hex() not in repr(identity)
    with pytest.raises(TypeError):
        pickle.dumps(identity)


def test_a_certificate_of_an_unknown_version_is_refused() -> None:
    der = Identity.from_seed(SEED).certificate_der
    assert der.count(bytes.fromhex("a003020102")) == 1
    with pytest.raises(InvalidCertificate):
        read_certificate(der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020109")))
