"""R5 for arbitrators: the same seed gives the same trace, also under another hash seed."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from .dpos_shapes import SMALL
from .dpos_world import DposWorld

TINY = replace(SMALL, slots=40, quiet=5, longest_partition=8)
ENVIRONMENTS = (
    {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "UTC"},
    {"PYTHONHASHSEED": "4242", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"},
)
_PROGRAM = "from sim.test_dpos_determinism import digest; print(digest(7))"


def digest(seed: int) -> str:
    """Run a world and give the digest of its trace."""
    world = DposWorld(seed, TINY)
    world.run()
    return f"{world.scheduler.lines} {world.net.sent} {world.scheduler.steps} {world.scheduler.digest}"


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
    here = digest(7)
    assert [process.communicate()[0].strip() for process in outside] == [here, here]
    assert digest(8) != here
