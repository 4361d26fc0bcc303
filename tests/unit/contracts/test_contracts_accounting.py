"""Accounting of RewardPool and of votes, as histories of random steps against the plainest model."""

from collections import defaultdict
from fractions import Fraction

import pytest
from contract_world import Reverted, World, address
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ioex_chain.dpos.registry import RegistryReader
from ioex_chain.evm import system

ANYBODY = address(50)
VOTERS = [address(n) for n in (51, 52, 53)]
KEYS = st.integers(0, 3)
TERMS = st.integers(0, 12)


class Pool(RuleBasedStateMachine):
    """Blocks, income, claims and evidence in any order.

    The model keeps every reward that is still in the line as (term, key) -> amount, and pays term after
    term out of all income less what left the line.
    """

    def __init__(self):
        super().__init__()
        self.world = World()
        self.keys = [member.key for member in self.world.spec.dpos.members]
        self.term = 0
        self.previous = 0
        self.line = defaultdict(int)  # (term, key): earned and not forfeited
        self.paid = defaultdict(int)  # (term, key): of these
        self.accrued = self.claimed = self.forfeited = self.income = self.left = 0
        self.barred = set()

    def pool(self, function, *args):
        return self.world.rewards(ANYBODY, function, *args)

    def due(self, key, term):
        """What the model owes a key for a closed term now."""
        if term >= self.term or not self.line[term, key]:
            return 0
        money = self.income - self.left
        older = sum(amount for (at, _), amount in self.line.items() if at < term)
        whole = sum(amount for (at, _), amount in self.line.items() if at == term)
        share = min(Fraction(1), max(Fraction(0), Fraction(money - older, whole)))
        return max(0, int(share * self.line[term, key]) - self.paid[term, key])

    @rule(key=KEYS, amount=st.integers(0, 1_000), skip=st.sampled_from([0, 0, 0, 1, 3]))
    def produce(self, key, amount, skip):
        if skip:
            self.previous, self.term = self.term, self.term + skip
        self.world.system(self.world.pool, system.accrue(self.keys[key], self.term, amount))
        if key not in self.barred:
            self.line[self.term, key] += amount
            self.accrued += amount

    @rule(amount=st.integers(1, 3_000))
    def earn(self, amount):
        self.world.credit(self.world.pool, amount)
        self.income += amount

    @rule(key=KEYS, terms=st.lists(TERMS, max_size=6))
    def claim(self, key, terms):
        expected = {term: self.due(key, term) for term in terms}
        payout = self.world.spec.dpos.members[key].payout
        before = self.world.balance(payout)
        if not any(expected.values()):
            with pytest.raises(Reverted, match="nothing is due"):
                self.pool("claim", self.keys[key], terms)
            return
        assert self.pool("claim", self.keys[key], terms) == sum(expected.values())
        assert self.world.balance(payout) == before + sum(expected.values())
        for term, amount in expected.items():
            self.paid[term, key] += amount
            self.claimed += amount

    @rule(key=KEYS)
    def punish(self, key):
        evidence = system.on_evidence(self.keys[key], 0, 1)
        if key in self.barred:
            with pytest.raises(Reverted, match="known evidence"):
                self.world.system(self.world.registry, evidence)
            return
        self.world.system(self.world.registry, evidence)
        self.barred.add(key)
        for term in {self.term, self.previous}:
            earned, paid = self.line[term, key], self.paid[term, key]
            if earned != paid:
                self.forfeited += earned - paid
                self.left += paid
                self.line[term, key] = self.paid[term, key] = 0

    @invariant()
    def the_sums_agree(self):
        assert self.pool("accruedTotal") == self.accrued
        assert self.pool("claimedTotal") == self.claimed
        assert self.pool("forfeitedTotal") == self.forfeited
        assert self.pool("unclaimed") == self.accrued - self.claimed - self.forfeited
        assert self.pool("incomeTotal") == self.income
        assert self.world.balance(self.world.pool) == self.income - self.claimed >= 0
        assert self.pool("debt") == max(0, self.accrued - self.forfeited - self.income)

    @invariant()
    def all_that_is_due_can_be_paid(self):
        due = {(term, key): self.due(key, term) for term in range(self.term) for key in range(4)}
        assert sum(due.values()) <= self.world.balance(self.world.pool)
        term = min((term for (term, _), amount in due.items() if amount), default=0)
        for key in range(4):
            assert self.pool("claimable", self.keys[key], term) == due.get((term, key), 0)


class Votes(RuleBasedStateMachine):
    """Voting, moving, unlocking and withdrawing in any order."""

    def __init__(self):
        super().__init__()
        self.world = World()
        self.votes = defaultdict(int)
        self.waiting = {voter: [] for voter in VOTERS}

    @rule(voter=st.sampled_from(VOTERS), partner=st.integers(1, 4), amount=st.integers(0, 9))
    def vote(self, voter, partner, amount):
        if not amount:
            with pytest.raises(Reverted):
                self.world.reg(voter, "vote", partner)
            return
        self.world.reg(voter, "vote", partner, value=amount)
        self.votes[voter, partner] += amount

    @rule(
        voter=st.sampled_from(VOTERS),
        one=st.integers(1, 4),
        other=st.integers(1, 4),
        amount=st.integers(1, 9),
    )
    def move(self, voter, one, other, amount):
        if amount > self.votes[voter, one]:
            with pytest.raises(Reverted, match="more than was voted"):
                self.world.reg(voter, "move", one, other, amount)
            return
        self.world.reg(voter, "move", one, other, amount)
        self.votes[voter, one] -= amount
        self.votes[voter, other] += amount

    @rule(voter=st.sampled_from(VOTERS), partner=st.integers(1, 4), amount=st.integers(1, 9))
    def unvote(self, voter, partner, amount):
        if amount > self.votes[voter, partner]:
            with pytest.raises(Reverted, match="more than was voted"):
                self.world.reg(voter, "unvote", partner, amount)
            return
        self.world.reg(voter, "unvote", partner, amount)
        self.votes[voter, partner] -= amount
        self.waiting[voter].append((amount, self.world.time + self.world.spec.dpos.unlock_period))

    @rule(seconds=st.integers(1, 90))
    def wait(self, seconds):
        self.world.time += seconds

    @rule(voter=st.sampled_from(VOTERS))
    def withdraw(self, voter):
        free = sum(amount for amount, time in self.waiting[voter] if time <= self.world.time)
        if not free:
            with pytest.raises(Reverted, match="nothing has unlocked"):
                self.world.reg(voter, "withdraw")
            return
        assert self.world.reg(voter, "withdraw") == free
        self.waiting[voter] = [item for item in self.waiting[voter] if item[1] > self.world.time]

    @invariant()
    def the_sums_agree(self):
        world = self.world
        total, unlocking = sum(self.votes.values()), sum(a for part in self.waiting.values() for a, _ in part)
        assert world.view("totalVotes") == total
        assert world.view("totalUnlocking") == unlocking
        assert world.balance(world.registry) == total + unlocking
        for partner in RegistryReader(world.spec, world.state).partners():
            assert partner.votes == sum(self.votes[voter, partner.number] for voter in VOTERS)


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestVotes = Votes.TestCase
TestVotes.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
