"""The PoW chain's RPC port of a running node: methods, authentication, limits, pushes."""

from ioex_chain.crypto.address import address_to_script
from ioex_chain.node.chain_service import ChainService
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.datadir import DataDir
from ioex_chain.node.health import health_pages
from ioex_chain.node.metrics import NodeMetrics
from ioex_chain.node.stratum_port import StratumPort
from ioex_chain.rpc.auth import Authenticator, CookieFile, Credential
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.limits import MIB, Limits
from ioex_chain.rpc.origin import OriginPolicy
from ioex_chain.rpc.pow.table import PowPort, pow_port
from ioex_chain.rpc.server import PortTaken, RpcServer, ServerConfig

BODY_BYTES = 20 * MIB
"""An 8-MB block in hex must fit."""
HEADERS = {"X-Long-Polling": "/"}


class RpcPort:
    """Serves the PoW methods. `start` and `stop` are awaited by the node."""

    def __init__(
        self,
        config: NodeConfig,
        service: ChainService,
        datadir: DataDir,
        metrics: NodeMetrics | None = None,
        stratum: StratumPort | None = None,
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._stratum = stratum
        self._cookie = CookieFile(datadir.cookie)
        self._service = service
        self._server: RpcServer | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url if self._server else ""

    async def start(self) -> None:
        """Write the cookie and listen. Raises PortTaken, CookieError, InvalidAddress."""
        config, spec = self._config, self._service.spec
        payout = address_to_script(spec.pow.address_prefix, config.mine_to) if config.mine_to else None
        stratum = self._stratum
        port = pow_port(
            self._service, payout_script=payout, stratum=lambda: stratum.view if stratum else None
        )
        dispatcher = Dispatcher(
            port.table,
            errors=port.errors,
            limits=Limits(body_bytes=BODY_BYTES),
            reads_need_auth=config.rpc_require_auth,
            observe=self._metrics.rpc_called if self._metrics else None,
        )
        server_config = ServerConfig(
            host=config.rpc_host,
            port=spec.pow.rpc_port if config.rpc_port is None else config.rpc_port,
            policy=OriginPolicy(frozenset(config.rpc_hosts), frozenset(config.rpc_origins)),
            headers=self._headers(),
            pages=health_pages(self._service),
        )
        server = RpcServer(dispatcher, server_config, self._authenticator(), port.subscriptions)
        try:
            await server.start()
        except PortTaken:
            self._cookie.remove()
            raise
        self._server = server
        self._follow(port)

    def _headers(self) -> dict[str, str]:
        """Tell getblocktemplate clients of long polling and of Stratum (BIP 22, BIP 23's extensions)."""
        host = self._config.stratum_host
        if self._stratum is None or host in ("0.0.0.0", "::"):  # noqa: S104 - an address that nobody can dial
            return HEADERS
        return {**HEADERS, "X-Stratum": f"stratum+tcp://{host}:{self._stratum.port}"}

    def _authenticator(self) -> Authenticator:
        credentials = [self._cookie.create()]
        if self._config.rpc_user is not None and self._config.rpc_password is not None:
            credentials.append(
                Credential(self._config.rpc_user, self._config.rpc_password.get_secret_value())
            )
        return Authenticator(credentials)

    def _follow(self, port: PowPort) -> None:
        self._service.on_head.append(port.publisher.head_changed)
        self._service.on_transaction.append(port.publisher.transaction_added)

    async def stop(self) -> None:
        """Close every connection and remove the cookie."""
        if self._server is not None:
            await self._server.stop()
        self._cookie.remove()
