"""Hostile nodes. They connect, follow and serve with the real code, and lie with what stands here.

A liar is a `p2p.seam.Application` around the honest one: each kind changes what it sends or keeps back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from ioex_chain.gossip.hub import Gossip
from ioex_chain.p2p import chain_messages as m
from ioex_chain.p2p.links import Link
from ioex_chain.p2p.messages import Addresses, AddressRecord, GetAddresses, Hello, Message
from ioex_chain.p2p.seam import Peer, Status
from ioex_chain.p2p.types import Endpoint, PeerId
from ioex_chain.pow.block import Block
from ioex_chain.primitives.types import BlockHash

from .blocks import Forger
from .chain import SimChain
from .coins import Purse
from .scheduler import Scheduler

_MOST_BLOCKS = 20


class Liar:
    """An application that lies now and then, at a mean interval of `every` seconds."""

    kind = "quiet"

    def __init__(
        self, inner: Gossip, chain: SimChain, scheduler: Scheduler, purse: Purse, chance: Random, every: float
    ) -> None:
        self.inner = inner
        self.chain = chain
        self.chance = chance
        self.purse = purse
        self.forger = Forger(chain.spec, purse, chance)
        self.peers: dict[int, Peer] = {}
        self.lies = 0
        self._scheduler = scheduler
        self._every = every
        self._stopped = False
        self._next()

    def stop(self) -> None:
        """Lie no more."""
        self._stopped = True

    def _next(self) -> None:
        self._scheduler.after(self.chance.expovariate(1 / self._every), self._turn)

    def _turn(self) -> None:
        if self._stopped:
            return
        self._next()
        if self.peers:
            peer = self.peers[self.chance.choice(sorted(self.peers))]
            self.lies += 1
            self._scheduler.note("liar", f"{self.kind} to {peer.endpoint.host}")
            self.lie(peer)

    def lie(self, peer: Peer) -> None:
        """Do something bad to a peer."""

    def swallow(self, peer: Peer, message: Message) -> bool:
        """Take a message away from the honest part: True."""
        return False

    # --- Application --------------------------------------------------------------------------------------

    def status(self) -> Status:
        """As the honest part."""
        return self.inner.status()

    def check_hello(self, hello: Hello) -> None:
        """As the honest part."""
        self.inner.check_hello(hello)

    def peer_up(self, peer: Peer) -> None:
        """Remember a victim."""
        self.peers[peer.number] = peer
        self.inner.peer_up(peer)

    def peer_down(self, peer: Peer) -> None:
        """Forget one."""
        self.peers.pop(peer.number, None)
        self.inner.peer_down(peer)

    def received(self, peer: Peer, message: Message) -> None:
        """Heed what is not swallowed."""
        if not self.swallow(peer, message):
            self.inner.received(peer, message)

    def drained(self, peer: Peer) -> None:
        """As the honest part."""
        self.inner.drained(peer)

    def tick(self) -> None:
        """As the honest part."""
        self.inner.tick()


class BadHeaders(Liar):
    """Announces headers without work, with wrong bits or an old time."""

    kind = "bad headers"

    def lie(self, peer: Peer) -> None:
        peer.send(m.Announce((self.forger.header(self.chain.ledger).encode(),)))


class Server(Liar):
    """Announces blocks of its own, and answers for them as it likes."""

    def __init__(
        self, inner: Gossip, chain: SimChain, scheduler: Scheduler, purse: Purse, chance: Random, every: float
    ) -> None:
        super().__init__(inner, chain, scheduler, purse, chance, every)
        self.own: dict[bytes, Block] = {}

    def offer(self, peer: Peer, block: Block) -> None:
        self.own[block.hash] = block
        if len(self.own) > _MOST_BLOCKS:
            self.own.pop(next(iter(self.own)))
        peer.send(m.Announce((block.header.encode(),)))

    def swallow(self, peer: Peer, message: Message) -> bool:
        if isinstance(message, m.GetBlocks) and any(hash_ in self.own for hash_ in message.hashes):
            for hash_ in message.hashes:
                self.answer(peer, self.own.get(hash_), hash_)
            return True
        if isinstance(message, m.GetCompact | m.GetBlockTransactions) and message.hash in self.own:
            self.answer_part(peer, message)
            return True
        return False

    def answer(self, peer: Peer, block: Block | None, hash_: bytes) -> None:
        if block is not None:
            peer.send(m.BlockData(block.encode()))
            return
        body = self.chain.ledger.body_bytes(BlockHash(hash_))
        peer.send(m.BlockData(body) if body else m.NotFound(m.GetBlocks.type, hash_))

    def answer_part(self, peer: Peer, message: m.GetCompact | m.GetBlockTransactions) -> None:
        peer.send(m.NotFound(message.type, message.hash))


class BadBlocks(Server):
    """Mines blocks that pay too much, hold a forged signature or another Merkle root."""

    kind = "bad blocks"

    def lie(self, peer: Peer) -> None:
        self.offer(peer, self.forger.block(self.chain.ledger))

    def answer_part(self, peer: Peer, message: m.GetCompact | m.GetBlockTransactions) -> None:
        block = self.own[message.hash]
        raw = [tx.encode() for tx in block.transactions]
        if isinstance(message, m.GetCompact):
            carried = tuple(m.Prefilled(place, data) for place, data in enumerate(raw))
            peer.send(m.CompactBlock(block.header.encode(), self.chance.getrandbits(64), (), carried))
        else:
            peer.send(m.BlockTransactions(message.hash, tuple(raw[: len(message.indexes)])))


class Mutator(Server):
    """Offers good blocks and gives other bodies for them."""

    kind = "mutated bodies"

    def lie(self, peer: Peer) -> None:
        good = self.forger.good(self.chain.ledger)
        self.offer(peer, good)
        self.own[good.hash] = self.forger.mutated(good)

    def swallow(self, peer: Peer, message: Message) -> bool:
        if isinstance(message, m.GetBlocks) and self.chance.random() < 0.3:
            for hash_ in message.hashes:
                body = self.chain.ledger.body_bytes(BlockHash(hash_))
                if body is None:
                    self.answer(peer, self.own.get(hash_), hash_)
                else:
                    peer.send(m.BlockData(self.forger.mutated(Block.decode(body)).encode()))
            return True
        return super().swallow(peer, message)


class Withholder(Server):
    """Announces blocks that are valid and never gives them; serves nothing else either, now and then."""

    kind = "withheld bodies"

    def lie(self, peer: Peer) -> None:
        self.offer(peer, self.forger.good(self.chain.ledger))

    def swallow(self, peer: Peer, message: Message) -> bool:
        asked = isinstance(message, m.GetBlocks | m.GetCompact | m.GetBlockTransactions | m.GetHeaders)
        return asked and self.chance.random() < 0.8


class LowWork(Liar):
    """Tells long chains of headers with hardly any work behind them, asked and unasked."""

    kind = "low work"

    def lie(self, peer: Peer) -> None:
        headers = self.forger.low_work(self.chain.ledger, self.chance.randrange(3, 9))
        peer.send(m.Announce(tuple(header.encode() for header in headers[-m.MAX_ANNOUNCED_HEADERS :])))

    def swallow(self, peer: Peer, message: Message) -> bool:
        if isinstance(message, m.GetHeaders) and self.chance.random() < 0.5:
            headers = self.forger.low_work(self.chain.ledger, 12)
            peer.send(m.Headers(tuple(header.encode() for header in headers), self.chance.random() < 0.5))
            return True
        return False


class StaleFlood(Liar):
    """Sends old announcements, old blocks nobody asked for, and many questions."""

    kind = "stale flood"

    def lie(self, peer: Peer) -> None:
        ledger = self.chain.ledger
        for _ in range(self.chance.randrange(1, 60)):
            entry = ledger.entry_at(self.chance.randrange(ledger.head.height + 1))
            assert entry is not None
            kind = self.chance.randrange(4)
            if kind == 0:
                peer.send(m.Announce((entry.header.encode(),)))
            elif kind == 1:
                peer.send(m.GetBlocks((entry.hash,)))
            elif kind == 2:
                peer.send(m.GetHeaders((entry.hash,)))
            else:
                peer.send(m.GetCompact(entry.hash))
        if self.chance.random() < 0.2:
            peer.send(m.BlockData(ledger.body(ledger.head.hash).encode()))


class WrongCompact(Server):
    """Pushes compact blocks whose short ids stand for nothing, or fills them with other transactions."""

    kind = "wrong compact blocks"

    def lie(self, peer: Peer) -> None:
        good = self.forger.good(self.chain.ledger)
        self.own[good.hash] = good
        ids = tuple(self.chance.randbytes(m.SHORT_ID_BYTES) for _ in range(self.chance.randrange(1, 6)))
        first = m.Prefilled(0, good.transactions[0].encode())
        peer.send(m.CompactBlock(good.header.encode(), self.chance.getrandbits(64), ids, (first,)))

    def answer_part(self, peer: Peer, message: m.GetCompact | m.GetBlockTransactions) -> None:
        wrong = self.purse.forged().encode()
        if isinstance(message, m.GetBlockTransactions):
            count = self.chance.choice((len(message.indexes), len(message.indexes), 1, 0))
            peer.send(m.BlockTransactions(message.hash, (wrong,) * count))
        else:
            self.lie(peer)


class BadTransactions(Liar):
    """Announces what it has not, gives forged transactions and children of unknown parents."""

    kind = "bad transactions"

    def lie(self, peer: Peer) -> None:
        ids = tuple(self.chance.randbytes(32) for _ in range(self.chance.randrange(1, 50)))
        peer.send(m.AnnounceTransactions(ids))

    def swallow(self, peer: Peer, message: Message) -> bool:
        if isinstance(message, m.GetTransactions):
            kind = self.chance.randrange(4)
            if kind == 0:
                return False
            if kind == 1:
                peer.send(m.Transactions((self.purse.forged().encode(),)))
            elif kind == 2:
                orphan = self.purse.respend(self.purse.forged())
                peer.send(m.Transactions((orphan.encode(),)))
            return True
        return False


class AddressSpam(Liar):
    """Fills address books with nodes that do not exist, a few /24s of them: an eclipse in the making."""

    kind = "address spam"

    def lie(self, peer: Peer) -> None:
        peer.send(self._records(10))

    def swallow(self, peer: Peer, message: Message) -> bool:
        if isinstance(message, GetAddresses):
            peer.send(self._records(1_000))
            return True
        return False

    def _records(self, count: int) -> Addresses:
        chance, now = self.chance, self.chain.clock.now()
        return Addresses(
            tuple(
                AddressRecord(
                    PeerId(chance.randbytes(32)),
                    Endpoint(f"66.{chance.randrange(4)}.7.{chance.randrange(1, 250)}", 22338),
                    now - chance.randrange(3_600),
                )
                for _ in range(count)
            )
        )


class Garbage(Liar):
    """Sends frames of known types with unreadable payloads, and answers to nothing."""

    kind = "garbage"

    def lie(self, peer: Peer) -> None:
        if self.chance.random() < 0.3:
            peer.send(m.BlockTransactions(bytes(32), ()))
            return
        kind = self.chance.choice((m.Announce, m.GetHeaders, m.GetBlockTransactions, m.AnnounceTransactions))
        peer.send(_Noise(kind.type, self.chance.randbytes(self.chance.randrange(1, 40))))


@dataclass(frozen=True)
class _Noise:
    """Any bytes under a message type."""

    type: int
    payload: bytes
    ids: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        return self.payload


KINDS: tuple[type[Liar], ...] = (
    BadHeaders,
    BadBlocks,
    Mutator,
    Withholder,
    LowWork,
    StaleFlood,
    WrongCompact,
    BadTransactions,
    AddressSpam,
    Garbage,
)


class Garbler:
    """No node at all: somebody who opens connections and sends rubbish, or nothing."""

    def __init__(
        self,
        scheduler: Scheduler,
        dial: Callable[[Endpoint, "Garbler"], None],
        victims: list[Endpoint],
        every: float,
    ) -> None:
        self._scheduler = scheduler
        self._dial = dial
        self._victims = victims
        self._chance = scheduler.stream("garbler")
        self._every = every
        self.is_on = True
        self.connections = 0
        self._next()

    def _next(self) -> None:
        self._scheduler.after(self._chance.expovariate(1 / self._every), self._turn)

    def _turn(self) -> None:
        self._next()
        if self.is_on:
            self._dial(self._chance.choice(self._victims), self)

    def link_up(self, link: Link) -> None:
        """Send one kind of rubbish."""
        self.connections += 1
        kind = self._chance.randrange(4)
        if kind == 0:
            link.write(self._chance.randbytes(self._chance.randrange(1, 3_000)))
        elif kind == 1:
            link.write(b"\xff" * 64)
        elif kind == 2:
            link.write(bytes(self._chance.randrange(1, 9)))
        self._scheduler.after(self._chance.expovariate(1 / 20), link.abort)

    def link_data(self, data: bytes) -> None:
        """Hear nothing."""

    def link_drained(self) -> None:
        """Do nothing."""

    def link_down(self, why: str) -> None:
        """Come again later."""
