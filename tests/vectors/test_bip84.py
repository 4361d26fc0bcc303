"""BIP-84's vectors, read from the BIP's own text; BIP-86's, which are few, stand here."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from chaingen.specs import story_spec

from ioex_chain.crypto.address import script_to_address
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.wallet.hd import Account, MasterKey, Purpose, account_path, format_path, parse_private_key

ROOT = os.environ.get("IOEX_VECTORS")
pytestmark = pytest.mark.skipif(not ROOT, reason="IOEX_VECTORS does not name the folder of public vectors")
TEXT = (Path(ROOT) / "bips" / "bip-0084.mediawiki").read_text() if ROOT else ""
MNEMONIC = "abandon " * 11 + "about"


def _field(name: str, nth: int = 0) -> str:
    return str(re.findall(rf"^\s*{name}\s*= (.+)$", TEXT, re.MULTILINE)[nth])


@pytest.fixture
def spec() -> NetworkSpec:
    return replace(story_spec(), coin_type=0)  # Bitcoin's, which the BIPs' keys are for


def test_account_key(spec: NetworkSpec) -> None:
    assert _field("mnemonic") == MNEMONIC
    account = MasterKey.from_mnemonic(MNEMONIC).account(spec)
    assert format_path(account.path) == "m/84'/0'/0'"
    assert account.export(main=True) == _field("xpub")
    assert Account.parse(_field("xpub")).export_xpub(main=True) == account.export_xpub(main=True)


@pytest.mark.parametrize(("nth", "branch", "index"), [(0, 0, 0), (1, 0, 1), (2, 1, 0)])
def test_addresses(spec: NetworkSpec, nth: int, branch: int, index: int) -> None:
    root = MasterKey.from_mnemonic(MNEMONIC)
    account = Account.parse(_field("xpub"))
    assert account.public_key(branch, index).hex() == _field("pubkey", nth)
    assert script_to_address("bc", account.script(branch, index)) == _field("address", nth)
    path = (*account_path(Purpose.P2WPKH, 0, 0), branch, index)
    assert root.private_key(path) == parse_private_key(_field("privkey", nth)).private


@pytest.mark.parametrize(
    ("branch", "index", "address"),
    [
        (0, 0, "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"),
        (0, 1, "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh"),
        (1, 0, "bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7"),
    ],
)
def test_bip86_addresses(spec: NetworkSpec, branch: int, index: int, address: str) -> None:
    account = MasterKey.from_mnemonic(MNEMONIC).account(spec, Purpose.P2TR)
    assert script_to_address("bc", account.script(branch, index)) == address


def test_a_private_key_never_shows(spec: NetworkSpec) -> None:
    root = MasterKey.from_mnemonic(MNEMONIC)
    shown = repr(root) + str(root) + repr(root.account(spec)) + repr(parse_private_key(_field("privkey")))
    assert root.private_key(()).hex() not in shown
    assert _field("privkey") not in shown
