"""BIP-173, BIP-350 and Bitcoin Core's key_io lists: witness addresses under Bitcoin's prefixes."""

import json
import re

import pytest

from ioex_chain.crypto.address import (
    InvalidAddress,
    address_to_script,
    decode_witness,
    encode_witness,
    script_to_address,
)

PREFIXES = {"main": "bc", "test": "tb", "testnet4": "tb", "signet": "tb", "regtest": "bcrt"}
VALID = re.compile(r"^\* <tt>(\w+)</tt>: <tt>([0-9a-f]{4,})</tt>$", re.MULTILINE)
INVALID = re.compile(r"^\* (?:0x\w\w \+ )?<tt>([!-~]+)</tt>", re.MULTILINE)


def prefix_of(address: str) -> str:
    return address.lower().rsplit("1", 1)[0]


def test_bip350_valid(vectors):
    found = VALID.findall((vectors / "bips/bip-0350.mediawiki").read_text())
    assert len(found) == 8
    for address, script in found:
        prefix = prefix_of(address)
        assert address_to_script(prefix, address).hex() == script
        assert script_to_address(prefix, bytes.fromhex(script)) == address.lower()


def test_bip173_valid_as_far_as_bip350_keeps_them(vectors):
    found = VALID.findall((vectors / "bips/bip-0173.mediawiki").read_text())
    assert len(found) == 6
    kept = 0
    for address, script in found:
        if script[:2] == "00":
            kept += 1
            assert address_to_script(prefix_of(address), address).hex() == script
        else:
            with pytest.raises(InvalidAddress):
                address_to_script(prefix_of(address), address)
    assert kept == 3


@pytest.mark.parametrize(("name", "least"), [("bip-0173", 29), ("bip-0350", 25)])
def test_invalid(vectors, name, least):
    """Valid bech32 strings that are no addresses stand in the same list: they are refused too."""
    text = (vectors / f"bips/{name}.mediawiki").read_text()
    valid = {address for address, _ in VALID.findall(text)}
    listed = set(INVALID.findall(text[text.index("est vectors") :])) - valid
    assert len(listed) >= least
    for address in listed:
        for prefix in ("bc", "tb", "bcrt", prefix_of(address)):
            if prefix == prefix_of(address) == "tc":
                continue  # only its prefix is wrong
            with pytest.raises(InvalidAddress):
                decode_witness(prefix, address)


def test_key_io_valid(vectors):
    checked = 0
    for address, script, meta in json.loads((vectors / "bitcoin/key_io_valid.json").read_text()):
        prefix = PREFIXES[meta["chain"]]
        if meta["isPrivkey"] or not address.startswith(prefix + "1"):
            continue
        checked += 1
        assert address_to_script(prefix, address).hex() == script
        assert address_to_script(prefix, address.upper()).hex() == script
        assert script_to_address(prefix, bytes.fromhex(script)) == address
        others = set(PREFIXES.values()) - {prefix}
        for other in others:
            with pytest.raises(InvalidAddress):
                decode_witness(other, address)
    assert checked >= 30


def test_key_io_invalid(vectors):
    rows = json.loads((vectors / "bitcoin/key_io_invalid.json").read_text())
    assert len(rows) > 50
    for (address,) in rows:
        for prefix in set(PREFIXES.values()):
            with pytest.raises(InvalidAddress):
                decode_witness(prefix, address)


def test_own_prefixes_and_look_alikes():
    program = bytes(range(20))
    address = encode_witness("ioex", 0, program)
    assert decode_witness("ioex", address) == (0, program)
    for letter, twin in (("k", "\u212a"), ("s", "\u017f"), ("q", "\uff51")):
        for written in (address, address.upper()):
            changed = written.replace(letter, twin).replace(letter.upper(), twin)
            if changed != written:
                with pytest.raises(InvalidAddress):
                    decode_witness("ioex", changed)
