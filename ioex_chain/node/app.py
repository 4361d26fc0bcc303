"""The running node: starts its parts, waits for the word to stop, and leaves everything flushed."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack, closing
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

from ioex_chain.bridge.settlement import settlement_rule
from ioex_chain.ledger.errors import StoreError
from ioex_chain.node import log
from ioex_chain.node.build import Chain, open_chain
from ioex_chain.node.chain_service import ChainParts, ChainService
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.datadir import write_atomically
from ioex_chain.node.dpos_build import DposChain, open_dpos
from ioex_chain.node.dpos_node import DposNode, DposRunning
from ioex_chain.node.lifetime import Lifetime
from ioex_chain.node.metrics_port import MetricsPort
from ioex_chain.node.mining import LocalMiner
from ioex_chain.node.pow_peering import PowPeering
from ioex_chain.node.processes import warm
from ioex_chain.node.rpc_port import RpcPort
from ioex_chain.node.stratum_port import StratumPort
from ioex_chain.node.worker import Worker
from ioex_chain.pow.fees import FeeEstimator, FeeFileDamaged
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.policy import Policy
from ioex_chain.pow.pool_file import PoolFileUnreadable, decode_pool, encode_pool, restore
from ioex_chain.pow.tip import Tip
from ioex_chain.primitives.types import display

logger = log.get(__name__)
P = TypeVar("P", bound="Part")


@dataclass(frozen=True, slots=True)
class Running:
    """What a node that is up can be told apart by: handed to `on_ready`."""

    service: ChainService
    rpc_url: str
    p2p_url: str | None
    """`ioex://id@host:port` under which others on this machine reach it; None when it does not listen."""
    stratum_port: int | None
    metrics_url: str | None
    miner: LocalMiner | None
    dpos: DposRunning | None = None
    """The DPoS chain; None with `--no-dpos`."""


class Part(Protocol):
    """Something that runs beside the chain."""

    async def start(self) -> None:
        """Begin. Raises IoexError when it cannot."""
        ...

    async def stop(self) -> None:
        """End, and leave nothing behind."""
        ...


async def run_node(config: NodeConfig, on_ready: Callable[[Running], None] | None = None) -> None:
    """Run a node until SIGINT, SIGTERM, the `stop` method or a failing disk.

    Raises IoexError for what keeps it from starting, and StoreError when the disk failed on the way.
    """
    with ExitStack() as opened:
        chain = opened.enter_context(open_chain(config))
        dpos = None
        if config.dpos:
            dpos = opened.enter_context(open_dpos(config, chain.datadir, chain.spec, chain.clock))
        worker = opened.enter_context(closing(Worker("chain")))
        await serve(config, chain, worker, on_ready, dpos)


async def serve(
    config: NodeConfig,
    chain: Chain,
    worker: Worker,
    on_ready: Callable[[Running], None] | None = None,
    dpos: DposChain | None = None,
) -> None:
    """Run a node on open chains; see `run_node`."""
    lifetime = Lifetime()
    service = make_service(config, chain, worker, lifetime)
    warm(chain.workers)
    await service.call(lambda: _load_pool(service, chain))
    service.start()
    _stop_on_signals(service)
    miner = LocalMiner(config, service) if config.mine else None
    try:
        async with AsyncExitStack() as parts:
            running = await _start_parts(config, chain, service, miner, parts, dpos, lifetime)
            logger.info(
                "node is up",
                network=chain.spec.name,
                height=chain.ledger.head.height,
                hash=display(chain.ledger.head.hash),
                rpc=running.rpc_url,
                p2p=running.p2p_url,
            )
            if on_ready is not None:
                on_ready(running)
            await _until_stopped(service, miner)
            logger.info("stopping")
    finally:
        if service.failure is None:
            await service.call(lambda: _save_pool(service, chain))
    if service.failure is not None:
        raise service.failure


async def _start_parts(
    config: NodeConfig,
    chain: Chain,
    service: ChainService,
    miner: LocalMiner | None,
    parts: AsyncExitStack,
    dpos: DposChain | None,
    lifetime: Lifetime,
) -> Running:
    """Start what the settings ask for; it is stopped in the opposite order."""

    async def started(part: P) -> P:
        await part.start()
        parts.push_async_callback(part.stop)
        return part

    service.dpos_rpc = None if dpos is None else ""
    peering = await started(PowPeering(config, service, chain.datadir)) if config.p2p else None
    stratum = await started(StratumPort(config, service)) if config.stratum else None
    metrics = _metrics(config, service, miner, stratum) if config.metrics else None
    port = await started(
        RpcPort(config, service, chain.datadir, metrics.metrics if metrics else None, stratum)
    )
    other = None
    if dpos is not None:
        worker = parts.enter_context(closing(Worker("dpos")))
        other = await started(
            DposNode(
                config,
                chain.datadir,
                dpos,
                worker,
                lifetime,
                service,
                metrics.metrics if metrics else None,
            )
        )
        service.dpos_rpc = other.running.rpc_url
    if metrics is not None:
        await started(metrics)
    return Running(
        service,
        port.url,
        peering.url if peering else None,
        stratum.port if stratum else None,
        metrics.url if metrics else None,
        miner,
        other.running if other else None,
    )


def _metrics(
    config: NodeConfig, service: ChainService, miner: LocalMiner | None, stratum: StratumPort | None
) -> MetricsPort:
    return MetricsPort(
        config,
        service,
        miner=lambda: miner.stats if miner else None,
        stratum=lambda: stratum.stats if stratum else None,
    )


async def _until_stopped(service: ChainService, miner: LocalMiner | None) -> None:
    """Mine, if there is a miner, until the node is asked to stop."""
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(service.stopping.wait())]
    if miner is not None:
        tasks.append(asyncio.create_task(miner.run()))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def make_service(config: NodeConfig, chain: Chain, worker: Worker, lifetime: Lifetime) -> ChainService:
    """Put mempool, fee estimator and service on an open chain."""
    fees = _load_fees(chain)
    policy = Policy(min_relay_rate=config.min_relay_fee, max_usage=config.mempool_mb * 1_000_000)
    mempool = Mempool(
        chain.spec,
        chain.clock,
        policy=policy,
        verified=chain.verified,
        observer=fees,
        settlements=settlement_rule(chain.spec),
    )
    return ChainService(
        ChainParts(
            spec=chain.spec,
            datadir=chain.datadir,
            ledger=chain.ledger,
            mempool=mempool,
            fees=fees,
            clock=chain.clock,
            worker=worker,
            lifetime=lifetime,
            indexes=chain.datadir.identity().indexes,
            database_size=chain.store.size,
        )
    )


def _stop_on_signals(service: ChainService) -> None:
    """Stop on the first signal; a second one ends the process as it is, which the database survives."""
    loop = asyncio.get_running_loop()
    stopping = (signal.SIGINT, signal.SIGTERM)

    def first(number: signal.Signals) -> None:
        logger.info("stopping; a second signal forces", signal=number.name)
        for one in stopping:
            loop.remove_signal_handler(one)
            signal.signal(one, _force)  # not the loop's: it may be waiting for the worker thread
        service.request_stop()

    for number in stopping:
        loop.add_signal_handler(number, first, number)


def _force(number: int, _frame: object) -> NoReturn:
    os.write(2, b"forced to end; the next start recovers by itself\n")
    os._exit(128 + number)


def _load_pool(service: ChainService, chain: Chain) -> None:
    path = chain.datadir.mempool
    try:
        kept = decode_pool(path.read_bytes(), chain.spec.pow.max_block_size)
    except FileNotFoundError:
        return
    except (OSError, PoolFileUnreadable) as error:
        logger.warning(
            "the kept mempool cannot be read; starting with an empty one", file=str(path), reason=str(error)
        )
        return
    done = restore(service.mempool, kept, Tip.of(chain.ledger))
    logger.info("mempool restored", kept=done.kept, refused=done.refused, damaged=done.damaged)


def _load_fees(chain: Chain) -> FeeEstimator:
    path = chain.datadir.fees
    try:
        return FeeEstimator.decode(path.read_bytes())
    except FileNotFoundError:
        return FeeEstimator()
    except (OSError, FeeFileDamaged) as error:
        logger.warning(
            "the kept fee estimates cannot be read; starting anew", file=str(path), reason=str(error)
        )
        return FeeEstimator()


def _save_pool(service: ChainService, chain: Chain) -> None:
    try:
        write_atomically(chain.datadir.mempool, encode_pool(service.mempool))
        write_atomically(chain.datadir.fees, service.fees.encode())
    except OSError as error:
        raise StoreError(f"cannot write into {chain.datadir.path}: {error.strerror}") from error
