"""The same seed gives the same trace: in one process, and under another hash seed, locale and time zone."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from .shapes import SHAPES
from .world import World

SMALL = replace(
    SHAPES["everything"], nodes=8, liars=4, duration=60.0, quiet=20.0, partitions=((20.0, 40.0, 2),)
)
SEED = 5
ENVIRONMENTS = (
    {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "UTC"},
    {"PYTHONHASHSEED": "4242", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"},
)
_PROGRAM = "from sim.test_determinism import digest; print(digest())"


def digest() -> str:
    """Run the small world and give the digest of its trace."""
    world = World(SEED, SMALL)
    world.run()
    return f"{world.scheduler.lines} {world.scheduler.digest}"


def test_the_same_seed_gives_the_same_trace() -> None:
    tests = Path(__file__).parent.parent
    outside = [
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            env={**os.environ, **environment, "PYTHONPATH": str(tests)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for environment in ENVIRONMENTS
    ]
    here = digest()
    assert [process.communicate()[0].strip() for process in outside] == [here, here]


def test_another_seed_gives_another_trace() -> None:
    shape = replace(SMALL, liars=0, nodes=3, duration=15.0, quiet=1.0, partitions=())
    traces = set()
    for seed in (1, 1, 2):
        world = World(seed, shape)
        world.scheduler.run(15.0)
        traces.add(world.scheduler.digest)
    assert len(traces) == 2
