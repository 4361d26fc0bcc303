"""What crosses the bridge in DPoS blocks: headers, rewards, deposits, withdrawals, handovers, seeds."""

from dataclasses import replace

import pytest
import rlp
from chaingen.dpos_bridge import ALICE, BOB, REWARD, SCRIPT, BridgeForge, deposit
from chaingen.dpos_forge import ADDRESSES, KEYS, DictView
from trie import HexaryTrie

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos import evidence, payload_trial
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.codec import decode_block
from ioex_chain.dpos.execution import EvmWorld
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.machine import Candidate, DposMachine
from ioex_chain.dpos.payload_trial import CALLS_RESERVE, SYSTEM_RESERVE
from ioex_chain.dpos.pow_facts import StatePowFacts, requests_hash
from ioex_chain.dpos.schedule import round_seed
from ioex_chain.dpos.votes import SealEvidence
from ioex_chain.evm import roots
from ioex_chain.evm.block import GWEI, BlockRun
from ioex_chain.evm.bridge import (
    BridgeReader,
    Door,
    Handover,
    PauseReason,
    Withdraw,
    accumulate,
    accumulator_request,
    encode_request,
)
from ioex_chain.evm.light_client import LightClientReader
from ioex_chain.evm.types import Receipt
from ioex_chain.primitives.types import COIN
from ioex_chain.rpc.eth import render


@pytest.fixture
def forge() -> BridgeForge:
    return BridgeForge()


def paid(block: Block) -> list[tuple[int, int, bytes, int]]:
    return [(one.index, one.validator_index, one.address, one.amount) for one in block.withdrawals]


def test_headers_make_the_light_client_s_chain(forge: BridgeForge) -> None:
    forge.mine(count=4)
    merged = forge.pow.merged(forge.pow.block(forge.mined[-1]))
    forge.mined.append(merged)
    first = forge.extend(forge.genesis, pow_headers=forge.headers(1, 3))
    second = forge.extend(first, pow_headers=forge.headers(4, 5))
    assert first.payload.pow_headers == forge.headers(1, 3)
    assert forge.light_client(second).best()[:2] == (merged.hash, 5)
    assert forge.light_client(second).buried_hash() == forge.mined[3].hash
    assert forge.record(second).pow_hash == forge.mined[3].hash
    assert forge.record(forge.genesis).pow_hash == forge.mined[0].hash
    again = decode_block(second.raw, lambda _: pytest.fail("no transactions"))
    assert again.payload == second.payload


def test_a_buried_height_is_paid_to_the_reward_pool_once(forge: BridgeForge) -> None:
    pool = forge.spec.contracts.reward_pool
    forge.mine(count=5)
    two = forge.extend(forge.genesis, pow_headers=forge.headers(1, 2))
    assert forge.bridge(two).counted_height == 0
    five = forge.extend(two, pow_headers=forge.headers(3, 5))
    assert five.withdrawals == ()
    block = forge.extend(five)
    assert paid(block) == [(0, 0, pool, 3 * REWARD)]
    assert forge.state(block).get_balance(pool) == 3 * REWARD * GWEI
    assert forge.extend(block).withdrawals == ()
    assert forge.bridge(block).credit_head == forge.bridge(block).credit_tail == 1


def test_a_heavier_branch_pays_no_height_twice(forge: BridgeForge) -> None:
    forge.mine(count=4)
    tip = forge.extend(forge.genesis, pow_headers=forge.headers(1, 4))
    before = forge.mined
    forge.mined = before[:3]
    forge.mine(count=4)
    assert [block.hash for block in forge.mined[:4]] != [block.hash for block in before[:4]]
    tip = forge.extend(tip, pow_headers=forge.headers(3, 6))
    assert forge.light_client(tip).best()[0] == forge.mined[6].hash
    assert forge.bridge(tip).counted_height == 4
    assert paid(tip) + paid(forge.extend(tip)) == [
        (number, 0, forge.spec.contracts.reward_pool, 2 * REWARD) for number in range(2)
    ]


