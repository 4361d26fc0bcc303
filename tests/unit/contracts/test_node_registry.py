"""NodeRegistry: devices, their owners and keys, bootstrap nodes, reporters and seats."""

import pytest
from contract_world import Reverted, address, key_address
from contribution_world import NOWHERE, Contribution, uid

from ioex_chain.dpos.registry import RegistryReader
from ioex_chain.evm.contribution import MAX_REPORTERS, NodeKind, NodeStatus, genesis_nodes, genesis_uid
from ioex_chain.evm.contribution_reader import ContributionReader
from ioex_chain.evm.types import WEI

ALICE, BOB, THIEF = address(1), address(2), address(3)
REG = "NodeRegistry"


@pytest.fixture
def world() -> Contribution:
    return Contribution()


def reader(world: Contribution) -> ContributionReader:
    return ContributionReader(world.spec, world.state)


def test_registering_a_device(world):
    node = world.add(ALICE, "phone", NodeKind.PHONE)
    assert (node, world.names()) == (5, ["Registered"])
    found = reader(world).node(node)
    assert (found.owner, found.uid, found.device) == (ALICE, uid("phone"), key_address("phone"))
    assert (found.kind, found.status, found.since) == (NodeKind.PHONE, NodeStatus.ACTIVE, world.time)
    assert (found.bond, found.ended) == (WEI, 0)
    view = world.ask(REG, "node", node)
    assert view[:5] == (node, found.uid, "0x" + ALICE.hex(), "0x" + found.device.hex(), NOWHERE)
    assert view[5:] == (3, 1, world.time, 0, WEI)
    assert world.ask(REG, "nodeByUid", found.uid) == world.ask(REG, "nodeByDevice", found.device) == node
    assert reader(world).node_of_uid(found.uid) == reader(world).node_of_device(found.device) == found
    assert world.ask(REG, "bondTotal") == world.balance(world.where(REG)) == WEI


def test_an_owners_many_devices_in_one_view(world):
    mine = [world.add(ALICE, f"device {number}") for number in range(40)]
    world.add(BOB, "other")
    first = world.ask(REG, "nodesOf", ALICE, 0)
    rest = world.ask(REG, "nodesOf", ALICE, 32)
    assert [row[0] for row in first + rest] == mine
    assert (len(first), len(rest), world.ask(REG, "nodeCountOf", ALICE)) == (32, 8, 40)
    assert world.ask(REG, "nodesOf", ALICE, 40) == ()
    assert [node.number for node in reader(world).nodes_of(ALICE)] == mine
    assert [row[0] for row in world.ask(REG, "nodePage", 40)] == [40, 41, 42, 43, 44, 45]
    assert world.ask(REG, "nodePage", 46) == world.ask(REG, "nodePage", 0) == ()
    assert reader(world).node(46) is None
    assert reader(world).node_count() == 45


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": 0}, "no such kind"),
        ({"kind": 4}, "no such kind"),
        ({"value": 10 * WEI - 1}, "not the bond"),
        ({"value": 10 * WEI + 1}, "not the bond"),
        ({"uid": bytes(32)}, "no key"),
        ({"uid": uid("taken")}, "key is registered"),
        ({"device": bytes(20)}, "no device account"),
        ({"device": "taken"}, "device account is registered"),
        ({"signer": "thief"}, "not signed by the device account"),
        ({"consents_to": BOB}, "not signed by the device account"),
    ],
)
def test_what_is_refused(world, changes, reason):
    world.add(BOB, "taken")
    given = {
        "kind": 2,
        "uid": uid("mine"),
        "device": "mine",
        "value": 10 * WEI,
        "consents_to": ALICE,
    } | changes
    device = given["device"]
    consent = world.consent(given["consents_to"], given["uid"], given.get("signer") or "mine")
    account = device if isinstance(device, bytes) else key_address(device)
    arguments = (given["kind"], given["uid"], NOWHERE, account, *consent)
    with pytest.raises(Reverted, match=reason):
        world.call(ALICE, REG, "register", *arguments, value=given["value"])


def test_an_account_may_be_its_own_device(world):
    arguments = (NodeKind.PHONE, uid("self"), b"CH".ljust(32, b"\0"), ALICE, 0, 0, 0)
    node = world.call(ALICE, REG, "register", *arguments, value=WEI)
    assert reader(world).node(node).device == ALICE
    assert reader(world).node(node).region == "CH"
    world.call(ALICE, REG, "setRegion", node, b"FR".ljust(32, b"\0"))
    assert (reader(world).node(node).region, world.names()) == ("FR", ["RegionSet"])


