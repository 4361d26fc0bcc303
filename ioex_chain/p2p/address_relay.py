"""How nodes tell each other of nodes that listen (docs/protocol.md section 9.2).

Whoever dials asks once; whoever was dialled answers once a connection, with a sample that stays the same for
a day, so that nobody learns from its changes who knows whom. Few fresh addresses, unasked, are passed on.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from ioex_chain.p2p.addrtable import Chance
from ioex_chain.p2p.connection import FULL_RELAY, INBOUND, MANUAL, Connection
from ioex_chain.p2p.groups import parse_ip
from ioex_chain.p2p.messages import MAX_ADDRESSES, Addresses, AddressRecord, GetAddresses
from ioex_chain.p2p.rates import Rate, TokenBucket
from ioex_chain.p2p.types import Endpoint, PeerAddress, PeerId
from ioex_chain.primitives.clock import Clock

ANSWER_SECONDS = 86_400.0
ANNOUNCE_SECONDS = 86_400.0
FRESH_SECONDS = 600
"""Only addresses that were seen so lately are passed on."""
MAX_UNASKED = 10
RELAY_TO = 2
RELAYED_ONCE_SECONDS = 3_600.0
MAX_REMEMBERED = 10_000
PACE = Rate(5, 1_000)
"""Addresses that one peer is passed, whoever tells us: with an answer of 1,000 well below what it allows."""


class Book(Protocol):
    """The address book, as the gossip of addresses needs it."""

    def learn(self, records: Sequence[AddressRecord], source: Endpoint) -> int:
        """Take what a source told; give how many are new."""
        ...

    def sample(self, count: int) -> list[AddressRecord]:
        """Give up to `count` addresses that are worth telling."""
        ...

    def __len__(self) -> int: ...

    def __contains__(self, address: object) -> bool: ...


class AddressRelay:
    """Asks, answers, learns, passes on and announces. `own` gives where others reach this node."""

    def __init__(
        self,
        book: Book,
        own_id: PeerId,
        own: Callable[[], Sequence[Endpoint]],
        *,
        now: Callable[[], float],
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._book, self._own_id, self._own = book, own_id, own
        self._now, self._clock, self._chance = now, clock, chance
        self._peers: dict[int, Connection] = {}
        self._paces: dict[int, TokenBucket] = {}
        self._asked: set[int] = set()
        """Connections whose answer has not come."""
        self._answered: set[int] = set()
        self._answer: tuple[AddressRecord, ...] = ()
        self._answer_of = 0
        """How many the book had when the answer was drawn."""
        self._answer_until = 0.0
        self._relayed: dict[PeerId, float] = {}
        self._announce_at = now() + ANNOUNCE_SECONDS

    def peer_up(self, peer: Connection) -> None:
        """Ask a peer that we dialled and tell it of us; remember where one that dialled us listens."""
        self._peers[peer.number] = peer
        self._paces[peer.number] = TokenBucket(PACE, self._now())
        if peer.kind in (FULL_RELAY, MANUAL):
            self._asked.add(peer.number)
            peer.send(GetAddresses())
            self._announce(peer)
        elif peer.kind == INBOUND and peer.hello.port:
            seen = Endpoint(peer.endpoint.host, peer.hello.port)
            self._learn(peer, (AddressRecord(peer.id, seen, self._clock.now()),))

    def peer_down(self, peer: Connection) -> None:
        """Forget a peer."""
        self._peers.pop(peer.number, None)
        self._paces.pop(peer.number, None)
        self._asked.discard(peer.number)
        self._answered.discard(peer.number)

    def on_get_addresses(self, peer: Connection) -> None:
        """Answer, once a connection, a peer that dialled us."""
        if peer.outbound or peer.number in self._answered:
            return
        self._answered.add(peer.number)
        peer.send(Addresses(self._sample()))

    def on_addresses(self, peer: Connection, message: Addresses) -> None:
        """Learn; pass fresh ones on unless they answer our question."""
        if peer.number in self._asked:
            self._asked.discard(peer.number)
            self._book.learn(message.records, peer.endpoint)
        elif len(message.records) <= MAX_UNASKED:
            self._learn(peer, message.records)

    def tick(self) -> None:
        """Announce ourselves once a day."""
        if self._now() >= self._announce_at:
            self._announce_at = self._now() + ANNOUNCE_SECONDS
            for peer in list(self._peers.values()):
                if peer.outbound:
                    self._announce(peer)

    def _announce(self, peer: Connection) -> None:
        now = self._clock.now()
        records = tuple(
            AddressRecord(self._own_id, endpoint, now)
            for endpoint in self._own()
            if parse_ip(endpoint.host) is not None
        )
        if records:
            peer.send(Addresses(records[:MAX_UNASKED]))

    def _sample(self) -> tuple[AddressRecord, ...]:
        """Give the answer of the day; a new one too when the book has more than doubled."""
        if self._now() >= self._answer_until or len(self._book) > 2 * self._answer_of:
            self._answer = tuple(self._book.sample(MAX_ADDRESSES))
            self._answer_of = len(self._book)
            self._answer_until = self._now() + ANSWER_SECONDS
        return self._answer

    def _learn(self, source: Connection, records: Sequence[AddressRecord]) -> None:
        self._book.learn(records, source.endpoint)
        fresh = self._clock.now() - FRESH_SECONDS
        for record in records:
            is_believed = PeerAddress(record.id, record.endpoint) in self._book
            if record.seen >= fresh and is_believed and self._once(record.id):
                self._pass_on(source, record)

    def _once(self, id_: PeerId) -> bool:
        """Tell whether a node's address was not passed on lately."""
        now = self._now()
        if now < self._relayed.get(id_, now):
            return False
        self._relayed.pop(id_, None)
        self._relayed[id_] = now + RELAYED_ONCE_SECONDS
        if len(self._relayed) > MAX_REMEMBERED:
            del self._relayed[next(iter(self._relayed))]
        return True

    def _pass_on(self, source: Connection, record: AddressRecord) -> None:
        others = [peer for peer in self._peers.values() if peer is not source and peer.id != record.id]
        for _ in range(min(RELAY_TO, len(others))):
            chosen = others.pop(int(self._chance.random() * len(others)))
            if self._paces[chosen.number].take(1, self._now()):
                chosen.send(Addresses((record,)))
