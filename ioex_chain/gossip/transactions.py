"""Unconfirmed transactions between peers (docs/protocol.md section 9.3).

What the pool takes is announced by the hash over its bytes, in batches at random times, and given to who
asks. How transactions come in is in `incoming`.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ioex_chain.gossip.incoming import REPLY_BYTES, Incoming
from ioex_chain.gossip.outbox import Outbox
from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.pow_pool import best_first
from ioex_chain.gossip.turns import Turns
from ioex_chain.gossip.wire import AnyHeadChanged
from ioex_chain.p2p.chain_messages import (
    AnnounceTransactions,
    FeeFilter,
    GetTransactions,
    Transactions,
)
from ioex_chain.p2p.messages import RELAYS_TRANSACTIONS
from ioex_chain.p2p.seam import Peer

__all__ = ["TransactionRelay", "best_first"]

log = logging.getLogger(__name__)

FLUSH_MEAN = 0.3
"""Seconds between announcements to a peer: random, so that their times tell little of where we heard it."""
MAX_BACKLOG = 1 << 20
"""Bytes not sent yet above which announcements wait."""
REBROADCAST_MEAN = 30 * 60.0
"""Seconds between announcements of our own transactions that no block has taken."""
MAX_OURS = 10_000
RATE_INTERVAL = 10.0
"""Seconds between looks at the pool's least fee rate."""


class Progress(Protocol):
    """What the relay needs of `gossip.sync.Sync`."""

    @property
    def is_syncing(self) -> bool:
        """Whether the node is catching up; it relays nothing then."""
        ...


@dataclass(slots=True)
class _State:
    peer: Peer
    flush_at: float
    outbox: Outbox = field(default_factory=Outbox)
    offered: bool = False
    """Whether it was told of the pool as it was when it came."""
    sent_rate: int = 0


