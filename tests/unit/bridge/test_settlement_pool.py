"""Settlements in the pool: one at a time, whatever it pays, first in a block, gone when it holds no more."""

import pytest
from chaingen.settlements import SettlementWorld, edited
from chaingen.specs import key
from gossip_world import GossipWorld
from settlement_all_cases import CASES
from settlement_cases import good, prepared
from settlement_set_cases import handed_over, joint

from ioex_chain.crypto.address import reserve_change_script
from ioex_chain.gossip.pow_pool import PowPool
from ioex_chain.gossip.wire import Fate
from ioex_chain.p2p.chain_messages import AnnounceTransactions, FeeFilter, GetTransactions, Transactions
from ioex_chain.p2p.seam import Offence
from ioex_chain.pow import policy as rules
from ioex_chain.pow import reserve_errors as errors
from ioex_chain.pow.errors import BlockTransactionError
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.packages import Settles
from ioex_chain.pow.policy import Policy
from ioex_chain.pow.pool_events import Left
from ioex_chain.pow.pool_file import decode_pool, encode_pool, restore
from ioex_chain.pow.reserve import scan_reserve
from ioex_chain.pow.template import TemplateBuilder
from ioex_chain.pow.tip import Tip
from ioex_chain.primitives.types import COIN, OutPoint

BOB = key("bob").script
CHANGE = reserve_change_script()


def restrict(world: SettlementWorld, **policy: int) -> None:
    """Give the world's pool another policy."""
    world.pool.policy = Policy(**policy)


# --- coming in ---


def test_no_fee_rate_and_no_standard_size_is_asked_of_it() -> None:
    world = prepared()
    restrict(world, min_relay_rate=10**9, max_standard_size=500, max_ancestors=0)
    entry = world.add(good(world))
    assert world.pool.settlement is entry
    with pytest.raises(rules.SizeNotStandard):
        world.add(world.pay(*[(COIN, BOB)] * 20))
    with pytest.raises(rules.FeeTooLow):
        world.add(world.pay())


def test_a_settlement_of_nothing_but_a_handover_pays_nothing_and_comes_in() -> None:
    world = prepared()
    world.mine(good(world))
    world.dpos.drain(world.dpos.handover(world.privates[:3]))
    assert world.add(world.settlement()).fee == 0


def test_it_has_a_bound_of_its_own() -> None:
    world = prepared()
    tx = good(world)
    restrict(world, max_settlement_size=tx.size - 1)
    with pytest.raises(rules.SettlementTooLarge):
        world.add(tx)
    restrict(world, max_settlement_size=tx.size)
    world.add(tx)


def test_the_outer_form_alone_frees_nobody_from_policy() -> None:
    world = prepared()
    restrict(world, max_standard_size=400)
    payment = world.pay((COIN, BOB))
    posing = payment.with_witnesses([(b"", b"", b"", bytes(500))])
    with pytest.raises(rules.SizeNotStandard):
        world.add(posing)


def test_the_outer_form_needs_few_inputs_or_nothing_is_looked_up() -> None:
    world = prepared()
    restrict(world, max_standard_size=400)
    many = [world.chain.take() for _ in range(15)]
    large = world.chain.spend([*many, *many, *many, *many, *many], [(COIN, BOB)])
    posing = large.with_witnesses([(b"", b"", b"", bytes(500)), *[()] * 74])
    distinct = [
        item._replace(outpoint=OutPoint(at.to_bytes(36, "big"))) for at, item in enumerate(posing.inputs, 1)
    ]
    with pytest.raises(rules.SizeNotStandard):
        world.add(edited(posing, inputs=distinct))
    with pytest.raises(rules.MissingInputs):
        world.add(edited(posing, inputs=distinct[:64]))


def test_it_spends_confirmed_outputs_only() -> None:
    world = prepared()
    donation = world.pay((20 * COIN, CHANGE))
    world.add(donation)
    tx = good(world)
    spent = sum(coin.value for coin in world.coins_of(tx))
    item = tx.inputs[0]._replace(outpoint=donation.outpoint(0))
    rest = tx.outputs[-1]._replace(value=tx.outputs[-1].value - spent + 20 * COIN)
    unconfirmed = edited(tx, inputs=[item], outputs=[*tx.outputs[:-1], rest])
    with pytest.raises(rules.SettlementUnconfirmed):
        world.add(unconfirmed)
    world.mine(donation)
    world.add(unconfirmed)


def test_a_better_one_replaces_it_and_no_other() -> None:
    world = prepared()
    world.add(good(world))
    with pytest.raises(rules.SettlementNotBetter):
        world.add(world.settlement(3))
    others = [
        found for found in scan_reserve(world.ledger.view()) if found[0] != good(world).inputs[0].outpoint
    ]
    with pytest.raises(rules.SettlementNotBetter):
        world.add(world.settlement(4, coins=[max(others, key=lambda found: found[1].value)]))
    with pytest.raises(rules.AlreadyInPool):
        world.add(good(world))
    world.changes.clear()
    height = world.dpos.drain(world.dpos.withdraw(COIN, BOB))
    better = world.settlement(height)
    world.add(better)
    assert world.pool.settlement is world.pool.get(better.txid)
    assert [change.left for change in world.changes] == [Left.REPLACED, None]
    assert len(world.pool) == 1


