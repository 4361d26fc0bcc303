"""Deposits: proven from the raw transaction, each outpoint once, nothing on anybody's word."""

from dataclasses import replace
from typing import Any

import pytest
from bridge_world import ALICE, P2TR, P2WPKH, BridgeWorld, block_of, payment, spend
from contract_world import Reverted, address
from eth_abi import decode

from ioex_chain.bridge.deposits import BlockProofs, prove_deposits
from ioex_chain.crypto.address import deposit_script, reserve_change_script
from ioex_chain.crypto.hashes import sha256d
from ioex_chain.evm import bridge
from ioex_chain.evm.bridge import DepositProof
from ioex_chain.evm.types import SYSTEM_ADDRESS, Withdrawal
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import NULL_OUTPOINT, Transaction, TxIn, TxOut
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.merkle import branch_root
from ioex_chain.primitives.types import OutPoint

MAX_OUTPUT = 20_000_000 * 10**8


@pytest.fixture
def world() -> BridgeWorld:
    return BridgeWorld()


def refused(world: BridgeWorld, proof: DepositProof, reason: str) -> None:
    tail = world.reader.credit_tail
    with pytest.raises(Reverted) as error:
        world.prove(proof)
    assert str(error.value) == reason
    assert world.reader.credit_tail == tail


def one(world: BridgeWorld, transaction: Transaction | None = None, height: int = 5) -> tuple[Block, Any]:
    """A buried block of three with the transaction at place 1."""
    return world.buried_block(transaction or payment(), payment("other", address(2)), height=height)


def test_a_proven_deposit_is_queued_once(world):
    block, proofs = one(world)
    transaction = block.transactions[1]
    assert not world.reader.is_credited(transaction.txid, 1)
    assert world.prove(proofs.prove(1, 1)) == 0
    assert world.event_names("Bridge") == ["DepositCredited"]
    log = world.logs[0]
    assert decode(["bytes32", "uint256", "uint256", "uint256"], log.data) == (
        bytes(transaction.txid),
        1,
        50_000_000,
        0,
    )
    assert log.topics[1] == bridge.outpoint_key(transaction.txid, 1)
    assert log.topics[2][12:] == ALICE
    reader = world.reader
    assert reader.is_credited(transaction.txid, 1)
    assert reader.credit_of(transaction.txid, 1) == 0
    assert not reader.is_credited(transaction.txid, 0)
    assert reader.due_credits() == (Withdrawal(0, 1, ALICE, 50_000_000),)
    assert reader.credited_deposits == 50_000_000
    assert world.get("isCredited", bytes(transaction.txid), 1)
    assert world.get("creditIndex", bytes(transaction.txid), 1) == 0
    assert world.get("credit", 0) == ("0x" + ALICE.hex(), 50_000_000, 1)
    with pytest.raises(Reverted, match="not credited"):
        world.get("creditIndex", bytes(transaction.txid), 0)


def test_the_protocol_proves_as_anybody_does(world):
    _, proofs = one(world)
    assert world.prove(proofs.prove(1, 1), sender=SYSTEM_ADDRESS) == 0
    assert world.prove(proofs.prove(2, 1), sender=address(9)) == 1
    assert [credit.address for credit in world.reader.due_credits()] == [ALICE, address(2)]


def test_each_output_of_a_transaction_counts_by_itself(world):
    accounts = [address(at) for at in range(4)]
    outputs = [TxOut(1000 + at, deposit_script(account)) for at, account in enumerate(accounts)]
    block, proofs = one(world, Transaction.build(2, spend(), outputs))
    for vout in (2, 0, 3, 1):
        world.prove(proofs.prove(1, vout))
    assert [(item.address, item.amount) for item in world.reader.due_credits()] == [
        (accounts[vout], 10 * (1000 + vout)) for vout in (2, 0, 3, 1)
    ]
    assert [found.vout for found, _ in prove_deposits(block)] == [0, 1, 2, 3, 1]


# --- replays ---------------------------------------------------------------------------------------------


def test_a_replay_is_refused_ten_times(world):
    _, proofs = one(world)
    world.prove(proofs.prove(1, 1))
    for _ in range(10):
        refused(world, proofs.prove(1, 1), "credited before")
        world.next_block()
    assert sum(credit.amount for credit in world.taken if credit.validator_index == 1) == 50_000_000


def test_a_replay_after_a_reorganisation_is_refused(world):
    block, proofs = one(world)
    world.prove(proofs.prove(1, 1))
    world.client("drop(bytes32)", bytes(block.hash))
    other = block_of(payment("new"), block.transactions[1], height=6)
    world.put(other, 6)
    world.client("bury(uint256)", 6)
    refused(world, BlockProofs(other).prove(2, 1), "credited before")
    assert world.prove(BlockProofs(other).prove(1, 1)) == 1


