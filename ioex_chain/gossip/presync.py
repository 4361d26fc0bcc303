"""What headers are worth: only chains with work behind them are stored.

A chain of headers is stored when its whole work reaches a threshold: the network's minimum, or our best
chain's work less a day's blocks. One that is too long for a single answer is looked at twice: first only its
work is summed, from headers that are checked and dropped but for a hash from each answer; when the sum is
enough they are asked again and stored, held against those hashes. So a chain without work costs no memory,
as in Bitcoin Core's headers pre-synchronisation.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ioex_chain.gossip.examine import Report, locator, on_invalid, skip_known
from ioex_chain.gossip.verdicts import Outcome, Verdict, outcome_of, store_headers
from ioex_chain.gossip.wire import AnyLedger
from ioex_chain.ledger.types import Entry
from ioex_chain.pow.consensus import MEDIAN_SPAN, check_work, times_past
from ioex_chain.pow.difficulty import next_bits, work_of
from ioex_chain.pow.errors import PowHeaderError, TimeTooNew, TimeTooOld, WrongBits
from ioex_chain.pow.header import Header
from ioex_chain.primitives.errors import DecodeError, IoexError
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import PowSpec

__all__ = ["HeaderRun", "OtherChain", "PowExaminer", "Redo", "Unlinked", "locator", "threshold"]

WORK_BUFFER = 144
"""Blocks' worth of work that a chain may be behind ours and still be stored."""
BATCH = 2_000


class Unlinked(PowHeaderError):
    """A header that does not name the one before it as its parent."""

    reason = "bad-link"


class OtherChain(PowHeaderError):
    """The second time a peer sent other headers than the first time."""

    reason = "other-chain"


