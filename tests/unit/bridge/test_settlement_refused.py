"""Every rule of a settlement, broken once: refused in blocks and by the pool, for its own reason, unpaid."""

import inspect

import pytest
from chaingen.harness import state_hash
from settlement_all_cases import CASES
from settlement_cases import good, prepared

from ioex_chain.pow import reserve_errors
from ioex_chain.pow.errors import BlockTransactionError, TransactionError
from ioex_chain.pow.policy import PolicyError
from ioex_chain.primitives.errors import IoexError


@pytest.mark.parametrize("name", CASES)
def test_refused_for_its_own_reason(name: str) -> None:
    error, make = CASES[name]
    world = prepared()
    tx = make(world)
    before = state_hash(world.ledger)
    with pytest.raises(BlockTransactionError) as caught:
        world.ledger.accept_block(world.chain.block(world.tip, [tx], fees=0))
    assert type(caught.value.cause) is error, repr(caught.value)
    assert state_hash(world.ledger) == before
    with pytest.raises(TransactionError) as refused:
        world.add(tx)
    assert type(refused.value) is error or isinstance(refused.value, PolicyError)
    assert len(world.pool) == 0


def test_the_sound_one_beside_them_is_taken() -> None:
    world = prepared()
    tx = good(world)
    world.add(tx)
    world.mine(tx)
    assert world.state.count == 5
    assert world.state.settled == 15 * 10**8


def test_every_rule_has_its_case() -> None:
    """All classes of the page but those that group others, and what the ledger refuses before."""
    groups = {reserve_errors.SettlementError, reserve_errors.StaleSettlement}
    elsewhere = {reserve_errors.SettlementScript, reserve_errors.ChangePieces}
    own = {
        item
        for _, item in inspect.getmembers(reserve_errors, inspect.isclass)
        if item.__module__ == reserve_errors.__name__ and issubclass(item, IoexError)
    }
    assert own - groups - elsewhere == {error for error, _ in CASES.values()} & own
    assert len({item.reason for item in own - groups}) == len(own - groups)
