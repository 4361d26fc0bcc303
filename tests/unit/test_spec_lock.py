"""Genesis scripts: our writer against the reader that consensus spends by."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.crypto.address import (
    deposit_script,
    encode_witness,
    reserve_change_script,
    script_to_address,
)
from ioex_chain.crypto.secp256k1 import public_key
from ioex_chain.pow.script import parse_spend_script
from ioex_chain.spec.errors import BadBeneficiary
from ioex_chain.spec.lock import pay_to, push_number

KEYS = [public_key(bytes([n]) * 32) for n in range(1, 22)]
HASH = bytes(range(20))
ADDRESS = encode_witness("riox", 0, HASH)
TIME = 1_800_000_000


def multi(required, keys):
    return f"multi({required},{','.join(key.hex() for key in keys)})"


@pytest.mark.parametrize(
    ("value", "push"),
    [
        (0, "00"),
        (1, "51"),
        (16, "60"),
        (17, "0111"),
        (127, "017f"),
        (128, "028000"),
        (0x7FFFFFFF, "04ffffff7f"),
        (0x80000000, "050000008000"),
    ],
)
def test_numbers_are_minimal(value, push):
    assert push_number(value).hex() == push


def test_a_free_address_is_paid_as_it_is():
    assert pay_to("riox", ADDRESS, 0, "f") == (b"\x00\x14" + HASH, b"")


def test_a_locked_address():
    script, hidden = pay_to("riox", ADDRESS, TIME, "f")
    assert hidden.hex() == "0400d2496bb17576a914" + HASH.hex() + "88ac"
    assert script == b"\x00\x20" + sha256(hidden).digest()


@given(st.integers(500_000_000, 2**32 + 10**9), st.integers(1, 20), st.data())
def test_consensus_reads_every_lock_back(time, count, data):
    required = data.draw(st.integers(1, count))
    _, hidden = pay_to("riox", multi(required, KEYS[:count]), time, "f")
    found = parse_spend_script(hidden)
    assert (found.lock_time, found.sequence, found.required) == (time, None, required)
    assert found.keys == tuple(KEYS[:count])
    single = parse_spend_script(pay_to("riox", f"pk({KEYS[0].hex()})", time, "f")[1])
    assert (single.lock_time, single.keys, single.is_multisig) == (time, (KEYS[0],), False)
    hashed = parse_spend_script(pay_to("riox", ADDRESS, time, "f")[1])
    assert (hashed.lock_time, hashed.key_hash) == (time, HASH)


def test_a_free_multisig_has_no_lock():
    script, hidden = pay_to("riox", multi(2, KEYS[:3]), 0, "f")
    assert parse_spend_script(hidden).lock_time is None
    assert script == b"\x00\x20" + sha256(hidden).digest()


def test_a_free_output_may_back_an_account_of_the_dpos_chain():
    address = script_to_address("riox", deposit_script(HASH))
    assert pay_to("riox", address, 0, "f") == (deposit_script(HASH), b"")


@pytest.mark.parametrize(
    ("beneficiary", "words"),
    [
        (encode_witness("tiox", 0, HASH), "begins with"),
        (ADDRESS[:-1] + "x", "typing error"),
        (script_to_address("riox", deposit_script(HASH)), "locked output"),
        (script_to_address("riox", reserve_change_script()), "or a deposit"),
        (encode_witness("riox", 0, bytes(32)), "locked output"),
        (encode_witness("riox", 1, bytes(32)), "locked output"),
        (encode_witness("riox", 2, bytes(32)), "is not P2WPKH"),
        ("pk(02)", "compressed public key"),
        (f"pk({KEYS[0].hex()},{KEYS[1].hex()})", "one key"),
        (f"pk(05{'11' * 32})", "compressed public key"),
        (multi(0, KEYS[:2]), "multi"),
        (multi(3, KEYS[:2]), "multi"),
        (multi(2, KEYS), "multi"),
        ("multi(1)", "multi"),
        ("", "not a bech32"),
    ],
)
def test_what_genesis_does_not_pay(beneficiary, words):
    with pytest.raises(BadBeneficiary, match=words) as caught:
        pay_to("riox", beneficiary, TIME, "token.allocations.3.beneficiary")
    assert caught.value.field == "token.allocations.3.beneficiary"
