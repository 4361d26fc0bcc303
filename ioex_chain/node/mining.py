"""The miner inside a node: work from its own ledger and mempool, a word in the log now and then."""

import asyncio
import time
from collections.abc import Callable

from ioex_chain.crypto.address import address_to_script
from ioex_chain.node import log
from ioex_chain.node.chain_service import ChainService
from ioex_chain.node.config import ConfigError, NodeConfig
from ioex_chain.pow.hash_pool import HashPool
from ioex_chain.pow.miner import Miner
from ioex_chain.pow.mining_stats import MinerStats
from ioex_chain.pow.template import Template, TemplateBuilder
from ioex_chain.pow.work import LocalSource, Work, WorkUnavailable

logger = log.get(__name__)
REPORT_SECONDS = 60.0
TAG = b"/ioex/"


class SyncedSource(LocalSource):
    """Work of a node that is not catching up: what it found meanwhile would be worth nothing."""

    def __init__(self, service: ChainService, build: Callable[[], Template], payout_script: bytes) -> None:
        super().__init__(service, build, payout_script, TAG)
        self._service = service

    async def get_template(self, longpoll: str | None) -> Work:
        """Give work; see WorkSource. Raises WorkUnavailable while the node synchronises."""
        if self._service.peers.sync_state().is_syncing:
            raise WorkUnavailable("the node is synchronising; mining begins when it is done")
        return await super().get_template(longpoll)


class LocalMiner:
    """Mines on the node's own chain; `run` until cancelled."""

    def __init__(self, config: NodeConfig, service: ChainService) -> None:
        """Take the node's settings. Raises ConfigError without an address, InvalidAddress for a wrong one."""
        if config.mine_to is None:
            raise ConfigError(
                "mining needs an address to pay: set mine_to (`ioex wallet address new` makes one)"
            )
        spec = service.spec
        payout = address_to_script(spec.pow.address_prefix, config.mine_to)
        builder = TemplateBuilder(spec, service.ledger, service.mempool, service.clock)
        source = SyncedSource(service, builder.build, payout)
        self._service = service
        self._miner = Miner(spec.pow, source, service.clock, hashers=HashPool(config.mine_processes))

    @property
    def stats(self) -> MinerStats:
        """What it has done so far."""
        return self._miner.stats

    async def run(self) -> None:
        """Mine until cancelled. Raises WorkerDied."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._miner.run())
            group.create_task(self._report())

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            stats, now = self.stats, time.monotonic()
            waiting = stats.maturing(self._service.ledger.head.height)
            logger.info(
                "mining",
                hash_rate=round(stats.hash_rate(now)),
                expected_seconds=round(stats.expected_seconds(now) or 0),
                accepted=stats.accepted,
                stale=stats.stale,
                maturing=len(waiting),
                **({"last_error": stats.last_error} if stats.last_error else {}),
            )
