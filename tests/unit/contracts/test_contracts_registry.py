"""ArbitratorRegistry: who may do what, what ranks, and what hostile callers get."""

import pytest
from contract_world import START, WEI, Reverted, World, address, key_address, reentering

from ioex_chain.dpos.registry import RegistryReader
from ioex_chain.evm import system
from ioex_chain.evm.system import Registry
from ioex_chain.evm.types import SYSTEM_ADDRESS

OPERATOR, VOTER, THIEF = address(1), address(2), address(3)
NAME = b"new partner".ljust(32, b"\0")


@pytest.fixture
def world():
    return World()


def reader(world):
    return RegistryReader(world.spec, world.state)


def keys(world):
    return [member.key for member in reader(world).ranking()]


# --- genesis and joining ---------------------------------------------------------------------------------


def test_genesis_admits_set_0_in_its_order(world):
    members = world.spec.dpos.members
    assert keys(world) == [member.key for member in members]
    assert world.view("partnerCount") == 4
    for number, member in enumerate(members, 1):
        found = reader(world).partner(number)
        assert (found.key, found.payout, found.operator) == (member.key, member.payout, member.operator)
        assert (found.name, found.admitted, found.votes) == (member.name, True, 0)
        assert world.view("partnerOf", member.key) == number
        assert world.view("isEligible", number)
    assert world.view("owner") == "0x" + world.owner.hex()
    assert world.view("unlockPeriod") == world.spec.dpos.unlock_period


def test_joining_takes_admission_then_registration(world):
    before = reader(world).version()
    number = world.reg(world.owner, "admit", OPERATOR, NAME)
    assert number == 5
    assert reader(world).version() > before
    assert world.event_names() == ["Admitted"]
    assert len(keys(world)) == 4  # no key yet
    world.register(OPERATOR, "new", address(9))
    assert world.event_names() == ["KeySet", "PayoutSet"]
    found = reader(world).partner(5)
    assert (found.key, found.payout, found.name) == (key_address("new"), address(9), "new partner")
    assert not world.view("isEligible", 5)
    world.give_node(OPERATOR)
    assert world.view("isEligible", 5)
    assert len(keys(world)) == 4  # all four seats are taken, nobody has votes
    world.reg(VOTER, "vote", 5, value=1)
    assert keys(world)[0] == key_address("new")


OWNERS = [
    ("admit", (OPERATOR, NAME)),
    ("readmit", (1,)),
    ("remove", (1,)),
    ("release", (1,)),
    ("setParameters", (60, 0, 16)),
    ("transferOwnership", (THIEF,)),
]


@pytest.mark.parametrize(("function", "args"), OWNERS)
@pytest.mark.parametrize("sender", [THIEF, SYSTEM_ADDRESS, bytes(20)])
def test_only_the_owner(world, function, args, sender):
    with pytest.raises(Reverted, match="only the owner"):
        world.reg(sender, function, *args)


@pytest.mark.parametrize(("function", "args"), OWNERS)
def test_no_key_holder_is_the_owner_alone(world, function, args):
    for key in world.spec.dpos.owner_keys:
        with pytest.raises(Reverted, match="only the owner"):
            world.reg(key, function, *args)


@pytest.mark.parametrize(
    ("function", "args"),
    [("onBlock", (THIEF, [])), ("onEvidence", (THIEF, 0, 0))],
)
def test_only_the_protocol(world, function, args):
    for sender in (THIEF, world.owner, world.pool, world.registry):
        with pytest.raises(Reverted, match="only the protocol"):
            world.reg(sender, function, *args)


def test_ownership_moves_in_two_steps(world):
    world.reg(world.owner, "transferOwnership", THIEF)
    with pytest.raises(Reverted, match="only the owner"):
        world.reg(THIEF, "remove", 1)
    with pytest.raises(Reverted, match="not offered"):
        world.reg(VOTER, "acceptOwnership")
    world.reg(THIEF, "acceptOwnership")
    world.reg(THIEF, "remove", 1)
    with pytest.raises(Reverted, match="only the owner"):
        world.reg(world.owner, "readmit", 1)
    with pytest.raises(Reverted, match="not offered"):
        world.reg(THIEF, "acceptOwnership")


def test_nobody_can_take_an_ownership_that_nobody_offered(world):
    with pytest.raises(Reverted, match="not offered"):
        world.reg(THIEF, "acceptOwnership")