def test_keys_change_by_the_nodes_owner_alone(world):
    node = world.add(ALICE, "old")
    new = uid("new")
    consent = world.consent(ALICE, new, "fresh")
    with pytest.raises(Reverted, match="only the node's owner"):
        world.call(THIEF, REG, "setKeys", node, new, key_address("fresh"), *consent)
    with pytest.raises(Reverted, match="only the node's owner"):
        world.call(THIEF, REG, "setRegion", node, NOWHERE)
    with pytest.raises(Reverted, match="not signed by the device account"):
        world.call(ALICE, REG, "setKeys", node, new, key_address("other"), *consent)
    world.call(ALICE, REG, "setKeys", node, new, key_address("fresh"), *consent)
    assert world.names() == ["KeysSet"]
    found = reader(world).node(node)
    assert (found.uid, found.device) == (new, key_address("fresh"))
    assert reader(world).node_of_uid(uid("old")) is None
    assert reader(world).node_of_device(key_address("old")) is None
    world.call(ALICE, REG, "setKeys", node, uid("newer"), key_address("fresh"), 0, 0, 0)  # the device stays
    assert world.add(BOB, "old") == node + 1  # what was given up is free again


def test_retiring_frees_the_keys_and_returns_the_bond(world):
    node = world.add(ALICE, "device")
    with pytest.raises(Reverted, match="is not retired"):
        world.call(ALICE, REG, "reclaim", node)
    with pytest.raises(Reverted, match="only the node's owner"):
        world.call(THIEF, REG, "retire", node)
    world.call(ALICE, REG, "retire", node)
    assert reader(world).node(node).status == NodeStatus.RETIRED
    assert reader(world).node(node).ended == world.time
    assert world.add(BOB, "device") == node + 1
    for function, arguments in (("setRegion", (NOWHERE,)), ("retire", ())):
        with pytest.raises(Reverted, match="is retired"):
            world.call(ALICE, REG, function, node, *arguments)
    world.time += world.given.registry[2] - 1
    with pytest.raises(Reverted, match="too early"):
        world.call(ALICE, REG, "reclaim", node)
    world.time += 1
    with pytest.raises(Reverted, match="only the node's owner"):
        world.call(THIEF, REG, "reclaim", node)
    before = world.balance(ALICE)
    world.call(ALICE, REG, "reclaim", node)
    assert (world.balance(ALICE) - before, world.names()) == (10 * WEI, ["BondReturned"])
    with pytest.raises(Reverted, match="no bond"):
        world.call(ALICE, REG, "reclaim", node)
    assert world.ask(REG, "bondTotal") == world.balance(world.where(REG)) == 10 * WEI


def test_the_consortium_suspends_and_may_retire_whoever_took_anothers_key(world):
    node = world.add(THIEF, "stolen")
    for function in ("admit", "suspend", "resume"):
        with pytest.raises(Reverted, match="only the owner"):
            world.call(THIEF, REG, function, node)
    with pytest.raises(Reverted, match="does not wait"):
        world.call(world.owner, REG, "admit", node)
    with pytest.raises(Reverted, match="is not suspended"):
        world.call(world.owner, REG, "resume", node)
    world.call(world.owner, REG, "suspend", node)
    with pytest.raises(Reverted, match="is not active"):
        world.call(world.owner, REG, "suspend", node)
    assert reader(world).node(node).status == NodeStatus.SUSPENDED
    world.call(world.owner, REG, "resume", node)
    assert (reader(world).node(node).status, world.names()) == (NodeStatus.ACTIVE, ["StatusSet"])
    world.call(world.owner, REG, "retire", node)
    assert world.add(ALICE, "stolen") == node + 1
    for function in ("admit", "suspend", "resume", "retire"):
        with pytest.raises(Reverted, match="no such node"):
            world.call(world.owner, REG, function, 99)


# --- bootstrap nodes, reporters, seats -------------------------------------------------------------------


