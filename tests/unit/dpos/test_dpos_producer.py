"""When blocks and votes are made, and what is said when they are not. Time is virtual."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import pytest
from unit.dpos.finality_world import BLANK, Toy, World
from unit.dpos.signer_world import GENESIS, KEYS, ONE, SCHEDULE, SPEC, THREE, TWO, Machine

from ioex_chain.dpos import duties
from ioex_chain.dpos.block import Block, Payload
from ioex_chain.dpos.clock_guard import ClockGuard
from ioex_chain.dpos.duties import Idle, Reason, SealDuty, VoteDuty
from ioex_chain.dpos.evidence import Offence
from ioex_chain.dpos.finality_ports import RecoveredSignatures
from ioex_chain.dpos.header import Header, SealedHeader
from ioex_chain.dpos.journal import Journal
from ioex_chain.dpos.producer import Event, Missed, Order, Producer, Sealed, Silent, Voted
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.dpos.signer import Signer
from ioex_chain.dpos.votes import Vote
from ioex_chain.primitives.errors import IoexError

OTHER = bytes([4]) * 20
T = TypeVar("T")
SET = ArbitratorSet(0, tuple(Member(key, key) for key in (ONE, TWO, THREE, OTHER)))


class Draft:
    def __init__(self, order: Order[Toy]) -> None:
        self.order = order
        time = SCHEDULE.slot_start(order.slot)
        self.header: Header = replace(
            BLANK, parent_hash=order.parent.hash, timestamp=time, number=order.parent.height + 1
        )

    def sealed(self, signature: bytes) -> Block:
        payload = Payload(self.order.certificate, self.order.evidence)
        return Block(SealedHeader(self.header, signature), (), (), payload, b"")


async def inline(call: Callable[[], T]) -> T:
    return call()


class Node:
    """A chain of one process that holds three of four keys; time passes only in `sleep`."""

    def __init__(self, start_slot: int = 0) -> None:
        self.burned: set[bytes] = set()
        self.world = World(SET)
        self.machine = Machine()
        self.time = float(SCHEDULE.slot_start(start_slot)) + 0.2
        self.step = 0.0
        self.guard = ClockGuard(lambda: self.time + self.step, lambda: self.time, 1, settle=15)
        self.best = self.world.genesis
        self.synced, self.late = True, False
        self.orders: list[Order[Toy]] = []
        self.blocks: list[Block] = []
        self.events: list[Event] = []
        self.build: Callable[[Order[Toy]], Draft | None] = Draft
        self.until = 0.0
        self.naps: list[float] = []
        journal = Journal(self.machine.file, self.machine.marker, GENESIS)
        self.signer = Signer(KEYS, journal, GENESIS, SCHEDULE, self.guard.now, window=SPEC.seats)
        self.producer = Producer(
            self,
            self.world.finality,
            self.world,
            self.signer,
            SCHEDULE,
            self.guard.now,
            max_evidence=8,
            sleep=self.sleep,
            offload=inline,
            report=self.events.append,
        )

    # the port

    def head(self) -> Toy:
        return self.best

    def slot_of(self, entry: Toy) -> int:
        return entry.slot

    def is_synced(self) -> bool:
        return self.synced

    def is_late(self, entry: Toy) -> bool:
        return self.late

    def tallest(self) -> int:
        return self.best.height

    def is_heard(self) -> bool:
        return self.synced

    async def assemble(self, order: Order[Toy]) -> Draft | None:
        self.orders.append(order)
        return self.build(order)

    async def publish(self, block: Block) -> None:
        self.blocks.append(block)
        parent = self.world.known[block.header.parent_hash]
        slot = SCHEDULE.slot_of(block.header.header.timestamp)
        toy = Toy(block.header.hash, parent.height + 1, slot, parent, block.payload, SET)
        self.take(toy)

    def is_counted(self, offence: Offence) -> bool:
        return offence.key in self.burned

    def cast(self, votes: Sequence[Vote]) -> None:
        for vote in votes:
            self.world.finality.on_vote(vote)

    # what the test does

    def take(self, toy: Toy) -> None:
        self.world.know(toy)
        self.world.connect(toy)
        self.best = toy
        self.producer.on_head()

    async def sleep(self, seconds: float) -> None:
        for _ in range(50):  # the votes of the last head come first
            await asyncio.sleep(0)
        if self.time + seconds > self.until:
            self.time = self.until
            self.stopped.set()
            await asyncio.Event().wait()
        self.time += seconds + (self.naps.pop(0) if self.naps else 0)

    async def run(self, slots: float) -> None:
        """Let `slots` slots pass."""
        self.until = self.time + slots * SPEC.block_time
        self.stopped = asyncio.Event()
        task = asyncio.create_task(self.producer.run())
        await asyncio.wait({task, asyncio.create_task(self.stopped.wait())}, return_when="FIRST_COMPLETED")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def missed(self) -> list[tuple[int, str]]:
        return [(one.slot, one.idle.reason) for one in self.events if isinstance(one, Missed)]

    def sealed(self) -> list[int]:
        return [one.slot for one in self.events if isinstance(one, Sealed)]


class Roster:
    """Forwards to a node, with the schedule's producer."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __getattr__(self, name: str) -> object:
        return getattr(self._node, name)

    def producer(self, parent: Toy, slot: int) -> Member | None:
        return SET.members[slot % 4]


@pytest.fixture
def node() -> Node:
    made = Node()
    made.producer._chain = Roster(made)  # type: ignore[assignment]
    made.world.finality._signatures = RecoveredSignatures(GENESIS)  # the signer's are real
    return made


