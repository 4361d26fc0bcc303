"""Which blocks are asked of whom: rules by example, and a world of losses where everything must complete."""

from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioex_chain.ledger.sync import Arrival, Planner, SyncLimits
from ioex_chain.ledger.types import Entry, Status


@dataclass(frozen=True)
class Header:
    hash: bytes
    parent_hash: bytes

    def encode(self) -> bytes:
        return self.parent_hash + self.hash


def never(_hash):
    raise AssertionError("every entry holds its parent")


def genesis():
    return Entry(Header(b"genesis", b""), 0, 0, Status.BODY | Status.CONNECTED, 1, None, never)


def grow(parent, count, name="", weight=1):
    made = []
    for _ in range(count):
        height = parent.height + 1
        header = Header(f"{name}{height}".encode(), parent.hash)
        parent = Entry(header, height, parent.weight + weight, Status.HEADER, 0, parent, never)
        made.append(parent)
    return made


class Chain:
    """What the ledger does with bodies: numbers them when all below are here, and moves the head."""

    def __init__(self, root, entries):
        self.root = self.head = root
        self.entries = entries

    def store(self, entry):
        entry.status |= Status.BODY
        for other in self.entries:
            if other.status & Status.BODY and not other.sequence and other.parent.sequence:
                other.sequence = 1
                if other.weight > self.head.weight and not other.status.is_invalid:
                    self.head = other


LIMITS = SyncLimits(window=16, peer_blocks=8, first_size=1_000)


def world(count, *numbers, limits=LIMITS):
    root = genesis()
    entries = grow(root, count)
    planner = Planner(limits)
    for number in numbers:
        planner.add_peer(number)
        planner.set_best(number, entries[-1])
    return root, entries, planner


def heights(plan):
    return {number: [entry.height for entry in entries] for number, entries in plan}


def test_lowest_blocks_first_spread_over_peers_inside_the_window():
    root, _, planner = world(40, 1, 2, 3)
    assert heights(planner.plan(root, 0.0)) == {1: [*range(1, 9)], 2: [*range(9, 17)]}
    assert planner.plan(root, 0.0) == []


def test_a_peer_is_asked_only_for_what_its_chain_has():
    root, entries, planner = world(10)
    for number, height in ((1, 3), (2, 10)):
        planner.add_peer(number)
        planner.set_best(number, entries[height - 1])
    asked = heights(planner.plan(root, 0.0))
    assert asked == {1: [1, 2, 3], 2: [4, 5, 6, 7, 8, 9, 10]}


def test_a_chain_that_is_not_heavier_than_ours_is_not_wanted():
    root = genesis()
    ours, theirs = grow(root, 5, "a"), grow(root, 5, "b")
    chain = Chain(root, ours)
    for entry in ours:
        chain.store(entry)
    planner = Planner(LIMITS)
    planner.add_peer(1)
    planner.set_best(1, theirs[-1])
    assert planner.plan(chain.head, 0.0) == []
    planner.set_best(1, grow(theirs[-1], 1, "b")[-1])
    assert heights(planner.plan(chain.head, 0.0)) == {1: [1, 2, 3, 4, 5, 6]}


def test_large_blocks_are_asked_a_few_at_a_time():
    root, entries, planner = world(40, 1, 2, 3, 4, 5, limits=SyncLimits())
    for number, _ in planner.plan(root, 0.0):
        planner.drop_peer(number)
    planner.size = 8_000_000.0
    for number in range(10, 20):
        planner.add_peer(number)
        planner.set_best(number, entries[-1])
    asked = heights(planner.plan(root, 0.0))
    assert all(len(of_one) <= 2 for of_one in asked.values())
    assert sum(map(len, asked.values())) == 8


def test_the_estimate_rises_at_once_and_falls_slowly():
    root, entries, planner = world(8, 1)
    planner.plan(root, 0.0)
    planner.arrived(1, entries[0].hash, 500_000, 0.0)
    assert planner.size == 500_000
    planner.arrived(1, entries[1].hash, 1_000, 0.0)
    assert planner.size == pytest.approx(450_100)


def test_what_is_refused_goes_to_another_and_never_back():
    root, entries, planner = world(3, 1, 2)
    planner.plan(root, 0.0)
    assert planner.refuse(1, entries[0].hash)
    assert not planner.refuse(1, b"something else")
    assert heights(planner.plan(root, 0.0)) == {2: [1]}
    planner.drop_peer(2)
    assert heights(planner.plan(root, 0.0)) == {}


def test_an_invalid_block_takes_all_above_it_out_of_the_plan():
    root, entries, planner = world(8, 1)
    planner.plan(root, 0.0)
    chain = Chain(root, entries)
    for entry in entries[:2]:
        planner.arrived(1, entry.hash, 100, 0.0)
        chain.store(entry)
        planner.settled(entry.hash)
    entries[2].status |= Status.INVALID
    for entry in entries[3:]:
        entry.status |= Status.INVALID_ANCESTOR
    planner.drop_peer(1)
    planner.add_peer(2)
    planner.set_best(2, entries[-1])
    assert planner.plan(chain.head, 0.0) == []
    assert planner.best(2) is entries[1]


def test_a_late_block_is_still_of_use_and_a_second_copy_is_not_blamed():
    root, entries, planner = world(4, 1, 2)
    planner.plan(root, 0.0)
    (stall,) = planner.expired(100.0)
    assert (stall.number, len(stall.hashes)) == (1, 4)
    assert heights(planner.plan(root, 100.0)) == {2: [1, 2, 3, 4]}
    assert planner.arrived(1, entries[0].hash, 100, 100.0) is Arrival.WANTED
    assert planner.arrived(2, entries[0].hash, 100, 100.0) is Arrival.LATE
    assert planner.arrived(2, entries[0].hash, 100, 100.0) is Arrival.UNASKED


