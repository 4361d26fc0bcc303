"""NodeRewards: budgets, quotas and shares, claims, and the yearly retirement. Nothing is ever overdrawn."""

import pytest
from contract_world import Reverted, address, reentering
from contribution_world import GIB, Contribution
from eth_abi import encode

from ioex_chain.evm.contribution import YEAR_HEADERS, YEAR_RETIREMENT
from ioex_chain.evm.contribution_reader import ContributionReader
from ioex_chain.evm.system import artefact, selector
from ioex_chain.evm.types import WEI

ALICE, BOB, ANYBODY = address(1), address(2), address(9)
REWARDS, PLAN = "NodeRewards", 70_000_000 * WEI
BUDGET, QUOTA, CLAIM_EPOCHS, DESTINATION, POINT_CAP = range(5)


@pytest.fixture
def world() -> Contribution:
    """Node 5 is Alice's, 6 is Bob's."""
    made = Contribution()
    made.add(ALICE, "a")
    made.add(BOB, "b")
    made.go_to(made.epoch + 1)
    made.state.set_balance(ALICE, 0)
    made.state.set_balance(BOB, 0)
    return made


def day(world: Contribution, *nodes: int, boots: int = 0) -> int:
    """A final epoch: nodes 5, 6, ... with full uptime; the first `boots` of set 0 too."""
    epoch = world.epoch
    world.go_to(epoch + 1)
    for at, reporter in enumerate(world.reporters):
        seen = [*nodes, *(boot for boot in range(1, boots + 1) if boot != at + 1)]
        if seen:
            world.report(reporter, epoch, *seen)
    world.finish(epoch)
    return epoch


def plan(world: Contribution):
    found = ContributionReader(world.spec, world.state).plan()
    assert found.balance + found.paid + found.retired + found.diverted == PLAN
    assert found.reserved <= found.balance
    assert world.ask(REWARDS, "available") == found.balance - found.reserved
    return found


def set_counted(world: Contribution, height: int) -> None:
    world.state.set_storage(world.where("Bridge"), artefact("Bridge").slots["counted"], height)
    world.state.lock_changes()


# --- shares ----------------------------------------------------------------------------------------------


def test_a_day_with_little_work_costs_little(world):
    epoch = day(world, 5)
    assert world.ask(REWARDS, "budgetOf", epoch) == (False, 0, 24 * WEI)
    assert world.ask(REWARDS, "claimable", epoch, 5) == 24 * WEI  # 1 IOEX for 1 GAS at most
    world.call(ALICE, REWARDS, "claim", epoch, [5])
    assert world.names() == ["Opened", "Claimed"]
    assert world.balance(ALICE) == 24 * WEI
    assert plan(world).paid == 24 * WEI
    assert (plan(world).reserved, world.ask(REWARDS, "unpaid", epoch)) == (0, 0)


def test_quotas_first_then_pro_rata(world):
    world.change(REWARDS, BUDGET, 150 * WEI)
    epoch = world.epoch + 1
    world.go_to(epoch)
    world.hand_in(world.receipt(5, 6, 16 * GIB), world.receipt(6, 5, 4 * GIB))
    epoch = day(world, 5, 6, boots=2)
    world.call(ANYBODY, REWARDS, "open", epoch)
    assert world.ask(REWARDS, "budgetOf", epoch) == (True, 20 * WEI, 110 * WEI - 4 * WEI)
    # 4 x 24 GAS of uptime, 8 + 2 of receipts: 106 GAS at 1 IOEX are below the 110 IOEX that are left
    claims = [world.call(owner, REWARDS, "claim", epoch, [node]) for owner, node in ((ALICE, 5), (BOB, 6))]
    boots = [world.call(world.reporters[at], REWARDS, "claim", epoch, [at + 1]) for at in (0, 1)]
    assert (claims, boots) == ([32 * WEI, 26 * WEI], [44 * WEI, 44 * WEI])
    assert plan(world).reserved == 0


