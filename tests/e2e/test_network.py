"""Real nodes, real sockets: blocks and transactions spread, partitions heal, nodes come and go."""

import asyncio
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from chaingen.builder import ChainBuilder, Funds
from chaingen.specs import key
from e2e.devnet_chain import dev_chain
from e2e.hostile_peer import Target, attack
from e2e.network_world import Network, wait_for
from e2e.node_process import NodeProcess

from ioex_chain.p2p.types import Endpoint
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN, display

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("network")]
HOSTILE = ("garbage", "oversize", "unrequested_blocks", "ping_flood")
RING = ("ab", "bc", "cd", "de", "ea")
MINUTES = float(os.environ.get("IOEX_SOAK_MINUTES", "30"))
MATURE = 4
"""Blocks after which the devnet's genesis outputs can be spent."""


def mine(node: NodeProcess, count: int) -> list[str]:
    return list(node.rpc("generatetoaddress", count, node.address))


def send(node: NodeProcess, tx: Transaction) -> str:
    return str(node.rpc("sendrawtransaction", tx.raw.hex()))


def is_pooled(node: NodeProcess, txid: str) -> bool:
    return txid in node.rpc("getrawmempool")


def conflicting(chain: ChainBuilder, coin: Funds) -> tuple[Transaction, Transaction]:
    """Give two payments of one coin."""
    one, other = (chain.spend(coin, [(coin.value - 10_000, key(name))]) for name in ("ann", "bob"))
    return one, other


def split(chain: ChainBuilder, coin: Funds, count: int) -> tuple[Transaction, Sequence[Funds]]:
    share = (coin.value - 200_000) // count
    tx = chain.spend(coin, [(share, key("ann"))] * count)
    return tx, chain.all_funds(tx)


def assail(world: Network, chain: ChainBuilder, coins: Sequence[Funds]) -> None:
    """Attack node c from outside; it gets rid of each attacker."""
    target = Target(Endpoint("127.0.0.1", world.nodes["c"].p2p_port), chain, chain.genesis, list(coins))
    for name in HOSTILE:
        assert asyncio.run(attack(name, target, seed=5)).closed, name


def same_state(world: Network) -> bool:
    return len({node.facts()["hash_serialized_3"] for node in world.running()}) == 1


def test_blocks_and_transactions_spread_through_five_nodes(tmp_path: Path) -> None:
    chain, coins = dev_chain()
    with Network(tmp_path, "abcde", RING) as world:
        world.wait_connected()
        mine(world.nodes["a"], 6)
        world.wait_agreed(6)
        paid = send(world.nodes["b"], chain.spend(coins[0], [(5 * COIN, key("ann"))], fee=5_000))
        wait_for(lambda: all(is_pooled(node, paid) for node in world.running()))
        mined = mine(world.nodes["d"], 1)[0]
        world.wait_agreed(7)
        for name, node in world.nodes.items():
            assert paid in node.rpc("getblock", mined)["tx"], name
            assert node.rpc("getnodestate")["syncing"] is False, name
            assert all(peer["score"] == 0 for peer in node.rpc("getpeerinfo")), name
        assert same_state(world)


def test_a_partition_under_attack_heals_to_most_work_and_no_coin_is_spent_twice(tmp_path: Path) -> None:
    chain, coins = dev_chain()
    with Network(tmp_path, "abcde", RING) as world:
        world.wait_connected()
        mine(world.nodes["a"], MATURE)
        parts, funds = split(chain, coins[0], 20)
        send(world.nodes["a"], parts)
        mine(world.nodes["a"], 1)
        world.wait_agreed(MATURE + 1)
        world.wires.part("ab", "cde")
        pairs = [conflicting(chain, coin) for coin in funds]
        for one, other in pairs:
            send(world.nodes["a"], one)
            send(world.nodes["d"], other)
        assail(world, chain, coins)
        mine(world.nodes["b"], 2)
        lost = world.nodes["b"].rpc("getbestblockhash")
        kept = mine(world.nodes["d"], 4)[-1]
        wait_for(lambda: world.nodes["a"].rpc("getbestblockhash") == lost)
        wait_for(lambda: world.nodes["c"].rpc("getbestblockhash") == kept)
        world.wires.heal()
        assert world.wait_agreed(MATURE + 5) == kept
        assert len(world.nodes["c"].rpc("listbanned")) == len(HOSTILE)
        mine(world.nodes["a"], 1)
        world.wait_agreed(MATURE + 6)
        for node in world.running():
            for pair in pairs:
                assert sum(node.rpc("gettxout", display(tx.txid), 0) is not None for tx in pair) == 1
        assert same_state(world)


def test_a_node_that_was_killed_catches_up(tmp_path: Path) -> None:
    with Network(tmp_path, "abc", ("ab", "bc")) as world:
        world.wait_connected()
        mine(world.nodes["b"], 3)
        world.wait_agreed(3)
        world.nodes["c"].kill()
        mine(world.nodes["a"], 50)
        world.start("c")
        world.wait_agreed(53)
        assert same_state(world)


def test_a_node_that_was_cut_off_downloads_what_it_missed(tmp_path: Path) -> None:
    with Network(tmp_path, "abcd", ("ab", "bc", "ca", "da", "db", "dc")) as world:
        world.wait_connected()
        world.wires.part("abc", "d")
        mine(world.nodes["a"], 1_000)
        wait_for(lambda: {world.nodes[name].rpc("getblockcount") for name in "abc"} == {1_000})
        world.wires.heal()
        world.wait_agreed(1_000)
        assert same_state(world)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_seven_nodes_that_are_killed_paused_cut_off_and_restarted(tmp_path: Path) -> None:
    """Row R6: something happens to one of seven nodes every 20 seconds; afterwards all agree."""
    chance = random.Random(6)
    edges = [f"{one}{other}" for one, other in zip("abcdefg", "bcdefga", strict=True)] + ["ad", "be", "cf"]
    done: dict[str, int] = {}
    with Network(tmp_path, "abcdefg", edges) as world:
        world.wait_connected()
        end = time.monotonic() + 60 * MINUTES
        while time.monotonic() < end:
            what, name = chance.choice(("kill", "pause", "cut", "restart")), chance.choice(world.names)
            done[what] = done.get(what, 0) + 1
            world.disturb(what, name)
            able = [other for other in world.names if other != name or what in ("cut", "restart")]
            for miner in chance.sample(able, 2):
                mine(world.nodes[miner], chance.randrange(1, 4))
            time.sleep(12)
            world.restore(what, name)
            time.sleep(8)
        mine(world.nodes["a"], 1)
        began = time.monotonic()
        world.wait_agreed(seconds=120)
        print(f"{done}; agreed {time.monotonic() - began:.1f} s after the last block")
        assert same_state(world)
        height = world.nodes["a"].rpc("getblockcount")
        for at in range(0, height + 1, 5):
            assert len({node.rpc("getblockhash", at) for node in world.running()}) == 1
        print(f"{height} blocks, {len(world.running())} nodes, all the same")
