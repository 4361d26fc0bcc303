"""The light client contract against the node's own ledger and PoW rules, on random trees of headers.

Both get the same headers at the same time: forks, ties, orphans, wrong bits, times and work, merged-mined
headers with sound and broken records, changes of branch up to the limit and beyond it, and the owner's word
for deeper ones. After every step both have decided alike and have the same chain.
"""

from collections.abc import Callable
from random import Random

import pytest
from chaingen.builder import auxpow, solve
from chaingen.light_world import OWNER, BareBlock, LightWorld, Reverted, open_bare
from chaingen.specs import story_spec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ioex_chain.ledger.errors import InvalidHeader, NotYetValid
from ioex_chain.ledger.types import Entry
from ioex_chain.pow import errors
from ioex_chain.pow.consensus import PowEngine
from ioex_chain.pow.difficulty import next_bits, target_of
from ioex_chain.pow.header import AUXPOW_BIT, Header
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import NetworkSpec

LIMIT, BURIED = 6, 2
FIXED = story_spec(max_reorg_depth=LIMIT, burial_depth=BURIED)
ASERT = story_spec(
    max_reorg_depth=LIMIT,
    burial_depth=BURIED,
    fixed_difficulty=False,
    genesis_bits=0x203FFFFF,
    spacing=10,
    half_life=100,
)
DELTAS = (10, 12, 30, 4, 10, 1, 120, 10, -1, -20)
HARDEST = 1 << 246
"""No header is mined below this target: a thousand hashes each."""
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (errors.WrongBits, "bits"),
    (errors.HighHash, "work"),
    (errors.TimeTooOld, "time"),
    (errors.TimeTooNew, "later"),
    (errors.AuxPowError, "auxpow"),
)
PLACES = ("below", "head", "last", "any")
picks = st.integers(0, 1 << 16)


def _broken_script(commitment: bytes) -> bytes:
    return commitment[:40] + b"\x09\0\0\0"


FAULTS: dict[str, Callable[[NetworkSpec, Header], Header]] = {
    "no work": lambda _, header: solve(header, met=False),
    "other bits": lambda _, header: _solved(header, bits=header.bits - 1),
    "harder bits": lambda _, header: _solved(header, bits=0x2007FFFF),
    "no bits": lambda _, header: Header.build(*_fields(header, bits=0x20800000)),
    "record missing": lambda spec, header: Header(_merged_core(spec, header)),
    "record unfit": lambda spec, header: _merged(spec, header, script=_broken_script),
    "record without work": lambda spec, header: _merged(spec, header, met=False),
    "record of the wrong parent": lambda spec, header: _merged(spec, header, parent_version=0x494F0000),
    "record too deep": lambda spec, header: _merged(spec, header, depth=31),
}


def _fields(header: Header, **changes: int) -> tuple[int, bytes, bytes, int, int, int]:
    known = {"time": header.time, "bits": header.bits, "version": header.version} | changes
    return (known["version"], header.parent_hash, header.merkle_root, known["time"], known["bits"], 0)


def _solved(header: Header, **changes: int) -> Header:
    return solve(Header.build(*_fields(header, **changes)))


def _merged_core(spec: NetworkSpec, header: Header) -> bytes:
    return (spec.pow.auxpow_chain_id << 16 | AUXPOW_BIT).to_bytes(4, "little") + header.core[4:]


def _merged(spec: NetworkSpec, header: Header, **changes: object) -> Header:
    core = _merged_core(spec, header)
    return Header(core, auxpow(spec, Header(core), **changes))  # type: ignore[arg-type]


