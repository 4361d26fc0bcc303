"""The DPoS half of a node: chain, pool, peers, arbitrators and RPC, started and stopped together."""

from collections.abc import Sequence
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ioex_chain.dpos.clock_guard import PeerClocks
from ioex_chain.dpos.follower import Follower
from ioex_chain.dpos.mempool import Mempool
from ioex_chain.dpos.mempool_types import PoolPolicy
from ioex_chain.dpos.registry import RegistryReader
from ioex_chain.dpos.votes import Evidence
from ioex_chain.evm.state import FlatState
from ioex_chain.ledger.errors import UndoMissing, UnknownBlock
from ioex_chain.node import log
from ioex_chain.node.arbitration import Arbitrators, load_keys, no_items
from ioex_chain.node.bridge_metrics import BridgeCollector
from ioex_chain.node.bridge_view import NodeBridge
from ioex_chain.node.bridging import Bridging
from ioex_chain.node.chain_service import ChainService
from ioex_chain.node.config import ConfigError, NodeConfig
from ioex_chain.node.datadir import DataDir
from ioex_chain.node.dpos_build import DposChain
from ioex_chain.node.dpos_metrics import DposCollector
from ioex_chain.node.dpos_peering import DposPeering
from ioex_chain.node.dpos_service import DposParts, DposService
from ioex_chain.node.eth_arbitration import ArbitrationReader
from ioex_chain.node.eth_engine import EvmEngine
from ioex_chain.node.eth_node import EthNode
from ioex_chain.node.eth_port import EthRpcPort
from ioex_chain.node.evidence_journal import EvidenceJournal, undone
from ioex_chain.node.lifetime import Lifetime
from ioex_chain.node.metrics import NodeMetrics
from ioex_chain.node.no_peers import NoPeers
from ioex_chain.node.pool_journal import PoolJournal
from ioex_chain.node.solo import Solo, SoloFollower
from ioex_chain.node.solo_chain import Notes
from ioex_chain.node.worker import Worker
from ioex_chain.rpc.eth.heavy import HeavyPool

logger = log.get(__name__)
_MIB = 1 << 20


class Part(Protocol):
    """Something that runs beside the chain."""

    async def start(self) -> None:
        """Begin. Raises IoexError when it cannot."""
        ...

    async def stop(self) -> None:
        """End, and leave nothing behind."""
        ...


P = TypeVar("P", bound=Part)


@dataclass(frozen=True, slots=True)
class DposRunning:
    """What is told of the DPoS chain of a node that is up."""

    service: DposService
    rpc_url: str
    p2p_url: str | None
    """`ioex://id@host:port` under which others on this machine reach it; None when it does not listen."""
    chain_id: int
    arbitrators: int
    """Keys that seal and vote in this node."""


