"""Fee estimates from what was seen to confirm (estimatesmartfee), after the idea of Bitcoin Core's estimator.

Every transaction that comes into the pool by itself is put into a bucket by fee rate; when a block takes it,
each horizon notes within how many blocks that was. Old observations fade. An estimate is the lowest rate at
which enough transactions confirmed in time. Rates are units per 1,000 bytes.
"""

import math
import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from ioex_chain.pow.packages import MempoolEntry
from ioex_chain.pow.policy import RATE_BYTES
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import TxHash

_LOWEST, _HIGHEST, _STEP = 1_000.0, 1e7, 1.1
MAX_TARGET = 1_008
"""Blocks: the longest time that is estimated."""
_HALF, _SAME, _DOUBLE = 0.60, 0.85, 0.95
"""Share that must confirm within half the target, the target, and twice the target."""
_MAGIC = b"ioexfees"
_VERSION = 1
NO_ANSWER = "Insufficient data or no feerate found"


def _rungs() -> tuple[float, ...]:
    count = math.ceil(math.log(_HIGHEST / _LOWEST, _STEP)) + 1
    return (*(_LOWEST * _STEP**rung for rung in range(count)), math.inf)


_BUCKETS = _rungs()
"""Upper ends of the buckets."""


class FeeFileDamaged(DecodeError):
    """The kept fee observations cannot be read: start without them."""


@dataclass(frozen=True, slots=True)
class FeeEstimate:
    """`rate` in units per 1,000 bytes, None without an answer; `blocks` is the target it holds for."""

    rate: int | None
    blocks: int
    errors: tuple[str, ...] = ()


