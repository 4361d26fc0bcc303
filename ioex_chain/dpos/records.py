"""What is recorded of a block when it is connected: the ledger keeps it as the block's note, for ever.

A record is a function of the block and its ancestors. Everything that a later header's check needs of the
state stands in it, so that rules of headers never read the state (docs/protocol.md section 4). The RLP form:

    record    [justified hash, height, finalised hash, height, PoW hash, registry version, roster's block,
               set in force, newest set read, [waiting...], roster or empty string,
               set before or empty string, first height of the set in force, requests drained so far]
    set       [number, block at whose state it was read]
    waiting   [term, set, 0 or 1: whether the gate is known, gate height]
    roster    [[member...], [member...]]          member: 20-byte key || 20-byte payout address

`roster's block` is empty when the roster stands here; else it names the ancestor whose record holds it.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.dpos.votes import Checkpoint
from ioex_chain.ledger import schema
from ioex_chain.ledger.types import Entry
from ioex_chain.primitives import rlp
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash

DposEntry = Entry[SealedHeader]
_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True)
class SetRef:
    """A set by number; `read_at` is the block whose roster's ranking it is (genesis' for number 0)."""

    number: int
    read_at: BlockHash


@dataclass(frozen=True, slots=True)
class Waiting:
    """A set that was read for `term` and is not in force yet.

    `gate` is the height of the newest block of the term before, which must be recorded as final first; None
    while that term is not over.
    """

    term: int
    ref: SetRef
    gate: int | None


@dataclass(frozen=True)
class Roster:
    """What the registry says after a block.

    `ranking`: who would make up a set read here, best first. `others`: members of sets that are or may come
    in force and are not in the ranking, with their present payout address.
    """

    ranking: tuple[Member, ...]
    others: tuple[Member, ...] = ()

    @cached_property
    def payouts(self) -> dict[bytes, bytes]:
        """Payout address by key."""
        return {member.key: member.payout for member in (*self.others, *self.ranking)}


@dataclass(frozen=True, slots=True)
class Record:
    """What was recorded of one block. `roster` is None when it is that of the block `roster_at`."""

    justified: Checkpoint
    """The highest block that payloads of the block and its ancestors justify."""
    finalised: Checkpoint
    pow_hash: bytes
    """The PoW header buried k deep in the light client after this block."""
    registry_version: int
    roster_at: BlockHash | None
    in_force: SetRef
    """The set of this block's own round."""
    newest: SetRef
    """The set that was read last."""
    waiting: tuple[Waiting, ...] = ()
    roster: Roster | None = None
    before: SetRef | None = None
    """The set that was in force before, as long as no block of the present one is recorded as final."""
    since: int = 0
    """Height of the first block under the set in force."""
    requests: int = 0
    """Number of the last request to the PoW chain that this block or an ancestor drained; 0 for none."""


def encode_record(record: Record) -> bytes:
    """Write a record."""
    uint = rlp.encode_integer
    return rlp.encode(
        [
            record.justified.hash,
            uint(record.justified.height),
            record.finalised.hash,
            uint(record.finalised.height),
            record.pow_hash,
            uint(record.registry_version),
            record.roster_at or b"",
            _ref_item(record.in_force),
            _ref_item(record.newest),
            [
                [uint(one.term), _ref_item(one.ref), uint(one.gate is not None), uint(one.gate or 0)]
                for one in record.waiting
            ],
            b""
            if record.roster is None
            else [_members_item(record.roster.ranking), _members_item(record.roster.others)],
            b"" if record.before is None else _ref_item(record.before),
            uint(record.since),
            uint(record.requests),
        ]
    )


def _ref_item(ref: SetRef) -> rlp.Item:
    return [rlp.encode_integer(ref.number), ref.read_at]


def _members_item(members: Sequence[Member]) -> rlp.Item:
    return [member.key + member.payout for member in members]