def test_a_proven_deposit_is_paid_in_the_next_block(forge: BridgeForge) -> None:
    forge.mine(deposit("one", (ALICE, 7), (BOB, 3 * COIN)))
    forge.mine(count=2)
    tip = forge.extend(forge.genesis, pow_headers=forge.headers(1, 3))
    tip = forge.extend(tip, deposit_proofs=(forge.proof(1), forge.proof(1, vout=1)))
    assert len(tip.payload.deposit_proofs) == 2
    assert forge.state(tip).get_balance(ALICE) == 0
    tip = forge.extend(tip)
    assert paid(tip) == [(1, 1, ALICE, 70), (2, 1, BOB, 3 * 10**9)]
    assert forge.state(tip).get_balance(ALICE) == 70 * GWEI
    assert forge.state(tip).get_balance(BOB) == 3 * 10**18
    txid = forge.mined[1].transactions[1].txid
    assert [forge.bridge(tip).credit_of(txid, vout) for vout in range(2)] == [1, 2]


def test_wallets_see_credits_as_withdrawals_and_can_have_them_proven(forge: BridgeForge) -> None:
    forge.mine(deposit("one", (ALICE, 7)))
    forge.mine(count=2)
    tip = forge.extend(forge.genesis, pow_headers=forge.headers(1, 3), deposit_proofs=(forge.proof(1),))
    tip = forge.extend(tip)
    shown = render.whole_block_json(tip, None)
    header = {name: shown[name] for name in ("number", "withdrawalsRoot", "requestsHash", "stateRoot")}
    assert shown["withdrawals"] == [
        {"index": hex(n), "validatorIndex": hex(kind), "address": "0x" + to.hex(), "amount": hex(gwei)}
        for n, kind, to, gwei in ((0, 1, ALICE, 70), (1, 0, forge.spec.contracts.reward_pool, REWARD))
    ]
    assert header["withdrawalsRoot"] == "0x" + roots.withdrawals_root(tip.withdrawals).hex()
    nodes = [rlp.decode(node) for node in roots.account_proof(DictView(forge.rows[tip.header.hash]), ALICE)]
    root = bytes.fromhex(header["stateRoot"][2:])
    account = rlp.decode(HexaryTrie.get_from_proof(root, keccak256(ALICE), nodes))
    assert int.from_bytes(account[1], "big") == 70 * GWEI


def test_headers_come_before_the_proofs_of_a_block(forge: BridgeForge) -> None:
    forge.mine(deposit("one", (ALICE, 7)))
    forge.mine(count=2)
    made = forge.extend(forge.genesis, pow_headers=forge.headers(1, 3), deposit_proofs=(forge.proof(1),))
    assert len(made.payload.deposit_proofs) == 1


def test_credits_wait_in_one_line_of_16_a_block(forge: BridgeForge) -> None:
    forge.mine(deposit("many", *((ALICE, 100 + number) for number in range(20))))
    forge.mine(count=2)
    tip = forge.extend(forge.genesis, pow_headers=forge.headers(1, 3))
    proofs = tuple(forge.proof(1, vout) for vout in range(20))
    tip = forge.extend(tip, deposit_proofs=proofs)
    assert tip.payload.deposit_proofs == proofs[:16]  # what a block may carry
    tip = forge.extend(tip, deposit_proofs=proofs[16:])
    assert [one.amount for one in tip.withdrawals] == [10 * (100 + number) for number in range(16)]
    tip = forge.extend(tip)
    assert [one.index for one in tip.withdrawals] == [17, 18, 19, 20]


def test_a_withdrawal_is_drained_by_its_own_block(forge: BridgeForge) -> None:
    bare = forge.extend(forge.genesis)
    none = accumulator_request(0, bytes(32))
    assert bare.header.header.requests_hash == requests_hash([none])
    block = forge.extend(bare, transactions=(forge.withdraw(5 * COIN), forge.withdraw(COIN, SCRIPT)))
    requests = [encode_request(Withdraw(n, units, SCRIPT)) for n, units in ((1, 5 * COIN), (2, COIN))]
    total = accumulate(accumulate(bytes(32), requests[0]), requests[1])
    assert block.header.header.requests_hash == requests_hash([*requests, accumulator_request(2, total)])
    assert (forge.record(bare).requests, forge.record(block).requests) == (0, 2)
    after = forge.extend(block)
    assert after.header.header.requests_hash == requests_hash([accumulator_request(2, total)])
    assert forge.record(after).requests == 2


def two_headers(forge: BridgeForge, on: Block, member: int) -> SealEvidence:
    headers = [replace(on.header.header, extra_data=bytes((n,))) for n in range(2)]
    private = KEYS[ADDRESSES[member]]
    return evidence.of_seals(*(SealedHeader(one, forge.seal(one, private)) for one in headers))


