"""Slots, rounds, terms, seeds and who produces when (docs/protocol.md section 4). All of it is pure.

Slot s of a chain begins at `slot_start(s)`; slot 0 is genesis'. Slots s with s // seats = r are round r,
rounds r with r // term_rounds = t are term t.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.sets import ArbitratorSet, Member
from ioex_chain.spec.model import DposSpec, SlotLength


class BadSchedule(ValueError):
    """The spec's slot lengths do not rise by round boundaries."""


class Schedule:
    """Slots of one network: `genesis_time`, then pieces of equal slot length."""

    def __init__(self, spec: DposSpec) -> None:
        """Read the pieces of `spec`. Raises BadSchedule."""
        self.seats = spec.seats
        self.term_rounds = spec.term_rounds
        pieces = [SlotLength(0, spec.block_time), *spec.slot_lengths]
        self._slots = [piece.slot for piece in pieces]
        self._lengths = [piece.seconds for piece in pieces]
        self._times = [spec.genesis_time]
        for before, piece in pairwise(pieces):
            if piece.slot <= before.slot or piece.slot % spec.seats:
                raise BadSchedule(f"slot {piece.slot}: a new slot length begins at a later round boundary")
            self._times.append(self._times[-1] + (piece.slot - before.slot) * before.seconds)
        if min(self._lengths) < 1:
            raise BadSchedule("a slot lasts at least one second")

    def slot_start(self, slot: int) -> int:
        """Give the Unix time at which a slot (>= 0) begins."""
        piece = bisect_right(self._slots, slot) - 1
        return self._times[piece] + (slot - self._slots[piece]) * self._lengths[piece]

    def slot_of(self, time: int) -> int:
        """Give the slot in which a time lies; -1 before genesis."""
        if time < self._times[0]:
            return -1
        piece = bisect_right(self._times, time) - 1
        return self._slots[piece] + (time - self._times[piece]) // self._lengths[piece]

    def slot_at(self, time: int) -> int | None:
        """Give the slot that begins exactly at `time`, or None."""
        slot = self.slot_of(time)
        return slot if slot >= 0 and self.slot_start(slot) == time else None

    def slot_end(self, slot: int) -> int:
        """Give the time at which a slot is over: the start of the next one."""
        return self.slot_start(slot + 1)

    def slot_length(self, slot: int) -> int:
        """Give the seconds that a slot lasts."""
        return self._lengths[bisect_right(self._slots, slot) - 1]

    def round_of(self, slot: int) -> int:
        """Give the round of a slot: slot // seats, whatever the number of active members."""
        return slot // self.seats

    def term_of_round(self, round_: int) -> int:
        """Give the term of a round."""
        return round_ // self.term_rounds

    def term_of(self, slot: int) -> int:
        """Give the term of a slot."""
        return slot // (self.seats * self.term_rounds)

    def first_slot_of_round(self, round_: int) -> int:
        """Give the first slot of a round."""
        return round_ * self.seats

    def last_slot_of_round(self, round_: int) -> int:
        """Give the last slot of a round."""
        return (round_ + 1) * self.seats - 1

    def first_slot_of_term(self, term: int) -> int:
        """Give the first slot of a term."""
        return term * self.term_rounds * self.seats

    def last_slot_of_term(self, term: int) -> int:
        """Give the last slot of a term."""
        return self.first_slot_of_term(term + 1) - 1

    def producer(self, members: ArbitratorSet, seed: bytes, slot: int) -> Member:
        """Give who produces a slot: shuffle(members, seed)[(slot mod seats) mod k]."""
        order = shuffle(len(members.members), seed)
        return members.members[order[slot % self.seats % len(order)]]


def reading_round(round_: int) -> int:
    """Give the round at whose newest block a round's seed and payouts are read: r-2, and 0 for 0 and 1."""
    return max(0, round_ - 2)


def round_seed(round_: int, pow_hash: bytes) -> bytes:
    """Give the 32-byte seed of a round: keccak256(r as uint64 big-endian || 32-byte PoW header hash).

    The PoW hash is the one buried k deep in the light client at the newest block of `reading_round`; in
    genesis it is the PoW chain's genesis hash, so rounds 0 and 1 need no rule of their own.
    """
    return keccak256(round_.to_bytes(8, "big") + pow_hash)


def _draws(seed: bytes) -> Iterator[int]:
    """Give uint32 numbers: the 4-byte words of keccak256(seed || i as uint32 big-endian) for i = 0, 1, ..."""
    counter = 0
    while True:
        block = keccak256(seed + counter.to_bytes(4, "big"))
        yield from (int.from_bytes(block[at : at + 4], "big") for at in range(0, 32, 4))
        counter += 1


def shuffle(count: int, seed: bytes) -> tuple[int, ...]:
    """Give a permutation of 0 .. count-1: Fisher-Yates from the last place down over the seed's stream.

    For place i a draw d is taken until d < floor(2^32 / (i+1)) * (i+1), so that none is favoured; then
    places i and d mod (i+1) are exchanged.
    """
    order = list(range(count))
    draws = _draws(seed)
    for place in range(count - 1, 0, -1):
        bound = place + 1
        limit = (1 << 32) // bound * bound
        draw = next(number for number in draws if number < limit)
        other = draw % bound
        order[place], order[other] = order[other], order[place]
    return tuple(order)
