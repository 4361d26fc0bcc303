"""Real nodes, real sockets: blocks and transactions spread, partitions heal, nodes come and go."""

from pathlib import Path

import pytest

from e2e.network_world import Network, wait_for
from e2e.node_process import NodeProcess

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("network")]
RING = ("ab", "bc", "cd", "de", "ea")


def pay(node: NodeProcess, to: str, amount: str, *options: str) -> str:
    """Pay from the devnet's first account; give the transaction id."""
    done = node.json("wallet", "send", to, amount, "--yes", *options)
    return str(done["txid"])


def mine(node: NodeProcess, count: int) -> list[str]:
    return list(node.rpc("generatetoaddress", count, node.address))


def test_blocks_and_transactions_spread_through_five_nodes(tmp_path: Path) -> None:
    with Network(tmp_path, "abcde", RING) as world:
        world.wait_connected()
        mine(world.nodes["a"], 6)
        head = world.wait_agreed(6)
        assert all(node.facts()["bestblock"] == head for node in world.running())
        mine(world.nodes["c"], 1)
        world.wait_agreed(7)
        for name, node in world.nodes.items():
            assert node.rpc("getnodestate")["syncing"] is False, name
            assert all(peer["banscore"] == 0 for peer in node.rpc("getpeerinfo"))


def test_a_partition_heals_to_the_chain_with_most_work(tmp_path: Path) -> None:
    with Network(tmp_path, "abcde", RING) as world:
        world.wait_connected()
        mine(world.nodes["a"], 5)
        world.wait_agreed(5)
        world.wires.part("ab", "cde")
        mine(world.nodes["a"], 2)
        lost = world.nodes["a"].rpc("getbestblockhash")
        kept = mine(world.nodes["d"], 4)[-1]
        wait_for(lambda: world.nodes["b"].rpc("getbestblockhash") == lost)
        wait_for(lambda: world.nodes["c"].rpc("getbestblockhash") == kept)
        world.wires.heal()
        assert world.wait_agreed(9) == kept
        digests = {node.facts()["hash_serialized_3"] for node in world.running()}
        assert len(digests) == 1


def test_a_node_that_was_killed_catches_up(tmp_path: Path) -> None:
    with Network(tmp_path, "abc", ("ab", "bc")) as world:
        world.wait_connected()
        mine(world.nodes["b"], 3)
        world.wait_agreed(3)
        world.nodes["c"].kill()
        mine(world.nodes["a"], 50)
        world.wait_agreed(53)
        world.start("c")
        world.wait_agreed(53)
        assert len({node.facts()["hash_serialized_3"] for node in world.running()}) == 1


def test_a_newcomer_downloads_the_chain_from_several_peers(tmp_path: Path) -> None:
    with Network(tmp_path, "abcd", ("ab", "bc", "ca", "da", "db", "dc")) as world:
        world.wait_connected()
        world.wires.part("abc", "d")
        mine(world.nodes["a"], 300)
        wait_for(lambda: len({world.nodes[name].rpc("getbestblockhash") for name in "abc"}) == 1)
        world.wires.heal()
        world.wait_agreed(300)
