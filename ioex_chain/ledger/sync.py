"""Which blocks to ask of whom: a planner that knows header entries and peers by number, and sends nothing.

A block is *wanted* when its header is valid, its body is not stored, it is on a chain of a peer that weighs
more than ours, and at most `window` heights above the first missing block of that chain. It is
asked of one peer at a time, which has it on its chain. The rules are those of Bitcoin Core's block download.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic

from ioex_chain.ledger.types import Entry, H, Status
from ioex_chain.primitives.types import BlockHash

_MAX_REMEMBERED = 1024
_TRIM = 4096


@dataclass(frozen=True, slots=True)
class SyncLimits:
    """Bounds of memory and patience. Bytes, and seconds."""

    window: int = 1_024
    """Heights above the first missing block up to which bodies are asked."""
    max_lead: int = 20_000
    """Heights that headers may be ahead of the best chain: they stay in memory until their bodies come."""
    peer_blocks: int = 128
    peer_bytes: int = 16_000_000
    total_bytes: int = 64_000_000
    """In flight from one peer, and from all, by the estimated size of a block."""
    first_size: int = 2_000_000
    """The estimate before the first block has come: large, so that a chain of full blocks is no flood."""
    answer_time: float = 10.0
    """How long a peer may be silent that owes a block, beside the time for its bytes at `least_rate`."""
    least_rate: float = 200_000.0
    stall_time: float = 2.0
    """How long a peer may hold up the whole window when others could go on."""
    max_patience: float = 8.0
    """Both times are multiplied by up to this: every stall doubles the factor, every block lowers it, so
    that a slow line of our own does not cost us all peers."""
    rest: float = 30.0
    """How long a peer that stalled is passed over when others have the blocks."""


class Arrival(Enum):
    """What a block that came is to us."""

    WANTED = "asked for, or late and still of use"
    LATE = "asked for, but somebody else was faster"
    UNASKED = "never asked for"


@dataclass(frozen=True, slots=True)
class Stall:
    """A peer that does not answer: its requests have been taken from it."""

    number: int
    hashes: tuple[BlockHash, ...]
    seconds: float


@dataclass(slots=True)
class _Request(Generic[H]):
    hash: BlockHash
    number: int
    entry: Entry[H] | None
    asked: float
    direct: bool


@dataclass(slots=True)
class _Peer(Generic[H]):
    number: int
    best: Entry[H] | None = None
    branch: "_Branch[H] | None" = None
    requests: dict[BlockHash, _Request[H]] = field(default_factory=dict)
    late: dict[BlockHash, int] = field(default_factory=dict)
    """Answers that it owes to requests that were taken from it, by block."""
    lacks: dict[BlockHash, int] = field(default_factory=dict)
    heard: float = 0.0
    rest_until: float = 0.0


class _Branch(Generic[H]):
    """A run of headers above the last block whose bodies are all here, up to some peer's best."""

    __slots__ = ("entries", "first", "start", "todo")

    def __init__(self, entries: list[Entry[H]]) -> None:
        self.entries = entries
        self.start = entries[0].height
        self.first = 0
        """Index of the first entry without a body."""
        self.todo = list(range(self.start, self.start + len(entries)))
        """A heap of the heights that nobody is asked for; may name some that need not be asked."""

    @property
    def tip(self) -> Entry[H]:
        return self.entries[-1]

    def holds(self, entry: Entry[H]) -> bool:
        at = entry.height - self.start
        return 0 <= at < len(self.entries) and self.entries[at] is entry

    def extend(self, entries: Iterable[Entry[H]]) -> None:
        for entry in entries:
            self.entries.append(entry)
            heapq.heappush(self.todo, entry.height)

    def advance(self) -> Entry[H] | None:
        """Give the first entry without a body, None when there is none left."""
        while self.first < len(self.entries) and self.entries[self.first].status & Status.BODY:
            self.first += 1
        if self.first == len(self.entries):
            return None
        if self.first > _TRIM:
            del self.entries[: self.first]
            self.start += self.first
            self.first = 0
        return self.entries[self.first]

    def at(self, height: int) -> Entry[H] | None:
        index = height - self.start
        return self.entries[index] if index >= self.first else None


