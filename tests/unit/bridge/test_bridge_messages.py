"""Requests and deposit proofs in bytes: one form each, everything else refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.crypto.address import deposit_script
from ioex_chain.evm import bridge_messages as messages
from ioex_chain.evm.bridge_messages import (
    DepositProof,
    Handover,
    ProofForm,
    RequestAmount,
    RequestError,
    RequestLength,
    RequestMembers,
    RequestNumber,
    RequestScript,
    UnknownRequest,
    Withdraw,
    accumulate,
    accumulator_request,
    decode_accumulator,
    decode_proof,
    decode_request,
    encode_proof,
    encode_request,
)

P2WPKH, P2WSH, P2TR = b"\x00\x14" + b"\x11" * 20, b"\x00\x20" + b"\x22" * 32, b"\x51\x20" + b"\x33" * 32
A, B = b"\xaa" * 20, b"\xbb" * 20
WITHDRAW = "1000000000000000010000000000004e20" + "0014" + "11" * 20
HANDOVER = "11" + "0000000000000002" + "0000000000000001" + "aa" * 20 + "bb" * 20


def test_the_documented_examples():
    assert encode_request(Withdraw(1, 20_000, P2WPKH)).hex() == WITHDRAW
    assert encode_request(Handover(2, 1, (A, B))).hex() == HANDOVER
    accumulator = accumulate(accumulate(bytes(32), bytes.fromhex(WITHDRAW)), bytes.fromhex(HANDOVER))
    last = "ff0000000000000002cdfff8510ced7aad33b17562b0c56748cdb796f02c160af2ab3e26b890e19dc1"
    assert accumulator_request(2, accumulator).hex() == last
    assert decode_accumulator(bytes.fromhex(last)) == (2, accumulator)


@pytest.mark.parametrize(
    "request_",
    [
        Withdraw(1, 1, P2WPKH),
        Withdraw(2**64 - 1, messages.MAX_OUTPUT, P2WSH),
        Withdraw(77, 20_000, P2TR),
        Handover(1, 1, (A,)),
        Handover(9, 2**64 - 1, tuple(bytes(19) + bytes((at + 1,)) for at in range(64))),
    ],
)
def test_requests_are_read_as_written(request_):
    assert decode_request(encode_request(request_)) == request_


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", UnknownRequest),
        (b"\x12" + bytes.fromhex(WITHDRAW)[1:], UnknownRequest),
        (b"\x00" * 39, UnknownRequest),
        (b"\xff" + bytes(40), UnknownRequest),
        (b"\x10", RequestLength),
        (b"\x11" + bytes(15) + b"\x01", RequestLength),
        (bytes.fromhex(WITHDRAW)[:-1], RequestLength),
        (bytes.fromhex(WITHDRAW) + b"\0", RequestLength),
        (bytes.fromhex(HANDOVER)[:-1], RequestLength),
        (bytes.fromhex(HANDOVER) + b"\0", RequestLength),
        (encode_request(Withdraw(0, 20_000, P2WPKH)), RequestNumber),
        (encode_request(Handover(0, 1, (A,))), RequestNumber),
        (encode_request(Handover(1, 0, (A,))), RequestNumber),
        (encode_request(Withdraw(1, 0, P2WPKH)), RequestAmount),
        (encode_request(Withdraw(1, messages.MAX_OUTPUT + 1, P2WPKH)), RequestAmount),
        (encode_request(Withdraw(1, 20_000, b"\x00\x15" + bytes(20))), RequestScript),
        (encode_request(Withdraw(1, 20_000, b"\x51\x14" + bytes(20))), RequestScript),
        (encode_request(Withdraw(1, 20_000, deposit_script(A))), RequestScript),
        (encode_request(Handover(1, 1, (A, bytes(20)))), RequestMembers),
        (encode_request(Handover(1, 1, (A, B, A))), RequestMembers),
        (
            encode_request(Handover(1, 1, tuple(bytes(19) + bytes((at + 1,)) for at in range(65)))),
            RequestMembers,
        ),
    ],
)
def test_other_bytes_are_no_request(data, error):
    with pytest.raises(error):
        decode_request(data)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", UnknownRequest),
        (b"\x10" + bytes(40), UnknownRequest),
        (b"\xff" + bytes(39), RequestLength),
        (b"\xff" + bytes(41), RequestLength),
        (b"\xff" + bytes(8) + b"\x01" * 32, RequestNumber),
        (b"\xff" + bytes(7) + b"\x01" + bytes(32), RequestNumber),
    ],
)
def test_other_bytes_are_no_accumulator(data, error):
    with pytest.raises(error):
        decode_accumulator(data)


def test_an_accumulator_depends_on_every_request_and_their_order():
    one, two = bytes.fromhex(WITHDRAW), bytes.fromhex(HANDOVER)
    made = {
        accumulate(bytes(32), one),
        accumulate(bytes(32), two),
        accumulate(accumulate(bytes(32), one), two),
        accumulate(accumulate(bytes(32), two), one),
        accumulate(accumulate(bytes(32), one), one),
    }
    assert len(made) == 5


@pytest.mark.parametrize("depth", [0, 1, 14])
def test_a_proof_is_read_as_written(depth):
    branch = tuple(bytes((at + 1,)) * 32 for at in range(depth))
    proof = DepositProof(b"\x01" * 80, 9_999, branch, 2**32 - 1, b"\x05" * 94)
    data = encode_proof(proof)
    assert len(data) == 80 + 4 + 1 + 32 * depth + 4 + 94
    assert decode_proof(data) == proof
    assert data[80:85] == b"\x00\x00\x27\x0f" + bytes((depth,))


def test_other_bytes_are_no_proof():
    proof = encode_proof(DepositProof(b"\x01" * 80, 3, (b"\x02" * 32,) * 2, 1, b"\x05"))
    for size in range(len(proof)):
        with pytest.raises(ProofForm):
            decode_proof(proof[:size])
    decode_proof(proof)
    with pytest.raises(ProofForm, match="branch of 15"):
        decode_proof(encode_proof(DepositProof(b"\x01" * 80, 3, (b"\x02" * 32,) * 15, 1, b"\x05")))
    largest = DepositProof(b"\x01" * 80, 3, (), 1, bytes(messages.MAX_RAW))
    assert decode_proof(encode_proof(largest)) == largest
    with pytest.raises(ProofForm, match="32769 bytes"):
        decode_proof(encode_proof(largest) + b"\0")


HEADS = st.sampled_from([b"", b"\x10", b"\x11", b"\xff", bytes.fromhex(WITHDRAW), bytes.fromhex(HANDOVER)])


@given(head=HEADS, body=st.binary(max_size=120), cut=st.integers(0, 60))
def test_whatever_is_read_as_a_request_is_written_so(head, body, cut):
    data = head[: len(head) - cut] + body
    try:
        request = decode_request(data)
    except RequestError:
        return
    assert encode_request(request) == data


@given(head=st.binary(min_size=84, max_size=84), depth=st.integers(0, 20), rest=st.binary(max_size=600))
def test_whatever_is_read_as_a_proof_is_written_so(head, depth, rest):
    data = head + bytes((depth,)) + rest
    try:
        proof = decode_proof(data)
    except ProofForm:
        return
    assert encode_proof(proof) == data
