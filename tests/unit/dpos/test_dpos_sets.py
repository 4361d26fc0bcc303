"""Sets, terms, rounds, seeds and payouts on branches (docs/protocol.md section 4)."""

from dataclasses import replace

import pytest
from chaingen.dpos_forge import ADDRESSES, KEYS, Forge, make_spec, member_row, payout_of
from chaingen.dpos_tiny import tiny_transaction

from ioex_chain.dpos import errors
from ioex_chain.dpos.block import Block
from ioex_chain.dpos.records import (
    ChainFacts,
    Record,
    Roster,
    SetRef,
    Waiting,
    decode_record,
    encode_record,
    enter_round,
    enter_term,
)
from ioex_chain.dpos.schedule import round_seed, shuffle
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.dpos.votes import Certificate, Checkpoint
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import SlotLength

SEATS, TERM = 4, 12  # slots of a round and of a term in the forge's chain
NEW = [10, 11, 12, 13, 14]


def rank(*numbers: int) -> list:
    return [tiny_transaction(rank=[member_row(number) for number in numbers])]


def keys(numbers: list[int]) -> list[bytes]:
    return [ADDRESSES[number] for number in numbers]


def grow_to(forge: Forge, block: Block, slot: int, *, final: bool) -> Block:
    return forge.grow(block, slot - forge.slot(block), final=final)[-1]


def in_force(forge: Forge, block: Block) -> int:
    return forge.record(block).in_force.number


def forge_of_four() -> Forge:
    return Forge(make_spec(4))


def test_a_set_is_read_two_terms_before_and_comes_when_the_term_between_is_final() -> None:
    forge = forge_of_four()
    changed = forge.extend(forge.genesis, 3, transactions=rank(*NEW[:4]))  # term 0
    before = grow_to(forge, changed, 2 * TERM + SEATS - 1, final=True)
    # The set for term 2 was read at the newest block of term 0; the newest block of term 1 becomes final in
    # round 6, the first of term 2, so the new members begin with round 7.
    assert in_force(forge, before) == 0
    assert forge.record(before).newest.number == 1
    first = forge.extend(before, certificate=forge.certificate(before))
    assert forge.slot(first) == 2 * TERM + SEATS
    assert in_force(forge, first) == 1
    assert [member.key for member in forge.members_at(first).members] == keys(NEW[:4])
    assert forge.record(first).waiting == ()


def test_without_finality_the_old_set_goes_on_and_the_latest_one_follows() -> None:
    forge = forge_of_four()
    block = forge.extend(forge.genesis, 3, transactions=rank(*NEW[:4]))
    block = forge.extend(block, TERM + 2, transactions=rank(*NEW[1:5]))
    block = forge.extend(block, 2 * TERM + 2, transactions=rank(*NEW[:2], 0, 1))
    block = grow_to(forge, block, 4 * TERM + 1, final=False)
    record = forge.record(block)
    assert in_force(forge, block) == 0
    assert [one.term for one in record.waiting] == [2, 3, 4, 5][: len(record.waiting)]
    assert [one.ref.number for one in record.waiting] == [1, 2, 3]
    # Finality comes back: the old set's votes make the newest block of term 3 final, and of the sets that
    # waited the one for the latest term comes into force; the two before it never do.
    block = grow_to(forge, block, 4 * TERM + SEATS, final=True)
    assert in_force(forge, block) == 3
    assert [member.key for member in forge.members_at(block).members] == keys([10, 11, 0, 1])
    assert forge.engine.records.numbered(forge.entry(block), 1).members[0].key == ADDRESSES[10]
    assert forge.engine.records.numbered(forge.entry(block), 2).members[0].key == ADDRESSES[11]
    assert forge.engine.records.numbered(forge.entry(block), 4) is None


def test_too_few_members_or_the_same_ones_make_no_new_set() -> None:
    forge = Forge(make_spec(4, min_members=3))
    block = forge.extend(forge.genesis, 3, transactions=rank(*NEW[:2]))
    block = forge.extend(block, TERM + 3, transactions=rank(3, 2, 1, 0))
    block = grow_to(forge, block, 3 * TERM + SEATS, final=True)
    assert in_force(forge, block) == 0
    assert forge.record(block).newest.number == 0
    assert forge.record(block).waiting == ()


def test_branches_have_their_own_sets() -> None:
    forge = forge_of_four()
    one = grow_to(
        forge, forge.extend(forge.genesis, 3, transactions=rank(*NEW[:4])), 2 * TERM + 7, final=True
    )
    other = grow_to(forge, forge.extend(forge.genesis, 4), 2 * TERM + 7, final=True)
    assert (in_force(forge, one), in_force(forge, other)) == (1, 0)


