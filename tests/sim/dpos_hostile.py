"""Arbitrators that break the rules on purpose. They run the real code, and sign whatever they like.

None of them relays what others say; what they hear they may keep, and say again when it hurts.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from chaingen.dpos_forge import DictView

from ioex_chain.dpos import codec
from ioex_chain.dpos.block import Block, Payload
from ioex_chain.dpos.finality_ports import checkpoint
from ioex_chain.dpos.finality_types import Outcome
from ioex_chain.dpos.header import Header, SealedHeader
from ioex_chain.dpos.machine import Assembled, Candidate
from ioex_chain.dpos.records import DposEntry
from ioex_chain.dpos.signer import Signer
from ioex_chain.dpos.votes import Certificate, Checkpoint, Link, Vote
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import BlockHash

from .dpos_network import Message
from .dpos_node import Arbitrator


class Hostile(Arbitrator):
    """Follows the chain and does nothing: the silent one."""

    is_hostile = True

    lies = 0

    def make_signer(self) -> Signer:
        signer = super().make_signer()
        self.finality.heard = lambda _key, _signed: None
        return signer

    def on_slot(self, slot: int) -> None:
        """Do nothing."""

    def vote(self) -> None:
        """Do nothing."""

    def announce(self, head: DposEntry) -> None:
        """Do nothing."""

    def tell_outcome(self, outcome: Outcome) -> None:
        """Do nothing."""

    def greet(self, peer: Arbitrator) -> None:
        """Show a clock, be it right or wrong."""
        self.clocks.add(peer.name, peer.clock.exact(), self.world.scheduler.now)

    def answer(self, asker: Arbitrator, hash_: BlockHash) -> None:
        if self.chance.random() < 0.5:
            super().answer(asker, hash_)

    # --- what the liars share -------------------------------------------------------------------------

    def some(self, part: float = 0.5) -> list[Arbitrator]:
        """Give each peer by chance."""
        return [peer for peer in self.world.net.peers_of(self) if self.chance.random() < part]

    def cast(self, link: Link, to: Sequence[Arbitrator]) -> None:
        """Vote for whatever it is, to some."""
        self.lies += 1
        vote = self.key.vote(self.world.genesis_hash, link)
        for peer in to:
            self.world.net.repeat(self, peer, vote.signature, vote)

    def ancestor(self, depth: int) -> DposEntry:
        """Give the head or an ancestor of it, at or above the floor."""
        head = self.ledger.head
        lowest = max(self.ledger.floor.height, head.height - depth)
        return self.ledger.ancestor(head, self.chance.randint(lowest, head.height))

    def build(self, parent: DposEntry, slot: int, extra: bytes = b"") -> Block | None:
        """Build on a block of the own best chain; None if the slot is another's."""
        made = self.draft(parent, slot, extra)
        return None if made is None else made.sealed(self.sign(made.header))

    def draft(self, parent: DposEntry, slot: int, extra: bytes = b"") -> Assembled | None:
        """Build without a seal."""
        if self.slot_of(parent) >= slot:
            return None
        producer = self.engine.producer(parent, slot)
        if producer is None or producer.key != self.key.address:
            return None
        with self.ledger.state_at(parent) as past:
            view = DictView(dict(past.scan(b"y")))
        certificate = self.finality.certificate_for(parent) if self.chance.random() < 0.7 else None
        with suppress(IoexError):
            return self.machine.assemble(view, parent, Candidate(slot, (), certificate, (), extra))
        return None

    def sign(self, header: Header) -> bytes:
        """Seal anything."""
        self.lies += 1
        return self.key.seal(self.world.genesis_hash, header)

    def send(self, block: Block, to: Sequence[Arbitrator]) -> None:
        """Hand out a block, to some."""
        for peer in to:
            self.world.net.repeat(self, peer, block.header.hash, block)

    def keep(self, block: Block) -> None:
        """Take a block of one's own."""
        self.run(lambda: self.ledger.accept_block(block), lambda _: None, lambda _: None)


class Equivocator(Hostile):
    """Seals several blocks for a slot and votes for everything, each to some."""

    def on_slot(self, slot: int) -> None:
        for number in range(self.chance.randint(2, 3)):
            block = self.build(self.ancestor(3), slot, bytes([number]))
            if block is not None:
                self.send(block, self.some())
                if self.chance.random() < 0.3:
                    for peer in self.some(0.2):
                        self.world.net.repeat(self, peer, None, block.header)

    def vote(self) -> None:
        own = self.finality.link_for(self.ledger.head)
        if own is not None:
            self.cast(own, self.some(0.8))
        for entry in {self.ancestor(4).hash: None, self.ancestor(30).hash: None}:
            link = self.finality.link_for(self.ledger._index.require(entry))
            if link is not None and self.chance.random() < 0.5:
                self.cast(link, self.some(0.4))
                self.cast(self._twisted(link), self.some(0.2))

    def _twisted(self, link: Link) -> Link:
        """Give a link with another source, set or target: nonsense, or a surrounding vote."""
        low = self.ancestor(40)
        match self.chance.randrange(4):
            case 0:
                return replace(link, source=checkpoint(low))
            case 1:
                return replace(link, set_number=link.set_number + self.chance.randint(1, 3))
            case 2:
                return replace(link, target=Checkpoint(low.hash, link.target.height))
        return replace(link, target=Checkpoint(BlockHash(self.chance.randbytes(32)), link.target.height + 1))


