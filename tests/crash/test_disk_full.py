"""No room on the disk, or no right to write: a clean stop with one clear line, and a sound start afterwards.

The suite fills the disk 3 times, the soak 20 times (`pytest -m soak tests/crash/test_disk_full.py -s`).
"""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from crash.kill_world import World
from e2e.node_process import NodeDied, NodeProcess, RpcFailed

pytestmark = pytest.mark.e2e
KIB = 1024
DATABASE_ERROR = -20


def new_node(base: Path) -> NodeProcess:
    base.mkdir(exist_ok=True)
    return NodeProcess(base)


def work_until_full(node: NodeProcess, world: World) -> None:
    try:
        world.work_until_it_dies(node)
    except RpcFailed as refused:  # the last answer of a node whose disk is full
        if refused.code != DATABASE_ERROR:
            raise


def failed_cleanly(node: NodeProcess, world: World, **popen: Any) -> bool:
    """Run until the disk is full; see how it ended. False when it did not even get up."""
    try:
        node.start(**popen)
        work_until_full(node, world)
        code, text, rose = node.wait(), node.stderr, True
    except NodeDied as died:
        code, text, rose = died.code, died.stderr, False
    finally:
        node.ensure_gone()
    assert code == 1, text
    assert "Traceback" not in text
    assert text.count('"error"') == 1, text
    assert "make room" in text, text
    return rose


def fill_and_check(node: NodeProcess, world: World, times: int) -> None:
    """Cap how large a file may grow, at a random size; the next plain start must find everything."""
    with node.running():
        world.warm_up(node)
        assert node.stop()[0] == 0
    rose = 0
    for _ in range(times):
        cap = world.random.randint(60, 200) * KIB
        rose += failed_cleanly(
            node, world, preexec_fn=lambda cap=cap: resource.setrlimit(resource.RLIMIT_FSIZE, (cap, cap))
        )
        with node.running():
            world.check(node)
            assert node.stop()[0] == 0
    assert node.json("db", "check")["ok"]
    print(f"\nfilled {times} times, {rose} of them while it ran; {times} of {times} restarts sound")


def test_a_full_disk(tmp_path: Path) -> None:
    fill_and_check(new_node(tmp_path / "node"), World("suite, full"), 2)


@pytest.mark.soak
def test_a_full_disk_twenty_times(tmp_path: Path) -> None:
    fill_and_check(new_node(tmp_path / "node"), World("soak, full"), 20)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a file system in memory; skip where that is not allowed."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command")
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_disk_with_no_room_left(tmp_path: Path) -> None:
    disk = tmp_path / "node" / "data"
    with small_disk(disk, "1m"):
        node, world = new_node(tmp_path / "node"), World("suite, tmpfs")
        with node.running():
            world.warm_up(node)
            assert node.stop()[0] == 0
        assert failed_cleanly(node, world)
        remount(disk, "size=64m")
        with node.running():
            world.check(node)
            assert node.stop()[0] == 0


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_read_only_disk(tmp_path: Path) -> None:
    disk = tmp_path / "node" / "data"
    with small_disk(disk, "64m"):
        node = new_node(tmp_path / "node")
        with node.running():
            node.rpc("generatetoaddress", 3, node.address)
            assert node.stop()[0] == 0
        before = files_of(disk)
        remount(disk, "ro")
        for words in (("node",), ("db", "check")):
            refused(node, *words)
        assert files_of(disk) == before
        remount(disk, "rw")
        with node.running():
            assert node.rpc("getblockcount") == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    node = new_node(tmp_path / "node")
    node.datadir.path.chmod(0o500)
    try:
        refused(node, "node")
    finally:
        node.datadir.path.chmod(0o700)


def refused(node: NodeProcess, *words: str) -> None:
    done = node.cli(*words)
    assert done.code == 1, done
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1, done.err
    assert str(node.folder) in done.err