def test_an_operator_has_one_partner(world):
    world.reg(world.owner, "admit", OPERATOR, NAME)
    with pytest.raises(Reverted, match="operates a partner already"):
        world.reg(world.owner, "admit", OPERATOR, NAME)
    with pytest.raises(Reverted, match="no operator"):
        world.reg(world.owner, "admit", bytes(20), NAME)


# --- keys ------------------------------------------------------------------------------------------------


def test_a_key_must_agree(world):
    world.reg(world.owner, "admit", OPERATOR, NAME)
    world.reg(world.owner, "admit", THIEF, NAME)
    stolen = world.proof(OPERATOR, "new")
    with pytest.raises(Reverted, match="not signed by the key"):
        world.reg(THIEF, "register", key_address("new"), THIEF, *stolen)
    with pytest.raises(Reverted, match="not signed by the key"):
        world.reg(OPERATOR, "register", key_address("other"), OPERATOR, *stolen)
    with pytest.raises(Reverted, match="no key"):
        world.reg(OPERATOR, "register", bytes(20), OPERATOR, 27, 0, 0)
    with pytest.raises(Reverted, match="no payout"):
        world.reg(OPERATOR, "register", key_address("new"), bytes(20), *stolen)
    world.reg(OPERATOR, "register", key_address("new"), OPERATOR, *stolen)


def test_only_an_operator_registers(world):
    with pytest.raises(Reverted, match="only a partner's operator"):
        world.reg(THIEF, "register", key_address("new"), THIEF, *world.proof(THIEF, "new"))
    for function, args in (("setPayout", (THIEF,)), ("setStandby", (True,)), ("setKey", (THIEF, 27, 1, 1))):
        with pytest.raises(Reverted, match="only a partner's operator"):
            world.reg(THIEF, function, *args)


def test_rotation_counts_from_a_later_read_and_no_key_serves_twice(world):
    number = world.admit(OPERATOR, "first")
    world.reg(OPERATOR, "setKey", key_address("second"), *world.proof(OPERATOR, "second"))
    assert reader(world).partner(number).key == key_address("second")
    assert world.view("partnerOf", key_address("first")) == number
    with pytest.raises(Reverted, match="key was used before"):
        world.reg(OPERATOR, "setKey", key_address("first"), *world.proof(OPERATOR, "first"))
    with pytest.raises(Reverted, match="key was used before"):
        world.reg(OPERATOR, "setKey", key_address("second"), *world.proof(OPERATOR, "second"))
    world.system(world.registry, system.on_block(key_address("first")))  # the set in force still has it
    assert world.view("counters", number) == (1, 0, 0)


def test_a_partner_can_change_hands(world):
    number = world.admit(OPERATOR, "first")
    for sender in (THIEF, world.owner, SYSTEM_ADDRESS):
        with pytest.raises(Reverted, match="only a partner's operator"):
            world.reg(sender, "setOperator", THIEF)
    with pytest.raises(Reverted, match="operates a partner already"):
        world.reg(OPERATOR, "setOperator", world.spec.dpos.members[0].operator)
    with pytest.raises(Reverted, match="operates a partner already"):
        world.reg(OPERATOR, "setOperator", OPERATOR)
    with pytest.raises(Reverted, match="no operator"):
        world.reg(OPERATOR, "setOperator", bytes(20))
    world.reg(OPERATOR, "setOperator", address(8))
    with pytest.raises(Reverted, match="only a partner's operator"):
        world.reg(OPERATOR, "setStandby", True)
    world.reg(address(8), "setStandby", True)
    assert reader(world).partner(number).operator == address(8)
    assert world.reg(world.owner, "admit", OPERATOR, NAME) == number + 1  # the account is free again


# --- what ranks ------------------------------------------------------------------------------------------


def test_standby_removal_and_return(world):
    member = world.spec.dpos.members[1]
    seen = {reader(world).version()}
    for sender, function, args, present in (
        (member.operator, "setStandby", (True,), False),
        (member.operator, "setStandby", (False,), True),
        (world.owner, "remove", (2,), False),
        (world.owner, "readmit", (2,), True),
    ):
        world.reg(sender, function, *args)
        assert (member.key in keys(world)) == present
        assert world.view("isEligible", 2) == present
        seen.add(reader(world).version())
    assert len(seen) == 5
    with pytest.raises(Reverted, match="is admitted"):
        world.reg(world.owner, "readmit", 2)
    world.reg(world.owner, "remove", 2)
    with pytest.raises(Reverted, match="is not admitted"):
        world.reg(world.owner, "remove", 2)


