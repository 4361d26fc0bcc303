"""What operators use of a running node: metrics, health, peers and bans, with real processes."""

import signal
import socket
import urllib.error
import urllib.request

import pytest
from e2e.conftest import NewNode
from e2e.network_world import wait_for
from e2e.node_process import ADDRESS, NodeProcess
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.e2e


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def metrics_of(port: int) -> dict[str, float]:
    status, text = get(f"http://127.0.0.1:{port}/metrics")
    assert status == 200
    families = text_string_to_metric_families(text)
    return {
        "".join([sample.name, *map(str, sorted(sample.labels.values()))]): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_and_health_of_a_running_node(node: NodeProcess) -> None:
    port = free_port()
    with node.running("--metrics", "--metrics-port", str(port)):
        node.rpc("generatetoaddress", 3, ADDRESS)
        wait_for(lambda: metrics_of(port)["ioex_blocks_connected_total"] == 3)
        found = metrics_of(port)
        assert found["ethereum_blockchain_height"] == 3
        assert found["ioex_rpc_requests_total0generatetoaddress"] == 1
        assert found["process_resident_memory_bytes"] > 0
        for where in (node.url.rstrip("/"), f"http://127.0.0.1:{port}"):
            assert get(f"{where}/healthz") == (200, "live\n")
            assert get(f"{where}/readyz") == (200, "ready\n")
        code, _ = node.stop(signal.SIGTERM)
    assert code == 0
    assert "Traceback" not in node.stderr


def test_without_the_setting_there_are_no_metrics_but_health(node: NodeProcess) -> None:
    with node.running():
        assert get(f"{node.url}healthz")[0] == 200
        assert get(f"{node.url}metrics")[0] == 404


def test_peers_by_command(new_node: NewNode) -> None:
    a, b = new_node("a"), new_node("b")
    with a.running(), b.running():
        assert b.json("peers") == []
        assert b.json("peers", "add", a.p2p_url) == {"added": a.p2p_url, "once": False}
        (there,) = wait_for(lambda: b.json("peers"))
        assert (there["id"], there["direction"], there["type"]) == (a.peer_id, "out", "manual")
        (here,) = wait_for(lambda: a.json("peers"))
        assert (here["id"], here["direction"]) == (b.peer_id, "in")
        assert b.json("status")["connections_out"] == 1
        a.json("peers", "ban", b.peer_id)
        wait_for(lambda: a.json("peers") == [] and b.json("peers") == [])
        refused = a.cli("peers", "ban", b.peer_id)
        assert (refused.code, "already banned" in refused.err) == (1, True)
        url = a.p2p_url
        assert a.stop(signal.SIGTERM)[0] == 0
    with a.running("--p2p-port", url.rpartition(":")[2]):
        (kept,) = a.json("peers", "bans")
        assert (kept["subject"], kept["reason"]) == (b.peer_id, "by hand")
        assert a.p2p_url == url  # the key is kept too
        a.json("peers", "unban", b.peer_id)
        assert a.json("peers", "bans") == []


def test_a_node_that_runs_alone_says_so(node: NodeProcess) -> None:
    with node.running("--no-p2p"):
        assert node.json("peers") == []
        done = node.cli("peers", "add", f"ioex://{'ab' * 32}@127.0.0.1:1")
        assert (done.code, "p2p is off" in done.err) == (1, True)
        assert node.rpc("getnetworkinfo")["networkactive"] is False
