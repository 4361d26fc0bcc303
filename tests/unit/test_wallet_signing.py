"""What a signer must refuse, and what it must survive."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wallet_chain import MNEMONIC, OTHER_MNEMONIC, RATE, FakeChain, make_spec, open_wallet

from ioex_chain.crypto.address import address_to_script, deposit_script, witness_script
from ioex_chain.crypto.hashes import hash160
from ioex_chain.pow.errors import ScriptError
from ioex_chain.pow.transaction import Transaction, TxIn, TxOut
from ioex_chain.primitives.types import COIN
from ioex_chain.wallet.errors import (
    InvalidPsbt,
    NotComplete,
    PreviousOutputMismatch,
    PreviousOutputMissing,
    PsbtError,
    PsbtMismatch,
    ScriptMismatch,
    UnsafeSighash,
)
from ioex_chain.wallet.hd import MasterKey
from ioex_chain.wallet.payment import Recipient, Terms
from ioex_chain.wallet.psbt import In, KeyPath, Psbt, combine
from ioex_chain.wallet.signing import KeyRing, extract_transaction, finalize_psbt, sign_psbt

BOB = Recipient(witness_script(0, hash160(b"bob")), COIN, "bob")


@pytest.fixture(scope="module")
def made() -> bytes:
    """Give an unsigned PSBT with one P2WPKH and one P2TR input."""
    chain = FakeChain(make_spec())
    chain.mine(4)
    wallet, _ = open_wallet(chain)
    for account in wallet.book.accounts:
        chain.pay(address_to_script("riox", wallet.new_address(account)), COIN)
    chain.mine()
    return wallet.to_psbt(wallet.prepare([BOB], Terms(RATE))).encode()


@pytest.fixture
def psbt(made: bytes) -> Psbt:
    return Psbt.decode(made)


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing(MasterKey.from_mnemonic(MNEMONIC))


def v0_input(psbt: Psbt) -> int:
    return next(n for n, item in enumerate(psbt.inputs) if item.get(In.PREVIOUS_TX))


def test_a_lie_about_an_amount_is_refused(psbt: Psbt, keys: KeyRing) -> None:
    at = v0_input(psbt)
    honest = psbt.spent_output(at)
    psbt.inputs[at].put(In.PREVIOUS_OUT, TxOut(honest.value - 1, honest.script).encode())
    with pytest.raises(PreviousOutputMismatch, match="as a fee"):
        sign_psbt(psbt, keys)
    assert not any(item.keyed(In.PARTIAL_SIG) for item in psbt.inputs)


def test_another_previous_transaction_is_refused(psbt: Psbt, keys: KeyRing) -> None:
    at = v0_input(psbt)
    honest = psbt.inputs[at].previous_transaction
    assert honest is not None
    forged = Transaction.build(honest.version, honest.inputs, honest.outputs, honest.lock_time + 1)
    psbt.inputs[at].put(In.PREVIOUS_TX, forged.raw)
    with pytest.raises(PreviousOutputMismatch, match="another one"):
        sign_psbt(psbt, keys)


def test_an_unproven_amount_needs_an_explicit_word(psbt: Psbt, keys: KeyRing) -> None:
    at = v0_input(psbt)
    del psbt.inputs[at].pairs[bytes((In.PREVIOUS_TX,))]
    with pytest.raises(PreviousOutputMissing, match="not proven"):
        sign_psbt(psbt, keys)
    assert sign_psbt(psbt, keys, trust_amounts=True) == 2
    del psbt.inputs[at].pairs[bytes((In.PREVIOUS_OUT,))]
    with pytest.raises(PreviousOutputMissing):
        sign_psbt(psbt, keys, trust_amounts=True)


@pytest.mark.parametrize("hash_type", [2, 3, 0x81, 0x82, 0x83, 0x80, 0xFFFFFFFF])
def test_open_hash_types_are_refused(psbt: Psbt, keys: KeyRing, hash_type: int) -> None:
    psbt.inputs[0].put(In.SIGHASH, hash_type.to_bytes(4, "little"))
    with pytest.raises(UnsafeSighash):
        sign_psbt(psbt, keys)


def test_explicit_all_is_signed(psbt: Psbt, keys: KeyRing) -> None:
    for item in psbt.inputs:
        item.put(In.SIGHASH, (1).to_bytes(4, "little"))
    assert sign_psbt(psbt, keys) == 2
    assert finalize_psbt(psbt) == 0
    assert extract_transaction(psbt)


def test_outputs_above_inputs_are_refused(psbt: Psbt, keys: KeyRing) -> None:
    tx = psbt.transaction
    outputs = [out._replace(value=out.value + COIN) for out in tx.outputs]
    psbt.transaction = Transaction.build(tx.version, tx.inputs, outputs, tx.lock_time)
    with pytest.raises(PsbtError, match="more than the inputs"):
        sign_psbt(psbt, keys)


def test_a_wrong_witness_script_is_refused(psbt: Psbt, keys: KeyRing) -> None:
    output = TxOut(COIN, witness_script(0, bytes(32)))
    funding = Transaction.build(2, [TxIn(psbt.transaction.inputs[0].outpoint, b"", 0)], [output])
    spend = Transaction.build(2, [TxIn(funding.outpoint(0), b"", 0)], [TxOut(1_000, BOB.script)])
    made = Psbt.create(spend)
    made.inputs[0].put(In.PREVIOUS_TX, funding.raw)
    made.inputs[0].put(In.WITNESS_SCRIPT, b"\x51")
    with pytest.raises(ScriptMismatch, match="does not hash"):
        sign_psbt(made, keys)


def test_reserve_outputs_cannot_be_signed_for(keys: KeyRing) -> None:
    funding = Transaction.build(
        2,
        [TxIn(bytes(36), b"", 0)],
        [TxOut(COIN, deposit_script(bytes(20)))],  # type: ignore[arg-type]
    )
    made = Psbt.create(Transaction.build(2, [TxIn(funding.outpoint(0), b"", 0)], [TxOut(1_000, BOB.script)]))
    made.inputs[0].put(In.PREVIOUS_TX, funding.raw)
    with pytest.raises(ScriptMismatch, match="only P2WPKH"):
        sign_psbt(made, keys)


def test_somebody_elses_keys_sign_nothing(psbt: Psbt) -> None:
    assert sign_psbt(psbt, KeyRing(MasterKey.from_mnemonic(OTHER_MNEMONIC))) == 0
    assert finalize_psbt(psbt) == 2
    with pytest.raises(NotComplete, match="2 of 2"):
        extract_transaction(psbt)


def test_a_forged_origin_finds_no_key(psbt: Psbt, keys: KeyRing) -> None:
    at = v0_input(psbt)
    (public, origin), *_ = psbt.inputs[at].derivations.items()
    wrong = KeyPath(origin.fingerprint, (*origin.path[:-1], origin.path[-1] + 1))
    psbt.inputs[at].put(In.DERIVATION, wrong.encode(), public)
    assert sign_psbt(psbt, keys) == 1


def test_signing_twice_adds_nothing(psbt: Psbt, keys: KeyRing) -> None:
    assert sign_psbt(psbt, keys) == 2
    before = psbt.encode()
    assert sign_psbt(psbt, keys) == 0
    assert psbt.encode() == before
    assert finalize_psbt(psbt) == 0
    assert finalize_psbt(psbt) == 0


def test_a_bad_signature_is_not_used(psbt: Psbt, keys: KeyRing) -> None:
    at = v0_input(psbt)
    sign_psbt(psbt, keys)
    ((public, signature),) = psbt.inputs[at].keyed(In.PARTIAL_SIG).items()
    psbt.inputs[at].put(In.PARTIAL_SIG, signature[:20] + bytes((signature[20] ^ 1,)) + signature[21:], public)
    assert finalize_psbt(psbt) == 1


def test_a_wrong_final_witness_is_not_extracted(psbt: Psbt, keys: KeyRing) -> None:
    sign_psbt(psbt, keys)
    finalize_psbt(psbt)
    for item in psbt.inputs:
        assert item.final_witness is not None
        good = item.final_witness
        item.final_witness = (good[0][:9] + bytes((good[0][9] ^ 1,)) + good[0][10:], *good[1:])
        with pytest.raises(ScriptError):
            extract_transaction(psbt)
        item.final_witness = good
    assert extract_transaction(psbt)


def test_different_transactions_do_not_combine(psbt: Psbt) -> None:
    tx = psbt.transaction
    other = Psbt.create(Transaction.build(tx.version, tx.inputs, tx.outputs, tx.lock_time + 1))
    with pytest.raises(PsbtMismatch, match="different transactions"):
        combine([psbt, other])


def test_contradicting_facts_do_not_combine(psbt: Psbt, made: bytes) -> None:
    output = psbt.inputs[0].declared_output
    assert output is not None
    psbt.inputs[0].put(In.PREVIOUS_OUT, TxOut(output.value + 1, output.script).encode())
    with pytest.raises(PsbtMismatch, match="different values"):
        combine([Psbt.decode(made), psbt])


def test_no_key_ever_shows(keys: KeyRing) -> None:
    master = MasterKey.from_mnemonic(MNEMONIC)
    private = master.private_key(())
    ring = KeyRing(master, [private])
    shown = repr(ring) + str(ring) + repr(master) + repr([ring])
    assert private.hex() not in shown
    assert repr(private) not in shown
    assert "legal" not in shown
    for item in (ring, master):
        with pytest.raises(TypeError):
            pickle.dumps(item)


# --- bytes -----------------------------------------------------------------------------------------------


def test_every_truncation_and_addition_is_a_typed_error(made: bytes) -> None:
    for size in range(len(made)):
        with pytest.raises(InvalidPsbt):
            Psbt.decode(made[:size])
    with pytest.raises(InvalidPsbt):
        Psbt.decode(made + b"\x00")


def test_every_flipped_byte_is_typed_or_changes_no_meaning(made: bytes, keys: KeyRing) -> None:
    for position in range(len(made)):
        damaged = bytearray(made)
        damaged[position] ^= 0x01
        try:
            psbt = Psbt.decode(bytes(damaged))
            assert psbt.encode() == bytes(damaged)
            sign_psbt(psbt, keys)
            finalize_psbt(psbt)
            extract_transaction(psbt)
        except (PsbtError, ScriptError):
            continue


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_random_bytes_are_a_typed_error(data: bytes) -> None:
    for candidate in (data, b"psbt\xff" + data):
        try:
            assert Psbt.decode(candidate).encode() == candidate
        except InvalidPsbt:
            continue


@given(st.text(max_size=60))
def test_random_text_is_a_typed_error(text: str) -> None:
    with pytest.raises(InvalidPsbt):
        Psbt.parse(text)


def test_all_text_forms_are_read(made: bytes) -> None:
    psbt = Psbt.decode(made)
    lines = "\n".join(psbt.to_base64()[n : n + 64] for n in range(0, len(psbt.to_base64()), 64))
    for form in (made, psbt.to_base64(), lines, made.hex(), made.hex().upper().encode()):
        assert Psbt.parse(form).encode() == made