class DposNode:
    """Runs the DPoS chain. `start` and `stop` are awaited by the node."""

    def __init__(
        self,
        config: NodeConfig,
        datadir: DataDir,
        chain: DposChain,
        worker: Worker,
        lifetime: Lifetime,
        pow_service: ChainService,
        metrics: NodeMetrics | None = None,
    ) -> None:
        """Take the settings; `pow_service` runs the other chain. Raises KeystoreError, ConfigError."""
        self._config = config
        self._datadir = datadir
        self._chain = chain
        self._pow = pow_service
        self._metrics = metrics
        self._keys = load_keys(config)
        policy = PoolPolicy(max_usage=config.txpool_mb * _MIB)
        pool = Mempool(chain.spec.dpos, chain.clock, chain.senders, policy=policy, known=chain.known)
        follower = Follower if chain.notes is None else SoloFollower
        self.service = DposService(
            DposParts(chain, pool, chain.clock, worker, lifetime, NoPeers(chain.ledger), follower)
        )
        self._journal = PoolJournal(datadir.dpos_pool, pool)
        self._evidence = EvidenceJournal(
            datadir.dpos_evidence, lambda: self.service.finality, self.service.run
        )
        self._heavy = HeavyPool(config.call_threads)
        self._parts = AsyncExitStack()
        self._running: DposRunning | None = None

    @property
    def running(self) -> DposRunning:
        """What is told once it is up."""
        if self._running is None:
            raise RuntimeError("the DPoS chain is not up")
        return self._running

    async def start(self) -> None:
        """Start all parts. Raises what they raise; those that started are stopped again."""
        async with AsyncExitStack() as parts:
            await self._start(parts)
            self._parts = parts.pop_all()

    async def _start(self, parts: AsyncExitStack) -> None:
        config, service, datadir = self._config, self.service, self._datadir

        async def started(part: P) -> P:
            await part.start()
            parts.push_async_callback(part.stop)
            return part

        parts.callback(self._heavy.close)
        await service.call(self._load_pool)
        service.start()
        parts.push_async_callback(self._keep_pool)
        await self._load_evidence()
        parts.push_async_callback(self._keep_evidence)
        solo = None if self._chain.notes is None else self._solo(self._chain.notes)
        clocks = PeerClocks()
        peering = (
            await started(DposPeering(config, service, datadir, clocks))
            if config.p2p and solo is None
            else None
        )
        bridging = await started(Bridging(self._pow, service, datadir.bridge_read)) if self._relays else None
        arbitrators = None
        if self._keys and solo is None:
            is_alone = config.network == "devnet" and not config.dpos_peers
            arbitrators = Arbitrators(
                service,
                self._keys,
                datadir.signers,
                clocks,
                is_alone=is_alone,
                items=bridging.items if bridging else no_items,
            )
        bridge = NodeBridge(self._pow, service, solo=solo is not None)
        if self._metrics is not None:
            self._metrics.registry.register(DposCollector(service, arbitrators))
            self._metrics.registry.register(BridgeCollector(bridge))
        backend = EthNode(
            config,
            service,
            self._heavy,
            ArbitrationReader(service, arbitrators),
            lambda _: EvmEngine(service),
            solo,
        )
        port = await started(EthRpcPort(config, service, datadir, backend, self._metrics, bridge))
        for sealing in (arbitrators, solo):
            if sealing is not None:
                await started(sealing)
        self._running = DposRunning(
            service,
            port.url,
            peering.url if peering else None,
            service.spec.dpos.chain_id,
            len(self._keys),
        )

    @property
    def _relays(self) -> bool:
        """Whether this node carries between the chains."""
        return bool(self._keys) if self._config.relay is None else self._config.relay

    def _solo(self, notes: Notes) -> Solo:
        if len(self._keys) != 1:
            raise ConfigError("--solo is for one arbitrator: leave --arbitrators out")
        return Solo(self.service, self._keys[0], self._chain.clock, notes)

    async def stop(self) -> None:
        """Stop all parts and keep the pool."""
        await self._parts.aclose()

    def _load_pool(self) -> None:
        done = self._journal.load(self.service.tip())
        if done is not None:
            logger.info(
                "transaction pool restored", kept=done.kept, refused=done.refused, damaged=done.damaged
            )
        self.service.keep = self._journal.append

    async def _load_evidence(self) -> None:
        service, kept = self.service, self._evidence.load()
        if kept:
            left = await service.call(lambda: self._undone(kept))
            logger.info("evidence restored", kept=len(left), done=len(kept) - len(left))
            for item in left:
                service.follower.on_evidence(item)
        service.on_outcome.append(self._evidence.on_outcome)

    def _undone(self, kept: Sequence[Evidence]) -> list[Evidence]:
        """Leave out what final blocks have punished; all stays if that state is not there."""
        service = self.service
        with (
            suppress(UndoMissing, UnknownBlock),
            closing(service.ledger.state_at(service.ledger.floor)) as state,
        ):
            registry = RegistryReader(service.spec, FlatState(state))
            return undone(kept, service.chain.machine.signatures, registry.takes_evidence)
        return list(kept)

    async def _keep_evidence(self) -> None:
        if self.service.failure is not None:
            return
        try:
            await self.service.call(self._evidence.write())
        except OSError as error:
            self._evidence.lost(error)

    async def _keep_pool(self) -> None:
        if self.service.failure is None:
            await self.service.call(self._journal.save)
