"""Links in memory: latency, jitter, bandwidth, loss, partitions, drops and unreachable nodes.

A link is a TCP connection: bytes arrive in order, in pieces of any size, late, or the link breaks. A lost
packet is a late one (TCP sends it again); a partition stalls its links, then they time out.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ioex_chain.p2p.links import Certificate, LinkHandler
from ioex_chain.p2p.types import Endpoint

from .scheduler import Scheduler, checksum

Accept = Callable[[Endpoint], LinkHandler | None]
"""Gives the handler of an inbound link, None to refuse it; `link_up` or `link_down` follows."""
PORT = 22338
"""Where all nodes listen."""
_SPLIT_ABOVE = 4
_HIGH_WATER = 1 << 20
_LOW_WATER = 1 << 18


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the network is like. Times in seconds, bandwidth in bytes a second."""

    latency: tuple[float, float] = (0.01, 0.15)
    """One way; each pair of nodes has its own value between these."""
    jitter: float = 0.02
    bandwidth: float = 2_000_000.0
    """Of each direction of a link."""
    loss: float = 0.002
    """Part of the pieces that have to be sent again."""
    resend: float = 0.4
    drop_every: float | None = None
    """Mean life of a link before something on its way breaks it."""
    dial_failure: float = 0.01
    dial_timeout: float = 5.0
    stall_limit: tuple[float, float] = (15.0, 40.0)
    """How long a link over a partition waits before it times out."""
    split: float = 0.2
    """Part of the pieces that arrive as two."""


class SimNetwork:
    """All machines and links of one world."""

    def __init__(self, scheduler: Scheduler, conditions: Conditions | None = None) -> None:
        self.scheduler = scheduler
        self.conditions = conditions or Conditions()
        self._chance = scheduler.stream("network")
        self._machines: dict[str, Machine] = {}
        self._latency: dict[tuple[str, str], float] = {}
        self._sides: dict[str, int] = {}
        self._links: dict[int, _Wire] = {}
        self._made = 0
        self.bytes_carried = 0
        self.broken = 0

    def machine(self, name: str, host: str) -> "Machine":
        """Give the machine at an IP address, new at the first call."""
        if host not in self._machines:
            self._machines[host] = Machine(self, name, host)
        return self._machines[host]

    def partition(self, *sides: list[str]) -> None:
        """Cut the network between groups of hosts; hosts that are not named stay with the first group."""
        self._sides = {host: number for number, side in enumerate(sides) for host in side}
        self.scheduler.note("network", f"partition {sorted(self._sides.values())}")
        for wire in list(self._links.values()):
            wire.recheck()

    def heal(self) -> None:
        """Join all again; links that have not timed out go on."""
        self._sides = {}
        self.scheduler.note("network", "healed")
        for wire in list(self._links.values()):
            wire.recheck()

    def is_cut(self, one: str, other: str) -> bool:
        """Whether a partition stands between two hosts."""
        return self._sides.get(one, 0) != self._sides.get(other, 0)

    def break_link(self) -> None:
        """Break one link by chance."""
        if self._links:
            wire = self._links[self._chance.choice(sorted(self._links))]
            wire.lose("connection reset")

    @property
    def links(self) -> int:
        """How many links there are."""
        return len(self._links)

    def latency(self, one: str, other: str) -> float:
        """Give the one-way latency of a pair."""
        pair = (min(one, other), max(one, other))
        if pair not in self._latency:
            chance = self.scheduler.stream(f"latency {pair}")
            self._latency[pair] = chance.uniform(*self.conditions.latency)
        return self._latency[pair]

    def connect(self, caller: "Machine", to: Endpoint, handler: LinkHandler) -> None:
        """Begin a dial; see `links.Network.dial`."""
        target = self._machines.get(to.host)
        answer = 2 * self.latency(caller.host, to.host)
        life = caller.life

        def fail(why: str) -> Callable[[], None]:
            return lambda: handler.link_down(why) if caller.life == life else None

        if self.is_cut(caller.host, to.host) or target is None or target.firewalled:
            self.scheduler.after(self.conditions.dial_timeout, fail("timed out"))
        elif self._chance.random() < self.conditions.dial_failure:
            self.scheduler.after(answer, fail("connection reset"))
        else:
            self.scheduler.after(answer, lambda: self._arrive(caller, life, target, to, handler))

    def _arrive(
        self, caller: "Machine", life: int, target: "Machine", to: Endpoint, handler: LinkHandler
    ) -> None:
        if caller.life != life:
            return
        listener = target.listeners.get(to.port)
        if listener is None or self.is_cut(caller.host, to.host):
            handler.link_down("connection refused")
            return
        self._made += 1
        wire = _Wire(self, self._made, caller, target, to, listener.certificate)
        other = listener.accept(wire.far.remote)
        if other is None:
            handler.link_down("connection reset")
            return
        if self._chance.random() < self.conditions.dial_failure:
            other.link_down("TLS: unexpected end")
            handler.link_down("TLS: unexpected end")
            return
        self._links[wire.number] = wire
        self.scheduler.note(caller.name, f"link {wire.number} to {target.name}")
        wire.open(handler, other)

    def forget(self, number: int) -> None:
        """Forget a link that is closed."""
        self._links.pop(number, None)

    def links_of(self, machine: "Machine") -> list["_Wire"]:
        """Give the links that end at a machine."""
        return [wire for wire in self._links.values() if machine in (wire.near.machine, wire.far.machine)]