def test_what_spends_a_replaced_one_goes_with_it() -> None:
    world = prepared()
    tx = good(world)
    world.add(tx)
    world.chain._remember_outputs(tx)
    world.chain.know(key("bob"))
    child = world.chain.spend(world.chain.funds(tx, 0), [], fee=5_000)
    world.add(child)
    height = world.dpos.drain(world.dpos.withdraw(COIN, BOB))
    world.add(world.settlement(height))
    assert child.txid not in world.pool
    assert len(world.pool) == 1


def test_a_set_that_takes_over_is_better_than_none() -> None:
    world = prepared()
    number = handed_over(world, world.privates[1:])
    height = world.dpos.drain(world.dpos.withdraw(COIN, BOB))
    alone = world.settlement(height)
    world.add(alone)
    both = world.settlement(height, certificate=world.dpos.certificate(height, number, before=world.privates))
    assert both.txid == alone.txid
    world.add(both)
    assert world.pool.get_by_wtxid(alone.wtxid) is None
    with pytest.raises(rules.SettlementNotBetter):
        world.add(alone)
    assert world.pool.settlement is not None
    assert world.pool.settlement.settles is not None
    assert world.pool.settlement.settles.reach == (7, number)


def test_a_full_pool_gives_up_all_else_first() -> None:
    world = prepared()
    entry = world.add(good(world))
    for _ in range(6):
        world.add(world.pay(fee=1_000_000))
    restrict(world, max_usage=entry.usage)
    world.pool.trim()
    assert [one.txid for one in world.pool] == [entry.txid]


def test_it_survives_a_restart_if_it_still_holds() -> None:
    world = prepared()
    tx = good(world)
    world.add(tx)
    kept = decode_pool(encode_pool(world.pool), world.spec.pow.max_block_size)
    world.pool = Mempool(world.spec, world.clock, settlements=world.rule)
    assert restore(world.pool, kept, Tip.of(world.ledger)).kept == 1
    assert world.pool.settlement is not None
    world.mine(tx)
    fresh = Mempool(world.spec, world.clock, settlements=world.rule)
    assert restore(fresh, kept, Tip.of(world.ledger)).refused == 1


def test_a_pool_without_the_rule_takes_none() -> None:
    world = prepared()
    pool = Mempool(world.spec, world.clock)
    with pytest.raises(Exception, match="only a settlement"):
        pool.add(good(world), Tip.of(world.ledger))


# --- in templates and blocks ---


def test_it_comes_first_and_its_fees_count() -> None:
    world = prepared()
    rich = world.pay(fee=5_000_000)
    world.add(rich)
    tx = good(world)
    world.add(tx)
    template = world.builder.build()
    assert [one.txid for one in template.transactions] == [tx.txid, rich.txid]
    assert template.fees == 5_000_000 + 30_000
    assert template.entries[0].checks == 6
    block = world.chain.adopt(template.to_block(key("miner").script))
    world.accept(block)
    assert world.state.count == 5


def test_a_miner_who_asks_for_a_rate_takes_it_all_the_same() -> None:
    world = prepared()
    world.mine(good(world))
    world.dpos.drain(world.dpos.handover(world.privates[:3]))
    tx = world.settlement()
    world.add(tx)
    world.add(world.pay())
    builder = TemplateBuilder(world.spec, world.ledger, world.pool, world.clock, min_rate=10**9)
    assert [one.txid for one in builder.build().transactions] == [tx.txid]


def test_a_payout_can_be_spent_in_the_same_block() -> None:
    world = prepared()
    tx = good(world)
    world.add(tx)
    world.chain._remember_outputs(tx)
    world.chain.know(key("bob"))
    child = world.chain.spend(world.chain.funds(tx, 0), [], fee=5_000)
    world.add(child)
    template = world.builder.build()
    assert [one.txid for one in template.transactions] == [tx.txid, child.txid]
    assert template.entries[1].depends == (1,)


def test_a_remembered_wtxid_opens_nothing() -> None:
    for name in ("one signature short", "a fee of one unit more", "a request's amount altered"):
        world = prepared()
        error, make = CASES[name]
        tx = make(world)
        world.verified.add(tx.wtxid, 0)
        with pytest.raises(BlockTransactionError) as caught:
            world.ledger.accept_block(world.chain.block(world.tip, [tx], fees=0))
        assert type(caught.value.cause) is error


