"""Schedule, sets, votes and finality as RPC reads them: `rpc.eth_backend.ArbitrationPort`."""

from collections.abc import Sequence

from ioex_chain.dpos.records import DposEntry
from ioex_chain.dpos.registry import RegistryReader, rank
from ioex_chain.dpos.schedule import reading_round
from ioex_chain.dpos.sets import ArbitratorSet
from ioex_chain.dpos.votes import Certificate, Checkpoint
from ioex_chain.evm.state import FlatState
from ioex_chain.ledger.errors import UndoMissing, UnknownBlock
from ioex_chain.node.arbitration import Arbitrators
from ioex_chain.node.dpos_service import DposService
from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.eth.evm_port import StatePruned
from ioex_chain.rpc.eth_backend import (
    EvidenceView,
    FinalityView,
    RoundView,
    SigningView,
    SlotPosition,
    SlotResult,
    Standing,
    VotesView,
)


class ArbitrationReader:
    """Reads the chain's records, the registry's storage and this node's finality."""

    def __init__(self, service: DposService, arbitrators: Arbitrators | None) -> None:
        self._service = service
        self._engine = service.engine
        self._schedule = service.engine.schedule
        self._arbitrators = arbitrators

    def position(self, time: int | None = None) -> SlotPosition:
        """Tell slot, round and term of a Unix time, of now without one."""
        when = self._service.clock.now() if time is None else time
        slot = self._schedule.slot_of(when)
        if slot < 0:
            return SlotPosition(when, -1, -1, -1)
        return SlotPosition(when, slot, self._schedule.round_of(slot), self._schedule.term_of(slot))

    def set_in_force(self, entry: DposEntry) -> ArbitratorSet:
        """Give the set that votes for a block."""
        record = self._engine.records.require(entry)
        return self._engine.records.in_force(entry, record)

    def sets(self, entry: DposEntry) -> Sequence[ArbitratorSet]:
        """Give the sets that were read and wait, lowest number first."""
        records = self._engine.records
        return [records.members(entry, one.ref) for one in records.require(entry).waiting]

    def standings(self, entry: DposEntry) -> Sequence[Standing]:
        """Give all admitted arbitrators by rank. Raises StatePruned."""
        spec = self._service.spec
        try:
            past = self._service.ledger.state_at(entry)
        except (UndoMissing, UnknownBlock) as error:
            raise StatePruned(str(error)) from error
        with past:
            reader = RegistryReader(spec, FlatState(past))
            partners = reader.partners()
            seated = {member.key for member in rank(partners, spec.dpos.seats, reader.nodes_required)}
        ordered = sorted(partners, key=lambda one: (one.key not in seated, -one.votes, one.number))
        return [
            Standing(
                owner=one.operator,
                key=one.key,
                payout=one.payout,
                votes=one.votes,
                jailed=one.jailed,
                standby=one.key not in seated,
                produced=one.produced,
                missed=one.missed,
            )
            for one in ordered
            if one.admitted
        ]

    def round(self, entry: DposEntry, round_: int) -> RoundView | None:
        """Give a round on the branch of `entry`; None when its seed is not known yet."""
        schedule, engine = self._schedule, self._engine
        first, last = schedule.first_slot_of_round(round_), schedule.last_slot_of_round(round_)
        head_round = schedule.round_of(engine.slot_of(entry))
        if round_ > head_round + 1 or reading_round(round_) > head_round:
            return None
        base = engine.newest(entry, round_ - 1)
        context = engine.context(base, max(first, engine.slot_of(base) + 1))
        if context is None:
            return None
        producers = [context.producer(slot, self._service.spec.dpos.seats) for slot in range(first, last + 1)]
        term = schedule.term_of_round(round_)
        return RoundView(round_, term, first, context.members, context.seed, producers)

    def slots(self, first: int, last: int) -> Sequence[SlotResult]:
        """Give what became of slots of the best chain up to now; later ones are left out."""
        found: list[SlotResult] = []
        engine = self._engine
        last = min(last, self._schedule.slot_of(self._service.clock.now()))
        entry: DposEntry | None = self._service.ledger.head
        for slot in range(last, max(first, 1) - 1, -1):
            while entry is not None and engine.slot_of(entry) > slot:
                entry = entry.parent
            if entry is None:
                break
            filled = engine.slot_of(entry) == slot
            base = entry.parent if filled else entry
            producer = None if base is None else engine.producer(base, slot)
            if producer is not None:
                block = Checkpoint(entry.hash, entry.height) if filled else None
                found.append(SlotResult(slot, producer, block, "" if filled else self._why(slot)))
        return found[::-1]

    def _why(self, slot: int) -> str:
        arbitrators = self._arbitrators
        return "" if arbitrators is None else arbitrators.missed.get(slot, "")

    def votes(self, target: BlockHash) -> Sequence[VotesView]:
        """Give the votes for a block that were seen, by what they say."""
        found = []
        entry = self._service.ledger.entry(target)
        for link, votes in self._service.finality.votes_for(target).items():
            members = None if entry is None else self._service.facts.set_at(entry)
            if members is None:
                members = self._service.facts.set_numbered(link.set_number)
            if members is None:
                continue
            places = {member.key: at for at, member in enumerate(members.voters)}
            placed = [(places[key], vote) for key, vote in votes.items() if key in places]
            found.append(VotesView(link, sorted(placed, key=lambda one: one[0]), len(places), members.quorum))
        return found

    def certificate(self, target: BlockHash) -> Certificate | None:
        """Give a certificate for a block, from a payload or from gossip."""
        found = self._service.finality.certificate_of(target)
        if found is not None:
            return found
        entry = self._service.ledger.entry(target)
        if entry is None or not self._service.ledger.is_on_best_chain(entry):
            return None
        for height in range(entry.height + 1, entry.height + 1 + _CARRIED_WITHIN):
            above = self._service.ledger.entry_at(height)
            if above is None:
                return None
            carried = self._service.ledger.body(above.hash).payload.certificate
            if carried is not None and carried.link.target.hash == target:
                return carried
        return None

    def finality(self) -> FinalityView:
        """Tell how finality stands."""
        tracker, head = self._service.finality, self._service.ledger.head
        members = self.set_in_force(head)
        final = self._service.ledger.entry(tracker.finalised.hash)
        now = self._schedule.slot_of(self._service.clock.now())
        since = 0 if final is None else max(0, now - self._engine.slot_of(final))
        stalled = since > self._service.spec.dpos.stall_slots
        return FinalityView(
            tracker.justified, tracker.finalised, members.number, members.quorum, since, stalled
        )

    def evidence(self) -> Sequence[EvidenceView]:
        """Give what is known, newest first."""
        return [
            EvidenceView(item, offence.key, self._carrier(blocks))
            for offence, item, blocks in reversed(self._service.finality.offences())
        ]

    def signing(self) -> Sequence[SigningView]:
        """Tell of each arbitrator key of this node whether it signs."""
        arbitrators = self._arbitrators
        return () if arbitrators is None else arbitrators.signing()

    def _carrier(self, blocks: Sequence[BlockHash]) -> Checkpoint | None:
        for hash_ in blocks:
            entry = self._service.ledger.entry(hash_)
            if entry is not None and self._service.ledger.is_on_best_chain(entry):
                return Checkpoint(entry.hash, entry.height)
        return None


_CARRIED_WITHIN = 16
"""Blocks above a block in which a certificate for it is looked for."""
