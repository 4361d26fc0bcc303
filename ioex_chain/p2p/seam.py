"""The seam between connections and a chain: what each side offers the other.

All calls are made in one thread (the event loop's, or a simulation's), none blocks, none is made from
inside another one's `send`.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ioex_chain.p2p.messages import Hello, LeaveReason, Message
from ioex_chain.p2p.types import Endpoint, P2pError, PeerId


class Offence(Enum):
    """What a peer did wrong: its score and its name in logs. A sum of 100 ends the connection and bans."""

    MALFORMED = (100, "a message that cannot be read")
    OVERSIZE = (100, "a message above its size cap")
    WRONG_STATE = (100, "a message that has no place here")
    UNREQUESTED = (50, "an answer to nothing")
    FLOOD = (34, "more messages than the rate allows")
    INVALID_HEADER = (100, "an invalid header")
    UNCONNECTED = (20, "headers that connect to nothing")
    LOW_WORK = (34, "a chain of headers with too little work")
    INVALID_BLOCK = (100, "an invalid block")
    MUTATED_BLOCK = (100, "a body that is not its header's")
    INVALID_TRANSACTION = (34, "an invalid transaction")
    INVALID_VOTE = (100, "an invalid vote, certificate or evidence")
    DOUBTFUL_VOTE = (20, "a vote or certificate that its target refutes")
    BROKEN_PROMISE = (50, "announced what it does not have")
    STALLING = (50, "does not answer in time")

    def __init__(self, score: int, text: str) -> None:
        self.score = score
        self.text = text


class Refused(P2pError):
    """The hello of a peer that does not fit ours (network, rules, version); it is told why."""

    def __init__(self, reason: LeaveReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Peer(Protocol):
    """An established connection, as a chain sees it."""

    @property
    def id(self) -> PeerId:
        """Who it is."""
        ...

    @property
    def number(self) -> int:
        """The connection's number: unique while the node runs, rising."""
        ...

    @property
    def endpoint(self) -> Endpoint:
        """The other end of the connection."""
        ...

    @property
    def outbound(self) -> bool:
        """Whether we dialled."""
        ...

    @property
    def hello(self) -> Hello:
        """How it introduced itself."""
        ...

    @property
    def backlog(self) -> int:
        """Bytes sent that the network has not taken yet; above 1 MiB hold back what can wait."""
        ...

    def send(self, message: Message) -> None:
        """Send a message; does nothing on a connection that is closing."""
        ...

    def offend(self, offence: Offence, detail: str = "") -> None:
        """Score an offence; `peer_down` may follow at once, from within this call."""
        ...

    def leave(self, reason: LeaveReason, text: str = "") -> None:
        """Say goodbye and close, without blame."""
        ...


@dataclass(frozen=True, slots=True)
class Status:
    """What our hello says of the chain."""

    fork_checksum: bytes
    fork_next: int
    height: int
    head: bytes


class Application(Protocol):
    """A chain, as the connections see it."""

    def status(self) -> Status:
        """Tell what our hello says."""
        ...

    def check_hello(self, hello: Hello) -> None:
        """Raise Refused when this peer's chain is not ours; network and version are checked already."""
        ...

    def peer_up(self, peer: Peer) -> None:
        """Take a new peer."""
        ...

    def peer_down(self, peer: Peer) -> None:
        """Forget a peer; nothing comes from it any more."""
        ...

    def received(self, peer: Peer, message: Message) -> None:
        """Take a message that kept size, rate and reply rule."""
        ...

    def drained(self, peer: Peer) -> None:
        """Go on with what was held back: the peer's backlog is gone."""
        ...

    def tick(self) -> None:
        """Do what is due; called about ten times a second."""
        ...
