from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.schedule import BadSchedule, Schedule, reading_round, round_seed, shuffle
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.spec.model import DposSpec, SlotLength

SPEC = DposSpec(chain_id=1, block_time=30, seats=51, p2p_port=1, rpc_port=2, genesis_time=1_000)
PIECES = replace(SPEC, slot_lengths=(SlotLength(102, 10), SlotLength(510, 60)))


def test_slots_change_length_at_round_boundaries() -> None:
    schedule = Schedule(PIECES)
    assert schedule.slot_start(0) == 1_000
    assert schedule.slot_start(102) == 1_000 + 102 * 30
    assert schedule.slot_start(103) == 1_000 + 102 * 30 + 10
    assert schedule.slot_start(511) == 1_000 + 102 * 30 + 408 * 10 + 60
    assert [schedule.slot_length(slot) for slot in (0, 101, 102, 509, 510)] == [30, 30, 10, 10, 60]
    assert schedule.slot_end(101) == schedule.slot_start(102)


@given(st.integers(0, 5_000), st.integers(0, 59))
def test_a_time_lies_in_one_slot(slot: int, seconds: int) -> None:
    schedule = Schedule(PIECES)
    start = schedule.slot_start(slot)
    inside = start + seconds % schedule.slot_length(slot)
    assert schedule.slot_of(inside) == slot
    assert schedule.slot_at(inside) == (slot if inside == start else None)


def test_before_genesis_there_is_no_slot() -> None:
    assert Schedule(SPEC).slot_of(999) == -1
    assert Schedule(SPEC).slot_at(970) is None


@pytest.mark.parametrize("lengths", [(SlotLength(100, 10),), (SlotLength(0, 10),), (SlotLength(51, 0),)])
def test_a_schedule_that_cannot_be_is_refused(lengths: tuple[SlotLength, ...]) -> None:
    with pytest.raises(BadSchedule):
        Schedule(replace(SPEC, slot_lengths=lengths))


def test_rounds_and_terms() -> None:
    schedule = Schedule(SPEC)
    assert [schedule.round_of(slot) for slot in (0, 50, 51)] == [0, 0, 1]
    assert schedule.term_of(51 * 56 - 1) == 0
    assert schedule.term_of(51 * 56) == 1
    assert schedule.term_of_round(56) == 1
    assert schedule.last_slot_of_round(1) == 101
    assert schedule.last_slot_of_term(0) == 51 * 56 - 1
    assert schedule.first_slot_of_term(1) == schedule.first_slot_of_round(56) == 51 * 56
    assert [reading_round(round_) for round_ in range(4)] == [0, 0, 0, 1]


def test_the_seed_names_round_and_pow_block() -> None:
    pow_hash = bytes(range(32))
    assert round_seed(5, pow_hash) == keccak256(bytes(7) + b"\x05" + pow_hash)


def test_the_shuffle_is_a_fixed_permutation() -> None:
    order = shuffle(51, bytes(32))
    assert sorted(order) == list(range(51))
    assert order[:8] == (17, 43, 9, 46, 1, 42, 7, 13)
    assert shuffle(1, bytes(32)) == (0,)


def test_the_shuffle_favours_nobody() -> None:
    rounds = 6_000
    seats = [shuffle(5, seed.to_bytes(32, "big")) for seed in range(rounds)]
    for place in range(5):
        counted = Counter(order[place] for order in seats)
        assert all(abs(count - rounds / 5) < 0.08 * rounds / 5 for count in counted.values())


def test_a_draw_that_would_favour_somebody_is_taken_again() -> None:
    """For 3 places 2^32-1 is the one draw above the limit: the oracle is written out here."""
    seed = bytes(31) + b"\x07"
    words: list[int] = []
    for counter in range(3):
        block = keccak256(seed + counter.to_bytes(4, "big"))
        words += [int.from_bytes(block[at : at + 4], "big") for at in range(0, 32, 4)]
    order = list(range(13))
    for place in range(12, 0, -1):
        draw = words.pop(0)
        while draw >= (2**32 // (place + 1)) * (place + 1):
            draw = words.pop(0)
        order[place], order[draw % (place + 1)] = order[draw % (place + 1)], order[place]
    assert shuffle(13, seed) == tuple(order)


def test_few_members_take_turns_in_all_seats() -> None:
    schedule = Schedule(SPEC)
    members = ArbitratorSet(0, tuple(Member(bytes((n,)) * 20, bytes(20)) for n in range(4)))
    seed = round_seed(3, bytes(32))
    order = shuffle(4, seed)
    for slot in range(153, 204):
        assert schedule.producer(members, seed, slot) is members.members[order[slot % 51 % 4]]


def test_quorum_is_more_than_two_thirds() -> None:
    sizes = {1: 1, 2: 2, 3: 3, 4: 3, 13: 9, 51: 35}
    for size, quorum in sizes.items():
        assert ArbitratorSet(0, tuple(Member(bytes(20), bytes(20)) for _ in range(size))).quorum == quorum
