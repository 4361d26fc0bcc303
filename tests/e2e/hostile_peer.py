"""A peer that speaks the real TLS and the real handshake, and then does what no honest node would.

    outcome = await attack("garbage", Target(endpoint, chain, head), seed=1)

Every attack is a coroutine in `ATTACKS` and uses an identity of its own. `Outcome` says what the node did.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeVar

from chaingen.builder import ChainBuilder, Funds
from chaingen.specs import key

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.p2p import chain_messages as m
from ioex_chain.p2p.framing import FrameReader, frame_head
from ioex_chain.p2p.handshake import NO_NONCE, proof_bytes
from ioex_chain.p2p.identity import Identity
from ioex_chain.p2p.links import Link
from ioex_chain.p2p.messages import (
    PROTOCOL_VERSION,
    Addresses,
    AddressRecord,
    Goodbye,
    Hello,
    LeaveReason,
    Message,
    Ping,
    Pong,
)
from ioex_chain.p2p.network import TlsNetwork
from ioex_chain.p2p.table import TABLE
from ioex_chain.p2p.types import Endpoint, PeerId
from ioex_chain.pow.block import Block
from ioex_chain.pow.genesis import identity_of
from ioex_chain.primitives.codec import Reader
from ioex_chain.spec.identity import fork_id

PATIENCE = 20.0
"""Seconds that a node has to end an attack, unless the attack says otherwise."""
M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Target:
    """The node under attack, and what the attacker knows of its chain."""

    endpoint: Endpoint
    chain: ChainBuilder
    head: Block
    coins: Sequence[Funds] = ()
    """Coins that can be spent now."""


@dataclass
class Outcome:
    """What the node did. `reason` and `text` are its goodbye's; None when the connection just ended."""

    name: str
    id: PeerId
    closed: bool = False
    reason: LeaveReason | None = None
    text: str = ""
    seconds: float = 0.0
    sent: int = 0
    """Bytes."""


class HostilePeer:
    """A connection's handler (`links.LinkHandler`) that obeys only when told."""

    def __init__(self, target: Target, identity: Identity, *, answers_pings: bool = True) -> None:
        self.target = target
        self.identity = identity
        self.answers_pings = answers_pings
        self.messages: list[Message] = []
        self.goodbye: Goodbye | None = None
        self.up, self.ready, self.down = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.sent = 0
        self._changed = asyncio.Event()
        self._reader = FrameReader(TABLE, lambda _: True)
        self._link: Link | None = None

    # --- what the link calls ------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        self._link = link
        self.up.set()

    def link_data(self, data: bytes) -> None:
        for row, payload in self._reader.feed(data):
            assert payload is not None
            message = row.message.read(Reader(payload))
            self.messages.append(message)
            if isinstance(message, Goodbye):
                self.goodbye = message
            elif isinstance(message, Hello):
                self.server_hello = message
                self.ready.set()
            elif isinstance(message, Ping) and self.answers_pings:
                self.send(Pong(message.nonce))
        self._changed.set()

    def link_drained(self) -> None: ...

    def link_down(self, why: str) -> None:
        self.down.set()
        self._changed.set()

    # --- what an attack uses ------------------------------------------------------------------------------

    def raw(self, data: bytes) -> None:
        """Send bytes, if somebody is still there."""
        if self._link is not None and not self.down.is_set():
            self.sent += len(data)
            self._link.write(data)

    def send(self, message: Message) -> None:
        payload = message.encode()
        self.raw(frame_head(message.type, len(payload)) + payload)

    def greet(self) -> None:
        """Say the hello that the node waits for, as an honest peer would."""
        assert self._link is not None
        spec, head = self.target.chain.spec, self.target.head
        network, height = identity_of(spec), self.target.chain.height(head)
        fork = fork_id(network, spec.pow.activations, height)
        proof = proof_bytes(network, self._link.certificate, self.server_hello.nonce)
        self.hello = Hello(
            version=PROTOCOL_VERSION,
            network=network,
            fork_checksum=fork.checksum,
            fork_next=fork.next,
            key=self.identity.id,
            nonce=NO_NONCE,
            signature=self.identity.sign(proof),
            services=3,
            port=0,
            height=height,
            head=head.hash,
            time=int(time.time()),
            agent="hostile/1",
        )
        self.send(self.hello)

    async def expect(self, kind: type[M], seconds: float = PATIENCE) -> M | None:
        """Wait for a message of a kind and take it; None when the connection or the time ends before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    for message in self.messages:
                        if isinstance(message, kind):
                            self.messages.remove(message)
                            return message
                    if self.down.is_set():
                        return None
                    self._changed.clear()
                    await self._changed.wait()
        return None

    async def until_down(self, step: Callable[[], None], pause: float = 0.01) -> None:
        """Do something again and again until the connection ends."""
        while not self.down.is_set():
            step()
            await asyncio.sleep(pause)


Attack = Callable[[HostilePeer, random.Random], Awaitable[None]]


async def garbage(peer: HostilePeer, chance: random.Random) -> None:
    """Send bytes without sense."""
    peer.raw(chance.randbytes(5_000))


async def oversize(peer: HostilePeer, chance: random.Random) -> None:
    """Announce a payload above its type's cap."""
    peer.raw(frame_head(m.Announce.type, TABLE[m.Announce].cap + 1) + bytes(100_000))


