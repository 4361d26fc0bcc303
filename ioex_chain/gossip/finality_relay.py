"""Votes, certificates and evidence between peers (docs/protocol.md section 9.6).

What finality found to count is told once to every peer that is not known to have it; what it cannot judge yet
stays with it and is told when its target is here. A new peer is told what finality stands on, so that it
catches up without a new block.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from ioex_chain.dpos import codec
from ioex_chain.dpos.finality_types import Outcome, Prefer, Verdict
from ioex_chain.dpos.seal import BadSignature
from ioex_chain.dpos.vote_errors import InvalidCertificate, InvalidEvidence, NotAMember, WrongLink
from ioex_chain.dpos.votes import Certificate, Evidence, Vote
from ioex_chain.gossip.bounded import RollingSet
from ioex_chain.gossip.doubts import Doubts
from ioex_chain.gossip.ports import Context
from ioex_chain.ledger.types import Entry
from ioex_chain.p2p import finality_messages as m
from ioex_chain.p2p.messages import Message
from ioex_chain.p2p.rates import Rate
from ioex_chain.p2p.seam import Offence, Peer
from ioex_chain.primitives.errors import DecodeError, IoexError
from ioex_chain.primitives.types import BlockHash

FLUSH = 0.1
"""Seconds that votes are gathered for one message, after one has gone at once."""
MAX_BACKLOG = 4 << 20
"""Bytes not sent yet above which a peer is told nothing more: it will hear of it in blocks."""
KNOWN = 20_000
"""Hashes by peer that it is remembered to know."""
DOUBTS = 1_024
"""Votes and the like that a peer tells in vain before the rest is left unread: twice what it greets with."""
DOUBTS_BY_SEAT = 4
"""How many of them come back in a slot for each seat: those of two sets, for two branches."""
GREETING_CERTIFICATES = 64
GREETING_EVIDENCE = 64
_HARD = (BadSignature, NotAMember, InvalidCertificate, InvalidEvidence)


class State(Protocol):
    """What is told to a new peer: `dpos.finality.Finality`."""

    def certificates(self) -> Sequence[Certificate]:
        """Give the certificates for targets at or above the final block, lowest target first."""
        ...

    def votes(self) -> Sequence[Vote]:
        """Give right votes of members for targets above the final block, highest targets first."""
        ...

    def evidence(self) -> Sequence[Evidence]:
        """Give the evidence that no final block carries yet."""
        ...


class Door(Protocol):
    """The way to finality: `dpos.follower.Follower`. It tells every outcome to `FinalityRelay.told`."""

    @property
    def finality(self) -> State:
        """What it knows."""
        ...

    def on_votes(self, votes: Iterable[Vote]) -> Sequence[Outcome]:
        """Take votes; give what became of each."""
        ...

    def on_certificate(self, certificate: Certificate, source: int = 0) -> Outcome:
        """Take a certificate that the peer `source` told."""
        ...

    def on_evidence(self, item: Evidence) -> Outcome:
        """Take evidence."""
        ...


class Branches(Protocol):
    """`gossip.sync.Sync`, as far as the relay needs it."""

    def want(self, hash_: BlockHash, peer: Peer | None = None) -> None:
        """Get the branch of a block, whatever it weighs."""
        ...


@dataclass(slots=True)
class _State:
    peer: Peer
    doubts: Doubts
    known: RollingSet = field(default_factory=lambda: RollingSet(KNOWN))
    votes: dict[bytes, bytes] = field(default_factory=dict)


class FinalityRelay:
    """Tells peers what counts for finality, and finality what peers tell."""

    def __init__(self, context: Context, door: Door, branches: Branches) -> None:
        self._ledger = context.chain.ledger
        self._now = context.now
        self._door = door
        self._branches = branches
        self._states: dict[int, _State] = {}
        self._flush_at = context.now()
        dpos = context.chain.spec.dpos
        self._rate = Rate(DOUBTS_BY_SEAT * dpos.seats / dpos.block_time, DOUBTS)

    # --- peers and time -------------------------------------------------------------------------------------

    def peer_up(self, peer: Peer) -> None:
        """Take a new peer and tell it what finality stands on."""
        state = self._states[peer.number] = _State(peer, Doubts(self._rate, self._now()))
        finality = self._door.finality
        for certificate in finality.certificates()[-GREETING_CERTIFICATES:]:
            self._tell(state, m.Certificate(codec.encode_certificate(certificate)))
        for vote in reversed(finality.votes()):
            self._queue(state, codec.encode_vote(vote))
        for item in finality.evidence()[:GREETING_EVIDENCE]:
            self._tell(state, m.EvidenceItem(codec.encode_evidence(item)))
        self._send_votes(state)

    def peer_down(self, peer: Peer) -> None:
        """Forget a peer."""
        self._states.pop(peer.number, None)

    def drained(self, peer: Peer) -> None:
        """Do nothing: what a slow peer was not told it finds in blocks."""

    def head_changed(self, event: Any) -> None:
        """Do nothing: finality itself hears of blocks, and tells what comes of them."""

    def tick(self) -> None:
        """Send the votes that were gathered."""
        if self._now() >= self._flush_at:
            self._flush()

    # --- messages -------------------------------------------------------------------------------------------

    def on_votes(self, peer: Peer, message: m.Votes) -> None:
        """Take votes."""
        votes = self._read(peer, message.items, codec.decode_vote)
        self._take(peer, votes, lambda vote: self._door.on_votes((vote,))[0])

    def on_certificate(self, peer: Peer, message: m.Certificate) -> None:
        """Take a certificate."""
        read = self._read(peer, (message.raw,), codec.decode_certificate)
        self._take(peer, read, lambda one: self._door.on_certificate(one, peer.number))

    def on_evidence(self, peer: Peer, message: m.EvidenceItem) -> None:
        """Take evidence."""
        self._take(peer, self._read(peer, (message.raw,), codec.decode_evidence), self._door.on_evidence)

    def _take(self, peer: Peer, items: Sequence[Any] | None, take: Callable[[Any], Outcome]) -> None:
        """Have finality look at what a peer says, as long as not too much of it was in vain."""
        state = self._states.get(peer.number)
        for item in items or ():
            if state is None or not state.doubts.may_ask(self._now()):
                continue
            outcome = take(item)
            if outcome.verdict is Verdict.IGNORED:
                state.doubts.spend()
            self._judge(peer, outcome)
        if state is not None and state.doubts.is_flood():
            peer.offend(Offence.FLOOD, "votes of sets that nobody here knows")

    def _read(self, peer: Peer, items: Sequence[bytes], decode: Callable[[bytes], Any]) -> list[Any] | None:
        """Read what a peer says and remember that it knows it; None if it cannot be read."""
        state = self._states.get(peer.number)
        if state is None:
            return None
        try:
            read = list(map(decode, items))
        except DecodeError as error:
            peer.offend(Offence.MALFORMED, f"finality: {error}")
            return None
        for raw in items:
            state.known.add(_name(raw))
        return read

    def _judge(self, peer: Peer, outcome: Outcome) -> None:
        for hash_ in outcome.wanted:
            self._branches.want(hash_, peer)
        if outcome.verdict is Verdict.FAULTY and outcome.fault is not None:
            peer.offend(_offence(outcome.fault), str(outcome.fault))

    # --- telling --------------------------------------------------------------------------------------------

    def told(self, outcome: Outcome) -> None:
        """Tell the peers what came of something, and get the blocks that finality prefers."""
        for vote in outcome.votes:
            raw = codec.encode_vote(vote)
            for state in self._states.values():
                self._queue(state, raw)
        for certificate in outcome.certificates:
            self._tell_all(m.Certificate(codec.encode_certificate(certificate)))
        for item in outcome.evidence:
            self._tell_all(m.EvidenceItem(codec.encode_evidence(item)))
        for action in outcome.actions:
            if isinstance(action, Prefer) and self._lacks_bodies(action.hash):
                self._branches.want(action.hash)
        if outcome.votes and self._now() >= self._flush_at:
            self._flush()

    def _lacks_bodies(self, hash_: BlockHash) -> bool:
        entry: Entry[Any] | None = self._ledger.entry(hash_)
        return entry is not None and not entry.sequence

    def _tell_all(self, message: m.Certificate | m.EvidenceItem) -> None:
        for state in list(self._states.values()):
            self._tell(state, message)

    def _tell(self, state: _State, message: m.Certificate | m.EvidenceItem) -> None:
        name = _name(message.raw)
        if name not in state.known:
            state.known.add(name)
            _send(state.peer, message)

    def _queue(self, state: _State, raw: bytes) -> None:
        name = _name(raw)
        if name not in state.known:
            state.votes[name] = raw

    def _flush(self) -> None:
        self._flush_at = self._now() + FLUSH
        for state in list(self._states.values()):
            self._send_votes(state)

    def _send_votes(self, state: _State) -> None:
        waiting, state.votes = state.votes, {}
        items = [raw for name, raw in waiting.items() if name not in state.known]
        for name in waiting:
            state.known.add(name)
        for at in range(0, len(items), m.MAX_VOTES):
            _send(state.peer, m.Votes(tuple(items[at : at + m.MAX_VOTES])))


def _name(raw: bytes) -> bytes:
    return sha256(raw).digest()


def _send(peer: Peer, message: Message) -> None:
    if peer.backlog <= MAX_BACKLOG:
        peer.send(message)


def _offence(fault: IoexError) -> Offence:
    """Say how bad a fault is.

    What nobody signed is the sender's fault. A vote that its target refutes may have been told in good faith
    by one who did not know the target.
    """
    is_hard = isinstance(fault, _HARD) and not isinstance(fault, WrongLink)
    return Offence.INVALID_VOTE if is_hard else Offence.DOUBTFUL_VOTE
