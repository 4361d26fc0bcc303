"""The DPoS chain's network of a running node."""

import time
from collections.abc import Callable
from random import Random

from ioex_chain.dpos.clock_guard import PeerClocks
from ioex_chain.gossip.dpos_hub import DposGossip, dpos_context
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.datadir import DataDir
from ioex_chain.node.dpos_service import DposService
from ioex_chain.node.peering import Peering, PeeringPlan
from ioex_chain.p2p.seam import Peer
from ioex_chain.p2p.table import DPOS_TABLE
from ioex_chain.pow.genesis import identity_of
from ioex_chain.spec.identity import dpos_identity

HALF_SECOND = 0.5
"""A hello tells whole seconds: the middle of them is meant."""


class ClockedGossip(DposGossip):
    """Notes what peers' clocks show when they come."""

    clocks: PeerClocks

    def peer_up(self, peer: Peer) -> None:
        """Take a new peer."""
        self.clocks.add(str(peer.number), peer.hello.time + HALF_SECOND, time.monotonic())
        super().peer_up(peer)

    def peer_down(self, peer: Peer) -> None:
        """Forget a peer."""
        self.clocks.remove(str(peer.number))
        super().peer_down(peer)


class DposPeering(Peering):
    """Peers of the DPoS chain. `start` and `stop` are awaited by the node."""

    def __init__(
        self, config: NodeConfig, service: DposService, datadir: DataDir, clocks: PeerClocks
    ) -> None:
        """Take the settings. Raises InvalidPeerUrl, ConfigError."""
        self._service = service
        spec, engine = service.spec, service.engine

        def gossip(
            chance: Random, gave_block: Callable[[int], None], gave_transaction: Callable[[int], None]
        ) -> ClockedGossip:
            context = dpos_context(
                service,
                engine,
                service.chain.known,
                service.follower,
                time.monotonic,
                chance,
                network_id=identity_of(spec),
                gave_block=gave_block,
                gave_transaction=gave_transaction,
            )
            made = ClockedGossip(context, service.follower, group_commits=True)
            made.clocks = clocks
            service.on_outcome.append(made.told)
            return made

        plan = PeeringPlan(
            identity=dpos_identity(identity_of(spec)),
            port=spec.dpos.p2p_port if config.dpos_p2p_port is None else config.dpos_p2p_port,
            seeds=spec.dpos.seeds,
            peers=config.dpos_peers,
            files=datadir.dpos_peers,
            table=DPOS_TABLE,
            gossip=gossip,
            rates=lambda: (spec.dpos.min_base_fee, spec.dpos.min_base_fee),
        )
        super().__init__(config, spec, datadir, service.clock, plan)

    async def start(self) -> None:
        """Begin, and follow the chain. Raises CannotListen, InvalidNodeKey, StoreError."""
        await super().start()
        self._service.peers = self
        self._service.on_head.append(self.gossip.head_changed)
        self._service.on_transaction.append(lambda entry: self.gossip.transaction_added(entry.tx))
