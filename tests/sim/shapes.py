"""The worlds that the tests run, by name."""

from .network import Conditions
from .world import Shape

_DROPS = Conditions(drop_every=120.0, loss=0.01)

SHAPES: dict[str, Shape] = {
    "plain": Shape(),
    "retarget": Shape(nodes=10, retarget=True, hash_power=4.0, duration=240.0),
    "partition": Shape(nodes=16, partitions=((50.0, 140.0, 2),), duration=190.0, quiet=90.0),
    "liars": Shape(nodes=14, liars=7, garblers=1),
    "crash": Shape(crash_every=8.0, conditions=_DROPS),
    "everything": Shape(
        nodes=26,
        liars=10,
        garblers=1,
        partitions=((60.0, 120.0, 2),),
        crash_every=10.0,
        clock_steps=40.0,
        conditions=_DROPS,
        duration=180.0,
        quiet=90.0,
    ),
}
