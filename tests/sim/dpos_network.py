"""Messages between simulated arbitrators: late, lost, twice, and cut off by partitions.

Everybody is connected with everybody. What a node has to tell goes to those who are not known to have it, as
gossip does: one table per message stands for what each connection would remember.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .scheduler import Scheduler

if TYPE_CHECKING:
    from .dpos_node import Arbitrator

Message = Any
"""A Block, SealedHeader, Vote, Certificate, an item of evidence, or a question (`Ask`)."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question for the branch of a block."""

    hash: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """Blocks of one branch, lowest first."""

    blocks: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Weather:
    """What the network is like; delays in parts of a slot."""

    delay: tuple[float, float] = (0.005, 0.1)
    loss: float = 0.0
    twice: float = 0.0
    storm: float = 0.0
    """Part of the messages that take up to `storm_delay` slots."""
    storm_delay: float = 3.0
    through_cut: float = 0.3
    """Part of what meets a cut that arrives when it is healed; the rest is lost."""


CALM = Weather()


class SimGossip:
    """The network of one world."""

    def __init__(self, scheduler: Scheduler, slot: float) -> None:
        self.scheduler = scheduler
        self.weather = CALM
        self.sent = self.lost = 0
        self._slot = slot
        self._chance = scheduler.stream("gossip")
        self._nodes: list[Arbitrator] = []
        self._had: dict[Any, int] = {}
        self._next_bit = 0
        self._online = 0
        self._bits: dict[int, int] = {}
        self._sides: dict[int, int] = {}
        self._held: list[tuple[Arbitrator, Arbitrator, int, Any, Message]] = []

    @property
    def nodes(self) -> list["Arbitrator"]:
        """All that were ever connected, in order."""
        return self._nodes

    def join(self, node: "Arbitrator") -> None:
        """Connect a node that starts: nobody knows what it knows."""
        if node not in self._nodes:
            self._nodes.append(node)
        self._bits[node.number] = 1 << self._next_bit
        self._online |= self._bits[node.number]
        self._next_bit += 1

    def leave(self, node: "Arbitrator") -> None:
        """Disconnect a node that is down."""
        self._online &= ~self._bits[node.number]

    # --- partitions -----------------------------------------------------------------------------------

    def cut(self, sides: dict[int, int]) -> None:
        """Part the nodes by number; a node that is not named is on all sides."""
        self._sides = sides

    def heal(self) -> None:
        """Join all; what was held arrives."""
        self._sides = {}
        held, self._held = self._held, []
        for sender, to, life, ident, message in held:
            if to.life == life:
                self._post(sender, to, ident, message)

    def is_cut(self, one: "Arbitrator", other: "Arbitrator") -> bool:
        """Whether a partition stands between two nodes."""
        here, there = self._sides.get(one.number), self._sides.get(other.number)
        return here is not None and there is not None and here != there

    def peers_of(self, node: "Arbitrator") -> list["Arbitrator"]:
        """Give the nodes that a node is connected with."""
        return [one for one in self._nodes if one is not node and one.is_up and not self.is_cut(node, one)]

    # --- telling --------------------------------------------------------------------------------------

    def tell(
        self, sender: "Arbitrator", ident: Any, message: Message, to: "Iterable[Arbitrator] | None" = None
    ) -> None:
        """Send a message to all, or to some, who are not known to have it."""
        had = self._had.get(ident, 0) | self._bits[sender.number]
        self._had[ident] = had
        if not self._online & ~had:
            return
        for node in self._nodes if to is None else to:
            if node.is_up and node is not sender and not self._bits[node.number] & had:
                self._try(sender, node, ident, message)

    def repeat(self, sender: "Arbitrator", to: "Arbitrator", ident: Any, message: Message) -> None:
        """Send a message whether it is known or not: what liars and replays do."""
        if to.is_up:
            self._try(sender, to, ident, message)

    def _try(self, sender: "Arbitrator", to: "Arbitrator", ident: Any, message: Message) -> None:
        if self.is_cut(sender, to):
            if self._chance.random() < self.weather.through_cut:
                self._held.append((sender, to, to.life, ident, message))
            self.lost += 1
        elif self.weather.loss and self._chance.random() < self.weather.loss:
            self.lost += 1
        else:
            self._post(sender, to, ident, message)

    def _post(self, sender: "Arbitrator", to: "Arbitrator", ident: Any, message: Message) -> None:
        self.sent += 1
        self._had[ident] = self._had.get(ident, 0) | self._bits[to.number]
        life, weather = to.life, self.weather
        times = 2 if weather.twice and self._chance.random() < weather.twice else 1
        for _ in range(times):
            delay = self._chance.uniform(*weather.delay)
            if weather.storm and self._chance.random() < weather.storm:
                delay = self._chance.uniform(0, weather.storm_delay)
            self.scheduler.after(delay * self._slot, lambda: to.hear(life, sender, message))