async def test_it_seals_its_slots_votes_and_finalises(node: Node) -> None:
    await node.run(8.9)
    assert node.sealed() == [1, 2, 4, 5, 6, 8]
    assert node.missed() == []
    voted = [event for event in node.events if isinstance(event, Voted)]
    assert [event.count for event in voted] == [3] * 6
    assert node.world.finality.finalised.height == 5
    assert node.orders[1].certificate is not None
    assert node.orders[1].certificate.link.target.height == 1
    assert node.orders[1].fill_seconds == pytest.approx(10 / 3, abs=0.3)


async def test_it_is_silent_while_not_synced_and_says_so(node: Node) -> None:
    node.synced = False
    await node.run(4.5)
    assert node.blocks == []
    assert node.missed() == [(1, "not_synced"), (2, "not_synced"), (4, "not_synced")]
    assert node.producer.stats.missed == {"not_synced": 3}


async def test_a_head_that_moves_is_built_on_anew(node: Node) -> None:
    moved = False

    def build(order: Order[Toy]) -> Draft | None:
        nonlocal moved
        if order.slot == 2 and not moved:
            moved = True
            node.take(node.world.know(node.world.make(node.world.genesis, "another", slot=1)))
            return Draft(order)
        return Draft(order)

    node.build = build
    await node.run(3)
    second = [order for order in node.orders if order.slot == 2]
    assert len(second) == 2
    assert second[1].parent.hash != second[0].parent.hash
    assert node.blocks[-1].header.parent_hash == second[1].parent.hash


async def test_a_head_that_moves_for_ever_is_a_miss(node: Node) -> None:
    node.build = lambda order: None
    await node.run(2)
    assert node.missed()[0] == (1, "head_moved")


async def test_a_failed_assembly_is_a_miss_with_its_reason(node: Node) -> None:
    def build(order: Order[Toy]) -> Draft:
        raise IoexError("the state is gone")

    node.build = build
    await node.run(2)
    assert node.missed()[0] == (1, "assembly_failed")
    assert node.producer.stats.last_missed is not None
    assert node.producer.stats.last_missed.idle.detail == "the state is gone"


async def test_building_too_long_is_a_miss(node: Node) -> None:
    def build(order: Order[Toy]) -> Draft:
        node.time += 8
        return Draft(order)

    node.build = build
    await node.run(2)
    assert node.missed()[0] == (1, "too_late")
    assert node.blocks == []


@pytest.mark.parametrize("step", [7200.0, -7200.0])
async def test_a_stepped_clock_signs_nothing_and_says_why(node: Node, step: float) -> None:
    await node.run(9)
    sealed = len(node.blocks)
    node.step = step
    await node.run(1.4)
    silent = [event.idle for event in node.events if isinstance(event, Silent)]
    assert silent[-1] is not None
    assert silent[-1].reason == "clock_stepped"
    assert len(node.blocks) == sealed


async def test_slots_that_passed_in_silence_are_counted(node: Node) -> None:
    node.naps = [0, 0, 0, 41]  # the process does not run, the clocks do
    await node.run(8.9)
    assert node.sealed() == [1, 2, 8]
    assert node.missed() == [(4, "overslept"), (5, "overslept"), (6, "overslept")]


async def test_after_a_start_without_proof_it_listens_and_counts_the_misses() -> None:
    node = Node(start_slot=100)
    node.producer._chain = Roster(node)  # type: ignore[assignment]
    await node.run(8.5)
    assert node.missed() == [(100, "watching"), (101, "watching"), (102, "watching")]
    assert node.sealed() == [104, 105, 106, 108]


async def test_a_twin_stops_one_key_only(node: Node) -> None:
    await node.run(5)
    node.signer.saw_seal(ONE, 4, node.world.genesis.hash)
    await node.run(5)
    assert (8, "twin") in node.missed()
    assert {5, 6, 9} <= set(node.sealed())


async def test_blocks_seen_late_get_no_vote(node: Node) -> None:
    node.late = True
    await node.run(3)
    assert node.producer.stats.votes == 0
    assert node.producer.stats.not_voted["seen_late"] >= 2


# --- the decisions themselves -------------------------------------------------------------------------


def test_seal_duties() -> None:
    node = Node()
    view, keys = Roster(node), (ONE, TWO)

    def duty(slot: int, now: float = 1.0) -> object:
        return duties.seal_duty(view, SCHEDULE, keys, slot, SCHEDULE.slot_start(slot) + now)  # type: ignore[arg-type]

    found = duty(4)
    assert isinstance(found, SealDuty)
    assert (found.key, found.parent) == (ONE, node.world.genesis)
    assert duty(6) is None  # another's
    late = duty(4, 7.0)
    assert isinstance(late, tuple)
    assert late[1].reason == Reason.TOO_LATE
    node.best = node.world.make(node.world.genesis, slot=4)
    assert duty(4) is None


def test_vote_duties() -> None:
    node = Node()
    toy = node.world.add(node.world.genesis)
    view = Roster(node)

    def duty(head: Toy, first_slot: int = 0, keys: Sequence[bytes] = (THREE, ONE)) -> VoteDuty | Idle:
        link = node.world.finality.link_for(head)
        return duties.vote_duty(view, keys, head, link, node.world.set_at(head), first_slot)  # type: ignore[arg-type]

    assert duty(toy) == VoteDuty(node.world.link(toy), (ONE, THREE))
    reasons = [
        duty(node.world.genesis),
        duty(toy, first_slot=2),
        duty(toy, keys=(bytes(20),)),
        duty(node.world.make(toy)),
    ]
    assert [found.reason for found in reasons if isinstance(found, Idle)] == [
        Reason.GENESIS,
        Reason.BEFORE_START,
        Reason.NO_SEAT,
        Reason.SET_UNKNOWN,
    ]
