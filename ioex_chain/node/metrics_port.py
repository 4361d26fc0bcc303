"""The metrics of a running node, and the port that serves them."""

from collections.abc import Callable

from ioex_chain.node.chain_service import ChainService
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.health import MetricsServer
from ioex_chain.node.metrics import NodeMetrics
from ioex_chain.pow.mining_stats import MinerStats
from ioex_chain.pow.stratum_stats import StratumStats


class MetricsPort:
    """Counts what happens and serves it. `start` and `stop` are awaited by the node."""

    def __init__(
        self,
        config: NodeConfig,
        service: ChainService,
        *,
        miner: Callable[[], MinerStats | None],
        stratum: Callable[[], StratumStats | None],
    ) -> None:
        self._host = config.metrics_host
        self.metrics = NodeMetrics(service, miner=miner, stratum=stratum)
        service.on_head.append(self.metrics.head_changed)
        service.on_connected.append(self.metrics.block_accepted)
        port = service.spec.metrics_port if config.metrics_port is None else config.metrics_port
        self._server = MetricsServer(
            service, self.metrics.text, self._host, port, hosts=frozenset(config.rpc_hosts)
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.port}/metrics"

    async def start(self) -> None:
        """Listen. Raises PortTaken."""
        await self._server.start()

    async def stop(self) -> None:
        """Close every connection."""
        await self._server.stop()