def decode_record(data: bytes) -> Record:
    """Read what `encode_record` wrote. Raises DecodeError."""
    match rlp.decode(data):
        case [
            bytes() as justified,
            bytes() as justified_height,
            bytes() as finalised,
            bytes() as finalised_height,
            bytes() as pow_hash,
            bytes() as version,
            bytes() as roster_at,
            in_force,
            newest,
            list() as waiting,
            roster,
            before,
            bytes() as since,
            bytes() as requests,
        ]:
            return Record(
                Checkpoint(BlockHash(justified), rlp.integer(justified_height)),
                Checkpoint(BlockHash(finalised), rlp.integer(finalised_height)),
                pow_hash,
                rlp.integer(version, 32),
                BlockHash(roster_at) if roster_at else None,
                _ref(in_force),
                _ref(newest),
                tuple(_waiting(item) for item in waiting),
                _roster(roster),
                _ref(before) if before else None,
                rlp.integer(since),
                rlp.integer(requests),
            )
    raise DecodeError("a record has 14 fields")


def _ref(item: rlp.Item) -> SetRef:
    match item:
        case [bytes() as number, bytes() as read_at]:
            return SetRef(rlp.integer(number), BlockHash(read_at))
    raise DecodeError("a set is named by number and block")


def _waiting(item: rlp.Item) -> Waiting:
    match item:
        case [bytes() as term, ref, bytes() as known, bytes() as gate]:
            return Waiting(rlp.integer(term), _ref(ref), rlp.integer(gate) if known else None)
    raise DecodeError("a waiting set has 4 fields")


def _roster(item: rlp.Item) -> Roster | None:
    match item:
        case b"":
            return None
        case [list() as ranking, list() as others]:
            return Roster(_members(ranking), _members(others))
    raise DecodeError("a roster has 2 lists")


def _members(items: list[rlp.Item]) -> tuple[Member, ...]:
    return tuple(Member(item[:20], item[20:]) for item in items if isinstance(item, bytes))


# --- which set is when in force --------------------------------------------------------------------------


def enter_term(
    record: Record,
    block: Checkpoint,
    term_before: int,
    term: int,
    ranking: Sequence[Member],
    members_of: Callable[[SetRef], Sequence[Member]],
    min_members: int,
) -> Record:
    """Give the set part of the record of `block`, in `term_before`, as a later block in `term` sees it.

    `block` is then the newest block of the terms term_before .. term-1: it is the gate of the sets for
    term_before+1 .. term, and at its state (`ranking`) the sets for term_before+2 .. term+1 are read. Fewer
    than `min_members`: no set for those terms. The same keys as the newest set: that set again, no number.
    """
    if term == term_before:
        return record
    waiting = [replace(one, gate=block.height) if one.gate is None else one for one in record.waiting]
    newest = record.newest
    if len(ranking) >= max(1, min_members):
        known = {member.key for member in members_of(newest)}
        if {member.key for member in ranking} != known:
            newest = SetRef(newest.number + 1, block.hash)
        if newest != (waiting[-1].ref if waiting else record.in_force):
            # Of the terms that get this set the first one's gate opens first; the others change nothing.
            gate = block.height if term_before + 2 <= term else None
            waiting.append(Waiting(term_before + 2, newest, gate))
    return replace(record, newest=newest, waiting=tuple(waiting))


def enter_round(record: Record, height: int) -> Record:
    """Give the set part of a record as a block in a later round, at `height`, sees it: after `enter_term`.

    Of the waiting sets whose gate the block's ancestry records as final the one for the latest term comes
    into force; those before it never do. The set before votes beside it until a block of the new one is
    recorded as final; so long no other set follows. Otherwise a branch that does not know of the gate's
    finality could be finalised by the old set alone, and two chains be final with nobody at fault.
    """
    if record.before is not None:
        if record.finalised.height < record.since:
            return record
        record = replace(record, before=None)
    for at in range(len(record.waiting) - 1, -1, -1):
        one = record.waiting[at]
        if one.gate is not None and one.gate <= record.finalised.height:
            return replace(
                record,
                in_force=one.ref,
                waiting=record.waiting[at + 1 :],
                before=record.in_force,
                since=height,
            )
    return record


