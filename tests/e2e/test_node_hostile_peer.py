"""Row R10, live: each attack against a real node while an honest peer goes on syncing from it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from e2e.devnet_chain import dev_chain
from e2e.hostile_peer import ATTACKS, HALF_HANDSHAKES, Outcome, Target, attack, half_open, identity_for
from e2e.network_world import Network, wait_for

from ioex_chain.p2p.messages import LeaveReason
from ioex_chain.p2p.types import Endpoint

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("network")]
MIB = 1 << 20
SEED = 1


class World:
    """Node a is attacked; node b syncs from it. Blocks come from outside, so that the attacker knows them."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.node, self.honest = network.nodes["a"], network.nodes["b"]
        self.chain, self.coins = dev_chain()
        self.head = self.chain.genesis
        network.wait_connected()
        for _ in range(5):
            self.grow()

    def grow(self) -> None:
        """Give the attacked node a block, and see that the honest one gets it."""
        self.head = self.chain.block(self.head)
        self.node.rpc("submitblock", self.head.raw.hex())
        self.network.wait_agreed(self.chain.height(self.head), seconds=30)

    @property
    def target(self) -> Target:
        return Target(Endpoint("127.0.0.1", self.node.p2p_port), self.chain, self.head, self.coins)

    def memory(self) -> int:
        assert self.node.process is not None
        return int(psutil.Process(self.node.process.pid).memory_info().rss)

    def offences(self, outcome: Outcome) -> int:
        mine = [line for line in self.node.stderr.split("\n") if outcome.id.hex()[:16] in line]
        return sum("peer offended" in line for line in mine)

    def is_banned(self, outcome: Outcome) -> bool:
        return outcome.id.hex() in str(self.node.rpc("listbanned"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    base: Path = tmp_path_factory.mktemp("hostile")
    with Network(base, "ab", ("ba",)) as network:
        yield World(network)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "silent"])
def test_an_attack_ends_with_a_ban_and_harms_nobody(world: World, name: str) -> None:
    before = world.memory()
    outcome = asyncio.run(attack(name, world.target, SEED))
    grown = world.memory() - before
    print(f"{name}: {outcome.reason!r} {outcome.text!r} {outcome.seconds:.1f} s, +{grown / MIB:.1f} MiB")
    world.grow()
    assert outcome.closed
    assert outcome.reason in (LeaveReason.MISBEHAVING, None)  # a goodbye may be lost in what was still sent
    assert world.is_banned(outcome)
    assert 1 <= world.offences(outcome) <= 3
    assert grown <= 64 * MIB
    again = asyncio.run(attack(name, world.target, SEED, patience=8))
    assert again.closed
    assert again.reason is LeaveReason.BANNED
    assert again.seconds < 5


def test_one_that_answers_nothing_is_given_up(world: World) -> None:
    outcome = asyncio.run(attack("silent", world.target, SEED, patience=60))
    print(f"silent: {outcome.reason!r} {outcome.text!r} {outcome.seconds:.1f} s")
    assert outcome.closed
    world.grow()


@pytest.mark.parametrize("name", list(HALF_HANDSHAKES))
def test_half_a_handshake_ends_soon(world: World, name: str) -> None:
    outcome = asyncio.run(attack(name, world.target, SEED))
    print(f"{name}: {outcome.reason!r} {outcome.text!r} {outcome.seconds:.1f} s")
    assert outcome.closed
    assert outcome.seconds < 12
    assert not world.is_banned(outcome)
    world.grow()


def test_many_that_never_begin_are_closed(world: World) -> None:
    before = world.memory()
    assert asyncio.run(half_open(world.target.endpoint, 100, seconds=10)) == 100
    assert world.memory() - before <= 64 * MIB
    world.grow()


def test_the_honest_peer_was_never_blamed(world: World) -> None:
    assert identity_for("garbage", SEED).id.hex() != world.honest.peer_id
    (peer,) = wait_for(lambda: world.network.peers("b"))
    assert peer["score"] == 0
    mine = [one for one in world.network.peers("a") if world.honest.peer_id in str(one)]
    assert [one["score"] for one in mine] == [0]
    assert "Traceback" not in world.node.stderr
