"""What comes of looking at a peer's headers, and the part of looking that both chains share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ioex_chain.gossip.verdicts import Outcome, Verdict
from ioex_chain.gossip.wire import Again, AnyLedger, Run
from ioex_chain.ledger.types import Entry
from ioex_chain.primitives.types import BlockHash

_DENSE = 10


@dataclass(frozen=True, slots=True)
class Report:
    """What came of an answer. `last`: the highest entry of the peer's chain that is known now."""

    last: Entry[Any] | None = None
    verdict: Verdict | None = None
    """Why headers were not taken; None when nothing was wrong."""
    run: Run | None = None
    """Not worth storing so far."""
    redo: Again | None = None
    valid_at: int | None = None
    """Unix time at which the refused header becomes valid; None if blocks below it must come first."""
    count: int = 0
    tail: BlockHash | None = None
    seen: tuple[Any, ...] = ()
    """Headers that were new, taken or not."""
    unverified: tuple[Entry[Any], ...] = ()
    """Of those that were taken, the ones that could not be checked wholly."""


def skip_known(ledger: AnyLedger, headers: Sequence[Any]) -> tuple[Entry[Any] | None, Sequence[Any]]:
    """Give the last of the headers (or the first one's parent) that is stored, and those after it."""
    last = ledger.entry(headers[0].parent_hash)
    for index, header in enumerate(headers):
        entry = ledger.entry(header.hash) if last is not None else None
        if entry is None:
            return last, headers[index:]
        last = entry
    return last, ()


def on_invalid(entry: Entry[Any]) -> Report:
    """Tell of headers that stand on an invalid one: the peer has the valid part of its chain."""
    at: Entry[Any] | None = entry
    while at is not None and at.status.is_invalid:
        at = at.parent
    return Report(at, Verdict(Outcome.KNOWN_INVALID, entry))


def locator(ledger: AnyLedger, entry: Entry[Any]) -> list[bytes]:
    """Give hashes from an entry downwards, the first ten one by one, then ever further apart."""
    hashes: list[bytes] = [entry.hash]
    step = 1
    while entry.height:
        entry = ledger.ancestor(entry, max(0, entry.height - step))
        hashes.append(entry.hash)
        if len(hashes) > _DENSE:
            step *= 2
    return hashes
