"""Key files: never overwritten, never half-written, and damage told apart from a wrong password."""

import json
import os
import pickle
import stat
from pathlib import Path

import pytest

from ioex_chain.wallet import keystore
from ioex_chain.wallet.errors import (
    KeystoreDamaged,
    KeystoreError,
    KeystoreExists,
    KeystoreMissing,
    KeystoreTooNew,
    KeystoreUnreadable,
    WrongPassword,
    WrongPasswordOrDamaged,
)
from ioex_chain.wallet.keystore import (
    Sealer,
    create_file,
    open_sealed,
    read_document,
    read_foreign,
    read_wallet,
    replace_file,
    write_document,
)

SECRET = b"legal winner thank year wave sausage worth useful legal winner thank yellow"
SEALER = Sealer(scrypt_n=2, random=lambda size: bytes(range(size)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "wallets" / "main.json"
    document = {"format": "ioex-wallet", "version": 1, "crypto": SEALER.seal(SECRET, "right")}
    write_document(file, document)
    return file


def test_round_trip(path: Path) -> None:
    document = read_wallet(path)
    assert open_sealed(path, document, "right").reveal() == SECRET
    assert SECRET not in path.read_bytes()


def test_only_the_owner_may_read_it_and_nothing_is_left_beside_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [item.name for item in path.parent.iterdir()] == ["main.json"]


def test_a_wrong_password_is_told_apart_from_damage(path: Path) -> None:
    with pytest.raises(WrongPassword, match=r"main\.json") as caught:
        open_sealed(path, read_wallet(path), "wrong")
    assert not isinstance(caught.value, WrongPasswordOrDamaged)


def test_every_flipped_byte_is_damage(path: Path) -> None:
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in (0x01, 0x20, 0x80):  # another digit, another case or whitespace, no longer UTF-8
            damaged = bytearray(whole)
            damaged[position] ^= bit
            path.write_bytes(damaged)
            with pytest.raises(KeystoreDamaged, match=r"main\.json"):
                read_wallet(path)


def test_every_truncation_and_any_addition_is_damage(path: Path) -> None:
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(KeystoreDamaged, match=r"main\.json"):
            read_wallet(path)
    for more in (b"\n", b" ", b"{}", b"\x00"):
        path.write_bytes(whole + more)
        with pytest.raises(KeystoreDamaged):
            read_wallet(path)


def test_every_flipped_byte_of_a_foreign_file_is_a_typed_error(tmp_path: Path) -> None:
    file = tmp_path / "foreign.json"
    whole = json.dumps({"version": 3, "crypto": SEALER.seal(bytes(31) + b"\x01", "right")}).encode()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x01
        file.write_bytes(damaged)
        try:
            opened = open_sealed(file, read_foreign(file), "right").reveal()
        except KeystoreError as error:
            assert error.path == file  # noqa: PT017 - some flips are harmless, no error may be of another kind
        else:
            # v3 leaves the iv outside its MAC: that is why our own files carry a checksum
            assert opened == bytes(31) + b"\x01" or b'"iv"' in whole[position - 40 : position]


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(KeystoreMissing, match=r"nothing\.json"):
        read_wallet(tmp_path / "nothing.json")
    with pytest.raises(KeystoreUnreadable):
        read_wallet(tmp_path)


def test_never_written_over(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(KeystoreExists, match=r"main\.json"):
        write_document(path, {"format": "ioex-wallet", "version": 1})
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_a_later_format_is_refused(path: Path) -> None:
    later = path.with_name("later.json")
    write_document(later, {"format": "ioex-wallet", "version": 2})
    with pytest.raises(KeystoreTooNew, match="upgrade"):
        read_wallet(later)


def test_another_kind_of_document_is_no_wallet(path: Path) -> None:
    other = path.with_name("other.json")
    write_document(other, {"format": "something", "version": 1})
    with pytest.raises(KeystoreDamaged, match="not a wallet"):
        read_wallet(other)


@pytest.mark.parametrize("text", ["[1]", "null", "[" * 100_000, '{"a": 1', "\ufeff{}", '{"checksum": 5}'])
def test_strange_json(tmp_path: Path, text: str) -> None:
    file = tmp_path / "strange.json"
    file.write_text(text)
    with pytest.raises(KeystoreDamaged, match=r"strange\.json"):
        read_document(file)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.json"
    with file.open("wb") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(KeystoreDamaged, match="larger"):
        read_document(file)


@pytest.mark.parametrize(
    "params",
    [
        {"n": 1 << 40},
        {"n": 1 << 20, "r": 1 << 10},
        {"p": 1 << 20},
        {"n": 0},
        {"n": "2"},
        {"n": True},
        {"n": 3},
        {"dklen": 16},
        {"salt": "zz"},
    ],
)
def test_a_key_derivation_that_would_not_end_is_refused(tmp_path: Path, params: dict[str, object]) -> None:
    crypto = SEALER.seal(SECRET, "right")
    crypto["kdfparams"] |= params
    with pytest.raises(KeystoreDamaged, match=r"bomb\.json"):
        open_sealed(tmp_path / "bomb.json", {"crypto": crypto}, "right")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (create_file, replace_file):
        with pytest.raises(KeystoreUnreadable, match="No space left"):
            write(tmp_path / "file.json", b"data")
        assert list(tmp_path.iterdir()) == []


def test_replacing_keeps_the_old_bytes_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "state.json"
    replace_file(file, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeystoreUnreadable):
        replace_file(file, b"new")
    assert file.read_bytes() == b"old"


def test_secrets_do_not_show(path: Path) -> None:
    secret = open_sealed(path, read_wallet(path), "right")
    assert "legal" not in repr(secret) + str(secret) + f"{[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_the_default_cost_is_the_standards() -> None:
    assert Sealer().scrypt_n == keystore.SCRYPT_N == 1 << 18
