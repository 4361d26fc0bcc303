"""The rules of docs/protocol.md section 5.7 once more, as plain lists: what the contracts are held against.

Nothing is kept incrementally here: points, totals and shares are added up anew from the whole history.
"""

from collections import Counter
from dataclasses import dataclass, field

from contribution_world import GIB

from ioex_chain.evm.contribution import NodeKind, Parameters
from ioex_chain.evm.contribution_receipts import Receipt

Slot = tuple[int, int, int, int, int]


@dataclass
class ModelNode:
    owner: bytes
    kind: int
    epoch: int
    """In which it was registered."""
    active: bool = True


@dataclass
class Model:
    """Nodes, receipts, reports and payments of a history in which the reporters never change."""

    given: Parameters
    reporters: tuple[bytes, ...]
    nodes: dict[int, ModelNode] = field(default_factory=dict)
    counted: dict[Slot, int] = field(default_factory=dict)
    """What was ever accepted, struck or not: the amount."""
    struck: set[Slot] = field(default_factory=set)
    reports: dict[tuple[int, int], dict[bytes, int]] = field(default_factory=dict)
    objections: dict[tuple[int, int], set[bytes]] = field(default_factory=dict)
    struck_days: set[tuple[int, int]] = field(default_factory=set)
    minted: dict[tuple[int, int], int] = field(default_factory=dict)
    budgets: dict[int, tuple[int, int]] = field(default_factory=dict)
    paid: dict[tuple[int, int], int] = field(default_factory=dict)
    retired: int = 0

    # --- when

    def takes_receipts(self, epoch: int, now: int) -> bool:
        return epoch <= now <= epoch + self.given.report_epochs

    def is_final(self, epoch: int, now: int) -> bool:
        return now > epoch + self.given.report_epochs + self.given.challenge_epochs

    # --- what counts

    def takes(self, receipt: Receipt, now: int) -> bool:
        node, other = self.nodes.get(receipt.node), self.nodes.get(receipt.counterparty)
        return (
            self.takes_receipts(receipt.epoch, now)
            and slot(receipt) not in self.counted
            and node is not None
            and other is not None
            and node.active
            and other.active
            and max(node.epoch, other.epoch) <= receipt.epoch
            and node.owner != other.owner
            and (receipt.epoch, receipt.node) not in self.struck_days
            and self.used(receipt, True) + receipt.amount <= self.given.workload[4]
            and self.used(receipt, False) + receipt.amount <= self.given.workload[5]
        )

    def used(self, receipt: Receipt, pair: bool) -> int:
        """Give the bytes of its kind that the counterparty signed: for the node, or for all."""
        return sum(
            amount
            for (node, other, epoch, kind, _), amount in self.counted.items()
            if (other, epoch, kind) == (receipt.counterparty, receipt.epoch, receipt.kind)
            and (node == receipt.node or not pair)
        )

    def takes_report(self, reporter: bytes, epoch: int, node: int, now: int) -> bool:
        found = self.nodes.get(node)
        return (
            epoch < now
            and self.takes_receipts(epoch, now)
            and found is not None
            and found.active
            and found.epoch <= epoch
            and found.owner != reporter
            and reporter not in self.reports.get((epoch, node), {})
            and (epoch, node) not in self.struck_days
        )

    def voices(self, node: int) -> int:
        """Give how many reporters make a majority for a node."""
        others = [reporter for reporter in self.reporters if reporter != self.nodes[node].owner]
        return len(others) // 2 + 1

    def hours(self, epoch: int, node: int) -> int:
        seen = self.reports.get((epoch, node), {})
        votes = Counter(hour for bits in seen.values() for hour in range(24) if bits >> hour & 1)
        return sum(count >= self.voices(node) for count in votes.values())

    def points(self, epoch: int, node: int) -> int:
        if (epoch, node) in self.struck_days:
            return 0
        weights = self.given.workload[:4]
        work = [0, 0, 0]
        for place, amount in self.counted.items():
            if place[0] == node and place[2] == epoch and place not in self.struck:
                work[place[3] - 1] += amount
        bytes_ = sum(amount * weight // GIB for amount, weight in zip(work, weights[1:], strict=True))
        hours = self.hours(epoch, node)
        return hours * weights[0] + bytes_ * hours // 24

    def qualifies(self, epoch: int, node: int) -> bool:
        return (
            self.nodes[node].kind == NodeKind.BOOTSTRAP
            and (epoch, node) not in self.struck_days
            and self.hours(epoch, node) >= self.given.workload[7]
        )

    def totals(self, epoch: int) -> tuple[int, int]:
        points = sum(self.points(epoch, node) for node in self.nodes)
        return points, sum(self.qualifies(epoch, node) for node in self.nodes)

    def strike_day_if_objected(self, epoch: int, node: int) -> None:
        if len(self.objections[epoch, node]) >= self.voices(node):
            self.struck_days.add((epoch, node))

    # --- money

    def open(self, epoch: int, available: int) -> bool:
        """Set a budget aside as the contract does; False where there is nothing to share."""
        if epoch in self.budgets:
            return True
        points, boots = self.totals(epoch)
        budget = min(self.given.rewards[0], available)
        quota = min(self.given.rewards[1], budget // boots) if boots else 0
        pool = min(budget - quota * boots, points * self.given.rewards[4])
        if quota * boots + pool == 0:
            return False
        self.budgets[epoch] = quota, pool
        return True

    def share(self, epoch: int, node: int) -> int:
        quota, pool = self.budgets[epoch]
        points = self.totals(epoch)[0]
        share = pool * self.points(epoch, node) // points if points else 0
        return share + (quota if self.qualifies(epoch, node) else 0)

    def reserved(self) -> int:
        aside = sum(quota * self.totals(epoch)[1] + pool for epoch, (quota, pool) in self.budgets.items())
        return aside - sum(self.paid.values())


def slot(receipt: Receipt) -> Slot:
    """Give what a receipt is counted under."""
    return receipt.node, receipt.counterparty, receipt.epoch, receipt.kind, receipt.nonce
