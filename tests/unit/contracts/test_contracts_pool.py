"""RewardPool: what accrues, what is paid when, and that it never pays what it did not get."""

import pytest
from contract_world import WEI, Reverted, World, address, key_address, reentering
from eth_abi import encode

from ioex_chain.evm import system
from ioex_chain.evm.types import SYSTEM_ADDRESS

REWARD = 5 * WEI
ANYBODY = address(50)


@pytest.fixture
def world():
    return World()


def member(world, index):
    return world.spec.dpos.members[index]


def produce(world, index, term, blocks=1):
    for _ in range(blocks):
        world.system(world.pool, system.accrue(member(world, index).key, term, REWARD))


def claim(world, index, *terms):
    return world.rewards(ANYBODY, "claim", member(world, index).key, terms)


def due(world, index, term):
    return world.rewards(ANYBODY, "claimable", member(world, index).key, term)


def test_only_the_protocol_accrues_and_only_the_registry_forfeits(world):
    for sender in (ANYBODY, world.owner, world.registry, world.pool):
        with pytest.raises(Reverted, match="only the protocol"):
            world.rewards(sender, "accrue", ANYBODY, 0, 1)
    for sender in (ANYBODY, world.owner, SYSTEM_ADDRESS, world.pool):
        with pytest.raises(Reverted, match="only the registry"):
            world.rewards(sender, "forfeit", member(world, 0).key)


def test_a_reward_is_claimed_after_its_term(world):
    world.credit(world.pool, 100 * WEI)
    produce(world, 0, 0, blocks=2)
    produce(world, 1, 0)
    assert due(world, 0, 0) == 0
    with pytest.raises(Reverted, match="nothing is due"):
        claim(world, 0, 0)
    produce(world, 1, 1)
    had = world.balance(member(world, 0).payout)
    assert due(world, 0, 0) == 2 * REWARD
    assert claim(world, 0, 0) == 2 * REWARD
    assert world.event_names("RewardPool") == ["Claimed"]
    assert world.balance(member(world, 0).payout) == had + 2 * REWARD
    assert world.rewards(ANYBODY, "rewards", member(world, 0).key, 0) == (2 * REWARD, 2 * REWARD)
    with pytest.raises(Reverted, match="nothing is due"):
        claim(world, 0, 0)
    assert claim(world, 1, 0, 0, 1) == REWARD  # a term twice, and one that is still open


def test_rewards_go_to_the_payout_of_today(world):
    world.credit(world.pool, 100 * WEI)
    produce(world, 0, 0)
    produce(world, 0, 1)
    world.reg(member(world, 0).operator, "setPayout", address(60))
    claim(world, 0, 0)
    assert world.balance(address(60)) == REWARD


def test_a_former_key_is_still_paid(world):
    world.credit(world.pool, 100 * WEI)
    produce(world, 0, 0)
    produce(world, 0, 1)
    operator = member(world, 0).operator
    world.reg(operator, "setKey", key_address("next"), *world.proof(operator, "next"))
    assert claim(world, 0, 0) == REWARD


def test_nobodys_key_is_not_paid(world):
    world.credit(world.pool, 100 * WEI)
    with pytest.raises(Reverted, match="unknown key"):
        world.rewards(ANYBODY, "claim", address(70), [0])


