"""R4 in the suite's length: 30 seeds of 13 arbitrators, 2 of 51, and the worlds with too many of one kind."""

from dataclasses import replace

import pytest

from .dpos_shapes import CROWD, FORCED, SILENCE, SMALL, TOO_MANY
from .dpos_world import DposShape, DposWorld


def run(seed: int, shape: DposShape) -> DposWorld:
    world = DposWorld(seed, shape)
    wrong = world.run()
    print(world.summary())
    assert not wrong, "\n".join([*wrong, *list(world.scheduler.recent)[-20:]])
    return world


@pytest.mark.parametrize("seed", range(30))
def test_four_of_thirteen_are_hostile(seed: int) -> None:
    world = run(seed, SMALL)
    assert world.floors > 100
    assert world.net.lost > 0
    assert sum(getattr(node, "lies", 0) for node in world.nodes) > 20


@pytest.mark.parametrize("seed", range(2))
def test_sixteen_of_fifty_one_are_hostile(seed: int) -> None:
    world = run(seed, CROWD)
    assert len(world.guilty) >= 3
    assert world.floors > 500


def test_seventeen_silent_pause_finality_and_the_chain_goes_on() -> None:
    world = DposWorld(1, SILENCE)
    for node in world.nodes:
        node.start()
    world._plan()
    count, begin, end = SILENCE.silent or (0, 0, 0)
    world.advance(begin + 2)
    alive = [node for node in world.honest if node.is_up]
    assert len(alive) == 51 - count
    floor, head = alive[0].ledger.floor.height, alive[0].ledger.head.height
    assert floor > 0
    world.advance(end)
    assert alive[0].ledger.floor.height <= floor + 1
    assert alive[0].ledger.head.height >= head + (end - begin - 2) // 2
    world.advance(end + SILENCE.quiet)
    assert all(node.ledger.floor.height > head + 5 for node in world.honest)
    assert not world.faults
    assert not world.conflicts


def test_eighteen_of_fifty_one_make_no_conflict() -> None:
    world = DposWorld(1, TOO_MANY)
    world.run()
    print(world.summary())
    assert not world.conflicts
    assert not world.faults
    assert sum(getattr(node, "lies", 0) for node in world.nodes) > 200


@pytest.mark.parametrize(("seats", "hostile"), [(4, 2), (13, 5), (51, 19)])
def test_a_forced_conflict_names_more_than_a_third(seats: int, hostile: int) -> None:
    """The hostile ones are on both sides of a partition that halves the honest ones."""
    world = forced(seats, hostile)
    world.advance(16)
    assert world.conflicts, "the attack must work for the test to say something"
    world._heal()
    world.advance(19)
    assert not world.faults
    bad = {node.key.address for node in world.nodes if node.is_hostile}
    assert len(bad) == hostile
    assert set(world.evidence) == bad


def forced(seats: int, hostile: int) -> DposWorld:
    """A world of twins on both sides of a partition that halves the honest ones."""
    world = DposWorld(1, replace(FORCED, seats=seats, hostile=hostile))
    sides = {node.number: place % 2 for place, node in enumerate(world.honest)}
    world.net.cut(sides | world._side_of_twin)
    for node in world.nodes:
        node.start()
    return world