class _Horizon:
    """Fading counts of confirmations within 1 to `periods` periods of `scale` blocks.

    `confirmed[p][b]` counts transactions of bucket b that confirmed within p + 1 periods, `failed[p][b]`
    those that left unconfirmed after more than p periods.
    """

    def __init__(self, periods: int, scale: int, decay: float, enough: float) -> None:
        self.periods, self.scale, self.decay = periods, scale, decay
        self.enough = enough / (1 - decay)
        size = len(_BUCKETS)
        self.total = [0.0] * size
        self.rates = [0.0] * size
        self.confirmed = [[0.0] * size for _ in range(periods)]
        self.failed = [[0.0] * size for _ in range(periods)]

    @property
    def reach(self) -> int:
        """The longest target in blocks."""
        return self.periods * self.scale

    def rows(self) -> list[list[float]]:
        """Give all figures."""
        return [self.total, self.rates, *self.confirmed, *self.failed]

    def fade(self) -> None:
        """Let all observations lose weight: one block passed."""
        for row in self.rows():
            row[:] = [value * self.decay for value in row]

    def note_confirmed(self, bucket: int, rate: float, blocks: int) -> None:
        """Note a confirmation after so many blocks."""
        self.total[bucket] += 1
        self.rates[bucket] += rate
        for row in self.confirmed[(blocks - 1) // self.scale :]:
            row[bucket] += 1

    def note_failed(self, bucket: int, blocks: int) -> None:
        """Note that one left after waiting so many blocks."""
        for row in self.failed[: blocks // self.scale]:
            row[bucket] += 1

    def lowest_rate(self, target: int, share: float, waiting: Counter[int]) -> float | None:
        """Give the mean rate of the cheapest buckets of which `share` confirmed within `target` blocks.

        `waiting` counts by bucket those that still wait and have done so for `target` blocks. Neighbouring
        buckets are taken together until there is enough to judge.
        """
        period = -(-target // self.scale) - 1
        found: float | None = None
        seen = good = bad = rates = 0.0
        for bucket in range(len(_BUCKETS) - 1, -1, -1):
            seen += self.total[bucket]
            rates += self.rates[bucket]
            good += self.confirmed[period][bucket]
            bad += self.failed[period][bucket] + waiting[bucket]
            if seen < self.enough:
                continue
            if good / (seen + bad) < share:
                return found
            found = rates / seen
            seen = good = bad = rates = 0.0
        return found


class FeeEstimator:
    """Watches the pool (`FeeObserver`) and estimates. Belongs to the ledger's thread."""

    def __init__(self) -> None:
        self.height = 0
        """Of the newest block seen."""
        self._first = 0
        self._horizons = _horizons()
        self._tracked: dict[TxHash, tuple[int, int]] = {}
        self._waiting: dict[int, Counter[int]] = {}

    # --- what the pool tells ------------------------------------------------------------------------------

    def entered(self, entry: MempoolEntry) -> None:
        """Follow an entry that came by itself; one that came while the chain is behind says nothing."""
        if entry.height < self.height:
            return
        bucket = bisect_left(_BUCKETS, entry.fee * RATE_BYTES / entry.size)
        self._tracked[entry.txid] = entry.height, bucket
        self._waiting.setdefault(entry.height, Counter())[bucket] += 1

    def left(self, entry: MempoolEntry) -> None:
        """Note that an entry left without a block."""
        found = self._forget(entry)
        if found is not None:
            height, bucket = found
            for horizon in self._horizons:
                horizon.note_failed(bucket, self.height - height)

    def block(self, height: int, confirmed: Sequence[MempoolEntry]) -> None:
        """Note a block and what it took; one at or below a height seen before says nothing."""
        if height <= self.height:
            for entry in confirmed:
                self._forget(entry)
            return
        self.height = height
        for horizon in self._horizons:
            horizon.fade()
        for entry in confirmed:
            self._confirmed(entry)

    def _confirmed(self, entry: MempoolEntry) -> None:
        found = self._forget(entry)
        if found is None:
            return
        self._first = self._first or self.height
        height, bucket = found
        for horizon in self._horizons:
            horizon.note_confirmed(bucket, entry.fee * RATE_BYTES / entry.size, max(1, self.height - height))

    def _forget(self, entry: MempoolEntry) -> tuple[int, int] | None:
        found = self._tracked.pop(entry.txid, None)
        if found is not None:
            height, bucket = found
            waiting = self._waiting[height]
            waiting[bucket] -= 1
            if not waiting.total():
                del self._waiting[height]
        return found

    # --- estimates ----------------------------------------------------------------------------------------

    def estimate(self, target: int, *, conservative: bool = False) -> FeeEstimate:
        """Estimate the rate with which a transaction confirms within `target` blocks (1 to 1,008).

        A target that is longer than half of what was observed is shortened; 1 is answered as 2. Economical
        (the default) follows the latest blocks; `conservative` also asks the longer horizons, so that a
        short lull does not lower the answer. Raises ValueError outside the range.
        """
        if not 1 <= target <= MAX_TARGET:
            raise ValueError(f"the target is 1 to {MAX_TARGET} blocks")
        blocks = min(max(2, target), self._usable())
        if blocks < 2:
            return FeeEstimate(None, target, (NO_ANSWER,))
        wanted = [(max(1, blocks // 2), _HALF), (blocks, _SAME), (min(2 * blocks, MAX_TARGET), _DOUBLE)]
        answers = [self._lowest(within, share, 0) for within, share in wanted]
        if conservative:
            answers += [self._lowest(wanted[2][0], _DOUBLE, first) for first in (1, 2)]
        found = [answer for answer in answers if answer is not None]
        if not found:
            return FeeEstimate(None, target, (NO_ANSWER,))
        return FeeEstimate(math.ceil(round(max(found), 3)), blocks)

    def _usable(self) -> int:
        return (self.height - self._first + 1) // 2 if self._first else 0

    def _lowest(self, target: int, share: float, first: int) -> float | None:
        """Ask the shortest horizon that reaches the target, from the `first` on, and longer ones after it."""
        for horizon in self._horizons[first:]:
            if target <= horizon.reach:
                answer = horizon.lowest_rate(target, share, self._waiting_for(target))
                if answer is not None:
                    return answer
        return None

    def _waiting_for(self, blocks: int) -> Counter[int]:
        found: Counter[int] = Counter()
        for height, counts in self._waiting.items():
            if self.height - height >= blocks:
                found.update(counts)
        return found

    # --- over a restart -----------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """Give all observations: magic, version, heights, doubles, SHA-256. What waits is not kept."""
        body = bytearray(_MAGIC + _VERSION.to_bytes(2, "little"))
        for number in (self.height, self._first, len(_BUCKETS)):
            body += number.to_bytes(4, "little")
        for horizon in self._horizons:
            for row in horizon.rows():
                body += _as_bytes(row)
        return bytes(body) + sha256(body).digest()

    @classmethod
    def decode(cls, data: bytes) -> "FeeEstimator":
        """Read what `encode` gave. Raises FeeFileDamaged, also when a later version wrote it."""
        if sha256(data[:-32]).digest() != data[-32:]:
            raise FeeFileDamaged("the checksum of the fee observations is wrong")
        reader = Reader(data[:-32])
        try:
            estimator = cls._read(reader)
            reader.finish()
        except FeeFileDamaged:
            raise
        except DecodeError as error:
            raise FeeFileDamaged(f"the fee observations are damaged: {error}") from error
        return estimator

    @classmethod
    def _read(cls, reader: Reader) -> "FeeEstimator":
        if reader.take(8) != _MAGIC or reader.uint16() != _VERSION:
            raise FeeFileDamaged("not fee observations of this version")
        estimator = cls()
        estimator.height, estimator._first = reader.uint32(), reader.uint32()
        if reader.uint32() != len(_BUCKETS):
            raise FeeFileDamaged("the fee observations have other buckets")
        for horizon in estimator._horizons:
            for row in horizon.rows():
                row[:] = _from_bytes(reader.take(8 * len(_BUCKETS)))
        return estimator


def _horizons() -> tuple[_Horizon, _Horizon, _Horizon]:
    return (
        _Horizon(12, 1, 0.962, 0.5),
        _Horizon(24, 2, 0.9952, 0.1),
        _Horizon(42, 24, 0.99931, 0.1),
    )


def _as_bytes(row: list[float]) -> bytes:
    return struct.pack(f"<{len(row)}d", *row)


def _from_bytes(data: bytes) -> list[float]:
    row = list(struct.unpack(f"<{len(data) // 8}d", data))
    if not all(math.isfinite(value) and value >= 0 for value in row):
        raise FeeFileDamaged("a fee observation is no number")
    return row
