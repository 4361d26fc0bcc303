"""What the pool takes and what it refuses, each by its own word."""

import pytest
from chaingen.builder import Funds
from chaingen.pool_world import PoolWorld
from chaingen.specs import NODE_REWARDS, key

from ioex_chain.crypto.address import deposit_script
from ioex_chain.pow import errors
from ioex_chain.pow import policy as rules
from ioex_chain.pow.policy import Policy, dust_threshold, fee_at
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction, TxOut
from ioex_chain.primitives.types import COIN


@pytest.fixture
def world() -> PoolWorld:
    return PoolWorld()


def refused(world: PoolWorld, tx: Transaction, error: type[Exception], reason: str) -> None:
    before = world.pool.version
    with pytest.raises(error) as caught:
        world.add(tx)
    assert type(caught.value) is error
    assert caught.value.reason == reason  # type: ignore[attr-defined]
    assert world.pool.version == before


def test_takes_a_spend_and_knows_its_figures(world):
    tx = world.pay(fee=1_234)
    entry = world.add(tx)
    assert (entry.fee, entry.size, entry.checks) == (1_234, tx.size, 1)
    assert world.pool.get(tx.txid) is entry
    assert tx.txid in world.pool
    assert world.pool.spender(tx.inputs[0].outpoint) is entry
    assert world.pool.output(tx.outpoint(0)) == tx.outputs[0]
    assert world.pool.output(tx.outpoint(9)) is None
    assert (len(world.pool), world.pool.total_fee, world.pool.total_size) == (1, 1_234, tx.size)
    assert tx.wtxid in world.verified
    assert [(change.entry, change.left) for change in world.changes] == [(entry, None)]


def test_test_accept_changes_nothing(world):
    entry = world.pool.test_accept(world.pay(fee=500), Tip.of(world.ledger))
    assert entry.fee == 500
    assert len(world.pool) == 0
    assert world.pool.usage == 0
    assert world.changes == []


def test_every_form_can_be_spent(world):
    for form in ("p2wpkh", "p2tr", "key", "keyhash", "multisig"):
        world.add(world.chain.spend(world.chain.take(form), [(COIN, key("bob"))], fee=2_000))
    assert len(world.pool) == 5


def test_twice(world):
    tx = world.pay()
    world.add(tx)
    refused(world, tx, rules.AlreadyInPool, "txn-already-in-mempool")


def test_same_with_other_witnesses(world):
    tx = world.pay()
    world.add(tx)
    refused(world, tx.with_witnesses([(b"x",)]), rules.SameButWitness, "txn-same-nonwitness-data-in-mempool")


def test_confirmed(world):
    tx = world.pay()
    world.mine(tx)
    refused(world, tx, rules.AlreadyConfirmed, "txn-already-known")


def test_missing_input(world):
    nowhere = Funds(world.pay().outpoint(0), COIN, key("bob"))
    refused(world, world.chain.spend(nowhere, [], fee=1_000), rules.MissingInputs, "missing-inputs")


def test_spend_of_a_pool_output_that_is_not_there(world):
    tx = world.pay()
    world.add(tx)
    beyond = Funds(tx.outpoint(7), COIN, key("bob"))
    refused(world, world.chain.spend(beyond, [], fee=1_000), rules.MissingInputs, "missing-inputs")


def test_coinbase(world):
    refused(world, world.tip.transactions[0], rules.CoinbaseAlone, "coinbase")


def test_immature_coinbase(world):
    funds = world.chain.coinbase_funds(world.mine())
    spend = world.chain.spend(funds, [], fee=1_000)
    refused(world, spend, errors.Immature, "bad-txns-premature-spend-of-coinbase")
    for _ in range(world.spec.pow.coinbase_maturity - 1):
        world.mine()
    world.add(spend)


def test_lock_time(world):
    height = world.ledger.head.height
    world.add(world.pay(lock_time=height))
    refused(world, world.pay(lock_time=height + 1), rules.NotFinalYet, "non-final")


def test_relative_lock(world):
    funds = world.fan(1)[0]
    sleeping = Funds(funds.outpoint, funds.value, funds.owner, sequence=3)
    tx = world.chain.spend(sleeping, [], fee=1_000)
    refused(world, tx, errors.SequenceLocked, "non-BIP68-final")
    world.mine()
    world.mine()
    world.add(tx)


def test_relative_lock_on_an_unconfirmed_output(world):
    parent = world.pay()
    world.add(parent)
    funds = world.chain.funds(parent)
    tx = world.chain.spend(Funds(funds.outpoint, funds.value, funds.owner, sequence=1), [], fee=1_000)
    refused(world, tx, errors.SequenceLocked, "non-BIP68-final")


def test_wrong_signature(world):
    funds = world.chain.take()
    tx = world.chain.spend(Funds(funds.outpoint, funds.value - 1, funds.owner), [], fee=1_000)
    refused(world, tx, errors.SignatureWrong, "mandatory-script-verify-flag-failed")
    assert tx.wtxid not in world.verified


def test_reserve(world):
    coinbase = world.chain.genesis.transactions[0]
    index = next(i for i, o in enumerate(coinbase.outputs) if o.script == deposit_script(NODE_REWARDS))
    value = coinbase.outputs[index].value
    tx = world.chain.spend(Funds(coinbase.outpoint(index), value, key("thief")), [], fee=1_000)
    refused(world, tx, errors.ReserveSpend, "bad-txns-reserve")


def test_outputs_above_inputs(world):
    tx = world.chain.spend(world.chain.take(), [(10_001 * COIN, key("bob"))])
    refused(world, tx, errors.OutputsAboveInputs, "bad-txns-in-belowout")


@pytest.mark.parametrize("version", [0, 3])
def test_version(world, version):
    refused(world, world.pay(version=version), rules.VersionNotStandard, "version")


def test_fee(world):
    size = world.pay(fee=200).size
    refused(world, world.pay(fee=size - 5), rules.FeeTooLow, "min relay fee not met")
    world.add(world.pay(fee=size + 1))


def test_dust(world):
    least = dust_threshold(Policy(), TxOut(0, key("bob").script))
    assert least == 3 * (31 + 148)
    refused(world, world.pay((least - 1, key("bob"))), rules.Dust, "dust")
    world.add(world.pay((least, key("bob"))))


def test_data_outputs(world):
    data = b"\x6a\x02hi"
    assert dust_threshold(Policy(), TxOut(0, data)) == 0
    world.add(world.pay((0, data)))
    refused(world, world.pay((0, data), (0, data)), rules.ManyDataOutputs, "multi-op-return")


def test_size(world):
    many = [(COIN, key("bob"))] * 3_300
    refused(world, world.pay(*many, fee=COIN), rules.SizeNotStandard, "tx-size")


def test_policy_size_counts_checks():
    policy = Policy()
    assert policy.policy_size(805, 20) == 1_000
    assert policy.policy_size(222, 1) == 222


def test_fee_at_rounds_up():
    assert fee_at(1_000, 222) == 222
    assert fee_at(1_001, 222) == 223
    assert fee_at(0, 222) == 0
