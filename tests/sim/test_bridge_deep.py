"""PoW reorganisations beyond k: what was believed may be gone, so the Bridge stops and says so."""

import pytest
from chaingen.builder import Funds

from ioex_chain.bridge.solvency import Verdict
from ioex_chain.evm.bridge import Door, PauseReason
from ioex_chain.primitives.types import COIN

from .bridge_history import FORMS
from .bridge_spec import OPERATORS, payer
from .test_bridge_world import ALICE, BOB, Story

DEEP = PauseReason.DEEP_REORGANISATION
SMALL = 2 * COIN


def owner(story: Story, signature: str, *args: object) -> None:
    """Have the owner's multisig call the Bridge."""
    story.world.owner_call("Bridge", signature, *args)
    story.world.produce()


def credit(story: Story) -> tuple[tuple[bytes, int], Funds]:
    """Credit a deposit; give its name and the coin that paid it."""
    story.round(6)
    (coin,) = story.world.pow.spendable(story.world.chance)
    tx = story.world.deposit((9 * COIN, ALICE), source=coin, direct=True)
    assert tx is not None
    story.world.mine([tx])
    story.round(4)
    assert story.times_credited((tx.txid, 0)) == 1
    return (tx.txid, 0), coin


def double_spend(story: Story) -> tuple[bytes, int]:
    """Credit a deposit, then have a branch beyond k spend its coin elsewhere."""
    name, coin = credit(story)
    other = story.world.pow.pay([coin], [(COIN, payer(0).script)])
    story.world.fork_pow(6, keep=0, instead=[other])
    story.invariants.is_broken_by_reorganisation = True
    story.world.produce()
    story.invariants.check()
    return name


def test_a_deposit_that_a_deep_branch_took_back_shuts_both_doors_and_is_named() -> None:
    story = Story()
    name = double_spend(story)
    bridge, light = story.invariants.bridge, story.invariants.light
    assert light.deep_reorgs() == 1
    assert light.deepest_reorg() > story.world.spec.pow.burial_depth
    assert bridge.pause_reasons(Door.IN) == bridge.pause_reasons(Door.OUT) == DEEP
    assert story.invariants.credited_for_nothing() == 9 * 10**18
    assert name in story.invariants.dpos.places
    assert name not in story.invariants.pow.deposits
    node = story.invariants.node
    assert [(one.deposit.txid, one.deposit.vout) for one in node.missing()] == [name]
    found = node.solvency().result
    assert found.verdict is Verdict.HOLE
    assert found.not_credited.unproven == -9 * 10**18
    assert node.status().inward.reasons == node.status().outward.reasons != []


def test_while_it_is_shut_nothing_is_credited_and_nothing_new_is_asked_for() -> None:
    story = Story()
    double_spend(story)
    asked, counted = story.invariants.dpos.now.count, story.invariants.bridge.counted_height
    fresh = story.deposit(COIN, BOB)
    for _ in range(6):
        story.world.withdraw(BOB, SMALL, FORMS[0])
        story.round()
    assert story.invariants.dpos.now.count == asked
    assert story.invariants.bridge.counted_height == counted
    assert story.times_credited(fresh.name) == 0
    assert "paused by a deep reorganisation" in story.refusal(story.world.relayers[0].proof_of(fresh.name))
    assert story.status(story.world.relayers[0].proof_of(fresh.name)) == 0


def test_requests_of_before_are_settled_and_sets_handed_over_all_the_same() -> None:
    story = Story()
    story.world.withdraw(BOB, SMALL, FORMS[0])
    double_spend(story)
    story.world.call(OPERATORS[0], "ArbitratorRegistry", "setStandby(bool)", True)
    story.round(25)
    assert story.invariants.bridge.pause_reasons(Door.OUT) & DEEP
    assert story.invariants.dpos.now.sets == 1
    assert story.invariants.pow.now.settled == 1
    state = story.invariants.reserve
    assert state.count == story.invariants.dpos.now.count
    assert state.current.number == 1


def test_the_owner_opens_it_again_and_no_height_or_deposit_counts_twice() -> None:
    story = Story()
    name = double_spend(story)
    waiting = story.deposit(COIN, BOB)
    story.round(5)
    owner(story, "acknowledge(uint256)", 1)
    assert not story.invariants.bridge.is_paused(Door.IN)
    story.world.withdraw(BOB, SMALL, FORMS[0])
    story.round(8)
    assert story.times_credited(waiting.name) == 1
    assert story.times_credited(name) == 1
    assert story.invariants.pow.now.settled == 1
    assert story.invariants.credited_for_nothing() == 9 * 10**18
    story.invariants.count_all()


def test_a_deposit_that_the_deep_branch_mines_again_leaves_no_hole() -> None:
    story = Story()
    name, _ = credit(story)
    story.world.fork_pow(6, keep=1)
    story.invariants.is_broken_by_reorganisation = True
    story.round(6)
    assert story.invariants.bridge.is_paused(Door.IN)
    assert story.invariants.credited_for_nothing() == 0
    owner(story, "acknowledge(uint256)", 1)
    story.round(6)
    assert story.times_credited(name) == 1
    assert "credited before" in story.refusal(story.world.relayers[0].proof_of(name))


@pytest.mark.parametrize("steps", [(1, 2), (2, 2, 2), (2, 1, 2)])
def test_short_reorganisations_after_each_other_shut_nothing(steps: tuple[int, ...]) -> None:
    story = Story()
    story.round(8)
    for depth in steps:
        story.world.fork_pow(depth)
        story.round(2)
    assert story.invariants.light.deep_reorgs() == 0
    assert not story.invariants.bridge.is_paused(Door.IN)


def test_going_back_and_forth_within_k_of_the_tip_but_below_what_was_buried_is_deep() -> None:
    """A branch left at depth k and taken up again later forks from where blocks are buried by now."""
    story = Story()
    story.round(8)
    old = [story.world.pow.block_at(story.world.pow.height - at) for at in (1, 0)]
    story.world.fork_pow(2)
    story.round(1)
    tip = old[-1]
    branch = []
    while story.world.pow.chain.height(tip) <= story.world.pow.height:
        tip = story.world.pow.build(tip)
        branch.append(tip)
    for block in branch:
        story.world.pow.take(block)
    assert story.world.pow.ledger.head.hash == tip.hash
    story.invariants.is_broken_by_reorganisation = True
    story.world.produce()
    story.invariants.check()
    assert story.invariants.light.deep_reorgs() == 1
    assert story.invariants.bridge.pause_reasons(Door.IN) == DEEP
