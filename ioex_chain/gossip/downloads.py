"""Bodies: asks peers for the blocks that the planner chooses, and hands what comes to the intake."""

from collections.abc import Callable
from typing import Any

from ioex_chain.gossip.intake import Intake, Verdict
from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.preference import Preference
from ioex_chain.ledger.sync import Arrival, Planner, Stall, SyncLimits
from ioex_chain.ledger.types import Entry
from ioex_chain.p2p.chain_messages import MAX_GET_BLOCKS, BlockData, GetBlocks, NotFound
from ioex_chain.p2p.messages import SERVES_BLOCKS
from ioex_chain.p2p.seam import Offence, Peer
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash, display

FetchCompact = Callable[[Peer, Entry[Any]], bool]

ENOUGH_WAITING = 32_000_000
"""Bytes of blocks that wait to be checked above which no more are asked for."""
_MAX_WHOLE = 64
MAX_BROKEN = 16
"""Blocks that a peer may lack of a chain that it told of; its chain may just have been rolled back."""
TOO_MUCH_WAITING = 96_000_000
"""Above this a block that comes is dropped, to be asked for again: estimates of sizes were wrong."""
FLUSH_EVERY = 5.0
"""Seconds between syncs while the node catches up for the first time."""


def _flush_failed(error: Exception) -> None:
    raise error


