"""SIGKILL of the whole node, half of the times at a named point: it starts again by itself and lost nothing.

The suite kills 10 times, the soak 200 times (`pytest -m soak tests/crash/test_kill_node.py -s`), seeded.
"""

import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from crash.failpoint_node import POINTS
from crash.kill_world import Gone, World, import_control
from e2e.node_process import LAUNCH, NodeDied, NodeProcess

pytestmark = pytest.mark.e2e
RESTART_SECONDS = 10.0
KILLED = -9
CONTROL_EVERY = 50
SCRIPT = str(Path(__file__).with_name("failpoint_node.py"))


def new_node(base: Path) -> NodeProcess:
    base.mkdir()
    paths = ":".join(path for path in sys.path if path)
    node = NodeProcess(base)
    node.env["PYTHONPATH"] = paths
    return node


class Round:
    """One life of the node: what it was killed by, and how long it took to get up."""

    def __init__(self, node: NodeProcess, world: World) -> None:
        self.node = node
        self.world = world
        self.cause = ""

    def at_random(self) -> None:
        """Check, work, be killed at any moment; every other time the node's own miner works too."""
        node, mining = self.node, self.world.random.random() < 0.5
        self.cause = "mining" if mining else "busy"
        with node.running(
            *(("--mine", "--mine-to", node.address, "--mine-processes", "1") if mining else ())
        ):
            self.world.check(node)
            assert node.process is not None
            killer = threading.Timer(self.world.random.uniform(0.0, 1.5), node.process.kill)
            killer.start()
            self.world.work_until_it_dies(node)
            killer.join()
            node.kill()

    def at_point(self) -> None:
        """Check, work until the failpoint; one that saving reaches is waited for at the stop."""
        point = self.cause = self.world.random.choice(POINTS)
        number = self.world.random.randint(1, 2 if point.endswith("save") else 40)
        self.node.launch = (sys.executable, SCRIPT, point, str(number))
        try:
            with self.node.running():
                self._meet(point)
        except NodeDied as died:  # it came to the point while it opened the database
            if died.code != KILLED:
                raise
        finally:
            self.node.launch = LAUNCH

    def _meet(self, point: str) -> None:
        if point.endswith("save"):
            self.world.check(self.node)
            self.world.work(self.node, 5)
            assert self.node.stop()[0] == KILLED
            return
        with suppress(*Gone):  # checking writes too
            self.world.check(self.node)
            self.world.work_until_it_dies(self.node)
        self.node.kill()


def kill_and_check(base: Path, kill: Callable[[Round], None], times: int, seed: str) -> Counter[str]:
    """Kill `times` times; after each, a plain start must do, in time, with everything in place."""
    world, node = World(seed), new_node(base / "node")
    counts: Counter[str] = Counter()
    slowest = 0.0
    with node.running():
        world.warm_up(node)
        node.kill()
    for number in range(1, times + 1):
        life = Round(node, world)
        kill(life)
        counts[life.cause] += 1
        slowest = max(slowest, node.ready_after)
        if number % CONTROL_EVERY == 0 or number == times:
            with node.running():
                world.check(node)
                assert node.stop()[0] == 0
            import_control(node, new_node(base / f"control{number}"), base / f"blocks{number}.dat")
    assert slowest <= RESTART_SECONDS
    counts["blocks"], counts["acknowledged"] = len(world.blocks), len(world.acknowledged)
    print(f"\n{seed}: {times} kills, {dict(counts)}, slowest restart {slowest:.1f} s, 0 damaged, 0 by hand")
    return counts


def test_killed_at_random_moments(tmp_path: Path) -> None:
    counts = kill_and_check(tmp_path, Round.at_random, 5, "suite, random")
    assert counts["acknowledged"] > 5


def test_killed_at_named_points(tmp_path: Path) -> None:
    counts = kill_and_check(tmp_path, Round.at_point, 5, "suite, points")
    assert counts["acknowledged"] > 5


@pytest.mark.soak
@pytest.mark.parametrize("kill", [Round.at_random, Round.at_point])
def test_killed_a_hundred_times(tmp_path: Path, kill: Callable[[Round], None]) -> None:
    kill_and_check(tmp_path, kill, 100, f"soak, {kill.__name__}")
