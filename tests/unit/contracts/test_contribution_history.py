"""Random histories of the contribution contracts against the model: accepted or refused alike, equal sums.

After every step: points are the sum of accepted work, GAS is what was minted of it, and what the node rewards
plan paid, retired and has left is 70,000,000 IOEX to the wei.
"""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from contract_world import Reverted, address
from contribution_model import Model, ModelNode, slot
from contribution_world import GIB, Contribution, fields

from ioex_chain.evm.contribution import YEAR_HEADERS, YEAR_RETIREMENT, NodeKind
from ioex_chain.evm.contribution_receipts import Denial, Receipt
from ioex_chain.evm.system import artefact
from ioex_chain.evm.types import WEI

PLAN = 70_000_000 * WEI
OWNERS = [address(number) for number in range(1, 4)]
ANYBODY = address(9)
HOURS = (0, 1, 0xFFF, 0xFFF000, 0xFFFFFF, 0xFFFFFF, 0xFFFFF0)
AMOUNTS = (1, GIB // 3, GIB, 7 * GIB, 16 * GIB)
STEPS = {
    "hand_in": 30,
    "report": 16,
    "wait": 9,
    "strike": 8,
    "claim": 12,
    "settle": 4,
    "object": 4,
    "suspend_or_resume": 5,
    "strike_node": 3,
    "retire": 2,
    "move_points": 1,
    "register": 1,
}
"""What happens how often."""


class History:
    """Six nodes of three owners, four bootstrap nodes of set 0; a few epochs at a time."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.done: Counter[tuple[str, bool]] = Counter()
        self.world = Contribution()
        self.left = self.random.choice((PLAN, 500 * WEI, 90 * WEI))
        self.world.state.set_balance(self.world.where("NodeRewards"), self.left)
        rewards = (self.random.choice((10_000, 60, 25)) * WEI, *self.world.given.rewards[1:])
        self.set_slot("NodeRewards", artefact("NodeRewards").slots["parameters"], rewards[0])
        self.model = Model(replace(self.world.given, rewards=rewards), self.world.reporters)
        for number, reporter in enumerate(self.world.reporters, 1):
            self.model.nodes[number] = ModelNode(reporter, NodeKind.BOOTSTRAP, 0)
        for _ in range(6):
            self.register()
        self.world.go_to(self.world.epoch + 1)
        self.first = self.world.epoch

    def step(self) -> None:
        (name,) = self.random.choices(list(STEPS), STEPS.values())
        getattr(self, name)()
        self.check()

    def set_slot(self, contract: str, slot_: int, value: int) -> None:
        self.world.state.set_storage(self.world.where(contract), slot_, value)
        self.world.state.lock_changes()

    def attempt(self, expected: bool, sender: bytes, contract: str, function: str, *args: object) -> bool:
        """Call; the contract must accept exactly what the model expects. Give whether it did."""
        self.done[function, expected] += 1
        if not expected:
            with pytest.raises(Reverted):
                self.world.call(sender, contract, function, *args)
        else:
            self.world.call(sender, contract, function, *args)
        return expected

    @property
    def now(self) -> int:
        return self.world.epoch

    def past(self) -> int:
        """Give an epoch that may be final."""
        return self.now - self.random.choice((3, 4, 4, 5, 5, 6))

    # --- what happens

    def register(self) -> None:
        if len(self.model.nodes) < 14:
            owner = OWNERS[len(self.model.nodes) % 3]
            number = self.world.add(owner, f"device {len(self.model.nodes)}")
            self.model.nodes[number] = ModelNode(owner, NodeKind.PEER, self.now)

    def wait(self) -> None:
        self.world.time += self.random.choice((1, 20, 48, 48))

    def hand_in(self) -> None:
        pick = self.random
        node, other = pick.randint(1, len(self.model.nodes) + 1), pick.randint(5, len(self.model.nodes) + 1)
        epoch, nonce = self.now - pick.choice((-1, 0, 0, 0, 0, 1, 1, 2)), pick.randint(0, 9)
        receipt = Receipt(node, other, epoch, pick.randint(1, 3), pick.choice(AMOUNTS), nonce)
        signed = self.world.signature(receipt, by=self.world.devices.get(other, "nobody"))
        arguments = pick.choice(
            (("submitReceipt", fields(receipt), signed), ("submitReceipts", [fields(receipt)], [signed]))
        )
        if self.attempt(self.model.takes(receipt, self.now), ANYBODY, "Workload", *arguments):
            self.model.counted[slot(receipt)] = receipt.amount

    def report(self) -> None:
        """A reporter reports some nodes, one by one."""
        account = self.random.choice(self.world.reporters)
        epoch = self.now - self.random.choice((0, 1, 1, 1, 1, 1, 2))
        for node in self.random.sample(range(1, len(self.model.nodes) + 2), 6):
            seen = self.random.choice(HOURS)
            expected = self.model.takes_report(account, epoch, node, self.now)
            if self.attempt(expected, account, "Workload", "reportUptime", epoch, [node], [seen]):
                self.model.reports.setdefault((epoch, node), {})[account] = seen

    def strike(self) -> None:
        if not self.model.counted:
            return
        places = list(self.model.counted)[-25:]
        away = [place for place in places if not self.model.nodes[place[1]].active]
        place = self.random.choice(away or places)
        node, other, epoch, kind, nonce = place
        receipt = Receipt(node, other, epoch, kind, self.model.counted[place], nonce)
        expected = place not in self.model.struck and not self.model.is_final(epoch, self.now)
        how = self.random.choice(("suspended",) if away else ("deny", "conflict", "same", "suspended"))
        if how == "deny":
            by = Denial(node, other, epoch, kind, nonce)
            call = "strikeDenied", fields(receipt), self.world.signature(by)
        elif how == "suspended":
            expected = expected and not self.model.nodes[other].active
            call = "strikeSuspended", fields(receipt)
        else:
            shown = replace(receipt, amount=receipt.amount + (how == "conflict"))
            expected = expected and how == "conflict"
            call = "strikeConflict", fields(shown), self.world.signature(shown)
        if self.attempt(expected, ANYBODY, "Workload", *call):
            self.model.struck.add(place)

    def suspend_or_resume(self) -> None:
        away = [number for number, node in self.model.nodes.items() if not node.active]
        node = away[0] if away and self.random.random() < 0.7 else self.random.randint(5, 10)
        found = self.model.nodes[node]
        function = "suspend" if found.active else "resume"
        self.world.call(self.world.owner, "NodeRegistry", function, node)
        found.active = not found.active

    def strike_node(self) -> None:
        away = [number for number, node in self.model.nodes.items() if not node.active]
        node = self.random.choice(away) if away and self.random.random() < 0.7 else self.random.randint(5, 12)
        epoch, found = self.now - self.random.randint(-1, 4), self.model.nodes.get(node)
        expected = (
            found is not None
            and not found.active
            and epoch <= self.now
            and not self.model.is_final(epoch, self.now)
            and (epoch, node) not in self.model.struck_days
        )
        if self.attempt(expected, ANYBODY, "Workload", "strikeNode", epoch, node):
            self.model.struck_days.add((epoch, node))

    def object(self) -> None:
        """Three reporters object to one node's epoch: a majority, or one short of it."""
        epoch, node = self.now - self.random.randint(0, 4), self.random.randint(1, 8)
        for account in self.random.sample(self.world.reporters, 3):
            made = self.model.objections.setdefault((epoch, node), set())
            expected = (
                not self.model.is_final(epoch, self.now)
                and self.model.nodes[node].owner != account
                and account not in made
                and not ((epoch, node) in self.model.struck_days and len(made) + 1 >= self.model.voices(node))
            )
            if self.attempt(expected, account, "Workload", "object", epoch, node):
                made.add(account)
                self.model.strike_day_if_objected(epoch, node)

    # --- points and money

    def settle(self) -> None:
        epoch = self.past()
        due = {
            (epoch, node): self.model.points(epoch, node)
            for node in self.model.nodes
            if (epoch, node) not in self.model.minted and self.model.points(epoch, node)
        }
        expected = bool(due) and self.model.is_final(epoch, self.now)
        if self.attempt(expected, ANYBODY, "Workload", "settle", epoch, list(self.model.nodes)):
            self.model.minted |= due

    def claim(self) -> None:
        """An owner claims what the model says that his nodes earned; who earned nothing, in vain."""
        epoch, account = self.past(), self.random.choice((*OWNERS, *self.world.reporters))
        due = self.due(epoch)
        if due and self.random.random() < 0.8:
            account = self.model.nodes[self.random.choice(list(due))].owner
        mine = [number for number, node in self.model.nodes.items() if node.owner == account]
        wanted = [node for node in mine if node in due]
        before = self.world.balance(account)
        if self.attempt(bool(wanted), account, "NodeRewards", "claim", epoch, wanted or mine):
            assert self.world.balance(account) - before == sum(due[node] for node in wanted)
            self.model.paid |= {(epoch, node): due[node] for node in wanted}

    def due(self, epoch: int) -> dict[int, int]:
        """Give what each node can claim of an epoch, which is opened by it."""
        available = self.world.balance(self.world.where("NodeRewards")) - self.model.reserved()
        if not self.model.is_final(epoch, self.now) or not self.model.open(epoch, available):
            return {}
        if not self.world.ask("NodeRewards", "budgetOf", epoch)[0]:
            self.world.call(ANYBODY, "NodeRewards", "open", epoch)
        shares = {node: self.model.share(epoch, node) for node in self.model.nodes}
        return {
            node: share for node, share in shares.items() if share and (epoch, node) not in self.model.paid
        }

    def retire(self) -> None:
        counted = artefact("Bridge").slots["counted"]
        height = self.world.state.get_storage(self.world.where("Bridge"), counted)
        height += self.random.choice((0, YEAR_HEADERS // 2))
        self.set_slot("Bridge", counted, height)
        due = height // YEAR_HEADERS * YEAR_RETIREMENT - self.model.retired
        available = self.world.balance(self.world.where("NodeRewards")) - self.model.reserved()
        amount = min(due, available) // 10**10 * 10**10
        if self.attempt(amount > 0, ANYBODY, "NodeRewards", "retire"):
            self.model.retired += amount

    def move_points(self) -> None:
        """Whoever has points tries to give them away; the sums after it say that nothing moved."""
        owner = self.random.choice(OWNERS)
        for function, arguments in (
            ("transfer", (ANYBODY, 1)),
            ("approve", (ANYBODY, 1)),
            ("transferFrom", (owner, ANYBODY, 1)),
        ):
            self.attempt(False, owner, "GasPoints", function, *arguments)
        assert self.world.ask("GasPoints", "balanceOf", ANYBODY) == 0

    # --- what always holds

    def check(self) -> None:
        self.check_points()
        self.check_gas()
        self.check_plan()

    def check_points(self) -> None:
        """Points are the sum of accepted work."""
        for epoch in range(self.now - 5, self.now + 1):
            _, *totals = self.world.ask("Workload", "totalsOf", epoch)
            assert tuple(totals) == self.model.totals(epoch)
        node, epoch = self.random.choice(list(self.model.nodes)), self.now - self.random.randint(0, 3)
        found = self.world.ask("Workload", "outcome", epoch, node)
        assert found == (self.model.points(epoch, node), self.model.qualifies(epoch, node))

    def check_gas(self) -> None:
        """GAS is what was minted of them, and stays where it was minted."""
        assert self.world.ask("GasPoints", "totalSupply") == sum(self.model.minted.values())
        owner = self.random.choice(OWNERS)
        mine = [
            points for (_, node), points in self.model.minted.items() if self.model.nodes[node].owner == owner
        ]
        assert self.world.ask("GasPoints", "balanceOf", owner) == sum(mine)

    def check_plan(self) -> None:
        """Paid, retired and left are the whole plan; what is set aside is there."""
        names = ("paidTotal", "retiredTotal", "divertedTotal", "reserved")
        paid, retired, diverted, reserved = (self.world.ask("NodeRewards", name) for name in names)
        balance = self.world.balance(self.world.where("NodeRewards"))
        assert paid + retired + diverted + balance == self.left
        assert (paid, retired) == (sum(self.model.paid.values()), self.model.retired)
        assert reserved == self.model.reserved() <= balance


def run(seed: int, steps: int) -> Counter[tuple[str, bool]]:
    history = History(seed)
    for _ in range(steps):
        history.step()
    return history.done


def test_random_histories() -> None:
    done = run(1, 250) + run(2, 250) + run(3, 250)
    calls = (
        "submitReceipt",
        "submitReceipts",
        "reportUptime",
        "strikeDenied",
        "strikeConflict",
        "strikeSuspended",
        "strikeNode",
    )
    for call in (*calls, "object", "settle", "claim", "retire"):
        assert done[call, True], f"no {call} succeeded: the histories show nothing of it"
        assert done[call, False], f"no {call} was refused"


@pytest.mark.soak
def test_many_random_histories() -> None:
    for seed in range(10, 60):
        run(seed, 500)