class Downloads:
    """Keeps every peer busy that has blocks which we want.

    `poll(peer)` is called when what is known of a peer's chain turned out wrong; while `is_bulk()` blocks are
    not fetched in compact form and, with `group_commits`, not synced one by one.
    """

    def __init__(
        self,
        context: Context,
        intake: Intake,
        limits: SyncLimits,
        poll: Callable[[Peer], None],
        is_bulk: Callable[[], bool],
        fetch_compact: FetchCompact | None,
        group_commits: bool,
        preference: Preference,
    ) -> None:
        self._chain = context.chain
        self._ledger = context.chain.ledger
        self._now = context.now
        self._intake = intake
        self._poll = poll
        self._is_bulk = is_bulk
        self._fetch_compact = fetch_compact
        self._peers: dict[int, Peer] = {}
        self._group_commits = group_commits
        self._flushed = context.now()
        self._has_unsynced = False
        self._broken: dict[int, int] = {}
        self._whole: dict[BlockHash, None] = {}
        self._wire = context.wire
        self.planner: Planner[Any] = Planner(limits, preference.is_worth_having)

    def peer_up(self, peer: Peer) -> None:
        """Take a new peer, if it serves blocks."""
        if peer.hello.services & SERVES_BLOCKS:
            self._peers[peer.number] = peer
            self.planner.add_peer(peer.number)

    def peer_down(self, peer: Peer) -> None:
        """Forget a peer; others are asked for what it owes."""
        if self._peers.pop(peer.number, None) is not None:
            self._broken.pop(peer.number, None)
            self.planner.drop_peer(peer.number)
            self.pump()

    def learned(self, peer: Peer, entry: Entry[Any]) -> None:
        """Note that a peer has a block and all below it."""
        self.planner.set_best(peer.number, entry)

    def tick(self) -> None:
        """Take requests from those who do not answer."""
        for stall in self.planner.expired(self._now()):
            self._stalled(stall)
        self._flush_in_time()
        self.pump()

    def _flush_in_time(self) -> None:
        """Have what was written without sync put down now and then, and when we have caught up."""
        now = self._now()
        if self._has_unsynced and (not self._is_bulk() or now - self._flushed >= FLUSH_EVERY):
            self._has_unsynced, self._flushed = False, now
            self._chain.run(self._ledger.flush, lambda _: None, _flush_failed)

    def _stalled(self, stall: Stall) -> None:
        peer = self._peers.get(stall.number)
        if peer is not None:
            peer.offend(Offence.STALLING, f"no block for {stall.seconds:.0f} s")

    # --- asking ---------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Ask for what may be asked now."""
        if self._intake.waiting_bytes > ENOUGH_WAITING:
            return
        for number, entries in self.planner.plan(self._ledger.head, self._now()):
            peer = self._peers[number]
            if len(entries) == 1 and self._try_compact(peer, entries[0]):
                continue
            for at in range(0, len(entries), MAX_GET_BLOCKS):
                peer.send(GetBlocks(tuple(entry.hash for entry in entries[at : at + MAX_GET_BLOCKS])))

    def _try_compact(self, peer: Peer, entry: Entry[Any]) -> bool:
        """Have the next block fetched in compact form: our pool knows most of it."""
        if self._fetch_compact is None or self._is_bulk() or entry.hash in self._whole:
            return False
        if entry.header.parent_hash != self._ledger.head.hash or not self._fetch_compact(peer, entry):
            return False
        self.planner.expect(peer.number, entry.hash, entry, self._now())
        return True

    def _ask_whole(self, hash_: BlockHash) -> None:
        """Ask for this block whole from now on."""
        self._whole[hash_] = None
        if len(self._whole) > _MAX_WHOLE:
            del self._whole[next(iter(self._whole))]

    # --- what comes -----------------------------------------------------------------------------------------

    def on_block(self, peer: Peer, message: BlockData) -> None:
        """Take a block that was asked for."""
        raw = message.raw
        try:
            hash_ = self._wire.block_hash(raw)
        except DecodeError as error:
            peer.offend(Offence.MALFORMED, f"block: {error}")
            return
        arrival = self.planner.arrived(peer.number, hash_, len(raw), self._now())
        if arrival is Arrival.UNASKED:
            peer.offend(Offence.UNREQUESTED, f"block {display(hash_)}, which was not asked for")
        elif arrival is Arrival.LATE:
            self.pump()
        elif self._intake.waiting_bytes + len(raw) > TOO_MUCH_WAITING:
            self.planner.settled(hash_)
        else:
            self._broken.pop(peer.number, None)
            self._hand_in(peer, hash_, raw)
            self.pump()

    def _hand_in(self, peer: Peer, hash_: BlockHash, raw: bytes) -> None:
        sync = not (self._group_commits and self._is_bulk())
        self._has_unsynced = self._has_unsynced or not sync
        self._intake.block(
            peer,
            lambda: self._wire.read_block(raw),
            lambda verdict: self._judged(peer, hash_, verdict),
            size=len(raw),
            sync=sync,
        )

    def _judged(self, peer: Peer, hash_: BlockHash, verdict: Verdict) -> None:
        if not verdict.outcome.is_final:
            self.planner.refuse(peer.number, hash_)  # the next one may have the right body
        self.planner.settled(hash_)
        self.pump()

    def on_not_found(self, peer: Peer, message: NotFound) -> None:
        """Ask elsewhere for what a peer has not got; ask it for its headers again."""
        if not self.planner.refuse(peer.number, BlockHash(message.hash)):
            return
        if peer.number not in self._broken:
            self._poll(peer)
        count = self._broken[peer.number] = self._broken.get(peer.number, 0) + 1
        if count % MAX_BROKEN == 0:
            peer.offend(
                Offence.BROKEN_PROMISE, f"has not got {MAX_BROKEN} blocks of the chain that it told of"
            )
        self.pump()

    # --- what another part fetches --------------------------------------------------------------------------

    def fetching(self, peer: Peer, hash_: BlockHash) -> None:
        """Leave a block to another part, which fetches it from this peer."""
        self.planner.expect(peer.number, hash_, self._ledger.entry(hash_), self._now())

    def fetched(self, hash_: BlockHash) -> None:
        """Note that the other part is done with a block."""
        self.planner.settled(hash_)
        self.pump()

    def fetch_failed(self, hash_: BlockHash) -> None:
        """Fetch a block whole that the other part could not get."""
        self._ask_whole(hash_)
        owner = self.planner.asked_of(hash_)
        if owner is not None:
            self.planner.release(owner, hash_)
        self.pump()
