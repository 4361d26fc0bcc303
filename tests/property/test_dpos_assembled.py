"""A producer's own block, connected from what its assembling wrote: row for row as if it were executed."""

from dataclasses import replace

import pytest
from chaingen.dpos_forge import KEYS, POW_GENESIS, Forge, make_spec
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos import seal
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.errors import WrongSeal, WrongStateRoot
from ioex_chain.dpos.execution import EvmWorld, Execution
from ioex_chain.dpos.genesis import genesis_block
from ioex_chain.dpos.machine import BlockReceipt, Candidate, DposMachine
from ioex_chain.dpos.pow_facts import StatePowFacts
from ioex_chain.dpos.records import DposEntry
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.evm.types import BlockEnv, Transaction
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import Entry, StateView, Status
from ioex_chain.spec.model import GenesisAccount

RICH = [keccak256(bytes((n,))) for n in range(3)]
SPEC = make_spec(4, accounts=tuple(GenesisAccount(seal.address_of(key), 10**20) for key in RICH))
STORES_AND_LOGS = bytes.fromhex("6007600055600160005260206000a0600060005260206000f3")
"""Init code: stores 7 in slot 0, writes a log, and leaves 32 zero bytes as code."""


class CountedWorld(EvmWorld):
    runs = 0

    def run(self, view: StateView, env: BlockEnv) -> Execution:
        self.runs += 1
        return super().run(view, env)


FORGE = Forge(SPEC, EvmWorld, genesis_block(SPEC, POW_GENESIS), decode_transaction)
FIRST = FORGE.extend(FORGE.genesis, 1)
STORE = MemoryStore(FORGE.rows[FIRST.header.hash])
PARENT = FORGE.entry(FIRST)


def signed(key: int, nonce: int, to: bytes | None, value: int, data: bytes) -> Transaction:
    fields = {
        "type": 2,
        "chainId": SPEC.dpos.chain_id,
        "nonce": nonce,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 10**9,
        "gas": 21_000 if to and not data else 200_000,
        "value": value,
        "data": data,
    } | ({"to": to} if to else {})
    return decode_transaction(bytes(Account.sign_transaction(fields, RICH[key]).raw_transaction))


@st.composite
def wanted(draw: st.DrawFn) -> list[Transaction]:
    nonces = [0] * len(RICH)
    found = []
    for key in draw(st.lists(st.integers(0, 2), max_size=6)):
        kind = draw(st.sampled_from(("pay", "create", "gap", "too much")))
        value = 10**21 if kind == "too much" else draw(st.integers(0, 1_000))
        nonce = nonces[key] + (kind == "gap")
        create = kind == "create"
        to = None if create else bytes(19) + bytes((draw(st.integers(1, 40)),))
        found.append(signed(key, nonce, to, 0 if create else value, STORES_AND_LOGS if create else b""))
        nonces[key] += kind in ("pay", "create")
    return found


class Producer:
    """A machine that reuses, and a count of its executions."""

    def __init__(self) -> None:
        self.world = CountedWorld(SPEC)
        facts = StatePowFacts(SPEC)
        self.machine = DposMachine(SPEC, FORGE.engine, self.world, facts, reuse_own=True)

    def make(self, transactions: list[Transaction], extra: bytes = b"") -> Block:
        overlay = Overlay(STORE)
        overlay.begin()
        candidate = Candidate(2, transactions, FORGE.certificate(FIRST), (), extra)
        made = self.machine.assemble(overlay, PARENT, candidate)
        return made.sealed(FORGE.seal(made.header, KEYS[made.producer.key]))


def connect(machine: DposMachine, block: Block) -> tuple[Overlay, BlockReceipt]:
    overlay = Overlay(STORE)
    overlay.begin()
    entry: DposEntry = Entry(block.header, 2, 2, Status.BODY, 2, PARENT, FORGE.entries.__getitem__)
    return overlay, machine.connect(block, entry, overlay)


@given(wanted())
@settings(max_examples=60, deadline=None)
def test_rows_undo_note_and_receipt_are_those_of_an_execution(transactions: list[Transaction]) -> None:
    producer = Producer()
    block = FORGE.codec.block(producer.make(transactions).encode())
    runs = producer.world.runs
    reused, told = connect(producer.machine, block)
    assert producer.world.runs == runs
    executed, expected = connect(FORGE.machine, block)
    assert reused.changes == executed.changes
    assert reused.noted == executed.noted
    assert reused.seal() == executed.seal()
    assert told == expected
    again, _ = connect(producer.machine, block)
    assert producer.world.runs == runs + 1
    assert again.changes == executed.changes


def test_only_the_very_block_is_reused() -> None:
    producer = Producer()
    transactions = [signed(0, 0, bytes(19) + b"\x30", 5, b"")]
    others = producer.make(transactions, b"other")
    producer.make(transactions)
    runs = producer.world.runs
    connect(producer.machine, others)
    assert producer.world.runs == runs + 1
    mine = producer.make(transactions)
    swapped = replace(mine, transactions=(signed(0, 0, bytes(19) + b"\x30", 6, b""),))
    runs = producer.world.runs
    with pytest.raises(WrongStateRoot):
        connect(producer.machine, swapped)
    assert producer.world.runs == runs + 1


def test_a_wrong_seal_is_refused_all_the_same() -> None:
    producer = Producer()
    block = producer.make([])
    wrong = replace(block, header=replace(block.header, seal=FORGE.seal(block.header.header, RICH[0])))
    with pytest.raises(WrongSeal):
        connect(producer.machine, wrong)
