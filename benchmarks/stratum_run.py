"""A node in a process of its own that serves miners: real ledger on disk, full mempool (`bench_stratum`).

Its network is as the devnet but 30,000 times harder, so that shares are not blocks.
"""

import asyncio
import gc
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from ioex_chain.ledger.store import LevelStore
from ioex_chain.node.build import open_ledger
from ioex_chain.node.chain_service import ChainParts, ChainService
from ioex_chain.node.datadir import DataDir
from ioex_chain.node.worker import Worker
from ioex_chain.pow.block import Block
from ioex_chain.pow.fees import FeeEstimator
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.stratum_limits import StratumSettings
from ioex_chain.pow.stratum_server import StratumServer
from ioex_chain.pow.stratum_session import SessionRules
from ioex_chain.pow.template import TemplateBuilder
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.vardiff import VardiffRules
from ioex_chain.pow.verified import VerifiedCache
from ioex_chain.primitives.clock import FixedClock
from tests.chaingen.builder import ChainBuilder
from tests.chaingen.specs import key, story_spec

BITS = 0x1F00FFFF
FAN = 2_000
EASY = SessionRules(vardiff=VardiffRules(start=5e-10, minimum=5e-10))
"""Every second hash is a share: what is measured is the server."""


class RunningClock(FixedClock):
    """The chain's time, which goes on from where the builder left it."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self._began = time.monotonic()

    def now(self) -> int:
        return self.time + int(time.monotonic() - self._began)


def allow_files(count: int) -> None:
    """Raise the limit of open files to what so many connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def make_chain(transactions: int) -> tuple[ChainBuilder, list[Block], list[object]]:
    """Give a builder, its blocks so far and so many transactions that can be mined now."""
    chain = ChainBuilder(story_spec(genesis_bits=BITS, pow_limit_bits=BITS))
    owner = key("coin")
    chain.know(owner)
    blocks = chain.warm_up()
    coins = []
    while len(coins) < transactions:
        fan = chain.fan_out(chain.take(), FAN, owner)
        blocks.append(chain.block(blocks[-1], [fan]))
        coins += chain.all_funds(fan)
    shop = key("shop")
    made: list[object] = [chain.spend(coin, [(1_000, shop)], fee=500) for coin in coins[:transactions]]
    return chain, blocks, made


def serve(pipe: Connection, transactions: int, heads: int) -> None:
    """Send the port; for each `head` received move the chain on by a block; `stop` gives the figures."""
    allow_files(8192)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_serve(pipe, Path(folder), transactions, heads))


def make_service(folder: Path, chain: ChainBuilder, blocks: list[Block], flood: list[object]) -> ChainService:
    """Put a service on a ledger on disk with these blocks and a mempool with these transactions."""
    clock = RunningClock(chain.clock.time)
    verified = VerifiedCache()
    store = LevelStore(folder / "db", create=True)
    ledger = open_ledger(chain.spec, store, clock, verified=verified)
    for block in blocks:
        ledger.accept_block(block)
    mempool = Mempool(chain.spec, clock, verified=verified)
    for tx in flood:
        mempool.add(tx, Tip.of(ledger))  # type: ignore[arg-type]
    return ChainService(
        ChainParts(
            spec=chain.spec,
            datadir=DataDir(folder, "devnet"),
            ledger=ledger,
            mempool=mempool,
            fees=FeeEstimator(),
            clock=clock,
            worker=Worker("chain"),
            indexes=True,
            database_size=store.size,
        )
    )


async def _serve(pipe: Connection, folder: Path, transactions: int, heads: int) -> None:
    chain, blocks, flood = make_chain(transactions)
    gc.collect()
    gc.freeze()  # the builder's objects are none that a node has
    service = make_service(folder, chain, blocks, flood)
    coming = chain.extend(blocks[-1], heads)
    service.start()
    builder = TemplateBuilder(chain.spec, service.ledger, service.mempool, service.clock)
    settings = StratumSettings(port=0, session=EASY)
    server = StratumServer(
        service, builder.build, chain.spec, settings, service.clock, time.monotonic, empty=builder.empty
    )
    await server.start()
    running = asyncio.create_task(server.run())
    pipe.send(server.port)
    used = time.process_time()
    while (word := await asyncio.to_thread(pipe.recv)) != "stop":
        if word == "head":
            await service.submit_block(coming.pop(0))
        elif word == "used":
            pipe.send(time.process_time() - used)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    total = server.stats.total
    pipe.send((total.accepted, dict(total.rejected), server.stats.jobs, dict(server.stats.dropped)))
    await server.stop()
