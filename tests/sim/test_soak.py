"""The long form: hundreds of seeds, 1,000 double spends, 7,200 blocks and a flat memory."""

import gc
import os
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ioex_chain.ledger.store import LevelStore

from .disk import SimDisk
from .network import Conditions
from .shapes import LARGE, SHAPES
from .world import Shape, World

pytestmark = [pytest.mark.soak, pytest.mark.timeout(14_400)]

SEEDS = int(os.environ.get("IOEX_SIM_SEEDS", "300"))
BLOCKS = int(os.environ.get("IOEX_SIM_BLOCKS", "7200"))
FIRST_SEED = int(os.environ.get("IOEX_SIM_FIRST_SEED", "1000"))
_MIB = 1 << 20
_BLOCKS_AN_HOUR = 900
"""At devnet's spacing of 4 s."""
_WARM = 3_000
"""Blocks after which every bounded structure is full: the ledger keeps 2,048 headers in memory."""


def test_hundreds_of_seeds() -> None:
    names, wrong = list(LARGE), []
    pairs = crashes = lies = blocks = 0
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        name = names[seed % len(names)]
        world = World(seed, LARGE[name])
        found = world.run()
        pairs += len(world.wallets.pairs)
        crashes += world.crashes
        lies += sum(node.lies for node in world.liars)
        blocks += sum(miner.found for miner in world.miners)
        wrong += [f"{name} {seed}: {sentence}" for sentence in found]
        print(f"{name}: {world.summary()}{'  WRONG' if found else ''}", flush=True)
    print(
        f"{SEEDS} seeds: {blocks} blocks, {pairs} pairs, {crashes} crashes, {lies} lies, {len(wrong)} wrong"
    )
    assert not wrong, "\n".join(wrong)


def test_a_thousand_double_spends() -> None:
    shape = replace(
        SHAPES["partition"],
        payments=0.5,
        pairs=3.0,
        coins=1_400,
        duration=400.0,
        partitions=((60.0, 150.0, 2), (220.0, 330.0, 3)),
    )
    world = World(FIRST_SEED, shape)
    wrong = world.run()
    print(world.summary())
    assert not wrong, "\n".join(wrong)
    assert len(world.wallets.pairs) >= 1_000


def test_memory_stays_flat_over_7200_blocks(tmp_path: Path) -> None:
    """Two nodes with real databases, whose link the network breaks now and then."""
    shape = Shape(
        nodes=2,
        miners=(2.0, 1.0),
        payments=0.02,
        pairs=0.005,
        coins=20 + BLOCKS // 4,
        firewalled=0.0,
        tick=1.0,
        duration=4.0 * BLOCKS * 1.05,
        conditions=Conditions(drop_every=900.0),
    )

    def disk(name: str) -> SimDisk:
        return SimDisk(LevelStore(tmp_path / name, create=True, write_buffer=_MIB, cache=4 * _MIB))

    world = World(FIRST_SEED, shape, disk=disk)
    process = psutil.Process()
    rows: list[tuple[int, float]] = []
    while world.scheduler.now < shape.duration:
        world.scheduler.run(min(world.scheduler.now + 800.0, shape.duration))
        gc.collect()
        rows.append((world.honest[0].chain.ledger.head.height, process.memory_info().rss / _MIB))
        print(f"{rows[-1][0]} blocks, {rows[-1][1]:.1f} MiB, {process.num_fds()} files", flush=True)
    wrong = world.run()
    assert not wrong, "\n".join(wrong)
    assert rows[-1][0] >= BLOCKS * 0.95
    slope = _slope([row for row in rows if row[0] > _WARM]) * _BLOCKS_AN_HOUR
    print(f"{slope:+.2f} MiB in an hour's {_BLOCKS_AN_HOUR} blocks, of two nodes, purse and wallets together")
    assert slope <= 2.0
    assert process.num_threads() < 16
    assert process.num_fds() < 64


def _slope(points: list[tuple[int, float]]) -> float:
    """Give the least-squares slope."""
    middle = sum(x for x, _ in points) / len(points)
    mean = sum(y for _, y in points) / len(points)
    return sum((x - middle) * (y - mean) for x, y in points) / sum((x - middle) ** 2 for x, _ in points)
