"""The Stratum port of a running node."""

import asyncio
import time

from ioex_chain.node import log
from ioex_chain.node.chain_service import ChainService
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.mining import TAG
from ioex_chain.pow.stratum_limits import StratumSettings
from ioex_chain.pow.stratum_server import StratumServer
from ioex_chain.pow.stratum_session import SessionRules
from ioex_chain.pow.stratum_stats import StratumStats
from ioex_chain.pow.stratum_view import StratumView
from ioex_chain.pow.template import TemplateBuilder
from ioex_chain.pow.vardiff import VardiffRules

logger = log.get(__name__)


class StratumPort:
    """Serves miners on the node's own chain. `start` and `stop` are awaited by the node."""

    def __init__(self, config: NodeConfig, service: ChainService) -> None:
        spec = service.spec
        builder = TemplateBuilder(spec, service.ledger, service.mempool, service.clock)
        port = spec.pow.stratum_port if config.stratum_port is None else config.stratum_port
        self._server = StratumServer(
            service,
            builder.build,
            spec,
            StratumSettings(
                host=config.stratum_host,
                port=port,
                tag=TAG,
                session=SessionRules(vardiff=VardiffRules(minimum=config.stratum_min_difficulty)),
            ),
            service.clock,
            time.monotonic,
            empty=builder.empty,
            is_ready=lambda: not service.peers.sync_state().is_syncing,
        )
        self._running: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    @property
    def stats(self) -> StratumStats:
        """What miners have done so far."""
        return self._server.stats

    @property
    def view(self) -> StratumView:
        """The server, as RPC shows it."""
        return self._server

    async def start(self) -> None:
        """Listen and hand out work. Raises StratumPortTaken."""
        await self._server.start()
        self._running = asyncio.create_task(self._server.run())
        self._running.add_done_callback(_tell_failure)

    async def stop(self) -> None:
        """End all connections."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._server.stop()


def _tell_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("the Stratum server failed; restart the node and report this", exc_info=error)
