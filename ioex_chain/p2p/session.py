"""One connection without I/O: bytes in, events out (docs/protocol.md sections 9.1 and 9.2).

The owner carries bytes both ways, calls `tick` a few times a second and acts on the events. It sums the
offences' scores; the session knows only those of its own rules, and reads nothing more once they reach 100.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol

from ioex_chain.p2p.framing import HEAD_BYTES, FrameError, FrameReader, OversizeFrame, frame_head
from ioex_chain.p2p.handshake import NO_NONCE, NO_SIGNATURE, check_client, check_server, proof_bytes
from ioex_chain.p2p.links import Certificate
from ioex_chain.p2p.messages import Goodbye, Hello, LeaveReason, Message, Ping, Pong
from ioex_chain.p2p.rates import TokenBucket
from ioex_chain.p2p.seam import Offence, Refused
from ioex_chain.p2p.table import TABLE, MessageTable, Row, When
from ioex_chain.p2p.types import P2pError, PeerId
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.errors import DecodeError

HANDSHAKE_SECONDS = 5.0
PING_SECONDS = 10.0
SILENCE_SECONDS = 30.0
"""A peer that sent no byte for so long is gone."""
PONG_SECONDS = 120.0
"""A pong may wait behind a large block on a slow line, while bytes come; not longer than this."""
FATAL_SCORE = 100


class MessageTooLarge(P2pError):
    """A message of ours is above its type's cap, so every peer would ban us: send less in it."""


@dataclass(frozen=True, slots=True)
class Established:
    """The handshake is over; comes once, first."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class Received:
    """A message that kept size, rate and reply rule. Hello, Ping, Pong and Goodbye stay inside."""

    message: Message


@dataclass(frozen=True, slots=True)
class Offended:
    """The peer broke a rule. The message is dropped; nothing more is read when `session.ended`."""

    offence: Offence
    detail: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection is over: write what `outgoing` gives, then close. Comes once, last.

    The peer said goodbye (`by_peer`), or its hello was refused, or it is silent.
    """

    reason: LeaveReason
    text: str
    by_peer: bool = False


Event = Established | Received | Offended | Ended


class Chance(Protocol):
    """A source of randomness; in a running node the system's, because nonces must not be guessed."""

    def getrandbits(self, k: int, /) -> int:
        """Give an integer of k random bits."""
        ...


class _State(Enum):
    HANDSHAKE = auto()
    ESTABLISHED = auto()
    DEAF = auto()
    """The peer's offences are fatal: nothing is read any more, only a goodbye is sent."""
    ENDED = auto()


