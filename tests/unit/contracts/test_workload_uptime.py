"""Workload's uptime: who reports, what a majority is, and the bootstrap nodes that earn their quota by it."""

import pytest
from contract_world import Reverted, address
from contribution_world import ALL_HOURS, Contribution

ALICE, BOB, THIEF = address(1), address(2), address(3)
WORK = "Workload"
NIGHT, DAY = (1 << 12) - 1, ((1 << 12) - 1) << 12


@pytest.fixture
def world() -> Contribution:
    """Four reporters; node 5 is Alice's; the clock stands in the epoch after `world.epoch - 1`."""
    made = Contribution()
    made.add(ALICE, "a")
    made.go_to(made.epoch + 2)
    return made


def over(world: Contribution) -> int:
    """Give the epoch that can be reported now."""
    return world.epoch - 1


def test_a_majority_of_the_reporters_counts_part_by_part(world):
    first, second, third, fourth = world.reporters
    epoch = over(world)
    hours = []
    for reporter, seen in ((first, ALL_HOURS), (second, NIGHT), (third, DAY | 1), (fourth, ALL_HOURS)):
        world.report(reporter, epoch, 5, seen=seen)
        hours.append(world.work(epoch, 5)["hours"])
    assert hours == [0, 0, 1, 24]  # three of four: more than half
    assert world.work(epoch, 5)["points"] == 24 * world.given.workload[0]
    assert world.ask(WORK, "totalsOf", epoch) == (False, 24 * world.given.workload[0], 0)
    counters, reporters, objections = world.ask(WORK, "sightingsOf", epoch, 5)
    assert counters == (4, *(3,) * 23)
    assert (reporters, objections) == (0b1111, 0)


def test_two_of_four_are_no_majority(world):
    epoch = over(world)
    for reporter in world.reporters[:2]:
        world.report(reporter, epoch, 5)
    assert world.names() == ["UptimeReported"]
    assert world.work(epoch, 5)["hours"] == 0


def test_the_order_of_reports_does_not_matter(world):
    epoch = over(world)
    other = Contribution()
    other.add(ALICE, "a")
    other.go_to(world.epoch)
    reports = list(zip(world.reporters, (ALL_HOURS, NIGHT, DAY | 0b11, 0b101), strict=True))
    for reporter, seen in reports:
        world.report(reporter, epoch, 5, seen=seen)
    for reporter, seen in reversed(reports):
        other.report(reporter, epoch, 5, seen=seen)
    assert world.work(epoch, 5) == other.work(epoch, 5)
    assert world.work(epoch, 5)["hours"] == 3  # parts 0, 1 and 2 were seen by three


def test_a_reporter_reports_once_and_only_reporters_do(world):
    epoch, first = over(world), world.reporters[0]
    with pytest.raises(Reverted, match="only a reporter"):
        world.report(THIEF, epoch, 5)
    assert world.call(first, WORK, "reportUptime", epoch, [5, 5], [1, 2]) == 1
    assert world.ask(WORK, "sightingsOf", epoch, 5)[0][:2] == (1, 0)
    with pytest.raises(Reverted, match="none counts"):
        world.report(first, epoch, 5)


def test_nobody_reports_his_own_node(world):
    with pytest.raises(Reverted, match="both have one owner"):
        world.report(world.reporters[0], over(world), 1)


def test_a_reporters_own_node_needs_the_majority_of_the_others(world):
    epoch = over(world)
    world.report(world.reporters[1], epoch, 1)
    assert world.work(epoch, 1)["hours"] == 0
    world.report(world.reporters[2], epoch, 1)
    assert world.work(epoch, 1)["hours"] == 24  # two of three


def test_a_report_is_24_bits(world):
    with pytest.raises(Reverted, match="24 bits"):
        world.report(world.reporters[0], over(world), 5, seen=1 << 24)


def test_a_reporter_may_say_that_it_did_not_see_a_node(world):
    epoch = over(world)
    world.report(world.reporters[0], epoch, 5, seen=0)
    assert world.ask(WORK, "sightingsOf", epoch, 5) == ((0,) * 24, 1, 0)
    with pytest.raises(Reverted, match="none counts"):
        world.report(world.reporters[0], epoch, 5)


