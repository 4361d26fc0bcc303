"""Row R10 at full size on a live node: broken messages of every type, while an honest peer stays in step."""

import asyncio
import random
from pathlib import Path

import psutil
import pytest
from chaingen.builder import ChainBuilder
from e2e.devnet_chain import dev_chain
from e2e.hostile_peer import HostilePeer, Target
from e2e.network_world import Network
from fuzz.p2p_session import mutate
from golden_wire.examples import EXAMPLES

from ioex_chain.p2p.framing import frame_head
from ioex_chain.p2p.identity import Identity
from ioex_chain.p2p.network import TlsNetwork
from ioex_chain.p2p.types import Endpoint
from ioex_chain.pow.block import Block

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(3600)]
CONNECTIONS = 20_000
AT_A_TIME = 6
FRAMES = 30
"""Sent on one connection at most; the node ends it at the first that it cannot read."""
MIB = 1 << 20


async def break_in(target: Target, number: int, payloads: tuple[bytes, ...]) -> tuple[int, bool]:
    """Connect, send broken frames; give how many were sent and whether the node ended it."""
    chance = random.Random(number)
    identity = Identity.from_seed(chance.randbytes(32))
    net, peer = TlsNetwork(identity), HostilePeer(target, identity)
    sent = 0
    try:
        net.dial(target.endpoint, peer)
        async with asyncio.timeout(30):
            await peer.ready.wait()
            peer.greet()
            while sent < FRAMES and not peer.down.is_set():
                message = chance.choice(EXAMPLES)
                payload = mutate(message.encode(), payloads, chance)
                peer.raw(frame_head(message.type, len(payload)) + payload)
                sent += 1
                await asyncio.sleep(0.001)
    except TimeoutError:
        pass
    finally:
        ended = peer.down.is_set()
        await net.close()
    return sent, ended


async def storm(target: Target, numbers: range) -> tuple[int, int]:
    payloads = tuple(message.encode() for message in EXAMPLES)
    waiting, frames, ended = iter(numbers), 0, 0

    async def work() -> None:
        nonlocal frames, ended
        for number in waiting:
            sent, was_ended = await break_in(target, number, payloads)
            frames += sent
            ended += was_ended

    await asyncio.gather(*(work() for _ in range(AT_A_TIME)))
    return frames, ended


def test_broken_messages_of_every_type(tmp_path: Path) -> None:
    chain, coins = dev_chain()
    with Network(tmp_path, "ab", ("ba",)) as network:
        network.wait_connected()
        node, head = network.nodes["a"], chain.genesis
        head = grow(network, chain, head)
        assert node.process is not None
        process = psutil.Process(node.process.pid)
        before, frames, ended = process.memory_info().rss, 0, 0
        for start in range(0, CONNECTIONS, 2_000):
            target = Target(Endpoint("127.0.0.1", node.p2p_port), chain, head, coins)
            more, closed = asyncio.run(storm(target, range(start, start + 2_000)))
            frames, ended = frames + more, ended + closed
            head = grow(network, chain, head)
        grown = (process.memory_info().rss - before) / MIB
        bans = len(node.rpc("listbanned"))
        print(f"{CONNECTIONS} connections, {frames} frames, +{grown:.0f} MiB")
        print(f"{ended} connections ended by the node, {bans} bans")
        assert frames >= CONNECTIONS
        assert ended > CONNECTIONS / 2
        assert grown <= 64
        assert "Traceback" not in node.stderr
        assert [peer["score"] for peer in network.peers("b")] == [0]


def grow(network: Network, chain: ChainBuilder, head: Block) -> Block:
    """Add a block; the honest peer gets it too."""
    head = chain.block(head)
    network.nodes["a"].rpc("submitblock", head.raw.hex())
    network.wait_agreed(chain.height(head), seconds=30)
    return head
