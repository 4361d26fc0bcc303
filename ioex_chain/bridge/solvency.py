"""Whether every IOEX on the DPoS chain is backed by the bridge reserve (docs/protocol.md section 6).

    reserve = native IOEX on the DPoS chain + queued credits + requested and not settled + retired
              + not yet credited + uncreditable

The two chains are never read at one moment: the DPoS chain knows the PoW chain only as far as its light
client, and believes it only k blocks below that. So the PoW side is read three times, after the block that
the light client has buried, after its best block, and after the head of this node, and what lies between is
named for what it is. All amounts are wei.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class PowFigures:
    """The reserve after one PoW block. The totals are of all times since genesis."""

    hash: bytes
    height: int
    reserve: int
    """Unspent outputs of deposit and reserve programs."""
    genesis: int
    """What the genesis block pays to them: it backs the balances of the DPoS genesis."""
    rewards: int
    """First outputs of the coinbases."""
    deposits: int
    donations: int
    """Paid to reserve change by others than a settlement: nobody can be credited for it."""
    settled: int
    """Amounts of the withdrawals that were settled, their fees included."""
    count: int
    """Number of the last request that was settled."""
    accumulator: bytes
    """Its accumulator, 32 bytes."""


@dataclass(frozen=True, slots=True)
class DposFigures:
    """The Bridge after one DPoS block. The totals are of all times since genesis."""

    hash: bytes
    height: int
    genesis: int
    """Balances of the genesis block."""
    rewards: int
    """Credited to the RewardPool for PoW heights, paid or still queued."""
    deposits: int
    """Credited for proven deposits, paid or still queued."""
    queued: int
    """Credits of both kinds that wait for a block."""
    requested: int
    retired: int
    count: int
    """Number of the last request."""
    accumulator: bytes | None
    """The accumulator after the last request that the PoW head has settled; None when there is none yet."""
    counted_height: int
    """PoW heights whose reward was credited."""

    @property
    def native(self) -> int:
        """IOEX that accounts of the DPoS chain have, without what the Bridge has taken off it."""
        return self.genesis + self.rewards + self.deposits - self.queued - self.requested - self.retired


class Verdict(StrEnum):
    """What the figures say."""

    SOUND = "sound"
    HOLE = "hole"
    """An invariant is broken: stop, and find out why."""
    POW_BEHIND = "pow-behind"
    """This node's PoW chain lacks blocks that the DPoS chain knows: no verdict until it has them."""
    DPOS_BEHIND = "dpos-behind"
    """This node's DPoS chain lacks blocks whose requests the PoW chain has settled: no verdict."""
    FORKED = "forked"
    """The DPoS chain has buried a block that is not on this node's PoW chain: a reorganisation beyond k."""
    VOID = "void"
    """A solo chain: its state was edited by hand, and nothing backs it."""


class Buried(StrEnum):
    """Where the block that the light client has buried stands for this node."""

    BEST = "best"
    OTHER_BRANCH = "other-branch"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the invariants take of the spec."""

    reward: int
    """Wei for a PoW height."""


@dataclass(frozen=True, slots=True)
class NotCredited:
    """PoW income that the DPoS chain has not credited, by why."""

    unseen: int = 0
    """In PoW blocks that the light client has not heard of."""
    unburied: int = 0
    """In blocks that it has heard of, above the one that is buried."""
    uncounted: int = 0
    """Rewards of buried heights: the door is shut, or many heights were buried at once."""
    unproven: int = 0
    """Buried deposits that nobody has proven yet."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.unseen + self.unburied + self.uncounted + self.unproven


@dataclass(frozen=True, slots=True)
class Solvency:
    """Both sides of the equation, and what holds."""

    verdict: Verdict
    reserve: int
    native: int
    queued: int
    unsettled: int
    """Requested and not settled; below zero only when this node's DPoS chain is behind."""
    retired: int
    not_credited: NotCredited
    uncreditable: int
    checks: Mapping[str, bool]
    """Invariants by name; one that cannot be judged now is left out."""

    @property
    def required(self) -> int:
        """The right side of the equation."""
        parts = self.native + self.queued + self.unsettled + self.retired
        return parts + self.not_credited.total + self.uncreditable

    @property
    def difference(self) -> int:
        """Reserve less what it must be: zero."""
        return self.reserve - self.required

    @property
    def broken(self) -> tuple[str, ...]:
        """The invariants that do not hold."""
        return tuple(name for name, holds in self.checks.items() if not holds)