def test_when_reports_are_taken(world):
    epoch, reporter = over(world), world.reporters[0]
    with pytest.raises(Reverted, match="the epoch is not over"):
        world.report(reporter, epoch + 1, 5)
    with pytest.raises(Reverted, match="too late for the epoch"):
        world.report(reporter, epoch - 1, 5)
    with pytest.raises(Reverted, match="one word for each node"):
        world.call(reporter, WORK, "reportUptime", epoch, [5], [])


def test_only_active_nodes_that_were_registered_are_reported(world):
    epoch, reporter = over(world), world.reporters[0]
    fresh = world.add(BOB, "fresh")
    with pytest.raises(Reverted, match="before the node was registered"):
        world.report(reporter, epoch, fresh)
    with pytest.raises(Reverted, match="no such node"):
        world.report(reporter, epoch, 99)
    world.call(world.owner, "NodeRegistry", "suspend", 5)
    with pytest.raises(Reverted, match="none counts"):
        world.report(reporter, epoch, 5)
    assert world.call(reporter, WORK, "reportUptime", epoch, [5, 2], [1, 1]) == 1  # the others count


def test_a_new_reporter_begins_with_the_next_epoch(world):
    world.time += 1
    world.add_bootstrap(BOB, "boot")
    began = world.epoch
    world.go_to(began + 1)
    with pytest.raises(Reverted, match="reports from its next epoch on"):
        world.report(BOB, began, 5)
    world.go_to(began + 2)
    world.report(BOB, began + 1, 5)


def test_a_place_that_changes_hands_reports_no_second_time(world):
    """Whoever leaves and comes back has not two voices in the epoch in which it did."""
    epoch = world.epoch
    world.time += 1
    world.call(world.owner, "NodeRegistry", "suspend", 1)
    world.add_bootstrap(BOB, "boot")  # takes the place
    world.call(world.owner, "NodeRegistry", "resume", 1)
    assert world.ask("NodeRegistry", "reporterOf", BOB)[0] == 1
    world.go_to(epoch + 1)
    for reporter in (world.reporters[0], BOB):
        with pytest.raises(Reverted, match="reports from its next epoch on"):
            world.report(reporter, epoch, 5)


def test_a_bootstrap_node_that_was_up_long_enough_qualifies(world):
    epoch, needed = over(world), world.given.workload[7]
    short = (1 << (needed - 1)) - 1
    for reporter in world.reporters[1:3]:
        world.report(reporter, epoch, 1, seen=short)
    assert world.work(epoch, 1)["qualified"] is False
    world.report(world.reporters[3], epoch, 1, seen=ALL_HOURS)
    assert (world.work(epoch, 1)["hours"], world.work(epoch, 1)["qualified"]) == (needed - 1, False)
    for reporter, node in ((0, 2), (2, 2), (0, 5), (1, 5), (2, 5)):
        world.report(world.reporters[reporter], epoch, node)
    assert world.work(epoch, 2)["qualified"] is True
    assert world.work(epoch, 5)["qualified"] is False  # a peer has no quota
    assert world.ask(WORK, "totalsOf", epoch)[2] == 1


def test_a_lone_bootstrap_node_has_nobody_to_vouch_for_it():
    world = Contribution(members=1)
    world.go_to(world.epoch + 1)
    node = world.add(ALICE, "a")
    world.go_to(world.epoch + 1)
    world.report(world.reporters[0], world.epoch - 1, node)
    assert world.work(world.epoch - 1, node)["hours"] == 24
    with pytest.raises(Reverted, match="both have one owner"):
        world.report(world.reporters[0], world.epoch - 1, 1)


def test_51_reporters_and_64_nodes_in_a_call():
    world = Contribution(members=51)
    nodes = [world.add(ALICE, f"node {number}") for number in range(64)]
    world.go_to(world.epoch + 1)
    epoch = world.epoch
    world.go_to(epoch + 1)
    for reporter in world.reporters[:25]:
        world.report(reporter, epoch, nodes[0])
    assert world.work(epoch, nodes[0])["hours"] == 0
    world.report(world.reporters[25], epoch, *nodes)
    assert world.work(epoch, nodes[0])["hours"] == 24
    assert world.gas_used < 5_000_000
    for reporter in world.reporters[26:]:
        world.report(reporter, epoch, nodes[0])
    assert world.ask(WORK, "sightingsOf", epoch, nodes[0])[0] == (51,) * 24