class Forker(Hostile):
    """Votes on every branch that it hears of, to everybody: what moves finality if anything does."""

    def on_slot(self, slot: int) -> None:
        tips = [tip for tip in self.ledger.tips() if tip.note is not None]
        for number, tip in enumerate(tips[-3:]):
            if self.ledger.is_on_best_chain(tip):
                for extra in (0, 1):
                    block = self.build(tip, slot, bytes([number, extra]))
                    if block is not None:
                        self.send(block, self.some())

    def vote(self) -> None:
        for tip in self.ledger.tips()[-4:]:
            link = self.finality.link_for(tip)
            if link is not None:
                self.cast(link, self.world.net.peers_of(self))


class Withholder(Hostile):
    """Builds and votes in secret with its like, and shows it when it is late."""

    def on_slot(self, slot: int) -> None:
        block = self.build(self.ledger.head, slot)
        if block is None:
            return
        self.keep(block)
        for friend in self.world.net.peers_of(self):
            if isinstance(friend, Withholder):
                self.world.net.repeat(self, friend, None, block)
        if self.chance.random() < 0.3:
            for peer in self.some():
                self.world.net.repeat(self, peer, None, block.header)
        part = self.chance.choice((0.3, 1.0))
        self._later(lambda: self.send(block, self.some(part)), 8.0)

    def vote(self) -> None:
        link = self.finality.link_for(self.ledger.head)
        if link is not None and self.chance.random() < 0.8:
            part = self.chance.choice((0.3, 1.0))
            self._later(lambda: self.cast(link, self.some(part)), 20.0)

    def _later(self, what: Any, most: float) -> None:
        life = self.life
        delay = self.chance.uniform(0, most) * self.world.slot_seconds
        self.world.scheduler.after(delay, lambda: what() if self.life == life else None)


class CertificateLiar(Hostile):
    """Sends certificates with too few, repeated or foreign signers and wrong links, and blocks with them."""

    def on_slot(self, slot: int) -> None:
        parent = self.ledger.head
        for _ in range(3):
            wrong = self._wrong(self.ancestor(3))
            if wrong is not None:
                self.lies += 1
                for peer in self.some(0.3):
                    self.world.net.repeat(self, peer, None, wrong)
        made, wrong = self.draft(parent, slot), self._wrong(parent)
        if made is None or wrong is None:
            return
        payload = Payload(wrong)
        header = replace(made.header, parent_beacon_root=codec.payload_root(payload))
        sealed = SealedHeader(header, self.sign(header))
        self.send(codec.make_block(sealed, made.transactions, made.withdrawals, payload), self.some())

    def _wrong(self, target: DposEntry) -> Certificate | None:
        link, members = self.finality.link_for(target), self.facts.set_at(target)
        if link is None or members is None:
            return None
        votes = self.finality.votes_for(target.hash).get(link, {})
        found = {
            place: votes[one.key].signature for place, one in enumerate(members.members) if one.key in votes
        }
        mine = self.key.vote(self.world.genesis_hash, link).signature
        count = len(members.members)
        match self.chance.randrange(5):
            case 0:  # too few
                found = dict(list(found.items())[: members.quorum - 1])
            case 1:  # the same one again and again
                found = dict.fromkeys(range(members.quorum), mine)
            case 2:  # a foreign one
                found = {**found, count + 1: mine}
            case 3:  # another link under these signatures
                low = self.ancestor(9)
                link = replace(link, source=checkpoint(low))
            case 4:  # in the name of another set
                link = replace(link, set_number=link.set_number + 1)
        signers = sum(1 << place for place in found)
        return Certificate(link, signers, tuple(found[place] for place in sorted(found)))

    def vote(self) -> None:
        link = self.finality.link_for(self.ledger.head)
        if link is not None:
            self.cast(link, self.some(0.7))


class Replayer(Hostile):
    """Is silent but for what others said long ago."""

    def start(self) -> None:
        self.heard: list[Message] = []
        super().start()

    def receive(self, sender: Arbitrator, message: Message) -> None:
        if isinstance(message, Vote | Block | Certificate) and self.chance.random() < 0.1:
            self.heard.append(message)
        super().receive(sender, message)

    def on_slot(self, slot: int) -> None:
        for message in self.chance.sample(self.heard, min(len(self.heard), 20)):
            self.lies += 1
            for peer in self.some(0.2):
                self.world.net.repeat(self, peer, None, message)


class WrongClock(Hostile):
    """Honest but for its clock, which it believes in spite of everybody."""

    def start(self) -> None:
        self.clock.offset = self.chance.uniform(-6, 4) * self.world.slot_seconds
        self.mine: dict[int, Link] = {}
        super().start()

    def _wake(self, life: int) -> None:
        if self.life == life:
            slot = self.engine.schedule.slot_of(int(self.clock.exact()))
            block = self.build(self.ledger.head, slot)
            if block is not None:
                self.keep(block)
                self.send(block, self.world.net.peers_of(self))
            self.world.scheduler.after(self.world.slot_seconds, lambda: self._wake(life))
            self._look_again()

    def vote(self) -> None:
        link = self.finality.link_for(self.ledger.head)
        if link is not None and self.mine.setdefault(link.target.height, link) == link:
            self.cast(link, self.world.net.peers_of(self))


class Twin(Arbitrator):
    """One of two honest programs with the same key that do not listen to each other."""

    is_hostile = True
    lies = 0

    def make_signer(self) -> Signer:
        signer = super().make_signer()
        self.finality.heard = lambda _key, _signed: None
        return signer

    def assemble(self, slot: int) -> Assembled:
        self.lies += 1
        made = super().assemble(slot)
        return replace(made, header=replace(made.header, extra_data=self.name.encode()))


KINDS: tuple[type[Arbitrator], ...] = (
    Equivocator,
    Forker,
    Withholder,
    CertificateLiar,
    Replayer,
    WrongClock,
    Hostile,
    Twin,
)
