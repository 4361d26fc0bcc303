"""Halves of a partition that filled their outbound slots on their own side find together when it heals."""

from dataclasses import replace

from .shapes import SHAPES
from .world import World

SHAPE = replace(
    SHAPES["plain"],
    nodes=16,
    outbound=2,
    firewalled=0.0,
    tick=1.0,
    payments=0.05,
    pairs=0.02,
    partitions=((60.0, 220.0, 2),),
    duration=225.0,
    quiet=180.0,
)


def test_halves_with_full_slots_find_together() -> None:
    world = World(2, SHAPE)
    world.scheduler.run(219.0)
    sides = {node.machine.host: number % 2 for number, node in enumerate(world.honest)}
    across = full = 0
    for node in world.honest:
        outbound = [peer for peer in node.host.peers() if peer.outbound]
        full += len(outbound) == SHAPE.outbound
        across += sum(sides[peer.endpoint.host] != sides[node.machine.host] for peer in outbound)
    assert full == SHAPE.nodes
    assert across == 0
    wrong = world.run()
    print(world.summary())
    assert not wrong, "\n".join(wrong)
    assert max(node.deepest for node in world.honest) > 3
