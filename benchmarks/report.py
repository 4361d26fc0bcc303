"""What a benchmark gives (tables of rows), how it is shown, and what machine it ran on.

Machines differ, and one machine differs from minute to minute, so every run measures two operations that
all of this rests on as well: `calibrate`. Compare ratios to those before comparing seconds.
"""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from statistics import median
from time import perf_counter, process_time
from typing import Any

from coincurve import PrivateKey, PublicKey

_HASHES = 200_000
_SIGNATURES = 2_000


@dataclass(frozen=True)
class Row:
    """One figure: the median of `runs`. `bar` is what it must reach, None where nothing is asked."""

    name: str
    runs: Sequence[float]
    unit: str
    bar: float | None = None
    higher_is_better: bool = False
    note: str = ""

    @property
    def value(self) -> float:
        return median(self.runs)

    @property
    def verdict(self) -> str:
        """Say whether the bar is met here and now; nothing is asserted, for a machine is not the code."""
        if self.bar is None:
            return ""
        met = self.value >= self.bar if self.higher_is_better else self.value <= self.bar
        return f"{'met' if met else 'missed'} ({'>=' if self.higher_is_better else '<='} {_number(self.bar)})"

    def cells(self) -> tuple[str, ...]:
        """Give what the table shows."""
        low, high = min(self.runs), max(self.runs)
        spread = f"{_number(low)} to {_number(high)}" if len(self.runs) > 1 else ""
        return self.name, f"{_number(self.value)} {self.unit}".strip(), spread, self.verdict, self.note


@dataclass(frozen=True)
class Table:
    """Rows under a title, and what must be said about them."""

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = field(default=())

    def render(self) -> str:
        """Give the table as Markdown."""
        cells = [("", "median", "runs", "bar", "note"), *(row.cells() for row in self.rows)]
        used = [at for at in range(5) if at < 2 or any(line[at] for line in cells[1:])]
        widths = {at: max(len(line[at]) for line in cells) for at in used}
        lines = ["| " + " | ".join(line[at].ljust(widths[at]) for at in used) + " |" for line in cells]
        lines.insert(1, "|" + "|".join("-" * (widths[at] + 2) for at in used) + "|")
        return "\n".join([f"### {self.title}", "", *lines, *(f"- {note}" for note in self.notes), ""])

    def to_json(self) -> dict[str, Any]:
        """Give everything, each row with its median and verdict."""
        return {
            "title": self.title,
            "rows": [{**asdict(row), "value": row.value, "verdict": row.verdict} for row in self.rows],
            "notes": list(self.notes),
        }


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


@dataclass(frozen=True)
class Calibration:
    """How fast this machine is just now, on one core."""

    sha256d_per_second: float
    verify_us: float
    share: float
    """Processor time over wall clock: below 1, others were using the machine."""

    def render(self) -> str:
        """Give one line."""
        rate = self.sha256d_per_second / 1e6
        return (
            f"hashlib sha256d {rate:.2f} MH/s, coincurve key parse and verify {self.verify_us:.1f} us, "
            f"while this process had {self.share:.0%} of a core"
        )


def calibrate() -> Calibration:
    """Measure the hash and the signature check that everything else is made of."""
    data = bytes(80)
    start, used = perf_counter(), process_time()
    for _ in range(_HASHES):
        sha256(sha256(data).digest()).digest()
    hashing = perf_counter() - start
    digest = sha256(b"calibration").digest()
    private = PrivateKey(digest)
    public, signature = private.public_key.format(), private.sign(digest, hasher=None)
    start = perf_counter()
    for _ in range(_SIGNATURES):
        assert PublicKey(public).verify(signature, digest, hasher=None)
    verifying = perf_counter() - start
    share = min(1.0, (process_time() - used) / (hashing + verifying))
    return Calibration(_HASHES / hashing, verifying / _SIGNATURES * 1e6, share)


def machine() -> str:
    """Describe the machine in one line."""
    load = " ".join(f"{part:.2f}" for part in os.getloadavg())
    return (
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, load {load}"
    )
