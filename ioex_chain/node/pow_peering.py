"""The PoW chain's network of a running node."""

import time
from collections.abc import Callable
from random import Random

from ioex_chain.gossip.hub import Gossip
from ioex_chain.gossip.ports import Context
from ioex_chain.node.chain_service import ChainService
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.datadir import DataDir
from ioex_chain.node.peering import Peering, PeeringPlan
from ioex_chain.p2p.table import TABLE
from ioex_chain.pow.genesis import identity_of


class PowPeering(Peering):
    """Peers of the PoW chain. `start` and `stop` are awaited by the node."""

    def __init__(self, config: NodeConfig, service: ChainService, datadir: DataDir) -> None:
        """Take the settings. Raises InvalidPeerUrl, ConfigError."""
        self._service = service
        spec = service.spec

        def gossip(
            chance: Random, gave_block: Callable[[int], None], gave_transaction: Callable[[int], None]
        ) -> Gossip:
            context = Context(
                service, time.monotonic, chance, gave_block=gave_block, gave_transaction=gave_transaction
            )
            return Gossip(context, group_commits=True)

        plan = PeeringPlan(
            identity=identity_of(spec),
            port=spec.pow.p2p_port if config.p2p_port is None else config.p2p_port,
            seeds=spec.pow.seeds,
            peers=config.peers,
            files=datadir.pow_peers,
            table=TABLE,
            gossip=gossip,
            rates=service.rates,
        )
        super().__init__(config, spec, datadir, service.clock, plan)

    async def start(self) -> None:
        """Begin, and follow the chain. Raises CannotListen, InvalidNodeKey, StoreError."""
        await super().start()
        self._service.join_network(self)
        self._service.on_head.append(self.gossip.head_changed)
        self._service.on_transaction.append(self.gossip.transaction_added)
