"""A full block from bytes to committed state: seconds, phases, memory, and the same block elsewhere."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.references import block_references
from benchmarks.report import Row, Table
from benchmarks.worlds import Shape, World, make_world, two_of_three

MAIN = Shape(10_000)
OTHERS = (
    Shape(7_000),
    Shape(10_000, other_coins=1_000_000),
    Shape(10_000, "P2WSH 2-of-3", two_of_three),
    Shape(10_000, inputs=4, outputs=6),  # 8 MB and 39,996 signatures: every limit of a block at once
)
WALL_BAR, MEMORY_BAR = 1.0, 500


def measure(world: World, runs: int, *options: str) -> list[dict[str, Any]]:
    """Connect the block `runs` times, each in a process of its own on a fresh copy of the database."""
    results = []
    for number in range(runs):
        copy = world.folder.with_name(f"{world.folder.name}-{number}")
        shutil.copytree(world.folder, copy)
        command = [sys.executable, "-m", "benchmarks.block_run", str(copy), *options]
        results.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        shutil.rmtree(copy)
    return results


def wall_row(name: str, results: Sequence[dict[str, Any]], transactions: int, bar: bool = False) -> Row:
    each = sorted(result["wall"] for result in results)[len(results) // 2] / transactions * 1e6
    walls = [result["wall"] for result in results]
    return Row(name, walls, "s", WALL_BAR if bar else None, note=f"{each:.0f} us a transaction")


def processor_rows(results: Sequence[dict[str, Any]]) -> list[Row]:
    main = [result["processor"]["main"] for result in results]
    children = [result["processor"]["children"] for result in results]
    return [
        Row(
            "processor time, main process", main, "s", note="what a wall clock on a quiet machine cannot beat"
        ),
        Row("processor time, verifying processes", children, "s"),
    ]


def memory_rows(results: Sequence[dict[str, Any]], bar: bool) -> list[Row]:
    total = [result["peak"]["main"] + result["peak"]["children"] for result in results]
    main = [result["peak"]["main"] for result in results]
    before = [result["before"]["main"] for result in results]
    note = "pages that processes share count in each"
    return [
        Row("peak memory, all processes", total, "MiB", MEMORY_BAR if bar else None, note=note),
        Row("of that the main process", main, "MiB"),
        Row("the main process before the block", before, "MiB"),
    ]


def phase_table(title: str, results: Sequence[dict[str, Any]]) -> Table:
    rows = []
    for name in results[0]["phases"]:
        used = sorted(result["processor by phase"].get(name, 0.0) for result in results)[len(results) // 2]
        note = f"{used * 1000:.0f} ms of processor" if used else ""
        rows.append(Row(name, [result["phases"][name] * 1000 for result in results], "ms", note=note))
    return Table(title, rows)


def main_tables(folder: Path, shape: Shape, runs: int) -> list[Table]:
    world = make_world(folder / "main", shape)
    count = len(world.block.transactions)
    bar = shape is MAIN
    plain = measure(world, runs)
    known = measure(world, runs, "--known")
    alone = measure(world, runs, "--processes", "0")
    rows = [
        wall_row("bytes to committed state", plain, count, bar),
        wall_row("the same, transactions known to the mempool", known, count),
        wall_row("the same, no verifying processes", alone, count),
        *processor_rows(plain),
        *memory_rows(plain, bar),
    ]
    references = block_references(world, rows[0].value, rows[2].value)
    title = f"A block of {shape.name}, {world.block.size:,} bytes"
    return [
        Table(title, rows, ["undo records, address and transaction index, one synced write"]),
        phase_table("Where the block's time goes", plain),
        phase_table("Where it goes when the transactions are known", known),
        references,
    ]


def other_table(folder: Path, shapes: Sequence[Shape], runs: int) -> Table:
    rows = []
    for number, shape in enumerate(shapes):
        world = make_world(folder / str(number), shape)
        results = measure(world, runs)
        rows.append(wall_row(shape.name, results, len(world.block.transactions)))
        memory = [result["peak"]["main"] + result["peak"]["children"] for result in results]
        rows.append(Row("... peak memory, all processes", memory, "MiB", note=f"{world.block.size:,} bytes"))
        shutil.rmtree(world.folder)
    return Table("Other blocks", rows)


def run(quick: bool) -> list[Table]:
    """Give all tables; `quick` takes blocks of a tenth, once."""
    runs = 1 if quick else 3
    main, others = MAIN, OTHERS
    if quick:
        main, others = main.scaled(0.1), tuple(shape.scaled(0.1) for shape in others)
    with tempfile.TemporaryDirectory() as folder:
        return [
            *main_tables(Path(folder), main, runs),
            other_table(Path(folder), others, 1 if quick else 3),
        ]
