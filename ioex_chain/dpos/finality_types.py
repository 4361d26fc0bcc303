"""What finality answers: what the ledger is to do, and what peers are to hear."""

from dataclasses import dataclass
from enum import Enum

from ioex_chain.dpos.votes import Certificate, Evidence, Vote
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import BlockHash


class Verdict(Enum):
    """What became of something that was taken in."""

    NEW = "new"
    """It counts, and peers should hear of it."""
    KNOWN = "known"
    """It was taken before."""
    WAITING = "waiting"
    """Its target or its set is not known yet; it is kept, bounded."""
    OLD = "old"
    """It concerns what is final already."""
    IGNORED = "ignored"
    """Nothing can be said for certain: not kept, nobody is to blame."""
    FAULTY = "faulty"
    """It breaks a rule for certain: `fault` says which; whoever sent it is to blame."""
    CONFLICT = "conflict"
    """A certificate against a final block: more than a third of a set signed twice."""


@dataclass(frozen=True, slots=True)
class Prefer:
    """Tell the ledger: a higher block is justified; branches through it go first."""

    hash: BlockHash


@dataclass(frozen=True, slots=True)
class Finalize:
    """Tell the ledger: this block is final."""

    hash: BlockHash


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer: `actions` for the ledger, in order; what to tell peers; blocks to ask for."""

    verdict: Verdict
    actions: tuple[Prefer | Finalize, ...] = ()
    votes: tuple[Vote, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    """New evidence, which peers should hear of too."""
    wanted: tuple[BlockHash, ...] = ()
    """Targets of sound certificates whose blocks are not here."""
    fault: IoexError | None = None
