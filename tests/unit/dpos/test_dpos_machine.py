"""Blocks on the real EVM and the real system contracts, through a real ledger."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from chaingen.dpos_forge import ADDRESSES, KEYS, POW_GENESIS, DictView, Forge, make_spec
from eth_account import Account

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos import errors, evidence, indexes, seal
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.execution import EvmWorld
from ioex_chain.dpos.genesis import genesis_block
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.machine import Candidate
from ioex_chain.dpos.registry import RegistryReader
from ioex_chain.dpos.votes import SealEvidence
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.evm.types import Transaction
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.spec.model import GenesisAccount

RICH = keccak256(b"a rich account")
POOR = b"\x77" * 20
SPEC = make_spec(
    4, accounts=(GenesisAccount(seal.address_of(RICH), 10**20),), max_evidence=3, max_block_transactions=5
)


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge(SPEC, EvmWorld, genesis_block(SPEC, POW_GENESIS), decode_transaction)


def pay(nonce: int, wei: int = 1, *, tip: int = 10**9, gas: int = 21_000) -> Transaction:
    fields = {
        "type": 2,
        "chainId": SPEC.dpos.chain_id,
        "nonce": nonce,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": tip,
        "gas": gas,
        "to": POOR,
        "value": wei,
        "data": b"",
    }
    return decode_transaction(bytes(Account.sign_transaction(fields, RICH).raw_transaction))


def state(forge: Forge, block: Block) -> FlatState:
    class Rows:
        rows = forge.rows[block.header.hash]

        def get(self, key: bytes) -> bytes | None:
            return self.rows.get(key)

        def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
            return iter(sorted((k, v) for k, v in self.rows.items() if k.startswith(prefix)))

    return FlatState(Rows())


def two_headers(forge: Forge, on: Block, private: bytes) -> SealEvidence:
    headers = [replace(on.header.header, extra_data=bytes((n,))) for n in range(2)]
    return evidence.of_seals(*(SealedHeader(one, forge.seal(one, private)) for one in headers))


def test_genesis_is_the_network_s(forge: Forge) -> None:
    assert forge.genesis.header.header.mix_hash == POW_GENESIS
    store = MemoryStore()
    ledger = forge.open(store, FixedClock(forge.end_of(1)))
    assert ledger.head.hash == forge.genesis.header.hash
    assert state(forge, forge.genesis).get_balance(seal.address_of(RICH)) == 10**20


def test_transfers_fees_and_rewards_go_where_they_belong(forge: Forge) -> None:
    block = forge.extend(forge.genesis, 3, transactions=[pay(0, 5), pay(1, 6)])
    after = state(forge, block)
    pool = SPEC.contracts.reward_pool
    assert after.get_balance(POOR) == 11
    assert after.get_balance(block.header.header.beneficiary) == 2 * 21_000 * 10**9  # the tips
    before = state(forge, forge.genesis).get_balance(pool)
    assert after.get_balance(pool) - before == 2 * 21_000 * SPEC.dpos.min_base_fee
    partners = RegistryReader(SPEC, after).partners()
    assert sum(partner.produced for partner in partners) == 1
    assert sum(partner.missed for partner in partners) == 2  # slots 1 and 2 stayed empty


def test_receipts_and_places_follow_the_best_chain(forge: Forge) -> None:
    one = forge.make(forge.genesis, 1, transactions=[pay(0, 1), pay(1, 2)])
    other = [forge.extend(forge.genesis, 2, transactions=[pay(0, 3)])]
    other.append(forge.extend(other[0], 3))
    ledger = forge.open(MemoryStore(), FixedClock(forge.end_of(9)))
    ledger.accept_block(one)
    tx = one.transactions[1]
    assert indexes.find_transaction(ledger.view(), tx.hash) == (1, 1)
    assert [row.cumulative_gas for row in indexes.receipts(ledger.view(), 1)] == [21_000, 42_000]
    for block in other:
        ledger.accept_block(block)
    assert indexes.find_transaction(ledger.view(), tx.hash) is None
    assert indexes.find_transaction(ledger.view(), other[0].transactions[0].hash) == (1, 0)
    assert len(indexes.receipts(ledger.view(), 1)) == 1
    assert indexes.receipts(ledger.view(), 2) == []
    with ledger.state_at(ledger.entry_at(0)) as past:
        assert indexes.find_transaction(past, other[0].transactions[0].hash) is None


def test_evidence_costs_a_seat_and_counts_once(forge: Forge) -> None:
    first = forge.extend(forge.genesis, 1)
    guilty = ADDRESSES[2]
    proof = two_headers(forge, first, KEYS[guilty])
    block = forge.extend(first, evidence=(proof,))
    partners = RegistryReader(SPEC, state(forge, block)).partners()
    assert [partner.jailed for partner in partners] == [False, False, True, False]
    ranking = forge.engine.records.roster(forge.entry(block)).ranking
    assert [member.key for member in ranking] == [ADDRESSES[n] for n in (0, 1, 3)]
    again = forge.assemble(block, evidence=(two_headers(forge, block, KEYS[guilty]),))
    assert again.payload.evidence == ()
    # Two terms later it is out, and the others go on without it.
    tip = block
    while forge.slot(tip) < 2 * 12 + 4:
        tip = forge.extend(tip, certificate=forge.certificate(tip))
    assert [member.key for member in forge.members_at(tip).members] == [ADDRESSES[n] for n in (0, 1, 3)]


def test_a_producer_leaves_out_what_would_make_its_block_invalid(forge: Forge) -> None:
    first = forge.extend(forge.genesis, 1)
    proof = two_headers(forge, first, KEYS[ADDRESSES[1]])
    same = two_headers(forge, forge.genesis, KEYS[ADDRESSES[1]])
    swapped = SealEvidence(proof.other, proof.one)
    wanted = [pay(0), pay(5), pay(1, gas=210_000_001), pay(1), pay(0), pay(2)]
    made = forge.assemble(first, transactions=wanted, evidence=(swapped, proof, same))
    assert made.payload.evidence == (proof,)
    assert [tx.nonce for tx in made.transactions] == [0, 1, 2]
    assert [(tx.nonce, type(error).__name__) for tx, error in made.rejected] == [(0, "NonceTooLow")]
    forge.add(made.sealed(forge.seal(made.header, KEYS[made.producer.key])))


def test_filling_ends_with_room_and_time(forge: Forge) -> None:
    many = [pay(nonce) for nonce in range(8)]
    assert len(forge.assemble(forge.genesis, transactions=many).transactions) == 5
    answers = iter([True, True, False])
    made = forge.machine.assemble(
        _view(forge, forge.genesis),
        forge.entry(forge.genesis),
        Candidate(1, iter(many)),
        go_on=lambda: next(answers),
    )
    assert len(made.transactions) == 2


def test_a_wrong_certificate_or_too_much_evidence_is_the_caller_s_fault(forge: Forge) -> None:
    first = forge.extend(forge.genesis, 1)
    wrong = replace(forge.certificate(first), signers=1)
    with pytest.raises(errors.PayloadError):
        forge.assemble(first, certificate=wrong)
    proofs = tuple(two_headers(forge, first, KEYS[ADDRESSES[n]]) for n in range(4))
    with pytest.raises(errors.TooMuchEvidence):
        forge.assemble(first, evidence=proofs)


def test_a_producer_s_preview_leaves_no_trace(forge: Forge) -> None:
    store = MemoryStore()
    ledger = forge.open(store, FixedClock(forge.end_of(1)))
    before = dict(store.scan(b""))
    machine = ledger._machine
    made = ledger.try_on_head(
        lambda view, head: machine.assemble(view, head, Candidate(1, [pay(0)], extra_data=b"me"))
    )
    assert dict(store.scan(b"")) == before
    block = made.sealed(forge.seal(made.header, KEYS[made.producer.key]))
    changed = ledger.accept_block(block)
    assert changed.connected[0].receipt.receipts[0].cumulative_gas == 21_000
    assert ledger.head.header.header.extra_data == b"me"


def _view(forge: Forge, block: Block) -> DictView:
    return DictView(dict(forge.rows[block.header.hash]))