def test_one_that_was_verified_is_refused_once_the_state_has_moved() -> None:
    world = prepared()
    tx = good(world)
    world.add(tx)
    spare = [found for found in scan_reserve(world.ledger.view()) if found[0] != tx.inputs[0].outpoint]
    largest = max(spare, key=lambda found: found[1].value)
    world.mine(world.settlement(4, coins=[largest]))
    assert world.pool.settlement is None
    with pytest.raises(BlockTransactionError) as caught:
        world.ledger.accept_block(world.chain.block(world.tip, [tx], fees=0))
    assert type(caught.value.cause) is errors.RequestSettled


# --- the chain moves ---


def test_it_stays_while_nothing_that_it_shows_has_changed() -> None:
    world = prepared()
    entry = world.add(good(world))
    checked = entry.settles
    world.mine(world.pay())
    assert world.pool.settlement is entry
    assert entry.settles is checked


def test_another_that_goes_before_it_drives_it_out() -> None:
    world = prepared()
    tx = good(world)
    world.add(tx)
    spare = [found for found in scan_reserve(world.ledger.view()) if found[0] != tx.inputs[0].outpoint]
    world.changes.clear()
    world.mine(world.settlement(3, coins=[max(spare, key=lambda found: found[1].value)]))
    assert world.pool.settlement is None
    assert [change.left for change in world.changes] == [Left.CONFLICT]


def test_it_comes_back_from_a_branch_that_lost() -> None:
    world = prepared()
    fork, tx = world.tip, good(world)
    world.mine(tx)
    for block in world.chain.extend(fork, 2):
        world.accept(block)
    assert world.pool.settlement is world.pool.get(tx.txid)
    assert world.pool.settlement is not None


def test_it_does_not_come_back_where_another_settled() -> None:
    world = prepared()
    fork, tx = world.tip, good(world)
    spare = [found for found in scan_reserve(world.ledger.view()) if found[0] != tx.inputs[0].outpoint]
    other = world.settlement(4, coins=[max(spare, key=lambda found: found[1].value)])
    world.mine(tx)
    first = world.chain.block(fork, [other])
    for block in (first, world.chain.block(first)):
        world.accept(block)
    assert world.pool.settlement is None
    assert world.state.count == 5


def test_a_check_is_repeated_when_a_reorganisation_changes_what_came_before() -> None:
    world = prepared()
    fork = world.tip
    first = world.settlement(3)
    world.mine(first)
    second = world.settlement(4)
    world.add(second)
    for block in world.chain.extend(fork, 2):
        world.accept(block)
    assert second.txid not in world.pool
    assert world.pool.settlement is world.pool.get(first.txid)
    assert isinstance(world.pool.settlement and world.pool.settlement.settles, Settles)


# --- peers ---


@pytest.fixture
def relayed() -> tuple[SettlementWorld, GossipWorld]:
    world = prepared()
    return world, GossipWorld(world)


def test_peers_are_told_whatever_rate_they_ask_for(relayed: tuple[SettlementWorld, GossipWorld]) -> None:
    world, gossip = relayed
    peer = gossip.connect()
    gossip.transactions.on_fee_filter(peer, FeeFilter(10**9))
    tx, payment = good(world), world.pay()
    world.add(tx)
    world.add(payment)
    gossip.settle()
    gossip.pass_time(3.0)
    told = [id_ for message in peer.take(AnnounceTransactions) for id_ in message.ids]
    assert told == [tx.wtxid]
    gossip.transactions.on_get_transactions(peer, GetTransactions((tx.wtxid,)))
    assert peer.take(Transactions) == [Transactions((tx.raw,))]


@pytest.mark.parametrize(
    ("name", "offences"),
    [
        ("one signature short", [Offence.INVALID_TRANSACTION]),
        ("a payout of one unit more", [Offence.INVALID_TRANSACTION]),
        ("a request's amount altered", [Offence.INVALID_TRANSACTION]),
        ("a request left out at the start", []),
        ("a set that nobody handed over", []),
        ("a whole settlement again", []),
    ],
)
def test_who_sends_a_stale_one_is_no_liar(name: str, offences: list[Offence]) -> None:
    world = prepared()
    tx = CASES[name][1](world)
    gossip = GossipWorld(world)
    peer = gossip.connect()
    gossip.transactions.on_announce_transactions(peer, AnnounceTransactions((tx.wtxid,)))
    gossip.settle()
    gossip.transactions.on_transactions(peer, Transactions((tx.raw,)))
    gossip.settle()
    assert peer.offences == offences
    assert tx.wtxid not in world.pool


def test_a_witness_that_is_wrong_says_nothing_about_the_transaction() -> None:
    world = prepared()
    pool = PowPool(GossipWorld(world).chain)
    for name, (error, _) in CASES.items():
        fate = pool.fate(error(name))
        assert fate in (Fate.INVALID_PROOF, Fate.LATER) or not issubclass(error, errors.SettlementError)


def test_a_joint_one_travels_like_the_others() -> None:
    world = prepared()
    number = handed_over(world, world.privates[1:])
    tx = joint(world, number)
    world.add(tx)
    world.mine(tx)
    assert world.state.current.number == number
