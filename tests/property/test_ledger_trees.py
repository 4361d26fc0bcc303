"""Random trees of blocks in every order of arrival, against a model that only knows the rules.

The model keeps the blocks, the marks and the floor; from them it says which block must be the head, and a
replay from genesis on a fresh store says what the state must be.
"""

from dataclasses import dataclass, field

import pytest
from chaingen.toy import (
    BAD,
    CODEC,
    GENESIS,
    TICKET_GENESIS,
    CounterMachine,
    TicketMachine,
    ToyBlock,
    block_on,
    counter_body,
    open_toy,
    replay,
    state_rows,
    ticket_body,
)
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ioex_chain.ledger.errors import (
    BelowFloor,
    InvalidBlock,
    LedgerError,
    MutatedBlock,
    Rejected,
    UnknownBlock,
)
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import Entry, HeadChanged, Status
from ioex_chain.ledger.verify import check, reindex, state_digest
from ioex_chain.primitives.types import BlockHash

counter_bodies = st.lists(st.tuples(st.integers(0, 2), st.integers(-60, 40)), max_size=3).map(counter_body)
ticket_bodies = st.lists(st.integers(-5, 5).filter(bool), max_size=3).map(ticket_body)
picks = st.integers(0, 1 << 16)


@dataclass
class Model:
    """What the ledger was told and took."""

    machine: CounterMachine | TicketMachine
    genesis: ToyBlock
    blocks: dict[BlockHash, ToyBlock] = field(default_factory=dict)
    bodies: set[BlockHash] = field(default_factory=set)
    order: dict[BlockHash, int] = field(default_factory=dict)
    marked: set[BlockHash] = field(default_factory=set)
    floor: BlockHash = field(init=False)
    next: int = 1

    def __post_init__(self) -> None:
        self.floor = self.genesis.hash
        self.blocks[self.floor] = self.genesis
        self.took(self.genesis)

    def path(self, block: ToyBlock) -> list[ToyBlock]:
        path = [block]
        while path[-1].hash != self.genesis.hash:
            path.append(self.blocks[path[-1].header.parent_hash])
        return path[::-1]

    def above(self, hash_: BlockHash) -> list[BlockHash]:
        return [
            other for other, block in self.blocks.items() if hash_ in {step.hash for step in self.path(block)}
        ]

    def took(self, block: ToyBlock) -> None:
        self.bodies.add(block.hash)
        if block is self.genesis or block.header.parent_hash in self.order:
            self.number([block.hash])

    def number(self, level: list[BlockHash]) -> None:
        for hash_ in level:  # grows while it is walked
            self.order[hash_] = self.next
            self.next += 1
            children = (b for b in self.bodies if self.blocks[b].header.parent_hash == hash_)
            level.extend(sorted(children))

    def is_valid(self, block: ToyBlock) -> bool:
        overlay = Overlay(MemoryStore())
        try:
            for height, step in enumerate(self.path(block)):
                self.machine.check_block(step)
                entry = Entry(step.header, height, 0, Status.HEADER, 0, None, lambda _: None)
                self.machine.connect(step, entry, overlay)
        except InvalidBlock:
            return False
        return True

    def may_be_head(self, hash_: BlockHash) -> bool:
        path = [step.hash for step in self.path(self.blocks[hash_])]
        return self.floor in path and not self.marked.intersection(path) and self.is_valid(self.blocks[hash_])

    def head(self) -> BlockHash:
        def rank(hash_: BlockHash) -> tuple[int, int]:
            return sum(step.header.work for step in self.path(self.blocks[hash_])[1:]), -self.order[hash_]

        for hash_ in sorted(self.order, key=rank, reverse=True):
            if self.may_be_head(hash_):
                return hash_
        raise AssertionError("genesis may always be the head")


