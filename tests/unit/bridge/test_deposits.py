"""Deposits in blocks, their names, and the Bridge's rule in Python."""

import hashlib
from dataclasses import dataclass, field, replace

import pytest

from ioex_chain.bridge import deposits
from ioex_chain.bridge.deposits import (
    BlockProofs,
    Deposit,
    check_proof,
    deposit_id,
    find_deposits,
    parse_deposit_id,
    prove_deposits,
)
from ioex_chain.crypto.address import deposit_script, reserve_change_script
from ioex_chain.evm.bridge import DepositProof
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import NULL_OUTPOINT, Transaction, TxIn, TxOut
from ioex_chain.primitives.merkle import merkle_branch, merkle_root
from ioex_chain.primitives.types import OutPoint

ALICE = b"\xa1" * 20
P2WPKH = b"\x00\x14" + b"\x11" * 20


def payment(name: str = "coin", *outputs: TxOut) -> Transaction:
    spent = OutPoint(hashlib.sha256(name.encode()).digest() + bytes(4))
    made = outputs or (TxOut(700, P2WPKH), TxOut(900, deposit_script(ALICE)))
    return Transaction.build(2, [TxIn(spent, b"", 0xFFFFFFFF, (b"\x30" * 71, b"\x02" * 33))], made)


def coinbase(*outputs: TxOut) -> Transaction:
    return Transaction.build(2, [TxIn(NULL_OUTPOINT, b"\x51\x00", 0xFFFFFFFF)], outputs)


def block_of(*transactions: Transaction) -> Block:
    body = (coinbase(TxOut(2_000, deposit_script(b"\x77" * 20))), *transactions)
    root, _ = merkle_root([bytes(one.txid) for one in body])
    return Block.build(Header.build(0x20000000, bytes(32), root, 1, 0x207FFFFF, 0), body)


@dataclass
class Chain:
    """A best chain by hand."""

    heights: dict[bytes, int] = field(default_factory=dict)
    buried: int = 10
    credited: set[tuple[bytes, int]] = field(default_factory=set)

    def height_of(self, hash_: bytes) -> int | None:
        return self.heights.get(hash_)

    def buried_height(self) -> int:
        return self.buried

    def is_credited(self, txid: bytes, vout: int) -> bool:
        return (txid, vout) in self.credited


# --- finding and proving ---------------------------------------------------------------------------------


def test_deposits_are_found_where_they_are():
    two = payment("two", TxOut(1, deposit_script(ALICE)), TxOut(5, reserve_change_script()), TxOut(2, P2WPKH))
    nothing = payment("nothing", TxOut(0, deposit_script(ALICE)), TxOut(3, b"\x6a\x01\x07"))
    block = block_of(payment(), nothing, two)
    assert find_deposits(block) == (
        (1, Deposit(block.transactions[1].txid, 1, ALICE, 900)),
        (3, Deposit(two.txid, 0, ALICE, 1)),
    )
    assert prove_deposits(block_of(nothing)) == ()
    large = prove_deposits(block, lambda deposit: deposit.amount >= 10)
    assert [deposit.amount for deposit, _ in large] == [900]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 33])
def test_branches_are_those_of_the_merkle_tree(count):
    block = block_of(*[payment(str(at)) for at in range(count - 1)])
    proofs = BlockProofs(block)
    ids = [bytes(one.txid) for one in block.transactions]
    assert [proofs.branch(at) for at in range(count)] == [
        tuple(merkle_branch(ids, at)) for at in range(count)
    ]


def test_a_proof_carries_the_transaction_without_its_witness():
    block = block_of(payment())
    (deposit, proof), *_ = prove_deposits(block)
    assert block.transactions[1].raw != proof.raw == block.transactions[1].encode_stripped()
    assert proof == DepositProof(block.header.core, 1, (bytes(block.transactions[0].txid),), 1, proof.raw)
    assert check_proof(proof, Chain({block.hash: 3})) == deposit


