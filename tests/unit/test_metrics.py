"""Metrics as Prometheus reads them, and the pages for supervisors, over real sockets on loopback."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest
from chain_metrics import chain_names
from pow_rpc_world import World
from prometheus_client.parser import text_string_to_metric_families

from ioex_chain.ledger.errors import StoreError
from ioex_chain.node.health import MetricsServer
from ioex_chain.node.metrics import NodeMetrics
from ioex_chain.pow.difficulty import difficulty_of
from ioex_chain.pow.mining_stats import MinerStats
from ioex_chain.pow.stratum_stats import ShareStats, StratumStats
from ioex_chain.primitives.errors import IoexError
from ioex_chain.rpc.server import PortTaken

T = TypeVar("T")
PACKAGING = Path(__file__).parents[2] / "packaging"


class Watch:
    """The metrics of a world, read as Prometheus does."""

    def __init__(self) -> None:
        self.world = World()
        self.miner = MinerStats(started=0.0, accepted=3, stale=2, rejected=1)
        self.stratum = StratumStats(
            ShareStats(0.0), connections=2, authorized=1, blocks_found=4, blocks_refused=1
        )
        self.metrics = NodeMetrics(
            self.world.backend, miner=lambda: self.miner, stratum=lambda: self.stratum, monotonic=lambda: 60.0
        )

    def values(self) -> dict[str, float]:
        """Give name{labels} -> value."""
        families = text_string_to_metric_families(self.metrics.text().decode())
        found = [sample for family in families for sample in family.samples]
        return {_key(s.name, s.labels): s.value for s in found}


def _key(name: str, labels: dict[str, str]) -> str:
    inside = ",".join(f"{label}={value}" for label, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name


def test_the_names_of_eip_2159() -> None:
    watch = Watch()
    found = {name: value for name, value in watch.values().items() if name.startswith("ethereum_")}
    assert found == {
        "ethereum_blockchain_height": 5,
        "ethereum_best_known_block_number": 5,
        "ethereum_peer_count": 3,
        "ethereum_peer_limit": 125,
    }


def test_progress_of_synchronising() -> None:
    watch = Watch()
    assert watch.values()["ioex_syncing"] == 0
    assert "ioex_sync_seconds_left" not in watch.values()
    watch.world.backend.peers.syncing = True
    watch.world.backend.peers.heights = (5, 105)
    found = watch.values()
    assert found["ethereum_best_known_block_number"] == found["ioex_header_height"] == 105
    assert (found["ioex_syncing"], found["ioex_sync_blocks_per_second"]) == (1, 20)
    assert found["ioex_sync_seconds_left"] == 5


def test_the_head_and_the_mempool() -> None:
    watch = Watch()
    world, head = watch.world, watch.world.ledger.head
    world.backend.clock.time = head.header.time + 90
    world.wait()
    found = watch.values()
    assert (found["ioex_head_time_seconds"], found["ioex_head_age_seconds"]) == (head.header.time, 90)
    assert found["ioex_head_difficulty"] == pytest.approx(difficulty_of(head.header.bits))
    assert (found["ioex_mempool_transactions"], found["ioex_mempool_bytes"]) == (1, world.waiting.size)
    assert found["ioex_mempool_usage_bytes"] == world.backend.mempool.usage > 0
    assert found["ioex_mempool_min_fee_rate"] == 1_000
    assert (found["ioex_database_bytes"], found["ioex_warnings"]) == (4096, 1)
    assert found["ioex_build_info{network=devnet,version=0.1.0}"] == 1


def test_peers_and_traffic() -> None:
    found = Watch().values()
    assert (found["ioex_p2p_peers{direction=in}"], found["ioex_p2p_peers{direction=out}"]) == (1, 2)
    assert found["ioex_p2p_slots{direction=in}"] == 117
    assert found["ioex_p2p_bytes_total{direction=in}"] == 120_000
    assert found["ioex_p2p_message_bytes_total{direction=out,message=headers}"] == 7
    assert found["ioex_p2p_backlog_bytes"] == 192
    assert found["ioex_p2p_ping_seconds"] == pytest.approx(0.0123)
    assert found["ioex_p2p_offences_total{offence=flood}"] == 2
    assert (found["ioex_p2p_bans_total"], found["ioex_p2p_banned"]) == (1, 0)


def test_blocks_and_reorganisations_are_counted() -> None:
    watch = Watch()
    world = watch.world
    world.ledger.subscribe(watch.metrics.head_changed)
    block = world.chain.block(world.stale)
    world.ledger.accept_block(block)
    found = watch.values()
    assert found["ioex_blocks_connected_total"] == 2
    assert found["ioex_blocks_disconnected_total"] == 1
    assert found["ioex_reorganisation_depth_blocks_count"] == 1
    world.ledger.accept_block(world.chain.block(block))
    assert watch.values()["ioex_reorganisation_depth_blocks_count"] == 1


def test_times_of_blocks_and_calls() -> None:
    watch = Watch()
    watch.metrics.block_accepted(0.3)
    watch.metrics.rpc_called("getblock", 0.5, 0)
    watch.metrics.rpc_called("getblock", 0.25, -5)
    found = watch.values()
    assert found["ioex_block_connect_seconds_bucket{le=0.25}"] == 0
    assert found["ioex_block_connect_seconds_bucket{le=0.5}"] == 1
    assert found["ioex_rpc_requests_total{code=-5,method=getblock}"] == 1
    assert found["ioex_rpc_seconds_total{method=getblock}"] == 0.75


def test_miners() -> None:
    watch = Watch()
    watch.miner.add_hashes(60.0, 6_000)
    watch.stratum.total.accept(60.0, 1.0, 2.0)
    watch.stratum.total.refuse("stale")
    worker, _ = watch.stratum.join("riox1q.one", "riox1q", 0.0)
    found = watch.values()
    assert found["ioex_miner_hash_rate"] == 100
    assert found["ioex_miner_blocks_total{result=stale}"] == 2
    assert found["ioex_stratum_connections"] == 2
    assert found["ioex_stratum_shares_total{result=accepted}"] == 1
    assert found["ioex_stratum_shares_total{result=stale}"] == 1
    assert found["ioex_stratum_blocks_total{result=accepted}"] == 3
    assert found["ioex_stratum_workers"] == 1
    assert found["ioex_stratum_hash_rate"] > 0
    watch.stratum.leave(worker, worker)
    assert watch.values()["ioex_stratum_workers"] == 0


def test_a_node_that_does_not_mine_has_no_figures_of_miners() -> None:
    text = NodeMetrics(World().backend).text().decode()
    assert "ioex_miner" not in text
    assert "ioex_stratum" not in text
    assert "process_resident_memory_bytes" in text


def test_two_nodes_of_one_process_do_not_share() -> None:
    one, other = Watch(), Watch()
    one.metrics.block_accepted(1.0)
    assert other.values()["ioex_block_connect_seconds_count"] == 0


# --- dashboards and alerts -------------------------------------------------------------------------------


def names_shown() -> set[str]:
    """Give every name that Prometheus could store from a node with all its parts."""
    watch = Watch()
    watch.world.backend.peers.syncing = True
    watch.metrics.rpc_called("getblock", 1.0, 0)
    return {re.split(r"\{", key)[0] for key in watch.values()} | chain_names()


@pytest.mark.parametrize("file", ["grafana-dashboard.json", "prometheus-alerts.yml"])
def test_dashboard_and_alerts_name_metrics_that_exist(file: str) -> None:
    used = set(
        re.findall(r"\b(?:ethereum|ioex)_[a-z0-9_]+|\bprocess_[a-z_]+", (PACKAGING / file).read_text())
    )
    assert used
    assert used - names_shown() == set()


def test_the_dashboard_is_json_and_every_panel_asks_something() -> None:
    dashboard = json.loads((PACKAGING / "grafana-dashboard.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len(panels) >= 10
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(target["expr"] for panel in panels for target in panel["targets"])


def test_the_page_on_nodes_names_every_metric() -> None:
    page = (PACKAGING.parent / "docs" / "node.md").read_text()
    parts = r"(?<=_blocks|seconds)_(bucket|count|sum)$"  # of histograms
    own = {re.sub(parts, "", name) for name in names_shown() if name.startswith(("ioex_", "ethereum_"))}
    own = {name for name in own if not name.endswith("_created")}
    assert own - set(re.findall(r"`([a-z0-9_]+)`", page)) == set()


def test_every_alert_says_what_to_do() -> None:
    text = (PACKAGING / "prometheus-alerts.yml").read_text()
    alerts = text.split("- alert:")[1:]
    assert len(alerts) >= 6
    for alert in alerts:
        assert all(f"{word}:" in alert for word in ("expr", "severity", "summary", "description"))


# --- pages -----------------------------------------------------------------------------------------------


class Alive:
    """A node as its health is judged: its thread answers until `stuck` is set."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.failure: IoexError | None = None
        self.peers = World().backend.peers
        self.stuck: asyncio.Event | None = None
        self.error: Exception | None = None
        self.asked = 0

    async def call(self, function: Callable[[], T]) -> T:
        self.asked += 1
        if self.stuck is not None:
            await self.stuck.wait()
        if self.error is not None:
            raise self.error
        return function()