async def malformed(peer: HostilePeer, chance: random.Random) -> None:
    """Send a known message with a payload that cannot be read."""
    peer.raw(frame_head(m.GetHeaders.type, 40) + b"\xff" * 40)


async def second_hello(peer: HostilePeer, chance: random.Random) -> None:
    """Say hello when the handshake is over."""
    peer.send(peer.hello)


async def unrequested_blocks(peer: HostilePeer, chance: random.Random) -> None:
    """Push blocks that nobody asked for."""
    for _ in range(3):
        peer.send(m.BlockData(chance.randbytes(1_000_000)))


async def unrequested_headers(peer: HostilePeer, chance: random.Random) -> None:
    """Answer what was not asked."""
    await asyncio.sleep(1)
    await peer.expect(m.GetHeaders, 2)
    for _ in range(4):
        peer.send(m.Headers((peer.target.head.header.encode(),), more=False))


async def invalid_header(peer: HostilePeer, chance: random.Random) -> None:
    """Announce a header that misses its target."""
    block = peer.target.chain.block(peer.target.head, solved=False)
    peer.send(m.Announce((block.header.encode(),)))


async def invalid_body(peer: HostilePeer, chance: random.Random) -> None:
    """Announce a sound header; deliver a block that pays its miner too much."""
    await serve_block(peer, peer.target.chain.block(peer.target.head, fees=10**9))


async def mutated_body(peer: HostilePeer, chance: random.Random) -> None:
    """Announce a sound header; deliver another block's transactions under it."""
    chain, head = peer.target.chain, peer.target.head
    one, other = chain.block(head), chain.block(head)
    await serve_block(peer, Block.build(one.header, other.transactions))


async def serve_block(peer: HostilePeer, block: Block) -> None:
    """Announce a block and give it in whatever form it is asked for."""
    peer.send(m.Announce((block.header.encode(),)))
    whole = tuple(m.Prefilled(at, tx.raw) for at, tx in enumerate(block.transactions))
    while not peer.down.is_set():
        asked = await peer.expect((m.GetBlocks, m.GetCompact, m.GetHeaders))  # type: ignore[arg-type]
        if isinstance(asked, m.GetBlocks):
            for hash_ in asked.hashes:
                known = hash_ == block.hash
                peer.send(m.BlockData(block.raw) if known else m.NotFound(m.GetBlocks.type, hash_))
        elif isinstance(asked, m.GetCompact):
            peer.send(m.CompactBlock(block.header.encode(), 7, (), whole))
        elif isinstance(asked, m.GetHeaders):
            peer.send(m.Headers((), more=False))
        else:
            return


async def ping_flood(peer: HostilePeer, chance: random.Random) -> None:
    """Ping as fast as it goes."""
    await peer.until_down(lambda: peer.send(Ping(chance.getrandbits(64))))


async def announcement_flood(peer: HostilePeer, chance: random.Random) -> None:
    """Announce transactions that do not exist as fast as it goes."""

    def step() -> None:
        data = chance.randbytes(32 * m.MAX_TRANSACTION_IDS)
        ids = tuple(data[at : at + 32] for at in range(0, len(data), 32))
        for _ in range(4):
            peer.send(m.AnnounceTransactions(ids))

    await peer.until_down(step)


async def address_spam(peer: HostilePeer, chance: random.Random) -> None:
    """Tell of nodes without end, in the small portions that need no question."""

    def step() -> None:
        records = [
            AddressRecord(PeerId(chance.randbytes(32)), Endpoint(f"66.{chance.randrange(256)}.1.1", 1), 0)
            for _ in range(10)
        ]
        for _ in range(20):
            peer.send(Addresses(tuple(records)))

    await peer.until_down(step)


async def address_heap(peer: HostilePeer, chance: random.Random) -> None:
    """Tell of a thousand nodes at once, unasked."""
    record = AddressRecord(PeerId(chance.randbytes(32)), Endpoint("66.1.1.1", 1), 0)
    for _ in range(3):
        peer.send(Addresses((record,) * 1_000))


async def junk_transactions(peer: HostilePeer, chance: random.Random) -> None:
    """Announce bytes without sense as a transaction, and deliver them."""
    await serve_transaction(peer, chance.randbytes(200))


