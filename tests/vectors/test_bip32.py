"""BIP-32's vectors 1 to 5, read from the BIP's own text."""

import os
import re
from pathlib import Path

import pytest
from bip32 import BIP32

from ioex_chain.wallet.errors import InvalidExtendedKey
from ioex_chain.wallet.hd import Account, MasterKey, Purpose

ROOT = os.environ.get("IOEX_VECTORS")
pytestmark = pytest.mark.skipif(not ROOT, reason="IOEX_VECTORS does not name the folder of public vectors")
TEXT = (Path(ROOT) / "bips" / "bip-0032.mediawiki").read_text() if ROOT else ""
HARD = 0x80000000


def _chains() -> list[tuple[str, tuple[int, ...], str, str]]:
    found = []
    for section in TEXT.split("===Test vector ")[1:5]:
        seed = re.search(r"Seed \(hex\): ([0-9a-f]+)", section)
        assert seed is not None
        pattern = r"\* Chain (m[^\n]*)\n\*\* ext pub: (\w+)\n\*\* ext prv: (\w+)"
        for chain, public, private in re.findall(pattern, section):
            steps = re.findall(r"(\d+)(<sub>H</sub>)?", chain.replace("m", "", 1))
            path = tuple(int(number) + (HARD if hard else 0) for number, hard in steps)
            found.append((seed[1], path, public, private))
    return found


CHAINS = _chains()
BROKEN = re.findall(r"^\* (\w{100,}) \((.*)\)", TEXT, re.MULTILINE)


def test_the_whole_of_the_bip_was_read() -> None:
    assert (len(CHAINS), len(BROKEN)) == (17, 16)


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: f"{chain[0][:6]}-{len(chain[1])}")
def test_derivation(chain: tuple[str, tuple[int, ...], str, str]) -> None:
    seed, path, public, private = chain
    root = MasterKey(BIP32.from_seed(bytes.fromhex(seed)))
    assert root.private_key(path) == BIP32.from_xpriv(private).privkey
    assert Account.parse(public).export_xpub(main=True) == public


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken[1])
def test_broken_extended_keys_are_refused(broken: tuple[str, str]) -> None:
    with pytest.raises(InvalidExtendedKey):
        Account.parse(broken[0], Purpose.P2WPKH)