class Rig:
    """A metrics server and a client."""

    def __init__(self, seconds: float = 10.0) -> None:
        self.node = Alive()
        self.server = MetricsServer(self.node, Watch().metrics.text, "127.0.0.1", 0, answer_seconds=seconds)
        self.http: aiohttp.ClientSession

    async def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.server.port}{path}"
        async with self.http.request(method, url, headers=headers) as response:
            return response.status, await response.text()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig(0.05)
    await made.server.start()
    async with aiohttp.ClientSession() as made.http:
        yield made
    await made.server.stop()


async def test_metrics_are_served(rig: Rig) -> None:
    status, text = await rig.ask("/metrics")
    assert status == 200
    assert "\nethereum_blockchain_height 5.0\n" in text


async def test_other_paths_methods_and_hosts_are_refused(rig: Rig) -> None:
    assert await rig.ask("/") == (404, "there are /healthz, /metrics, /readyz\n")
    assert (await rig.ask("/metrics", "POST"))[0] == 405
    assert (await rig.ask("/metrics", Host="evil.example"))[0] == 403
    assert (await rig.ask("/metrics", Host="localhost"))[0] == 200


async def test_a_node_is_live_while_its_thread_answers(rig: Rig) -> None:
    assert await rig.ask("/healthz") == (200, "live\n")
    rig.node.stuck = asyncio.Event()
    asked = rig.node.asked
    for _ in range(3):
        status, text = await rig.ask("/healthz")
        assert (status, "has not answered" in text) == (503, True)
    assert rig.node.asked == asked + 1  # a stuck thread is not asked again and again
    rig.node.stuck.set()
    assert (await rig.ask("/healthz"))[0] == 200
    rig.node.error = RuntimeError("closed")
    assert await rig.ask("/healthz") == (503, "the chain's thread does not run: closed\n")


async def test_a_failed_disk_is_no_life(rig: Rig) -> None:
    rig.node.failure = StoreError("disk full")
    assert await rig.ask("/healthz") == (503, "failed: disk full\n")


async def test_a_node_is_ready_when_it_is_synced(rig: Rig) -> None:
    assert await rig.ask("/readyz") == (200, "ready\n")
    rig.node.peers.syncing = True
    rig.node.peers.heights = (5, 90)
    assert await rig.ask("/readyz") == (503, "syncing: height 5 of 90\n")
    assert (await rig.ask("/healthz"))[0] == 200
    rig.node.peers.syncing = False
    rig.node.stopping.set()
    assert await rig.ask("/readyz") == (503, "stopping\n")


async def test_a_port_that_is_taken_is_named(rig: Rig) -> None:
    second = MetricsServer(rig.node, Watch().metrics.text, "127.0.0.1", rig.server.port)
    with pytest.raises(PortTaken, match="metrics_port"):
        await second.start()
