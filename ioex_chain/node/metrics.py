"""What Prometheus sees of a node: figures read when somebody asks, and counts of what happened.

Names are EIP-2159's where it has one (`ethereum_*`, four of them), else `ioex_*`. Nothing is global: each
node has its own registry.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from statistics import median
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ioex_chain.pow.difficulty import difficulty_of
from ioex_chain.pow.ledger import PowHeadChanged, PowLedger
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.mining_stats import MinerStats
from ioex_chain.pow.stratum_stats import StratumStats
from ioex_chain.primitives.clock import Clock
from ioex_chain.rpc.peer_port import PeerPort
from ioex_chain.rpc.pow_backend import NodeState
from ioex_chain.spec.model import NetworkSpec

CONNECT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40)
"""Seconds: from an empty block to a full one on a slow machine."""
DEPTH_BUCKETS = (1, 2, 3, 5, 10, 20, 50, 100)


class Watched(Protocol):
    """A running node, as the metrics read it: in the event loop, by calls that return at once."""

    spec: NetworkSpec
    ledger: PowLedger
    mempool: Mempool
    clock: Clock

    @property
    def peers(self) -> PeerPort:
        """The peer-to-peer side."""
        ...

    def state(self) -> NodeState:
        """Tell how the node is."""
        ...

    def database_size(self) -> int:
        """Give the bytes of the database on disk."""
        ...


class NodeMetrics:
    """One node's registry. The node tells it of heads, connected blocks and RPC calls."""

    def __init__(
        self,
        service: Watched,
        *,
        miner: Callable[[], MinerStats | None] = lambda: None,
        stratum: Callable[[], StratumStats | None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(NodeCollector(service))
        self.registry.register(MiningCollector(miner, stratum, monotonic))
        ProcessCollector(registry=self.registry)
        self._connected = self._counter("ioex_blocks_connected", "Blocks that joined the best chain.")
        self._disconnected = self._counter("ioex_blocks_disconnected", "Blocks that left the best chain.")
        self._depth = Histogram(
            "ioex_reorganisation_depth_blocks",
            "Blocks that a reorganisation took off the best chain.",
            buckets=DEPTH_BUCKETS,
            registry=self.registry,
        )
        self._connect = Histogram(
            "ioex_block_connect_seconds",
            "Time from a block's turn on the ledger's thread to its place in the database.",
            buckets=CONNECT_BUCKETS,
            registry=self.registry,
        )
        self._calls = self._counter("ioex_rpc_requests", "RPC calls; code 0 is success.", "method", "code")
        self._call_seconds = self._counter("ioex_rpc_seconds", "Time that RPC calls took.", "method")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def head_changed(self, event: PowHeadChanged) -> None:
        """Count what joined and what left the best chain; a listener of `ChainService.on_head`."""
        self._connected.inc(len(event.connected))
        if event.disconnected:
            self._disconnected.inc(len(event.disconnected))
            self._depth.observe(len(event.disconnected))

    def block_accepted(self, seconds: float) -> None:
        """Note how long the ledger took over a block that it connected."""
        self._connect.observe(seconds)

    def rpc_called(self, method: str, seconds: float, code: int) -> None:
        """Count a call; a `Dispatcher`'s observer."""
        self._calls.labels(method, str(code)).inc()
        self._call_seconds.labels(method).inc(seconds)

    def text(self) -> bytes:
        """Give all metrics in Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)


class NodeCollector(Collector):
    """Chain, mempool, database and peers at this moment."""

    def __init__(self, service: Watched) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Give one family after the other."""
        yield from self._node()
        yield from self._chain()
        yield from self._mempool()
        yield from self._slots()
        yield from self._traffic()
        yield from self._conduct()

    def _node(self) -> Iterator[Metric]:
        service, state = self._service, self._service.state()
        info = GaugeMetricFamily("ioex_build_info", "1.", labels=("version", "network"))
        info.add_metric((state.version, state.network), 1)
        yield info
        yield _gauge("ioex_start_time_seconds", "Unix time of the node's start.", state.started_at)
        yield _gauge("ioex_warnings", "Warnings in force; `ioex status` says which.", len(state.warnings))
        yield _gauge("ioex_database_bytes", "Bytes of the database on disk.", service.database_size())

    def _chain(self) -> Iterator[Metric]:
        head, sync = self._service.ledger.head, self._service.peers.sync_state()
        known = max(head.height, sync.header_height)
        at = head.header.time
        yield _gauge("ethereum_blockchain_height", "Height of the best chain.", head.height)
        yield _gauge(
            "ethereum_best_known_block_number",
            "Height of the best header known while synchronising, else of the best chain.",
            known if sync.is_syncing else head.height,
        )
        yield _gauge("ioex_header_height", "Height of the best header known.", known)
        yield _gauge("ioex_head_time_seconds", "The best block's time.", at)
        yield _gauge("ioex_head_age_seconds", "Time since then.", self._service.clock.now() - at)
        yield _gauge("ioex_head_difficulty", "The best block's difficulty.", difficulty_of(head.header.bits))
        yield _gauge(
            "ioex_deep_branches",
            "Better branches that fork too deep to be followed by themselves.",
            len(self._service.ledger.deep_branches()),
        )
        yield _gauge("ioex_syncing", "1 while blocks are missing that peers have.", int(sync.is_syncing))
        yield _gauge("ioex_sync_blocks_per_second", "Blocks connected per second.", sync.blocks_per_second)
        if sync.seconds_left is not None:
            yield _gauge("ioex_sync_seconds_left", "Estimated time to be synced.", sync.seconds_left)

    def _mempool(self) -> Iterator[Metric]:
        pool = self._service.mempool
        yield _gauge("ioex_mempool_transactions", "Transactions in the mempool.", len(pool))
        yield _gauge("ioex_mempool_bytes", "Sum of their sizes.", pool.total_size)
        yield _gauge("ioex_mempool_usage_bytes", "Memory that they take.", pool.usage)
        yield _gauge("ioex_mempool_max_usage_bytes", "Memory that they may take.", pool.policy.max_usage)

    def _slots(self) -> Iterator[Metric]:
        state = self._service.peers.network_state()
        yield _gauge("ethereum_peer_count", "Peers connected.", state.inbound + state.outbound)
        yield _gauge("ethereum_peer_limit", "Peers at most.", state.max_inbound + state.max_outbound)
        by_way = {"in": state.inbound, "out": state.outbound}
        yield _gauges("ioex_p2p_peers", "Peers by who dialled.", "direction", by_way)
        most = {"in": state.max_inbound, "out": state.max_outbound}
        yield _gauges("ioex_p2p_slots", "Peers at most by who dialled.", "direction", most)
        yield _gauge("ioex_p2p_active", "1 unless the network is turned off.", int(state.active))
        yield _gauge("ioex_p2p_known_addresses", "Nodes that were heard of.", state.known_addresses)
        yield _gauge("ioex_mempool_min_fee_rate", "Least units per 1,000 bytes that come in.", state.min_rate)

    def _traffic(self) -> Iterator[Metric]:
        port = self._service.peers
        state, peers = port.network_state(), port.peers()
        total = CounterMetricFamily("ioex_p2p_bytes", "Bytes on the wire.", labels=("direction",))
        total.add_metric(("in",), state.bytes_received)
        total.add_metric(("out",), state.bytes_sent)
        yield total
        by_type = CounterMetricFamily(
            "ioex_p2p_message_bytes", "Bytes by message.", labels=("direction", "message")
        )
        for way, table in (("in", state.received_by_type), ("out", state.sent_by_type)):
            for name, count in table.items():
                by_type.add_metric((way, name), count)
        yield by_type
        waiting = sum(peer.backlog for peer in peers)
        yield _gauge("ioex_p2p_backlog_bytes", "Bytes that wait to be sent.", waiting)
        pings = [peer.ping for peer in peers if peer.ping is not None]
        if pings:
            yield _gauge("ioex_p2p_ping_seconds", "Median of the peers' last pings.", median(pings))

    def _conduct(self) -> Iterator[Metric]:
        state = self._service.peers.network_state()
        yield _counters("ioex_p2p_offences", "Offences scored.", "offence", state.offences)
        bans = CounterMetricFamily("ioex_p2p_bans", "Bans since the start.")
        bans.add_metric((), state.bans_made)
        yield bans
        yield _gauge("ioex_p2p_banned", "Bans in force.", len(self._service.peers.bans()))


class MiningCollector(Collector):
    """The miner in the node and the Stratum server, while there are any."""

    def __init__(
        self,
        miner: Callable[[], MinerStats | None],
        stratum: Callable[[], StratumStats | None],
        monotonic: Callable[[], float],
    ) -> None:
        self._miner = miner
        self._stratum = stratum
        self._monotonic = monotonic

    def collect(self) -> Iterator[Metric]:
        """Give one family after the other."""
        miner, stratum = self._miner(), self._stratum()
        if miner is not None:
            yield from self._local(miner)
        if stratum is not None:
            yield from self._server(stratum)

    def _local(self, stats: MinerStats) -> Iterator[Metric]:
        rate = stats.hash_rate(self._monotonic())
        yield _gauge("ioex_miner_hash_rate", "Hashes per second of the miner in the node.", rate)
        counts = {"accepted": stats.accepted, "stale": stats.stale, "rejected": stats.rejected}
        yield _counters("ioex_miner_blocks", "Blocks that it found.", "result", counts)

    def _server(self, stats: StratumStats) -> Iterator[Metric]:
        total = stats.total
        yield _gauge("ioex_stratum_connections", "Stratum connections.", stats.connections)
        yield _gauge("ioex_stratum_authorized", "Of those, with a worker.", stats.authorized)
        working = sum(worker.connections > 0 for worker in stats.workers.values())
        yield _gauge("ioex_stratum_workers", "Workers connected.", working)
        rate = total.hash_rate(self._monotonic())
        yield _gauge("ioex_stratum_hash_rate", "Hashes per second by their shares.", rate)
        shares = {"accepted": total.accepted, **total.rejected}
        yield _counters("ioex_stratum_shares", "Shares; what refused ones lack.", "result", shares)
        found = stats.blocks_found - stats.blocks_refused
        blocks = {"accepted": found, "refused": stats.blocks_refused}
        yield _counters("ioex_stratum_blocks", "Blocks among the shares.", "result", blocks)
        opened = {"served": stats.connections_total, "refused": stats.refused_connections}
        yield _counters("ioex_stratum_connects", "Connections since the start.", "result", opened)
        yield _counters("ioex_stratum_errors", "Refused requests.", "reason", stats.protocol_errors)
        yield _counters("ioex_stratum_dropped", "Connections ended here.", "reason", stats.dropped)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=(label,)), values.items())


def _counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    return _filled(CounterMetricFamily(name, text, labels=(label,)), values.items())


def _filled(family: GaugeMetricFamily | CounterMetricFamily, rows: Iterable[tuple[str, float]]) -> Metric:
    for key, value in rows:
        family.add_metric((key,), value)
    return family