def test_patience_grows_with_every_stall_and_returns():
    root, entries, planner = world(30, 1)
    now = 0.0
    for _ in range(5):
        planner.plan(root, now)
        now += 1_000.0
        assert len(planner.expired(now)) == 1
    assert planner.patience == LIMITS.max_patience
    planner.plan(root, now)
    for entry in entries[:8]:
        planner.arrived(1, entry.hash, 100, now)
    assert planner.patience < LIMITS.max_patience


def test_a_silent_peer_rests_while_others_can_go_on():
    root, _, planner = world(4, 1, 2)
    planner.plan(root, 0.0)
    planner.expired(100.0)
    assert heights(planner.plan(root, 100.0)) == {2: [1, 2, 3, 4]}
    planner.drop_peer(2)
    assert heights(planner.plan(root, 100.0)) == {1: [1, 2, 3, 4]}


def test_what_another_part_fetches_never_expires_here():
    root, entries, planner = world(1, 1, 2)
    assert planner.expect(1, entries[0].hash, None, 0.0)
    assert planner.plan(root, 0.0) == []
    assert planner.expired(10_000.0) == []
    assert planner.release(1, entries[0].hash)
    assert heights(planner.plan(root, 0.0)) == {1: [1]}


def test_bodies_that_were_lost_are_asked_again_after_a_reset():
    root, entries, planner = world(4, 1)
    chain = Chain(root, entries)
    planner.plan(root, 0.0)
    for entry in entries:
        planner.arrived(1, entry.hash, 100, 0.0)
        chain.store(entry)
        planner.settled(entry.hash)
    for entry in entries[2:]:
        entry.status, entry.sequence = Status.HEADER, 0
    planner.reset()
    assert heights(planner.plan(entries[1], 0.0)) == {1: [3, 4]}


def test_a_branch_far_longer_than_headers_may_lead_is_left_alone():
    root, _, planner = world(5_000, 1, limits=SyncLimits(max_lead=100))
    assert planner.plan(root, 0.0) == []


# --- any order of deliveries and losses ------------------------------------------------------------------


class World:
    """Peers of which some lose, lie or vanish; peer 0 is honest. Chance decides what happens next."""

    def __init__(self, seed, peers, length, fork):
        self.chance = Random(seed)
        self.root = genesis()
        main = grow(self.root, length, "m")
        side = grow(main[fork - 1] if fork else self.root, (length - fork) // 2, "s") or main
        self.chain = Chain(self.root, [*main, *side])
        self.tips = {number: self.chance.choice((main, main, side))[-1] for number in range(peers)}
        self.tips[0] = main[-1]
        self.now = 0.0
        self.planner = Planner(LIMITS)
        self.owed = {}
        self.active = {}
        self.goal = main[-1]
        for number, tip in self.tips.items():
            self.join(number, tip)

    def join(self, number, tip):
        self.owed[number] = []
        self.planner.add_peer(number)
        step = self.chance.randrange(1, 12)
        path = self.path(tip)
        for entry in [*path[::step], tip]:  # headers come in parts
            self.planner.set_best(number, entry)

    def path(self, tip):
        found = []
        while tip.height:
            found.append(tip)
            tip = tip.parent
        return found[::-1]

    def plan(self):
        for number, entries in self.planner.plan(self.chain.head, self.now):
            assert len(entries) <= LIMITS.peer_blocks
            for entry in entries:
                assert entry.hash not in self.active, "asked of two peers at a time"
                assert not entry.status & Status.BODY
                assert entry in self.path(self.tips[number]), "asked of a peer that has not got it"
                self.active[entry.hash] = number
                self.owed[number].append(entry)
            assert len(self.planner.requested(number)) <= LIMITS.peer_blocks
        for number, hash_ in [(n, h) for h, n in self.active.items()]:
            assert self.planner.asked_of(hash_) == number

    def step(self):
        self.now += self.chance.random() * 3
        number = self.chance.choice(list(self.owed))
        move = self.chance.random()
        if not self.owed[number]:
            pass
        elif number == 0 or move < 0.6:
            self.deliver(number, self.owed[number].pop(0))
        elif move < 0.75:
            self.lie(number, self.owed[number].pop(0))
        elif move < 0.8:
            self.vanish(number)
        for stall in self.planner.expired(self.now):
            for hash_ in stall.hashes:
                assert self.active.pop(hash_) == stall.number
        self.plan()

    def deliver(self, number, entry):
        arrival = self.planner.arrived(number, entry.hash, 1_000, self.now)
        assert arrival is not Arrival.UNASKED
        if arrival is Arrival.WANTED or self.active.get(entry.hash) == number:
            self.active.pop(entry.hash, None)
        if arrival is Arrival.WANTED:
            self.chain.store(entry)
            self.planner.settled(entry.hash)

    def lie(self, number, entry):
        if self.active.get(entry.hash) == number:
            del self.active[entry.hash]
        self.planner.refuse(number, entry.hash)

    def vanish(self, number):
        del self.owed[number]
        for hash_ in [h for h, n in self.active.items() if n == number]:
            del self.active[hash_]
        self.planner.drop_peer(number)


@given(
    seed=st.integers(0, 1 << 30),
    peers=st.integers(1, 6),
    length=st.integers(1, 60),
    cut=st.integers(0, 59),
)
@settings(max_examples=150)
def test_everything_completes_while_one_honest_peer_stays(seed, peers, length, cut):
    world = World(seed, peers, length, min(cut, length - 1))
    world.plan()
    for _ in range(3_000):
        if world.chain.head is world.goal:
            break
        world.step()
    assert world.chain.head is world.goal
