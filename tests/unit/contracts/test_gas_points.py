"""GasPoints: minted once for a final epoch, never moved, and a level from them."""

import pytest
from contract_world import Reverted, address
from contribution_world import Contribution

from ioex_chain.evm.contribution import GAS_DECIMALS
from ioex_chain.evm.contribution_reader import ContributionReader

ALICE, BOB, THIEF = address(1), address(2), address(3)
GAS = "GasPoints"


@pytest.fixture
def world() -> Contribution:
    """Nodes 5 and 6 are Alice's, 7 is Bob's."""
    made = Contribution()
    for owner, name in ((ALICE, "a"), (ALICE, "b"), (BOB, "c")):
        made.add(owner, name)
    made.go_to(made.epoch + 1)
    return made


def day(world: Contribution, *nodes: int) -> int:
    """Give nodes a day of full uptime, and let it become final. Give the epoch."""
    epoch = world.epoch
    world.go_to(epoch + 1)
    for reporter in world.reporters[:3]:
        world.report(reporter, epoch, *nodes)
    world.finish(epoch)
    return epoch


def test_points_are_minted_once_when_the_epoch_is_final(world):
    epoch = world.epoch
    world.go_to(epoch + 1)
    for reporter in world.reporters[:3]:
        world.report(reporter, epoch, 5, 6, 7)
    world.finish(epoch)
    world.time -= 1
    with pytest.raises(Reverted, match="the epoch is not final"):
        world.call(THIEF, "Workload", "settle", epoch, [5])
    world.time += 1
    points = 24 * world.given.workload[0]
    assert world.call(THIEF, "Workload", "settle", epoch, [5, 6, 5, 99]) == 2 * points
    assert world.names() == ["Settled", "Minted", "Transfer"] * 2
    with pytest.raises(Reverted, match="nothing to settle"):
        world.call(THIEF, "Workload", "settle", epoch, [5, 6])
    world.call(THIEF, "Workload", "settle", epoch, [5, 6, 7])
    assert [world.ask(GAS, "balanceOf", owner) for owner in (ALICE, BOB)] == [2 * points, points]
    assert [world.ask(GAS, "pointsOf", node) for node in (5, 6, 7)] == [points] * 3
    assert world.ask(GAS, "totalSupply") == world.ask("Workload", "totalsOf", epoch)[1] == 3 * points
    read = ContributionReader(world.spec, world.state)
    assert (read.points_of_node(5), read.points_of_owner(ALICE)) == (points, 2 * points)
    assert read.points_supply() == read.totals(epoch).points == 3 * points
    assert read.epoch_at(world.time) == world.epoch == read.final_from(epoch)


def test_points_stay_with_the_owner_when_the_node_retires(world):
    epoch = day(world, 5)
    world.call(ALICE, "NodeRegistry", "retire", 5)
    world.call(THIEF, "Workload", "settle", epoch, [5])
    assert world.ask(GAS, "balanceOf", ALICE) == 24 * world.given.workload[0]


def test_what_was_struck_mints_nothing(world):
    epoch = world.epoch
    world.go_to(epoch + 1)
    for reporter in world.reporters[:3]:
        world.report(reporter, epoch, 5)
    world.call(world.owner, "NodeRegistry", "suspend", 5)
    world.call(THIEF, "Workload", "strikeNode", epoch, 5)
    world.finish(epoch)
    with pytest.raises(Reverted, match="nothing to settle"):
        world.call(THIEF, "Workload", "settle", epoch, [5])


def test_only_workload_mints(world):
    for sender in (THIEF, world.owner):
        with pytest.raises(Reverted, match="only Workload"):
            world.call(sender, GAS, "mint", 5, THIEF, world.epoch, 1)


def test_nothing_moves_points(world):
    world.call(THIEF, "Workload", "settle", day(world, 5), [5])
    for function, arguments in (
        ("transfer", (BOB, 1)),
        ("transfer", (BOB, 0)),
        ("transferFrom", (ALICE, BOB, 1)),
        ("approve", (BOB, 1)),
    ):
        with pytest.raises(Reverted, match="GAS cannot be transferred"):
            world.call(ALICE, GAS, function, *arguments)
    assert world.ask(GAS, "allowance", ALICE, BOB) == 0


def test_wallets_may_show_it_as_a_token(world):
    assert (world.ask(GAS, "name"), world.ask(GAS, "symbol")) == ("ioeX contribution", "GAS")
    assert world.ask(GAS, "decimals") == GAS_DECIMALS


def test_levels(world):
    workload = world.where("Workload")
    thresholds = world.given.points

    def mint(amount: int) -> int:
        world.call(workload, GAS, "mint", 5, ALICE, 1, amount)
        return world.ask(GAS, "level", 5)

    assert world.ask(GAS, "level", 5) == mint(thresholds[0] - 1) == 0
    assert mint(1) == 1
    assert mint(thresholds[2] - thresholds[0] - 1) == 2
    assert mint(1) == 3
    assert mint(thresholds[7]) == 8
    assert world.ask(GAS, "level", 6) == 0


def test_thresholds_go_on_rising(world):
    thresholds = world.given.points
    assert world.ask(GAS, "bounds", 1) == (thresholds[0] + 1, thresholds[2] - 1)
    for value in (thresholds[0], thresholds[2]):
        with pytest.raises(Reverted, match="out of bounds"):
            world.call(world.owner, GAS, "announce", 1, value)
    world.call(world.owner, GAS, "announce", 1, thresholds[0] + 1)
    world.change(GAS, 0, 5)
    world.call(THIEF, GAS, "apply", 1)
    assert [world.ask(GAS, "parameters", number) for number in (0, 1)] == [5, thresholds[0] + 1]


def test_a_threshold_is_checked_again_when_it_is_applied(world):
    thresholds = world.given.points
    world.call(world.owner, GAS, "announce", 1, thresholds[0] + 1)
    world.change(GAS, 0, thresholds[0] + 1)
    with pytest.raises(Reverted, match="out of bounds"):
        world.call(THIEF, GAS, "apply", 1)
