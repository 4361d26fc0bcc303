"""The simulation's own parts: without them right, no world says anything."""

from ioex_chain.p2p.links import Certificate, Link
from ioex_chain.p2p.types import Endpoint, PeerId

from .clock import SimClock
from .disk import SimDisk, SimStore
from .network import Conditions, Machine, SimNetwork, address_of
from .scheduler import Scheduler

CALM = Conditions(latency=(0.1, 0.1), jitter=0.0, loss=0.0, dial_failure=0.0, bandwidth=1_000.0, split=0.0)
ROUGH = Conditions(latency=(0.05, 0.1), jitter=0.2, loss=0.3, dial_failure=0.0, split=0.5)


class Recorder:
    """A handler that writes down what it hears."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.link: Link | None = None
        self.data: list[tuple[float, bytes]] = []
        self.down: tuple[float, str] | None = None
        self.drained = 0

    def link_up(self, link: Link) -> None:
        assert self.link is None
        assert self.down is None
        self.link = link

    def link_data(self, data: bytes) -> None:
        assert self.link is not None
        assert self.down is None
        self.data.append((round(self.scheduler.now, 6), data))

    def link_drained(self) -> None:
        self.drained += 1

    def link_down(self, why: str) -> None:
        assert self.down is None
        self.down = (round(self.scheduler.now, 6), why)

    @property
    def bytes(self) -> bytes:
        return b"".join(data for _, data in self.data)


def wired(conditions: Conditions) -> tuple[Scheduler, SimNetwork, Machine, Machine, Recorder, Recorder]:
    scheduler = Scheduler(7)
    network = SimNetwork(scheduler, conditions)
    one, other = network.machine("one", address_of(0)), network.machine("other", address_of(1))
    near, far = Recorder(scheduler), Recorder(scheduler)
    other.listen(99, Certificate(PeerId(b"k" * 32), bytes(32)), lambda _remote: far)
    one.dial(Endpoint(other.host, 99), near)
    scheduler.run(1.0)
    return scheduler, network, one, other, near, far


def test_events_come_in_the_order_of_time_then_of_calls() -> None:
    scheduler = Scheduler(1)
    seen: list[str] = []
    scheduler.after(2.0, lambda: seen.append("late"))
    scheduler.after(1.0, lambda: seen.append("first"))
    scheduler.after(1.0, lambda: seen.append("second"))
    scheduler.after(1.0, lambda: seen.append("never")).cancel()
    stop = scheduler.every(0.5, lambda: seen.append("tick"), first=1.6)
    scheduler.at(2.2, stop)
    scheduler.run(10.0)
    assert seen == ["first", "second", "tick", "late", "tick"]
    assert scheduler.now == 10.0


def test_streams_are_apart_and_follow_the_seed() -> None:
    one, same, other = Scheduler(1), Scheduler(1), Scheduler(2)
    first = one.stream("a").random()
    one.stream("b").random()
    assert one.stream("a").random() == same.stream("a").random() == first
    assert len({first, one.stream("b").random(), other.stream("a").random()}) == 3


def test_the_digest_tells_traces_apart() -> None:
    one, same, other = Scheduler(1), Scheduler(1), Scheduler(1)
    for scheduler, what in ((one, "x"), (same, "x"), (other, "y")):
        scheduler.note("n", what)
    assert one.digest == same.digest != other.digest


def test_bytes_arrive_in_order_and_late() -> None:
    scheduler, _, _, other, near, far = wired(CALM)
    assert near.link is not None
    assert far.link is not None
    assert near.link.remote == Endpoint(other.host, 99)
    assert far.link.remote.host == address_of(0)
    assert near.link.certificate == far.link.certificate
    start = scheduler.now
    near.link.write(b"a" * 100)
    near.link.write(b"b" * 100)
    assert near.link.backlog == 200
    scheduler.run(start + 1)
    assert far.data == [(start + 0.3, b"a" * 100 + b"b" * 100)]  # 0.2 s to send, 0.1 s on its way
    assert near.link.backlog == 0


def test_a_rough_network_keeps_order_and_loses_nothing() -> None:
    scheduler, _, _, _, near, far = wired(ROUGH)
    assert near.link is not None
    sent = b""
    for number in range(300):
        piece = bytes((number % 256,)) * (number % 40 + 1)
        near.link.write(piece)
        sent += piece
        scheduler.run(scheduler.now + 0.01)
    near.link.close()
    scheduler.run(scheduler.now + 30)
    assert far.bytes == sent
    assert len(far.data) > 100
    assert near.down is not None
    assert far.down is not None


def test_an_abort_drops_what_was_written() -> None:
    scheduler, network, _, _, near, far = wired(CALM)
    assert near.link is not None
    near.link.write(b"x" * 500)
    near.link.abort()
    assert near.down is None  # never from within the call
    scheduler.run(scheduler.now + 5)
    assert near.down is not None
    assert far.down is not None
    assert far.data == []
    assert network.links == 0


def test_a_short_partition_stalls_and_a_long_one_breaks() -> None:
    scheduler, network, one, other, near, far = wired(CALM)
    assert near.link is not None
    near.link.write(b"before")
    network.partition([one.host], [other.host])
    scheduler.run(scheduler.now + 10)
    assert far.data == []
    assert near.link.backlog == 6
    network.heal()
    scheduler.run(scheduler.now + 1)
    assert far.bytes == b"before"
    network.partition([one.host], [other.host])
    dialled = Recorder(scheduler)
    one.dial(Endpoint(other.host, 99), dialled)
    scheduler.run(scheduler.now + 60)
    assert near.down is not None
    assert far.down is not None
    assert dialled.down is not None
    assert network.links == 0


def test_a_backlog_that_was_high_is_told_when_it_is_gone() -> None:
    scheduler, _, _, _, near, _ = wired(CALM)
    assert near.link is not None
    for _ in range(20):
        near.link.write(b"x" * 60_000)
        scheduler.run(scheduler.now + 1)
    scheduler.run(scheduler.now + 500)
    assert near.drained == 0
    scheduler.run(scheduler.now + 600)
    assert near.drained == 1
    scheduler.run(scheduler.now + 600)
    assert near.drained == 1


def test_dials_fail_where_nobody_listens() -> None:
    scheduler, _, one, other, _, _ = wired(CALM)
    refused, unreachable, nowhere = (Recorder(scheduler) for _ in range(3))
    one.dial(Endpoint(other.host, 1), refused)
    one.dial(Endpoint(address_of(9), 99), nowhere)
    other.firewalled = True
    one.dial(Endpoint(other.host, 99), unreachable)
    scheduler.run(scheduler.now + 10)
    for recorder in (refused, unreachable, nowhere):
        assert recorder.link is None
        assert recorder.down is not None


def test_a_machine_that_loses_power_says_nothing() -> None:
    scheduler, network, _, other, near, far = wired(CALM)
    assert near.link is not None
    near.link.write(b"on its way")
    other.power_off()
    scheduler.run(scheduler.now + 10)
    assert far.data == []
    assert far.down is None
    assert near.down is not None
    assert network.links == 0


def test_a_crash_takes_back_what_was_not_synced() -> None:
    disk = SimDisk()
    store = SimStore(disk)
    store.write({b"a": b"1", b"b": b"1"})
    store.write({b"a": b"2", b"c": b"2"}, sync=False)
    store.write({b"a": None, b"b": b"3"}, sync=False)
    disk.cut_power()
    assert dict(store.scan(b"")) == {b"a": b"1", b"b": b"1"}
    store.write({b"a": b"4"}, sync=False)
    store.write({b"b": b"5"})
    disk.cut_power()
    assert dict(store.scan(b"")) == {b"a": b"4", b"b": b"5"}


def test_a_clock_drifts_and_steps() -> None:
    scheduler = Scheduler(1)
    clock = SimClock(scheduler, 1_000, offset=-2, drift=0.01)
    scheduler.run(100.0)
    assert clock.now() == 1_099
    clock.step(-7_200)
    assert clock.now() == 1_099 - 7_200
