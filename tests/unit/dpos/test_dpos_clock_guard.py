"""R13: a clock that jumped or differs from the peers' is not signed by."""

import pytest
from unit.dpos.signer_world import GENESIS, KEYS, ONE, SCHEDULE, Machine, link

from ioex_chain.dpos import signing_errors
from ioex_chain.dpos.clock_guard import ClockGuard, PeerClocks
from ioex_chain.dpos.journal import Journal
from ioex_chain.dpos.signer import Signer

TWO_HOURS = 7200.0


class Clocks:
    def __init__(self) -> None:
        self.wall = 1_001_000.0
        self.monotonic = 50.0
        self.peers = PeerClocks()
        self.guard = ClockGuard(
            lambda: self.wall,
            lambda: self.monotonic,
            1,
            settle=20,
            peers=self.peers.estimate,
        )

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def meet(self, count: int, off: float = 0.0) -> None:
        for number in range(count):
            self.peers.add(f"{off}-{number}", self.wall + off, self.monotonic)


def test_a_steady_clock_is_believed() -> None:
    clocks = Clocks()
    for _ in range(100):
        clocks.run(30)
        clocks.wall += 0.01  # slewed by NTP
        assert clocks.guard.now() == pytest.approx(clocks.wall)


@pytest.mark.parametrize("step", [TWO_HOURS, -TWO_HOURS, 1.5, -1.5])
def test_a_step_is_believed_only_after_a_while(step: float) -> None:
    clocks = Clocks()
    clocks.run(30)
    clocks.wall += step
    with pytest.raises(signing_errors.ClockStepped, match="jumped by"):
        clocks.guard.now()
    clocks.run(19)
    with pytest.raises(signing_errors.ClockStepped):
        clocks.guard.now()
    clocks.run(2)
    assert clocks.guard.now() == pytest.approx(clocks.wall)
    assert clocks.guard.steps == 1


@pytest.mark.parametrize("step", [TWO_HOURS, -TWO_HOURS])
def test_a_wrong_step_is_never_believed_against_peers(step: float) -> None:
    clocks = Clocks()
    clocks.meet(5)
    clocks.wall += step
    with pytest.raises(signing_errors.ClockStepped):
        clocks.guard.now()
    for _ in range(10):
        clocks.run(600)
        with pytest.raises(signing_errors.ClockOff, match="ahead" if step > 0 else "behind"):
            clocks.guard.now()
    clocks.wall -= step
    with pytest.raises(signing_errors.ClockStepped):
        clocks.guard.now()
    clocks.run(30)
    assert clocks.guard.now() == pytest.approx(clocks.wall)


def test_drift_is_found_by_peers() -> None:
    clocks = Clocks()
    clocks.meet(3)
    for _ in range(9):
        clocks.run(600)
        clocks.wall += 0.11
        clocks.guard.now()
    clocks.wall += 0.11
    with pytest.raises(signing_errors.ClockOff):
        clocks.guard.now()


def test_few_lying_peers_stop_nobody() -> None:
    clocks = Clocks()
    clocks.meet(2, off=500)
    clocks.guard.now()  # two are too few to say anything
    clocks.meet(3)
    clocks.guard.now()  # and here they are the minority
    clocks.meet(2, off=501)
    with pytest.raises(signing_errors.ClockOff):
        clocks.guard.now()
    clocks.peers.remove("501-0")
    clocks.peers.remove("501-1")
    clocks.guard.now()


def test_the_signer_signs_nothing_by_a_stepped_clock_and_listens_again() -> None:
    machine, clocks = Machine(), Clocks()
    journal = Journal(machine.file, machine.marker, GENESIS)
    signer = Signer(KEYS, journal, GENESIS, SCHEDULE, clocks.guard.now, window=4)
    while signer.slots_left:
        signer.tick(online=True, tallest=0)
        clocks.run(10)
    signer.sign_votes([ONE], link(0, 1))
    clocks.wall -= TWO_HOURS
    for _ in range(2):
        with pytest.raises(signing_errors.ClockStepped):
            signer.sign_votes([ONE], link(1, 2))
        clocks.run(5)
    clocks.run(20)
    assert [type(reason) for _, reason in signer.sign_votes([ONE], link(1, 2))[1]] == [
        signing_errors.Watching
    ]
    while signer.slots_left:
        signer.tick(online=True, tallest=1)
        clocks.run(10)
    assert signer.sign_votes([ONE], link(1, 2))[1] == []