class Records:
    """Reads records of entries, on any branch; remembers the newest ones."""

    def __init__(self, genesis_members: tuple[Member, ...], genesis: BlockHash) -> None:
        """`genesis_members` are set 0, `genesis` is the DPoS genesis hash."""
        self._genesis_members = genesis_members
        self._genesis = genesis
        self._records: OrderedDict[BlockHash, Record] = OrderedDict()

    def of(self, entry: DposEntry) -> Record | None:
        """Give the record of a block; None while it was never connected."""
        found = self._records.get(entry.hash)
        if found is None:
            note = entry.note
            if note is None:
                return None
            try:
                found = decode_record(note)
            except DecodeError as error:
                raise schema.damaged(schema.note_key(entry.hash), f"holds no record ({error})") from error
            self._records[entry.hash] = found
            if len(self._records) > _REMEMBERED:
                self._records.popitem(last=False)
        return found

    def require(self, entry: DposEntry) -> Record:
        """Give the record of a block that was connected. Raises StoreCorrupt if it is missing."""
        found = self.of(entry)
        if found is None:
            raise schema.damaged(schema.note_key(entry.hash), "is missing")
        return found

    def roster(self, entry: DposEntry) -> Roster:
        """Give what the registry said after a connected block."""
        record = self.require(entry)
        if record.roster is not None:
            return record.roster
        holder = entry.known(record.roster_at or self._genesis)
        roster = self.require(holder).roster
        if roster is None:
            raise schema.damaged(schema.note_key(holder.hash), "holds no roster")
        return roster

    def members(self, near: DposEntry, ref: SetRef) -> ArbitratorSet:
        """Give a set that a record names; `near` is any entry of the tree."""
        if ref.number == 0:
            return ArbitratorSet(0, self._genesis_members)
        return ArbitratorSet(ref.number, self.roster(near.known(ref.read_at)).ranking)

    def in_force(self, near: DposEntry, record: Record) -> ArbitratorSet:
        """Give the set in force at a record, with the one before while both must vote."""
        members = self.members(near, record.in_force)
        if record.before is None:
            return members
        return replace(members, before=self.members(near, record.before).members)

    def numbered(self, entry: DposEntry, number: int) -> ArbitratorSet | None:
        """Give the set with a number as `entry`'s branch read it; None if it read none of it yet."""
        record = self.of(entry)
        if record is None or number > record.newest.number or number < 0:
            return None
        ref = record.newest
        while ref.number > number:  # the record of the block where set n was read still has set n-1 as newest
            ref = self.require(entry.known(ref.read_at)).newest
        return self.members(entry, ref)


class ChainFacts:
    """Finality's view of the records: `finality_ports.Facts` over a ledger's entries."""

    def __init__(self, records: Records, head: Callable[[], DposEntry]) -> None:
        self._records = records
        self._head = head

    def set_at(self, entry: DposEntry) -> ArbitratorSet | None:
        """Give the set in force in the block's own round; None while the block was never connected."""
        record = self._records.of(entry)
        return None if record is None else self._records.in_force(entry, record)

    def justified_at(self, entry: DposEntry) -> Checkpoint | None:
        """Give the highest block justified by payloads of the block and its ancestors; None as `set_at`."""
        record = self._records.of(entry)
        return None if record is None else record.justified

    def finalised_at(self, entry: DposEntry) -> Checkpoint | None:
        """Give the highest block finalised by payloads of the block and its ancestors; None as `set_at`."""
        record = self._records.of(entry)
        return None if record is None else record.finalised

    def set_numbered(self, number: int) -> ArbitratorSet | None:
        """Give a set of the best chain: one that was or is in force, or waits for it; None if unknown."""
        return self._records.numbered(self._head(), number)