@dataclass(frozen=True, slots=True)
class _Listener:
    accept: Accept
    certificate: Certificate


class Machine:
    """A computer with one IP address: a `links.Network`, and a place to listen. It outlives its node."""

    def __init__(self, network: SimNetwork, name: str, host: str) -> None:
        self.network = network
        self.name = name
        self.host = host
        self.listeners: dict[int, _Listener] = {}
        self.firewalled = False
        """Nobody can dial it (NAT); it dials others."""
        self.life = 0
        """Counts restarts: what an earlier life began concerns the next one no more."""

    def listen(self, port: int, certificate: Certificate, accept: Accept) -> None:
        """Listen with this certificate; `accept` is asked before the handshake."""
        self.listeners[port] = _Listener(accept, certificate)

    def dial(self, endpoint: Endpoint, handler: LinkHandler) -> None:
        """Begin to connect; the handler hears how it went, later."""
        self.network.connect(self, endpoint, handler)

    def power_off(self) -> None:
        """Die: nothing of this life happens any more; the others' ends break after a while."""
        self.life += 1
        self.listeners.clear()
        for wire in self.network.links_of(self):
            wire.die(self)


class _Wire:
    """A connection: two ends, and two directions with bytes on their way."""

    def __init__(
        self,
        network: SimNetwork,
        number: int,
        caller: Machine,
        target: Machine,
        to: Endpoint,
        certificate: Certificate,
    ) -> None:
        self.network = network
        self.number = number
        chance = network.scheduler.stream(f"link {number}")
        port = chance.randrange(32768, 61000)
        self.chance = chance
        self.near = _End(self, caller, to, certificate)
        self.far = _End(self, target, Endpoint(caller.host, port), certificate)
        self.near.other, self.far.other = self.far, self.near
        self.open_ = True
        self._deadline: Callable[[], None] | None = None

    def open(self, near: LinkHandler, far: LinkHandler) -> None:
        """Tell both ends; the calling one hears of it first."""
        self.near.handler, self.far.handler = near, far
        every = self.network.conditions.drop_every
        if every is not None:
            self.network.scheduler.after(self.chance.expovariate(1 / every), lambda: self.lose("reset"))
        far.link_up(self.far)
        if self.near.handler is not None:
            near.link_up(self.near)

    @property
    def is_cut(self) -> bool:
        """Whether a partition stalls it."""
        return self.network.is_cut(self.near.machine.host, self.far.machine.host)

    def recheck(self) -> None:
        """See whether a partition began or ended."""
        if self._deadline is not None:
            self._deadline()
            self._deadline = None
        if self.is_cut:
            limit = self.chance.uniform(*self.network.conditions.stall_limit)
            self._deadline = self.network.scheduler.after(limit, lambda: self.lose("timed out")).cancel
        else:
            self.near.pump()
            self.far.pump()

    def lose(self, why: str) -> None:
        """Break at both ends at once; what was on its way is lost."""
        if self.open_:
            self.network.broken += 1
            self.near.down(why)
            self.far.down(why)

    def die(self, machine: Machine) -> None:
        """One machine is gone without a word: the other end notices later."""
        mine, theirs = (self.near, self.far) if self.near.machine is machine else (self.far, self.near)
        mine.handler = None
        mine.queue.clear()
        limit = self.chance.uniform(0.2, 5.0)
        self.network.scheduler.after(limit, lambda: theirs.down("connection reset"))

    def ended(self) -> None:
        """Forget the link when both ends are down."""
        if self.near.handler is None and self.far.handler is None:
            self.open_ = False
            if self._deadline is not None:
                self._deadline()
            self.network.forget(self.number)


