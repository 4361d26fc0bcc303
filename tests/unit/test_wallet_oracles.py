"""Independent libraries agree: what we sign verifies in theirs, and what they sign is spent here."""

import base64
from hashlib import sha256

import pytest
from bitcoin.core import CTransaction, x
from bitcoin.core.script import (
    SIGVERSION_WITNESS_V0,
    CScript,
    SignatureHash,
)
from btclib.script.engine import verify_transaction
from btclib.tx.tx import Tx
from btclib.tx.tx_out import TxOut as BtcTxOut
from embit import bip32 as embit_bip32
from embit import bip39 as embit_bip39
from embit.finalizer import finalize_psbt as embit_finalize
from embit.psbt import PSBT
from wallet_chain import MNEMONIC, RATE, FakeChain, make_spec, open_wallet, sign_and_send

from ioex_chain.crypto.address import witness_script
from ioex_chain.crypto.hashes import hash160
from ioex_chain.crypto.secp256k1 import verify
from ioex_chain.pow.transaction import Transaction, TxOut
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.lock import push_number
from ioex_chain.wallet.hd import MasterKey
from ioex_chain.wallet.payment import Recipient, Terms
from ioex_chain.wallet.psbt import In, Psbt
from ioex_chain.wallet.signing import extract_transaction, finalize_psbt, sign_psbt

MASTER = MasterKey.from_mnemonic(MNEMONIC)
BOB = Recipient(witness_script(0, hash160(b"bob")), COIN, "bob")


def hidden_scripts(spec) -> dict[str, bytes]:
    keys = [MASTER.account(spec).public_key(0, index) for index in range(3)]
    locked = push_number(3) + b"\xb1\x75"
    waiting = push_number(2) + b"\xb2\x75"
    by_hash = b"\x76\xa9\x14" + hash160(keys[0]) + b"\x88\xac"
    return {
        "cltv-keyhash": locked + by_hash,
        "cltv-key": locked + b"\x21" + keys[0] + b"\xac",
        "csv-keyhash": waiting + by_hash,
        "cltv-csv-key": locked + waiting + b"\x21" + keys[0] + b"\xac",
        "key": b"\x21" + keys[0] + b"\xac",
        "2-of-3": b"\x52" + b"".join(b"\x21" + key for key in keys) + b"\x53\xae",
    }


FORMS = ["p2wpkh", "p2tr", *hidden_scripts(make_spec())]


@pytest.fixture(scope="module")
def world():
    """Give a chain on which our wallet has one free coin of every form."""
    spec = make_spec()
    hidden = hidden_scripts(spec)
    chain = FakeChain(spec)
    chain.mine(4)
    wallet, keys = open_wallet(chain, locks=list(hidden.values()))
    scripts = {name: witness_script(0, sha256(code).digest()) for name, code in hidden.items()}
    scripts["p2wpkh"] = wallet.book.accounts[0].script(0, 5)
    scripts["p2tr"] = wallet.book.accounts[1].script(0, 5)
    for form in FORMS:
        chain.pay(scripts[form], 3 * COIN)
    chain.mine(12)
    return chain, wallet, keys, scripts


def draft_of(world, *forms: str):
    _, wallet, _, scripts = world
    wanted = {scripts[form] for form in forms}
    only = [item.coin.outpoint for item in wallet.coins() if item.coin.script in wanted]
    assert len(only) == len(forms)
    recipient = Recipient(BOB.script, None, "bob")
    return wallet.prepare([recipient], Terms(RATE), only=only)


def assert_btclib_accepts(tx: Transaction, spent: list[TxOut]) -> None:
    prevouts = [BtcTxOut(out.value, out.script, check_validity=False) for out in spent]
    verify_transaction(prevouts, Tx.parse(tx.raw), check_amounts=False)