def test_a_deposit_has_a_name():
    txid = bytes(range(32))
    name = deposit_id(txid, 7)
    assert name == txid[::-1].hex() + ":7"
    assert Deposit(txid, 7, ALICE, 1).id == name
    assert parse_deposit_id(name) == (txid, 7)
    assert parse_deposit_id(deposit_id(txid, 2**32 - 1)) == (txid, 2**32 - 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "00" * 32,
        "00" * 32 + ":",
        "00" * 31 + ":1",
        "zz" * 32 + ":1",
        *(
            "00" * 32 + ":" + vout
            for vout in ("-1", "01", "+1", " 1", "1 ", "x", "4294967296", "9" * 5_000, "\u0661", "1:1")
        ),
    ],
)
def test_other_names_are_no_deposits(text):
    with pytest.raises(ValueError, match=r"named|hex"):
        parse_deposit_id(text)


# --- checking --------------------------------------------------------------------------------------------


def good() -> tuple[DepositProof, Chain]:
    block = block_of(payment(), payment("other"))
    return BlockProofs(block).prove(1, 1), Chain({block.hash: 3})


REFUSALS = [
    (lambda p, c: (replace(p, index=0), c), deposits.CoinbaseDeposit),
    (lambda p, c: (replace(p, raw=bytes(64)), c), deposits.InnerNode),
    (lambda p, c: (replace(p, raw=p.raw[:93]), c), deposits.TransactionTruncated),
    (lambda p, c: (replace(p, raw=p.raw[:-1]), c), deposits.TransactionTruncated),
    (lambda p, c: (replace(p, raw=p.raw + b"\0"), c), deposits.TransactionTrailing),
    (lambda p, c: (replace(p, raw=bytes(32_769)), c), deposits.TransactionTooLarge),
    (lambda p, c: (replace(p, raw=p.raw[:4] + b"\xfd\x01\x00" + p.raw[5:]), c), deposits.SizeForm),
    (lambda p, c: (replace(p, raw=payment().raw), c), deposits.NoInputs),
    (lambda p, c: (replace(p, raw=p.raw[:5] + bytes(32) + p.raw[37:]), c), deposits.CoinbaseDeposit),
    (lambda p, c: (replace(p, vout=2), c), deposits.NoSuchOutput),
    (lambda p, c: (replace(p, vout=0), c), deposits.NoDepositOutput),
    (lambda p, c: (p, replace(c, credited={(payment().txid, 1)})), deposits.CreditedBefore),
    (lambda p, c: (replace(p, header=p.header[:79]), c), deposits.HeaderSize),
    (lambda p, c: (replace(p, branch=p.branch[:1], index=2), c), deposits.WrongIndex),
    (lambda p, c: (replace(p, branch=p.branch * 8), c), deposits.WrongIndex),
    (lambda p, c: (replace(p, header=p.header[:36] + bytes(32) + p.header[68:]), c), deposits.EmptyRoot),
    (lambda p, c: (p, Chain()), deposits.NotOnBestChain),
    (lambda p, c: (replace(p, branch=(payment().txid, p.branch[1])), c), deposits.DuplicateNode),
    (lambda p, c: (replace(p, branch=p.branch[::-1]), c), deposits.WrongBranch),
    (lambda p, c: (p, replace(c, heights=dict.fromkeys(c.heights, 0))), deposits.GenesisDeposit),
    (lambda p, c: (p, replace(c, buried=2)), deposits.NotBuried),
]


@pytest.mark.parametrize(("change", "error"), REFUSALS)
def test_each_fault_has_its_own_error(change, error):
    proof, chain = good()
    assert check_proof(proof, chain).amount == 900
    with pytest.raises(error) as caught:
        check_proof(*change(proof, chain))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("amount", "error"), [(0, deposits.NoAmount), (20_000_000 * 10**8 + 1, deposits.TooMuch)]
)
def test_amounts_have_bounds(amount, error):
    block = block_of(payment("coin", TxOut(amount, deposit_script(ALICE))))
    with pytest.raises(error):
        check_proof(BlockProofs(block).prove(1, 0), Chain({block.hash: 3}))


def test_every_error_has_a_word_of_its_own():
    errors = deposits.DepositRefused.__subclasses__()
    assert len({error.reason for error in errors}) == len(errors) == 20
