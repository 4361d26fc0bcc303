"""The worlds that the tests run, by name."""

from dataclasses import replace

from .network import Conditions
from .world import Shape

_DROPS = Conditions(drop_every=120.0, loss=0.01)

SHAPES: dict[str, Shape] = {
    "plain": Shape(duration=150.0),
    "retarget": Shape(nodes=10, retarget=True, hash_power=4.0, duration=130.0),
    "partition": Shape(nodes=16, partitions=((40.0, 110.0, 2),), duration=140.0, quiet=60.0),
    "liars": Shape(nodes=12, liars=6, garblers=1, duration=130.0, quiet=30.0),
    "crash": Shape(crash_every=8.0, conditions=_DROPS, duration=160.0),
    "everything": Shape(
        nodes=14,
        liars=6,
        garblers=1,
        partitions=((40.0, 90.0, 2),),
        crash_every=10.0,
        clock_steps=40.0,
        conditions=_DROPS,
        duration=150.0,
        quiet=60.0,
    ),
}
LARGE: dict[str, Shape] = {
    **SHAPES,
    "crowd": replace(
        SHAPES["everything"],
        nodes=27,
        liars=13,
        miners=(3.0, 2.0, 1.0, 1.0, 1.0, 1.0),
        partitions=((40.0, 90.0, 2), (110.0, 170.0, 3)),
        duration=220.0,
        quiet=90.0,
    ),
}
"""With a world of 40 nodes, for the soak."""
