"""One full block in a fresh process, from bytes to committed state: `python -m benchmarks.block_run FOLDER`.

The folder is a world (`worlds`) that the run uses up. Prints JSON: seconds in all and by phase, and peak
memory. Everything is built as a node builds it: its worker thread, its verifying processes, its database
cache, undo records and indexes on.
"""

import argparse
import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import psutil

from ioex_chain.ledger.overlay import Overlay
from ioex_chain.ledger.store import LevelStore
from ioex_chain.node.build import open_ledger
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.processes import verify_pool
from ioex_chain.node.worker import Worker
from ioex_chain.pow.block import Block
from ioex_chain.pow.consensus import PowEngine
from ioex_chain.pow.machine import PowMachine, _Application
from ioex_chain.pow.script import run_checks
from ioex_chain.pow.verified import VerifiedCache
from ioex_chain.primitives.clock import FixedClock
from tests.chaingen.specs import story_spec

MIB = 1 << 20


class Stopwatch:
    """Times calls by phase, wall clock and this thread's processor time.

    A phase within another one is taken off the outer's time.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.processor: dict[str, float] = defaultdict(float)
        self._inner = [(0.0, 0.0)]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._inner.append((0.0, 0.0))
        start, start_used = perf_counter(), thread_time()
        try:
            yield
        finally:
            spent, used = perf_counter() - start, thread_time() - start_used
            inner, inner_used = self._inner.pop()
            self.seconds[name] += spent - inner
            self.processor[name] += used - inner_used
            outer, outer_used = self._inner[-1]
            self._inner[-1] = (outer + spent, outer_used + used)

    def watch(self, owner: type, method: str, name: Callable[..., str] | str) -> None:
        """Time every call of a method. `name` may be worked out from its arguments."""
        called = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name if isinstance(name, str) else name(*args, **kwargs)):
                return called(*args, **kwargs)

        setattr(owner, method, timed)


DECODE = "decode"
UNSYNCED = "writes that are not synced"
COMMIT = "commit: body, state, indexes, undo, head; synced"
WATCHED = (
    (PowEngine, "check_header", "header check"),
    (PowMachine, "check_block", "check_block: Merkle roots, each transaction alone"),
    (PowMachine, "connect", "connect: coins, digests, rows; signatures meanwhile on the other core"),
    (_Application, "verify", "signatures left: this core's share, and the wait"),
    (Overlay, "seal", "undo record"),
)
"""The steps of `Ledger.accept_block` that take time."""


def watch_phases(watch: Stopwatch) -> None:
    """Time decoding (by its caller), every step and both kinds of write."""
    for name in (DECODE, *(name for _, _, name in WATCHED), COMMIT):
        watch.seconds[name] = 0.0
    for owner, method, name in WATCHED:
        watch.watch(owner, method, name)
    watch.watch(LevelStore, "write", _kind_of_write)


def _kind_of_write(*_: object, sync: bool = True) -> str:
    return COMMIT if sync else UNSYNCED


def peak_memory() -> dict[str, float]:
    """Give peak resident MiB of this process and of all below it together (shared pages count in each)."""
    main = psutil.Process()
    return {"main": _peak(main), "children": sum(map(_peak, main.children(recursive=True)))}


def _peak(process: psutil.Process) -> float:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except FileNotFoundError:  # not Linux: what it holds now
        return float(process.memory_info().rss) / MIB
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def processor_time() -> dict[str, float]:
    """Give the seconds of processor that this process and all below it have used."""
    main = psutil.Process()
    return {"main": _used(main), "children": sum(map(_used, main.children(recursive=True)))}


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def start_workers(count: int | None) -> ProcessPoolExecutor | None:
    """Start them and wait until they answer: a node has them long before a full block comes."""
    pool = verify_pool(count)
    if pool is not None:
        pool.submit(run_checks, []).result()
    return pool


async def run(folder: Path, known: bool, processes: int | None) -> dict[str, Any]:
    """Connect the world's block on a node's worker thread."""
    raw = (folder / "block").read_bytes()
    clock = FixedClock(json.loads((folder / "facts").read_text())["time"])
    cache = NodeConfig().db_cache_mb * MIB
    store = LevelStore(folder / "db", create=False, write_buffer=max(4 * MIB, cache // 3), cache=cache // 3)
    verified = VerifiedCache()
    if known:
        for tx in Block.decode(raw).transactions:
            verified.add(tx.wtxid, 0 if tx.is_coinbase else 1)
    workers = start_workers(processes)
    ledger = open_ledger(story_spec(), store, clock, workers=workers, verified=verified)
    watch = Stopwatch()
    watch_phases(watch)
    worker = Worker("ledger")
    before, used_before = peak_memory(), processor_time()

    def connect() -> float:
        start = perf_counter()
        with watch.phase(DECODE):
            block = Block.decode(raw)
        changed = ledger.accept_block(block)
        assert changed is not None
        assert changed.head.hash == block.hash
        return perf_counter() - start

    wall = await worker.call(connect)
    after, used = peak_memory(), processor_time()
    worker.close()
    if workers is not None:
        workers.shutdown()
    store.close()
    return {
        "wall": wall,
        "phases": {**watch.seconds, "the rest": wall - sum(watch.seconds.values())},
        "processor by phase": watch.processor,
        "processor": {name: used[name] - used_before[name] for name in used},
        "before": before,
        "peak": after,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--known", action="store_true", help="its transactions were verified before")
    parser.add_argument("--processes", type=int, help="verifying processes; by default as the node chooses")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(run(options.folder, options.known, options.processes))))


if __name__ == "__main__":
    main()
