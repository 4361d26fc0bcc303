"""The producer: wakes at slot starts, builds, has it sealed, hands it on; votes when the head changes.

This is the package's asynchronous shell. One `run()` serves all keys of a process, started and cancelled by
its parent. Nothing is signed but by the signer.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Protocol, TypeVar

from ioex_chain.dpos import duties
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.duties import Idle, Reason, SealDuty, View, VoteDuty
from ioex_chain.dpos.evidence import Offence
from ioex_chain.dpos.finality import Finality
from ioex_chain.dpos.finality_ports import Facts, N
from ioex_chain.dpos.header import Header
from ioex_chain.dpos.schedule import Schedule
from ioex_chain.dpos.signer import Signer
from ioex_chain.dpos.signing_errors import SigningRefused
from ioex_chain.dpos.votes import Certificate, Evidence, Vote
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import BlockHash

ATTEMPTS = 4
"""Times that a block is built anew because the head moved meanwhile."""
MAX_SKIPPED = 256
"""Slots looked back at for misses after a pause."""
_RETRY_SECONDS = 1.0

Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")


class Offload(Protocol):
    """Runs a blocking call; `asyncio.to_thread` is one."""

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Give what the call gives."""
        ...


@dataclass(frozen=True, slots=True)
class Order(Generic[N]):
    """What is to be built on `parent`, which must be the head."""

    slot: int
    parent: N
    certificate: Certificate | None
    evidence: tuple[Evidence, ...]
    fill_seconds: float
    """Seconds from now during which transactions are taken; at least 0."""


class Draft(Protocol):
    """A block without its seal; `machine.Assembled` is one."""

    @property
    def header(self) -> Header:
        """What the seal signs."""
        ...

    def sealed(self, signature: bytes) -> Block:
        """Give the whole block under this seal."""
        ...


class Chain(View[N], Protocol[N]):
    """What the producer needs of the node."""

    def tallest(self) -> int:
        """Give the height of the highest block known on any branch."""
        ...

    def is_heard(self) -> bool:
        """Whether the node hears the network: synced, with peers, or in no need of any."""
        ...

    async def assemble(self, order: Order[N]) -> Draft | None:
        """Build a block; None if the parent is the head no more. Raises IoexError."""
        ...

    async def publish(self, block: Block) -> None:
        """Hand a block of ours to the ledger and to peers. Raises IoexError if the ledger refuses it."""
        ...

    def cast(self, votes: Sequence[Vote]) -> None:
        """Hand votes of ours to finality and to peers."""
        ...

    def is_counted(self, offence: Offence) -> bool:
        """Whether the state after the head takes no evidence for an offence: it was counted already."""
        ...


@dataclass(frozen=True, slots=True)
class Sealed:
    """A block of ours."""

    slot: int
    key: bytes
    hash: BlockHash


@dataclass(frozen=True, slots=True)
class Missed:
    """A slot of ours without our block; `key` is None when it is not known whose slot it is."""

    slot: int
    key: bytes | None
    idle: Idle


@dataclass(frozen=True, slots=True)
class Voted:
    """Votes of ours for a block."""

    target: BlockHash
    height: int
    count: int


@dataclass(frozen=True, slots=True)
class Silent:
    """Why no key signs at all, told once until it changes; `idle` is None when signing goes on."""

    idle: Idle | None


Event = Sealed | Missed | Voted | Silent


@dataclass
class ProducerStats:
    """Counters since the start; reasons are `duties.Reason` and `SigningRefused.reason`."""

    sealed: int = 0
    votes: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    not_voted: Counter[str] = field(default_factory=Counter)
    silent: Idle | None = None
    last_missed: Missed | None = None


