"""Following the best chain of all peers: headers first, then bodies, and how far that is.

`HeaderSync` finds out what chains peers have, `Downloads` gets their blocks, `ChainServer` answers those who
follow us; this puts them together.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ioex_chain.gossip.chain_server import ChainServer
from ioex_chain.gossip.downloads import Downloads
from ioex_chain.gossip.headers import HeaderSync
from ioex_chain.gossip.intake import Intake
from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.preference import Preference
from ioex_chain.gossip.wire import AnyHeadChanged
from ioex_chain.gossip.withheld import Withheld
from ioex_chain.ledger.sync import SyncLimits
from ioex_chain.ledger.types import Entry
from ioex_chain.p2p.chain_messages import BlockData, GetBlocks, GetHeaders, Headers, NotFound
from ioex_chain.p2p.seam import Peer
from ioex_chain.primitives.types import BlockHash

log = logging.getLogger(__name__)

NEAR = 3
"""Blocks behind the best header at which the node counts as synced."""
_LOOK_EVERY = 2.0
_LOG_EVERY = 10.0
_SAMPLE_EVERY = 1.0
_SAMPLES = 60
_OLD = 24 * 3600
_RECENT = 64


@dataclass(frozen=True, slots=True)
class SyncState:
    """How far the node is behind its peers."""

    is_syncing: bool
    """Whether it knows of blocks that it has not got, or has not heard of its peers' chains yet."""
    head_height: int
    header_height: int
    """Height of the best header known."""
    blocks_per_second: float
    """Over the last minute."""
    seconds_left: float | None
    """At that speed; None when unknown."""


@dataclass(frozen=True, slots=True)
class PeerSync:
    """What a peer is known to have."""

    known_headers: int
    """Height of the best header that it told us of; -1 for none."""
    common_blocks: int
    """Height of the last block that both have; -1 for none."""
    in_flight: tuple[int, ...]
    """Heights of the blocks that are asked of it."""


