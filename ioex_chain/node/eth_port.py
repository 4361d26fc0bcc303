"""The DPoS chain's RPC port of a running node: Ethereum's methods over HTTP and WebSocket."""

from ioex_chain.node.config import NodeConfig
from ioex_chain.node.datadir import DataDir
from ioex_chain.node.dpos_service import DposService
from ioex_chain.node.health import health_pages
from ioex_chain.node.metrics import NodeMetrics
from ioex_chain.rpc.auth import Authenticator, CookieFile, Credential
from ioex_chain.rpc.bridge_port import BridgePort
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.eth.table import eth_port
from ioex_chain.rpc.eth_backend import EthBackend
from ioex_chain.rpc.limits import MIB, Limits
from ioex_chain.rpc.origin import OriginPolicy
from ioex_chain.rpc.server import PortTaken, RpcServer, ServerConfig

BODY_BYTES = 5 * MIB


class EthRpcPort:
    """Serves the Ethereum methods. `start` and `stop` are awaited by the node."""

    def __init__(
        self,
        config: NodeConfig,
        service: DposService,
        datadir: DataDir,
        backend: EthBackend,
        metrics: NodeMetrics | None = None,
        bridge: BridgePort | None = None,
    ) -> None:
        self._config = config
        self._service = service
        self._backend = backend
        self._metrics = metrics
        self._bridge = bridge
        self._cookie = CookieFile(datadir.dpos_cookie)
        self._server: RpcServer | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url if self._server else ""

    async def start(self) -> None:
        """Write the cookie and listen. Raises PortTaken, CookieError, InvalidAddress."""
        config, spec = self._config, self._service.spec.dpos
        port = eth_port(self._backend, bridge=self._bridge)
        dispatcher = Dispatcher(
            port.table,
            errors=port.errors,
            limits=Limits(body_bytes=BODY_BYTES),
            reads_need_auth=config.rpc_require_auth,
            observe=self._metrics.rpc_called if self._metrics else None,
        )
        server_config = ServerConfig(
            host=config.rpc_host,
            port=spec.rpc_port if config.dpos_rpc_port is None else config.dpos_rpc_port,
            policy=OriginPolicy(frozenset(config.rpc_hosts), frozenset(config.rpc_origins)),
            pages=health_pages(self._service),
        )
        server = RpcServer(dispatcher, server_config, self._authenticator(), port.subscriptions)
        try:
            await server.start()
        except PortTaken:
            self._cookie.remove()
            raise
        self._server = server
        self._service.on_head.append(port.publisher.head_changed)
        self._service.on_transaction.append(port.publisher.transaction_added)

    def _authenticator(self) -> Authenticator:
        credentials = [self._cookie.create()]
        if self._config.rpc_user is not None and self._config.rpc_password is not None:
            credentials.append(
                Credential(self._config.rpc_user, self._config.rpc_password.get_secret_value())
            )
        return Authenticator(credentials)

    async def stop(self) -> None:
        """Close every connection and remove the cookie."""
        if self._server is not None:
            await self._server.stop()
        self._cookie.remove()