def test_seats_go_to_the_most_votes_and_ties_to_the_first_admitted(world):
    first = world.admit(OPERATOR, "five")
    second = world.admit(address(11), "six")
    world.reg(VOTER, "vote", second, value=3 * WEI)
    world.reg(VOTER, "vote", first, value=3 * WEI)
    world.reg(VOTER, "vote", 4, value=4 * WEI)
    members = world.spec.dpos.members
    assert keys(world) == [members[3].key, key_address("five"), key_address("six"), members[0].key]


RETURN_ONE = bytes.fromhex("60015f5260205ff3")
RETURN_ZERO = bytes.fromhex("5f5f5260205ff3")


def test_a_seat_needs_a_bootstrap_node_once_there_is_a_registry(world):
    nodes, members = world.spec.contracts.addresses["NodeRegistry"], keys(world)
    world.reg(THIEF, "refreshNode", 1)  # changes nothing: set 0 has its nodes from genesis
    assert world.event_names() == []
    before = reader(world).version()
    world.put_code(nodes, RETURN_ZERO)
    world.reg(THIEF, "refreshNode", 1)
    assert world.event_names() == ["NodeSet"]
    assert reader(world).version() != before
    assert keys(world) == members[1:]
    assert not world.view("isEligible", 1)
    world.put_code(nodes, b"")  # without NodeRegistry nobody needs one
    assert keys(world) == members
    assert world.view("isEligible", 1)
    world.put_code(nodes, RETURN_ONE)
    assert keys(world) == members[1:]
    world.reg(THIEF, "refreshNode", 1)
    assert keys(world) == members


def test_a_new_operator_brings_no_node_along(world):
    nodes = world.spec.contracts.addresses["NodeRegistry"]
    assert reader(world).partner(1).has_node
    world.put_code(nodes, RETURN_ZERO)
    world.reg(world.spec.dpos.members[0].operator, "setOperator", OPERATOR)
    assert not reader(world).partner(1).has_node


# --- votes -----------------------------------------------------------------------------------------------


def test_votes_lock_and_unlock(world):
    world.reg(VOTER, "vote", 1, value=10 * WEI)
    world.reg(VOTER, "vote", 1, value=5 * WEI)
    assert world.view("votes", VOTER, 1) == reader(world).partner(1).votes == 15 * WEI
    world.reg(VOTER, "unvote", 1, 6 * WEI)
    assert reader(world).partner(1).votes == 9 * WEI
    with pytest.raises(Reverted, match="nothing has unlocked"):
        world.reg(VOTER, "withdraw")
    world.time += world.spec.dpos.unlock_period - 1
    with pytest.raises(Reverted, match="nothing has unlocked"):
        world.reg(VOTER, "withdraw")
    world.time += 1
    had = world.balance(VOTER)
    assert world.reg(VOTER, "withdraw") == 6 * WEI
    assert world.balance(VOTER) == had + 6 * WEI
    assert world.balance(world.registry) == 9 * WEI == world.view("totalVotes")
    assert world.view("totalUnlocking") == 0
    with pytest.raises(Reverted, match="nothing has unlocked"):
        world.reg(VOTER, "withdraw")


def test_nobody_takes_more_than_he_voted(world):
    world.reg(VOTER, "vote", 1, value=10 * WEI)
    for function, args in (("unvote", (1, 1)), ("move", (1, 2, 1))):
        with pytest.raises(Reverted, match="more than was voted"):
            world.reg(THIEF, function, *args)
    for amount in (10 * WEI + 1, 2**256 - 1):
        with pytest.raises(Reverted, match="more than was voted"):
            world.reg(VOTER, "unvote", 1, amount)
    for function, args in (("unvote", (1, 0)), ("move", (1, 2, 0)), ("vote", (1,))):
        with pytest.raises(Reverted, match="no amount"):
            world.reg(VOTER, function, *args)


@pytest.mark.parametrize("number", [0, 5, 513, 2**256 - 1])
def test_nobody_votes_for_nobody(world, number):
    with pytest.raises(Reverted, match="no such partner"):
        world.reg(VOTER, "vote", number, value=1)
    world.reg(VOTER, "vote", 1, value=1)
    with pytest.raises(Reverted, match="no such partner"):
        world.reg(VOTER, "move", 1, number, 1)