def test_much_work_shares_the_budget(world):
    world.change(REWARDS, QUOTA, 4 * WEI)
    world.change(REWARDS, BUDGET, 10 * WEI)
    world.go_to(world.epoch + 1)
    epoch = day(world, 5, 6, boots=1)
    assert world.ask(REWARDS, "budgetOf", epoch) == (False, 4 * WEI, 6 * WEI)
    assert world.call(ALICE, REWARDS, "claim", epoch, [5]) == 2 * WEI
    assert world.call(world.reporters[0], REWARDS, "claim", epoch, [1]) == 6 * WEI
    assert plan(world).reserved == 2 * WEI


def test_quotas_above_the_budget_shrink_alike(world):
    world.change(REWARDS, BUDGET, 50 * WEI)
    world.go_to(world.epoch + 1)
    epoch = day(world, 5, boots=3)
    assert world.ask(REWARDS, "budgetOf", epoch)[1:] == (50 * WEI // 3, 2)
    world.call(world.reporters[2], REWARDS, "claim", epoch, [3])
    assert plan(world).paid == 50 * WEI // 3
    with pytest.raises(Reverted, match="earned nothing"):  # a third of 2 wei
        world.call(ALICE, REWARDS, "claim", epoch, [5])


def test_a_budget_is_set_aside_once_with_the_parameters_of_then(world):
    epoch = day(world, 5)
    world.call(ANYBODY, REWARDS, "open", epoch)
    with pytest.raises(Reverted, match="is open"):
        world.call(ANYBODY, REWARDS, "open", epoch)
    assert plan(world).reserved == 24 * WEI
    world.change(REWARDS, POINT_CAP, 0)
    assert world.call(ALICE, REWARDS, "claim", epoch, [5]) == 24 * WEI
    assert world.names() == ["Claimed"]


def test_an_epoch_without_work_sets_nothing_aside(world):
    epoch = day(world)
    with pytest.raises(Reverted, match="nothing to share"):
        world.call(ANYBODY, REWARDS, "open", epoch)
    assert world.ask(REWARDS, "claimable", epoch, 5) == 0


# --- claims ----------------------------------------------------------------------------------------------


def test_a_node_is_paid_once_and_to_its_owner_alone(world):
    epoch = day(world, 5, 6)
    with pytest.raises(Reverted, match="only the node's owner"):
        world.call(BOB, REWARDS, "claim", epoch, [5])
    with pytest.raises(Reverted, match="only the node's owner"):
        world.call(BOB, REWARDS, "claim", epoch, [6, 5])
    with pytest.raises(Reverted, match="is claimed"):
        world.call(BOB, REWARDS, "claim", epoch, [6, 6])
    with pytest.raises(Reverted, match="no nodes"):
        world.call(BOB, REWARDS, "claim", epoch, [])
    world.call(ALICE, REWARDS, "claim", epoch, [5])
    with pytest.raises(Reverted, match="is claimed"):
        world.call(ALICE, REWARDS, "claim", epoch, [5])
    assert world.ask(REWARDS, "claimed", epoch, 5) is True
    assert world.ask(REWARDS, "claimable", epoch, 5) == 0
    assert world.ask(REWARDS, "claimable", epoch, 6) == 24 * WEI


def test_many_nodes_in_one_claim():
    world = Contribution()
    nodes = [world.add(ALICE, f"node {number}") for number in range(64)]
    world.go_to(world.epoch + 1)
    epoch = day(world, *nodes)
    before = world.balance(ALICE)
    assert world.call(ALICE, REWARDS, "claim", epoch, nodes) == 64 * 24 * WEI
    assert world.gas_used < 4_000_000
    assert world.balance(ALICE) - before == 64 * 24 * WEI


def test_nothing_is_paid_before_the_epoch_is_final(world):
    epoch = world.epoch
    world.go_to(epoch + 1)
    for reporter in world.reporters:
        world.report(reporter, epoch, 5)
    world.finish(epoch)
    world.time -= 1
    assert world.ask(REWARDS, "claimable", epoch, 5) == 0
    for sender, function, arguments in ((ALICE, "claim", (epoch, [5])), (ANYBODY, "open", (epoch,))):
        with pytest.raises(Reverted, match="the epoch is not final"):
            world.call(sender, REWARDS, function, *arguments)


def test_what_was_struck_earns_nothing(world):
    epoch = world.epoch
    world.hand_in(world.receipt(5, 6, GIB))
    world.call(world.owner, "NodeRegistry", "suspend", 5)
    world.call(ANYBODY, "Workload", "strikeNode", epoch, 5)
    world.call(world.owner, "NodeRegistry", "resume", 5)
    world.hand_in(world.receipt(6, 5, GIB))
    world.go_to(epoch + 1)
    for reporter in world.reporters:
        world.report(reporter, epoch, 6)
    world.finish(epoch)
    with pytest.raises(Reverted, match="earned nothing"):
        world.call(ALICE, REWARDS, "claim", epoch, [5])
    assert world.call(BOB, REWARDS, "claim", epoch, [6]) == 24 * WEI + WEI // 2


def test_receipts_of_two_accounts_that_no_reporter_saw_earn_nothing(world):
    epoch = world.epoch
    world.hand_in(world.receipt(5, 6, 16 * GIB), world.receipt(6, 5, 16 * GIB))
    world.finish(epoch)
    for owner, node in ((ALICE, 5), (BOB, 6)):
        with pytest.raises(Reverted, match="nothing to share"):
            world.call(owner, REWARDS, "claim", epoch, [node])


def test_what_nobody_claims_goes_back_to_the_plan(world):
    epoch, other = day(world, 5, 6), day(world, 5)
    world.call(ALICE, REWARDS, "claim", epoch, [5])
    world.go_to(epoch + world.given.rewards[CLAIM_EPOCHS])
    assert world.ask(REWARDS, "claimable", epoch, 6) == 24 * WEI
    with pytest.raises(Reverted, match="too early"):
        world.call(ANYBODY, REWARDS, "expire", epoch)
    world.go_to(world.epoch + 1)
    assert world.ask(REWARDS, "claimable", epoch, 6) == 0
    with pytest.raises(Reverted, match="expired"):
        world.call(BOB, REWARDS, "claim", epoch, [6])
    world.call(ANYBODY, REWARDS, "expire", epoch)
    assert world.names() == ["Expired"]
    assert plan(world).reserved == 0
    with pytest.raises(Reverted, match="nothing left"):
        world.call(ANYBODY, REWARDS, "expire", epoch)
    world.change(REWARDS, CLAIM_EPOCHS, 3600)  # a longer time brings nothing back
    assert world.ask(REWARDS, "claimable", epoch, 6) == 0
    with pytest.raises(Reverted, match="expired"):
        world.call(BOB, REWARDS, "claim", epoch, [6])
    assert world.call(ALICE, REWARDS, "claim", other, [5]) == 24 * WEI


def test_a_contract_cannot_claim_twice_by_calling_back():
    world = Contribution()
    target = world.where(REWARDS)
    node = world.add(ALICE, "a")
    world.go_to(world.epoch + 1)
    epoch = day(world, node)
    data = selector("claim(uint256,uint256[])") + encode(["uint256", "uint256[]"], [epoch, [node]])
    world.put_code(ALICE, reentering(target, data))
    world.raw(ANYBODY, ALICE, data)
    assert world.state.get_storage(ALICE, 0) == 1  # the call back failed
    assert plan(world).paid == 24 * WEI


# --- never overdrawn -------------------------------------------------------------------------------------


def test_the_last_day_shares_what_is_left(world):
    world.state.set_balance(world.where(REWARDS), 30 * WEI)
    world.state.lock_changes()
    first, second = day(world, 5), day(world, 5, 6)
    third = day(world, 5)
    assert world.call(ALICE, REWARDS, "claim", first, [5]) == 24 * WEI
    assert world.call(ALICE, REWARDS, "claim", second, [5]) == 3 * WEI
    with pytest.raises(Reverted, match="nothing to share"):
        world.call(ALICE, REWARDS, "claim", third, [5])
    assert world.call(BOB, REWARDS, "claim", second, [6]) == 3 * WEI
    assert world.balance(world.where(REWARDS)) == 0


def test_a_gift_belongs_to_the_plan_and_plain_transfers_are_refused(world):
    with pytest.raises(Reverted):
        world.raw(ANYBODY, world.where(REWARDS), b"", 1)
    world.credit(world.where(REWARDS), WEI)  # as a deposit from the other chain credits it
    assert world.ask(REWARDS, "available") == PLAN + WEI


def test_a_budget_is_never_above_what_is_left(world):
    world.state.set_balance(world.where(REWARDS), 50 * WEI)
    world.state.lock_changes()
    with pytest.raises(Reverted, match="out of bounds"):
        world.call(world.owner, REWARDS, "announce", BUDGET, 50 * WEI + 1)
    with pytest.raises(Reverted, match="out of bounds"):
        world.call(world.owner, REWARDS, "announce", BUDGET, 20 * WEI - 1)  # below the quota
    world.call(world.owner, REWARDS, "announce", BUDGET, 50 * WEI)
    world.state.set_balance(world.where(REWARDS), 49 * WEI)
    world.state.lock_changes()
    world.time += world.spec.bridge.owner_delay
    with pytest.raises(Reverted, match="out of bounds"):
        world.call(ANYBODY, REWARDS, "apply", BUDGET)
    assert world.ask(REWARDS, "bounds", QUOTA) == (0, 1_000 * WEI)


# --- the yearly amount -----------------------------------------------------------------------------------


def test_each_whole_year_is_retired_once(world):
    set_counted(world, YEAR_HEADERS - 1)
    with pytest.raises(Reverted, match="nothing is due"):
        world.call(ANYBODY, REWARDS, "retire")
    set_counted(world, 2 * YEAR_HEADERS + 5)
    assert world.ask(REWARDS, "due") == 2 * YEAR_RETIREMENT == 441_600 * WEI
    bridge = world.balance(world.where("Bridge"))
    world.call(ANYBODY, REWARDS, "retire")
    assert world.names() == ["Retired", "Retired"]  # and the Bridge's own
    assert world.balance(world.where("Bridge")) - bridge == 2 * YEAR_RETIREMENT
    assert world.ask("Bridge", "retiredTotal") == 2 * YEAR_RETIREMENT
    assert (plan(world).retired, world.ask(REWARDS, "due")) == (2 * YEAR_RETIREMENT, 0)
    with pytest.raises(Reverted, match="nothing is due"):
        world.call(ANYBODY, REWARDS, "retire")
    set_counted(world, 3 * YEAR_HEADERS)
    assert world.call(ANYBODY, REWARDS, "retire") == YEAR_RETIREMENT


def test_retirement_leaves_what_is_set_aside(world):
    epoch = day(world, 5)
    world.call(ANYBODY, REWARDS, "open", epoch)
    world.state.set_balance(world.where(REWARDS), 100 * WEI + 7)
    world.state.lock_changes()
    set_counted(world, YEAR_HEADERS)
    assert world.call(ANYBODY, REWARDS, "retire") == 76 * WEI  # whole PoW units
    assert world.ask(REWARDS, "due") == YEAR_RETIREMENT - 76 * WEI
    with pytest.raises(Reverted, match="nothing is due"):
        world.call(ANYBODY, REWARDS, "retire")
    assert world.call(ALICE, REWARDS, "claim", epoch, [5]) == 24 * WEI
    assert world.balance(world.where(REWARDS)) == 7


def test_the_owner_may_send_the_yearly_amount_elsewhere_for_two_years(world):
    fund = address(77)
    set_counted(world, YEAR_HEADERS)
    with pytest.raises(Reverted, match="out of bounds"):
        world.call(world.owner, REWARDS, "announce", DESTINATION, 1 << 160)
    world.change(REWARDS, DESTINATION, int.from_bytes(fund, "big"))
    assert world.ask(REWARDS, "destination") == "0x" + fund.hex()
    world.call(ANYBODY, REWARDS, "retire")
    assert world.names() == ["Diverted"]
    assert world.balance(fund) == plan(world).diverted == YEAR_RETIREMENT
    set_counted(world, 2 * YEAR_HEADERS)
    world.time += 720 * 86_400 + 1  # nobody reviewed it: retirement again
    assert world.ask(REWARDS, "destination") == "0x" + bytes(20).hex()
    world.call(ANYBODY, REWARDS, "retire")
    assert (plan(world).retired, plan(world).diverted) == (YEAR_RETIREMENT, YEAR_RETIREMENT)
