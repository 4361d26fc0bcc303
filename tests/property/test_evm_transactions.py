"""Transactions of every type: written, read, signed; against py-evm's; and any damage is a typed refusal."""

from dataclasses import replace

import pytest
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.crypto.secp256k1 import ORDER, sign_recoverable
from ioex_chain.evm.errors import (
    BlobsNotSupported,
    GasUintOverflow,
    InvalidSignature,
    InvalidTransaction,
    MalformedTransaction,
    NoAuthorizations,
    SetCodeCreates,
    TipAboveFeeCap,
    UnsupportedType,
    WrongChainId,
)
from ioex_chain.evm.senders import Senders, authority, sender
from ioex_chain.evm.transactions import (
    check_transaction,
    decode_transaction,
    intrinsic_gas,
    signed,
    signing_hash,
    unsigned_payload,
)
from ioex_chain.evm.types import AccessEntry, Authorization, Transaction

addresses = st.binary(min_size=20, max_size=20)
words = st.binary(min_size=32, max_size=32)
amounts = st.integers(0, 200) | st.integers(0, 2**96)
accesses = st.builds(AccessEntry, addresses, st.lists(words, max_size=2).map(tuple))
authorizations = st.builds(
    Authorization,
    chain_id=st.integers(0, 300),
    address=addresses,
    nonce=st.integers(0, 300),
    y_parity=st.integers(0, 1),
    r=st.integers(1, ORDER - 1),
    s=st.integers(1, ORDER // 2),
)


@st.composite
def transactions(draw) -> Transaction:
    kind = draw(st.sampled_from([0, 1, 2, 4]))
    cap = draw(amounts)
    blank = Transaction(
        raw=b"",
        hash=b"",
        type=kind,
        chain_id=draw(st.sampled_from([None, 1, 51_337])) if kind == 0 else 51_337,
        nonce=draw(st.integers(0, 2**63)),
        max_priority_fee=cap if kind < 2 else draw(amounts),
        max_fee=cap,
        gas=draw(st.integers(100_000, 2**63)),
        to=draw(addresses) if kind == 4 else draw(addresses | st.none()),
        value=draw(amounts),
        data=draw(st.binary(max_size=80)),
        access_list=() if kind == 0 else tuple(draw(st.lists(accesses, max_size=2))),
        authorizations=tuple(draw(st.lists(authorizations, min_size=1, max_size=2))) if kind == 4 else (),
        y_parity=0,
        r=0,
        s=0,
        signing_hash=b"",
    )
    signature = sign_recoverable(draw(st.sampled_from([b"\1" * 32, b"\2" * 32])), signing_hash(blank))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return signed(blank, signature[64], r, s)


@given(transactions())
def test_what_is_written_is_read_and_is_py_evms(tx):
    again = decode_transaction(tx.raw)
    assert all(getattr(again, name) == getattr(tx, name) for name in Transaction.__slots__)
    assert signing_hash(again) == again.signing_hash
    theirs = PragueTransactionBuilder.decode(tx.raw)
    assert theirs.hash == tx.hash
    assert theirs.sender == sender(tx)
    if tx.to is not None:  # py-evm charges EIP-3860's words later
        assert theirs.get_intrinsic_gas() == intrinsic_gas(tx)
    assert theirs.nonce == tx.nonce
    assert theirs.to == (tx.to or b"")


@given(transactions(), st.data())
def test_damage_is_refused_or_is_another_transaction(tx, data):
    at = data.draw(st.integers(0, len(tx.raw) - 1))
    byte = data.draw(st.integers(0, 255))
    for damaged in (tx.raw[:at], tx.raw[:at] + bytes((byte,)) + tx.raw[at + 1 :], tx.raw + bytes((byte,))):
        try:
            found = decode_transaction(damaged)
        except InvalidTransaction:
            continue
        assert found.raw == damaged
        assert unsigned_payload(found) is not None
        assert signed(found, found.y_parity, found.r, found.s).raw == damaged


@given(st.binary(max_size=120))
def test_any_bytes_are_a_transaction_or_a_typed_error(raw):
    try:
        found = decode_transaction(raw)
    except (MalformedTransaction, InvalidSignature):
        return
    assert found.raw == raw


def plain(**changes) -> Transaction:
    fields = (b"", b"", 2, 1, 0, 1, 2, 21_000, bytes(20), 0, b"", (), (), 0, 0, 0, b"")
    return replace(Transaction(*fields), **changes)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", MalformedTransaction),
        (b"\x03\xc0", BlobsNotSupported),
        (b"\x05\xc0", UnsupportedType),
        (b"\x80", UnsupportedType),
        (b"\x02\xc0", MalformedTransaction),
        (b"\x04" + plain().raw, MalformedTransaction),
    ],
)
def test_typed_refusals_of_bytes(raw, error):
    with pytest.raises(error):
        decode_transaction(raw)


@pytest.mark.parametrize(
    ("tx", "error"),
    [
        (plain(chain_id=2), WrongChainId),
        (plain(max_priority_fee=3), TipAboveFeeCap),
        (plain(gas=2**64), GasUintOverflow),
        (plain(type=4), NoAuthorizations),
        (plain(type=4, to=None), SetCodeCreates),
    ],
)
def test_typed_refusals_of_fields(tx, error):
    with pytest.raises(error):
        check_transaction(tx, 1)


def test_a_high_s_is_refused():
    signature = sign_recoverable(b"\1" * 32, signing_hash(plain()))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    assert sender(signed(plain(), signature[64], r, s))
    with pytest.raises(InvalidSignature, match="EIP-2"):
        signed(plain(), 1 - signature[64], r, ORDER - s)


@given(authorizations)
def test_authorities_are_py_evms_or_nobody(auth):
    found = authority(auth)
    assert found is None or len(found) == 20
    assert authority(replace(auth, s=ORDER - auth.s)) is None
    assert authority(replace(auth, y_parity=2)) is None


def test_senders_are_remembered_in_order_and_forgotten_oldest_first():
    many = []
    for nonce in range(6):
        blank = plain(nonce=nonce)
        signature = sign_recoverable(bytes(31) + bytes((nonce + 1,)), signing_hash(blank))
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        many.append(signed(blank, signature[64], r, s))
    senders = Senders(remembered=4)
    expected = [sender(tx) for tx in many]
    assert senders.of(many) == expected
    assert senders.of(many[::-1]) == expected[::-1]
    assert len(senders._known) == 4