def test_votes_for_a_removed_partner_can_only_leave(world):
    world.reg(VOTER, "vote", 1, value=2 * WEI)
    world.reg(world.owner, "remove", 1)
    with pytest.raises(Reverted, match="is not admitted"):
        world.reg(VOTER, "vote", 1, value=1)
    world.reg(VOTER, "move", 1, 2, WEI)
    with pytest.raises(Reverted, match="is not admitted"):
        world.reg(VOTER, "move", 2, 1, WEI)
    world.reg(VOTER, "unvote", 1, WEI)
    assert (reader(world).partner(1).votes, reader(world).partner(2).votes) == (0, WEI)


def test_a_shorter_period_does_not_overtake_and_a_longer_one_does_not_reach_back(world):
    world.reg(VOTER, "vote", 1, value=3)
    world.reg(VOTER, "unvote", 1, 1)
    world.reg(world.owner, "setParameters", 1_000, 0, 16)
    world.reg(VOTER, "unvote", 1, 1)
    world.time += world.spec.dpos.unlock_period
    assert world.reg(VOTER, "withdraw") == 1
    world.time = START + 1_000
    assert world.reg(VOTER, "withdraw") == 1


def test_many_parts_are_paid_in_pieces(world):
    world.reg(VOTER, "vote", 1, value=40)
    for _ in range(40):
        world.reg(VOTER, "unvote", 1, 1)
    world.time += world.spec.dpos.unlock_period
    assert world.reg(VOTER, "withdraw") == 32
    assert world.reg(VOTER, "withdraw") == 8


def test_a_withdrawal_cannot_be_entered_again(world):
    attacker = address(66)
    world.put_code(attacker, reentering(world.registry, system.selector("withdraw()")))
    world.reg(THIEF, "vote", 1, value=100 * WEI)  # somebody else's coins lie in the contract
    one, half = (1).to_bytes(32, "big"), (5 * WEI).to_bytes(32, "big")
    world.raw(address(7), attacker, system.selector("vote(uint256)") + one, 10 * WEI)
    for _ in range(2):
        world.raw(address(7), attacker, system.selector("unvote(uint256,uint256)") + one + half)
    assert world.view("unlockCount", attacker) == 2
    world.time += 10_000
    world.raw(address(7), attacker, system.selector("withdraw()"))
    assert world.state.get_storage(attacker, 0) == 1  # it was paid, called back, and that failed
    assert world.balance(attacker) == 10 * WEI
    assert world.balance(world.registry) == 100 * WEI == world.view("totalVotes")


def test_an_honest_contract_can_withdraw(world):
    contract = address(67)
    world.reg(contract, "vote", 1, value=WEI)
    world.reg(contract, "unvote", 1, WEI)
    world.put_code(contract, bytes.fromhex("00"))
    world.time += 10_000
    world.reg(contract, "withdraw")
    assert world.balance(contract) == WEI


# --- blocks and evidence ---------------------------------------------------------------------------------


def test_blocks_and_misses_are_counted(world):
    one, two = (member.key for member in world.spec.dpos.members[:2])
    version = reader(world).version()
    world.system(world.registry, system.on_block(one, [two, two, address(77)]))
    world.system(world.registry, system.on_block(one))
    assert world.view("counters", 1) == (2, 0, 0)
    assert world.view("counters", 2) == (0, 2, 2)
    world.system(world.registry, system.on_block(two))
    assert world.view("counters", 2) == (1, 2, 0)
    found = reader(world).partner(2)
    assert (found.produced, found.missed, found.missed_in_row) == (1, 2, 0)
    assert reader(world).version() == version


def test_an_unknown_producer_counts_nothing_and_reverts_nothing(world):
    world.system(world.registry, system.on_block(address(77), [address(78)] * 64))