async def other_transactions(peer: HostilePeer, chance: random.Random) -> None:
    """Announce transactions; deliver others."""
    while not peer.down.is_set():
        await serve_transaction(peer, chance.randbytes(200), chance.randbytes(32))


async def stolen_coins(peer: HostilePeer, chance: random.Random) -> None:
    """Spend coins of others."""
    chain, coin = peer.target.chain, peer.target.coins[0]
    mine = replace(coin, owner=key("thief"), script=coin.output().script)
    for fee in (10_000, 20_000, 30_000):
        tx = chain.spend(mine, [(coin.value - fee, key("thief"))])
        await serve_transaction(peer, tx.raw)


async def serve_transaction(peer: HostilePeer, raw: bytes, name: bytes | None = None) -> None:
    """Announce a transaction (by another name) and give it when asked."""
    peer.send(m.AnnounceTransactions((name or sha256d(raw),)))
    if await peer.expect(m.GetTransactions):
        peer.send(m.Transactions((raw,)))


async def greedy(peer: HostilePeer, chance: random.Random) -> None:
    """Ask for blocks faster than they can be sent."""
    wanted = m.GetBlocks((peer.target.head.hash,) * m.MAX_GET_BLOCKS)
    await peer.until_down(lambda: [peer.send(wanted) for _ in range(10)] and None)


async def silent(peer: HostilePeer, chance: random.Random) -> None:
    """Announce a block, then answer nothing, no ping either."""
    peer.send(m.Announce((peer.target.chain.block(peer.target.head).header.encode(),)))


async def drip(peer: HostilePeer, chance: random.Random) -> None:
    """Say hello one byte a second."""
    head = frame_head(Hello.type, 250)
    for byte in head + bytes(60):
        peer.raw(bytes((byte,)))
        await asyncio.sleep(0.5)
        if peer.down.is_set():
            return


async def wrong_proof(peer: HostilePeer, chance: random.Random) -> None:
    """Name a key that is not held."""
    peer.identity = _Forger(peer.identity, Identity.from_seed(chance.randbytes(32)))  # type: ignore[assignment]
    peer.greet()


class _Forger:
    """Names one key, signs with another."""

    def __init__(self, own: Identity, other: Identity) -> None:
        self.id, self.sign = other.id, own.sign


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        garbage,
        oversize,
        malformed,
        second_hello,
        unrequested_blocks,
        unrequested_headers,
        invalid_header,
        invalid_body,
        mutated_body,
        ping_flood,
        announcement_flood,
        address_spam,
        address_heap,
        junk_transactions,
        other_transactions,
        stolen_coins,
        greedy,
        silent,
    )
}
"""After a handshake that is as it should be."""
HALF_HANDSHAKES: dict[str, Attack] = {attack.__name__: attack for attack in (drip, wrong_proof)}
"""Before the hello is said."""
MUTE = frozenset({"silent"})


def identity_for(name: str, seed: int) -> Identity:
    return Identity.from_seed(sha256(f"{name} {seed}".encode()).digest())


async def attack(name: str, target: Target, seed: int, patience: float = PATIENCE) -> Outcome:
    """Carry out one attack and wait until the node ends the connection, at most `patience` seconds."""
    identity = identity_for(name, seed)
    net = TlsNetwork(identity)
    peer = HostilePeer(target, identity, answers_pings=name not in MUTE)
    outcome = Outcome(name, identity.id)
    began = time.monotonic()
    try:
        net.dial(target.endpoint, peer)
        async with asyncio.timeout(patience):
            await _carry_out(name, peer, random.Random(f"{name} {seed}"))
            await peer.down.wait()
    except TimeoutError:
        pass
    finally:
        outcome.closed = peer.down.is_set()
        await net.close()
    if peer.goodbye is not None:
        outcome.reason, outcome.text = peer.goodbye.reason, peer.goodbye.text
    outcome.seconds, outcome.sent = time.monotonic() - began, peer.sent
    return outcome


async def _carry_out(name: str, peer: HostilePeer, chance: random.Random) -> None:
    ready = asyncio.create_task(peer.ready.wait())
    down = asyncio.create_task(peer.down.wait())
    await asyncio.wait((ready, down), return_when=asyncio.FIRST_COMPLETED)
    for task in (ready, down):
        task.cancel()
    if peer.down.is_set():
        return
    if name in HALF_HANDSHAKES:
        await HALF_HANDSHAKES[name](peer, chance)
        return
    peer.greet()
    if name:
        await ATTACKS[name](peer, chance)


async def half_open(endpoint: Endpoint, count: int, seconds: float) -> int:
    """Open connections that never begin TLS; give how many the node closed within `seconds`."""

    async def one() -> bool:
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        try:
            async with asyncio.timeout(seconds):
                return await reader.read(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            writer.close()

    return sum(await asyncio.gather(*(one() for _ in range(count))))
