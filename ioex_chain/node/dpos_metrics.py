"""What Prometheus sees of the DPoS chain: figures read when somebody asks (`ioex_dpos_*`)."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ioex_chain.node.arbitration import Arbitrators
from ioex_chain.node.dpos_service import DposService


class DposCollector(Collector):
    """Chain, finality, pool, peers and this node's arbitrators at this moment."""

    def __init__(self, service: DposService, arbitrators: Arbitrators | None) -> None:
        self._service = service
        self._arbitrators = arbitrators

    def collect(self) -> Iterator[Metric]:
        """Read everything; in the event loop."""
        yield from self._chain()
        yield from self._pool()
        if self._arbitrators is not None:
            yield from self._producer(self._arbitrators)

    def _chain(self) -> Iterator[Metric]:
        service, finality = self._service, self._service.finality
        head = service.ledger.head
        yield _gauge("height", "Height of the best DPoS block.", head.height)
        yield _gauge("justified_height", "Height of the justified block.", finality.justified.height)
        yield _gauge("finalized_height", "Height of the final block.", finality.finalised.height)
        yield _gauge(
            "head_timestamp", "Start of the best block's slot, Unix time.", head.header.header.timestamp
        )
        final = service.ledger.entry(finality.finalised.hash)
        now = service.engine.schedule.slot_of(service.clock.now())
        behind = 0 if final is None else max(0, now - service.engine.slot_of(final))
        yield _gauge("slots_since_finalized", "Slots between the final block and now.", behind)
        stalled = behind > service.spec.dpos.stall_slots
        yield _gauge(
            "finality_stalled", "1 when finality is away for longer than the spec allows.", int(stalled)
        )
        yield _gauge("evidence", "Offences that this node has proof of.", len(finality.offences()))
        yield _gauge("peers", "Connected peers of the DPoS chain.", len(service.peers.peers()))
        yield _gauge(
            "syncing", "1 while the chain is being fetched.", int(service.peers.sync_state().is_syncing)
        )
        yield _gauge("base_fee_wei", "Base fee of the next block.", service.next_base_fee(head))

    def _pool(self) -> Iterator[Metric]:
        status = self._service.mempool.status()
        family = GaugeMetricFamily(
            "ioex_dpos_txpool_transactions", "Transactions in the pool.", labels=["state"]
        )
        family.add_metric(["pending"], status.pending)
        family.add_metric(["queued"], status.queued)
        yield family
        yield _gauge("txpool_bytes", "Memory of the pool, as estimated.", status.usage)

    def _producer(self, arbitrators: Arbitrators) -> Iterator[Metric]:
        producer, signer = arbitrators.producer, arbitrators.signer
        if producer is None or signer is None:
            return
        stats = producer.stats
        yield _counter("blocks_sealed", "Blocks that this node's keys sealed.", stats.sealed)
        yield _counter("votes", "Votes that this node's keys gave.", stats.votes)
        for name, text, counts in (
            ("slots_missed", "Slots of this node's keys without their block.", stats.missed),
            ("votes_withheld", "Votes that this node's keys did not give.", stats.not_voted),
        ):
            family = CounterMetricFamily(f"ioex_dpos_{name}", text, labels=["reason"])
            for reason, count in sorted(counts.items()):
                family.add_metric([str(reason)], count)
            yield family
        yield _gauge("signer_silent", "1 while the signer signs nothing.", int(stats.silent is not None))
        yield _gauge("signer_slots_to_watch", "Slots that the signer still listens.", signer.slots_left)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"ioex_dpos_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"ioex_dpos_{name}", text, value=value)
