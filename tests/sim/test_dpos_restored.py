"""R7: an arbitrator that is put back from an old backup, among others than it voted with last."""

from dataclasses import replace

from .dpos_network import CALM
from .dpos_node import Arbitrator
from .dpos_shapes import PEACE
from .dpos_world import DposWorld

_LOSSY = replace(CALM, through_cut=0.0)


def world_with_a_backup() -> tuple[DposWorld, Arbitrator]:
    """Twelve and one are parted; the one crashes among nine and is put back among three."""
    world = DposWorld(5, replace(PEACE, weather=_LOSSY))
    world.net.weather = _LOSSY
    moved = world.honest[0]
    sides = {node.number: int(place >= 10) for place, node in enumerate(world.honest)}
    for node in world.nodes:
        node.start()
    world.at_slot(9.5, moved.keep_copy)
    world.at_slot(10.5, lambda: world.net.cut(sides))
    world.at_slot(31.5, lambda: world._stop(moved))

    def put_back() -> None:
        moved.disk = moved.copies[0].again(reboot=True)
        world.net.cut(sides | {moved.number: 1})
        moved.start()

    world.at_slot(32.5, put_back)
    return world, moved


def test_an_old_backup_in_another_part_of_the_network_signs_nothing_twice() -> None:
    world, moved = world_with_a_backup()
    world.advance(31)
    voted = moved.signer.memory(moved.key.address).target
    assert voted > 15
    world.advance(60)
    assert not moved.signer.slots_left
    assert moved.ledger.head.height < voted + 10
    world._heal()
    world.advance(75)
    assert not world.faults
    assert not world.evidence
    assert moved.signer.memory(moved.key.address).target > voted
    assert all(node.ledger.floor.height > voted for node in world.honest)