class Planner(Generic[H]):
    """Keeps what peers have and what is asked of them. Times are monotonic seconds, given by the caller.

    `is_better(one, other)` says which branch is worth more; by default the heavier one.
    """

    def __init__(
        self,
        limits: SyncLimits | None = None,
        is_better: Callable[[Entry[H], Entry[H]], bool] | None = None,
    ) -> None:
        self.limits = limits or SyncLimits()
        self._is_better = is_better or _is_heavier
        self._peers: dict[int, _Peer[H]] = {}
        self._requests: dict[BlockHash, _Request[H]] = {}
        self._arrived: dict[BlockHash, Entry[H] | None] = {}
        self._branches: list[_Branch[H]] = []
        self.size = float(self.limits.first_size)
        """Estimated bytes of a block: rises at once, falls slowly."""
        self.patience = 1.0

    # --- what peers have -----------------------------------------------------------------------------------

    def add_peer(self, number: int) -> None:
        """Take a peer that serves blocks."""
        self._peers[number] = _Peer(number)

    def drop_peer(self, number: int) -> None:
        """Forget a peer; what was asked of it is wanted again."""
        peer = self._peers.pop(number, None)
        if peer is not None:
            self._take_back(peer)
            self._prune()

    def set_best(self, number: int, entry: Entry[H]) -> None:
        """Note that a peer has this block and all below it; only the best counts."""
        peer = self._peers.get(number)
        if peer is None or (peer.best is not None and not self._is_better(entry, peer.best)):
            return
        peer.best = entry
        peer.branch = self._branch_of(entry)
        self._prune()

    def best(self, number: int) -> Entry[H] | None:
        """Give the best block that a peer is known to have."""
        peer = self._peers.get(number)
        return peer.best if peer else None

    def requested(self, number: int) -> list[BlockHash]:
        """Give what is asked of a peer, oldest first."""
        peer = self._peers.get(number)
        return list(peer.requests) if peer else []

    def requested_heights(self, number: int) -> tuple[int, ...]:
        """Give the heights of the blocks that are asked of a peer, oldest request first."""
        peer = self._peers.get(number)
        requests = peer.requests.values() if peer else ()
        return tuple(request.entry.height for request in requests if request.entry is not None)

    def asked_of(self, hash_: BlockHash) -> int | None:
        """Give the peer that a block is asked of, or None."""
        request = self._requests.get(hash_)
        return request.number if request else None

    def is_pending(self, hash_: BlockHash) -> bool:
        """Whether a block is asked of somebody or is being checked."""
        return hash_ in self._requests or hash_ in self._arrived

    def reset(self) -> None:
        """Look again at every peer's chain: blocks may have lost their bodies or their invalid marks."""
        self._branches.clear()
        for peer in self._peers.values():
            peer.branch = self._branch_of(peer.best) if peer.best is not None else None

    def _branch_of(self, entry: Entry[H]) -> _Branch[H] | None:
        """Find or make the run of headers that ends at or above `entry`; None if all its bodies are here.

        None too when it is longer than headers may be ahead: then it forks deeper than any node reorganises.
        """
        path: list[Entry[H]] = []
        tips = {branch.tip.hash: branch for branch in self._branches}
        at: Entry[H] | None = entry
        while at is not None and not at.sequence:
            for branch in self._branches:
                if not path and branch.holds(at):
                    return branch
            if at.hash in tips:
                tips[at.hash].extend(reversed(path))
                return tips[at.hash]
            path.append(at)
            if len(path) > self.limits.max_lead + _TRIM:
                return None
            at = at.parent
        if not path:
            return None
        self._branches.append(_Branch(path[::-1]))
        return self._branches[-1]

    def _prune(self) -> None:
        used = {id(peer.branch) for peer in self._peers.values()}
        self._branches = [branch for branch in self._branches if id(branch) in used]

    # --- whom to ask ---------------------------------------------------------------------------------------

    def plan(self, head: Entry[H], now: float) -> list[tuple[int, list[Entry[H]]]]:
        """Give what to ask now, by peer: it counts as asked. `head` is the best chain's last block."""
        self._leave_invalid()
        room = self.limits.total_bytes - len(self._requests) * self.size
        asked: list[tuple[int, list[Entry[H]]]] = []
        for branch in self._branches:
            if branch.todo and self._is_better(branch.tip, head) and branch.advance() is not None:
                for number, entries in self._plan_branch(branch, head, now, room):
                    room -= len(entries) * self.size
                    asked.append((number, entries))
        return asked

    def _leave_invalid(self) -> None:
        for peer in self._peers.values():
            best = peer.best
            if best is None or not best.status.is_invalid:
                continue
            while best is not None and best.status.is_invalid:
                best = best.parent
            peer.best = best
            peer.branch = self._branch_of(best) if best is not None else None
            self._prune()

    def _plan_branch(
        self, branch: _Branch[H], head: Entry[H], now: float, room: float
    ) -> Iterator[tuple[int, list[Entry[H]]]]:
        end = branch.start + branch.first + self.limits.window
        for peer in self._askable(branch, now):
            best = peer.best
            if best is None or not self._is_better(best, head):
                continue
            count = min(self._free(peer), self._fitting(room))
            entries = self._take(branch, peer, min(end, best.height + 1), count)
            if entries:
                for entry in entries:
                    self._ask(peer, entry.hash, entry, now, direct=True)
                room -= len(entries) * self.size
                yield peer.number, entries

    def _askable(self, branch: _Branch[H], now: float) -> list[_Peer[H]]:
        """Give the peers to ask, idle ones first; those that stalled only when nobody else is left."""
        fit = [peer for peer in self._peers.values() if peer.branch is branch]
        awake = [peer for peer in fit if peer.rest_until <= now] or fit
        return sorted(awake, key=lambda peer: len(peer.requests))

    def _free(self, peer: _Peer[H]) -> int:
        """Give how many more blocks to ask of a peer; in large lots while it is busy."""
        most = min(self.limits.peer_blocks, max(1, int(self.limits.peer_bytes / self.size)))
        free = most - len(peer.requests)
        return free if 2 * free >= most else 0

    def _fitting(self, room: float) -> int:
        return max(int(room / self.size), 0 if self._requests else 1)

    def _take(self, branch: _Branch[H], peer: _Peer[H], end: int, count: int) -> list[Entry[H]]:
        """Take up to `count` wanted entries below height `end` off the branch, lowest first."""
        taken: list[Entry[H]] = []
        left: list[int] = []
        while len(taken) < count and branch.todo and branch.todo[0] < end:
            height = heapq.heappop(branch.todo)
            while branch.todo and branch.todo[0] == height:  # wanted again more than once
                heapq.heappop(branch.todo)
            entry = branch.at(height)
            if entry is None or entry.status & Status.BODY or self._pends(entry):
                continue
            if entry.hash in peer.lacks:
                left.append(height)
            elif not entry.status.is_invalid:
                taken.append(entry)
        for height in left:
            heapq.heappush(branch.todo, height)
        return taken

    def _pends(self, entry: Entry[H]) -> bool:
        """Whether a block is on its way; learn its entry, so that it is wanted again if it does not come."""
        request = self._requests.get(entry.hash)
        if request is not None:
            request.entry = entry
        elif entry.hash in self._arrived:
            self._arrived[entry.hash] = entry
        return self.is_pending(entry.hash)

    def _ask(
        self, peer: _Peer[H], hash_: BlockHash, entry: Entry[H] | None, now: float, *, direct: bool
    ) -> None:
        if not peer.requests:
            peer.heard = now
        request = _Request(hash_, peer.number, entry, now, direct)
        self._requests[hash_] = peer.requests[hash_] = request

    def expect(self, number: int, hash_: BlockHash, entry: Entry[H] | None, now: float) -> bool:
        """Note that another part fetches this block from a peer: it alone says when that has failed.

        A request for it that stands is taken over. False if the peer is gone or the block is here already.
        """
        peer = self._peers.get(number)
        if peer is None or hash_ in self._arrived:
            return False
        request = self._requests.get(hash_)
        if request is not None:
            entry = entry or request.entry
            self._drop(request, late=request.number != number)
        self._ask(peer, hash_, entry, now, direct=False)
        return True

    # --- what comes ----------------------------------------------------------------------------------------

    def arrived(self, number: int, hash_: BlockHash, size: int, now: float) -> Arrival:
        """Note that a peer sent a block of `size` bytes. One that is WANTED pends until `settled`."""
        peer = self._peers.get(number)
        if peer is None:
            return Arrival.LATE
        request = self._requests.get(hash_)
        own = request is not None and request.number == number
        if not own and hash_ not in peer.late:
            return Arrival.UNASKED
        if request is not None and own:
            self._drop(request, late=False)
        else:
            _count_off(peer.late, hash_)
        peer.heard = now
        self.size = max(float(size), 0.9 * self.size + 0.1 * size, 1.0)
        self.patience = max(1.0, self.patience * 0.98)
        if hash_ in self._arrived:
            return Arrival.LATE
        entry = request.entry if request is not None else self._find(hash_)
        if entry is None or entry.status & Status.BODY:
            return Arrival.LATE
        if request is not None and not own:
            self._drop(request, late=True)
        self._arrived[hash_] = entry
        return Arrival.WANTED

    def settled(self, hash_: BlockHash) -> None:
        """Note that the ledger has judged a block; if it is not stored, it is wanted again."""
        entry = self._arrived.pop(hash_, None)
        request = self._requests.get(hash_)
        if request is not None:
            self._drop(request, late=True)
            entry = entry or request.entry
        if entry is not None:
            self._want(entry)

    def refuse(self, number: int, hash_: BlockHash) -> bool:
        """Note that a peer has not got a block, or gave another body for it; False if it was not asked."""
        peer = self._peers.get(number)
        if peer is None:
            return False
        _remember(peer.lacks, hash_)
        return self.release(number, hash_) or _count_off(peer.late, hash_)

    def forgive(self) -> None:
        """Ask everybody again for what was refused: it was our own headers that were wrong."""
        for peer in self._peers.values():
            peer.lacks.clear()

    def release(self, number: int, hash_: BlockHash) -> bool:
        """Take one request back without a word on the peer; False if there is none."""
        request = self._requests.get(hash_)
        if request is None or request.number != number:
            return False
        self._drop(request, late=False)
        if request.entry is not None:
            self._want(request.entry)
        return True

    def _find(self, hash_: BlockHash) -> Entry[H] | None:
        for branch in self._branches:
            for entry in branch.entries[branch.first : branch.first + 2 * self.limits.window]:
                if entry.hash == hash_:
                    return entry
        return None

    def _drop(self, request: _Request[H], *, late: bool) -> None:
        self._requests.pop(request.hash, None)
        peer = self._peers.get(request.number)
        if peer is not None:
            peer.requests.pop(request.hash, None)
            if late and request.direct:
                _remember(peer.late, request.hash)

    def _want(self, entry: Entry[H]) -> None:
        for branch in self._branches:
            if branch.holds(entry):
                heapq.heappush(branch.todo, entry.height)

    def _take_back(self, peer: _Peer[H], *, only_direct: bool = False) -> tuple[BlockHash, ...]:
        taken = [request for request in peer.requests.values() if request.direct or not only_direct]
        for request in taken:
            self._drop(request, late=True)
            if request.entry is not None:
                self._want(request.entry)
        return tuple(request.hash for request in taken)

    # --- what does not come --------------------------------------------------------------------------------

    def expired(self, now: float) -> list[Stall]:
        """Give the peers that do not answer in time, or hold up the window; they are asked nothing now."""
        stalled: dict[int, float] = {}
        limit = self.patience * (self.limits.answer_time + self.size / self.limits.least_rate)
        for peer in self._peers.values():
            waited = self._waited(peer, now)
            if waited > limit:
                stalled[peer.number] = waited
        for branch in self._branches:
            number = self._holds_up(branch, now)
            if number is not None:
                stalled.setdefault(number, self._waited(self._peers[number], now))
        return [self._stall(self._peers[number], seconds, now) for number, seconds in stalled.items()]

    def _waited(self, peer: _Peer[H], now: float) -> float:
        oldest = next((request for request in peer.requests.values() if request.direct), None)
        return now - max(oldest.asked, peer.heard) if oldest is not None else 0.0

    def _holds_up(self, branch: _Branch[H], now: float) -> int | None:
        """Give the peer that owes the first missing block while nothing else may be asked any more."""
        first = branch.advance()
        request = self._requests.get(first.hash) if first is not None else None
        if first is None or request is None:
            return None
        end = first.height + self.limits.window
        if (branch.todo and branch.todo[0] < end) or branch.tip.height < end:
            return None
        peer = self._peers[request.number]
        if self._waited(peer, now) <= self.limits.stall_time * self.patience:
            return None
        others = (
            other
            for other in self._askable(branch, now)
            if other is not peer and first.hash not in other.lacks
        )
        return peer.number if next(others, None) is not None else None

    def _stall(self, peer: _Peer[H], seconds: float, now: float) -> Stall:
        hashes = self._take_back(peer, only_direct=True)
        peer.rest_until = now + self.limits.rest
        self.patience = min(self.limits.max_patience, 2 * self.patience)
        return Stall(peer.number, hashes, seconds)


def _is_heavier(one: Entry[H], other: Entry[H]) -> bool:
    return one.weight > other.weight


def _remember(hashes: dict[BlockHash, int], hash_: BlockHash) -> None:
    hashes[hash_] = hashes.get(hash_, 0) + 1
    if len(hashes) > _MAX_REMEMBERED:
        del hashes[next(iter(hashes))]


def _count_off(hashes: dict[BlockHash, int], hash_: BlockHash) -> bool:
    count = hashes.pop(hash_, 0)
    if count > 1:
        hashes[hash_] = count - 1
    return count > 0
