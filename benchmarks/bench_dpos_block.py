"""A full DPoS block from bytes to committed state, cold and warm; beside py-evm; on a large state."""

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.dpos_others import compare
from benchmarks.dpos_world import Shape, save
from benchmarks.report import Row, Table

PLAIN, TOKENS = Shape(10_000), Shape(10_000, tokens=True)
MILLION = Shape(10_000, other_accounts=1_000_000)
BARS = {(PLAIN, False): 2.0, (PLAIN, True): 1.0, (TOKENS, False): 6.5, (TOKENS, True): 5.0}


def measure(folder: Path, warm: bool, runs: int) -> list[dict[str, Any]]:
    """Import the world's block `runs` times, each in a process of its own on a fresh copy."""
    results = []
    for _ in range(runs):
        copy = folder.with_name("copy")
        shutil.copytree(folder, copy)
        command = [sys.executable, "-m", "benchmarks.dpos_block_run", str(copy), *(["--warm"] * warm)]
        results.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        shutil.rmtree(copy)
    return results


def rows_of(shape: Shape, warm: bool, results: list[dict[str, Any]], bar: float | None) -> list[Row]:
    name = f"{shape.name}, {'senders known' if warm else 'cold'}"
    processor = [result["processor"] for result in results]
    each = min(processor) / shape.transactions * 1e6
    return [
        Row(name, [result["wall"] for result in results], "s", bar, note="wall clock"),
        Row(name, processor, "s", note=f"processor, all threads; {each:.0f} us a transaction"),
    ]


def phases(results: list[dict[str, Any]]) -> list[str]:
    best = min(results, key=lambda result: result["wall"])
    return [f"{name}: {seconds:.3f} s" for name, seconds in best["phases"].items()]


def table_of(shape: Shape, quick: bool, part: float) -> Table:
    scaled = replace(
        shape,
        transactions=int(shape.transactions * part),
        other_accounts=int(shape.other_accounts * part),
    )
    rows, notes = [], []
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        save(world, scaled)
        for warm in (False, True):
            results = measure(world, warm, 1 if quick else 3)
            rows += rows_of(scaled, warm, results, None if quick else BARS.get((shape, warm)))
            notes += ["senders known:" if warm else "cold:", *phases(results)]
    return Table(f"Import of {scaled.name}", rows, notes)


def others(quick: bool) -> Table:
    rows = []
    for tokens in (False, True):
        shape = Shape(100 if quick else 1_000, tokens)
        for who, runs in compare(shape, 1 if quick else 3).items():
            each = min(used for _, used in runs) / shape.transactions * 1e6
            note = f"{each:.0f} us of processor a transaction"
            rows.append(Row(f"{shape.name}: {who}", [wall for wall, _ in runs], "s", note=note))
    return Table("The same block elsewhere, from bytes to roots; the headers are equal", rows)


def run(quick: bool) -> list[Table]:
    part = 0.02 if quick else 1
    return [others(quick), *(table_of(shape, quick, part) for shape in (PLAIN, TOKENS, MILLION))]
