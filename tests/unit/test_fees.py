"""Fee estimates from simulated blocks."""

import pytest

from ioex_chain.pow.fees import NO_ANSWER, FeeEstimate, FeeEstimator, FeeFileDamaged
from ioex_chain.pow.packages import MempoolEntry
from ioex_chain.pow.transaction import NULL_OUTPOINT, Transaction, TxIn, TxOut


class Market:
    """Blocks that take what pays at least `floor` at once, and the rest after `delay` blocks or never."""

    def __init__(self) -> None:
        self.fees = FeeEstimator()
        self.height = 0
        self.made = 0
        self.waiting: list[tuple[int, MempoolEntry]] = []

    def entry(self, rate: int) -> MempoolEntry:
        self.made += 1
        tx = Transaction.build(2, [TxIn(NULL_OUTPOINT, b"", 0)], [TxOut(self.made, b"")])
        return MempoolEntry(
            tx, rate // 5, 200, 1, time=0, height=self.height, spent_height=0, has_locks=False
        )

    def run(self, blocks: int, rates: dict[int, int | None]) -> None:
        """`rates` gives for each rate the blocks that it waits, None for ever."""
        for _ in range(blocks):
            for rate, delay in rates.items():
                for _ in range(4):
                    entry = self.entry(rate)
                    self.fees.entered(entry)
                    if delay:
                        self.waiting.append((self.height + delay, entry))
            self.height += 1
            due = [entry for height, entry in self.waiting if height <= self.height]
            self.waiting = [item for item in self.waiting if item[0] > self.height]
            self.fees.block(self.height, due)


def test_nothing_seen():
    assert FeeEstimator().estimate(6) == FeeEstimate(None, 6, (NO_ANSWER,))


@pytest.mark.parametrize("target", [0, 1_009])
def test_range(target):
    with pytest.raises(ValueError, match="1 to 1008"):
        FeeEstimator().estimate(target)


def test_too_few_seen():
    market = Market()
    market.run(30, {})
    assert market.fees.estimate(2).rate is None


def test_fast_ones_cost_more():
    market = Market()
    market.run(120, {2_000: 10, 20_000: 1})
    fast, slow = market.fees.estimate(2), market.fees.estimate(20)
    assert fast == FeeEstimate(20_000, 2)
    assert slow == FeeEstimate(2_000, 20)


def test_one_is_answered_as_two():
    market = Market()
    market.run(60, {5_000: 1})
    assert market.fees.estimate(1) == FeeEstimate(5_000, 2)


def test_what_never_confirms_is_no_answer():
    market = Market()
    market.run(80, {1_500: None, 9_000: 1})
    assert market.fees.estimate(4).rate == 9_000


def test_what_was_dropped_counts_against_its_rate():
    market = Market()
    market.run(60, {3_000: 1})
    cheap = [market.entry(1_200) for _ in range(200)]
    for entry in cheap:
        market.fees.entered(entry)
    market.run(30, {3_000: 1})
    for entry in cheap:
        market.fees.left(entry)
    assert market.fees.estimate(6).rate == 3_000


def test_a_target_beyond_what_was_seen_is_shortened():
    market = Market()
    market.run(40, {4_000: 1})
    assert market.fees.estimate(1_008).blocks == 20


def test_conservative_remembers_a_busy_time():
    market = Market()
    market.run(200, {2_000: None, 50_000: 1})
    market.run(40, {2_000: 1})
    economical = market.fees.estimate(4).rate
    conservative = market.fees.estimate(4, conservative=True).rate
    assert economical is not None
    assert conservative is not None
    assert economical <= conservative


def test_a_reorganisation_says_nothing():
    market = Market()
    market.run(50, {4_000: 1})
    before = market.fees.encode()
    market.fees.block(20, [])
    assert market.fees.encode() == before


def test_over_a_restart():
    market = Market()
    market.run(120, {2_000: 10, 20_000: 1})
    again = FeeEstimator.decode(market.fees.encode())
    assert again.encode() == market.fees.encode()
    assert again.estimate(2) == FeeEstimate(20_000, 2)
    assert again.height == 120


def test_damage():
    data = FeeEstimator().encode()
    for broken in (b"", data[:-1], data[:40], data[:100] + b"\x01" + data[101:], b"x" + data[1:]):
        with pytest.raises(FeeFileDamaged):
            FeeEstimator.decode(broken)
