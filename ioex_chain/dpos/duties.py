"""What an arbitrator is to do now, or why not (docs/protocol.md section 4). Pure.

The signer has the last word: these decisions only save it from work that others would not use.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol

from ioex_chain.dpos.finality_ports import N
from ioex_chain.dpos.schedule import Schedule
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.dpos.votes import Link


class Reason(StrEnum):
    """Why nothing is signed; the signer's own reasons stand in `signing_errors`."""

    NOT_SYNCED = "not_synced"
    """The node may not know the best chain."""
    SET_UNKNOWN = "set_unknown"
    """The records that tell whose slot it is are not there yet."""
    TOO_LATE = "too_late"
    """Too much of the slot is over: nobody would vote for the block."""
    SLOT_FILLED = "slot_filled"
    """The head is a block of this slot, or of a later one."""
    OVERSLEPT = "overslept"
    """The process did not run when the slot came."""
    HEAD_MOVED = "head_moved"
    """The head changed so often that no block could be built in time."""
    ASSEMBLY_FAILED = "assembly_failed"
    """The block could not be built."""
    NOT_TAKEN = "not_taken"
    """The own ledger refused the block."""
    GENESIS = "genesis"
    """Genesis needs no votes."""
    BEFORE_START = "before_start"
    """The block is of a slot before this start: whether it was seen in time is not known."""
    SEEN_LATE = "seen_late"
    """The block was first seen after its slot had ended."""
    NO_SEAT = "no_seat"
    """None of the keys has a seat in the set in force at the block."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing is done."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SealDuty(Generic[N]):
    """Build on `parent`, seal with `key`. Times are Unix seconds."""

    slot: int
    key: bytes
    parent: N
    fill_until: float
    """Transactions are taken until a third of the slot is over."""
    seal_until: float
    """Not sealed later: two thirds of the slot are over."""


@dataclass(frozen=True, slots=True)
class VoteDuty:
    """Vote for `link` with `keys`, in the order of the set."""

    link: Link
    keys: tuple[bytes, ...]


class View(Protocol[N]):
    """What the chain shows an arbitrator."""

    def head(self) -> N:
        """Give the best chain's last block."""
        ...

    def slot_of(self, entry: N) -> int:
        """Give the slot of a block."""
        ...

    def producer(self, parent: N, slot: int) -> Member | None:
        """Give who may seal a block in `slot`, later than the parent's; None while that is not known."""
        ...

    def is_synced(self) -> bool:
        """Whether the node knows the best chain, as far as it can tell."""
        ...

    def is_late(self, entry: N) -> bool:
        """Whether a block was first seen after its slot had ended."""
        ...


ROUNDS_AHEAD = 4
"""Rounds by which a branch that nobody here tells of is taken to be higher than the head, at most."""


def highest_possible(known: int, head: int, final: int, slots_since_final: int, seats: int) -> int:
    """Give how high a block may stand that was voted for before a journal was lost.

    `known`, `head`, `final`: heights of the highest block heard of, the head and the final block. On another
    branch, behind a partition, each slot since the final block may have a block. The bound keeps arbitrators
    that all slept for long from waiting as long.
    """
    return max(known, min(final + slots_since_final, head + ROUNDS_AHEAD * seats))


def seal_duty(
    view: View[N], schedule: Schedule, keys: Collection[bytes], slot: int, now: float
) -> SealDuty[N] | tuple[bytes | None, Idle] | None:
    """Give what to seal in a slot; None if it is another's; else whose slot is missed, and why.

    The key of a miss is None when it is not known whose slot it is.
    """
    parent = view.head()
    if view.slot_of(parent) >= slot:
        return None  # filled already, by whomever; the ledger has it
    producer = view.producer(parent, slot)
    if producer is None:
        return None, Idle(Reason.SET_UNKNOWN, f"slot {slot}")
    if producer.key not in keys:
        return None
    if not view.is_synced():
        return producer.key, Idle(Reason.NOT_SYNCED, f"the head is of slot {view.slot_of(parent)}")
    start, length = schedule.slot_start(slot), schedule.slot_length(slot)
    duty = SealDuty(slot, producer.key, parent, start + length / 3, start + length * 2 / 3)
    if now > duty.seal_until:
        return producer.key, Idle(Reason.TOO_LATE, f"{now - start:.1f} s of the slot's {length} are over")
    return duty


def vote_duty(
    view: View[N],
    keys: Sequence[bytes],
    head: N,
    link: Link | None,
    members: ArbitratorSet | None,
    first_slot: int,
) -> VoteDuty | Idle:
    """Give what to vote for when `head` is the fork choice; `link` and `members` are those at the head.

    `first_slot`: the slot in which this process began to hear blocks.
    """
    if not head.height:
        return Idle(Reason.GENESIS)
    if not view.is_synced():
        return Idle(Reason.NOT_SYNCED)
    if link is None or members is None:
        return Idle(Reason.SET_UNKNOWN)
    if view.slot_of(head) < first_slot:
        return Idle(Reason.BEFORE_START)
    if view.is_late(head):
        return Idle(Reason.SEEN_LATE)
    able = tuple(member.key for member in members.voters if member.key in keys)
    return VoteDuty(link, able) if able else Idle(Reason.NO_SEAT)
