"""Arbitrators with faked signatures on a network of random delay and partition, some of them hostile.

A slot has TICKS ticks. Every node has its own tree, its own finality and, if honest, the voting rule.
"""

from collections.abc import Iterable
from contextlib import suppress
from itertools import combinations
from random import Random

from unit.dpos.finality_world import Toy, World, below, key, members, vote_of

from ioex_chain.dpos import evidence
from ioex_chain.dpos.finality_types import Finalize, Outcome, Prefer
from ioex_chain.dpos.journal import Ballot, Memory
from ioex_chain.dpos.signer import check_vote
from ioex_chain.dpos.signing_errors import SigningRefused
from ioex_chain.dpos.votes import Certificate, Evidence, Link, Vote
from ioex_chain.primitives.types import BlockHash

TICKS = 4
Message = Toy | Vote | Certificate | Evidence


class Node(World):
    def __init__(self, net: "Net", number: int) -> None:
        super().__init__(net.genesis.members, net.genesis)
        self.net, self.number = net, number
        self.head = self.anchor = self.floor = self.genesis
        self.memory = Memory()
        self.late: set[BlockHash] = set()
        self.finals: list[Toy] = [self.genesis]

    @property
    def is_hostile(self) -> bool:
        return self.number < self.net.hostile

    # the ledger's part: only the best branch is connected

    def _rank(self, toy: Toy) -> tuple[bool, int, bool, int, bytes]:
        on_anchor = toy.height >= self.anchor.height and below(toy, self.anchor.height) is self.anchor
        return on_anchor, toy.height, toy.hash not in self.late, -toy.slot, bytes(255 - b for b in toy.hash)

    def _stands_on_floor(self, toy: Toy) -> bool:
        return toy.height >= self.floor.height and below(toy, self.floor.height) is self.floor

    def choose(self) -> None:
        best = max((toy for toy in self.known.values() if self._stands_on_floor(toy)), key=self._rank)
        if best is self.head:
            return
        self.head = best
        path = []
        while best.hash not in self.connected:
            path.append(best)
            assert best.parent is not None
            best = best.parent
        for toy in reversed(path):
            self.apply(self.connect(toy))
        self.vote()

    def apply(self, outcome: Outcome) -> None:
        for action in outcome.actions:
            toy = self.known[action.hash]
            if isinstance(action, Prefer) and toy.height > self.anchor.height:
                self.anchor = toy
            elif isinstance(action, Finalize):
                assert self._stands_on_floor(toy), "a node finalises against its own final block"
                self.floor = toy
                self.finals.append(toy)
        news: list[Message] = [*outcome.votes, *outcome.certificates, *outcome.evidence]
        for hash_ in outcome.wanted:
            self.net.fetch(self, hash_)
        if not self.is_hostile:
            self.net.broadcast(self, news)
        if outcome.actions:
            self.choose()

    # messages

    def receive(self, message: Message) -> None:
        if isinstance(message, Toy):
            self._receive_block(message)
        elif isinstance(message, Vote):
            self.apply(self.finality.on_vote(message))
        elif isinstance(message, Certificate):
            self.apply(self.finality.on_certificate(message))
        else:
            self.apply(self.finality.on_evidence(message))

    def _receive_block(self, toy: Toy) -> None:
        new = []
        at: Toy | None = toy
        while at is not None and at.hash not in self.known:
            new.append(at)
            at = at.parent
        for block in reversed(new):
            self.know(block)
            if self.net.tick >= (block.slot + 1) * TICKS:
                self.late.add(block.hash)
            if block.payload.certificate is not None:
                self.apply(self.finality.on_certificate(block.payload.certificate))
        if new:
            self.choose()

    # the arbitrator's part

    def vote(self) -> None:
        link = self.finality.link_for(self.head)
        if link is None:
            return
        if self.is_hostile:
            self._vote_hostile(link)
        elif self.head.hash not in self.late:
            with suppress(SigningRefused):
                if check_vote(self.memory, link):
                    self.memory = self.memory.after(Ballot(key(self.number), link))
                    self._cast(link, self.net.nodes)

    def _vote_hostile(self, link: Link) -> None:
        """Vote for every head there is, each to some; now and then for nonsense."""
        chance = self.net.chance
        for toy in [self.head, *chance.sample(list(self.known.values()), min(2, len(self.known)))]:
            other = self.link(toy) if toy.height else link
            self._cast(other, [node for node in self.net.nodes if chance.random() < 0.6])
        if chance.random() < 0.2:
            wrong = Link(0, link.source, link.source)
            self._cast(wrong, self.net.nodes)

    def _cast(self, link: Link, to: "Iterable[Node]") -> None:
        vote = vote_of(link, self.number)
        for node in to:
            self.net.send(self, node, vote)

    def produce(self, slot: int) -> None:
        if self.is_hostile:
            self._produce_hostile(slot)
        elif self.head.slot < slot:
            self._publish(self.block(slot), self.net.nodes)

    def block(self, slot: int, name: str = "") -> Toy:
        parent, finality = self.head, self.finality
        return self.make(
            parent,
            name,
            certificate=finality.certificate_for(parent),
            evidence=finality.evidence_for(parent, 8),
            slot=slot,
        )

    def _produce_hostile(self, slot: int) -> None:
        """Two blocks for the slot, on the head or below it, each to some."""
        nodes = self.net.nodes
        for name in ("a", "b"):
            parents = [toy for toy in self.known.values() if toy.slot < slot and toy.hash in self.connected]
            self.head, kept = max(self.net.chance.sample(parents, 1), key=lambda toy: toy.height), self.head
            toy = self.block(slot, name)
            self.head = kept
            self._publish(toy, [node for node in nodes if self.net.chance.random() < 0.5])

    def _publish(self, toy: Toy, to: "Iterable[Node]") -> None:
        self.receive(toy)
        for node in to:
            self.net.send(self, node, toy)


