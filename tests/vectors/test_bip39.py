"""BIP-39: the reference library's vectors in all its languages, through the wallet's own door."""

import json
import os
from pathlib import Path

import pytest
from bip32 import BIP32
from mnemonic import Mnemonic

from ioex_chain.wallet.errors import InvalidMnemonic
from ioex_chain.wallet.hd import MasterKey, generate_mnemonic, normalize_mnemonic

ROOT = os.environ.get("IOEX_VECTORS")
pytestmark = pytest.mark.skipif(not ROOT, reason="IOEX_VECTORS does not name the folder of public vectors")
VECTORS = json.loads((Path(ROOT) / "bip39" / "vectors.json").read_text()) if ROOT else {}
ENGLISH = VECTORS.get("english", [])


@pytest.mark.parametrize("language", sorted(VECTORS))
def test_mnemonics_seeds_and_roots_of_every_language(language: str) -> None:
    for _entropy, mnemonic, seed, xprv in VECTORS[language]:
        plain = normalize_mnemonic(mnemonic)
        assert Mnemonic.to_seed(plain, "TREZOR").hex() == seed
        root = MasterKey.from_mnemonic(mnemonic, "TREZOR")
        assert root.private_key(()) == BIP32.from_xpriv(xprv).privkey
    assert len(VECTORS[language]) >= 24


@pytest.mark.parametrize("vector", ENGLISH, ids=lambda vector: vector[0][:16])
def test_entropy_becomes_the_mnemonic(vector: list[str]) -> None:
    entropy, mnemonic = bytes.fromhex(vector[0]), vector[1]
    assert generate_mnemonic(len(mnemonic.split()), lambda size: entropy[:size]) == mnemonic


@pytest.mark.parametrize("vector", ENGLISH, ids=lambda vector: vector[0][:16])
def test_another_last_word_is_refused(vector: list[str]) -> None:
    words = vector[1].split()
    words[-1] = "zoo" if words[-1] != "zoo" else "abandon"
    if Mnemonic("english").check(" ".join(words)):
        pytest.skip("a short checksum may match by chance")
    with pytest.raises(InvalidMnemonic, match="checksum"):
        normalize_mnemonic(" ".join(words))
