"""Real node processes on loopback: a full block along a line, transactions, initial download, idle memory."""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from .net_world import NetNode, empty_folder, full_chain, small_chain, until
from .report import Row, Table
from .worlds import Shape, World, make_world

LINE = 8
SHAPE = Shape(10_000, outputs=20)
"""7.8 MB: 10,000 transactions of 780 bytes."""
MEGABYTE = 1_000_000


@contextmanager
def nodes(folders: Sequence[Path], *options: str) -> Any:
    """Run a node on each folder."""
    with ExitStack() as stack:
        started = []
        for folder in folders:
            node = NetNode(folder, *options)
            stack.callback(node.stop)
            started.append(node)
        yield started


def connect(near: NetNode, far: NetNode) -> None:
    """Have one node dial another and wait until it did."""
    near.rpc("addnode", far.p2p, "add")
    wanted = far.p2p.removeprefix("ioex://").partition("@")[0]
    until(lambda: wanted in {peer["peerid"] for peer in near.rpc("getpeerinfo")})


def copies(world: World, base: Path, count: int) -> list[Path]:
    """Give every node its own database."""
    folders = [base / f"{number}" for number in range(count)]
    for folder in folders:
        shutil.copytree(world.folder, folder)
    return folders


def pooled(node: NetNode, count: int) -> bool:
    """Whether a node's pool holds that many transactions."""
    return int(node.rpc("getmempoolinfo")["size"]) >= count


def along_a_line(world: World, base: Path, count: int, *, known: bool) -> tuple[float, float, float]:
    """Hand the block in at one end; give the seconds until the other end has it, their own verification
    (all nodes but the first; from bytes to committed, so with decoding), and what the network cost.
    """
    with nodes(copies(world, base, count)) as line:
        for near, far in pairwise(line):
            connect(near, far)
        if known:
            raws = [tx.raw.hex() for tx in world.block.transactions[1:]]
            line[0].send_all(raws)
            until(lambda: all(pooled(node, len(raws)) for node in line))
        height = line[0].rpc("getblockcount") + 1
        assert line[0].rpc("submitblock", world.block.raw.hex()) is None
        spans = [connected(node, height) for node in line]
    total = spans[-1][1] - spans[0][1]
    verifying = sum(ended - began + decoding for began, ended, decoding in spans[1:])
    return total, verifying, total - verifying


def connected(node: NetNode, height: int) -> tuple[float, float, float]:
    """Read on until the node connected that height; give when that began and ended, and decoding before."""
    while True:
        line = node.line()
        if line.get("height") == height and "began" in line:
            return line["began"], line["ended"], line["decoding"]


def transactions(world: World, base: Path) -> tuple[float, float]:
    """Give transactions a second: of a pool that a new peer takes over, and of a live stream."""
    raws = [tx.raw.hex() for tx in world.block.transactions[1:]]
    with nodes(copies(world, base / "pool", 2), "--quiet") as (one, other):
        one.send_all(raws)
        one.rpc("addnode", other.p2p, "add")
        until(lambda: pooled(other, 1), pause=0.005)
        taken = len(raws) / until(lambda: pooled(other, len(raws)))
    with nodes(copies(world, base / "live", 2), "--quiet") as (one, other):
        connect(one, other)
        began = perf_counter()
        one.send_all(raws, 250)
        until(lambda: pooled(other, len(raws)))
        live = len(raws) / (perf_counter() - began)
    return taken, live


def initial_download(source: Path, base: Path) -> tuple[float, float, float]:
    """Give seconds until an empty node has the chain, and both nodes' memory afterwards in MiB."""
    empty = empty_folder(base / "empty", source)
    with nodes([source, empty], "--quiet") as (full, new):
        height = full.rpc("getblockcount")
        new.rpc("addnode", full.p2p, "add")
        seconds = until(lambda: new.rpc("getblockcount") == height, pause=0.1)
        return seconds, full.memory(), new.memory()


def run(quick: bool) -> list[Table]:
    """Run all of it."""
    runs = 1 if quick else 3
    shape = SHAPE.scaled(0.05) if quick else SHAPE
    line = 3 if quick else LINE
    with TemporaryDirectory() as folder:
        base = Path(folder)
        world = make_world(base / "world", shape)
        rows = block_rows(world, base, line, runs)
        payments = make_world(base / "payments", Shape(shape.transactions))
        rates = [transactions(payments, base / f"rate{at}") for at in range(runs)]
        rows += [
            Row("transactions relayed, live", [live for _, live in rates], "/s", 1_000, True),
            Row("transactions relayed, a pool taken over", [taken for taken, _ in rates], "/s"),
        ]
        rows += download_rows(base, quick)
    size = len(world.block.raw) / MEGABYTE
    title = f"Network, real processes on loopback; the block: {shape.name}, {size:.1f} MB"
    return [Table(title, rows, ["all processes share this machine's cores; no verifying processes"])]


def block_rows(world: World, base: Path, line: int, runs: int) -> list[Row]:
    """Measure the block with and without its transactions in the pools."""
    rows = []
    for known in (True, False):
        spans = [along_a_line(world, base / f"line{known}{at}", line, known=known) for at in range(runs)]
        text = "its transactions in all pools" if known else "pools empty"
        rows += [
            Row(f"block to {line} nodes in a line, {text}: in all", [span[0] for span in spans], "s"),
            Row("... of it their verification", [span[1] for span in spans], "s"),
            Row("... of it the network", [span[2] for span in spans], "s", 3.0),
        ]
    return rows


def download_rows(base: Path, quick: bool) -> list[Row]:
    """Measure initial download, and what an idle node holds after it."""
    small = 500 if quick else 20_000
    full, per_block = (3, 200) if quick else (50, 10_000)
    seconds, served, loaded = initial_download(small_chain(base / "small", small), base / "to_small")
    rows = [
        Row(f"initial download, {small:,} small blocks", [seconds], "s"),
        Row("... blocks a second", [small / seconds], "/s"),
        Row("idle memory afterwards, the node that has it", [served], "MiB", 150),
        Row("idle memory afterwards, the node that fetched it", [loaded], "MiB", 150),
    ]
    seconds, _, _ = initial_download(full_chain(base / "full", full, per_block), base / "to_full")
    rows.append(Row(f"initial download, {full} blocks of {per_block:,} transactions", [seconds], "s"))
    return rows