class Trees(RuleBasedStateMachine):
    spec = FIXED

    @initialize()
    def start(self) -> None:
        self.clock = FixedClock(self.spec.pow.genesis_time + 100)
        self.ledger = open_bare(self.spec, self.clock)
        self.engine = PowEngine(self.spec.pow)
        self.light = LightWorld(self.spec)
        genesis = self.ledger.genesis.header
        self.nodes: dict[BlockHash, tuple[int, Header]] = {genesis.hash: (0, genesis)}
        self.pool = [genesis]
        self.made = 0
        self.allowed: BlockHash | None = None
        self.buried: set[BlockHash] = set()
        self.deepest = self.deep = 0

    # --- making headers ---

    def on(self, parent: Header, delta: int, merged: bool) -> Header | None:
        """A sound header on any that was made; None where it would be too much work."""
        height = self.nodes[parent.hash][0]
        bits = next_bits(self.spec.pow, height, parent.time)
        if target_of(bits) < HARDEST:
            return None
        self.made += 1
        root = self.made.to_bytes(32, "big")
        header = Header.build(0x2000_0000, parent.hash, root, max(1, parent.time + delta), bits, 0)
        return _merged(self.spec, header) if merged else solve(header)

    def keep(self, header: Header) -> None:
        self.pool.append(header)
        height = self.nodes[header.parent_hash][0] + 1
        self.nodes[header.hash] = (height, header)

    def parent(self, where: str, number: int) -> Header:
        """A header to build on: the head, one below it, the last one made, or any."""
        if where == "head":
            return self.ledger.head.header
        if where == "below":
            height = max(0, self.ledger.head.height - 1 - number % (LIMIT + 2))
            return self.ledger.entry_at(height).header
        return self.pool[-1] if where == "last" else self.pool[number % len(self.pool)]

    @rule(
        where=st.sampled_from(PLACES),
        number=picks,
        deltas=st.lists(st.sampled_from(DELTAS), min_size=1, max_size=LIMIT + 4),
        merged=st.integers(0, 8),
        send=st.sampled_from((True, True, True, False)),
    )
    def grow(self, where: str, number: int, deltas: list[int], merged: int, send: bool) -> None:
        at = self.parent(where, number)
        for place, delta in enumerate(deltas):
            header = self.on(at, delta, merged == place)
            if header is None:
                return
            self.keep(header)
            self.clock.time = max(self.clock.time, header.time)
            if send and self.submit(header):
                return
            at = header

    @rule(where=st.sampled_from(PLACES), number=picks, fault=st.sampled_from(sorted(FAULTS)))
    def grow_wrongly(self, where: str, number: int, fault: str) -> None:
        header = self.on(self.parent(where, number), 10, merged=False)
        if header is not None:
            wrong = FAULTS[fault](self.spec, header)
            assert self.submit(wrong), f"{fault} was taken"

    @rule(seconds=st.sampled_from((600, 601)))
    def grow_in_the_future(self, seconds: int) -> None:
        header = self.on(self.ledger.head.header, 10, merged=False)
        if header is not None:
            ahead = _solved(header, time=self.clock.time + seconds)
            assert (self.submit(ahead) == "later") == (seconds > 600)
            self.keep(ahead)

    @rule(seconds=st.integers(1, 200))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    # --- submitting ---

    @rule(number=picks)
    def send(self, number: int) -> None:
        self.submit(self.pool[number % len(self.pool)])

    @rule()
    def send_all(self) -> None:
        for header in self.pool:
            self.submit(header)

    def submit(self, header: Header) -> str:
        """Give a header to both, and the light client's reason."""
        self.light.time = self.clock.time
        expected = self.verdict(header)
        reason = self.light.refused(header)
        assert reason.startswith(expected) if expected else not reason, (reason, expected)
        if not expected:
            self.follow(header)
        return reason

    def verdict(self, header: Header) -> str:
        """What the light client must answer, by the ledger's tree and the PoW chain's rules."""
        if self.ledger.entry(header.hash) is not None:
            return "known"
        parent = self.ledger.entry(header.parent_hash)
        if parent is None:
            return "orphan"
        try:
            header = Header.decode(header.encode())
            self.engine.check_header(header, parent, self.clock.now())
        except (InvalidHeader, NotYetValid) as error:
            return next(reason for kind, reason in REASONS if isinstance(error, kind))
        except DecodeError:
            return "auxpow"
        return "deep" if self.is_too_deep(header, parent) else ""

    def is_too_deep(self, header: Header, parent: Entry[Header]) -> bool:
        head = self.ledger.head
        if head.height - parent.height > LIMIT and self.allowed is None:
            return True
        if parent.weight + self.engine.weight(header, parent) <= head.weight:
            return False
        fork = self.ledger.fork_point(parent, head)
        return head.height - fork.height > LIMIT and not self.is_allowed(parent, fork.height)

    def is_allowed(self, entry: Entry[Header], fork: int) -> bool:
        found = None if self.allowed is None else self.ledger.entry(self.allowed)
        if found is None or not fork < found.height <= entry.height:
            return False
        return self.ledger.ancestor(entry, found.height) is found

    def follow(self, header: Header) -> None:
        event = self.ledger.accept_block(BareBlock(header))
        if event is None:
            return
        gone = {entry.hash for entry in event.disconnected}
        self.deepest = max(self.deepest, len(gone))
        self.deep += bool(gone & self.buried)
        self.buried -= gone
        top = self.ledger.head.height - BURIED
        self.buried.update(entry.hash for height in range(top + 1) if (entry := self.ledger.entry_at(height)))
        if self.allowed in {done.entry.hash for done in event.connected}:
            self.allowed = None

    def side(self, number: int) -> Entry[Header] | None:
        """A header that both know and that is not on the best chain; odd numbers: near the head."""
        entries = [self.ledger.entry(header.hash) for header in self.pool]
        known = [entry for entry in entries if entry and not self.ledger.is_on_best_chain(entry)]
        if number & 1:
            known = [entry for entry in known if entry.height > self.ledger.head.height - LIMIT]
        return known[number % len(known)] if known else None

    @rule(number=picks, deltas=st.lists(st.sampled_from(DELTAS), min_size=LIMIT, max_size=2 * LIMIT))
    def overtake(self, number: int, deltas: list[int]) -> None:
        """Build on another branch until it is the best or is refused."""
        entry = self.side(number)
        if entry is None:
            return
        at, head = entry.header, self.ledger.head
        for delta in deltas:
            header = self.on(at, delta, merged=False)
            if header is None or self.ledger.head is not head:
                return
            self.keep(header)
            self.clock.time = max(self.clock.time, header.time)
            if self.submit(header):
                return
            at = header

    @rule(number=picks)
    def allow_a_deep_branch(self, number: int) -> None:
        entry = self.side(number)
        if self.allowed is not None or entry is None:
            return
        self.light.time = self.clock.time
        self.light.call(OWNER, "proposeDeepBranch", entry.hash)
        self.clock.advance(self.light.spec.bridge.owner_delay)
        self.light.time = self.clock.time
        self.light.call(OWNER, "allowDeepBranch", entry.hash)
        self.ledger.accept_deep_reorg(entry.hash)
        self.allowed = entry.hash

    # --- what must hold ---

    @invariant()
    def both_have_the_same_chain(self) -> None:
        head, reader = self.ledger.head, self.light.reader
        assert reader.best() == (head.hash, head.height, head.weight)
        for height in range(head.height + 1):
            entry = self.ledger.entry_at(height)
            assert reader.hash_at(height) == entry.hash
        assert reader.hash_at(head.height + 1) is None
        assert (reader.deepest_reorg(), reader.deep_reorgs()) == (self.deepest, self.deep)
        buried = max(0, head.height - BURIED)
        assert reader.buried_hash() == self.ledger.entry_at(buried).hash

    @invariant()
    def both_know_the_same_headers(self) -> None:
        for header in self.pool:
            entry = self.ledger.entry(header.hash)
            assert self.light.reader.knows(header.hash) == (entry is not None)
            on_best = entry is not None and self.ledger.is_on_best_chain(entry)
            assert self.light.reader.height_of(header.hash) == (entry.height if on_best else None)

    @rule(number=picks)
    def ask_the_contract(self, number: int) -> None:
        head = self.ledger.head
        height = number % (head.height + 1)
        assert self.light.view("hashAt", height) == self.ledger.entry_at(height).hash
        assert self.light.view("buriedHash") == self.light.reader.buried_hash()
        assert self.light.view("buriedHeight") == self.light.reader.buried_height()
        header = self.pool[number % len(self.pool)]
        expected = self.light.reader.height_of(header.hash)
        if expected is None:
            with pytest.raises(Reverted, match="not on the best chain"):
                self.light.view("heightOf", header.hash)
        else:
            assert self.light.view("heightOf", header.hash) == expected


