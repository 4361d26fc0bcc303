"""OwnerMultisig: m of n, fixed at genesis, changed only by itself."""

import pytest
from contract_world import WEI, Reverted, World, address, functions
from eth_abi import encode

STRANGER = address(90)
NAME = b"partner".ljust(32, b"\0")


@pytest.fixture
def world():
    return World()


def data(contract, function, *args):
    selector, inputs, _ = functions(contract)[function]
    return selector + encode(inputs, args)


def ms(world, sender, function, *args):
    return world.call(sender, "OwnerMultisig", function, *args)


def owners(world):
    return list(world.spec.dpos.owner_keys)


def decide(world, target, payload, value=0, by=None):
    """Submit by the first owner, confirm by the second, execute by the third."""
    one, two, three = by or owners(world)
    number = ms(world, one, "submit", target, value, payload)
    ms(world, two, "confirm", number)
    ms(world, three, "execute", number)
    return number


def test_genesis_owners(world):
    found = ms(world, STRANGER, "getOwners")
    assert [bytes.fromhex(owner[2:]) for owner in found] == owners(world)
    assert ms(world, STRANGER, "quorum") == world.spec.dpos.owner_quorum == 2
    assert all(ms(world, STRANGER, "isOwner", owner) for owner in owners(world))
    assert not ms(world, STRANGER, "isOwner", STRANGER)


def test_two_of_three_admit_a_partner(world):
    call = data("ArbitratorRegistry", "admit", STRANGER, NAME)
    number = ms(world, owners(world)[0], "submit", world.registry, 0, call)
    assert number == 1
    assert world.event_names("OwnerMultisig") == ["Submitted", "Confirmed"]
    assert ms(world, STRANGER, "confirmations", number) == 1
    with pytest.raises(Reverted, match="too few confirmations"):
        ms(world, owners(world)[0], "execute", number)
    ms(world, owners(world)[1], "confirm", number)
    ms(world, owners(world)[2], "execute", number)
    assert world.event_names("OwnerMultisig") == ["Executed"]
    assert world.event_names() == ["Admitted"]
    assert world.view("partnerByOperator", STRANGER) == 5
    target, value, payload, done = ms(world, STRANGER, "getProposal", number)
    assert (target, value, payload, done) == ("0x" + world.registry.hex(), 0, call, True)


def test_strangers_have_no_say(world):
    number = ms(world, owners(world)[0], "submit", world.registry, 0, b"")
    for function in ("confirm", "revoke", "execute"):
        with pytest.raises(Reverted, match="only an owner"):
            ms(world, STRANGER, function, number)
    with pytest.raises(Reverted, match="only an owner"):
        ms(world, STRANGER, "submit", world.registry, 0, b"")


def test_each_owner_counts_once_and_can_take_it_back(world):
    one, two, _ = owners(world)
    number = ms(world, one, "submit", STRANGER, 0, b"")
    with pytest.raises(Reverted, match="is confirmed"):
        ms(world, one, "confirm", number)
    with pytest.raises(Reverted, match="is not confirmed"):
        ms(world, two, "revoke", number)
    ms(world, two, "confirm", number)
    ms(world, two, "revoke", number)
    with pytest.raises(Reverted, match="too few confirmations"):
        ms(world, one, "execute", number)
    for missing in (0, 2, 2**256 - 1):
        with pytest.raises(Reverted, match="no such proposal"):
            ms(world, one, "confirm", missing)


def test_a_proposal_is_done_once(world):
    number = decide(world, STRANGER, b"")
    for function in ("execute", "confirm", "revoke"):
        with pytest.raises(Reverted, match="is done"):
            ms(world, owners(world)[0], function, number)


def test_a_failing_call_can_be_tried_again(world):
    one, two, _ = owners(world)
    call = data("ArbitratorRegistry", "release", 1)
    number = ms(world, one, "submit", world.registry, 0, call)
    ms(world, two, "confirm", number)
    with pytest.raises(Reverted, match="is not in jail"):
        ms(world, one, "execute", number)
    assert not ms(world, STRANGER, "getProposal", number)[3]


