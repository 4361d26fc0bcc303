"""Keys from words: what is read, what is refused, and what never shows."""

from dataclasses import replace

import pytest
from chaingen.specs import story_spec
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.crypto.address import checksum_account
from ioex_chain.wallet.errors import InvalidExtendedKey, InvalidMnemonic, InvalidPrivateKey
from ioex_chain.wallet.files import parse_account_key
from ioex_chain.wallet.hd import (
    Account,
    MasterKey,
    Purpose,
    dpos_address,
    generate_mnemonic,
    normalize_mnemonic,
    parse_private_key,
)

WORDS = "test test test test test test test test test test test junk"
SPEC = story_spec()


def test_the_dpos_key_is_every_ethereum_wallets() -> None:
    master = MasterKey.from_mnemonic(WORDS)
    addresses = [checksum_account(dpos_address(master.dpos_key(index))) for index in range(2)]
    # the accounts that development nodes derive from these well-known words
    assert addresses == [
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    ]


def test_test_networks_share_coin_type_1_and_mainnet_has_its_own() -> None:
    master = MasterKey.from_mnemonic(WORDS)
    main = replace(SPEC, coin_type=51120)
    assert master.account(SPEC).path[1] == 0x80000001
    assert master.account(main).path[1] == 0x80000000 + 51120
    assert master.account(SPEC).script(0, 0) != master.account(main).script(0, 0)
    assert master.account(main).export(main=True).startswith("zpub")
    assert master.account(SPEC).export(main=False).startswith("vpub")


@pytest.mark.parametrize("words", [12, 15, 18, 21, 24])
def test_new_mnemonics_are_valid_and_differ(words: int) -> None:
    first, second = generate_mnemonic(words), generate_mnemonic(words)
    assert first != second
    assert normalize_mnemonic(first) == first
    assert len(first.split()) == words


def test_words_are_read_generously_and_errors_never_repeat_them() -> None:
    assert normalize_mnemonic(f"  {WORDS.upper()}\n") == WORDS
    for text, said in (
        (WORDS.replace("junk", "junl"), "word 12"),
        (WORDS.replace("junk", "test"), "checksum"),
        ("test junk", "this has 2"),
        ("", "this has 0"),
    ):
        with pytest.raises(InvalidMnemonic, match=said) as caught:
            normalize_mnemonic(text)
        assert "jun" not in str(caught.value)
    with pytest.raises(InvalidMnemonic):
        generate_mnemonic(13)


def test_an_account_key_with_its_origin() -> None:
    account = MasterKey.from_mnemonic(WORDS).account(SPEC)
    key = account.export(main=False)
    origin = account.fingerprint.hex()
    for path in ("/84'/1'/0'", "/84h/1h/0h"):
        read = parse_account_key(f"[{origin}{path}]{key}")
        assert (read.fingerprint, read.path) == (account.fingerprint, account.path)
        assert read.script(1, 7) == account.script(1, 7)
    assert parse_account_key(key).path == ()


@pytest.mark.parametrize(
    "text",
    ["", "xpub", "[00000000/84']", "[xyz]vpub", "[00000000/2147483648']KEY", "[00000000/84'KEY", "zprv"],
)
def test_account_keys_that_are_none(text: str) -> None:
    key = MasterKey.from_mnemonic(WORDS).account(SPEC).export(main=False)
    with pytest.raises(InvalidExtendedKey):
        parse_account_key(text.replace("KEY", key))


def test_a_private_extended_key_is_refused_by_name() -> None:
    private = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"  # noqa: E501
    with pytest.raises(InvalidExtendedKey, match="private"):
        Account.parse(private)
    with pytest.raises(InvalidExtendedKey, match="not for taproot"):
        Account.parse(MasterKey.from_mnemonic(WORDS).account(SPEC).export(main=True), Purpose.P2TR)


@given(st.text(max_size=120))
def test_any_text_is_read_or_refused_with_its_own_error(text: str) -> None:
    for read, error in (
        (parse_account_key, InvalidExtendedKey),
        (parse_private_key, InvalidPrivateKey),
        (normalize_mnemonic, InvalidMnemonic),
    ):
        try:
            read(text)
        except error:
            continue


@given(st.integers(min_value=0, max_value=110), st.integers(min_value=1, max_value=57))
def test_a_typing_error_in_an_account_key_is_found(place: int, shift: int) -> None:
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    key = KEY
    wrong = alphabet[(alphabet.index(key[place]) + shift) % 58]
    with pytest.raises(InvalidExtendedKey):
        parse_account_key(key[:place] + wrong + key[place + 1 :])


KEY = MasterKey.from_mnemonic(WORDS).account(SPEC).export(main=False)