def solvency(
    rules: Rules,
    head: PowFigures,
    dpos: DposFigures,
    *,
    buried: PowFigures | None,
    tip: PowFigures | None = None,
    where: Buried = Buried.BEST,
    void: bool = False,
) -> Solvency:
    """Set the two chains against each other.

    `buried` and `tip` are the figures after the block that the light client has buried and after its best
    block, None when this node has not got them on its best chain or does not keep them; `where` says which.
    A short reorganisation can lower the buried height below the counted one: then `buried` is the block at
    the counted height.
    """
    checks = _checks(rules, head, dpos, buried)
    return Solvency(
        verdict=_verdict(checks, head, dpos, where, void),
        reserve=head.reserve,
        native=dpos.native,
        queued=dpos.queued,
        unsettled=dpos.requested - head.settled,
        retired=dpos.retired,
        not_credited=_not_credited(head, dpos, buried, tip),
        uncreditable=head.donations,
        checks=checks,
    )


def _verdict(
    checks: Mapping[str, bool], head: PowFigures, dpos: DposFigures, where: Buried, void: bool
) -> Verdict:
    if void:
        return Verdict.VOID
    if where is Buried.UNKNOWN:
        return Verdict.POW_BEHIND
    if where is Buried.OTHER_BRANCH:
        return Verdict.FORKED
    if head.count > dpos.count:
        return Verdict.DPOS_BEHIND
    return Verdict.SOUND if all(checks.values()) else Verdict.HOLE


def _not_credited(
    head: PowFigures, dpos: DposFigures, buried: PowFigures | None, tip: PowFigures | None
) -> NotCredited:
    """Split what came in and was not credited. Without a view of the buried block all of it is unburied."""
    if buried is None:
        return NotCredited(unburied=_income(head) - dpos.rewards - dpos.deposits)
    seen = tip if tip is not None and buried.height <= tip.height <= head.height else head
    return NotCredited(
        unseen=_income(head) - _income(seen),
        unburied=_income(seen) - _income(buried),
        uncounted=buried.rewards - dpos.rewards,
        unproven=buried.deposits - dpos.deposits,
    )


def _income(figures: PowFigures) -> int:
    return figures.rewards + figures.deposits


def _checks(rules: Rules, head: PowFigures, dpos: DposFigures, buried: PowFigures | None) -> dict[str, bool]:
    """Judge every invariant that the figures let one judge."""
    came = head.genesis + head.rewards + head.deposits + head.donations
    found = {
        "reserve is what came in less what was settled": head.reserve == came - head.settled,
        "genesis balances are backed": head.genesis == dpos.genesis,
        "each PoW block paid the reward": head.rewards == rules.reward * head.height,
        "each counted height was credited once": dpos.rewards == rules.reward * dpos.counted_height,
        "nothing was taken off that was not there": dpos.native >= 0 and dpos.queued >= 0,
    }
    if buried is not None:
        found["credited rewards are buried"] = dpos.rewards <= buried.rewards
        found["credited deposits are buried"] = dpos.deposits <= buried.deposits
    if head.count <= dpos.count:
        found["settled amounts were requested"] = head.settled <= dpos.requested
        found["settled requests are those of the Bridge"] = dpos.accumulator == head.accumulator
    return found


# --- counted ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    """Both chains counted coin by coin and account by account, beside what the totals say."""

    unspent: int
    """All unspent outputs of the PoW chain."""
    reserve: int
    """Those of deposit and reserve programs."""
    balances: int
    """All balances of the DPoS chain, the Bridge's among them."""
    reserve_total: int
    credited: int
    """What genesis and blocks have ever added to balances."""

    @property
    def reserve_difference(self) -> int:
        """Reserve counted less the reserve's total: zero."""
        return self.reserve - self.reserve_total

    @property
    def balances_difference(self) -> int:
        """Balances less all that was ever added: zero, or less by what contracts destroyed for ever."""
        return self.balances - self.credited

    @property
    def is_sound(self) -> bool:
        """Whether the totals are what can be counted."""
        return self.reserve_difference == 0 and self.balances_difference <= 0


# --- supply ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Supply:
    """IOEX of both chains together, in wei: it all stands on the PoW chain, the reserve among it."""

    genesis: int
    mined: int
    """What the heights since then may have made at most."""
    unclaimed: int | None
    """What miners left of it; None when the node has not counted."""

    @property
    def total(self) -> int | None:
        """What exists."""
        return None if self.unclaimed is None else self.genesis + self.mined - self.unclaimed