@pytest.mark.parametrize("form", FORMS)
def test_btclib_runs_our_scripts_and_signatures(world, form: str) -> None:
    _, wallet, keys, _ = world
    draft = draft_of(world, form)
    psbt = wallet.to_psbt(draft)
    sign_psbt(psbt, keys)
    assert finalize_psbt(psbt) == 0
    tx = extract_transaction(psbt)
    assert tx.size <= draft.size
    spent = [TxOut(item.coin.value, item.coin.script) for item in draft.spent]
    assert_btclib_accepts(tx, spent)
    bad = [tuple(part if n else _flip(part) for n, part in enumerate(item.witness)) for item in tx.inputs]
    with pytest.raises(Exception, match=r".+"):
        assert_btclib_accepts(tx.with_witnesses(bad), spent)


def _flip(part: bytes) -> bytes:
    return part[:-10] + bytes((part[-10] ^ 1,)) + part[-9:] if part else b"\x01"


def test_btclib_accepts_all_forms_in_one_transaction(world) -> None:
    _, wallet, keys, _ = world
    draft = draft_of(world, *FORMS)
    psbt = wallet.to_psbt(draft)
    sign_psbt(psbt, keys)
    assert finalize_psbt(psbt) == 0
    assert_btclib_accepts(
        extract_transaction(psbt), [TxOut(item.coin.value, item.coin.script) for item in draft.spent]
    )


def test_python_bitcoinlib_hashes_what_we_signed(world) -> None:
    _, wallet, keys, _ = world
    draft = draft_of(world, "p2wpkh", "2-of-3", "cltv-keyhash")
    psbt = wallet.to_psbt(draft)
    sign_psbt(psbt, keys)
    theirs = CTransaction.deserialize(x(psbt.transaction.raw.hex()))
    checked = 0
    for index, (item, spent) in enumerate(zip(psbt.inputs, draft.spent, strict=True)):
        code = item.get(In.WITNESS_SCRIPT) or b"\x76\xa9\x14" + spent.coin.script[2:] + b"\x88\xac"
        for public, signature in item.keyed(In.PARTIAL_SIG).items():
            digest = SignatureHash(
                CScript(code), theirs, index, 1, amount=spent.coin.value, sigversion=SIGVERSION_WITNESS_V0
            )
            assert verify(public, digest, signature[:-1])
            checked += 1
    assert checked == 5


@pytest.mark.parametrize("form", ["p2wpkh", "p2tr", "2-of-3", "cltv-keyhash"])
def test_embit_signs_our_psbt_and_we_finish_it(world, form: str) -> None:
    _, wallet, _, _ = world
    draft = draft_of(world, form)
    theirs = PSBT.parse(wallet.to_psbt(draft).encode())
    assert theirs.fee() == draft.fee
    root = embit_bip32.HDKey.from_seed(embit_bip39.mnemonic_to_seed(MNEMONIC))
    assert theirs.sign_with(root) >= 1
    ours = Psbt.parse(base64.b64encode(theirs.serialize()).decode())
    assert finalize_psbt(ours) == 0
    tx = extract_transaction(ours)
    assert_btclib_accepts(tx, [TxOut(item.coin.value, item.coin.script) for item in draft.spent])


def test_embit_finishes_what_we_signed(world) -> None:
    _, wallet, keys, _ = world
    psbt = wallet.to_psbt(draft_of(world, "p2wpkh", "2-of-3"))
    sign_psbt(psbt, keys)
    finished = embit_finalize(PSBT.parse(psbt.encode()))
    assert finished is not None
    assert finalize_psbt(psbt) == 0
    assert finished.serialize() == extract_transaction(psbt).raw


def test_what_the_oracles_saw_is_mined(world) -> None:
    chain, wallet, keys, _ = world
    for form in FORMS:
        sign_and_send(wallet, keys, draft_of(world, form)) if form != "2-of-3" else None
    draft = draft_of(world, "2-of-3")
    psbt = wallet.to_psbt(draft)
    assert sign_psbt(psbt, keys) == 3
    assert finalize_psbt(psbt) == 0
    wallet.broadcast(extract_transaction(psbt))
    assert len(chain.pool) == len(FORMS)
    chain.mine()
