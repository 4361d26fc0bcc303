"""BIP-143's examples: every preimage's digest, every signature, and our verdict on P2WPKH."""

import re

import pytest

from ioex_chain.crypto.hashes import hash160, sha256d
from ioex_chain.crypto.secp256k1 import is_low_s, is_strict_der, verify
from ioex_chain.pow.script import Form, SighashContext, check_input, run_checks
from ioex_chain.pow.transaction import Transaction, TxOut
from ioex_chain.primitives.codec import Reader

HEX = r"([0-9a-f]+)"
UNSIGNED = re.compile(rf"(?:unsigned|following) transaction[^:\n]*:\s+{HEX}")
SIGHASH = re.compile(rf"preimage[^:\n]*:\s+{HEX}.+?sig[hH]ash:\s+{HEX}", re.DOTALL)
SIGNED = re.compile(
    rf"sigHash:\s+{HEX}\s+public key:\s+{HEX}\s+private key:\s+[0-9a-f]+\s+signature:\s+{HEX}"
)


@pytest.fixture
def text(vectors):
    return (vectors / "bips/bip-0143.mediawiki").read_text()


def digest_of(tx: Transaction, preimage: bytes) -> bytes:
    """Have our context make the digest that a preimage stands for."""
    reader = Reader(preimage, 68)
    outpoint, code = reader.take(36), reader.sized(10_000)
    value = reader.uint64()
    index = [item.outpoint for item in tx.inputs].index(outpoint)
    context = SighashContext(tx, [TxOut(value, b"")] * len(tx.inputs))
    return context.segwit_digest(index, code, int.from_bytes(preimage[-4:], "little"))


def test_every_digest(text):
    unsigned = UNSIGNED.finditer(text)
    starts = [(match.start(), Transaction.decode(bytes.fromhex(match[1]))) for match in unsigned]
    assert len(starts) >= 5
    found = list(SIGHASH.finditer(text))
    assert len(found) == 14
    for match in found:
        tx = [tx for at, tx in starts if at < match.start()][-1]
        preimage = bytes.fromhex(match[1])
        assert digest_of(tx, preimage) == sha256d(preimage)
        assert digest_of(tx, preimage).hex() == match[2]


def test_every_signature(text):
    found = SIGNED.findall(text)
    assert len(found) >= 4
    for digest, public, signature in found:
        der = bytes.fromhex(signature)[:-1]
        assert is_strict_der(der)
        assert is_low_s(der)
        assert verify(bytes.fromhex(public), bytes.fromhex(digest), der)


def test_native_p2wpkh_input_is_accepted(text):
    raw = next(match for match in re.findall(r"signed transaction is:\s+" + HEX, text))
    tx = Transaction.decode(bytes.fromhex(raw))
    key = tx.inputs[1].witness[1]
    coins = [TxOut(625_000_000, b""), TxOut(600_000_000, b"\x00\x14" + hash160(key))]
    checks = []
    assert check_input(SighashContext(tx, coins), 1, Form.P2WPKH, checks) == 1
    assert run_checks(checks) is None
    coins[1] = coins[1]._replace(value=600_000_001)
    checks.clear()
    check_input(SighashContext(tx, coins), 1, Form.P2WPKH, checks)
    assert run_checks(checks) == 0


def test_transactions_round_trip(text):
    raws = set(re.findall(r"\b(0[12]000000[0-9a-f]{100,}00)\b", text))
    decoded = 0
    for raw in raws:
        try:
            tx = Transaction.decode(bytes.fromhex(raw))
        except ValueError:
            continue  # a preimage, not a transaction
        decoded += 1
        assert Transaction.build(tx.version, tx.inputs, tx.outputs, tx.lock_time).raw.hex() == raw
    assert decoded >= 8
