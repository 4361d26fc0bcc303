"""BIP-341's wallet vectors: output keys, the key path's tweak, signature hashes and signatures."""

import json

import pytest

from ioex_chain.crypto.address import encode_witness
from ioex_chain.crypto.secp256k1 import (
    public_key,
    sign_schnorr,
    taproot_output_key,
    taproot_private_key,
    verify,
)
from ioex_chain.pow.script import Form, SighashContext, check_input, run_checks
from ioex_chain.pow.transaction import Transaction, TxOut


@pytest.fixture
def wallet(vectors):
    return json.loads((vectors / "bips/bip-0341/wallet-test-vectors.json").read_text())


def test_output_keys(wallet):
    assert len(wallet["scriptPubKey"]) == 7
    for case in wallet["scriptPubKey"]:
        internal = bytes.fromhex(case["given"]["internalPubkey"])
        merkle = bytes.fromhex(case["intermediary"]["merkleRoot"] or "")
        output = taproot_output_key(internal, merkle)
        assert output.hex() == case["intermediary"]["tweakedPubkey"]
        assert "5120" + output.hex() == case["expected"]["scriptPubKey"]
        assert encode_witness("bc", 1, output) == case["expected"]["bip350Address"]


def test_key_path_spending(wallet):
    checked = 0
    for case in wallet["keyPathSpending"]:
        tx = Transaction.decode(bytes.fromhex(case["given"]["rawUnsignedTx"]))
        coins = [
            TxOut(item["amountSats"], bytes.fromhex(item["scriptPubKey"]))
            for item in case["given"]["utxosSpent"]
        ]
        context = SighashContext(tx, coins)
        for spend in case["inputSpending"]:
            checked += 1
            given, middle = spend["given"], spend["intermediary"]
            index, private = given["txinIndex"], bytes.fromhex(given["internalPrivkey"])
            merkle = bytes.fromhex(given["merkleRoot"] or "")
            assert public_key(private)[1:].hex() == middle["internalPubkey"]
            tweaked = taproot_private_key(private, merkle)
            assert tweaked.hex() == middle["tweakedPrivkey"]
            digest = context.taproot_digest(index, given["hashType"])
            assert digest.hex() == middle["sigHash"]
            signature = sign_schnorr(tweaked, digest)
            written = signature + bytes((given["hashType"],) if given["hashType"] else ())
            assert [written.hex()] == spend["expected"]["witness"]
            assert verify(public_key(tweaked)[1:], digest, signature)
    assert checked == 7


def test_signed_transaction_verifies(wallet):
    """The Taproot and P2WPKH inputs of the fully signed transaction pass our rules."""
    for case in wallet["keyPathSpending"]:
        tx = Transaction.decode(bytes.fromhex(case["auxiliary"]["fullySignedTx"]))
        coins = [
            TxOut(item["amountSats"], bytes.fromhex(item["scriptPubKey"]))
            for item in case["given"]["utxosSpent"]
        ]
        context, checks = SighashContext(tx, coins), []
        forms = {b"\x51\x20": Form.P2TR, b"\x00\x14": Form.P2WPKH}
        for index, coin in enumerate(coins):
            if coin.script[:2] in forms:
                check_input(context, index, forms[coin.script[:2]], checks)
        assert len(checks) == 8
        assert run_checks(checks) is None