class Net:
    def __init__(self, size: int, hostile: int, chance: Random, max_delay: int) -> None:
        self.size, self.hostile, self.chance = size, hostile, chance
        self.max_delay = max_delay
        self.genesis = Toy(BlockHash(bytes(32)), 0, 0, None, members=members(*range(size)))
        self.tick = self.slot = 0
        self.parts: list[int] | None = None
        self._queue: dict[int, list[tuple[Node, Node, Message]]] = {}
        self.nodes: list[Node] = []
        self.nodes += [Node(self, number) for number in range(size)]
        self._told: list[set[object]] = [set() for _ in range(size)]

    @property
    def honest(self) -> list[Node]:
        return self.nodes[self.hostile :]

    def send(self, sender: Node, to: Node, message: Message) -> None:
        if to is not sender:
            delay = self.chance.randint(1, self.max_delay)
            self._queue.setdefault(self.tick + delay, []).append((sender, to, message))
        elif not isinstance(message, Toy):
            to.receive(message)

    def broadcast(self, sender: Node, messages: list[Message]) -> None:
        for message in messages:
            if message not in self._told[sender.number]:
                self._told[sender.number].add(message)
                for node in self.nodes:
                    if node is not sender:
                        self.send(sender, node, message)

    def fetch(self, node: Node, hash_: BlockHash) -> None:
        for other in self.nodes:
            if hash_ in other.known and self._are_joined(node, other):
                self.send(other, node, other.known[hash_])
                return

    def _are_joined(self, one: Node, other: Node) -> bool:
        hostile = one.is_hostile or other.is_hostile  # they sit on both sides
        return self.parts is None or hostile or self.parts[one.number] == self.parts[other.number]

    def run(self, slots: int) -> None:
        for _ in range(slots):
            self.slot += 1
            self.tick = self.slot * TICKS
            self.nodes[self.slot % self.size].produce(self.slot)
            for _ in range(TICKS):
                self._deliver()
                self.tick += 1

    def _deliver(self) -> None:
        due = sorted(tick for tick in self._queue if tick <= self.tick)
        for tick in due:
            for sender, to, message in self._queue.pop(tick):
                if self._are_joined(sender, to):
                    to.receive(message)
                elif self.chance.random() < 0.5:  # what is not lost comes after the partition
                    self._queue.setdefault(self.tick + 1, []).append((sender, to, message))

    def heal(self) -> None:
        """End the partition: everybody greets everybody."""
        self.parts, self.max_delay = None, 1
        for node in self.honest:
            greeting: list[Message] = [
                node.head,
                *node.finality.certificates(),
                *node.finality.votes(),
                *node.finality.evidence(),
            ]
            for other in self.nodes:
                for message in greeting:
                    self.send(node, other, message)

    def guilty(self) -> set[bytes]:
        """The keys that honest nodes hold evidence against."""
        found = set()
        for node in self.honest:
            for item in node.finality.evidence():
                found.add(evidence.offence(item, node.signatures).key)
            for toy in node.known.values():
                found |= {evidence.offence(item, node.signatures).key for item in toy.payload.evidence}
        return found

    def conflicts(self) -> bool:
        """Whether two honest nodes hold final blocks that are not on one branch."""
        finals = sorted((node.floor for node in self.honest), key=lambda toy: toy.height)
        return any(below(high, low.height) is not low for low, high in combinations(finals, 2))
