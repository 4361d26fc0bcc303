"""A real node on a prepared database: `python -m benchmarks.net_node FOLDER [--network-option ...]`.

FOLDER holds `db` (a chain of `story_spec`) and `facts`. Prints one JSON line when it is up, then one for
each block that it connected: when that began and ended, and the seconds before it that went into decoding
transactions which were not in the pool.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from ioex_chain.gossip.compact import Rebuild
from ioex_chain.ledger.group_store import GroupStore
from ioex_chain.ledger.store import LevelStore
from ioex_chain.node import log
from ioex_chain.node.app import Running, serve
from ioex_chain.node.build import Chain, open_ledger
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.datadir import DataDir, Identity
from ioex_chain.node.processes import verify_pool
from ioex_chain.node.worker import Worker
from ioex_chain.pow.ledger import PowLedger
from ioex_chain.pow.verified import VerifiedCache
from ioex_chain.primitives.clock import FixedClock
from tests.chaingen.specs import story_spec


def say(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def time_blocks(ledger: PowLedger) -> None:
    """Note how long each block took from the ledger's door to the head, and its decoding before."""
    accept, decode = ledger.accept_block, Rebuild.fill
    decoding = 0.0

    def timed(block: Any, **options: Any) -> Any:
        nonlocal decoding
        began = time.time()
        changed = accept(block, **options)
        if changed is not None:
            say(height=changed.head.height, began=began, ended=time.time(), decoding=decoding)
            decoding = 0.0
        return changed

    def timed_decode(rebuild: Rebuild, items: Any) -> None:
        nonlocal decoding
        began = time.time()
        decode(rebuild, items)
        decoding += time.time() - began

    ledger.accept_block = timed  # type: ignore[method-assign]
    Rebuild.fill = timed_decode  # type: ignore[method-assign]


def up(running: Running) -> None:
    say(rpc=running.rpc_url, p2p=running.p2p_url, height=running.service.ledger.head.height)


async def run(folder: Path, config: NodeConfig, *, quiet: bool) -> None:
    clock = FixedClock(json.loads((folder / "facts").read_text())["time"])
    datadir = DataDir(folder, "devnet")
    datadir.create(Identity("devnet", 1))
    datadir.lock()
    workers = verify_pool(config.verify_processes)
    cache = config.db_cache_mb << 20
    store = LevelStore(folder / "db", create=True, write_buffer=cache // 3, cache=cache // 3)
    verified = VerifiedCache()
    spec = story_spec()
    kept = GroupStore(store)
    ledger = open_ledger(spec, kept, clock, workers=workers, verified=verified)
    if not quiet:
        time_blocks(ledger)
    worker = Worker("chain")
    try:
        await serve(config, Chain(datadir, spec, store, ledger, verified, workers, clock), worker, up)
    finally:
        worker.close()
        if workers is not None:
            workers.shutdown(cancel_futures=True)
        kept.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=0, help="verifying processes")
    parser.add_argument("--quiet", action="store_true", help="say nothing of blocks")
    options = parser.parse_args()
    log.configure("warning", "console", color=False)
    config = NodeConfig(
        network="devnet",
        datadir=options.folder,
        rpc_port=0,
        p2p_port=0,
        only_peers=True,
        dpos=False,
        verify_processes=options.processes,
    )
    asyncio.run(run(options.folder, config, quiet=options.quiet))


if __name__ == "__main__":
    main()
