"""The rules of headers (docs/protocol.md section 4): the ledger's ConsensusEngine of the DPoS chain.

What a header in round r must be (producer, seed, payout) is a function of records of ancestors in rounds
below r. While the newest of those is not connected, the header is taken unverified; the ledger bounds their
number, asks again, and `DposMachine.connect` makes the full check in any case.
"""

from collections import OrderedDict
from dataclasses import dataclass

from ioex_chain.dpos import errors, seal
from ioex_chain.dpos.finality_ports import RecoveredSignatures, Signatures
from ioex_chain.dpos.header import EMPTY_OMMERS_HASH, Header, SealedHeader
from ioex_chain.dpos.records import DposEntry, Record, Records, enter_round, enter_term
from ioex_chain.dpos.schedule import Schedule, reading_round, round_seed, shuffle
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.dpos.votes import Checkpoint
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import DposSpec

MAX_EXTRA_DATA = 32
_NO_NONCE = bytes(8)
_REMEMBERED = 256
_LATE_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True)
class RoundContext:
    """What the headers of one round on one branch are checked against."""

    round: int
    members: ArbitratorSet
    seed: bytes
    order: tuple[int, ...]
    """shuffle(number of members, seed)."""
    payouts: dict[bytes, bytes]
    """Payout address by key, at the round's reading block."""

    def producer(self, slot: int, seats: int) -> Member:
        """Give who produces a slot of this round, with its payout address."""
        member = self.members.members[self.order[slot % seats % len(self.order)]]
        return Member(member.key, self.payouts.get(member.key, member.payout))


