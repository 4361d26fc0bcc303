"""Decoders give back what was written, and raise DecodeError and nothing else on everything else (R20)."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.crypto.address import decode_witness, encode_witness, witness_script
from ioex_chain.crypto.hashes import sha256d
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import OutPoint, Transaction, TxIn, TxOut
from ioex_chain.pow.utxo import Coin, decode_coin, encode_coin
from ioex_chain.primitives.codec import Reader, compact
from ioex_chain.primitives.errors import DecodeError, NotCanonical, OverCap
from ioex_chain.primitives.merkle import branch_root, merkle_branch, merkle_root

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzz"))
import decoders

uint32 = st.integers(0, 2**32 - 1)
uint64 = st.integers(0, 2**64 - 1)
hashes = st.binary(min_size=32, max_size=32)
inputs = st.builds(
    TxIn,
    st.binary(min_size=36, max_size=36).map(OutPoint),
    st.binary(max_size=300),
    uint32,
    st.lists(st.binary(max_size=300), max_size=4).map(tuple),
)
outputs = st.builds(TxOut, uint64, st.binary(max_size=300))
transactions = st.builds(
    Transaction.build,
    uint32,
    st.lists(inputs, min_size=1, max_size=4),
    st.lists(outputs, max_size=4),
    uint32,
)
headers = st.builds(
    Header.build, uint32.map(lambda version: version & ~0x100), hashes, hashes, uint32, uint32, uint32
)


@given(transactions)
def test_transaction_round_trip(tx):
    again = Transaction.decode(tx.encode())
    assert again == tx
    assert (again.version, again.inputs, again.outputs, again.lock_time) == (
        tx.version,
        tx.inputs,
        tx.outputs,
        tx.lock_time,
    )
    assert (again.txid, again.wtxid) == (sha256d(tx.encode_stripped()), sha256d(tx.encode()))
    assert again.stripped_size == len(again.encode_stripped())
    assert Transaction.decode(again.encode_stripped()).txid == tx.txid


@given(transactions, st.data())
def test_every_truncation_of_a_transaction_is_refused(tx, data):
    cut = data.draw(st.integers(0, len(tx.raw) - 1))
    with pytest.raises(DecodeError):
        Transaction.decode(tx.raw[:cut])
    with pytest.raises(DecodeError):
        Transaction.decode(tx.raw + b"\x00")


@given(headers, st.lists(transactions, max_size=4))
def test_block_round_trip(header, body):
    block = Block.build(header, body)
    again = Block.decode(block.encode())
    assert again == block
    assert again.transactions == tuple(body)
    assert again.hash == sha256d(header.core)


@given(uint64)
def test_compact_round_trip(number):
    reader = Reader(compact(number))
    assert reader.compact(2**64 - 1) == number
    reader.finish()


@given(uint64, st.sampled_from([(0xFD, 2), (0xFE, 4), (0xFF, 8)]))
def test_compact_has_one_form(number, form):
    first, size = form
    number %= 1 << 8 * size
    data = bytes((first,)) + number.to_bytes(size, "little")
    if compact(number) == data:
        assert Reader(data).compact(2**64 - 1) == number
    else:
        with pytest.raises(NotCanonical):
            Reader(data).compact(2**64 - 1)


@given(st.integers(0, 2**31 - 1), uint64, st.booleans(), st.binary(max_size=50))
def test_coin_round_trip(height, value, is_coinbase, script):
    row = encode_coin(value, script, height, is_coinbase)
    assert decode_coin(row) == Coin(value, script, height, is_coinbase)


@given(st.integers(0, 16), st.binary(min_size=2, max_size=40), st.sampled_from(["ioex", "tiox", "riox"]))
def test_address_round_trip(version, program, prefix):
    if version == 0:
        program = (program * 16)[:20] if len(program) < 21 else (program * 16)[:32]
    address = encode_witness(prefix, version, program)
    assert decode_witness(prefix, address) == (version, program)
    assert decode_witness(prefix, address.upper()) == (version, program)
    assert len(witness_script(version, program)) == len(program) + 2


@pytest.mark.parametrize(
    "data",
    [
        bytes(4) + b"\xff" + b"\xff" * 8,  # inputs
        bytes(4) + b"\xfe\xff\xff\xff\x7f" + bytes(80),
        bytes(4) + b"\x01" + bytes(36) + b"\x00" + bytes(4) + b"\xfe\xff\xff\xff\x7f",  # outputs
        bytes(4) + b"\x00\x01\x01" + bytes(36) + b"\x00" + bytes(4) + b"\x00\xfe\xff\xff\xff\x7f",  # witness
    ],
    ids=["inputs 2^64", "inputs 2^31", "outputs 2^31", "witness items 2^31"],
)
def test_huge_counts_are_refused_before_allocation(data):
    decoder = decoders.Decoder("transaction", Transaction.decode, lambda tx: tx.raw, ())
    with pytest.raises(OverCap):
        Transaction.decode(data)
    decoders.check_memory(decoder, data)


@pytest.mark.parametrize("size", [8_000_000, 8_000_001])
def test_noise_of_a_blocks_size_costs_little(size):
    data = bytes(80) + compact(10_000) + b"\xfe" * (size - 83)
    decoder = decoders.Decoder("block", Block.decode, lambda block: block.raw, ())
    decoders.check_memory(decoder, data)
    with pytest.raises(DecodeError):
        Block.decode(data)


def test_fuzz_target_finds_nothing():
    counts = decoders.run(20_000, seed=20_336)
    assert all(accepted for accepted, _ in counts.values()), counts


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
def test_fuzz_target_finds_nothing_in_a_million(seed):
    decoders.run(1_000_000, seed)


@given(st.lists(hashes, min_size=1, max_size=40), st.data())
def test_merkle_branch_leads_to_the_root(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, _ = merkle_root(leaves)
    branch = merkle_branch(leaves, index)
    assert branch_root(leaves[index], branch, index) == root
    assert len(branch) == (len(leaves) - 1).bit_length()


@given(st.lists(hashes, min_size=1, max_size=40, unique=True))
def test_merkle_of_distinct_leaves_is_not_mutated(leaves):
    root, mutated = merkle_root(leaves)
    assert not mutated
    assert len(leaves) == 1 or merkle_root(leaves[:-1])[0] != root


@given(st.lists(hashes, min_size=2, max_size=33, unique=True), st.data())
def test_merkle_doubling_that_keeps_the_root_is_seen(leaves, data):
    """Doubling the end of a list that is odd at some level keeps the root; then it is called mutated."""
    count = data.draw(st.integers(1, len(leaves)))
    doubled = leaves + leaves[-count:]
    if merkle_root(doubled)[0] == merkle_root(leaves)[0]:
        assert merkle_root(doubled)[1]


def naive_root(level: list[bytes]) -> bytes:
    """The Merkle root as one would write it down."""
    if len(level) == 1:
        return level[0]
    if len(level) % 2:
        level = [*level, level[-1]]
    return naive_root([sha256d(level[i] + level[i + 1]) for i in range(0, len(level), 2)])


@given(st.lists(hashes, min_size=1, max_size=40))
def test_merkle_root_is_bitcoins(leaves):
    assert merkle_root(leaves)[0] == naive_root(leaves)