class FixedTrees(Trees):
    """Devnet's rule: every header has the easiest target."""


class AsertTrees(Trees):
    """Targets move fast, so that fewer headers may have more work."""

    spec = ASERT


def run(trees: type[Trees], examples: int, steps: int, **changes: object) -> None:
    run_state_machine_as_test(
        trees,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            **changes,  # type: ignore[arg-type]
        ),
    )


@pytest.mark.parametrize("trees", [FixedTrees, AsertTrees])
def test_the_contract_follows_the_chain_that_the_node_follows(trees: type[Trees]) -> None:
    run(trees, 8, 30, derandomize=True)


def walk(trees: type[Trees], seed: int, steps: int) -> Trees:
    """Play one long history: mostly growth on and near the head, which chance alone seldom tries for long."""
    chance = Random(seed)
    tree = trees()
    tree.start()

    def number() -> int:
        return chance.randrange(1 << 16)

    def deltas(most: int) -> list[int]:
        return [chance.choice(DELTAS) for _ in range(chance.randint(1, most))]

    moves: list[tuple[int, Callable[[], None]]] = [
        (
            8,
            lambda: tree.grow(
                chance.choice(PLACES), number(), deltas(4), chance.randrange(6), chance.random() < 0.8
            ),
        ),
        (8, lambda: tree.overtake(number(), deltas(3) + [10] * LIMIT)),
        (2, lambda: tree.grow_wrongly("head", number(), chance.choice(sorted(FAULTS)))),
        (1, lambda: tree.grow_in_the_future(chance.choice((600, 601)))),
        (2, lambda: tree.send(number())),
        (1, tree.send_all),
        (1, lambda: tree.wait(chance.randint(1, 200))),
        (2, lambda: tree.allow_a_deep_branch(number())),
        (1, lambda: tree.ask_the_contract(number())),
    ]
    for _ in range(steps):
        (move,) = chance.choices([move for _, move in moves], [weight for weight, _ in moves])
        move()
        tree.both_have_the_same_chain()
        tree.both_know_the_same_headers()
    return tree


@pytest.mark.parametrize("trees", [FixedTrees, AsertTrees])
def test_long_histories(trees: type[Trees]) -> None:
    told = [walk(trees, seed, 100) for seed in (15, 22, 24)]
    assert max(tree.deepest for tree in told) > LIMIT  # the owner's word was used
    assert sum(tree.deep for tree in told) > 6
    assert min(tree.ledger.head.height for tree in told) > 20


@pytest.mark.soak
@pytest.mark.parametrize("trees", [FixedTrees, AsertTrees])
def test_the_same_for_long(trees: type[Trees]) -> None:
    run(trees, 300, 100)
    for seed in range(100, 200):
        walk(trees, seed, 200)
