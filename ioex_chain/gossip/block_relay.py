"""New blocks between peers: announced when they are verified, fetched in compact form, pushed to who asked.

docs/protocol.md sections 9.3 and 9.4. `Sync` knows who has what and fetches whole blocks; `CompactFetcher`
fetches compact ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ioex_chain.gossip.compact_fetch import BlockIntake, BlockSync, CompactFetcher
from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.serving import RECENT_DEPTH, Served, Serving
from ioex_chain.gossip.turns import Turns
from ioex_chain.gossip.wire import AnyHeadChanged
from ioex_chain.ledger.errors import InvalidHeader
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.p2p.chain_messages import (
    MAX_ANNOUNCED_HEADERS,
    Announce,
    BlockTransactions,
    CompactBlock,
    GetBlockTransactions,
    GetCompact,
    NotFound,
    SendCompact,
)
from ioex_chain.p2p.rates import Rate, TokenBucket
from ioex_chain.p2p.seam import Offence, Peer
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash, display

MAX_PUSHERS = 3
"""Peers that we ask to push new blocks (BIP 152's high-bandwidth mode)."""

PACE = Rate(10, 20)
"""Heads that are told of: every one in ordinary times, and well below the rates that peers allow."""


@dataclass(slots=True)
class _State:
    """A peer: whether it wants blocks pushed, and the last block that we told it of."""

    peer: Peer
    wants_push: bool = False
    told: BlockHash | None = None


class BlockRelay:
    """Announces, pushes, fetches and serves new blocks."""

    def __init__(
        self,
        context: Context,
        intake: BlockIntake,
        sync: BlockSync,
        extra: Callable[[], Sequence[Any]] | None = None,
    ) -> None:
        """`extra` gives transactions beside the pool's that may be in a block: orphans, refused ones."""
        self._context = context
        self._chain = context.chain
        self._ledger = context.chain.ledger
        self._sync = sync
        self._wire = context.wire
        self._serving = Serving(context)
        self._turns = Turns(context.now)
        self.fetcher = CompactFetcher(context, intake, sync, self._serving, self.gave_block)
        if extra is not None:
            self.fetcher.extra = extra
        self._states: dict[int, _State] = {}
        self._pushers: list[Peer] = []
        self._untold = False
        self._now = context.now
        self._pace = TokenBucket(PACE, context.now())

    def peer_up(self, peer: Peer) -> None:
        """Take a new peer."""
        self._states[peer.number] = _State(peer)
        self._turns.peer_up(peer)
        self.fetcher.peer_up(peer)

    def peer_down(self, peer: Peer) -> None:
        """Forget a peer; what it was to give comes from others."""
        if self._states.pop(peer.number, None) is None:
            return
        self._pushers = [other for other in self._pushers if other.number != peer.number]
        self._turns.peer_down(peer)
        self.fetcher.peer_down(peer)

    def tick(self) -> None:
        """Give up what is overdue; after catching up, tell of the head."""
        self.fetcher.tick()
        self._turns.tick()
        self._tell_of_head()

    def drained(self, peer: Peer) -> None:
        """Go on serving a peer."""
        self._turns.drained(peer)

    # --- what peers tell ------------------------------------------------------------------------------------

    def on_announce(self, peer: Peer, message: Announce) -> None:
        """Take announced headers."""
        try:
            headers = [self._wire.form.read_header(raw) for raw in message.headers]
        except DecodeError as error:
            peer.offend(Offence.MALFORMED, f"announced header: {error}")
            return
        self._sync.on_announce(peer, headers)

    def on_send_compact(self, peer: Peer, message: SendCompact) -> None:
        """Push new blocks to this peer from now on, or do not."""
        self._states[peer.number].wants_push = message.push

    def on_compact(self, peer: Peer, message: CompactBlock) -> None:
        """Take a block that was pushed, or that GetCompact asked for."""
        try:
            header = self._wire.form.read_header(message.header)
            self._wire.check_pushed(header)
        except DecodeError as error:
            peer.offend(Offence.MALFORMED, f"compact block: {error}")
        except InvalidHeader as error:
            peer.offend(Offence.INVALID_HEADER, str(error))
        else:
            self.fetcher.take(peer, header, message)

    def on_block_transactions(self, peer: Peer, message: BlockTransactions) -> None:
        """Take the transactions that a compact block was missing."""
        self.fetcher.on_block_transactions(peer, message)

    def on_not_found(self, peer: Peer, message: NotFound) -> None:
        """Fetch elsewhere, or whole, what a peer has not got."""
        self.fetcher.on_not_found(peer, message)

    def fetch_compact(self, peer: Peer, entry: Entry[Any]) -> bool:
        """Fetch a block in compact form; False when it is better fetched whole."""
        return self.fetcher.ask(peer, entry)

    # --- whom we ask to push --------------------------------------------------------------------------------

    def gave_block(self, peer: Peer) -> None:
        """Ask the peer that gave a new block first to push the next; the one that did so longest ago stops.

        The last outbound one is kept: inbound peers are cheap for an attacker (as Bitcoin Core does).
        """
        self._context.gave_block(peer.number)
        others = [other for other in self._pushers if other.number != peer.number]
        known = len(others) < len(self._pushers)
        if not known and len(others) >= MAX_PUSHERS:
            outbound = [other for other in others if other.outbound]
            spared = outbound[0] if len(outbound) == 1 and not peer.outbound else None
            loser = next(other for other in others if other is not spared)
            others.remove(loser)
            loser.send(SendCompact(False))
        self._pushers = [*others, peer]
        if not known:
            peer.send(SendCompact(True))

    # --- telling --------------------------------------------------------------------------------------------

    def head_changed(self, event: AnyHeadChanged) -> None:
        """Tell the peers of a new head; when heads follow each other fast, only of some."""
        if event.connected:
            self._untold = True
            self._tell_of_head()

    def _tell_of_head(self) -> None:
        if not self._untold or self._sync.is_syncing or not self._pace.take(1, self._now()):
            return
        self._untold = False
        head = self._ledger.head
        if any(not self._knows(state, head) for state in self._states.values()):
            self._serving.prepare(head, lambda served: self._tell(head, served))
        self._serving.release()

    def _tell(self, head: Entry[Any], served: Served | None) -> None:
        if not self._ledger.is_on_best_chain(head):
            return
        compact = served.compact if served else None
        for state in list(self._states.values()):
            if self._knows(state, head):
                continue
            parent = head.parent
            if compact and state.wants_push and parent is not None and self._knows(state, parent):
                state.peer.send(compact)
            else:
                self._announce(state, head)
            state.told = head.hash

    def _announce(self, state: _State, head: Entry[Any]) -> None:
        headers: list[bytes] = []
        at: Entry[Any] | None = head
        while at is not None and len(headers) < MAX_ANNOUNCED_HEADERS and not self._knows(state, at):
            headers.append(at.header.encode())
            at = at.parent
        state.peer.send(Announce(tuple(reversed(headers))))

    def _knows(self, state: _State, entry: Entry[Any]) -> bool:
        return state.told == entry.hash or self._sync.has(state.peer, entry.hash)

    # --- serving --------------------------------------------------------------------------------------------

    def on_get_compact(self, peer: Peer, message: GetCompact) -> None:
        """Give a recent block in compact form."""

        def answer(served: Served | None) -> None:
            compact = served.compact if served else None
            peer.send(compact or NotFound(GetCompact.type, message.hash))

        self._serve(peer, message.hash, 1, answer)

    def on_get_block_transactions(self, peer: Peer, message: GetBlockTransactions) -> None:
        """Give some transactions of a recent block."""

        def answer(served: Served | None) -> None:
            body = self._serving.body(served) if served else None
            if served is None or body is None:
                peer.send(NotFound(GetBlockTransactions.type, message.hash))
                return
            try:
                items = served.transactions(body, message.indexes)
            except IndexError:
                text = f"asks for a transaction that block {display(served.hash)} has not got"
                peer.offend(Offence.MALFORMED, text)
                return
            peer.send(BlockTransactions(message.hash, items))

        self._serve(peer, message.hash, 1 + len(message.indexes), answer)

    def _serve(self, peer: Peer, hash_: bytes, items: int, answer: Callable[[Served | None], None]) -> None:
        def begin(sent: Callable[[], None]) -> None:
            def give(served: Served | None) -> None:
                answer(served)
                sent()

            self._find(hash_, give)

        self._turns.ask(peer, items, begin)

    def _find(self, hash_: bytes, answer: Callable[[Served | None], None]) -> None:
        entry = self._ledger.entry(BlockHash(hash_))
        oldest = self._ledger.head.height - RECENT_DEPTH
        if entry and entry.height > oldest and entry.status & Status.CONNECTED:
            self._serving.prepare(entry, answer)
        else:
            answer(None)
