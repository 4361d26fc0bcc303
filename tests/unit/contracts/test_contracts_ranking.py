"""`rank`: the one rule that makes seats of the registry's facts, against a second reading of it."""

from dataclasses import replace

import pytest
from contract_world import World, address
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.dpos import registry
from ioex_chain.dpos.registry import Partner, RegistryReader, rank
from ioex_chain.dpos.sets import Member
from ioex_chain.evm.system import Registry
from ioex_chain.spec.load import load_network

GOOD = Partner(
    number=1,
    operator=address(1),
    key=address(2),
    payout=address(3),
    votes=5,
    admitted=True,
    standby=False,
    jailed=False,
    has_node=False,
    produced=0,
    missed=0,
    missed_in_row=0,
    release_time=0,
    name="one",
)


@st.composite
def partner_lists(draw):
    count = draw(st.integers(0, 10))
    rare = st.sampled_from([False, False, False, True])
    made = []
    for number in range(1, count + 1):
        changes = {
            "number": number,
            "votes": draw(st.integers(0, 3)),
            "key": bytes(20) if draw(rare) else address(100 + number),
            "payout": bytes(20) if draw(rare) else address(200 + number),
            "admitted": not draw(rare),
            "standby": draw(rare),
            "jailed": draw(rare),
            "has_node": draw(st.booleans()),
        }
        made.append(replace(GOOD, **changes))
    return made


@given(partner_lists(), st.integers(1, 6), st.booleans(), st.randoms())
def test_seats_one_by_one(partners, seats, nodes_required, random):
    left, expected = list(partners), []
    while left and len(expected) < seats:
        best = left[0]
        for other in left:
            if other.votes > best.votes:
                best = other
        left.remove(best)
        if best.key == bytes(20) or best.payout == bytes(20) or best.jailed or best.standby:
            continue
        if best.admitted and not (nodes_required and not best.has_node):
            expected.append(Member(best.key, best.payout))
    shuffled = list(partners)
    random.shuffle(shuffled)
    assert rank(shuffled, seats, nodes_required) == tuple(expected)


@pytest.mark.parametrize(
    "change",
    [{"admitted": False}, {"standby": True}, {"jailed": True}, {"key": bytes(20)}, {"payout": bytes(20)}],
)
def test_each_condition_alone_keeps_out(change):
    assert rank([GOOD], 51, False) == (Member(GOOD.key, GOOD.payout),)
    assert rank([replace(GOOD, **change)], 51, False) == ()


def test_what_is_read_is_what_the_contract_answers():
    world = World(members=7)
    reader = RegistryReader(world.spec, world.state)
    world.reg(address(50), "vote", 3, value=77)
    world.reg(world.owner, "remove", 4)
    for partner in reader.partners():
        asked = world.view("partners", partner.number)
        operator, key, payout, votes, status, _, release_time, name = asked
        assert [bytes.fromhex(text[2:]) for text in (operator, key, payout)] == [
            *(partner.operator, partner.key, partner.payout)
        ]
        assert (votes, release_time) == (partner.votes, partner.release_time)
        assert bool(status & Registry.ADMITTED) == partner.admitted == (partner.number != 4)
        assert name.rstrip(b"\0").decode() == partner.name
        assert world.view("isEligible", partner.number) == bool(rank([partner], 1, False))
    assert reader.partner_of(world.spec.dpos.members[2].key) == reader.partner(3)
    assert reader.partner_of(address(99)) is None


def test_ranking_of_a_view_is_that_of_its_rows():
    class Rows(dict):
        def scan(self, prefix):
            return iter(sorted(item for item in self.items() if item[0].startswith(prefix)))

    from chaingen.dpos_forge import DictView

    from ioex_chain.evm.genesis import write_genesis
    from ioex_chain.evm.state import FlatState

    spec = load_network("devnet", arbitrators=51)
    rows = Rows()
    state = FlatState(DictView(rows))
    write_genesis(spec, state, bytes(32))
    state.flush()
    assert [member.key for member in registry.ranking(spec, rows)] == [
        member.key for member in spec.dpos.members
    ]
    assert registry.version(spec, rows) == 3
