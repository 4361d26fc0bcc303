"""A node that joins late downloads the chain, loses power again and again on the way, and arrives."""

from dataclasses import replace

from .network import Conditions
from .shapes import SHAPES
from .world import World

SHAPE = replace(
    SHAPES["plain"],
    nodes=5,
    miners=(1.0,),
    hash_power=25.0,
    duration=100.0,
    quiet=10.0,
    payments=0.5,
    late=(2, 80.0),
    conditions=Conditions(latency=(0.01, 0.03), dial_failure=0.0),
)


def test_power_cuts_during_the_first_download() -> None:
    world = World(4, SHAPE)
    cut: list[int] = []

    def cut_power() -> None:
        top = world.honest[0].chain.ledger.head.height
        for node in world.honest[-2:]:
            if node.is_up and len(cut) < 12 and 30 < node.chain.ledger.head.height < top - 20:
                cut.append(node.chain.ledger.head.height)
                node.crash()
                world.scheduler.after(0.5, node.start)

    world.scheduler.every(0.03, cut_power, first=80.0)
    wrong = world.run()
    print(world.summary(), cut)
    assert not wrong, "\n".join(wrong)
    assert world.honest[0].chain.ledger.head.height > 400
    assert len(cut) > 4
    assert max(max(node.lost) for node in world.honest[-2:]) > 10