class TransactionRelay:
    """Relays transactions between the pool and the peers that want them."""

    def __init__(self, context: Context, sync: Progress) -> None:
        self._chain = context.chain
        self._pool = context.pool
        self._now = context.now
        self._chance = context.chance
        self._sync = sync
        self._incoming = Incoming(context, lambda: sync.is_syncing)
        self._states: dict[int, _State] = {}
        self._turns = Turns(context.now)
        self._inbound_at = 0.0
        self._ours: dict[bytes, None] = {}
        self._rebroadcast_at = context.now() + context.chance.expovariate(1 / REBROADCAST_MEAN)
        self._rate = self._pool.least_rate()
        self._rate_at = context.now()

    def peer_up(self, peer: Peer) -> None:
        """Take a new peer."""
        self._turns.peer_up(peer)
        if not peer.hello.services & RELAYS_TRANSACTIONS:
            return
        state = self._states[peer.number] = _State(peer, self._next_flush())
        self._incoming.peer_up(peer)
        self._send_rate(state)

    def peer_down(self, peer: Peer) -> None:
        """Forget a peer."""
        self._turns.peer_down(peer)
        if self._states.pop(peer.number, None) is not None:
            self._incoming.peer_down(peer)

    def tick(self) -> None:
        """Announce, ask and remind, as it is due."""
        self._incoming.tick()
        self._turns.tick()
        if self._sync.is_syncing:
            return
        self._offer_pool()
        self._flush()
        self._rebroadcast()
        self._watch_rate()

    def drained(self, peer: Peer) -> None:
        """Go on serving a peer."""
        self._turns.drained(peer)

    def head_changed(self, event: AnyHeadChanged) -> None:
        """Follow the chain."""
        self._incoming.head_changed(bool(event.disconnected))

    def added(self, tx: Any) -> None:
        """Announce what the pool took, from whomever."""
        id_ = self._pool.id(tx)
        if not self._incoming.is_coming(id_):
            self._note_ours(id_)
        for state in self._states.values():
            state.outbox.offer(id_)
        self._incoming.added(tx)

    def extra(self) -> Sequence[Any]:
        """Give transactions beside the pool's that may be in a block: for compact blocks."""
        return self._incoming.extra()

    # --- messages -------------------------------------------------------------------------------------------

    def on_announce_transactions(self, peer: Peer, message: AnnounceTransactions) -> None:
        """Ask for what is new."""
        state = self._states.get(peer.number)
        if state is None:
            return
        for id_ in message.ids:
            state.outbox.knows(id_)
        self._incoming.announced(peer, message.ids)

    def on_get_transactions(self, peer: Peer, message: GetTransactions) -> None:
        """Give what the peer was told of, and parents, as far as it fits."""

        def answer(sent: Callable[[], None]) -> None:
            self._give(peer, message)
            sent()

        self._turns.ask(peer, len(message.ids) + len(message.parents), answer)

    def _give(self, peer: Peer, message: GetTransactions) -> None:
        state = self._states.get(peer.number)
        pool = self._pool
        found: list[Any] = []
        if state is not None:
            found += map(pool.get, message.ids)
            found += map(pool.get_named, message.parents)
        items = []
        left = REPLY_BYTES
        for entry in found:
            if entry is None or state is None or not state.outbox.may_have(entry, pool):
                continue
            if left <= 0:
                break
            raw = pool.tx(entry).raw
            left -= len(raw)  # the last one may go beyond: a settlement alone is larger than the rest
            state.outbox.knows(pool.entry_id(entry))
            items.append(raw)
        peer.send(Transactions(tuple(items)))

    def on_transactions(self, peer: Peer, message: Transactions) -> None:
        """Take what was asked for."""
        self._incoming.answered(peer, message.items)

    def on_fee_filter(self, peer: Peer, message: FeeFilter) -> None:
        """Tell this peer only of what pays its rate."""
        state = self._states.get(peer.number)
        if state is not None:
            state.outbox.min_rate = message.rate

    # --- announcing -----------------------------------------------------------------------------------------

    def _next_flush(self) -> float:
        return self._now() + self._chance.expovariate(1 / FLUSH_MEAN)

    def _flush(self) -> None:
        """Send what is due. Inbound peers share one time, so that many of them learn no more than one."""
        now = self._now()
        inbound_due = now >= self._inbound_at
        if inbound_due:
            self._inbound_at = self._next_flush()
        for state in list(self._states.values()):
            if not (now >= state.flush_at if state.peer.outbound else inbound_due):
                continue
            state.flush_at = self._next_flush()
            if len(state.outbox) and state.peer.backlog <= MAX_BACKLOG:
                ids = state.outbox.batch(self._pool)
                if ids:
                    state.peer.send(AnnounceTransactions(ids))

    def _offer_pool(self) -> None:
        new = [state for state in self._states.values() if not state.offered]
        for state in new:
            state.offered = True
        if new and len(self._pool):
            self._chain.run(
                self._pool.best_first,
                lambda ids: _offer(new, ids),
                _failed,
            )

    def _note_ours(self, id_: bytes) -> None:
        self._ours[id_] = None
        if len(self._ours) > MAX_OURS:
            del self._ours[next(iter(self._ours))]

    def _rebroadcast(self) -> None:
        if self._now() < self._rebroadcast_at:
            return
        self._rebroadcast_at = self._now() + self._chance.expovariate(1 / REBROADCAST_MEAN)
        self._ours = {id_: None for id_ in self._ours if self._pool.get(id_)}
        for state in self._states.values():
            for id_ in self._ours:
                state.outbox.offer_again(id_)

    # --- fee rates ------------------------------------------------------------------------------------------

    def _watch_rate(self) -> None:
        if self._now() >= self._rate_at:
            self._rate_at = self._now() + RATE_INTERVAL
            self._chain.run(self._pool.rate, self._rate_is, _failed)

    def _rate_is(self, rate: int) -> None:
        self._rate = rate
        for state in list(self._states.values()):
            if not 3 * state.sent_rate <= 4 * rate <= 5 * state.sent_rate:
                self._send_rate(state)

    def _send_rate(self, state: _State) -> None:
        state.sent_rate = self._rate
        state.peer.send(FeeFilter(self._rate))


def _offer(states: Sequence[_State], ids: Sequence[bytes]) -> None:
    for state in states:
        state.outbox.offer_catalogue(ids)


def _failed(error: Exception) -> None:
    log.error("the pool could not be read", exc_info=error)
