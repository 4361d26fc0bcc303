"""SIGKILL of a node with all arbitrators, half of the times at a named point: it goes on by itself.

Another node follows all the time: it hears every seal and vote, and is the control that never crashed. The
suite kills 6 times, the soak 200 times (`pytest -m soak tests/crash/test_dpos_node_kill.py -s`), seeded.
"""

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from crash.dpos_failpoint_node import POINTS
from crash.kill_world import Gone as NoAnswer
from e2e.dpos_network_world import DposNetwork, dev_address
from e2e.node_process import LAUNCH, NodeDied, NodeProcess

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("dpos_kill")]
RESTART_SECONDS = 10.0
KILLED = -9
SCRIPT = str(Path(__file__).with_name("dpos_failpoint_node.py"))
PAYERS = range(4, 10)
TO = "0x" + "77" * 20
Gone = (*NoAnswer, AssertionError)
"""No answer, or one that is an error: the node is going down."""


class World:
    """What is known of the chain, and what it is busy with."""

    def __init__(self, net: DposNetwork, seed: str) -> None:
        self.net = net
        self.node: NodeProcess = net.nodes["a"]
        self.random = random.Random(seed)
        self.seen: dict[int, str] = {}
        self.final = 0
        self.paid = 0
        self.waiting: list[str] = []
        """Payments that were acknowledged, and are not known to be in a block."""

    def start(self) -> None:
        self.net.start("a", alone=True)

    def look(self) -> None:
        """Remember what the node says: it may not take that back."""
        head = self.net.ask("a", "eth_getBlockByNumber", "latest", False)
        self.seen[int(head["number"], 16)] = head["hash"]
        self.final = max(self.final, self.net.height("a", "finalized"))

    def work_until_it_dies(self) -> None:
        with suppress(*Gone):
            for _ in range(10_000):
                self.pay()
                self.look()

    def pay(self) -> None:
        payer = self.random.choice(PAYERS)
        nonce = int(self.net.ask("a", "eth_getTransactionCount", dev_address(payer), "pending"), 16)
        raw = self.net.transfer(payer, nonce, TO, tip=self.random.randint(1, 9) * 10**9)
        self.waiting.append(self.net.send("a", raw))
        self.paid += 1

    def all_mined(self) -> bool:
        """Whether every payment that was acknowledged is in a block."""
        self.waiting = [hash_ for hash_ in self.waiting if self.net.receipt("a", hash_) is None]
        return not self.waiting

    def check(self) -> None:
        """See that nothing that was told is lost, and that it goes on."""
        for height, hash_ in self.seen.items():
            assert self.net.hash_at("a", height) == hash_, f"block {height} is another one now"
        top = self.net.height("a")
        # Votes for the newest final block may have been heard and stand in no block yet: they come again.
        self.net.wait(lambda: self.net.height("a", "finalized") >= self.final, 30)
        assert top >= max(self.seen, default=0)
        self.net.wait(lambda: self.net.height("a") > top, 30)


def at_random(world: World) -> str:
    world.start()
    world.check()
    assert world.node.process is not None
    killer = threading.Timer(world.random.uniform(0.0, 3.0), world.node.process.kill)
    killer.start()
    world.work_until_it_dies()
    killer.join()
    world.node.kill()
    return "busy"


def at_point(world: World) -> str:
    point = world.random.choice(POINTS)
    number = world.random.randint(1, 2 if point.endswith("save") else 12)
    world.node.launch = (sys.executable, SCRIPT, point, str(number))
    try:
        world.start()
        if point.endswith("save"):
            world.check()
            world.pay()
            assert world.node.stop()[0] == KILLED
            return point
        began = time.monotonic()
        while world.node.process is not None and world.node.process.poll() is None:
            with suppress(*Gone):
                world.pay()
                world.look()
            assert time.monotonic() - began < 60, f"{point} {number} never came"
        world.node.kill()
    except NodeDied as died:  # it came to the point before it was up
        if died.code != KILLED:
            raise
    finally:
        world.node.launch = LAUNCH
    return point


def kill_and_check(base: Path, kill: Callable[[World], str], times: int, seed: str) -> None:
    """Kill `times` times; after each, a plain start must do, in time, with everything in place."""
    counts: Counter[str] = Counter()
    slowest = 0.0
    with DposNetwork(base, {"a": range(4)}) as net:
        net.add("o", [])
        net.wait_final("a", 3)
        world = World(net, seed)
        net.kill("a")
        for _ in range(times):
            counts[kill(world)] += 1
            slowest = max(slowest, world.node.ready_after)
        world.start()
        slowest = max(slowest, world.node.ready_after)
        world.check()
        net.wait_finality_moves()
        net.wait(world.all_mined)
        assert net.assert_one_chain() >= world.final
        assert net.evidence() == []
        assert all(key["signs"] for key in net.signing("a"))
        assert world.node.stop()[0] == 0
        net.kill("o")
        file = base / "blocks"
        assert world.node.cli("export", str(file), "--chain", "dpos").code == 0
        control = base / "control"
        control.mkdir()
        fresh = NodeProcess(control)
        fresh.datadir.marker.write_bytes(world.node.datadir.marker.read_bytes())
        assert fresh.cli("import", str(file), "--chain", "dpos", timeout=600).code == 0
        ours, theirs = (one.json("db", "check", "--deep", "--chain", "dpos") for one in (world.node, fresh))
        assert ours["ok"]
        assert theirs["ok"]
        assert ours["state_digest"] == theirs["state_digest"]
    assert slowest <= RESTART_SECONDS
    print(
        f"\n{seed}: {times} kills {dict(counts)}, {ours['height']} blocks, {world.paid} payments, all mined, "
        f"slowest restart {slowest:.1f} s, 0 damaged, 0 double seals or votes"
    )


def test_killed_at_random_moments(tmp_path: Path) -> None:
    kill_and_check(tmp_path, at_random, 3, "suite, random")


def test_killed_at_named_points(tmp_path: Path) -> None:
    kill_and_check(tmp_path, at_point, 4, "suite, points")


@pytest.mark.soak
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("kill", [at_random, at_point])
def test_killed_a_hundred_times(tmp_path: Path, kill: Callable[[World], str]) -> None:
    kill_and_check(tmp_path, kill, 100, f"soak, {kill.__name__}")