class _End:
    """One end: what it writes is queued here until the other end takes it."""

    def __init__(self, wire: _Wire, machine: Machine, remote: Endpoint, certificate: Certificate) -> None:
        self.wire = wire
        self.machine = machine
        self.remote = remote
        self.certificate = certificate
        self.handler: LinkHandler | None = None
        self.other: _End
        self.queue: deque[tuple[float, float, bytes]] = deque()
        """When each piece has left, when it arrives, and its bytes; an empty one is the end."""
        self._unsent: deque[tuple[float, int]] = deque()
        self._written: list[bytes] = []
        self._backlog = 0
        self._was_high = False
        self._sent_until = 0.0
        self._arrives = 0.0
        self._pumping = False
        self._closing = False

    # --- Link ---------------------------------------------------------------------------------------------

    @property
    def backlog(self) -> int:
        """Bytes written that the network has not taken yet."""
        return self._backlog

    def write(self, data: bytes) -> None:
        """Send bytes: what is written at one moment goes as one piece."""
        if self.handler is None or self._closing or not data:
            return
        if not self._written:
            self.wire.network.scheduler.after(0.0, self._flush)
        self._written.append(bytes(data))
        self._backlog += len(data)
        self._was_high |= self._backlog > _HIGH_WATER

    def close(self) -> None:
        """Send what was written, then close."""
        if self._closing or self.handler is None:
            return
        self._closing = True
        self._flush()
        self._put(b"")
        self.wire.network.scheduler.at(self._sent_until, lambda: self.down("closed"))

    def abort(self) -> None:
        """Close at once and drop what was written."""
        if self.handler is None:
            return
        self._closing = True
        self._written.clear()
        self.queue.clear()
        self._put(b"")
        self.wire.network.scheduler.after(0.0, lambda: self.down("aborted"))

    # --- on its way ---------------------------------------------------------------------------------------

    def _flush(self) -> None:
        if not self._written:
            return
        data = b"".join(self._written)
        self._written.clear()
        if self.handler is None:
            return
        chance, conditions = self.wire.chance, self.wire.network.conditions
        if len(data) > _SPLIT_ABOVE and chance.random() < conditions.split:
            at = chance.randrange(1, len(data))
            self._put(data[:at])
            data = data[at:]
        self._put(data)

    def _put(self, data: bytes) -> None:
        scheduler, conditions = self.wire.network.scheduler, self.wire.network.conditions
        chance = self.wire.chance
        self._sent_until = max(scheduler.now, self._sent_until) + len(data) / conditions.bandwidth
        delay = self.wire.network.latency(self.machine.host, self.other.machine.host)
        delay += chance.random() * conditions.jitter
        if chance.random() < conditions.loss:
            delay += conditions.resend
        self._arrives = max(self._arrives, self._sent_until + delay)
        self.queue.append((self._sent_until, self._arrives, data))
        if data:
            scheduler.at(self._sent_until, lambda: self._left(len(data)))
        self.pump()

    def _left(self, size: int) -> None:
        if self.wire.is_cut:  # the window is full: nothing leaves until the partition ends
            self._unsent.append((0.0, size))
            return
        self._backlog = max(0, self._backlog - size)
        if self._backlog <= _LOW_WATER and self._was_high:
            self._was_high = False
            if self.handler is not None:
                self.handler.link_drained()

    def pump(self) -> None:
        """Have the next piece delivered when it is due, unless a partition holds it."""
        if self.wire.is_cut:
            return
        while self._unsent:
            self._left(self._unsent.popleft()[1])
        if self.queue and not self._pumping:
            self._pumping = True
            self.wire.network.scheduler.at(self.queue[0][1], self._deliver)

    def _deliver(self) -> None:
        self._pumping = False
        if not self.queue or self.wire.is_cut:
            return
        if self.queue[0][1] > self.wire.network.scheduler.now:  # what was first has been dropped meanwhile
            self.pump()
            return
        data = self.queue.popleft()[2]
        taker = self.other
        if not data:
            taker.down("closed by the other end")
        elif taker.handler is not None and not taker._closing:
            network = self.wire.network
            network.bytes_carried += len(data)
            network.scheduler.note(
                taker.machine.name, f"link {self.wire.number} {len(data)} {checksum(data)}"
            )
            taker.handler.link_data(data)
        self.pump()

    def down(self, why: str) -> None:
        """Tell the handler, once, that it is over."""
        handler, self.handler = self.handler, None
        self._closing = True
        if handler is not None:
            self.wire.network.scheduler.note(self.machine.name, f"link {self.wire.number} down: {why}")
            handler.link_down(why)
            if self.other.handler is not None and not self.queue:
                self._put(b"")
        self.wire.ended()


def address_of(number: int) -> str:
    """Give the IPv4 address of a machine: public ones, each in a /16 of its own."""
    first = (11, 23, 31, 44, 52, 63, 74, 82, 93, 105, 121, 134, 146, 157, 163, 176, 184, 193, 207, 211)
    return f"{first[number % len(first)]}.{10 + number // len(first)}.{1 + number % 200}.7"
