"""Transactions that peers announce: asked for, taken into the pool, kept as orphans, or refused."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ioex_chain.gossip.admission import Admission
from ioex_chain.gossip.bounded import RollingSet
from ioex_chain.gossip.orphans import Orphan, Orphanage
from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.requests import DEADLINE, RequestTracker
from ioex_chain.gossip.wire import Arrival, Fate, Result
from ioex_chain.p2p.chain_messages import MAX_TRANSACTION_IDS, GetTransactions
from ioex_chain.p2p.seam import Offence, Peer

REPLY_BYTES = 1_000_000
"""Bytes of transactions after which an answer ends; the last of them may go beyond."""
ROOM_LEFT = 100_000
"""An answer with less room than a standard transaction takes may have been cut."""
MAX_OUTSTANDING = 32
"""Requests of one peer that are not answered; more are not sent."""
MAX_WAITING = 5_000
MAX_WAITING_BYTES = 20_000_000
"""Transactions that wait for the worker: above that none are asked for, above twice that they are dropped."""
MAX_PARENTS_ASKED = 2_000
STALLED = 60.0
"""Seconds after which an answer is too late."""
REMEMBERED = 50_000
"""Hashes of refused, and of confirmed transactions."""
MAX_EXTRA = 100
MAX_EXTRA_BYTES = 10_000_000
"""Of transactions that are not in the pool and may be in a block: a settlement alone may have 3 MB."""


@dataclass(slots=True)
class _Request:
    ids: tuple[bytes, ...]
    parents: tuple[bytes, ...]
    asked_at: float


@dataclass(slots=True)
class _Source:
    peer: Peer
    outstanding: deque[_Request] = field(default_factory=deque)


class Incoming:
    """From announcement to pool."""

    def __init__(self, context: Context, is_syncing: Callable[[], bool]) -> None:
        self._pool = context.pool
        self._gave = context.gave_transaction
        self._now = context.now
        self._is_syncing = is_syncing
        self._sources: dict[int, _Source] = {}
        self._tracker = RequestTracker()
        self._admission = Admission(context, self._done)
        self._orphans = Orphanage()
        self._parents_asked: dict[bytes, float] = {}
        self._refused = RollingSet(REMEMBERED)
        self._confirmed = RollingSet(REMEMBERED)
        self._extra: deque[Any] = deque()
        self._extra_bytes = 0
        self._gone: deque[tuple[bytes, Any, bool]] = deque()
        self._pool.watch(lambda *gone: self._gone.append(gone))  # in the worker's thread

    def peer_up(self, peer: Peer) -> None:
        """Take a peer that relays transactions."""
        self._sources[peer.number] = _Source(peer)
        self._tracker.peer_up(peer.number, peer.outbound)

    def peer_down(self, peer: Peer) -> None:
        """Forget a peer; what was asked of it is asked of others."""
        if self._sources.pop(peer.number, None) is None:
            return
        self._tracker.peer_down(peer.number, self._now())
        self._orphans.forget_peer(peer.number)
        self._ask()

    def tick(self) -> None:
        """Ask again, forget what is old, mind who does not answer."""
        now = self._now()
        self._follow_pool()
        self._orphans.expire(now)
        self._ask()
        for source in list(self._sources.values()):
            if source.outstanding and source.outstanding[0].asked_at + STALLED <= now:
                for request in source.outstanding:
                    request.asked_at = now
                source.peer.offend(Offence.STALLING, f"no transactions for {STALLED:.0f} s")

    # --- what we know ---------------------------------------------------------------------------------------

    def is_coming(self, wtxid: bytes) -> bool:
        """Whether a peer sent this transaction and the worker has it."""
        return wtxid in self._admission

    def extra(self) -> list[Any]:
        """Give transactions that are not in the pool and may be in a block all the same."""
        return [*(orphan.tx for orphan in self._orphans.all()), *self._extra]

    def _is_wanted(self, wtxid: bytes) -> bool:
        return not (
            self._pool.get(wtxid)
            or wtxid in self._refused
            or wtxid in self._confirmed
            or wtxid in self._admission
        )

    def _follow_pool(self) -> None:
        while self._gone:
            id_, tx, is_confirmed = self._gone.popleft()
            if is_confirmed:
                self._confirmed.add(id_)
            else:
                self._keep_extra(tx)

    def _keep_extra(self, tx: Any) -> None:
        extra = self._extra
        extra.append(tx)
        self._extra_bytes += len(tx.raw)
        while len(extra) > MAX_EXTRA or self._extra_bytes > MAX_EXTRA_BYTES:
            self._extra_bytes -= len(extra.popleft().raw)

    def head_changed(self, disconnected: bool) -> None:
        """Consider again what was refused, and the orphans: the state is another."""
        self._follow_pool()
        self._refused.clear()
        if disconnected:
            self._confirmed.clear()
        for orphan in self._orphans.take_all():
            self._retry(orphan)
        self._admission.start()

    def added(self, tx: Any) -> None:
        """Consider again the orphans that spend from a transaction that the pool took."""
        self._tracker.forget(self._pool.id(tx))
        for orphan in self._orphans.take_children(tx):
            self._retry(orphan)
        self._admission.start()

    def _retry(self, orphan: Orphan) -> None:
        tx = orphan.tx
        self._admission.add(Arrival(orphan.peer, tx.wtxid, tx.raw, orphan.since, tx))

    # --- asking ---------------------------------------------------------------------------------------------

    def announced(self, peer: Peer, ids: Sequence[bytes]) -> None:
        """Take announced wtxids; beyond the tracker's bounds they are dropped."""
        source = self._sources.get(peer.number)
        if source is None:
            return
        now = self._now()
        for wtxid in ids:
            orphan = self._orphans.get(wtxid)
            if orphan is not None:
                self._ask_parents(source, orphan)
            elif self._is_wanted(wtxid):
                self._tracker.announced(peer.number, wtxid, now)
        self._ask()

    def _ask(self) -> None:
        if self._is_syncing() or self._is_full():
            return
        now = self._now()
        for number, ids in self._tracker.take(now, self._can_ask).items():
            wanted = [wtxid for wtxid in ids if self._is_wanted(wtxid)]
            if len(wanted) < len(ids):
                for wtxid in ids:
                    if not self._is_wanted(wtxid):
                        self._tracker.forget(wtxid)
            for at in range(0, len(wanted), MAX_TRANSACTION_IDS):
                self._send(self._sources[number], tuple(wanted[at : at + MAX_TRANSACTION_IDS]), ())

    def _is_full(self) -> bool:
        return len(self._admission) > MAX_WAITING or self._admission.waiting_bytes > MAX_WAITING_BYTES

    def _can_ask(self, number: int) -> bool:
        return len(self._sources[number].outstanding) < MAX_OUTSTANDING

    def _send(self, source: _Source, ids: tuple[bytes, ...], parents: tuple[bytes, ...]) -> None:
        source.outstanding.append(_Request(ids, parents, self._now()))
        source.peer.send(GetTransactions(ids, parents))

    def _ask_parents(self, source: _Source, orphan: Orphan) -> None:
        now = self._now()
        asked = self._parents_asked
        parents = tuple(
            txid
            for txid in orphan.parents
            if self._pool.get_named(txid) is None
            and not self._orphans.has_txid(txid)
            and asked.get(txid, now) <= now
        )
        if not parents or len(source.outstanding) >= 2 * MAX_OUTSTANDING:
            return
        for txid in parents:
            asked.pop(txid, None)
            asked[txid] = now + DEADLINE
        for txid in list(asked)[: max(0, len(asked) - MAX_PARENTS_ASKED)]:
            del asked[txid]
        self._send(source, (), parents)

    # --- answers --------------------------------------------------------------------------------------------

    def answered(self, peer: Peer, items: Sequence[bytes]) -> None:
        """Take the answer to the oldest request."""
        source = self._sources.get(peer.number)
        if source is None or not source.outstanding:
            peer.offend(Offence.UNREQUESTED, "transactions")
            return
        request = self._request_of(source, items)
        is_honest = self._take(peer.number, request, items)
        self._admission.start()
        if not is_honest:
            peer.offend(Offence.UNREQUESTED, "a transaction that was not asked for")
        self._ask()

    def _request_of(self, source: _Source, items: Sequence[bytes]) -> _Request:
        """Give the request that is answered: the oldest, or a later one if older ones were passed over."""
        first = self._pool.raw_id(items[0]) if items else b""
        waiting = source.outstanding
        skip = next((at for at, request in enumerate(waiting) if first in request.ids), 0)
        for _ in range(skip):
            lost = waiting.popleft()
            self._missed(source.peer.number, lost, dict.fromkeys(lost.ids), 0)
        return waiting.popleft()

    def _take(self, number: int, request: _Request, items: Sequence[bytes]) -> bool:
        now = self._now()
        asked = dict.fromkeys(request.ids)
        parents = frozenset(request.parents)
        by_txid = 0
        for raw in items:
            wtxid = self._pool.raw_id(raw)
            if wtxid in asked:
                del asked[wtxid]
                self._tracker.forget(wtxid)
                self._admit(Arrival(number, wtxid, raw, now))
                continue
            by_txid += 1
            if by_txid > len(parents):
                break
            self._admit(Arrival(number, wtxid, raw, now, None, parents))
        self._missed(number, request, asked, sum(map(len, items)))
        return by_txid <= len(parents)

    def _admit(self, arrival: Arrival) -> None:
        if self._is_wanted(arrival.id) and self._admission.waiting_bytes <= 2 * MAX_WAITING_BYTES:
            self._admission.add(arrival)

    def _missed(self, number: int, request: _Request, left: dict[bytes, None], size: int) -> None:
        """Ask others for what did not come; the same peer for what may not have fitted."""
        if not left:
            return
        now = self._now()
        was_cut = size + ROOM_LEFT > REPLY_BYTES
        answered = [at for at, wtxid in enumerate(request.ids) if wtxid not in left]
        last = answered[-1] if answered else -1
        for at, wtxid in enumerate(request.ids):
            if wtxid in left:
                self._tracker.missed(number, wtxid, now)
                if was_cut and at > last and self._is_wanted(wtxid):
                    self._tracker.announced(number, wtxid, now)

    # --- verdicts -------------------------------------------------------------------------------------------

    def _done(self, result: Result) -> None:
        error, tx, number = result.error, result.tx, result.arrival.peer
        if error is None:
            self._gave(number)
            return
        fate = self._pool.fate(error)
        if fate is Fate.LACKS_PARENTS and tx is not None:
            self._lacks_parents(result, tx)
        elif fate is Fate.NOT_ASKED:
            self._offend(number, Offence.UNREQUESTED, str(error))
        elif fate is Fate.MALFORMED or tx is None:
            self._refused.add(result.arrival.id)
            if fate is not Fate.POLICY:  # one that is too long for this pool is not read
                self._offend(number, Offence.MALFORMED, f"transaction: {error}")
        elif fate is not Fate.KNOWN:
            self._refuse(tx, fate)
            if fate in (Fate.INVALID, Fate.INVALID_PROOF):
                self._offend(number, Offence.INVALID_TRANSACTION, str(error))

    def _refuse(self, tx: Any, fate: Fate) -> None:
        """Ask for it no more until the head moves."""
        self._refused.add(self._pool.id(tx))
        if fate is Fate.POLICY:
            self._keep_extra(tx)
        elif fate is Fate.INVALID:  # no other witness would help
            self._refused.add(self._pool.name(tx))

    def _offend(self, number: int, offence: Offence, text: str) -> None:
        source = self._sources.get(number)
        if source is not None:
            source.peer.offend(offence, text)

    def _lacks_parents(self, result: Result, tx: Any) -> None:
        arrival = result.arrival
        orphan = Orphan(tx, arrival.peer, result.missing, arrival.since)
        source = self._sources.get(arrival.peer)
        if not result.missing or any(txid in self._refused for txid in result.missing):
            self._refused.add(self._pool.id(tx))
        elif any(self._pool.get_named(txid) for txid in result.missing):  # came meanwhile
            self._retry(orphan)
        elif source is None:
            return
        elif self._orphans.add(orphan):
            self._ask_parents(source, orphan)
        else:
            self._refused.add(self._pool.id(tx))