def test_too_many_misses_in_a_row_are_standby_not_jail(world):
    one, two = (member.key for member in world.spec.dpos.members[:2])
    limit = world.spec.dpos.miss_limit
    for _ in range(limit // 56):
        world.system(world.registry, system.on_block(one, [two] * 56))
    assert world.event_names() == ["StandbySet"]
    found = reader(world).partner(2)
    assert (found.standby, found.jailed) == (True, False)
    assert two not in keys(world)
    version = reader(world).version()
    world.system(world.registry, system.on_block(one, [two]))
    assert reader(world).version() == version
    world.reg(world.spec.dpos.members[1].operator, "setStandby", False)
    assert two in keys(world)
    assert world.view("counters", 2) == (0, limit + 1, 0)
    world.system(world.registry, system.on_block(one, [two]))
    assert two in keys(world)  # the count began anew


def test_who_comes_back_by_producing_is_not_put_on_standby(world):
    one, two = (member.key for member in world.spec.dpos.members[:2])
    for _ in range(3):
        world.system(world.registry, system.on_block(one, [two] * 50))
    world.system(world.registry, system.on_block(two, [two] * 60))
    assert world.view("counters", 2) == (1, 210, 0)
    assert not reader(world).partner(2).standby


def test_evidence_jails_once(world):
    key = world.spec.dpos.members[0].key
    assert reader(world).takes_evidence(key)
    world.system(world.registry, system.on_evidence(key, 1, 77))
    assert world.event_names() == ["Jailed"]
    assert world.event_names("RewardPool") == ["Barred"]
    found = reader(world).partner(1)
    assert (found.jailed, found.key) == (True, bytes(20))
    assert found.release_time == world.time + world.spec.dpos.jail_period
    assert key not in keys(world)
    assert not reader(world).takes_evidence(key)
    with pytest.raises(Reverted, match="known evidence"):
        world.system(world.registry, system.on_evidence(key, 1, 77))
    with pytest.raises(Reverted, match="unknown key"):
        world.system(world.registry, system.on_evidence(address(77), 1, 77))
    assert not reader(world).takes_evidence(address(77))
    assert world.rewards(THIEF, "barred", key)


def test_out_of_jail_by_time_the_owners_word_and_a_new_key(world):
    member = world.spec.dpos.members[0]
    world.system(world.registry, system.on_evidence(member.key, 0, 77))
    with pytest.raises(Reverted, match="too early"):
        world.reg(world.owner, "release", 1)
    world.time += world.spec.dpos.jail_period
    with pytest.raises(Reverted, match="only the owner"):
        world.reg(member.operator, "release", 1)
    world.reg(world.owner, "release", 1)
    assert world.event_names() == ["Released"]
    assert len(keys(world)) == 3
    with pytest.raises(Reverted, match="is not in jail"):
        world.reg(world.owner, "release", 1)
    world.reg(member.operator, "setKey", key_address("fresh"), *world.proof(member.operator, "fresh"))
    assert keys(world)[0] == key_address("fresh")


def test_a_new_key_does_not_open_the_jail(world):
    member = world.spec.dpos.members[0]
    world.system(world.registry, system.on_evidence(member.key, 0, 77))
    world.reg(member.operator, "setKey", key_address("fresh"), *world.proof(member.operator, "fresh"))
    world.reg(member.operator, "setStandby", False)
    world.reg(world.owner, "remove", 1)
    world.reg(world.owner, "readmit", 1)
    assert key_address("fresh") not in keys(world)


def test_evidence_against_a_former_key_jails_too(world):
    number = world.admit(OPERATOR, "old")
    world.reg(OPERATOR, "setKey", key_address("new"), *world.proof(OPERATOR, "new"))
    world.system(world.registry, system.on_evidence(key_address("old"), 0, 5))
    found = reader(world).partner(number)
    assert (found.jailed, found.key) == (True, key_address("new"))


# --- limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((59, 0, 16), "unlock period"),
        ((90 * 86_400 + 1, 0, 16), "unlock period"),
        ((60, 360 * 86_400 + 1, 16), "jail period"),
        ((60, 0, 15), "miss limit"),
        ((60, 0, 100_001), "miss limit"),
        ((2**256 - 1, 0, 16), "unlock period"),
    ],
)
def test_parameters_have_limits(world, values, words):
    with pytest.raises(Reverted, match=words):
        world.reg(world.owner, "setParameters", *values)
    world.reg(world.owner, "setParameters", 60, 0, 16)
    assert (world.view("unlockPeriod"), world.view("jailPeriod"), world.view("missLimit")) == (60, 0, 16)


def test_there_is_a_last_partner(world):
    slot = Registry.slot("partnerCount")
    world.state.set_storage(world.registry, slot, Registry.MAX_PARTNERS - 1)
    assert world.reg(world.owner, "admit", OPERATOR, NAME) == Registry.MAX_PARTNERS
    with pytest.raises(Reverted, match="too many partners"):
        world.reg(world.owner, "admit", THIEF, NAME)


def test_it_takes_no_plain_payment(world):
    with pytest.raises(Reverted):
        world.raw(VOTER, world.registry, b"", WEI)
    with pytest.raises(Reverted):
        world.reg(VOTER, "unvote", 1, 1, value=1)
    assert world.balance(world.registry) == 0