def test_it_spends_what_it_was_given(world):
    world.raw(STRANGER, world.owner, b"", 3 * WEI)
    assert world.event_names("OwnerMultisig") == ["Received"]
    with pytest.raises(Reverted):
        decide(world, address(91), b"", value=4 * WEI)
    decide(world, address(91), b"", value=3 * WEI)
    assert world.balance(address(91)) == 3 * WEI


@pytest.mark.parametrize(
    ("function", "args"),
    [("addOwner", (STRANGER,)), ("removeOwner", (STRANGER,)), ("setQuorum", (1,)), ("cancel", (1,))],
)
def test_owners_change_only_by_a_proposal(world, function, args):
    for sender in (STRANGER, *owners(world)):
        with pytest.raises(Reverted, match="only by a proposal"):
            ms(world, sender, function, *args)


def test_owners_change_by_a_proposal(world):
    one, two, three = owners(world)
    decide(world, world.owner, data("OwnerMultisig", "addOwner", STRANGER))
    decide(world, world.owner, data("OwnerMultisig", "setQuorum", 3))
    with pytest.raises(Reverted, match="too few"):
        decide(world, world.owner, data("OwnerMultisig", "removeOwner", one))
    number = ms(world, one, "submit", world.owner, 0, data("OwnerMultisig", "removeOwner", one))
    ms(world, two, "confirm", number)
    ms(world, STRANGER, "confirm", number)
    ms(world, one, "execute", number)
    found = [bytes.fromhex(owner[2:]) for owner in ms(world, STRANGER, "getOwners")]
    assert sorted(found) == sorted([two, three, STRANGER])
    with pytest.raises(Reverted, match="only an owner"):
        ms(world, one, "submit", STRANGER, 0, b"")


def test_a_removed_owners_confirmation_counts_no_more(world):
    one, two, three = owners(world)
    number = ms(world, one, "submit", STRANGER, 0, b"")
    decide(world, world.owner, data("OwnerMultisig", "removeOwner", one))
    ms(world, two, "confirm", number)
    assert ms(world, STRANGER, "confirmations", number) == 1
    with pytest.raises(Reverted, match="too few"):
        ms(world, two, "execute", number)
    ms(world, three, "confirm", number)
    ms(world, two, "execute", number)


def test_the_quorum_stays_within_reach(world):
    with pytest.raises(Reverted, match="out of reach"):
        decide(world, world.owner, data("OwnerMultisig", "setQuorum", 4))
    with pytest.raises(Reverted, match="out of reach"):
        decide(world, world.owner, data("OwnerMultisig", "setQuorum", 0))
    decide(world, world.owner, data("OwnerMultisig", "removeOwner", owners(world)[2]))
    one, two, _ = owners(world)
    with pytest.raises(Reverted, match="fewer owners"):
        decide(world, world.owner, data("OwnerMultisig", "removeOwner", one), by=(one, two, two))
    for bad, words in ((one, "is an owner"), (bytes(20), "no owner"), (world.owner, "no owner")):
        with pytest.raises(Reverted, match=words):
            decide(world, world.owner, data("OwnerMultisig", "addOwner", bad), by=(one, two, two))
    with pytest.raises(Reverted, match="is no owner"):
        decide(world, world.owner, data("OwnerMultisig", "removeOwner", STRANGER), by=(one, two, two))


def test_a_proposal_can_be_cancelled(world):
    one, two, _ = owners(world)
    number = ms(world, one, "submit", STRANGER, 0, b"")
    ms(world, two, "confirm", number)
    decide(world, world.owner, data("OwnerMultisig", "cancel", number))
    with pytest.raises(Reverted, match="is done"):
        ms(world, one, "execute", number)


def test_a_proposal_cannot_run_inside_itself(world):
    decide(world, world.owner, data("OwnerMultisig", "addOwner", world.registry))
    number = world.view("proposalCount", contract="OwnerMultisig") + 1
    with pytest.raises(Reverted):
        decide(world, world.owner, data("OwnerMultisig", "execute", number))
