"""Ethereum's key store vectors (Web3 secret storage v3), and both ways with eth-keyfile."""

import json
import os
from pathlib import Path

import pytest
from eth_keyfile import create_keyfile_json, decode_keyfile_json

from ioex_chain.crypto.address import account_of
from ioex_chain.wallet.errors import WrongPasswordOrDamaged
from ioex_chain.wallet.keystore import Sealer, open_sealed, read_foreign

ROOT = os.environ.get("IOEX_VECTORS")
VECTORS = json.loads((Path(ROOT) / "KeyStoreTests" / "basic_tests.json").read_text()) if ROOT else {}
needs_vectors = pytest.mark.skipif(not ROOT, reason="IOEX_VECTORS names no folder of public test vectors")


@needs_vectors
@pytest.mark.parametrize("name", sorted(VECTORS))
def test_public_files_open(tmp_path: Path, name: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(VECTORS[name]["json"]))
    document = read_foreign(path)
    assert open_sealed(path, document, VECTORS[name]["password"]).reveal().hex() == VECTORS[name]["priv"]


@needs_vectors
def test_a_wrong_password_for_a_file_without_checksum(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(VECTORS["mycrypto"]["json"]))
    with pytest.raises(WrongPasswordOrDamaged, match=r"key\.json"):
        open_sealed(path, read_foreign(path), "guess")


def test_our_files_open_in_eth_keyfile_and_its_files_here(tmp_path: Path) -> None:
    private = bytes(range(1, 33))
    ours = Sealer(scrypt_n=2).key_document(private, account_of(b"\x04" + bytes(64)), "pass word")
    assert decode_keyfile_json(ours, b"pass word") == private
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(create_keyfile_json(private, b"pass word", kdf="scrypt", iterations=2)))
    assert open_sealed(path, read_foreign(path), "pass word").reveal() == private
