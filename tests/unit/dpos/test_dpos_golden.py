"""The golden bytes of docs/protocol.md section 4.7: whoever changes one of these changes the protocol."""

from pathlib import Path

import pytest
from golden_wire.dpos_examples import EXAMPLES, GENESIS, KEYS, MEMBERS, header

from ioex_chain.dpos import codec, seal
from ioex_chain.dpos.records import decode_record, encode_record
from ioex_chain.dpos.schedule import round_seed, shuffle
from ioex_chain.evm.transactions import decode_transaction

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "tests" / "golden_wire" / "dpos"
TEXT = (ROOT / "docs" / "protocol.md").read_text()
DECODERS = {
    "DposHeader": lambda data: codec.decode_header(data).encode(),
    "DposSealedHeader": lambda data: codec.decode_sealed_header(data).encode(),
    "DposVote": lambda data: codec.encode_vote(codec.decode_vote(data)),
    "DposCertificate": lambda data: codec.encode_certificate(codec.decode_certificate(data)),
    "DposSealEvidence": lambda data: codec.encode_evidence(codec.decode_evidence(data)),
    "DposVoteEvidence": lambda data: codec.encode_evidence(codec.decode_evidence(data)),
    "DposEmptyPayload": lambda data: codec.encode_payload(codec.decode_payload(data)),
    "DposPayload": lambda data: codec.encode_payload(codec.decode_payload(data)),
    "DposBlock": lambda data: _again(codec.decode_block(data, decode_transaction)),
    "DposRecord": lambda data: encode_record(decode_record(data)),
}


def _again(block: codec.Block) -> bytes:
    return codec.make_block(block.header, block.transactions, block.withdrawals, block.payload).raw


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_bytes_are_those_of_the_file_and_the_page(name: str) -> None:
    expected = (FOLDER / f"{name}.hex").read_text().strip()
    assert EXAMPLES[name].hex() == expected
    assert f"| {name} | `{expected}` |" in TEXT


@pytest.mark.parametrize("name", DECODERS)
def test_the_bytes_are_read_and_written_again(name: str) -> None:
    assert DECODERS[name](EXAMPLES[name]) == EXAMPLES[name]


def test_the_seal_names_its_key() -> None:
    sealed = codec.decode_sealed_header(EXAMPLES["DposSealedHeader"])
    assert seal.signer_of(sealed.seal, EXAMPLES["DposSealDigest"]) == MEMBERS.members[0].key
    assert EXAMPLES["DposSealDigest"] == seal.seal_digest(GENESIS, header().hash)
    assert seal.address_of(KEYS[0]) == MEMBERS.members[0].key


def test_the_shuffle_of_the_page() -> None:
    seed = round_seed(5, b"\xbb" * 32)
    assert f"`{seed.hex()}`" in TEXT
    assert ", ".join(map(str, shuffle(13, seed))) in TEXT