def next_base_fee(spec: DposSpec, parent: Header) -> int:
    """Give the base fee of the block after `parent`, in wei (EIP-1559 with the network's floor).

    The gas target is half of the limit, the greatest change an eighth, and it never falls below
    `min_base_fee`, which is also genesis'.
    """
    target = spec.gas_limit // 2
    fee, used = parent.base_fee, parent.gas_used
    if used > target:
        fee += max(fee * (used - target) // target // 8, 1)
    elif used < target:
        fee -= fee * (target - used) // target // 8
    return max(fee, spec.min_base_fee)


class DposEngine:
    """Header rules, weight and tie-break of the DPoS chain. For the writing thread."""

    def __init__(
        self,
        spec: DposSpec,
        genesis: BlockHash,
        signatures: Signatures | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """`genesis` is the DPoS genesis hash; set 0 is the spec's members; simulations fake `signatures`.

        `checkpoint` is a block that the operator trusts (weak subjectivity): no other is taken at its height.
        """
        self.spec = spec
        self.checkpoint = checkpoint
        self.signatures = signatures or RecoveredSignatures(genesis)
        self.genesis = genesis
        self.schedule = Schedule(spec)
        members = tuple(Member(member.key, member.payout) for member in spec.members)
        self.records = Records(members, genesis)
        self._contexts: OrderedDict[tuple[BlockHash, int], RoundContext] = OrderedDict()
        self._verified: OrderedDict[tuple[BlockHash, bytes], None] = OrderedDict()
        self._late: OrderedDict[BlockHash, None] = OrderedDict()

    # The ledger's seam.

    def check_header(self, header: SealedHeader, parent: DposEntry, now: int) -> bool:
        """Check a header; False if producer, seed and payout must wait for an ancestor's record.

        Raises DposHeaderError's subclasses, SlotAhead (NotYetValid), and SealMissing, SealMalformed,
        SealOfAnother and NotTheCheckpoint (WrongSeal).
        """
        slot = self.check_form(header, parent, now)
        context = self.context(parent, slot)
        if context is None:
            return False
        self._check_context(header, context, slot)
        return True

    def verify(self, header: SealedHeader, parent: DposEntry) -> int:
        """Check all rules but the clock of a header whose parent is connected; give its slot.

        Raises as `check_header`.
        """
        slot = self._check_form(header.header, parent)
        self._check_checkpoint(header)
        self._check_context(header, self.require_context(parent, slot), slot)
        return slot

    def weight(self, header: SealedHeader, parent: DposEntry) -> int:  # noqa: ARG002 - the seam offers them
        """Give 1: the branch with more blocks is preferred."""
        return 1

    def tie_key(self, entry: DposEntry) -> tuple[int, ...]:
        """Prefer a block that was seen in time, then the earlier slot, then the lower hash."""
        in_time = int(entry.hash not in self._late)
        return in_time, -entry.header.header.timestamp, -int.from_bytes(entry.hash, "big")

    def mark_late(self, hash_: BlockHash) -> None:
        """Say, before the ledger takes it, that a block was first seen after its slot had ended.

        Kept in memory for the newest 4,096: after a restart every stored block counts as seen in time, which
        is the safe side, because votes are never given for blocks that were stored before the start.
        """
        self._late[hash_] = None
        if len(self._late) > _LATE_REMEMBERED:
            self._late.popitem(last=False)

    def is_late(self, hash_: BlockHash) -> bool:
        """Whether a block was marked late."""
        return hash_ in self._late

    # The rules.

    def check_form(self, header: SealedHeader, parent: DposEntry, now: int) -> int:
        """Check what needs neither records nor keys, and the clock; give the slot."""
        slot = self._check_form(header.header, parent)
        self._check_checkpoint(header)
        ahead = header.header.timestamp - now
        if ahead > self.spec.clock_tolerance:
            raise errors.SlotAhead(f"slot {slot} begins in {ahead} s by our clock")
        return slot

    def _check_checkpoint(self, header: SealedHeader) -> None:
        point = self.checkpoint
        if point is not None and header.header.number == point.height and header.hash != point.hash:
            raise errors.NotTheCheckpoint(
                f"block {point.height} is 0x{header.hash.hex()}, not the checkpoint 0x{point.hash.hex()}"
            )

    def _check_form(self, header: Header, parent: DposEntry) -> int:
        _check_fixed_fields(header)
        if header.number != parent.height + 1:
            raise errors.WrongNumber(f"number {header.number} after {parent.height}")
        if header.gas_limit != self.spec.gas_limit:
            raise errors.WrongGasLimit(
                f"gas limit {header.gas_limit}, the network's is {self.spec.gas_limit}"
            )
        if header.gas_used > header.gas_limit:
            raise errors.GasUsedAboveLimit(f"gas used {header.gas_used} of {header.gas_limit}")
        base_fee = next_base_fee(self.spec, parent.header.header)
        if header.base_fee != base_fee:
            raise errors.WrongBaseFee(f"base fee {header.base_fee}, the rule gives {base_fee}")
        slot = self.schedule.slot_at(header.timestamp)
        if slot is None:
            raise errors.NotASlotStart(f"no slot begins at {header.timestamp}")
        if header.timestamp <= parent.header.header.timestamp:
            raise errors.SlotNotAfterParent(f"slot {slot} is not after the parent's")
        return slot

    def _check_context(self, header: SealedHeader, context: RoundContext, slot: int) -> None:
        """Check the seal first: what is held against a hash must come from its producer."""
        member = context.producer(slot, self.spec.seats)
        self._check_seal(header, member.key)
        if header.header.mix_hash != context.seed:
            raise errors.WrongSeed(f"mixHash is not the seed of round {context.round}")
        if header.header.beneficiary != member.payout:
            raise errors.WrongBeneficiary(f"the producer's payout address is 0x{member.payout.hex()}")

    def _check_seal(self, header: SealedHeader, key: bytes) -> None:
        name = header.hash, header.seal + key
        if name in self._verified:
            return
        if not header.seal:
            raise errors.SealMissing("the header carries no seal")
        try:
            sealer = self.sealer(header)
        except seal.BadSignature as error:
            raise errors.SealMalformed(str(error)) from error
        if sealer != key:
            raise errors.SealOfAnother(f"sealed by 0x{sealer.hex()}, the slot belongs to 0x{key.hex()}")
        self._verified[name] = None
        if len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)

    def sealer(self, header: SealedHeader) -> bytes:
        """Give the 20-byte address of the key that sealed a header. Raises BadSignature."""
        return self.signatures.sealer(header)

    # What a round asks for.

    def context(self, parent: DposEntry, slot: int) -> RoundContext | None:
        """Give what a block in `slot` on `parent` is checked against.

        None while the newest ancestor in an earlier round is not connected. `slot` is later than the
        parent's.
        """
        round_ = self.schedule.round_of(slot)
        boundary = self.newest(parent, round_ - 1)
        name = boundary.hash, round_
        found = self._contexts.get(name)
        if found is None:
            record = self.records.of(boundary)
            if record is None:
                return None
            found = self._contexts[name] = self._make_context(boundary, record, round_)
            if len(self._contexts) > _REMEMBERED:
                self._contexts.popitem(last=False)
        return found

    def require_context(self, parent: DposEntry, slot: int) -> RoundContext:
        """Give `context` where the parent is connected."""
        context = self.context(parent, slot)
        if context is None:
            raise LookupError(f"{parent} is not connected")
        return context

    def producer(self, parent: DposEntry, slot: int) -> Member | None:
        """Give who may seal a block in `slot` on `parent`, with its payout address; None as `context`."""
        context = self.context(parent, slot)
        return None if context is None else context.producer(slot, self.spec.seats)

    def newest(self, entry: DposEntry, round_: int) -> DposEntry:
        """Give the newest block of a round on a branch: `entry` or its newest ancestor that is not later.

        Not later than the round's last slot, that is; genesis for round -1.
        """
        last_slot = self.schedule.last_slot_of_round(round_)
        while self.slot_of(entry) > last_slot:
            parent = entry.parent
            if parent is None:
                return entry
            entry = parent
        return entry

    def slot_of(self, entry: DposEntry) -> int:
        """Give the slot of a block."""
        return self.schedule.slot_of(entry.header.header.timestamp)

    def seen_from(self, entry: DposEntry, record: Record, round_: int) -> Record:
        """Give the set part of a connected block's record as a block on it in `round_` sees it."""
        schedule = self.schedule
        own_round = schedule.round_of(self.slot_of(entry))
        if round_ <= own_round:
            return record
        term_before, term = schedule.term_of_round(own_round), schedule.term_of_round(round_)
        if term > term_before:
            record = enter_term(
                record,
                Checkpoint(entry.hash, entry.height),
                term_before,
                term,
                self.records.roster(entry).ranking,
                lambda ref: self.records.members(entry, ref).members,
                self.spec.min_members,
            )
        return enter_round(record, entry.height + 1)

    def _make_context(self, boundary: DposEntry, record: Record, round_: int) -> RoundContext:
        members = self.records.members(boundary, self.seen_from(boundary, record, round_).in_force)
        reading = self.newest(boundary, reading_round(round_))
        seed = round_seed(round_, self.records.require(reading).pow_hash)
        order = shuffle(len(members.members), seed)
        return RoundContext(round_, members, seed, order, self.records.roster(reading).payouts)


def _check_fixed_fields(header: Header) -> None:
    if header.ommers_hash != EMPTY_OMMERS_HASH:
        raise errors.HasOmmers("ommersHash is not that of the empty list")
    if header.difficulty:
        raise errors.HasDifficulty(f"difficulty {header.difficulty}, always 0 here")
    if header.nonce != _NO_NONCE:
        raise errors.HasNonce("nonce is not zero")
    if header.blob_gas_used or header.excess_blob_gas:
        raise errors.HasBlobs("the blob fields are not zero")
    if len(header.extra_data) > MAX_EXTRA_DATA:
        raise errors.ExtraDataTooLong(f"extraData has {len(header.extra_data)} bytes")