def test_the_oldest_debt_is_paid_first_and_equally(world):
    produce(world, 0, 0, blocks=3)
    produce(world, 1, 0)
    produce(world, 2, 1, blocks=2)
    produce(world, 0, 5)
    assert world.rewards(ANYBODY, "debt") == 7 * REWARD
    world.credit(world.pool, 2 * REWARD)  # half of term 0
    assert (due(world, 0, 0), due(world, 1, 0), due(world, 2, 1)) == (3 * REWARD // 2, REWARD // 2, 0)
    assert claim(world, 0, 0) == 3 * REWARD // 2
    assert due(world, 0, 0) == 0
    world.credit(world.pool, 3 * REWARD)  # the rest of term 0, half of term 1
    assert (due(world, 0, 0), due(world, 1, 0), due(world, 2, 1)) == (3 * REWARD // 2, REWARD, REWARD)
    assert claim(world, 2, 1) == REWARD
    assert claim(world, 0, 0) == 3 * REWARD // 2
    assert claim(world, 1, 0) == REWARD
    assert world.balance(world.pool) == 0
    assert world.rewards(ANYBODY, "debt") == 2 * REWARD == world.rewards(ANYBODY, "unclaimed")
    with pytest.raises(Reverted, match="nothing is due"):
        claim(world, 2, 1)


def test_income_is_also_what_is_sent(world):
    world.raw(ANYBODY, world.pool, b"", 3 * WEI)
    world.credit(world.pool, 4 * WEI)
    assert world.rewards(ANYBODY, "incomeTotal") == 7 * WEI


def test_evidence_stops_and_forfeits(world):
    world.credit(world.pool, 100 * WEI)
    produce(world, 0, 3, blocks=4)  # long paid or not: older than the last closed term
    produce(world, 0, 7, blocks=2)
    produce(world, 1, 7)
    produce(world, 0, 8)
    produce(world, 1, 8)
    world.system(world.registry, system.on_evidence(member(world, 0).key, 0, 1))
    assert world.event_names("RewardPool") == ["Barred", "Forfeited", "Forfeited"]
    assert world.rewards(ANYBODY, "forfeitedTotal") == 3 * REWARD
    produce(world, 0, 8)  # its seat goes on until the next set, without pay
    produce(world, 1, 9)
    for term in (7, 8):
        assert world.rewards(ANYBODY, "rewards", member(world, 0).key, term) == (0, 0)
        assert due(world, 0, term) == 0
        assert due(world, 1, term) == REWARD
    assert due(world, 0, 3) == 4 * REWARD
    assert world.rewards(ANYBODY, "accruedTotal") == 10 * REWARD


def test_what_is_forfeited_moves_the_others_up(world):
    produce(world, 0, 0, blocks=2)
    produce(world, 1, 0)
    produce(world, 2, 1)
    world.credit(world.pool, 2 * REWARD)
    assert (due(world, 1, 0), due(world, 2, 1)) == (2 * REWARD // 3, 0)
    world.system(world.registry, system.on_evidence(member(world, 0).key, 0, 1))
    assert due(world, 1, 0) == REWARD
    produce(world, 3, 2)
    assert due(world, 2, 1) == REWARD
    assert claim(world, 2, 1) == REWARD
    assert claim(world, 1, 0) == REWARD
    assert world.balance(world.pool) == 0


def test_a_claim_before_the_evidence_keeps_what_was_paid(world):
    produce(world, 0, 0, blocks=2)
    produce(world, 1, 0, blocks=2)
    produce(world, 2, 1)
    world.credit(world.pool, 2 * REWARD)  # half of term 0
    assert claim(world, 0, 0) == REWARD
    world.system(world.registry, system.on_evidence(member(world, 0).key, 0, 1))
    assert world.rewards(ANYBODY, "forfeitedTotal") == REWARD
    assert due(world, 1, 0) == REWARD
    world.credit(world.pool, REWARD)
    assert due(world, 1, 0) == 2 * REWARD
    assert claim(world, 1, 0) == 2 * REWARD
    produce(world, 2, 2)
    assert due(world, 2, 1) == 0
    world.credit(world.pool, REWARD)
    assert claim(world, 2, 1) == REWARD
    assert world.rewards(ANYBODY, "accruedTotal") == 6 * REWARD


def test_terms_do_not_go_back(world):
    produce(world, 0, 5)
    with pytest.raises(Reverted, match="term"):
        produce(world, 0, 4)
    with pytest.raises(Reverted, match="term"):
        world.system(world.pool, system.accrue(member(world, 0).key, 2**64, 1))


def test_amounts_have_a_bound(world):
    key = member(world, 0).key
    for amount in (2**96, 2**256 - 1):
        with pytest.raises(Reverted):
            world.system(world.pool, system.accrue(key, 0, amount))
    world.system(world.pool, system.accrue(key, 0, 2**96 - 1))
    with pytest.raises(Reverted, match="amount"):
        world.system(world.pool, system.accrue(key, 0, 1))
    world.system(world.pool, system.accrue(key, 1, 0))
    world.system(world.pool, system.accrue(key, 1, 1))
    with pytest.raises(Reverted, match="amount"):
        world.system(world.pool, system.accrue(key, 2, 1))


def test_a_claim_cannot_be_entered_again(world):
    operator, attacker = address(1), address(66)
    world.admit(operator, "evil", payout=attacker)
    world.credit(world.pool, 100 * WEI)
    key = key_address("evil")
    for term in (0, 1, 2):
        world.system(world.pool, system.accrue(key, term, REWARD))
    again = system.selector("claim(address,uint256[])") + encode(["address", "uint256[]"], [key, [1]])
    world.put_code(attacker, reentering(world.pool, again))
    world.rewards(ANYBODY, "claim", key, [0])
    assert world.state.get_storage(attacker, 0) == 1
    assert world.balance(attacker) == REWARD
    assert world.rewards(ANYBODY, "claimable", key, 1) == REWARD


def test_a_payout_that_refuses_money_hurts_only_itself(world):
    operator, refuser = address(1), address(66)
    world.admit(operator, "proud", payout=refuser)
    world.put_code(refuser, bytes.fromhex("5f5ffd"))
    world.credit(world.pool, 100 * WEI)
    for term in (0, 1):
        world.system(world.pool, system.accrue(key_address("proud"), term, REWARD))
        produce(world, 0, term)
    with pytest.raises(Reverted):
        world.rewards(ANYBODY, "claim", key_address("proud"), [0])
    assert claim(world, 0, 0) == REWARD
    world.reg(operator, "setPayout", operator)
    assert world.rewards(ANYBODY, "claim", key_address("proud"), [0]) == REWARD


def test_the_system_calls_of_a_block_are_cheap(world):
    key = member(world, 0).key
    produce(world, 0, 0, blocks=2)
    assert world.gas_used < 15_000
    world.system(world.registry, system.on_block(key))
    world.system(world.registry, system.on_block(key))
    assert world.gas_used < 10_000
    absent = [member(world, at % 3 + 1).key for at in range(51)]
    world.system(world.registry, system.on_block(key, absent))
    assert world.gas_used < 150_000
