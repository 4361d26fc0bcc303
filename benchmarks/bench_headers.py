"""Header checks a second: from bytes to a verdict, and stored in the ledger."""

import gc
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter, thread_time

from benchmarks.references import header_references
from benchmarks.report import Row, Table
from ioex_chain.ledger.store import LevelStore
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.node.build import open_ledger
from ioex_chain.pow.consensus import PowEngine
from ioex_chain.pow.difficulty import next_bits
from ioex_chain.pow.genesis import genesis_block
from ioex_chain.pow.header import Header
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.spec.model import NetworkSpec
from tests.chaingen.builder import solve
from tests.chaingen.specs import story_spec

HEADERS, BATCH, RUNS = 40_000, 2_000, 5
CHECK_BAR, STORE_BAR = 50_000, 20_000
EASY_GENESIS_BITS = 0x203FFFFF
"""A quarter of all hashes meets it, and ASERT has room to both sides."""


def asert_spec() -> NetworkSpec:
    """Give a network with the real difficulty rule: spacing 120 s, half-life 3 hours."""
    return story_spec(fixed_difficulty=False, genesis_bits=EASY_GENESIS_BITS, spacing=120)


def make_chain(spec: NetworkSpec, count: int) -> list[bytes]:
    """Give the 80 bytes of `count` native headers on genesis; times scatter, so most bits differ."""
    chance = Random(7)
    parent = genesis_block(spec).header
    times = [parent.time]
    cores = []
    for height in range(count):
        time = max(parent.time + chance.randrange(2 * spec.pow.spacing), sorted(times)[len(times) // 2] + 1)
        bits = next_bits(spec.pow, height, parent.time)
        parent = solve(Header.build(0x2000_0000, parent.hash, chance.randbytes(32), time, bits, 0))
        times = [*times[-10:], time]
        cores.append(parent.core)
    return cores


def end_of(cores: Sequence[bytes]) -> int:
    return Header.decode(cores[-1]).time


Rates = tuple[float, float]
"""Headers a second of wall clock, and a second of this thread's processor time."""


def rates(count: int, work: Callable[[], object]) -> Rates:
    """Time `work` with the garbage collector held back, as the node's worker thread does in a call."""
    gc.collect()
    gc.disable()
    try:
        start, used = perf_counter(), thread_time()
        work()
        return count / (perf_counter() - start), count / (thread_time() - used)
    finally:
        gc.enable()


def check_rate(spec: NetworkSpec, cores: Sequence[bytes]) -> Rates:
    """Measure from bytes to a verdict, each entry linked to its parent, nothing stored."""
    engine, now = PowEngine(spec.pow), end_of(cores)
    genesis: Entry[Header] = Entry(genesis_block(spec).header, 0, 0, Status.BODY, 1, None, _no_load)

    def check() -> None:
        entry = genesis
        for core in cores:
            header = Header.decode(core)
            engine.check_header(header, entry, now)
            weight = entry.weight + engine.weight(header, entry)
            entry = Entry(header, entry.height + 1, weight, Status.HEADER, 0, entry, _no_load)

    return rates(len(cores), check)


def _no_load(_hash: object) -> Entry[Header]:
    raise AssertionError("every entry is held")


def store_rate(spec: NetworkSpec, cores: Sequence[bytes]) -> Rates:
    """Measure from bytes into a new LevelDB ledger, in batches of 2,000."""
    with tempfile.TemporaryDirectory() as folder:
        store = LevelStore(Path(folder) / "db", create=True)
        ledger = open_ledger(spec, store, FixedClock(end_of(cores)))

        def accept() -> None:
            for at in range(0, len(cores), BATCH):
                ledger.accept_headers([Header.decode(core) for core in cores[at : at + BATCH]])

        found = rates(len(cores), accept)
        assert ledger.entry(Header.decode(cores[-1]).hash) is not None
        store.close()
    return found


def run(quick: bool) -> list[Table]:
    """Give all tables; `quick` takes fewer headers, once."""
    count, runs = (4_000, 1) if quick else (HEADERS, RUNS)
    asert = asert_spec()
    fixed = replace(asert, pow=replace(asert.pow, fixed_difficulty=True))
    hard, easy = make_chain(asert, count), make_chain(fixed, count)
    rows = [
        _row("bytes to verdict, ASERT", [check_rate(asert, hard) for _ in range(runs)], CHECK_BAR),
        _row("bytes to verdict, devnet's fixed difficulty", [check_rate(fixed, easy) for _ in range(runs)]),
        _row("bytes to stored, ASERT", [store_rate(asert, hard) for _ in range(runs)], STORE_BAR),
        _row("bytes to stored, fixed difficulty", [store_rate(fixed, easy) for _ in range(runs)]),
    ]
    references = header_references([Header.decode(core) for core in hard], rows[0].value)
    note = f"{count:,} headers in a chain, one core; stored in batches of {BATCH:,} with one write each"
    return [Table("Header checks", rows, [note]), references]


def _row(name: str, measured: Sequence[Rates], bar: float | None = None) -> Row:
    used = median(processor for _, processor in measured)
    note = f"{used:,.0f} a second of processor"
    return Row(name, [wall for wall, _ in measured], "headers/s", bar, higher_is_better=True, note=note)