class Producer(Generic[N]):
    """Produces and votes until cancelled. One `run()` at a time; `stats` may be read meanwhile."""

    def __init__(
        self,
        chain: Chain[N],
        finality: Finality[N],
        facts: Facts[N],
        signer: Signer,
        schedule: Schedule,
        now: Callable[[], float],
        *,
        max_evidence: int,
        sleep: Sleep = asyncio.sleep,
        offload: Offload = asyncio.to_thread,
        report: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """`now` gives checked Unix time or raises SigningRefused (`ClockGuard.now`).

        `offload` runs the signer, which waits for the disk.
        """
        self.stats = ProducerStats()
        self._chain = chain
        self._finality = finality
        self._facts = facts
        self._signer = signer
        self._schedule = schedule
        self._now = now
        self._max_evidence = max_evidence
        self._sleep = sleep
        self._offload = offload
        self._report = report
        self._first_slot: int | None = None
        self._head_changed = asyncio.Event()

    def on_head(self) -> None:
        """Have the new head voted for; called in the event loop after every change of the head."""
        self._head_changed.set()

    async def run(self) -> None:
        """Produce and vote until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._produce())
            group.create_task(self._vote())

    # --- producing ------------------------------------------------------------------------------------

    async def _produce(self) -> None:
        done = -1
        while True:
            try:
                now = self._now()
                slot = self._schedule.slot_of(int(now))
                if self._first_slot is None:
                    self._first_slot = slot
                    self._head_changed.set()
                if 0 <= done < slot - 1:
                    self._miss_between(done, slot)
                if slot != done:  # a corrected clock may go back; the signer's slots rise all the same
                    done = slot
                    await self._slot(slot)
                pause = self._schedule.slot_start(max(0, slot + 1)) - self._now()
            except SigningRefused as refused:
                self._fall_silent(Idle(refused.reason, str(refused)))
                pause = _RETRY_SECONDS
            await self._sleep(max(0.0, pause))

    async def _slot(self, slot: int) -> None:
        self._signer.tick(self._chain.is_heard(), self._highest_possible(slot))
        self._fall_silent(None)
        if slot < 1:
            return
        key, idle = None, Idle(Reason.HEAD_MOVED)
        for _ in range(ATTEMPTS):
            duty = duties.seal_duty(self._chain, self._schedule, self._signer.addresses, slot, self._now())
            if duty is None:
                return
            if not isinstance(duty, SealDuty):
                self._miss(slot, *duty)
                return
            problem = await self._seal(duty)
            if problem is None:
                return
            key, idle = duty.key, problem
            if idle.reason != Reason.HEAD_MOVED:
                break
        self._miss(slot, key, idle)

    def _highest_possible(self, slot: int) -> int:
        head, final = self._chain.head(), self._finality.final_entry()
        since = 0 if final is None else slot - self._chain.slot_of(final)
        height = self._finality.finalised.height
        return duties.highest_possible(
            self._chain.tallest(), head.height, height, since, self._schedule.seats
        )

    def _miss_between(self, done: int, slot: int) -> None:
        """Count our slots that passed without this loop: asleep, or silent because of the clock."""
        head = self._chain.head()
        idle = self.stats.silent or Idle(Reason.OVERSLEPT)
        first = max(done + 1, self._chain.slot_of(head) + 1, slot - MAX_SKIPPED)
        for skipped in range(first, slot):
            producer = self._chain.producer(head, skipped)
            if producer is not None and producer.key in self._signer.addresses:
                self._miss(skipped, producer.key, idle)

    async def _seal(self, duty: SealDuty[N]) -> Idle | None:
        """Build and seal a block; None when it is out, else why not. HEAD_MOVED: to be decided again."""
        try:
            self._signer.check(duty.key)
            draft = await self._chain.assemble(self._order(duty))
            if draft is None or self._chain.head().hash != duty.parent.hash:
                return Idle(Reason.HEAD_MOVED, f"slot {duty.slot}")
            if self._now() > duty.seal_until:
                return Idle(Reason.TOO_LATE, "building the block took too long")
            seal = await self._offload(partial(self._signer.sign_seal, duty.key, draft.header))
        except SigningRefused as refused:
            return Idle(refused.reason, str(refused))
        except IoexError as error:
            return Idle(Reason.ASSEMBLY_FAILED, str(error))
        block = draft.sealed(seal)
        try:
            await self._chain.publish(block)
        except IoexError as error:
            return Idle(Reason.NOT_TAKEN, str(error))
        self.stats.sealed += 1
        self._report(Sealed(duty.slot, duty.key, block.header.hash))
        return None

    def _order(self, duty: SealDuty[N]) -> Order[N]:
        return Order(
            duty.slot,
            duty.parent,
            self._finality.certificate_for(duty.parent),
            self._finality.evidence_for(duty.parent, self._max_evidence, self._chain.is_counted),
            max(0.0, duty.fill_until - self._now()),
        )

    def _miss(self, slot: int, key: bytes | None, idle: Idle) -> None:
        self.stats.missed[idle.reason] += 1
        self.stats.last_missed = missed = Missed(slot, key, idle)
        self._report(missed)

    def _fall_silent(self, idle: Idle | None) -> None:
        before, self.stats.silent = self.stats.silent, idle
        if (before and before.reason) != (idle and idle.reason):
            self._report(Silent(idle))

    # --- voting ---------------------------------------------------------------------------------------

    async def _vote(self) -> None:
        while True:
            await self._head_changed.wait()
            self._head_changed.clear()
            if self._first_slot is not None:
                await self._vote_for(self._chain.head(), self._first_slot)

    async def _vote_for(self, head: N, first_slot: int) -> None:
        duty = duties.vote_duty(
            self._chain,
            self._signer.addresses,
            head,
            self._finality.link_for(head),
            self._facts.set_at(head),
            first_slot,
        )
        if isinstance(duty, VoteDuty):
            await self._sign_votes(duty)
        elif duty.reason != Reason.GENESIS:
            self.stats.not_voted[duty.reason] += 1

    async def _sign_votes(self, duty: VoteDuty) -> None:
        try:
            votes, refused = await self._offload(partial(self._signer.sign_votes, duty.keys, duty.link))
        except SigningRefused as error:
            self.stats.not_voted[error.reason] += len(duty.keys)
            return
        for _, reason in refused:
            self.stats.not_voted[reason.reason] += 1
        if votes:
            self.stats.votes += len(votes)
            self._report(Voted(duty.link.target.hash, duty.link.target.height, len(votes)))
            self._chain.cast(votes)
