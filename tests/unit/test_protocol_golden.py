"""The golden bytes of docs/protocol.md section 8: whoever changes one of these changes the protocol."""

from hashlib import sha256

from ioex_chain.crypto.address import deposit_script, encode_witness, reserve_change_script, witness_program
from ioex_chain.pow.auxpow import AuxPow
from ioex_chain.pow.block import Block
from ioex_chain.pow.genesis import genesis_block, identity_of
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import NULL_OUTPOINT, OutPoint, Transaction, TxIn, TxOut
from ioex_chain.pow.utxo import decode_coin, encode_coin
from ioex_chain.primitives.codec import Reader
from ioex_chain.spec.load import load_network

REWARD_POOL = bytes.fromhex("000000000000000000000000000000000010e002")
HEADER = "00000020" + "11" * 32 + "22" * 32 + "00105e65" + "ffff7f20" + "2a000000"
TRANSACTION = (
    "02000000"
    "0001"
    "01" + "33" * 32 + "01000000"
    "00"
    "fdffffff"
    "01"
    "00e1f50500000000"
    "160014" + "44" * 20 + "02"
    "01aa"
    "02bbcc"
    "00000000"
)


def test_the_deposit_script_of_the_reward_pool() -> None:
    script = deposit_script(REWARD_POOL)
    assert script.hex() == "6020" + "696f65583a6465706f736974" + REWARD_POOL.hex()
    found = witness_program(script)
    assert found is not None
    assert (
        encode_witness("riox", *found) == "riox1sd9hk2kp6v3jhqmmnd96qqqqqqqqqqqqqqqqqqqqqqqqqqqqsuqpqpnvlcn"
    )


def test_the_reserve_change_script() -> None:
    assert reserve_change_script().hex() == "6020" + "696f65583a72657365727665" + "00" * 20


def test_a_header() -> None:
    header = Header.decode(bytes.fromhex(HEADER))
    assert (header.version, header.time, header.bits, header.nonce) == (
        0x20000000,
        1700663296,
        0x207FFFFF,
        42,
    )
    assert header.parent_hash == b"\x11" * 32
    assert header.merkle_root == b"\x22" * 32
    assert header.encode().hex() == HEADER


def test_a_transaction() -> None:
    tx = Transaction.decode(bytes.fromhex(TRANSACTION))
    assert tx == Transaction.build(
        2,
        [TxIn(OutPoint(b"\x33" * 32 + b"\x01\0\0\0"), b"", 0xFFFFFFFD, (b"\xaa", b"\xbb\xcc"))],
        [TxOut(100_000_000, b"\x00\x14" + b"\x44" * 20)],
    )
    assert tx.encode().hex() == TRANSACTION
    stripped = bytes.fromhex(TRANSACTION[:8] + TRANSACTION[12:-20] + TRANSACTION[-8:])
    assert tx.encode_stripped() == stripped
    assert tx.txid == sha256(sha256(stripped).digest()).digest()
    assert tx.wtxid == sha256(sha256(bytes.fromhex(TRANSACTION)).digest()).digest()


def test_an_auxpow_record() -> None:
    coinbase = Transaction.build(1, [TxIn(NULL_OUTPOINT, b"\x01\x02", 0xFFFFFFFF)], [TxOut(0, b"\x6a")])
    golden = coinbase.raw.hex() + "55" * 32 + "01" + "66" * 32 + "00000000" + "00" + "07000000" + "77" * 80
    record = AuxPow.read(Reader(bytes.fromhex(golden)))
    assert record == AuxPow(coinbase, b"\x55" * 32, (b"\x66" * 32,), 0, (), 7, b"\x77" * 80)
    assert record.encode().hex() == golden


def test_a_coin_row() -> None:
    row = encode_coin(5_000_000_000, b"\x00\x14" + b"\x44" * 20, 7, True)
    assert row.hex() == "0f000000" + "00f2052a01000000" + "0014" + "44" * 20
    assert decode_coin(row) == (5_000_000_000, b"\x00\x14" + b"\x44" * 20, 7, True)


def test_the_genesis_block_reads_back_and_names_the_network() -> None:
    spec = load_network("mainnet")
    block = genesis_block(spec)
    assert Block.decode(block.encode()) == block
    assert identity_of(spec) != identity_of(load_network("testnet"))