def test_one_set_alone_finalises_nothing_while_both_vote() -> None:
    """Else the old set could finalise a branch that does not know of the gate, and the new set another."""
    forge = forge_of_four()
    block = forge.extend(forge.genesis, 3, transactions=rank(*NEW[:4]))
    while in_force(forge, block) == 0:
        block = forge.extend(
            block, certificate=forge.certificate(block) if block.header.header.number else None
        )
    both = forge.members_at(block)
    assert both.before == tuple(forge.members_at(forge.genesis).members)
    new, old = range(len(both.members)), range(len(both.members), len(both.voters))
    for alone in (new, old):
        votes = {both.voters[place].key for place in alone}
        assert not both.is_quorum(votes)
        link = forge.link(block)
        made = Certificate(
            link,
            sum(1 << place for place in alone),
            tuple(forge.vote(link, KEYS[both.voters[place].key]).signature for place in alone),
        )
        with pytest.raises(errors.CertificateQuorum):
            forge.extend(block, certificate=made)
    first = block
    while forge.members_at(block).before:
        block = forge.extend(block, certificate=forge.certificate(block))
    assert forge.record(block).finalised.height >= first.header.header.number
    assert forge.members_at(block).voters == both.members


def test_empty_terms_are_over_too() -> None:
    forge = forge_of_four()
    block = forge.extend(forge.genesis, 3, transactions=rank(*NEW[:4]))
    block = forge.extend(block, 6 * TERM)
    assert forge.record(block).waiting[0].term == 2
    assert forge.record(block).waiting[0].gate == 1  # the newest block of terms 0 to 5
    block = grow_to(forge, block, 6 * TERM + SEATS - 1, final=True)
    block = forge.extend(block)
    assert in_force(forge, block) == 1


def test_the_seed_and_the_order_follow_from_the_round() -> None:
    forge = Forge(make_spec(3, seats=5))
    block = grow_to(forge, forge.genesis, 23, final=False)
    for made in forge.path(block)[1:]:
        round_ = forge.slot(made) // 5
        seed = round_seed(round_, forge.record(forge.genesis).pow_hash)
        assert made.header.header.mix_hash == seed
        member = forge.spec.dpos.members[shuffle(3, seed)[forge.slot(made) % 5 % 3]]
        assert made.header.header.beneficiary == member.payout


def test_the_payout_address_is_that_of_the_reading_block() -> None:
    forge = forge_of_four()
    changes = [tiny_transaction(payout=[ADDRESSES[n].hex(), payout_of(n + 20).hex()]) for n in range(4)]
    block = forge.extend(forge.genesis, 5, transactions=changes)  # round 1
    old = {payout_of(n) for n in range(4)}
    new = {payout_of(n + 20) for n in range(4)}
    block = grow_to(forge, block, 4 * SEATS - 1, final=False)
    for made in forge.path(block)[1:]:
        expected = old if forge.slot(made) // SEATS < 3 else new
        assert made.header.header.beneficiary in expected


def test_a_member_that_left_the_ranking_is_still_paid() -> None:
    forge = forge_of_four()
    block = forge.extend(forge.genesis, 3, transactions=rank(*NEW[:4]))
    block = grow_to(forge, block, 4 * SEATS - 1, final=False)
    assert block.header.header.beneficiary in {payout_of(n) for n in range(4)}
    assert set(forge.engine.records.roster(forge.entry(block)).payouts) == set(keys([0, 1, 2, 3, *NEW[:4]]))


def test_slots_may_change_their_length() -> None:
    forge = Forge(make_spec(4, slot_lengths=(SlotLength(8, 3), SlotLength(16, 60))))
    block = grow_to(forge, forge.genesis, 20, final=True)
    times = [made.header.header.timestamp for made in forge.path(block)]
    assert times[8] - times[7] == 10
    assert times[9] - times[8] == 3
    assert times[17] - times[16] == 60
    assert forge.machine.reward(20) == forge.spec.dpos.block_reward * 2


def test_missed_slots_are_counted_newest_ones_only() -> None:
    forge = forge_of_four()
    block = forge.extend(forge.genesis, 6)
    rows = forge.rows[block.header.hash]
    missed = {key: int(value) for key, value in rows.items() if key.startswith(b"ymissed")}
    assert sum(missed.values()) == 5
    later = forge.extend(block, 500)
    rows = forge.rows[later.header.hash]
    assert sum(int(value) for key, value in rows.items() if key.startswith(b"ymissed")) == 5 + 64