def test_set_0_begins_with_a_bootstrap_node_each():
    world = Contribution(members=51)
    nodes = [reader(world).node(number) for number in range(1, 52)]
    for number, (node, operator) in enumerate(zip(nodes, world.reporters, strict=True), 1):
        assert (node.owner, node.device, node.uid) == (operator, operator, genesis_uid(operator))
        assert (node.kind, node.status, node.bond) == (NodeKind.BOOTSTRAP, NodeStatus.ACTIVE, 0)
        assert world.ask(REG, "bootstrapNodes", operator) == reader(world).bootstrap_nodes(operator) == 1
        assert world.ask(REG, "reporterOf", operator) == (number, 0)
        assert world.ask(REG, "reporters", number - 1) == "0x" + operator.hex()
        assert [found.number for found in reader(world).nodes_of(operator)] == [number]
    assert world.ask(REG, "reporterCount") == 51
    assert reader(world).node(52) is None
    assert 0 not in genesis_nodes(world.spec).values()


def test_a_member_of_set_0_sets_its_real_keys(world):
    operator, key = world.reporters[0], uid("real")
    consent = world.consent(operator, key, "real")
    world.call(operator, REG, "setKeys", 1, key, key_address("real"), *consent)
    assert reader(world).node(1).device == key_address("real")
    assert world.ask(REG, "bootstrapNodes", operator) == 1


def test_a_bootstrap_node_waits_for_the_consortium(world):
    node = world.add(ALICE, "boot", NodeKind.BOOTSTRAP)
    assert reader(world).node(node).status == NodeStatus.PENDING
    assert world.ask(REG, "bootstrapNodes", ALICE) == 0
    world.call(world.owner, REG, "admit", node)
    assert world.names() == ["StatusSet", "ReporterSet"]
    assert world.ask(REG, "bootstrapNodes", ALICE) == 1
    assert world.ask(REG, "reporterOf", ALICE) == (5, world.time)
    second = world.add_bootstrap(ALICE, "boot 2")
    assert (world.ask(REG, "bootstrapNodes", ALICE), world.ask(REG, "reporterCount")) == (2, 5)
    world.call(world.owner, REG, "suspend", node)
    assert world.ask(REG, "bootstrapNodes", ALICE) == 1
    world.call(world.owner, REG, "retire", node)  # was no longer counted
    assert world.ask(REG, "bootstrapNodes", ALICE) == 1
    world.call(ALICE, REG, "retire", second)
    assert world.names() == ["StatusSet", "ReporterSet"]
    assert world.ask(REG, "reporterOf", ALICE) == (0, 0)
    assert world.ask(REG, "reporterCount") == 4
    world.add_bootstrap(BOB, "boot 3")
    assert world.ask(REG, "reporterOf", BOB) == (5, world.time)  # the free place


def test_there_are_at_most_64_reporters():
    world = Contribution(members=51)
    owners = [address(100 + number) for number in range(14)]
    for number, owner in enumerate(owners):
        world.add_bootstrap(owner, f"boot {number}")
    assert world.ask(REG, "reporterCount") == MAX_REPORTERS
    assert world.ask(REG, "reporterOf", owners[-1]) == (0, 0)
    assert world.ask(REG, "bootstrapNodes", owners[-1]) == 1
    last = world.ask(REG, "nodeCount")
    world.call(owners[0], REG, "retire", 52)
    world.call(world.owner, REG, "suspend", last)
    world.call(world.owner, REG, "resume", last)
    assert world.ask(REG, "reporterOf", owners[-1]) == (52, world.time)


def test_a_seat_follows_its_operators_bootstrap_node(world):
    members = world.spec.dpos.members

    def keys():
        return [member.key for member in RegistryReader(world.spec, world.state).ranking()]

    for partner in range(1, 5):
        world.reg(THIEF, "refreshNode", partner)
    assert keys() == [member.key for member in members]
    world.call(world.owner, REG, "suspend", 2)
    assert world.names() == ["StatusSet", "ReporterSet", "NodeSet"]
    assert keys() == [members[at].key for at in (0, 2, 3)]
    world.call(world.owner, REG, "resume", 2)
    assert world.names()[-1] == "NodeSet"
    assert keys() == [member.key for member in members]
    world.call(world.reporters[0], REG, "retire", 1)
    assert members[0].key not in keys()
    fresh = world.add_bootstrap(world.reporters[0], "again")
    assert members[0].key in keys()
    assert reader(world).node(fresh).status == NodeStatus.ACTIVE
