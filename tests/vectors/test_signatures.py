"""BIP-340's list and Wycheproof's Bitcoin variant of ECDSA over secp256k1."""

import csv
import json
from hashlib import sha256

from ioex_chain.crypto.secp256k1 import (
    is_low_s,
    is_strict_der,
    is_x_only,
    public_key,
    sign_schnorr,
    verify,
)


def test_bip340(vectors):
    with (vectors / "bips/bip-0340/test-vectors.csv").open() as file:
        rows = list(csv.DictReader(file))
    checked = signed = 0
    for row in rows:
        message, signature = bytes.fromhex(row["message"]), bytes.fromhex(row["signature"])
        public, secret = bytes.fromhex(row["public key"]), bytes.fromhex(row["secret key"])
        if len(message) != 32:
            continue  # consensus only ever signs digests
        checked += 1
        assert verify(public, message, signature) is (row["verification result"] == "TRUE"), row["comment"]
        if secret:
            signed += 1
            assert public_key(secret)[1:] == public
            assert sign_schnorr(secret, message, bytes.fromhex(row["aux_rand"])) == signature
        if "not on the curve" in row["comment"]:
            assert not is_x_only(public)
    assert checked >= 15
    assert signed >= 4


def test_wycheproof_ecdsa_bitcoin(vectors):
    """The verdict is that of strict DER (BIP-66), low S (BIP-146) and the curve, all at once."""
    text = (vectors / "wycheproof/ecdsa_secp256k1_sha256_bitcoin_test.json").read_text()
    checked = 0
    for group in json.loads(text)["testGroups"]:
        point = bytes.fromhex(group["publicKey"]["uncompressed"])
        public = bytes((2 + (point[64] & 1),)) + point[1:33]
        for test in group["tests"]:
            checked += 1
            signature = bytes.fromhex(test["sig"])
            digest = sha256(bytes.fromhex(test["msg"])).digest()
            formed = is_strict_der(signature) and is_low_s(signature)
            good = formed and verify(public, digest, signature)
            assert good is (test["result"] == "valid"), (test["tcId"], test["comment"])
    assert checked > 400