@pytest.mark.parametrize(
    ("others", "place", "copies"),
    [(1, 2, [3]), (3, 4, [5, 6, 7]), (4, 5, [7])],
    ids=["odd leaves", "odd leaves and nodes", "odd nodes"],
)
def test_the_filling_of_a_tree_is_no_place(world, others, place, copies):
    last = payment("last", address(3))
    block, proofs = world.buried_block(*[payment(str(at)) for at in range(others)], last)
    assert block.transactions[place] is last
    for copy in copies:
        branch = _branch_at(block, copy)
        assert branch_root(last.txid, branch, copy) == block.header.merkle_root
        proof = replace(proofs.prove(place, 1), index=copy, branch=branch)
        refused(world, proof, "duplicate")
    world.prove(proofs.prove(place, 1))
    for copy in copies:
        refused(
            world,
            replace(proofs.prove(place, 1), index=copy, branch=_branch_at(block, copy)),
            "credited before",
        )


def _branch_at(block: Block, index: int) -> tuple[bytes, ...]:
    """The branch that leads from the filling at `index` to the root."""
    level, branch = [bytes(one.txid) for one in block.transactions], []
    while len(level) > 1:
        level += level[-1:] if len(level) & 1 else []
        at = min(index, len(level) - 1 - (len(level) - 1 - index) % 2)
        branch.append(level[at ^ 1])
        level = [sha256d(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
        index >>= 1
    return tuple(branch)


# --- what is no deposit ----------------------------------------------------------------------------------


def test_a_coinbase_output_is_no_deposit(world):
    _, proofs = one(world)
    refused(world, proofs.prove(0, 0), "coinbase")
    refused(world, replace(proofs.prove(0, 0), index=1), "coinbase")
    null = Transaction.build(2, [*spend(), TxIn(NULL_OUTPOINT, b"", 0)], [TxOut(500, deposit_script(ALICE))])
    _, proofs = one(world, null, height=7)
    refused(world, proofs.prove(1, 0), "coinbase")
    first, raw = sha256d(b"second"), payment().encode_stripped()
    header = Header.build(0x20000000, bytes(32), sha256d(sha256d(raw) + first), 1, 0x207FFFFF, 0)
    world.client("put(bytes32,uint256)", bytes(header.hash), 3)
    refused(world, DepositProof(header.core, 0, (first,), 1, raw), "coinbase")  # whatever stands there
    odd = TxIn(OutPoint(bytes(36)), b"", 0)
    _, proofs = one(world, Transaction.build(2, [odd], [TxOut(500, deposit_script(ALICE))]), height=8)
    refused(world, proofs.prove(1, 0), "coinbase")


def test_genesis_outputs_are_no_deposits(world):
    _, proofs = one(world, height=0)
    refused(world, proofs.prove(1, 1), "genesis")


def test_what_a_settlement_pays_is_no_deposit(world):
    outputs = [TxOut(10**8, P2WPKH), TxOut(10**10, reserve_change_script())]
    _, proofs = one(world, Transaction.build(2, spend(inputs=1), outputs))
    for vout in (0, 1):
        refused(world, proofs.prove(1, vout), "no deposit output")
    refused(world, proofs.prove(1, 2), "no such output")


@pytest.mark.parametrize(
    "script",
    [
        b"\x60\x20" + b"ioeX:deposiT" + bytes(20),
        b"\x5f\x20" + b"ioeX:deposit" + bytes(20),
        b"\x60\x1f" + b"ioeX:deposit" + bytes(20),
        b"\x60\x20" + b"ioeX:deposit" + bytes(19),
        b"\x60\x20" + b"ioeX:deposit" + bytes(21),
        b"",
        P2TR,
    ],
)
def test_only_a_deposit_program_is_a_deposit(world, script):
    _, proofs = one(world, Transaction.build(2, spend(), [TxOut(500, script), TxOut(1, P2WPKH + P2TR)]))
    refused(world, proofs.prove(1, 0), "no deposit output")


@pytest.mark.parametrize(
    ("amount", "reason"),
    [(0, "no amount"), (MAX_OUTPUT + 1, "amount"), (2**64 - 1, "amount"), (1, ""), (MAX_OUTPUT, "")],
)
def test_an_amount_is_one_that_an_output_may_hold(world, amount, reason):
    _, proofs = one(world, payment(amount=amount))
    if reason:
        refused(world, proofs.prove(1, 1), reason)
    else:
        world.prove(proofs.prove(1, 1))
        assert world.reader.credit(0).amount == 10 * amount


@pytest.mark.parametrize("step", [-1, 1])
def test_a_unit_more_or_less_is_another_transaction(world, step):
    _, proofs = one(world)
    proof = proofs.prove(1, 1)
    other = payment(amount=5_000_000 + step).encode_stripped()
    assert len(other) == len(proof.raw)
    refused(world, replace(proof, raw=other), "root")


# --- forged proofs ---------------------------------------------------------------------------------------


def test_an_unburied_block_proves_nothing_yet(world):
    _, proofs = one(world, height=5)
    world.client("bury(uint256)", 4)
    refused(world, proofs.prove(1, 1), "not buried")
    world.client("bury(uint256)", 5)
    world.prove(proofs.prove(1, 1))


def test_only_the_best_chain_proves(world):
    block, proofs = one(world)
    rival = BlockProofs(block_of(payment("rival"), salt=b"fork", height=5))
    refused(world, rival.prove(1, 1), "not on the best chain")
    world.client("drop(bytes32)", bytes(block.hash))
    refused(world, proofs.prove(1, 1), "not on the best chain")


def test_empty_zero_and_duplicated_roots_prove_nothing(world):
    transaction = payment()
    bare = DepositProof(b"", 1, (bytes(32),), 1, transaction.encode_stripped())
    refused(world, bare, "size")
    for root, reason in ((bytes(32), "zero"), (bytes(transaction.txid), "root")):
        header = Header.build(0x20000000, bytes(32), root, 1, 0x207FFFFF, 0)
        world.client("put(bytes32,uint256)", bytes(header.hash), 3)
        world.client("bury(uint256)", 3)
        proof = replace(bare, header=header.core)
        refused(world, replace(proof, header=header.core[:79]), "size")
        refused(world, proof, reason)
        refused(world, replace(proof, branch=()), "index")  # a root that is the transaction itself
        refused(
            world,
            replace(proof, branch=(bytes(transaction.txid),)),
            reason if root == bytes(32) else "duplicate",
        )


def test_short_and_long_branches_prove_nothing(world):
    _, proofs = world.buried_block(*[payment(str(at)) for at in range(7)])
    proof = proofs.prove(5, 1)
    refused(world, replace(proof, branch=proof.branch[:-1]), "index")
    refused(world, replace(proof, branch=proof.branch[1:], index=2), "root")
    refused(world, replace(proof, branch=(*proof.branch, b"\x07" * 32)), "root")
    refused(world, replace(proof, branch=proof.branch[::-1]), "root")
    refused(world, replace(proof, index=4), "root")
    refused(world, replace(proof, index=5 + 8), "index")
    refused(world, replace(proof, index=2**256 - 1), "index")
    with pytest.raises(Reverted):  # more than 14 are no calldata
        world.prove(replace(proof, branch=(b"\x07" * 32,) * 15))


def test_an_inner_node_is_no_transaction(world):
    """The 64 bytes of an inner node hash to a node of the tree, one level up."""
    block, proofs = world.buried_block(*[payment(str(at)) for at in range(3)])
    level = [bytes(one.txid) for one in block.transactions]
    node = level[2] + level[3]
    forged = replace(proofs.prove(2, 0), index=1, branch=proofs.branch(2)[1:], raw=node)
    refused(world, forged, "64 bytes")


def test_every_flipped_byte_of_a_proof_is_refused(world):
    _, proofs = world.buried_block(payment(), payment("other"), payment("more"))
    proof = proofs.prove(2, 1)
    data = bridge.encode_proof(proof)
    accepted = []
    for at in range(len(data)):
        for mask in (0x01, 0xFF):
            forged = data[:at] + bytes((data[at] ^ mask,)) + data[at + 1 :]
            try:
                world.prove(bridge.decode_proof(forged))
            except (Reverted, DecodeError):
                continue
            accepted.append(at)
    assert accepted == []
    assert world.reader.credit_tail == 0
    assert world.prove(proof) == 0


# --- the transaction's form ------------------------------------------------------------------------------


def alone(world: BridgeWorld, raw: bytes, vout: int = 0, height: int = 9) -> DepositProof:
    """A proof whose tree really has these bytes as a leaf."""
    sibling = sha256d(b"sibling")
    root = sha256d(sibling + sha256d(raw))
    header = Header.build(0x20000000, bytes(32), root, 1, 0x207FFFFF, 0)
    world.client("put(bytes32,uint256)", bytes(header.hash), height)
    world.client("bury(uint256)", height)
    return DepositProof(header.core, 1, (sibling,), vout, raw)


def simple(inputs: int = 1, lock: bytes = bytes(4)) -> bytes:
    """The smallest transaction with a deposit."""
    head = b"\x02\0\0\0" + bytes((inputs,)) + (b"\x05" * 32 + bytes(4) + b"\0" + b"\xff" * 4) * inputs
    return head + b"\x01" + TxOut(700, deposit_script(ALICE)).encode() + lock


def test_the_smallest_transaction_is_taken(world):
    assert len(simple()) == 94
    assert world.prove(alone(world, simple())) == 0
    assert world.reader.credit(0) == Withdrawal(0, 1, ALICE, 7_000)


def test_malformed_transactions_are_refused_though_their_tree_has_them(world):
    raw = simple()
    out = raw.index(b"\xbc\x02")
    cases = [
        (raw + b"\0", "trailing bytes"),
        (raw + bytes(40), "trailing bytes"),
        (raw[:-1], "truncated"),
        (raw[:4], "truncated"),
        (b"", "truncated"),
        (raw[:4] + b"\0" + raw[5:], "no inputs"),
        (raw[:4] + b"\0\x01" + raw[4:-4] + b"\x01\x01\x07" + raw[-4:], "no inputs"),
        (raw[:4] + b"\x02" + raw[5:], "truncated"),
        (raw[:4] + b"\xff" * 9 + raw[5:], "size form"),
        (raw[:4] + b"\xfd\x01\x00" + raw[5:], "size form"),
        (raw[:4] + b"\xfd\xfd\x00" + raw[5:], "truncated"),
        (raw[:4] + b"\xfd\xff\xff" + raw[5:], "truncated"),
        (raw[:4] + b"\xfe\x01\x00\x00\x00" + raw[5:], "size form"),
        (raw[:41] + b"\xfd\x00\x00" + raw[42:], "size form"),
        (raw[:41] + b"\xfd\xff\xff" + raw[42:], "truncated"),
        (simple(2)[:41] + b"\x64" + simple(2)[42:], "truncated"),
        (simple(2)[:-1], "truncated"),
        (raw[: out - 1] + b"\0" + raw[out:], "no such output"),
        (raw[: out - 1] + b"\xfd\x01\x00" + raw[out:], "size form"),
        (raw[: out - 1] + b"\x07" + raw[out:], "truncated"),
        (raw[: out - 1] + b"\xfd\xff\xff" + raw[out:], "truncated"),
        (raw[: out + 8] + b"\xfd\x22\x00" + raw[out + 9 :], "size form"),
    ]
    for bad, reason in cases:
        refused(world, alone(world, bad), reason)


def test_large_transactions_of_many_inputs_and_outputs_are_read(world):
    inputs = [TxIn(OutPoint(b"\x09" * 32 + at.to_bytes(4, "little")), b"", 0) for at in range(300)]
    outputs = [TxOut(at, b"\x6a") for at in range(299)] + [TxOut(800, deposit_script(ALICE))]
    outputs += [TxOut(1, b"\x6a" + b"\x01" * 82)] * 2 + [TxOut(1, b"\x6a" + bytes(300))]
    raw = Transaction.build(2, inputs, outputs).encode_stripped()
    assert raw[4] == 0xFD
    assert world.prove(alone(world, raw, vout=299)) == 0
    assert world.reader.credit(0).amount == 8_000


def fill(size: int) -> bytes:
    """A transaction of exactly so many bytes."""
    for pad in range(size):
        inputs = [TxIn(OutPoint(b"\x09" * 32 + bytes(4)), bytes(size - 200 + pad), 0)]
        made = Transaction.build(2, inputs, [TxOut(800, deposit_script(ALICE))]).encode_stripped()
        if len(made) == size:
            return made
    raise AssertionError(size)


def test_a_transaction_has_at_most_32768_bytes(world):
    assert world.prove(alone(world, fill(32_768))) == 0
    with pytest.raises(Reverted):
        world.prove(alone(world, fill(32_769)))


# --- gas -------------------------------------------------------------------------------------------------


def intrinsic(data: bytes) -> int:
    return 21_000 + sum(16 if byte else 4 for byte in data)


def test_a_proof_in_a_block_of_ten_thousand_costs_at_most_400000_gas(world):
    transactions = [payment(str(at)) for at in range(9_999)]
    block, proofs = world.buried_block(*transactions)
    assert len(block.transactions) == 10_000
    proof = proofs.prove(7_777, 1)
    assert len(proof.branch) == 14
    world.prove(proof)
    as_system_call = world.gas_used
    as_transaction = as_system_call + intrinsic(bridge.prove_deposit(proof))
    assert as_transaction <= 400_000
    assert as_system_call <= 170_000  # 156,000 with this client: what the Bridge itself costs


def test_the_most_expensive_transaction_fits_into_the_budget_of_system_calls(world):
    inputs = [TxIn(OutPoint(b"\x09" * 32 + bytes(4)), b"", 0)]
    outputs = [TxOut(800, deposit_script(ALICE))]
    outputs += [TxOut(1, b"")] * ((32_768 - 94 - 2) // 9)
    raw = Transaction.build(2, inputs, outputs).encode_stripped()
    assert 32_750 < len(raw) <= 32_768
    world.prove(alone(world, raw))
    assert world.gas_used < world.spec.dpos.system_gas_limit // 8
