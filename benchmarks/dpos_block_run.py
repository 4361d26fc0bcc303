"""One DPoS block in a fresh process, bytes to committed state: `python -m benchmarks.dpos_block_run FOLDER`.

The folder is a world (`dpos_world`) that the run uses up. With `--warm` the node has seen the transactions
before, as a pool has. Prints JSON: seconds in all and by phase, gas, peak memory.
"""

import argparse
import gc
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import psutil

from benchmarks.block_run import Stopwatch
from benchmarks.dpos_world import bench_spec, clock_of
from ioex_chain.dpos.codec import decode_block
from ioex_chain.dpos.execution import EvmWorld
from ioex_chain.dpos.machine import DposMachine
from ioex_chain.dpos.mempool_known import KnownTransactions
from ioex_chain.evm.block import BlockRun
from ioex_chain.evm.senders import Senders
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.transactions import decode_transaction
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.ledger.store import LevelStore
from ioex_chain.node.dpos_build import STATE_BLOCK, open_dpos_ledger

DECODE = "decode"
WATCHED = (
    (DposMachine, "check_block", "check_block: roots of the body"),
    (DposMachine, "connect", "connect: all else (receipts root, indexes, records)"),
    (Senders, "of", "senders, on two threads"),
    (BlockRun, "transactions", "transactions"),
    (FlatState, "flush", "state rows and tries"),
    (Overlay, "seal", "undo record"),
    (LevelStore, "write", "write, synced"),
)


def import_block(folder: Path, warm: bool) -> dict[str, Any]:
    """Import the world's block; give the figures."""
    spec = bench_spec()
    raw = (folder / "block").read_bytes()
    store = LevelStore(folder / "db", create=False, block=STATE_BLOCK)
    with ThreadPoolExecutor(2) as threads:
        senders, known = Senders(threads), KnownTransactions(1 << 30)
        world = EvmWorld(spec, senders)
        ledger = open_dpos_ledger(spec, store, clock_of(spec), world=world, known=known).ledger
        if warm:
            seen = decode_block(raw, decode_transaction).transactions
            senders.of(seen)
            for tx in seen:
                known.add(tx)
        watch = Stopwatch()
        for owner, method, name in WATCHED:
            watch.watch(owner, method, name)
        gc.disable()  # as the node's worker does while it is at a block
        start, used = perf_counter(), process_time()
        with watch.phase(DECODE):
            block = decode_block(raw, known.decode)
        changed = ledger.accept_block(block)
        wall, processor = perf_counter() - start, process_time() - used
        gc.enable()
    assert changed is not None
    assert changed.head.hash == block.header.hash
    store.close()
    return {
        "wall": wall,
        "processor": processor,
        "phases": dict(watch.seconds),
        "gas": block.header.header.gas_used,
        "bytes": len(raw),
        "peak": psutil.Process().memory_info().rss / (1 << 20),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--warm", action="store_true")
    options = parser.parse_args()
    print(json.dumps(import_block(options.folder, options.warm)))


if __name__ == "__main__":
    main()