@dataclass(slots=True)
class HeaderRun:
    """A chain of headers that is checked but not kept, above a stored entry."""

    spec: PowSpec
    start: Entry[Header]
    last: BlockHash
    height: int
    time: int
    work: int
    """In all, from genesis."""
    times: deque[int]
    marks: list[tuple[int, BlockHash]] = field(default_factory=list)
    """Height and hash of each answer's last header: 40 bytes for up to 2,000 headers."""

    @classmethod
    def above(cls, spec: PowSpec, entry: Entry[Header]) -> "HeaderRun":
        """Begin on an entry."""
        times = deque(times_past(entry), maxlen=MEDIAN_SPAN)
        return cls(spec, entry, entry.hash, entry.height, entry.header.time, entry.weight, times)

    def add(self, header: Header, now: int) -> None:
        """Check a header as the engine does, and count it. Raises PowHeaderError, TimeTooNew."""
        if header.parent_hash != self.last:
            raise Unlinked("a header that does not stand on the one before it")
        check_work(self.spec, header)
        if header.bits != next_bits(self.spec, self.height, self.time):
            raise WrongBits(f"bits {header.bits:08x} are not what the difficulty rule gives")
        if header.time <= sorted(self.times)[len(self.times) // 2]:
            raise TimeTooOld(f"time {header.time} is not after the median")
        if header.time > now + self.spec.max_future:
            raise TimeTooNew(f"time {header.time} is {header.time - now} s ahead of our clock")
        self.last, self.time = header.hash, header.time
        self.height += 1
        self.work += work_of(header.bits)
        self.times.append(header.time)


@dataclass(slots=True)
class Redo:
    """The second pass over a chain that had enough work: what is stored is what was counted."""

    at: Entry[Header]
    """The last that is stored."""
    marks: deque[tuple[int, BlockHash]]
    held: list[Header] = field(default_factory=list)
    """Headers above `at` that no mark vouches for yet."""

    @property
    def last(self) -> BlockHash:
        """The hash to go on from."""
        return self.held[-1].hash if self.held else self.at.hash

    def vouched(self, headers: Sequence[Header]) -> list[Header]:
        """Take more headers; give those that may be stored. Raises OtherChain, Unlinked."""
        for header in headers:
            if header.parent_hash != self.last:
                raise Unlinked("a header that does not stand on the one before it")
            self.held.append(header)
        count = 0
        while self.marks and self.marks[0][0] <= self.at.height + len(self.held):
            height, hash_ = self.marks.popleft()
            count = height - self.at.height
            if self.held[count - 1].hash != hash_:
                raise OtherChain(f"the header at {height} is another one than the first time")
        if not self.marks:
            count = len(self.held)
        elif len(self.held) - count > 2 * BATCH:
            raise OtherChain("the second time the answers do not end where they ended the first time")
        ready, self.held = self.held[:count], self.held[count:]
        return ready


def threshold(spec: PowSpec, head: Entry[Header]) -> int:
    """Give the whole work that a chain of headers needs to be stored."""
    return max(spec.minimum_work, head.weight - WORK_BUFFER * work_of(head.header.bits))


class PowExaminer:
    """Looks at peers' headers on the chain's worker, and stores what deserves it."""

    def __init__(self, spec: PowSpec, ledger: AnyLedger, clock: Callable[[], int]) -> None:
        self._spec = spec
        self._ledger = ledger
        self._clock = clock

    def take(self, items: Sequence[bytes], run: HeaderRun | None, redo: Redo | None) -> Report:
        """Read and judge the headers of an answer that goes on where `run` or `redo` stopped."""
        try:
            headers = [Header.decode(item) for item in items]
        except DecodeError as error:
            return Report(verdict=Verdict(Outcome.MALFORMED, None, error))
        return self.judge(headers, run, redo)

    def judge(
        self, headers: Sequence[Header], run: HeaderRun | None = None, redo: Redo | None = None
    ) -> Report:
        """Judge headers that are decoded."""
        if not headers:
            return Report(run=run, redo=redo)
        if redo is not None and headers[0].parent_hash == redo.last:
            return self._again(headers, redo)
        if run is None or headers[0].parent_hash != run.last:
            last, headers = skip_known(self._ledger, headers)
            if last is None:
                return Report(verdict=Verdict(Outcome.UNKNOWN_PARENT), count=len(headers))
            if last.status.is_invalid:
                return on_invalid(last)
            if not headers:
                return Report(last, tail=last.hash)
            run = HeaderRun.above(self._spec, last)
        return self._weigh(headers, run)

    def _weigh(self, headers: Sequence[Header], run: HeaderRun) -> Report:
        verdict, valid_at, good = None, None, len(headers)
        now = self._clock()
        for index, header in enumerate(headers):
            try:
                run.add(header, now)
            except IoexError as error:
                verdict, good = Verdict(outcome_of(error), None, error), index
                valid_at = header.time - self._spec.max_future if isinstance(error, TimeTooNew) else None
                break
        if verdict is not None and valid_at is None:
            return Report(verdict=verdict)
        counted = run.height - run.start.height
        if run.work < threshold(self._spec, self._ledger.head):
            run.marks.append((run.height, run.last))
            return Report(verdict=verdict, run=run, valid_at=valid_at, count=good, tail=run.last)
        if counted > good:  # earlier answers were dropped: ask for them again
            run.marks.append((run.height, run.last))
            return Report(redo=Redo(run.start, deque(run.marks)), count=good)
        return self._store(headers[:good], run.start, verdict, valid_at)

    def _again(self, headers: Sequence[Header], redo: Redo) -> Report:
        try:
            ready = redo.vouched(headers)
        except PowHeaderError as error:
            return Report(verdict=Verdict(Outcome.INVALID_HEADER, None, error))
        report = self._store(ready, redo.at, None, None)
        if report.last is not None:
            redo.at = report.last
        return Report(
            report.last,
            report.verdict,
            redo=redo if redo.marks else None,
            valid_at=report.valid_at,
            count=len(headers),
            tail=headers[-1].hash,
        )

    def _store(
        self, headers: Sequence[Header], last: Entry[Header], verdict: Verdict | None, valid_at: int | None
    ) -> Report:
        entries, refused = store_headers(self._ledger, headers)
        if refused is not None and refused.outcome is Outcome.NOT_YET_VALID:
            valid_at = headers[len(entries)].time - self._spec.max_future
        last = entries[-1] if entries else last
        return Report(last, refused or verdict, valid_at=valid_at, count=len(headers), tail=last.hash)
