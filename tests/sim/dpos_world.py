"""A world of arbitrators: honest and hostile ones, faults, changes of sets, all from one seed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chaingen.dpos_forge import NETWORK, POW_GENESIS, make_spec, tiny_genesis
from chaingen.dpos_tiny import RANKING, TinyPowFacts, TinyWorld, decode_tiny, tiny_transaction

from ioex_chain.dpos import evidence
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.codec import block_codec
from ioex_chain.dpos.finality_types import Outcome
from ioex_chain.dpos.follower import DposHeadChanged, DposLedger
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.machine import DposMachine
from ioex_chain.dpos.records import DposEntry
from ioex_chain.dpos.votes import Link, SealEvidence, Vote
from ioex_chain.evm.types import Transaction
from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import Codec, KeyValueStore, Readable
from ioex_chain.primitives.clock import Clock, FixedClock
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import GenesisMember

from .dpos_hostile import KINDS, Twin
from .dpos_keys import SimEngine, SimKey, SimSignatures, address_of, member_row, payout_of
from .dpos_network import CALM, SimGossip, Weather
from .dpos_node import Arbitrator
from .scheduler import Scheduler

STORMY = Weather(delay=(0.01, 0.5), loss=0.03, twice=0.03, storm=0.05)
_SLOT = 10
_GRACE = 4
"""Slots in which finality is back after healing."""


@dataclass(frozen=True)
class DposShape:
    """What a world is made of. Times in slots."""

    seats: int = 13
    hostile: int = 4
    spare: int = 3
    """Honest partners without a seat at genesis."""
    kinds: Sequence[type[Arbitrator]] = KINDS
    term_rounds: int = 1
    slots: int = 150
    """Until everything is healed."""
    quiet: int = 50
    weather: Weather = STORMY
    storms: bool = True
    """Whether stretches of calm and storm follow each other."""
    partitions: int = 2
    longest_partition: int = 40
    crashes: int = 6
    old_copies: float = 0.4
    """Part of the restarts that find an older copy of the data directory."""
    copy_every: int = 25
    """Slots between copies of three data directories."""
    clock_steps: int = 2
    rankings: float = 0.7
    """Chance of another ranking in each term."""
    relent: bool = True
    """Whether the hostile ones fall silent when everything is healed."""
    silent: tuple[int, int, int] | None = None
    """So many honest ones are off from one slot until another."""


class DposWorld:
    """Runs a shape from a seed; `run` gives what does not hold."""

    def __init__(self, seed: int, shape: DposShape, *, log: Callable[[str], None] | None = None) -> None:
        self.shape = shape
        self.scheduler = Scheduler(seed, log=log)
        self.slot_seconds = float(_SLOT)
        members = tuple(GenesisMember(address_of(n), payout_of(n)) for n in range(shape.seats))
        self.spec = make_spec(
            members=1,
            seats=shape.seats,
            term_rounds=shape.term_rounds,
            block_time=_SLOT,
            min_members=max(1, shape.seats // 2),
        )
        self.spec = replace(self.spec, dpos=replace(self.spec.dpos, members=members))
        self.genesis = tiny_genesis(self.spec)
        self.genesis_hash = self.genesis.header.hash
        self.signatures = SimSignatures(self.genesis_hash)
        self._known: dict[bytes, Any] = {}
        self._blocks: dict[BlockHash, Block] = {}
        plain = block_codec(decode_tiny)
        self._codec: Codec[SealedHeader, Block] = Codec(
            lambda raw: self._decoded(raw, plain.header), lambda raw: self._decoded(raw, plain.block)
        )
        store = MemoryStore()
        self.genesis_rows: dict[bytes, bytes] = {}
        self.open_ledger(store, FixedClock(self.spec.dpos.genesis_time))
        self.genesis_rows = dict(store.scan(b""))
        self.net = SimGossip(self.scheduler, self.slot_seconds)
        self.faults: list[str] = []
        self.conflicts: list[str] = []
        self.finals: dict[int, bytes] = {0: self.genesis_hash}
        self.deepest = self.floors = self.copies = self.crashes = 0
        self.sets_seen: dict[int, None] = {}
        self.evidence: dict[bytes, str] = {}
        """Keys that somebody honest holds proof against."""
        self._heads: dict[tuple[bytes, int], dict[bytes, None]] = {}
        self._links: dict[bytes, dict[Link, None]] = {}
        self.guilty: dict[bytes, str] = {}
        """Keys that broke a rule before honest eyes, and how."""
        self._ranking: list[list[str]] | None = None
        self._chance = self.scheduler.stream("world")
        self._build()

    def _decoded(self, raw: bytes, decode: Callable[[bytes], Any]) -> Any:
        found = self._known.get(raw)
        if found is None:
            found = self._known[raw] = decode(raw)
        return found

    def _build(self) -> None:
        shape, chance = self.shape, self._chance
        numbers = list(range(shape.seats))
        chance.shuffle(numbers)
        self.bad = sorted(numbers[: shape.hostile])
        self.nodes: list[Arbitrator] = []
        self.honest: list[Arbitrator] = []
        self._side_of_twin: dict[int, int] = {}
        for number in range(shape.seats + shape.spare):
            if number not in self.bad:
                self.honest.append(self._add(Arbitrator, number))
        for place, number in enumerate(self.bad):
            kind = shape.kinds[place % len(shape.kinds)] if place < 2 else chance.choice(shape.kinds)
            first = self._add(kind, number)
            if kind is Twin:
                second = self._add(kind, number, name=f"{first.name}b")
                self._side_of_twin[first.number], self._side_of_twin[second.number] = 0, 1
        self.honest_keys = {node.key.address for node in self.honest}

    def _add(self, kind: type[Arbitrator], number: int, name: str = "") -> Arbitrator:
        node = kind(self, len(self.nodes), SimKey(number), name=name)
        node.clock.offset = self._chance.uniform(-0.3, 0.3)
        self.nodes.append(node)
        return node

    def open_ledger(self, store: KeyValueStore, clock: Clock) -> tuple[DposLedger, SimEngine, DposMachine]:
        """Put the chain's rules on a store, as the node does, with this world's signatures and state."""
        spec = self.spec
        engine = SimEngine(spec.dpos, self.genesis_hash)
        engine.signatures = self.signatures
        facts = TinyPowFacts(POW_GENESIS)
        machine = DposMachine(spec, engine, TinyWorld(spec), facts, self.signatures)
        ledger: DposLedger = Ledger(
            store,
            engine,
            machine,
            self._codec,
            self.genesis,
            network_id=NETWORK,
            clock=clock,
            max_reorg_depth=None,
            undo_depth=256,
            undo_to_floor=True,
            max_unverified=spec.dpos.max_unverified,
        )
        return ledger, engine, machine

    def block(self, ledger: DposLedger, hash_: BlockHash) -> Block:
        """Give a block's body, the same object for all."""
        found = self._blocks.get(hash_)
        if found is None:
            found = self._blocks[hash_] = ledger.body(hash_)
        return found

    def transactions(self, view: Readable) -> Sequence[Transaction]:
        """Give what the pools hold: the consortium's last word on the ranking."""
        if self._ranking is None or view.get(RANKING) == json.dumps(self._ranking).encode():
            return ()
        return (tiny_transaction(rank=self._ranking),)

    # --- running ----------------------------------------------------------------------------------------

    def at_slot(self, slot: float, what: Callable[[], None]) -> None:
        """Have something happen in the midst of a slot."""
        self.scheduler.at(slot * self.slot_seconds, what)

    def run(self) -> list[str]:
        """Run to the end; give what does not hold."""
        for node in self.nodes:
            node.start()
        self._plan()
        self.advance(self.shape.slots)
        self._end_faults()
        self.advance(self.shape.slots + 2)
        resumed = self._expect_finality()
        self.advance(self.shape.slots + self.shape.quiet + 0.8)
        return [*self.faults, *resumed(), *self._verdict()]

    def advance(self, slot: float) -> None:
        """Go on until a slot."""
        self.scheduler.run(slot * self.slot_seconds - 0.001)

    def _plan(self) -> None:
        shape, chance = self.shape, self._chance
        last = shape.slots - shape.seats - 6  # who has to listen for a round is done when all is healed
        if shape.storms:
            for slot in range(3, shape.slots, 12):
                weather = chance.choice((CALM, shape.weather))
                self.at_slot(slot + 0.2, lambda weather=weather: self._weather(weather))  # type: ignore[misc]
        for number in range(shape.partitions):
            stretch = shape.slots // max(1, shape.partitions)
            begin = number * stretch + chance.randint(2, max(3, stretch // 2))
            end = min(begin + chance.randint(3, shape.longest_partition), (number + 1) * stretch)
            self.at_slot(begin + 0.5, self._part)
            self.at_slot(end + chance.random(), self._heal)
        for _ in range(shape.crashes):
            self.at_slot(chance.uniform(1, max(2, last)), self._crash)
        for slot in range(5, shape.slots, shape.copy_every):
            self.at_slot(slot, self._copy_some)
        for _ in range(shape.clock_steps):
            self.at_slot(chance.uniform(1, max(2, last - 20)), self._step_clock)
        for term in range(shape.slots // (shape.seats * shape.term_rounds) + 1):
            if chance.random() < shape.rankings:
                self.at_slot(
                    term * shape.seats * shape.term_rounds + chance.uniform(1, shape.seats), self._rank
                )
        if shape.silent is not None:
            self._plan_silence(*shape.silent)

    def _plan_silence(self, count: int, begin: int, end: int) -> None:
        seated = [node for node in self.honest if node.key.number < self.shape.seats]
        for node in seated[:count]:
            self.at_slot(begin + 0.5, lambda node=node: self._stop(node))  # type: ignore[misc]
            self.at_slot(end + 0.5, lambda node=node: self._start(node))  # type: ignore[misc]

    def _weather(self, weather: Weather) -> None:
        self.net.weather = weather

    def _part(self) -> None:
        sides = self._chance.choice((2, 2, 3))
        parts = {node.number: self._chance.randrange(sides) for node in self.honest}
        self.net.cut(parts | self._side_of_twin)
        self.scheduler.note("network", f"parted {sorted(parts.items())}")

    def _heal(self) -> None:
        self.net.heal()
        self.scheduler.note("network", "healed")
        self._everybody_greets()

    def _everybody_greets(self) -> None:
        for node in self.honest:
            if node.is_up:
                node.greet_everybody()

    def _crash(self) -> None:
        node = self._chance.choice(self.honest)
        if node.is_up:
            self.crashes += 1
            self._stop(node)
            self.scheduler.after(
                self._chance.uniform(0.2, 6) * self.slot_seconds, lambda: self._start(node, again=True)
            )

    def _copy_some(self) -> None:
        for node in self._chance.sample(self.honest, 3):
            node.keep_copy()

    def _stop(self, node: Arbitrator) -> None:
        if node.is_up:
            node.crash()

    def _start(self, node: Arbitrator, again: bool = False) -> None:
        if node.is_up:
            return
        if again and node.copies and self._chance.random() < self.shape.old_copies:
            self.copies += 1
            node.disk = self._chance.choice(node.copies).again(reboot=self._chance.random() < 0.5)
            self.scheduler.note(node.name, "finds an older copy")
        elif again and self._chance.random() < 0.2:
            node.disk.marker.digest = None  # the machine was booted again
        self.scheduler.note(node.name, "starts")
        node.start()

    def _step_clock(self) -> None:
        node = self._chance.choice(self.honest)
        step = self._chance.choice((-7200.0, 7200.0, -15.0, 15.0, 3.0))
        node.clock.step(step)
        self.scheduler.note(node.name, f"clock steps {step}")
        self.scheduler.after(self._chance.uniform(2, 15) * self.slot_seconds, lambda: node.clock.step(-step))

    def _rank(self) -> None:
        """Choose other members: as many hostile ones as can be borne, and some honest ones."""
        shape, chance = self.shape, self._chance
        size = chance.randint(max(shape.seats - 2, shape.seats * 3 // 4), shape.seats)
        bad = list(self.bad)
        chance.shuffle(bad)
        bound = min(len(bad), (size - 1) // 3 if shape.hostile <= (shape.seats - 1) // 3 else len(bad))
        bad = bad[:bound]
        good = [node.key.number for node in self.honest]
        chance.shuffle(good)
        rows = bad + good[: size - len(bad)]
        chance.shuffle(rows)
        self._ranking = [member_row(number) for number in rows]
        self.scheduler.note("consortium", f"ranking {rows}")

    def _end_faults(self) -> None:
        self.net.weather = CALM
        if self.shape.relent:
            for node in self.nodes:
                if node.is_hostile:
                    self._stop(node)
        for node in self.honest:
            if not node.is_up:
                self._start(node)
        self._heal()

    # --- what is watched ----------------------------------------------------------------------------------

    def fault(self, what: str) -> None:
        """Note what must not happen."""
        self.scheduler.note("FAULT", what)
        self.faults.append(f"slot {self.scheduler.now / self.slot_seconds:.1f}: {what}")

    def saw_head(self, node: Arbitrator, event: DposHeadChanged, floor: DposEntry) -> None:
        head = event.head
        self.scheduler.note(
            node.name,
            f"head {head.height} {head.hash.hex()[:12]} -{len(event.disconnected)} +{len(event.connected)}",
        )
        if node.is_hostile:
            return
        self.deepest = max(self.deepest, len(event.disconnected))
        if any(entry.height <= floor.height for entry in event.disconnected):
            self.conflict(f"{node.name} moves blocks at or below its final block {floor}")
        for done in event.connected:
            self._saw_head_header(done.entry.header)
            record = node.engine.records.of(done.entry)
            if record is not None:
                self.sets_seen[record.in_force.number] = None

    def _saw_head_header(self, header: SealedHeader) -> None:
        if not header.seal:
            return
        key = header.seal[:20]
        seen = self._heads.setdefault((key, header.header.timestamp), {})
        seen[header.hash] = None
        if len(seen) > 1:
            self._found_guilty(key, f"sealed {len(seen)} blocks at {header.header.timestamp}")

    def saw_floor(self, node: Arbitrator, before: DposEntry, floor: DposEntry) -> None:
        self.scheduler.note(node.name, f"final {floor.height} {floor.hash.hex()[:12]}")
        if node.is_hostile:
            return
        self.floors += 1
        if node.ledger.ancestor(floor, before.height) is not before:
            self.conflict(f"{node.name}: {floor} does not stand on {before}")
        at: DposEntry | None = floor
        while at is not None:
            known = self.finals.setdefault(at.height, at.hash)
            if known != at.hash:
                self.conflict(f"two final blocks of height {at.height}, one at {node.name}")
            if at is before:
                break
            at = at.parent

    def conflict(self, what: str) -> None:
        self.scheduler.note("CONFLICT", what)
        self.conflicts.append(f"slot {self.scheduler.now / self.slot_seconds:.1f}: {what}")

    def saw_conflict(self, node: Arbitrator, what: str) -> None:
        if not node.is_hostile:
            self.conflict(f"{node.name} says: {what}")

    def saw_seal(self, key: SimKey, header: SealedHeader) -> None:
        self.scheduler.note(f"key {key.number}", f"seals {header.header.number} {header.hash.hex()[:12]}")

    def saw_vote(self, node: Arbitrator, vote: Vote) -> None:
        target = vote.link.target
        self.scheduler.note(node.name, f"votes {target.height} {target.hash.hex()[:12]}")

    def saw_invalid(self, node: Arbitrator, sender: Arbitrator, error: Exception) -> None:
        if not node.is_hostile and not sender.is_hostile:
            self.fault(f"{node.name} refuses what honest {sender.name} sent: {type(error).__name__} {error}")

    def saw_outcome(self, node: Arbitrator, outcome: Outcome) -> None:
        if node.is_hostile:
            return
        for vote in outcome.votes:
            self._saw_right_vote(vote)
        for item in outcome.evidence:
            one = item.one.seal if isinstance(item, SealEvidence) else item.one.signature
            kind = evidence.name(one[:20], item).kind.name
            self.evidence.setdefault(one[:20], kind)
            self._found_guilty(one[:20], f"proof of {kind} at {node.name}")

    def _saw_right_vote(self, vote: Vote) -> None:
        key = vote.signature[:20]
        links = self._links.setdefault(key, {})
        if vote.link not in links:
            for other in links:
                if evidence.conflict(vote.link, other) is not None:
                    self._found_guilty(key, f"votes {other} and {vote.link}")
            links[vote.link] = None

    def _found_guilty(self, key: bytes, how: str) -> None:
        if key in self.honest_keys:
            self.fault(f"honest {key.hex()[:8]} signed against a rule: {how}")
        if self.guilty.setdefault(key, how) == how:
            self.scheduler.note("judge", f"{key.hex()[:8]} {how}")

    # --- the verdict ------------------------------------------------------------------------------------

    def _expect_finality(self) -> Callable[[], list[str]]:
        """Note where finality stands after healing; the answer says what is wrong when time is up."""
        highest = max(node.signer.memory(node.key.address).target for node in self.honest)
        best = max(node.ledger.head.height for node in self.honest)
        before = max(node.ledger.floor.height for node in self.honest)
        need = _GRACE + max(0, highest - best)
        problems: list[str] = []
        state = {"left": need}

        def slot_over() -> None:
            node = self.honest[0]
            slot = int(self.scheduler.now / self.slot_seconds)
            producer = (
                node.engine.producer(node.ledger.head, slot)
                if node.slot_of(node.ledger.head) < slot
                else None
            )
            if node.slot_of(node.ledger.head) == slot or (
                producer is not None and producer.key in self.honest_keys
            ):
                state["left"] -= 1
            if state["left"] == 0:
                late = [one for one in self.honest if one.ledger.floor.height <= before]
                if late:
                    problems.append(
                        f"{need} slots after healing {len(late)} of {len(self.honest)} have no new"
                        f" final block (final {before}, head {best}, highest vote {highest})"
                    )

        if self.shape.relent:
            for slot in range(self.shape.slots + 2, self.shape.slots + self.shape.quiet):
                self.at_slot(slot + 0.9, slot_over)

        def answer() -> list[str]:
            stuck = [node.name for node in self.honest if node.ledger.floor.height <= before]
            if stuck:
                problems.append(f"finality never came back at {stuck}: {before}")
            return problems

        return answer

    def _verdict(self) -> list[str]:
        found = list(self.conflicts)
        heads = {node.ledger.head.hash for node in self.honest}
        if len(heads) > 1 and self.shape.relent:
            found.append(f"{len(heads)} heads in the end")
        for key, how in self.guilty.items():
            if self.honest[0].ledger.view().get(b"yburned" + key) is None:
                found.append(f"{key.hex()[:8]} is not in jail: {how}")
        return found

    def summary(self) -> str:
        """Say what happened."""
        node = self.honest[0]
        lies = sum(getattr(one, "lies", 0) for one in self.nodes)
        return (
            f"seed {self.scheduler.seed}: {len(self.nodes)} nodes, {self.shape.hostile} hostile, head"
            f" {node.ledger.head.height}, final {node.ledger.floor.height}, sets {len(self.sets_seen)},"
            f" deepest {self.deepest}, {self.crashes} crashes, {self.copies} copies, {lies} lies,"
            f" {len(self.guilty)} guilty, {self.net.sent} messages, {self.net.lost} lost"
        )
