"""One arbitrator: real ledger, rules, finality, follower, signer and duties on a simulated machine."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from unit.dpos.signer_world import MemoryFile, MemoryMarker

from ioex_chain.dpos import duties
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.clock_guard import ClockGuard, PeerClocks
from ioex_chain.dpos.duties import Idle, Reason, SealDuty, VoteDuty
from ioex_chain.dpos.ears import Ears
from ioex_chain.dpos.finality import Finality
from ioex_chain.dpos.finality_types import Outcome, Prefer, Verdict
from ioex_chain.dpos.follower import DposHeadChanged, Follower, LedgerTree
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.journal import Journal
from ioex_chain.dpos.machine import Assembled, Candidate
from ioex_chain.dpos.records import ChainFacts, DposEntry
from ioex_chain.dpos.seal import BadSignature
from ioex_chain.dpos.sets import Member
from ioex_chain.dpos.signer import Signer
from ioex_chain.dpos.signing_errors import SigningRefused
from ioex_chain.dpos.vote_errors import InvalidCertificate, InvalidEvidence, NotAMember, WrongLink
from ioex_chain.dpos.votes import Certificate, Evidence, Vote
from ioex_chain.ledger.errors import (
    BelowFloor,
    InvalidBlock,
    InvalidHeader,
    KnownInvalid,
    MutatedBlock,
    NotYetValid,
    Rejected,
    UnknownParent,
    WrongSeal,
)
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import StateView, Status
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import BlockHash

from .clock import SimClock
from .dpos_keys import SimKey
from .dpos_network import Answer, Ask, Message

if TYPE_CHECKING:
    from .dpos_world import DposWorld

_RETRY = 1.0
_MAX_ANSWER = 400
_MAX_WANTED = 64
_HARD = (BadSignature, NotAMember, InvalidCertificate, InvalidEvidence)


class WallClock(SimClock):
    """`SimClock` with parts of seconds, for the clock guard."""

    def exact(self) -> float:
        return self._epoch + self._scheduler.now + self.offset + self.drift * self._scheduler.now


@dataclass
class Disk:
    """What a machine keeps: the chain, the journal, and outside both the marker."""

    store: MemoryStore
    journal: MemoryFile
    marker: MemoryMarker

    def again(self, *, reboot: bool) -> "Disk":
        """Give a copy of chain and journal beside the marker, which a reboot takes away."""
        file = MemoryFile()
        file.data = self.journal.data
        if reboot:
            self.marker.digest = None
        return Disk(MemoryStore(dict(self.store.scan(b""))), file, self.marker)


class Arbitrator:
    """Runs, crashes and starts again. `number` is the instance's, `key` may be shared by twins."""

    is_hostile = False

    def __init__(self, world: "DposWorld", number: int, key: SimKey, *, name: str = "") -> None:
        self.world = world
        self.number = number
        self.key = key
        self.name = name or f"{'h' if self.is_hostile else 'a'}{number}"
        self.disk = Disk(MemoryStore(world.genesis_rows), MemoryFile(), MemoryMarker())
        self.clock = WallClock(world.scheduler, world.spec.dpos.genesis_time)
        self.chance = world.scheduler.stream(f"node {number}")
        self.life = 0
        self.is_up = False
        self.is_fresh = True
        """The marker of a machine that made the chain: its first start need not listen."""
        self.sealed = self.voted = self.missed = 0
        self.refused: dict[str, int] = {}
        self.asked: dict[bytes, tuple[int, float]] = {}
        self.copies: list[Disk] = []

    # --- life -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open what is on the disk and begin to run."""
        world = self.world
        self.life += 1
        self.is_up = True
        self._jobs: deque[tuple[Any, Any, Any]] = deque()
        self._told: deque[Callable[[], None]] = deque()
        self._busy = False
        self._early: list[tuple[Arbitrator, Message]] = []
        self._first_slot: int | None = None
        self._done = -1
        self.ledger, self.engine, self.machine = world.open_ledger(self.disk.store, self.clock)
        self.facts = ChainFacts(self.engine.records, lambda: self.ledger.head)
        self.finality: Finality[DposEntry] = Finality(
            LedgerTree(self.ledger), self.facts, world.signatures, self.ledger.head, self.ledger.floor
        )
        self.follower = Follower(
            self.ledger, self.finality, self.run, tell=self._told_outcome, conflict=self._conflict
        )
        self._floor = self.ledger.floor
        self._tallest = self.ledger.head.height
        self.ledger.subscribe(self._head_moved)
        self.clocks = PeerClocks()
        self.guard = ClockGuard(
            self.clock.exact,
            lambda: world.scheduler.now,
            world.spec.dpos.clock_tolerance,
            settle=2.0 * world.slot_seconds,
            peers=self.clocks.estimate,
        )
        self.signer = self.make_signer()
        world.net.join(self)
        life = self.life
        world.scheduler.after(0.0, lambda: self._wake(life))
        self.greet_all()

    def make_signer(self) -> Signer:
        """Make the signer, which hears by finality."""
        world = self.world
        journal = Journal(self.disk.journal, self.disk.marker, world.genesis_hash)
        keys: Any = [self.key]
        signer = Signer(
            keys,
            journal,
            world.genesis_hash,
            self.engine.schedule,
            self.guard.now,
            window=world.spec.dpos.seats,
            is_new_chain=self.is_fresh,
        )
        self.is_fresh = False
        self.finality.heard = Ears(signer, self.engine.schedule, self._slot_of_hash)
        return signer

    def crash(self) -> None:
        """Die: what was not on the disk is gone."""
        self.world.scheduler.note(self.name, f"crashes at {self.ledger.head.height}")
        self.is_up = False
        self.life += 1
        self._jobs.clear()
        self._told.clear()
        self.world.net.leave(self)

    def keep_copy(self) -> None:
        """Copy the data directory; the marker lies outside."""
        self.copies.append(self.disk.again(reboot=False))

    # --- the worker: one job after the other, what it tells first ----------------------------------------

    def run(
        self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        """Have `work` run after all that was asked before."""
        self._jobs.append((work, done, failed))
        self._go_on()

    def _go_on(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            while self.is_up and (self._told or self._jobs):
                if self._told:
                    self._told.popleft()()
                else:
                    self._work(*self._jobs.popleft())
        finally:
            self._busy = False

    def _work(
        self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        try:
            result = work()
        except IoexError as error:
            refused = error
            self._told.append(lambda: failed(refused))
        else:
            self._told.append(lambda: done(result))
        floor = self.ledger.floor
        if floor is not self._floor:
            before, self._floor = self._floor, floor
            self.world.saw_floor(self, before, floor)

    def _head_moved(self, event: DposHeadChanged) -> None:
        self.world.saw_head(self, event, self._floor)
        self._tallest = max(self._tallest, event.head.height)
        self._told.append(lambda: self._head_changed(event))

    def _head_changed(self, event: DposHeadChanged) -> None:
        self.follower.head_changed(event)
        self.announce(event.head)
        self.vote()

    # --- what the duties ask: as node.arbitration.ProducerChain answers ---------------------------------

    def head(self) -> DposEntry:
        return self.ledger.head

    def slot_of(self, entry: DposEntry) -> int:
        return self.engine.slot_of(entry)

    def _slot_of_hash(self, hash_: BlockHash) -> int | None:
        entry = self.ledger.entry(hash_)
        return None if entry is None else self.engine.slot_of(entry)

    def producer(self, parent: DposEntry, slot: int) -> Member | None:
        return self.engine.producer(parent, slot)

    def is_heard(self) -> bool:
        return bool(self.world.net.peers_of(self))

    def is_synced(self) -> bool:
        return self.is_heard()

    def is_late(self, entry: DposEntry) -> bool:
        return self.engine.is_late(entry.hash)

    # --- time -------------------------------------------------------------------------------------------

    def _wake(self, life: int) -> None:
        if self.life != life:
            return
        schedule = self.engine.schedule
        pause = _RETRY
        try:
            slot = schedule.slot_of(int(self.guard.now()))
            if self._first_slot is None:
                self._first_slot = slot
            if slot != self._done:
                self._done = slot
                self.signer.tick(self.is_heard(), self._highest_possible(slot))
                self.on_slot(slot)
            pause = schedule.slot_start(max(0, slot + 1)) - self.guard.now()
        except SigningRefused as refused:
            self._refused(refused)
        self.world.scheduler.after(max(0.001, pause), lambda: self._wake(life))
        self._look_again()

    def _highest_possible(self, slot: int) -> int:
        final = self.finality.final_entry()
        return duties.highest_possible(
            self._tallest,
            self.ledger.head.height,
            self.finality.finalised.height,
            0 if final is None else slot - self.slot_of(final),
            self.engine.schedule.seats,
        )

    def _look_again(self) -> None:
        """Take what came too early, ask again for what is missing."""
        early, self._early = self._early, []
        for sender, message in early:
            self.receive(sender, message)
        for hash_ in list(self.asked):
            self.ask(hash_, None)

    def on_slot(self, slot: int) -> None:
        """Do what a slot asks for."""
        if slot < 1:
            return
        for _ in range(4):
            duty = duties.seal_duty(self, self.engine.schedule, (self.key.address,), slot, self.guard.now())
            if not isinstance(duty, SealDuty):
                return
            problem = self._seal(duty)
            if problem is None:
                self.sealed += 1
                return
            if problem.reason != Reason.HEAD_MOVED:
                self.missed += 1
                self.refused[problem.reason] = self.refused.get(problem.reason, 0) + 1
                return

    def _seal(self, duty: SealDuty[DposEntry]) -> Idle | None:
        try:
            self.signer.check(duty.key)
            draft = self.assemble(duty.slot)
            seal = self.signer.sign_seal(duty.key, draft.header)
        except SigningRefused as refused:
            return Idle(refused.reason)
        except IoexError as error:
            self.world.fault(f"{self.name} cannot build: {type(error).__name__} {error}")
            return Idle(Reason.ASSEMBLY_FAILED)
        self.publish(draft.sealed(seal))
        return None

    def assemble(self, slot: int) -> Assembled:
        """Build a block on the head."""
        parent = self.ledger.head
        candidate = Candidate(
            slot,
            self.world.transactions(self.ledger.view()),
            self.finality.certificate_for(parent),
            self.finality.evidence_for(parent, self.world.spec.dpos.max_evidence),
        )

        def work(view: StateView, head: DposEntry) -> Assembled:
            return self.machine.assemble(view, head, candidate)

        return self.ledger.try_on_head(work)

    def publish(self, block: Block) -> None:
        """Hand a block of ours to the ledger; its head event tells the others."""
        self.world.saw_seal(self.key, block.header)
        self.run(
            lambda: self.ledger.accept_block(block),
            lambda _: None,
            lambda error: self.world.fault(f"{self.name} refuses its own block: {error}"),
        )

    def vote(self) -> None:
        """Vote for the head, if it may be voted for."""
        if self._first_slot is None:
            return
        head = self.ledger.head
        link, members = self.finality.link_for(head), self.facts.set_at(head)
        duty = duties.vote_duty(self, (self.key.address,), head, link, members, self._first_slot)
        if not isinstance(duty, VoteDuty):
            return
        try:
            votes, refused = self.signer.sign_votes(duty.keys, duty.link)
        except SigningRefused as error:
            self._refused(error)
            return
        for _, reason in refused:
            self._refused(reason)
        self.voted += len(votes)
        for vote in votes:
            self.world.saw_vote(self, vote)
        self.follower.on_votes(votes)

    def _refused(self, error: SigningRefused) -> None:
        self.refused[error.reason] = self.refused.get(error.reason, 0) + 1

    # --- telling --------------------------------------------------------------------------------------

    def _told_outcome(self, outcome: Outcome) -> None:
        self.world.saw_outcome(self, outcome)
        self.tell_outcome(outcome)
        for action in outcome.actions:
            if isinstance(action, Prefer):
                entry = self.ledger.entry(action.hash)
                if entry is not None and not entry.sequence:
                    self.ask(action.hash, None)

    def tell_outcome(self, outcome: Outcome) -> None:
        """Tell the others what counts."""
        net = self.world.net
        for vote in outcome.votes:
            net.tell(self, vote.signature, vote)
        for certificate in outcome.certificates:
            net.tell(self, (certificate.link, certificate.signers), certificate)
        for item in outcome.evidence:
            net.tell(self, item, item)

    def announce(self, head: DposEntry) -> None:
        """Tell of a new head."""
        self.world.net.tell(self, head.hash, self.world.block(self.ledger, head.hash))

    def greet_everybody(self) -> None:
        """Tell all peers at once what this node stands on, after a partition."""
        for peer in self.world.net.peers_of(self):
            self.clocks.add(peer.name, peer.clock.exact(), self.world.scheduler.now)
        self._tell_all(None)

    def greet_all(self) -> None:
        """Tell all peers what this node stands on, and hear the same."""
        for peer in self.world.net.peers_of(self):
            self.greet(peer)
            peer.greet(self)

    def greet(self, peer: "Arbitrator") -> None:
        """Tell a new peer, as `FinalityRelay.peer_up` and the headers' sync do."""
        self.clocks.add(peer.name, peer.clock.exact(), self.world.scheduler.now)
        self._tell_all((peer,))

    def _tell_all(self, to: "Sequence[Arbitrator] | None") -> None:
        net = self.world.net
        if self.ledger.head.height:
            net.tell(self, self.ledger.head.hash, self.world.block(self.ledger, self.ledger.head.hash), to)
        for certificate in self.finality.certificates()[-64:]:
            net.tell(self, (certificate.link, certificate.signers), certificate, to)
        for vote in self.finality.votes():
            entry = self.ledger.entry(vote.link.target.hash)
            if entry is not None and self.finality.link_for(entry) == vote.link:
                net.tell(self, vote.signature, vote, to)
        for item in self.finality.evidence()[:64]:
            net.tell(self, item, item, to)

    # --- hearing --------------------------------------------------------------------------------------

    def hear(self, life: int, sender: "Arbitrator", message: Message) -> None:
        """Take a message that arrives, if this is still the life it was sent to."""
        if self.is_up and self.life == life:
            self.receive(sender, message)

    def receive(self, sender: "Arbitrator", message: Message) -> None:
        """Take a message."""
        if isinstance(message, Vote):
            self._judge(sender, self.follower.on_votes((message,))[0], message)
        elif isinstance(message, Block):
            self._take_block(sender, message)
        elif isinstance(message, Certificate):
            self._judge(sender, self.follower.on_certificate(message), message)
        elif isinstance(message, SealedHeader):
            self._take_header(sender, message)
        elif isinstance(message, Ask):
            self.answer(sender, BlockHash(message.hash))
        elif isinstance(message, Answer):
            for block in message.blocks:
                self._take_block(sender, block, is_asked=True)
        else:
            self._judge(sender, self.follower.on_evidence(message), message)

    def _judge(self, sender: "Arbitrator", outcome: Outcome, message: Vote | Certificate | Evidence) -> None:
        for hash_ in outcome.wanted:
            self.ask(hash_, sender)
        fault = outcome.fault
        if outcome.verdict is not Verdict.FAULTY or fault is None or sender.is_hostile:
            return
        if isinstance(fault, _HARD) and not isinstance(fault, WrongLink):
            self.world.fault(
                f"{self.name} blames honest {sender.name} for {type(fault).__name__} {fault}: {message}"
            )

    def _take_header(self, sender: "Arbitrator", header: SealedHeader) -> None:
        def done(entries: Sequence[DposEntry]) -> None:
            self.follower.on_headers((header,))
            entry = entries[-1]
            if not entry.status & Status.BODY and entry.weight > self.ledger.head.weight:
                self.ask(entry.hash, sender)

        self.run(
            lambda: self.ledger.accept_headers((header,)),
            done,
            lambda error: self._block_refused(sender, header, header, error),
        )

    def _take_block(self, sender: "Arbitrator", block: Block, is_asked: bool = False) -> None:
        hash_ = block.header.hash
        known = self.ledger.entry(hash_)
        if known is None or not known.status & Status.BODY:
            if self.clock.now() >= self.engine.schedule.slot_end(
                self.engine.schedule.slot_of(block.header.header.timestamp)
            ):
                self.engine.mark_late(hash_)
        elif known.sequence:
            return

        def done(_: object) -> None:
            self.follower.on_body(block)
            entry = self.ledger.entry(hash_)
            if entry is not None and entry.sequence:
                self.asked.pop(hash_, None)

        self.run(
            lambda: self.ledger.accept_block(block),
            done,
            lambda error: self._block_refused(sender, block.header, None if is_asked else block, error),
        )

    def _block_refused(
        self, sender: "Arbitrator", header: SealedHeader, message: Message, error: Exception
    ) -> None:
        self.follower.on_headers((header,))
        if isinstance(error, UnknownParent):
            if message is not None:
                self.ask(header.hash, sender)
        elif isinstance(error, NotYetValid):
            if message is not None and len(self._early) < 64:
                self._early.append((sender, message))
        elif isinstance(error, BelowFloor | KnownInvalid):
            self.asked.pop(header.hash, None)
        elif isinstance(error, WrongSeal | InvalidHeader | InvalidBlock | MutatedBlock):
            self.asked.pop(header.hash, None)
            self.world.saw_invalid(self, sender, error)
        elif not isinstance(error, Rejected):
            raise error

    def _conflict(self, what: str) -> None:
        self.world.saw_conflict(self, what)

    # --- branches that are missing ----------------------------------------------------------------------

    def ask(self, hash_: bytes, of: "Arbitrator | None") -> None:
        """Ask somebody for the branch of a block; again and again until it is here."""
        entry = self.ledger.entry(BlockHash(hash_))
        if entry is not None and entry.sequence:
            self.asked.pop(hash_, None)
            return
        now = self.world.scheduler.now
        tries, last = self.asked.pop(hash_, (0, -1000.0))
        if tries > 60:
            return
        if now - last < 0.4 * self.world.slot_seconds:
            self.asked[hash_] = tries, last
            return
        self.asked[hash_] = tries + 1, now
        while len(self.asked) > _MAX_WANTED:
            del self.asked[next(iter(self.asked))]
        peers = self.world.net.peers_of(self)
        if of is None or not of.is_up:
            if not peers:
                return
            of = self.chance.choice(peers)
        self.world.net.repeat(self, of, None, Ask(hash_))

    def answer(self, asker: "Arbitrator", hash_: BlockHash) -> None:
        """Give the branch of a block, from the first block that the asker lacks."""
        entry = self.ledger.entry(hash_)
        if entry is None or not entry.status & Status.CONNECTED:
            return
        path = []
        at: DposEntry | None = entry
        while at is not None and at.height:
            theirs = asker.ledger.entry(at.hash)
            if theirs is not None and theirs.sequence:
                break
            path.append(at.hash)
            at = at.parent
        blocks = tuple(self.world.block(self.ledger, one) for one in islice(reversed(path), _MAX_ANSWER))
        if blocks:
            self.world.net.repeat(self, asker, None, Answer(blocks))