def test_a_newly_read_set_is_handed_over_by_the_first_block_that_sees_it(forge: BridgeForge) -> None:
    term = 3 * forge.spec.dpos.seats
    first = forge.extend(forge.genesis)
    last = forge.final(first, term - 3, evidence=(two_headers(forge, first, 2),))[-1]
    assert forge.slot(last) == term - 2
    assert forge.record(last).newest.number == forge.bridge(last).last_set == 0
    later = forge.extend(last, term + 5, certificate=forge.certificate(last))
    assert forge.record(later).newest.number == forge.bridge(later).last_set == 1
    request = encode_request(Handover(1, 1, tuple(ADDRESSES[n] for n in (0, 1, 3))))
    total = accumulator_request(1, accumulate(bytes(32), request))
    assert later.header.header.requests_hash == requests_hash([request, total])
    other = forge.extend(last, certificate=forge.certificate(last))  # a branch whose term 0 has one more
    seen = forge.final(other, 2)
    assert [forge.bridge(block).last_set for block in seen] == [1, 1]
    assert [forge.record(block).requests for block in seen] == [1, 1]
    after = forge.final(seen[-1], 2 * term)[-1]
    assert forge.members_at(after).number == forge.bridge(after).last_set == 1  # read again, the same set


def test_the_bridge_sees_finality_stall_and_come_back(forge: BridgeForge) -> None:
    stall = forge.spec.dpos.stall_slots
    tip = forge.final(forge.genesis, 3)[-1]
    assert (forge.bridge(tip).slot, forge.bridge(tip).final_slot) == (3, 1)
    late = forge.extend(tip, stall)
    assert not forge.bridge(late).is_paused(Door.OUT)
    later = forge.extend(late, stall + 1)
    assert forge.bridge(later).pause_reasons(Door.OUT) == PauseReason.STALL
    assert not forge.bridge(later).is_paused(Door.IN)
    refused = forge.make(later, transactions=(forge.withdraw(COIN),))
    assert receipt_of(forge, refused).status == 0
    back = forge.final(later, 2)[-1]
    assert not forge.bridge(back).is_paused(Door.OUT)


def receipt_of(forge: BridgeForge, block: Block) -> Receipt:
    view = DictView(dict(forge.rows[block.header.parent_hash]))
    return forge.machine.connect(block, forge.entry_of(block), view).receipts[0]


def test_the_seed_of_a_round_is_the_light_client_s(forge: BridgeForge) -> None:
    """The seed of round r comes from the header buried after the newest block of round r-2."""
    seats = forge.spec.dpos.seats
    forge.mine(count=6)
    tip = forge.extend(forge.genesis, seats - 2, pow_headers=forge.headers(1, 5))
    assert tip.header.header.mix_hash == round_seed(0, forge.mined[0].hash)
    tip = forge.extend(tip, seats, pow_headers=forge.headers(6, 6))
    third = forge.extend(tip, 2 * seats)
    assert third.header.header.mix_hash == round_seed(2, forge.mined[3].hash)
    fourth = forge.extend(third, 3 * seats)
    assert fourth.header.header.mix_hash == round_seed(3, forge.mined[4].hash)


def test_a_producer_leaves_out_what_would_make_its_block_invalid(forge: BridgeForge) -> None:
    forge.mine(deposit("one", (ALICE, 7), (BOB, 8)))
    forge.mine(count=3)
    first = forge.extend(forge.genesis, pow_headers=forge.headers(1, 2))
    headers, proof = forge.headers(0, 4), forge.proof(1)
    wanted = (b"", headers[2], headers[1], headers[4], headers[3], bytes(80), headers[4])
    refused = (b"no proof", forge.proof(1, vout=2), forge.proof(4, index=0))
    proofs = (*refused, proof, proof, forge.proof(1, vout=1))
    made = forge.extend(first, pow_headers=wanted, deposit_proofs=proofs)
    assert made.payload.pow_headers == (headers[3], headers[4])
    assert made.payload.deposit_proofs == (proof, forge.proof(1, vout=1))


def test_a_producer_keeps_to_the_numbers_and_to_the_room(forge: BridgeForge) -> None:
    forge.mine(count=70)
    assert len(forge.make(forge.genesis, pow_headers=forge.headers(1, 70)).payload.pow_headers) == 64
    merged, tip = [], forge.mined[0]
    for _ in range(10):
        tip = forge.pow.merged(forge.pow.block(tip))
        merged.append(tip.header.encode())
    assert len(forge.make(forge.genesis, pow_headers=merged).payload.pow_headers) == 8
    first = forge.extend(forge.genesis, pow_headers=merged[:2])
    assert len(forge.make(first, pow_headers=merged).payload.pow_headers) == 8  # two are known
    small = BridgeForge(max_block_size=4_000)
    small.mine(count=70)
    block = small.make(small.genesis, pow_headers=small.headers(1, 70))
    assert 15 < len(block.payload.pow_headers) < 25
    assert len(block.raw) < 4_000