class Sync:
    """Brings the node to the chain with the most work, and others to ours.

    `fetch_compact(peer, entry)` fetches the block after our head in compact form (False: it does not); it
    then says `fetched` or `fetch_failed`.
    """

    def __init__(
        self,
        context: Context,
        intake: Intake,
        *,
        fetch_compact: Callable[[Peer, Entry[Any]], bool] | None = None,
        limits: SyncLimits | None = None,
        group_commits: bool = False,
    ) -> None:
        """Say `group_commits` only of a ledger on a `ledger.group_store.GroupStore`.

        Then blocks are written without a sync each until the node has caught up: many times as fast, and a
        crash costs a few seconds' blocks, which are fetched again, but never the order of what is stored.
        """
        limits = limits or SyncLimits()
        self._chain = context.chain
        self._ledger = context.chain.ledger
        self._now = context.now
        self._wire = context.wire
        self.preference = Preference(self._ledger, context.wire.has_ties)
        self.server = ChainServer(context)
        self.downloads = Downloads(
            context,
            intake,
            limits,
            self._poll,
            lambda: self.is_syncing,
            fetch_compact,
            group_commits,
            self.preference,
        )
        self._planner = self.downloads.planner
        self.headers = HeaderSync(
            context, self._learned, self._planner.best, limits.max_lead, self.preference
        )
        self.headers.forgot = self._planner.forgive
        intake.too_early = self.headers.too_early
        self._peers: dict[int, Peer] = {}
        self._beside: dict[int, dict[BlockHash, None]] = {}
        self._syncing = True
        self._samples: deque[tuple[float, int]] = deque(
            [(context.now(), self._ledger.head.height)], maxlen=_SAMPLES
        )
        self._logged = self._looked = context.now()
        self._withheld = Withheld(self._ledger, self.preference)

    # --- peers and time -------------------------------------------------------------------------------------

    def peer_up(self, peer: Peer) -> None:
        """Take a new peer and ask what it has."""
        self._peers[peer.number] = peer
        self._beside[peer.number] = {}
        self.server.peer_up(peer)
        self.downloads.peer_up(peer)
        self.headers.peer_up(peer)

    def peer_down(self, peer: Peer) -> None:
        """Forget a peer."""
        self._peers.pop(peer.number, None)
        self._beside.pop(peer.number, None)
        self.server.peer_down(peer)
        self.downloads.peer_down(peer)
        self.headers.peer_down(peer)

    def tick(self) -> None:
        """Do what is due."""
        self.headers.tick()
        self.downloads.tick()
        self.server.tick()
        self._look_whether_synced()
        self._sample()

    def drained(self, peer: Peer) -> None:
        """Go on serving a peer."""
        self.server.drained(peer)

    def _poll(self, peer: Peer) -> None:
        self.headers.poll(peer)

    def _learned(self, peer: Peer, entry: Entry[Any]) -> None:
        self.note(peer, entry)
        self.downloads.pump()

    # --- messages -------------------------------------------------------------------------------------------

    def on_get_headers(self, peer: Peer, message: GetHeaders) -> None:
        """Answer with headers."""
        self.server.on_get_headers(peer, message)

    def on_headers(self, peer: Peer, message: Headers) -> None:
        """Take an answer."""
        self.headers.on_headers(peer, message)

    def on_get_blocks(self, peer: Peer, message: GetBlocks) -> None:
        """Answer with blocks."""
        self.server.on_get_blocks(peer, message)

    def on_block(self, peer: Peer, message: BlockData) -> None:
        """Take an answer."""
        self.downloads.on_block(peer, message)

    def on_not_found(self, peer: Peer, message: NotFound) -> None:
        """Take an answer; those to GetBlocks only."""
        if message.request == GetBlocks.type:
            self.downloads.on_not_found(peer, message)

    def on_announce(self, peer: Peer, headers: Sequence[Any]) -> None:
        """Take headers whose blocks the peer says it has, each on the one before."""
        self.headers.on_announce(peer, headers)

    # --- the node's own chain, and blocks that another part fetches -----------------------------------------

    def head_changed(self, event: AnyHeadChanged) -> None:
        """Follow the head."""
        if event.disconnected:
            self._planner.reset()
        self._look_whether_synced()
        self.headers.pump()  # there may be room for more headers now
        self.downloads.pump()

    def fetching(self, peer: Peer, hash_: BlockHash) -> None:
        """Leave a block to the caller, who fetches it from this peer."""
        self.downloads.fetching(peer, hash_)

    def fetched(self, hash_: BlockHash) -> None:
        """Note that the caller is done with a block: the ledger has judged it, or it is not worth having."""
        self.downloads.fetched(hash_)

    def fetch_failed(self, peer: Peer, hash_: BlockHash) -> None:  # noqa: ARG002 - says whom it was asked of
        """Fetch a block whole, which the caller could not get from this peer."""
        self.downloads.fetch_failed(hash_)

    def want(self, hash_: BlockHash, peer: Peer | None = None) -> None:
        """Get the branch of a block that finality prefers, whatever it weighs; `peer` told of it."""
        entry = self._ledger.entry(hash_)
        if entry is not None and not entry.status.is_invalid:
            self.preference.want(entry)
            self._consider_again()
            self.downloads.pump()
        elif entry is None and peer is not None:
            self.headers.poll(peer)

    def _consider_again(self) -> None:
        """Look again at what peers told of lately: what was the worse branch may be the better one now."""
        for number, hashes in self._beside.items():
            for hash_ in reversed(hashes):
                entry = self._ledger.entry(hash_)
                if entry is not None and self.preference.rank(entry)[0]:
                    self.downloads.learned(self._peers[number], entry)
                    break

    # --- who has what ---------------------------------------------------------------------------------------

    def has(self, peer: Peer, hash_: BlockHash) -> bool:
        """Whether a peer is known to have a block."""
        if hash_ in self._beside.get(peer.number, ()):
            return True
        best = self._planner.best(peer.number)
        entry = self._ledger.entry(hash_)
        if best is None or entry is None or entry.height > best.height:
            return False
        return self._ledger.ancestor(best, entry.height) is entry

    def note(self, peer: Peer, entry: Entry[Any]) -> None:
        """Remember that a peer has a block, and so all below it."""
        beside = self._beside.get(peer.number)
        if beside is None:
            return
        beside[entry.hash] = None
        if len(beside) > _RECENT:
            del beside[next(iter(beside))]
        self.downloads.learned(peer, entry)

    def peer_sync(self, number: int) -> PeerSync | None:
        """Tell what is known of a peer's chain; None if it is gone."""
        if number not in self._peers:
            return None
        best = self._planner.best(number)
        if best is None:
            return PeerSync(-1, -1, ())
        common = self._ledger.fork_point(best, self._ledger.head)
        return PeerSync(best.height, common.height, self._planner.requested_heights(number))

    # --- how far it is --------------------------------------------------------------------------------------

    @property
    def is_syncing(self) -> bool:
        """Whether the node has yet to hear of its peers' chains or to catch up with them.

        Once it has caught up this stays False. As long as it has no peers it believes its own chain when
        that is less than a day old, and always on devnet.
        """
        if not self._syncing or self._peers:
            return self._syncing
        age = self._chain.clock.now() - self._wire.time_of(self._ledger.head.header)
        return self._chain.spec.name != "devnet" and bool(age > _OLD)

    def _look_whether_synced(self) -> None:
        if not self._syncing:
            return
        if self.headers.heard and (self._is_level_with(self.headers.best) or self._is_stuck()):
            self._syncing = False
            log.info("synced at height %d", self._ledger.head.height)

    def _is_level_with(self, best: Entry[Any]) -> bool:
        head = self._ledger.head
        return not self.preference.is_better(best, head) or head.height + NEAR >= best.height

    def _is_stuck(self) -> bool:
        """Whether higher headers are there whose blocks nobody gives, while peers' own chains end at ours.

        A block that its producer withholds, and headers on it whose seals cannot be checked without it, must
        not keep all that restart from going on. Peers give headers of chains only that they have, so those
        that keep the rules are not ahead. They must be half of the peers, or one that we have dialled.
        """
        now = self._now()
        if now - self._looked < _LOOK_EVERY:
            return False
        self._looked = now
        if not self._withheld.look(now, self._ledger.head.height + NEAR):
            return False
        level = [peer for peer in self.headers.heard_peers() if self._is_level_with_peer(peer)]
        if not any(peer.outbound for peer in level) and 2 * len(level) < max(1, len(self._peers)):
            return False
        log.warning("nobody gives the blocks of the highest headers, at %d", self.headers.best.height)
        return True

    def _is_level_with_peer(self, peer: Peer) -> bool:
        best = self._planner.best(peer.number)
        return best is not None and self._is_level_with(best)

    def state(self) -> SyncState:
        """Tell how far the node is behind its peers."""
        head, best = self._ledger.head, self.headers.best
        speed = self._speed()
        behind = max(0, best.height - head.height)
        left = behind / speed if speed > 0 else (None if behind else 0.0)
        return SyncState(self.is_syncing, head.height, best.height, speed, left)

    def _sample(self) -> None:
        now = self._now()
        if now - self._samples[-1][0] >= _SAMPLE_EVERY:
            self._samples.append((now, self._ledger.head.height))
        if self._syncing and self._peers and now - self._logged >= _LOG_EVERY:
            self._logged = now
            self._log_progress()

    def _speed(self) -> float:
        (since, height), now = self._samples[0], self._now()
        return max(0, self._ledger.head.height - height) / (now - since) if now > since else 0.0

    def _log_progress(self) -> None:
        state = self.state()
        left = "unknown" if state.seconds_left is None else f"{state.seconds_left:.0f} s"
        log.info(
            "syncing: height %d of %d, %.1f blocks/s, time left %s",
            state.head_height,
            state.header_height,
            state.blocks_per_second,
            left,
        )
