"""No room for the DPoS chain: a clean stop with one clear line, and a sound start afterwards.

The suite fills the disk twice, the soak 20 times (`pytest -m soak tests/crash/test_dpos_node_disk_full.py`).
"""

import resource
from pathlib import Path

import pytest
from crash.test_dpos_node_kill import World
from e2e.dpos_network_world import DposNetwork
from e2e.node_process import NodeDied

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("dpos_kill")]
KIB = 1024


def fill(world: World) -> bool:
    """Cap how large a file may grow, at a random size; run until it is full. Whether it got up at all."""
    node, rose = world.node, True
    cap = world.random.randint(40, 160) * KIB
    try:
        world.net.start(
            "a", alone=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (cap, cap))
        )
        world.work_until_it_dies()
        code, text = node.wait(60), node.stderr
    except NodeDied as died:
        code, text, rose = died.code, died.stderr, False
    finally:
        node.ensure_gone()
    assert code == 1, text
    assert "Traceback" not in text, text
    assert "make room" in text, text
    return rose


def fill_and_check(base: Path, times: int, seed: str) -> None:
    rose = 0
    with DposNetwork(base, {"a": range(4)}) as net:
        net.wait_final("a", 3)
        world = World(net, seed)
        assert world.node.stop()[0] == 0
        for _ in range(times):
            rose += fill(world)
            world.start()
            world.check()
            net.wait_finality_moves()
            assert net.evidence() == []
            assert world.node.stop()[0] == 0
        assert world.node.json("db", "check", "--deep")["ok"]
    print(f"\nfilled {times} times, {rose} of them while it ran; {times} of {times} restarts sound")


def test_a_full_disk(tmp_path: Path) -> None:
    fill_and_check(tmp_path, 2, "suite, full")


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_a_full_disk_twenty_times(tmp_path: Path) -> None:
    fill_and_check(tmp_path, 20, "soak, full")
