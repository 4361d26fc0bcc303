"""Every rule of the PoW chain, broken once and kept once at its edge (tests/chaingen/generate.py)."""

import inspect

import pytest
from chaingen.generate import Case, Told, World, all_cases
from chaingen.harness import replay_hash, state_hash

from ioex_chain.ledger.errors import InvalidBlock, KnownInvalid, MutatedBlock
from ioex_chain.pow import errors
from ioex_chain.pow.block import Block
from ioex_chain.pow.consensus import check_transaction
from ioex_chain.pow.transaction import NULL_OUTPOINT, OutPoint, Transaction, TxIn, TxOut

CASES = all_cases()
BAD = [case for case in CASES if case.error is not None]
GOOD = [case for case in CASES if case.error is None]
GROUPS = {  # names of branches of the tree, never raised themselves
    errors.PowHeaderError,
    errors.AuxPowError,
    errors.PowBlockError,
    errors.TransactionError,
    errors.ScriptError,
}


def lone_transactions() -> dict[type[Exception], Transaction]:
    """Transactions that a block's own rules refuse first, but that must not pass alone either."""
    source = TxIn(OutPoint(bytes(36)), b"", 0)
    return {
        errors.TransactionNodeSized: Transaction.build(2, [source], [TxOut(0, b"\x6a\x02hi")]),
        errors.TransactionTooLarge: Transaction.build(2, [source], [TxOut(0, b"\x6a" + bytes(8_000_000))]),
    }


def broken_rule(error: Exception) -> type[Exception]:
    return type(error.cause) if isinstance(error, errors.BlockTransactionError) else type(error)


def ids(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


@pytest.mark.parametrize("case", BAD, ids=ids(BAD))
def test_refused_for_its_own_reason(case: Case):
    world = World(case.spec())
    told = case.tell(world)
    bad, twin = (told.block, told.twin) if isinstance(told, Told) else (told, None)
    before, head = state_hash(world.ledger), world.ledger.head
    with pytest.raises(Exception) as caught:
        world.ledger.accept_block(bad)
    assert broken_rule(caught.value) is case.error, repr(caught.value)
    assert world.ledger.head is head
    assert state_hash(world.ledger) == before
    _check_memory(world, bad, caught.value)
    world.accept(twin or world.block())
    assert state_hash(world.ledger) == replay_hash(world.chain, world.tip)


def _check_memory(world: World, bad: Block, error: Exception) -> None:
    """A block that is invalid in itself is remembered; a mutated body or bad header leaves no mark."""
    entry = world.ledger.entry(bad.hash)
    if isinstance(error, InvalidBlock):
        assert entry is not None
        assert entry.status.is_invalid
        with pytest.raises(KnownInvalid):
            world.ledger.accept_block(bad)
    else:
        assert entry is None or not entry.status.is_invalid
        assert isinstance(error, MutatedBlock) == (entry is not None)


@pytest.mark.parametrize("case", GOOD, ids=ids(GOOD))
def test_accepted_at_the_edge(case: Case):
    world = World(case.spec())
    told = case.tell(world)
    assert isinstance(told, Block)
    assert Block.decode(told.encode()) == told
    world.accept(told)
    assert state_hash(world.ledger) == replay_hash(world.chain, told)


@pytest.mark.parametrize("rule", lone_transactions(), ids=lambda rule: rule.__name__)
def test_lone_transaction_refused(rule):
    world = World(CASES[0].spec())
    with pytest.raises(errors.TransactionError) as caught:
        check_transaction(world.chain.spec.pow, lone_transactions()[rule])
    assert type(caught.value) is rule


def test_every_rule_has_a_story():
    rules = {
        member
        for _, member in inspect.getmembers(errors, inspect.isclass)
        if member.__module__ == errors.__name__
    }
    told = {case.error for case in BAD} | set(lone_transactions()) | {errors.BlockTransactionError}
    assert rules - GROUPS - told == set()
    assert len(BAD) >= 60


def test_null_outpoint_alone_is_a_coinbase():
    assert Transaction.build(2, [TxIn(NULL_OUTPOINT, b"\x00\x00", 0)], []).is_coinbase