def test_facts_of_a_ledger() -> None:
    forge = forge_of_four()
    blocks = forge.grow(forge.genesis, 6, final=True)
    ledger = forge.open(MemoryStore(), FixedClock(forge.end_of(30)))
    engine = ledger._engine
    facts = ChainFacts(engine.records, lambda: ledger.head)
    entries = ledger.accept_headers([block.header for block in blocks])
    assert facts.set_at(entries[-1]) is None
    assert facts.justified_at(entries[-1]) is None
    for block in blocks:
        ledger.accept_block(block)
    assert facts.set_at(entries[-1]).number == 0
    assert facts.justified_at(entries[-1]) == forge.checkpoint(blocks[-2])
    assert facts.finalised_at(entries[-1]) == forge.checkpoint(blocks[-3])
    assert facts.set_numbered(0).members == tuple(
        Member(member.key, member.payout) for member in forge.spec.dpos.members
    )
    assert facts.set_numbered(1) is None


POINT = Checkpoint(BlockHash(b"\x01" * 32), 7)
REF, OTHER = SetRef(1, BlockHash(b"\x02" * 32)), SetRef(2, BlockHash(b"\x03" * 32))
ROSTER = Roster((Member(b"\x04" * 20, b"\x05" * 20),), (Member(b"\x06" * 20, b"\x07" * 20),))
RECORD = Record(POINT, POINT, b"\x08" * 32, 9, POINT.hash, REF, OTHER, (Waiting(3, OTHER, None),))


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        replace(RECORD, roster_at=None, roster=ROSTER, waiting=(Waiting(3, OTHER, 0), Waiting(4, REF, 5))),
    ],
)
def test_a_record_comes_back(record: Record) -> None:
    data = encode_record(record)
    assert decode_record(data) == record
    for size in range(len(data)):
        with pytest.raises(DecodeError):
            decode_record(data[:size])


def test_a_gate_that_is_not_final_keeps_a_set_waiting() -> None:
    waiting = (Waiting(3, OTHER, 8),)
    assert enter_round(replace(RECORD, waiting=waiting), 12).in_force == REF
    assert enter_round(replace(RECORD, waiting=(Waiting(3, OTHER, 7),)), 12).in_force == OTHER
    assert enter_round(replace(RECORD, waiting=(Waiting(3, OTHER, None),)), 12).in_force == REF


def test_the_set_before_votes_until_a_block_of_the_new_one_is_final() -> None:
    third = SetRef(3, BlockHash(b"\x04" * 32))
    entered = enter_round(replace(RECORD, waiting=(Waiting(3, OTHER, 7), Waiting(4, third, 11))), 12)
    assert (entered.in_force, entered.before, entered.since) == (OTHER, REF, 12)
    for final in (7, 11):  # a third set has to wait, though its gate is final
        known = replace(entered, finalised=Checkpoint(POINT.hash, final))
        assert enter_round(known, 20) == known
    known = replace(entered, finalised=Checkpoint(POINT.hash, 12))
    after = enter_round(known, 20)
    assert (after.in_force, after.before, after.since) == (third, OTHER, 20)
    assert enter_round(replace(known, waiting=()), 20).before is None


def test_two_sets_vote_together_by_the_quorum_of_each() -> None:
    old = tuple(Member(bytes((number,)) * 20, bytes(20)) for number in range(4))
    new = tuple(Member(bytes((number,)) * 20, bytes(20)) for number in range(2, 6))
    alone, both = ArbitratorSet(1, new), ArbitratorSet(1, new, old)
    assert [member.key[0] for member in both.voters] == [2, 3, 4, 5, 0, 1]
    assert alone.voters == new
    assert both.has(old[0].key)
    assert not alone.has(old[0].key)

    def keys(*numbers: int) -> set[bytes]:
        return {bytes((number,)) * 20 for number in numbers}

    assert alone.is_quorum(keys(2, 4, 5))
    assert not both.is_quorum(keys(2, 3, 4, 5))  # two of the set before: its quorum is three
    assert not both.is_quorum(keys(0, 1, 2, 3))
    assert both.is_quorum(keys(1, 2, 3, 4))


def test_a_term_gives_the_waiting_sets_their_gate() -> None:
    members = {OTHER: ROSTER.ranking}
    entered = enter_term(RECORD, POINT, 2, 3, ROSTER.ranking, lambda ref: members.get(ref, ()), 1)
    assert [one.gate for one in entered.waiting] == [7]
    assert entered.newest == OTHER  # the same keys: no new set
    changed = enter_term(RECORD, POINT, 2, 3, ROSTER.others, lambda ref: members.get(ref, ()), 1)
    assert changed.newest == SetRef(3, POINT.hash)
    assert changed.waiting == (Waiting(3, OTHER, 7), Waiting(4, changed.newest, None))
    assert enter_term(RECORD, POINT, 2, 2, ROSTER.others, lambda ref: (), 1) is RECORD