class Trees(RuleBasedStateMachine):
    machine: CounterMachine | TicketMachine
    genesis: ToyBlock
    bodies = counter_bodies
    window = 2048
    most_work = 3

    @initialize()
    def start(self) -> None:
        self.model = Model(self.machine, self.genesis)
        self.pool = [self.genesis]
        self.store = MemoryStore()
        self.followed: list[BlockHash] = [self.genesis.hash]
        self.restart()

    def pick(self, number: int) -> ToyBlock:
        return self.pool[number % len(self.pool)]

    def follow(self, event: HeadChanged | None) -> None:
        """An event must lead from the chain that was to the chain that is."""
        if event is None:
            return
        for entry in event.disconnected:
            assert self.followed.pop() == entry.hash
        self.followed.extend(done.entry.hash for done in event.connected)
        assert self.followed[-1] == event.head.hash

    @rule(parent=picks, recent=st.booleans(), data=st.data(), work=picks, bad=st.integers(0, 15))
    def make_block(self, parent: int, recent: bool, data: st.DataObject, work: int, bad: int) -> None:
        below = self.pool[-1] if recent else self.pick(parent)
        body = BAD if bad == 0 else data.draw(self.bodies)
        block = block_on(below.hash, body, work=1 + work % self.most_work, note=len(self.pool))
        self.pool.append(block)
        self.model.blocks[block.hash] = block

    @rule(number=picks)
    def send_header(self, number: int) -> None:
        try:
            self.ledger.accept_header(self.pick(number).header)
        except Rejected:
            return

    @rule(number=picks)
    def send_block(self, number: int) -> None:
        self._send(self.pick(number))

    @rule()
    def send_all_in_order(self) -> None:
        for block in self.pool:
            self._send(block)

    def _send(self, block: ToyBlock) -> None:
        try:
            self.follow(self.ledger.accept_block(block))
        except Rejected:
            entry = self.ledger.entry(block.hash)
            if entry is None or not entry.status & Status.BODY:
                return
        if block.hash not in self.model.bodies:
            self.model.took(block)

    @rule(number=picks)
    def send_another_body(self, number: int) -> None:
        block = self.pick(number)
        try:
            assert self.ledger.accept_block(ToyBlock(block.header, b"other")) is None
        except MutatedBlock:
            assert not self.ledger.entry(block.hash).status.is_invalid
        except Rejected:
            return

    @rule(number=picks)
    def invalidate(self, number: int) -> None:
        block = self.pick(number)
        try:
            self.follow(self.ledger.invalidate(block.hash))
        except (BelowFloor, UnknownBlock):
            return
        self.model.marked.add(block.hash)

    @rule(number=picks)
    def reconsider(self, number: int) -> None:
        block = self.pick(number)
        try:
            self.follow(self.ledger.reconsider(block.hash))
        except UnknownBlock:
            return
        below = {step.hash for step in self.model.path(block)}
        self.model.marked -= below | set(self.model.above(block.hash))

    @rule(number=picks, seldom=st.integers(0, 5))
    def finalize(self, number: int, seldom: int) -> None:
        block = self.pick(number)
        if seldom:
            return
        try:
            self.follow(self.ledger.finalize(block.hash))
        except LedgerError:
            return
        if self.model.floor not in self.model.above(block.hash):
            self.model.floor = block.hash

    @rule(count=st.integers(1, 3))
    def roll_back_and_restart(self, count: int) -> None:
        try:
            event = self.ledger.rollback(count)
        except (ValueError, BelowFloor):
            return
        self.follow(event)
        self.state_is_a_replay()
        for hash_ in self.model.above(event.disconnected[-1].hash):
            self.model.order.pop(hash_, None)
        self.model.bodies -= {entry.hash for entry in event.disconnected}
        self.restart()

    @rule()
    def restart(self) -> None:
        self.ledger = open_toy(self.store, self.machine, genesis=self.genesis, window=self.window)
        known = [self.ledger.entry_at(height) for height in range(self.ledger.head.height + 1)]
        self.followed = [entry.hash for entry in known]

    @invariant()
    def head_is_the_models(self) -> None:
        assert self.ledger.head.hash == self.model.head()
        assert self.followed == [step.hash for step in self.model.path(self.model.blocks[self.followed[-1]])]

    @invariant()
    def state_is_a_replay(self) -> None:
        assert state_rows(self.ledger) == replay(self.ledger, self.machine)

    @invariant()
    def database_is_sound(self) -> None:
        assert check(self.store, CODEC).problems == []

    def teardown(self) -> None:
        if not hasattr(self, "ledger"):
            return
        fresh = MemoryStore()
        rebuilt = open_toy(fresh, self.machine, genesis=self.genesis, window=self.window)
        reindex(self.store, rebuilt, CODEC)
        assert rebuilt.head.hash == self.ledger.head.hash
        assert state_digest(fresh) == state_digest(self.store)


class CounterTrees(Trees):
    machine = CounterMachine()
    genesis = GENESIS


class TicketTrees(Trees):
    machine = TicketMachine()
    genesis = TICKET_GENESIS
    bodies = ticket_bodies


class SmallWindow(CounterTrees):
    """Most of the tree is on disk. All blocks weigh the same, so that no better branch ends below."""

    window = 1
    most_work = 1


@pytest.mark.parametrize("trees", [CounterTrees, TicketTrees, SmallWindow])
def test_head_and_state_follow_from_the_rules(trees: type[Trees]) -> None:
    run_state_machine_as_test(
        trees,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
