import pytest
import rlp as oracle
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos import codec
from ioex_chain.dpos.block import Payload
from ioex_chain.dpos.header import EMPTY_OMMERS_HASH, Header, SealedHeader
from ioex_chain.dpos.votes import Certificate, Checkpoint, Link, SealEvidence, Vote, VoteEvidence
from ioex_chain.evm.types import Transaction, Withdrawal
from ioex_chain.primitives import rlp
from ioex_chain.primitives.errors import DecodeError, NotCanonical, OverCap, TrailingBytes, UnexpectedEnd
from ioex_chain.primitives.types import BlockHash

SEAL = bytes(64) + b"\1"


def header(number: int = 5, **changes: object) -> Header:
    fields: dict[str, object] = {
        "parent_hash": BlockHash(b"\x11" * 32),
        "ommers_hash": EMPTY_OMMERS_HASH,
        "beneficiary": b"\x22" * 20,
        "state_root": b"\x33" * 32,
        "transactions_root": b"\x44" * 32,
        "receipts_root": b"\x55" * 32,
        "logs_bloom": bytes(256),
        "difficulty": 0,
        "number": number,
        "gas_limit": 210_000_000,
        "gas_used": 0,
        "timestamp": 1_767_225_630,
        "extra_data": b"",
        "mix_hash": b"\x66" * 32,
        "nonce": bytes(8),
        "base_fee": 10**9,
        "withdrawals_root": b"\x77" * 32,
        "blob_gas_used": 0,
        "excess_blob_gas": 0,
        "parent_beacon_root": b"\x88" * 32,
        "requests_hash": b"\x99" * 32,
    }
    return Header(**(fields | changes))  # type: ignore[arg-type]


def link(height: int = 7) -> Link:
    source = Checkpoint(BlockHash(b"\xaa" * 32), 6)
    return Link(3, source, Checkpoint(BlockHash(b"\xbb" * 32), height))


SEALED = SealedHeader(header(), SEAL)
VOTE = Vote(link(), SEAL)
CERTIFICATE = Certificate(link(), 0b1011, (SEAL, bytes(65), SEAL))
PAYLOAD = Payload(
    CERTIFICATE,
    (
        SealEvidence(SEALED, SealedHeader(header(6), SEAL)),
        VoteEvidence(VOTE, Vote(link(8), SEAL)),
    ),
    (bytes(80), b"\x01"),
    (b"proof",),
)
WITHDRAWALS = (Withdrawal(0, 0, b"\x12" * 20, 20 * 10**9), Withdrawal(1, 1, b"\x13" * 20, 1))


def fake_transaction(raw: bytes) -> Transaction:
    rest = (None, 0, 0, 0, 0, None, 0, b"", (), (), 0, 0, 0, b"")
    return Transaction(raw, keccak256(raw), 0, *rest)  # type: ignore[arg-type]


LEGACY = rlp.encode([b"\x01", b"legacy"])
BLOCK = codec.make_block(
    SEALED, [fake_transaction(b"\x02rest"), fake_transaction(LEGACY)], WITHDRAWALS, PAYLOAD
)

STRUCTURES = [
    (SEALED.encode(), codec.decode_sealed_header, codec.encode_sealed_header),
    (SEALED.header.encode(), codec.decode_header, codec.encode_header),
    (codec.encode_vote(VOTE), codec.decode_vote, codec.encode_vote),
    (codec.encode_certificate(CERTIFICATE), codec.decode_certificate, codec.encode_certificate),
    (codec.encode_evidence(PAYLOAD.evidence[0]), codec.decode_evidence, codec.encode_evidence),
    (codec.encode_evidence(PAYLOAD.evidence[1]), codec.decode_evidence, codec.encode_evidence),
    (codec.encode_payload(PAYLOAD), codec.decode_payload, codec.encode_payload),
    (codec.encode_payload(Payload()), codec.decode_payload, codec.encode_payload),
    (codec.encode_withdrawals(WITHDRAWALS), codec.decode_withdrawals, codec.encode_withdrawals),
    (
        codec.encode_withdrawals_and_payload(WITHDRAWALS, PAYLOAD),
        codec.decode_withdrawals_and_payload,
        lambda pair: codec.encode_withdrawals_and_payload(*pair),
    ),
    (BLOCK.raw, lambda data: codec.decode_block(data, fake_transaction), lambda block: block.encode()),
]


@pytest.mark.parametrize(("data", "decode", "encode"), STRUCTURES)
def test_every_structure_comes_back(data, decode, encode) -> None:
    assert encode(decode(data)) == data
    assert oracle.encode(oracle.decode(data)) == data  # it is RLP, as another reader sees it


