from dataclasses import replace

import pytest
from eth_account import Account

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.crypto.secp256k1 import ORDER
from ioex_chain.dpos import seal
from ioex_chain.dpos.seal import BadSignature
from ioex_chain.dpos.votes import Checkpoint, Link
from ioex_chain.primitives.types import BlockHash

KEY = keccak256(b"a key")
DIGEST = keccak256(b"a digest")
GENESIS = b"\x01" * 32
LINK = Link(2, Checkpoint(BlockHash(b"\x02" * 32), 5), Checkpoint(BlockHash(b"\x03" * 32), 9))


def test_a_signature_names_its_key() -> None:
    signature = seal.sign(KEY, DIGEST)
    assert len(signature) == 65
    assert seal.signer_of(signature, DIGEST) == seal.address_of(KEY)
    assert seal.address_of(KEY).hex() == Account.from_key(KEY).address[2:].lower()


def test_seals_and_votes_are_told_apart_and_bound_to_the_network() -> None:
    assert seal.seal_digest(GENESIS, b"\x02" * 32) == keccak256(
        keccak256(b"ioeX/seal/v1") + GENESIS + b"\x02" * 32
    )
    assert seal.vote_digest(GENESIS, LINK) == keccak256(
        keccak256(b"ioeX/vote/v1")
        + GENESIS
        + (2).to_bytes(8, "big")
        + b"\x02" * 32
        + (5).to_bytes(8, "big")
        + b"\x03" * 32
        + (9).to_bytes(8, "big")
    )
    assert seal.vote_digest(bytes(32), LINK) != seal.vote_digest(GENESIS, LINK)
    assert seal.vote_digest(GENESIS, replace(LINK, set_number=3)) != seal.vote_digest(GENESIS, LINK)


def test_the_other_form_of_a_signature_is_refused() -> None:
    signature = seal.sign(KEY, DIGEST)
    high = (ORDER - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    with pytest.raises(BadSignature):
        seal.signer_of(signature[:32] + high + bytes((signature[64] ^ 1,)), DIGEST)


@pytest.mark.parametrize("wrong", [b"", bytes(65), bytes(64), bytes(66), b"\xff" * 64 + b"\0"])
def test_what_is_no_signature_is_refused(wrong: bytes) -> None:
    with pytest.raises(BadSignature):
        seal.signer_of(wrong, DIGEST)


def test_the_recovery_byte_is_0_or_1() -> None:
    signature = seal.sign(KEY, DIGEST)
    for byte in (2, 3, 27, 28):
        with pytest.raises(BadSignature):
            seal.signer_of(signature[:64] + bytes((byte,)), DIGEST)
