"""One seed of each world; the soak runs hundreds."""

import pytest

from .shapes import SHAPES
from .world import World

PAIRS = 10
"""Least number of double spends that a world must have tried, so that no test passes by doing nothing."""


@pytest.mark.parametrize("name", list(SHAPES))
def test_honest_nodes_agree_in_the_end(name: str) -> None:
    world = World(1, SHAPES[name])
    wrong = world.run()
    print(name, world.summary())
    assert not wrong, "\n".join([*wrong, *list(world.scheduler.recent)[-20:]])
    assert len(world.wallets.pairs) >= PAIRS
    assert world.honest[0].chain.ledger.head.height > 30
    if SHAPES[name].liars:
        assert sum(node.lies for node in world.liars) > 50
        assert any(node.bans.entries() for node in world.honest)
    if SHAPES[name].crash_every:
        assert world.crashes > 5
    if SHAPES[name].partitions:
        assert max(node.deepest for node in world.honest) > 3
