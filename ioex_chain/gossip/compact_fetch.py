"""Fetching a new block in compact form: what the pool has is not sent again (docs/protocol.md section 9.4).

One peer's compact form is worked on at a time; those that others push meanwhile are kept in case it does not
answer. Whatever goes wrong, the block is then fetched whole by `Sync`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ioex_chain.gossip.compact import Rebuild, WrongFill
from ioex_chain.gossip.intake import Outcome, Verdict
from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.serving import Serving
from ioex_chain.gossip.wire import Block, CompactForm, PoolWire
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.p2p.chain_messages import (
    BlockTransactions,
    CompactBlock,
    GetBlockTransactions,
    GetCompact,
    NotFound,
)
from ioex_chain.p2p.seam import Offence, Peer
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash

MAX_FETCHES = 8
"""Blocks that are rebuilt at a time."""
MAX_SPARES = 2
"""Further peers whose compact form of the same block is kept."""
DEADLINE = 10.0
SPARE_DEADLINE = 2.0
"""Seconds that a peer has for an answer; the shorter when another peer could be asked."""
TIME_EACH = 0.003
"""Seconds more for each missing transaction: a full block over a slow line."""
MAX_REMEMBERED_FAILURES = 64
MAX_AHEAD = 2
"""Blocks above the head at which a compact block is still worth rebuilding."""


class BlockIntake(Protocol):
    """The way into the ledger: `gossip.intake.Intake`."""

    def headers(
        self,
        peer: Peer,
        headers: Sequence[Any],
        done: Callable[[Sequence[Entry[Any]], Verdict | None], None],
    ) -> None:
        """Store headers; `done` hears what was taken and why it stopped."""
        ...

    def block(
        self,
        peer: Peer | None,
        make: Callable[[], Block],
        done: Callable[[Verdict], None],
        *,
        size: int = 0,
        is_guess: bool = False,
    ) -> None:
        """Take a block of `size` bytes that `make` gives on the worker; of a guess the body may be wrong."""
        ...


class BlockSync(Protocol):
    """What is known of the peers' chains: `gossip.sync.Sync`."""

    @property
    def is_syncing(self) -> bool:
        """Whether the node is catching up."""
        ...

    def on_announce(self, peer: Peer, headers: Sequence[Any]) -> None:
        """Take headers that a peer announced."""
        ...

    def fetching(self, peer: Peer, hash_: BlockHash) -> None:
        """Leave a block to the caller, who fetches it from this peer."""
        ...

    def fetched(self, hash_: BlockHash) -> None:
        """Note that the caller has settled a block."""
        ...

    def fetch_failed(self, peer: Peer, hash_: BlockHash) -> None:
        """Fetch a block whole, which the caller could not get from this peer."""
        ...

    def has(self, peer: Peer, hash_: BlockHash) -> bool:
        """Whether a peer is known to have a block."""
        ...

    def note(self, peer: Peer, entry: Entry[Any]) -> None:
        """Remember that a peer has a block."""
        ...


