"""The metrics of the DPoS chain and the bridge, over both real chains in memory."""

import re
from types import SimpleNamespace
from typing import Any, cast

from bridge_view_world import ViewWorld
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ioex_chain.dpos.mempool_types import PoolStatus
from ioex_chain.dpos.producer import ProducerStats
from ioex_chain.dpos.votes import Checkpoint
from ioex_chain.node.bridge_metrics import BridgeCollector
from ioex_chain.node.dpos_metrics import DposCollector


class ChainMetrics:
    """A registry with both collectors; `stats` are those of the node's arbitrator keys."""

    def __init__(self) -> None:
        self.bridge = ViewWorld()
        self.stats = ProducerStats()
        self.registry = CollectorRegistry()
        self.registry.register(DposCollector(cast("Any", self._service()), cast("Any", self._arbitrators())))
        self.registry.register(BridgeCollector(self.bridge.view))

    def _service(self) -> SimpleNamespace:
        dpos = self.bridge.world.dpos
        finality = SimpleNamespace(
            justified=Checkpoint(dpos.ledger.floor.hash, 0),
            finalised=Checkpoint(dpos.ledger.floor.hash, dpos.ledger.floor.height),
            offences=lambda: (),
        )
        peers = SimpleNamespace(peers=lambda: (), sync_state=lambda: SimpleNamespace(is_syncing=False))
        return SimpleNamespace(
            ledger=dpos.ledger,
            engine=dpos.engine,
            finality=finality,
            clock=dpos.clock,
            spec=dpos.spec,
            peers=peers,
            next_base_fee=lambda _: 10**9,
            mempool=SimpleNamespace(status=lambda: PoolStatus(3, 1, 5_000)),
        )

    def _arbitrators(self) -> SimpleNamespace:
        return SimpleNamespace(
            producer=SimpleNamespace(stats=self.stats), signer=SimpleNamespace(slots_left=2)
        )

    def values(self) -> dict[str, float]:
        """Give name{label=value} -> value."""
        families = text_string_to_metric_families(generate_latest(self.registry).decode())
        found = {}
        for sample in (sample for family in families for sample in family.samples):
            labels = ",".join(f"{label}={value}" for label, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found


def chain_names() -> set[str]:
    """Give every name that a node with arbitrators shows of the DPoS chain and the bridge."""
    metrics = ChainMetrics()
    metrics.stats.missed["late"] = metrics.stats.not_voted["late"] = 1
    return {re.split(r"\{", name)[0] for name in metrics.values()}
