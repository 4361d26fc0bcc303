"""What became of headers and blocks of peers, and who is blamed for bad ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ioex_chain.gossip.wire import AnyLedger
from ioex_chain.ledger.errors import (
    BelowFloor,
    InvalidBlock,
    InvalidHeader,
    KnownInvalid,
    MutatedBlock,
    NotYetValid,
    StoreError,
    UnknownParent,
    WrongSeal,
)
from ioex_chain.ledger.types import Entry
from ioex_chain.p2p.seam import Offence, Peer
from ioex_chain.primitives.errors import DecodeError, IoexError


class Outcome(Enum):
    """What became of a header or a block."""

    ACCEPTED = "the best chain moved"
    STORED = "kept: it waits for a body below it, or is on a side branch; of headers: all are known now"
    KNOWN = "was here already"
    NOT_YET_VALID = "its time is ahead of our clock, or blocks below it are missing: ask again later"
    UNKNOWN_PARENT = "the header before it is not known"
    BELOW_FLOOR = "contradicts a final block"
    KNOWN_INVALID = "was found invalid before, or stands on one that was"
    INVALID_HEADER = "the header breaks a rule"
    WRONG_SEAL = "the seal is not its producer's; somebody else may have the right one"
    INVALID_BLOCK = "the block breaks a rule"
    MUTATED = "the body is not the header's: ask somebody else"
    MALFORMED = "the bytes cannot be read: ask somebody else"
    FAILED = "a fault of our own; nobody is to blame"

    @property
    def is_here(self) -> bool:
        """Whether the block (or header) is stored now."""
        return self in _HERE

    @property
    def is_final(self) -> bool:
        """Whether asking anybody for the same block again is of no use."""
        return self in _FINAL


_HERE = (Outcome.ACCEPTED, Outcome.STORED, Outcome.KNOWN)
_FINAL = (*_HERE, Outcome.BELOW_FLOOR, Outcome.KNOWN_INVALID, Outcome.INVALID_HEADER, Outcome.INVALID_BLOCK)

_OFFENCES = {
    Outcome.INVALID_HEADER: Offence.INVALID_HEADER,
    Outcome.WRONG_SEAL: Offence.INVALID_HEADER,
    Outcome.INVALID_BLOCK: Offence.INVALID_BLOCK,
    Outcome.MUTATED: Offence.MUTATED_BLOCK,
    Outcome.MALFORMED: Offence.MALFORMED,
}
"""Anything else is nobody's fault: an operator's `invalidateblock` makes honest peers' blocks invalid, a
clock may be wrong, and a parent may be on its way."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a header or a block: `entry` when its header is known, `error` when it was refused."""

    outcome: Outcome
    entry: Entry[Any] | None = None
    error: IoexError | None = None


def outcome_of(error: IoexError) -> Outcome:
    """Say what a ledger's or a decoder's refusal means."""
    for kind, outcome in _OUTCOMES:
        if isinstance(error, kind):
            return outcome
    raise error


_OUTCOMES: tuple[tuple[type[IoexError], Outcome], ...] = (
    (KnownInvalid, Outcome.KNOWN_INVALID),
    (NotYetValid, Outcome.NOT_YET_VALID),
    (UnknownParent, Outcome.UNKNOWN_PARENT),
    (BelowFloor, Outcome.BELOW_FLOOR),
    (MutatedBlock, Outcome.MUTATED),
    (WrongSeal, Outcome.WRONG_SEAL),
    (InvalidHeader, Outcome.INVALID_HEADER),
    (InvalidBlock, Outcome.INVALID_BLOCK),
    (DecodeError, Outcome.MALFORMED),
)


def blame(peer: Peer, verdict: Verdict) -> None:
    """Score what a verdict says against the sender; nothing on a connection that is closed."""
    offence = _OFFENCES.get(verdict.outcome)
    if offence is not None:
        peer.offend(offence, str(verdict.error))


def store_headers(ledger: AnyLedger, headers: Sequence[Any]) -> tuple[list[Entry[Any]], Verdict | None]:
    """Store headers, on the worker; give the entries of those that were taken, and why it stopped."""
    try:
        return ledger.accept_headers(headers), None
    except StoreError:
        raise
    except IoexError as error:
        taken = []
        for header in headers:
            entry = ledger.entry(header.hash)
            if entry is None or entry.status.is_invalid:
                break
            taken.append(entry)
        return taken, Verdict(outcome_of(error), None, error)