@pytest.mark.parametrize(("data", "decode", "encode"), STRUCTURES)
def test_no_truncation_and_no_addition_is_read(data, decode, encode) -> None:
    for size in range(len(data)):
        with pytest.raises(DecodeError):
            decode(data[:size])
    with pytest.raises(TrailingBytes):
        decode(data + b"\0")


@pytest.mark.parametrize(("data", "decode", "encode"), STRUCTURES)
def test_a_flipped_byte_is_refused_or_means_something_else(data, decode, encode) -> None:
    for at in range(len(data)):
        wrong = data[:at] + bytes((data[at] ^ 0x41,)) + data[at + 1 :]
        try:
            assert encode(decode(wrong)) == wrong
        except DecodeError:
            continue


def test_the_hash_is_over_the_header_without_its_seal() -> None:
    assert SEALED.hash == keccak256(oracle.encode(SEALED.header.fields()))
    assert SealedHeader(SEALED.header, b"").hash == SEALED.hash


def test_transactions_are_read_by_their_eip_2718_bytes() -> None:
    block = codec.decode_block(BLOCK.raw, fake_transaction)
    assert [tx.raw for tx in block.transactions] == [b"\x02rest", LEGACY]
    assert block.raw is BLOCK.raw
    assert block == BLOCK


@pytest.mark.parametrize("raw", [b"\x80rest", LEGACY])
def test_a_string_that_is_no_typed_transaction_is_refused(raw: bytes) -> None:
    fields = [SEALED.header.encode(), rlp.encode_string(SEAL), rlp.encode([raw]), b"\xc0"]
    data = rlp.encode_list([*fields, codec.encode_payload(Payload())])
    with pytest.raises(rlp.WrongShape):
        codec.decode_block(data, fake_transaction)


def test_an_absent_certificate_has_one_form() -> None:
    assert codec.encode_payload(Payload()) == bytes.fromhex("c480c0c0c0")
    with pytest.raises(DecodeError):
        codec.decode_payload(bytes.fromhex("c4c0c0c0c0"))


def test_caps_come_before_anything_is_built() -> None:
    def refuse(_: bytes) -> Transaction:
        raise AssertionError("decoded a transaction of a block that is over a cap")

    parts = [SEALED.header.encode(), rlp.encode_string(SEAL)]
    rest = [b"\xc0", codec.encode_payload(Payload())]
    many = rlp.encode_list([*parts, rlp.encode([b"\x02"] * 10_001), *rest])
    with pytest.raises(OverCap):
        codec.decode_block(many, refuse)
    with pytest.raises(OverCap):
        codec.decode_block(bytes(8_000_001), refuse)


def test_items_of_the_pow_chain_have_caps() -> None:
    for most in (
        Payload(pow_headers=(bytes(4_176),) * 64),
        Payload(deposit_proofs=(bytes(33_305),) * 16),
    ):
        assert codec.decode_payload(codec.encode_payload(most)) == most
    for more in (
        Payload(pow_headers=(bytes(4_177),)),
        Payload(pow_headers=(bytes(80),) * 65),
        Payload(deposit_proofs=(bytes(33_306),)),
        Payload(deposit_proofs=(bytes(100),) * 17),
    ):
        with pytest.raises(OverCap):
            codec.decode_payload(codec.encode_payload(more))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("8100", NotCanonical),
        ("b800", NotCanonical),
        ("b90001ff", NotCanonical),
        ("f800", NotCanonical),
        ("83ffff", UnexpectedEnd),
        ("c3ffff", UnexpectedEnd),
        ("bfffffffffffffffff", UnexpectedEnd),
        ("", UnexpectedEnd),
        ("c0c0", TrailingBytes),
        ("c2c28080", TrailingBytes),
        ("c2c280", UnexpectedEnd),
        ("d0" + "cf" + "00" * 14, UnexpectedEnd),
    ],
)
def test_rlp_has_one_form(data: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        rlp.decode(bytes.fromhex(data))


def test_nesting_is_bounded() -> None:
    data = b"\xc0"
    for _ in range(40):
        data = rlp.encode_list([data])
    with pytest.raises(OverCap):
        rlp.decode(data)


nested = st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=6), max_leaves=20)


@given(nested)
def test_rlp_agrees_with_another_library(item) -> None:
    data = rlp.encode(item)
    assert data == oracle.encode(item)
    assert rlp.decode(data) == item


@given(st.binary(max_size=40))
def test_rlp_reads_only_what_it_would_write(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except DecodeError:
        return
    assert rlp.encode(item) == data


@pytest.mark.parametrize("field", ["difficulty", "number", "base_fee"])
def test_integers_are_bounded(field: str) -> None:
    size = 9 if field == "number" else 33
    with pytest.raises(OverCap):
        codec.decode_header(header(**{field: 1 << (8 * size - 1)}).encode())
