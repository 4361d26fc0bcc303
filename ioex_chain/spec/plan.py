"""The token plan of docs/protocol.md section 1, and the check that a list of outputs follows it.

The outputs themselves (amounts, beneficiaries, unlock times) are data in `genesis/*.json`; what stands here
is the promise that they are measured against.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ioex_chain.primitives.types import COIN
from ioex_chain.spec.errors import BadField, OutputTooLarge, WrongLock, WrongShare, WrongSupply
from ioex_chain.spec.model import MAX_OUTPUT

PLAN_TOTAL = 200_000_000 * COIN
"""What the plan's percentages are of."""
GENESIS_SUPPLY = 194_000_000 * COIN
"""PLAN_TOTAL without E3, the 3 % that are mined."""

Base = Literal["genesis", "listing"]


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One line of the plan. `terms` are (months after `base`, percent of the line); none when free."""

    letter: str
    name: str
    percent: int
    terms: tuple[tuple[int, int], ...] = ()
    base: Base = "genesis"

    @property
    def amount(self) -> int:
        """PoW units that the plan gives this line."""
        return PLAN_TOTAL * self.percent // 100

    @property
    def shares(self) -> tuple[tuple[int, int], ...]:
        """Give `terms`, or all of it at month 0 when free."""
        return self.terms or ((0, 100),)


_QUARTERLY = ((3, 25), (6, 25), (9, 25), (12, 25))
PLAN: Mapping[str, PlanLine] = {
    line.letter: line
    for line in (
        PlanLine("A", "sales", 20),
        PlanLine("B", "node rewards plan", 35),
        PlanLine("C", "foundation", 17),
        PlanLine("D", "team", 10, ((6, 25), (12, 25), (18, 25), (24, 25))),
        PlanLine("E1", "strategic", 5, _QUARTERLY, "listing"),
        PlanLine("E2", "angel", 5, _QUARTERLY),
        PlanLine("E4", "consultants", 3, ((3, 35), (6, 35), (9, 30))),
        PlanLine("E5", "promotion", 2),
    )
}
"""The lines that stand in genesis; E3 is mined."""
NODE_REWARDS_LINE = "B"
NODE_REWARDS = "NodeRewards"
"""Line B's beneficiary: the system contract that hands the plan out."""
SALES_LINE = "A"
SELLABLE = ("E1", "E2")
"""Lines whose unsold part moves to sales."""


class PlanRow(NamedTuple):
    """What the plan looks at in one output of genesis."""

    field: str
    """Where it stands in the file, for error messages."""
    letter: str
    amount: int
    base: Base
    months: int


def line_amounts(unsold: Mapping[str, int]) -> dict[str, int]:
    """Give each line's amount once the unsold part of E1 and E2 is in A. Raises BadField."""
    amounts = {letter: line.amount for letter, line in PLAN.items()}
    for letter, amount in unsold.items():
        if letter not in SELLABLE:
            raise BadField(f"token.unsold.{letter}", "only lines E1 and E2 are for sale")
        if not 0 <= amount <= PLAN[letter].amount:
            raise BadField(f"token.unsold.{letter}", f"is above the line's {_coins(PLAN[letter].amount)}")
        amounts[letter] -= amount
        amounts[SALES_LINE] += amount
    return amounts


def split_terms(line: PlanLine, amount: int, field: str) -> list[tuple[int, int]]:
    """Give (months, amount) for each term of `amount`. Raises WrongShare if a part is not whole."""
    for _, percent in line.shares:
        if amount * percent % 100:
            raise WrongShare(field, f"{_coins(amount)} cannot be split into the terms of line {line.letter}")
    return [(months, amount * percent // 100) for months, percent in line.shares]


def check_plan(rows: Sequence[PlanRow], unsold: Mapping[str, int]) -> None:
    """Check outputs against the plan: supply, size of each, base and term of each lock, share of each term.

    Raises WrongSupply, OutputTooLarge, WrongLock, WrongShare, BadField.
    """
    amounts = line_amounts(unsold)
    for row in rows:
        _check_row(row)
    total = sum(row.amount for row in rows)
    if total != GENESIS_SUPPLY:
        raise WrongSupply(
            "token.allocations", f"sum to {_coins(total)}; genesis holds {_coins(GENESIS_SUPPLY)}"
        )
    found: defaultdict[tuple[str, int], int] = defaultdict(int)
    for row in rows:
        found[row.letter, row.months] += row.amount
    for letter, line in PLAN.items():
        for months, wanted in split_terms(line, amounts[letter], f"token.unsold.{letter}"):
            if found[letter, months] != wanted:
                when = f"at month {months}" if months else "free"
                has = _coins(found[letter, months])
                raise WrongShare(
                    "token.allocations", f"line {letter} has {has} {when}; the plan says {_coins(wanted)}"
                )


def _check_row(row: PlanRow) -> None:
    line = PLAN.get(row.letter)
    if line is None:
        raise BadField(f"{row.field}.plan", f"{row.letter!r} is no line of genesis: {', '.join(PLAN)}")
    if not 0 < row.amount <= MAX_OUTPUT:
        raise OutputTooLarge(
            f"{row.field}.amount", f"{_coins(row.amount)} is not above 0 and at most {_coins(MAX_OUTPUT)}"
        )
    months = [term for term, _ in line.shares]
    if row.months not in months:
        raise WrongLock(
            f"{row.field}.unlock", f"line {row.letter} unlocks at month {months}, not {row.months}"
        )
    if row.months and row.base != line.base:
        raise WrongLock(f"{row.field}.unlock", f"line {row.letter} counts from {line.base}, not {row.base}")


def _coins(amount: int) -> str:
    whole, part = divmod(amount, COIN)
    return f"{whole:,}" + (f".{part:08d}".rstrip("0") if part else "") + " IOEX"