def test_no_item_is_tried_when_the_time_is_over(forge: BridgeForge) -> None:
    forge.mine(count=5)
    answers = iter([True, True, False, False])
    made = forge.machine.assemble(
        DictView(dict(forge.rows[forge.genesis.header.hash])),
        forge.entry(forge.genesis),
        Candidate(1, pow_headers=forge.headers(1, 5), deposit_proofs=(forge.proof(1, index=0),)),
        go_on=lambda: next(answers),
    )
    assert made.payload.pow_headers == forge.headers(1, 2)


def test_items_leave_gas_for_the_calls_after_them() -> None:
    forge = BridgeForge(system_gas_limit=SYSTEM_RESERVE + 500_000)
    forge.mine(count=20)
    block = forge.extend(forge.genesis, pow_headers=forge.headers(1, 20))
    assert 2 <= len(block.payload.pow_headers) < 10


def test_proofs_leave_time_for_transactions(forge: BridgeForge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of large transactions take a tenth of a second each; the rest waits for the next block."""
    forge.mine(deposit("one", *[(ALICE, 7)] * 6))
    forge.mine(count=2)
    first = forge.extend(forge.genesis, pow_headers=forge.headers(1, 3))
    monkeypatch.setattr(payload_trial, "PROOFS_GAS", 300_000)
    proofs = tuple(forge.proof(1, vout=vout) for vout in range(6))
    taken = forge.extend(first, deposit_proofs=proofs).payload.deposit_proofs
    assert taken == proofs[: len(taken)]
    assert 2 <= len(taken) < 6


@pytest.mark.parametrize(("spare", "taken"), [(-2_740_000, 0), (10_000, 1), (150_000, 2)])
def test_evidence_leaves_gas_for_the_calls_after_it_too(spare: int, taken: int) -> None:
    """However many keys signed twice: the block is made, and the next ones carry the rest."""
    forge = BridgeForge(system_gas_limit=CALLS_RESERVE + spare)
    first = forge.extend(forge.genesis)
    block = forge.extend(first, evidence=tuple(two_headers(forge, first, member) for member in range(3)))
    assert len(block.payload.evidence) == taken


def test_an_own_block_is_connected_from_what_its_building_wrote(forge: BridgeForge) -> None:
    forge.mine(deposit("one", (ALICE, 7)))
    forge.mine(count=2)
    first = forge.extend(forge.genesis, pow_headers=forge.headers(1, 2))
    machine = DposMachine(
        forge.spec, forge.engine, EvmWorld(forge.spec), StatePowFacts(forge.spec), reuse_own=True
    )
    wanted = Candidate(2, pow_headers=forge.headers(3, 3), deposit_proofs=(forge.proof(1),))
    made = machine.assemble(DictView(dict(forge.rows[first.header.hash])), forge.entry(first), wanted)
    assert made.payload.pow_headers
    assert made.payload.deposit_proofs
    block = made.sealed(forge.seal(made.header, KEYS[made.producer.key]))
    assert machine._own is not None
    reused = DictView(dict(forge.rows[first.header.hash]))
    machine.connect(block, forge.entry_of(block), reused)
    assert machine._own is None
    forge.add(block)
    assert reused.rows == forge.rows[block.header.hash]
    assert reused.noted == forge.entry(block).note


def test_a_replay_makes_the_same_calls(forge: BridgeForge) -> None:
    """What tracing starts from is the state before the first transaction: with the payload carried out."""
    forge.mine(deposit("one", (ALICE, 7)))
    forge.mine(count=2)
    block = forge.extend(forge.genesis, pow_headers=forge.headers(1, 3), deposit_proofs=(forge.proof(1),))
    view = DictView(dict(forge.rows[forge.genesis.header.hash]))
    run = forge.machine.replay(block, forge.entry(forge.genesis), view)
    assert isinstance(run, BlockRun)
    assert BridgeReader(forge.spec, run.state).credit_tail == 1
    assert LightClientReader(forge.spec, run.state).best()[1] == 3