class Session:
    """The state of one connection.

    `certificate` is that of the end that listens; `outbound` says that this end dialled; `expected` is whom
    it dialled, None for whoever is there. `hello` gives this node's fields with its key; nonce and signature
    are set here. `check_hello` raises Refused for a peer whose chain does not fit. `sign` is Ed25519 with
    the node's key. `now` is monotonic seconds.
    """

    def __init__(
        self,
        *,
        outbound: bool,
        certificate: Certificate,
        expected: PeerId | None,
        network: bytes,
        hello: Callable[[], Hello],
        check_hello: Callable[[Hello], None],
        sign: Callable[[bytes], bytes],
        chance: Chance,
        now: Callable[[], float],
        table: MessageTable = TABLE,
    ) -> None:
        self._outbound = outbound
        self._certificate = certificate
        self._expected = expected
        self._network = network
        self._own_hello = hello
        self._check_hello = check_hello
        self._sign = sign
        self._chance = chance
        self._now = now
        self._table = table
        self._nonce = b""
        self._state = _State.HANDSHAKE
        self._reader = FrameReader(table, self._wanted)
        self._events: list[Event] = []
        self._score = 0
        self._out: list[bytes] = []
        self.pending = 0
        """Bytes that `outgoing` would give."""
        self._awaited: Counter[int] = Counter()
        self._invited: set[int] = set()
        self._buckets: dict[int, TokenBucket] = {}
        self._began = self._heard = now()
        self._pinged: float | None = None
        self._ping = 0
        self.hello: Hello | None = None
        """How the peer introduced itself; None before the handshake is over."""
        self.last_ping: float | None = None
        """Seconds of the last ping's round trip."""
        self.best_ping: float | None = None
        self.bytes_sent = 0
        self.bytes_received = 0
        self.sent_by_type: Counter[str] = Counter()
        """Bytes with frame heads, by message name."""
        self.received_by_type: Counter[str] = Counter()
        self.last_sent: float | None = None
        """When `outgoing` last gave bytes, monotonic; None for never."""
        self.last_received: float | None = None

    @property
    def established(self) -> bool:
        """Whether the handshake is over and the connection lives."""
        return self._state is _State.ESTABLISHED

    @property
    def ended(self) -> bool:
        """Whether nothing is read any more."""
        return self._state in (_State.DEAF, _State.ENDED)

    @property
    def buffered(self) -> int:
        """Bytes of an incomplete frame that are kept."""
        return self._reader.buffered

    def start(self) -> None:
        """Begin: the listening end says hello first."""
        if not self._outbound:
            self._nonce = self._chance.getrandbits(256).to_bytes(32, "little")
            self._queue(replace(self._own_hello(), nonce=self._nonce, signature=NO_SIGNATURE))

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the peer. Raises nothing, whatever they are."""
        if self.ended or not data:
            return []
        self.bytes_received += len(data)
        self.last_received = self._heard = self._now()
        self._events = []
        try:
            for row, payload in self._reader.feed(data):
                if payload is not None:
                    self._take(row, payload)
                if self.ended:
                    break
        except OversizeFrame as error:
            self._offend(Offence.OVERSIZE, str(error))
        except (FrameError, DecodeError) as error:
            self._offend(Offence.MALFORMED, str(error))
        return self._events

    def send(self, message: Message) -> None:
        """Queue a message; does nothing unless the connection is established. Raises MessageTooLarge."""
        if self.established:
            self._queue(message)

    def ping(self) -> None:
        """Measure the round trip now, unless a ping is under way or was sent within the last second."""
        now = self._now()
        if (
            self.established
            and not self._awaited[Ping.type]
            and (self._pinged is None or now >= self._pinged + 1)
        ):
            self._pinged = now
            self._ping = self._chance.getrandbits(64)
            self._queue(Ping(self._ping))

    def outgoing(self) -> bytes:
        """Take all that waits to be written."""
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        self.pending = 0
        self.last_sent = self._now()
        return data

    def leave(self, reason: LeaveReason, text: str = "") -> None:
        """Queue a goodbye and end."""
        if self._state is not _State.ENDED:
            self._queue(Goodbye(reason, text))
            self._state = _State.ENDED

    def tick(self) -> list[Event]:
        """Do what time asks for: ping, or give up a peer that is silent."""
        if self.ended:
            return []
        now = self._now()
        if not self.established:
            late = now - self._began >= HANDSHAKE_SECONDS
            return self._end(LeaveReason.IDLE, "no hello in time") if late else []
        if now - self._heard >= SILENCE_SECONDS:
            return self._end(LeaveReason.IDLE, "silent")
        if self._awaited[Ping.type] and self._pinged is not None and now - self._pinged >= PONG_SECONDS:
            return self._end(LeaveReason.IDLE, "answers no ping")
        if self._pinged is None or now - self._pinged >= PING_SECONDS:
            self.ping()
        return []

    def _end(self, reason: LeaveReason, text: str) -> list[Event]:
        self.leave(reason, text)
        return [Ended(reason, text)]

    def _queue(self, message: Message) -> None:
        row = self._table[message]
        payload = message.encode()
        if len(payload) > row.cap:
            raise MessageTooLarge(f"{row.name} of {len(payload)} bytes; at most {row.cap}")
        self._awaited[row.type] += row.replies(message)
        invited = row.invites(message)
        if invited is not None:
            self._invited.add(invited)
        head = frame_head(row.type, len(payload))
        self._out += (head, payload)
        size = len(head) + len(payload)
        self.pending += size
        self.bytes_sent += size
        self.sent_by_type[row.name] += size

    # What the peer may send.

    def _wanted(self, row: Row) -> bool:
        """Decide on a frame whose head is there: whether its payload is worth keeping."""
        fits = When.HANDSHAKE if self._state is _State.HANDSHAKE else When.ESTABLISHED
        if row.when not in (fits, When.ALWAYS):
            self._offend(Offence.WRONG_STATE, f"{row.name} in the state {self._state.name.lower()}")
        elif row.answers and not self._may_answer(row):
            self._offend(Offence.UNREQUESTED, row.name)
        elif not self._bucket(row).take(1, self._now()):
            self._offend(Offence.FLOOD, row.name)
        else:
            return True
        return False

    def _may_answer(self, row: Row) -> bool:
        return self._may_come_unasked(row, 1) or any(self._awaited[request] for request in row.answers)

    def _may_come_unasked(self, row: Row, items: int) -> bool:
        return 0 < row.unasked >= items and (not row.invited or row.type in self._invited)

    def _bucket(self, row: Row) -> TokenBucket:
        if row.type not in self._buckets:
            self._buckets[row.type] = TokenBucket(row.rate, self._now())
        return self._buckets[row.type]

    def _take(self, row: Row, payload: bytes) -> None:
        self.received_by_type[row.name] += len(payload) + HEAD_BYTES
        reader = Reader(payload)
        message = row.message.read(reader)
        reader.finish()
        if row.answers and not self._settle(row, message):
            self._offend(Offence.UNREQUESTED, row.name)
        elif not self._bucket(row).take(row.cost(message) - 1, self._now()):
            self._offend(Offence.FLOOD, row.name)
        else:
            self._handle(message)

    def _settle(self, row: Row, message: Message) -> bool:
        """Match an answer with its request. What may come unasked settles nothing: it may be no answer."""
        if self._may_come_unasked(row, row.items(message)):
            return True
        request = row.request(message)
        if request not in row.answers or not self._awaited[request]:
            return False
        self._awaited[request] -= 1
        return True

    def _offend(self, offence: Offence, detail: str) -> None:
        self._events.append(Offended(offence, detail))
        self._score += offence.score
        if self._score >= FATAL_SCORE:
            self._state = _State.DEAF

    # What the session does by itself.

    def _handle(self, message: Message) -> None:
        if isinstance(message, Hello):
            self._greet(message)
        elif isinstance(message, Goodbye):
            self._state = _State.ENDED
            self._events.append(Ended(message.reason, message.text, by_peer=True))
        elif isinstance(message, Ping):
            self._queue(Pong(message.nonce))
        elif isinstance(message, Pong):
            self._measure(message)
        else:
            self._events.append(Received(message))

    def _greet(self, hello: Hello) -> None:
        try:
            self._check_peer(hello)
            self._check_hello(hello)
        except Refused as refused:
            self._events += self._end(refused.reason, str(refused))
            return
        if self._outbound:
            self._queue(self._answer(hello))
        self.hello = hello
        self._state = _State.ESTABLISHED
        self._events.append(Established(hello))

    def _check_peer(self, hello: Hello) -> None:
        if self._outbound:
            own = PeerId(self._own_hello().key)
            check_server(hello, self._certificate, self._expected, own, self._network)
        else:
            check_client(hello, self._certificate, self._nonce, self._network)

    def _answer(self, hello: Hello) -> Hello:
        signature = self._sign(proof_bytes(self._network, self._certificate, hello.nonce))
        return replace(self._own_hello(), nonce=NO_NONCE, signature=signature)

    def _measure(self, pong: Pong) -> None:
        if pong.nonce != self._ping:
            self._offend(Offence.UNREQUESTED, "a pong of another nonce")
        elif self._pinged is not None:
            self.last_ping = self._now() - self._pinged
            self.best_ping = self.last_ping if self.best_ping is None else min(self.best_ping, self.last_ping)