@dataclass(slots=True)
class _Fetch:
    """A block on its way in compact form from `peer`; `message` is None until GetCompact is answered.

    `rebuild` is there while missing transactions are awaited; `busy` while the worker has it.
    """

    peer: Peer
    hash: BlockHash
    asked_at: float
    deadline: float
    message: CompactBlock | None = None
    rebuild: Rebuild | None = None
    busy: bool = False
    lacked: tuple[int, ...] = ()
    spares: list[tuple[Peer, CompactBlock]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What the worker made of a compact block: the block, if nothing is missing and the root is right."""

    rebuild: Rebuild | None
    block: Block | None = None
    error: DecodeError | None = None
    lacked: tuple[int, ...] = ()
    """Places of transactions that were not in our pool."""


class CompactFetcher:
    """Turns compact blocks into blocks and gives them to the ledger."""

    def __init__(
        self,
        context: Context,
        intake: BlockIntake,
        sync: BlockSync,
        serving: Serving,
        gave: Callable[[Peer], None],
    ) -> None:
        """`gave` hears which peer a new head came from."""
        self._chain = context.chain
        self._ledger = context.chain.ledger
        self._pool = context.pool
        self._form = context.wire.form
        self._now = context.now
        self._intake = intake
        self._sync = sync
        self._serving = serving
        self._gave = gave
        self.extra: Callable[[], Sequence[Any]] = tuple
        """Gives transactions beside the pool's that may be in a block: orphans, refused ones."""
        self._peers: dict[int, Peer] = {}
        self._fetches: dict[BlockHash, _Fetch] = {}
        self._failed: dict[tuple[int, BlockHash], None] = {}

    def __len__(self) -> int:
        return len(self._fetches)

    def peer_up(self, peer: Peer) -> None:
        """Take a new peer."""
        self._peers[peer.number] = peer

    def peer_down(self, peer: Peer) -> None:
        """Forget a peer; what it was to give comes from others."""
        self._peers.pop(peer.number, None)
        for fetch in list(self._fetches.values()):
            fetch.spares = [spare for spare in fetch.spares if spare[0].number != peer.number]
            if fetch.peer.number == peer.number and not fetch.busy:
                self._give_up(fetch)

    def tick(self) -> None:
        """Give up what is overdue."""
        now = self._now()
        for fetch in list(self._fetches.values()):
            if fetch.busy:
                continue
            if now >= fetch.deadline:
                peer = fetch.peer
                self._give_up(fetch)
                peer.offend(Offence.STALLING, "no answer about a compact block")
            elif fetch.spares and now >= fetch.asked_at + SPARE_DEADLINE:
                self._give_up(fetch)

    # --- compact blocks come in -----------------------------------------------------------------------------

    def ask(self, peer: Peer, entry: Entry[Any]) -> bool:
        """Ask for a block in compact form; False when it is better fetched whole."""
        parent = entry.parent
        if parent is None or entry.hash in self._fetches or not self._is_up(peer):
            return False
        if entry.status & Status.BODY:
            return False
        if not self._is_worth_rebuilding(parent) or self._has_failed(peer, entry.hash):
            return False
        now = self._now()
        self._fetches[entry.hash] = _Fetch(peer, entry.hash, now, now + DEADLINE)
        peer.send(GetCompact(entry.hash))
        return True

    def take(self, peer: Peer, header: Any, message: CompactBlock) -> None:
        """Take a block that was pushed, or that `ask` asked for; its header has the work that it claims."""
        fetch = self._fetches.get(header.hash)
        if fetch is None:
            self._pushed(peer, header, message)
        elif fetch.peer.number != peer.number:
            self._keep_spare(fetch, peer, message)
        elif fetch.message is None:
            fetch.message = message
            self._rebuild(fetch)

    def _keep_spare(self, fetch: _Fetch, peer: Peer, message: CompactBlock) -> None:
        senders = [spare.number for spare, _ in fetch.spares]
        if len(senders) < MAX_SPARES and peer.number not in senders:
            fetch.spares.append((peer, message))
        entry = self._ledger.entry(fetch.hash)
        if entry is not None:
            self._sync.note(peer, entry)

    def _pushed(self, peer: Peer, header: Any, message: CompactBlock) -> None:
        known = self._ledger.entry(header.hash)
        if known is not None and known.status & Status.BODY:
            self._sync.note(peer, known)
            return
        parent = self._ledger.entry(header.parent_hash)
        if parent is None or not self._is_worth_rebuilding(parent) or self._has_failed(peer, header.hash):
            self._sync.on_announce(peer, [header])
            return
        now = self._now()
        fetch = _Fetch(peer, header.hash, now, now + DEADLINE, message, busy=True)
        self._fetches[header.hash] = fetch
        self._sync.fetching(peer, header.hash)
        self._intake.headers(peer, [header], lambda entries, _verdict: self._header_taken(fetch, entries))

    def _is_worth_rebuilding(self, parent: Entry[Any]) -> bool:
        head = self._ledger.head
        near = head.height - 1 <= parent.height < head.height + MAX_AHEAD
        return near and not self._sync.is_syncing and len(self._fetches) < MAX_FETCHES

    def _header_taken(self, fetch: _Fetch, entries: Sequence[Entry[Any]]) -> None:
        fetch.busy = False
        if not entries:  # the verdict was the intake's to score
            self._drop(fetch)
            return
        if self._is_up(fetch.peer):
            self._sync.note(fetch.peer, entries[0])
        if entries[0].weight <= self._ledger.head.weight:
            self._drop(fetch)  # on a side branch: fetched when it grows
            return
        self._rebuild(fetch)

    # --- rebuilding -----------------------------------------------------------------------------------------

    def _rebuild(self, fetch: _Fetch) -> None:
        message = fetch.message
        if message is None or self._settled(fetch):
            return
        fetch.busy = True
        extra = self.extra()
        self._chain.run(
            lambda: _try_rebuild(message, self._pool, extra, self._form),
            lambda attempt: self._attempted(fetch, attempt),
            lambda _error: self._give_up(fetch),
        )

    def _attempted(self, fetch: _Fetch, attempt: _Attempt) -> None:
        fetch.busy = False
        rebuild = attempt.rebuild
        fetch.lacked = attempt.lacked
        if rebuild is None:
            self._blame(fetch, attempt.error)
        elif not rebuild.missing:
            self._submit(fetch, attempt.block)
        elif not self._is_up(fetch.peer):
            self._give_up(fetch)
        else:
            fetch.rebuild = rebuild
            self._start_clock(fetch, TIME_EACH * len(rebuild.missing))
            fetch.peer.send(GetBlockTransactions(fetch.hash, tuple(rebuild.missing)))

    def _start_clock(self, fetch: _Fetch, more: float = 0.0) -> None:
        fetch.asked_at = self._now()
        fetch.deadline = fetch.asked_at + DEADLINE + more

    def on_block_transactions(self, peer: Peer, message: BlockTransactions) -> None:
        """Take the transactions that were missing."""
        fetch = self._fetches.get(BlockHash(message.hash))
        if fetch is None or fetch.peer.number != peer.number or fetch.rebuild is None:
            return  # late: the block came from somebody else
        rebuild, fetch.rebuild = fetch.rebuild, None
        fetch.busy = True
        self._chain.run(
            lambda: _try_fill(rebuild, message.items),
            lambda attempt: self._filled(fetch, attempt),
            lambda _error: self._give_up(fetch),
        )

    def _filled(self, fetch: _Fetch, attempt: _Attempt) -> None:
        fetch.busy = False
        if attempt.error is not None:
            self._blame(fetch, attempt.error)
        else:
            self._submit(fetch, attempt.block)

    def _blame(self, fetch: _Fetch, error: DecodeError | None) -> None:
        peer = fetch.peer
        self._give_up(fetch)
        offence = Offence.UNREQUESTED if isinstance(error, WrongFill) else Offence.MALFORMED
        peer.offend(offence, f"compact block: {error}")

    def _submit(self, fetch: _Fetch, block: Block | None) -> None:
        if block is None:  # a short id named another transaction; nobody is to blame
            self._give_up(fetch)
            return
        fetch.busy = True
        self._serving.keep(block, fetch.lacked)
        self._intake.block(
            fetch.peer,
            lambda: block,
            lambda verdict: self._verdict(fetch, verdict),
            size=len(block.raw),
            is_guess=not self._form.is_proven,
        )

    def _verdict(self, fetch: _Fetch, verdict: Verdict) -> None:
        fetch.busy = False
        if self._is_up(fetch.peer):
            if verdict.outcome.is_here and verdict.entry is not None:
                self._sync.note(fetch.peer, verdict.entry)
            if verdict.outcome is Outcome.ACCEPTED:
                self._gave(fetch.peer)
        if verdict.outcome.is_final:
            self._drop(fetch)
        else:
            self._give_up(fetch)

    # --- ending ---------------------------------------------------------------------------------------------

    def on_not_found(self, peer: Peer, message: NotFound) -> None:
        """Fetch elsewhere, or whole."""
        fetch = self._fetches.get(BlockHash(message.hash))
        if fetch is not None and fetch.peer.number == peer.number and not fetch.busy:
            self._give_up(fetch)

    def _is_up(self, peer: Peer) -> bool:
        return peer.number in self._peers

    def _has_failed(self, peer: Peer, hash_: BlockHash) -> bool:
        return (peer.number, hash_) in self._failed

    def _settled(self, fetch: _Fetch) -> bool:
        entry = self._ledger.entry(fetch.hash)
        if entry is None or not entry.status & Status.BODY:
            return False
        self._drop(fetch)
        return True

    def _drop(self, fetch: _Fetch) -> None:
        if self._fetches.get(fetch.hash) is fetch:
            del self._fetches[fetch.hash]
            self._sync.fetched(fetch.hash)

    def _give_up(self, fetch: _Fetch) -> None:
        """Go on with the next peer that sent the block, or have it fetched whole."""
        if self._fetches.get(fetch.hash) is not fetch or self._settled(fetch):
            return
        self._remember_failure(fetch.peer, fetch.hash)
        fetch.rebuild = None
        fetch.busy = False
        while fetch.spares:
            fetch.peer, fetch.message = fetch.spares.pop(0)
            if self._is_up(fetch.peer):
                self._start_clock(fetch)
                self._sync.fetching(fetch.peer, fetch.hash)
                self._rebuild(fetch)
                return
        del self._fetches[fetch.hash]
        self._sync.fetch_failed(fetch.peer, fetch.hash)

    def _remember_failure(self, peer: Peer, hash_: BlockHash) -> None:
        self._failed[peer.number, hash_] = None
        if len(self._failed) > MAX_REMEMBERED_FAILURES:
            del self._failed[next(iter(self._failed))]


def _try_rebuild(message: CompactBlock, pool: PoolWire, extra: Sequence[Any], form: CompactForm) -> _Attempt:
    try:
        rebuild = Rebuild(message, [*pool.candidates(), *extra], form)
    except DecodeError as error:
        return _Attempt(None, None, error)
    given = [place for place, tx in rebuild.prefilled if place and pool.get(pool.id(tx)) is None]
    return _Attempt(rebuild, rebuild.block(), None, tuple(sorted([*given, *rebuild.missing])))


def _try_fill(rebuild: Rebuild, items: Sequence[bytes]) -> _Attempt:
    try:
        rebuild.fill(items)
    except DecodeError as error:
        return _Attempt(rebuild, None, error)
    return _Attempt(rebuild, rebuild.block())
