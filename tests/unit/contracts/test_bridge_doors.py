"""Doors, the owner's words and their limits, and that nobody gets coins out."""

import pytest
from bridge_world import ALICE, P2TR, P2WPKH, UNIT, BridgeWorld, payment
from contract_world import Reverted, address, events, functions
from eth_abi import encode

from ioex_chain.evm import bridge
from ioex_chain.evm.bridge import Door, PauseReason
from ioex_chain.evm.system import artefact
from ioex_chain.evm.types import SYSTEM_ADDRESS

NONE = PauseReason(0)


@pytest.fixture
def world() -> BridgeWorld:
    return BridgeWorld()


def deposit_refused(world: BridgeWorld, reason: str, name: str = "coin") -> None:
    _, proofs = world.buried_block(payment(name), height=3)
    with pytest.raises(Reverted, match=reason):
        world.prove(proofs.prove(1, 1))
    assert world.reader.credited_deposits == 0


def withdrawal_refused(world: BridgeWorld, reason: str) -> None:
    queued = world.reader.queued
    with pytest.raises(Reverted, match=reason):
        world.withdraw(20_000)
    assert world.reader.queued == queued


# --- the owner's pause -----------------------------------------------------------------------------------


def test_the_owner_closes_the_way_in(world):
    world.bridge(world.owner, "pause", Door.IN)
    assert world.event_names("Bridge") == ["Paused"]
    deposit_refused(world, "paused by the owner")
    world.next_block()
    assert world.reader.counted_height == 0
    assert world.reader.pause_reasons(Door.IN) == PauseReason.OWNER
    assert world.reader.pause_reasons(Door.OUT) == NONE
    assert world.withdraw(20_000) == 1
    world.bridge(world.owner, "resume", Door.IN)
    assert world.event_names("Bridge") == ["Resumed"]
    world.next_block()
    assert world.reader.counted_height == 3  # nothing is lost
    _, proofs = world.buried_block(payment(), height=3)
    world.prove(proofs.prove(1, 1))


def test_the_owner_closes_the_way_out(world):
    world.withdraw(20_000)
    world.bridge(world.owner, "pause", Door.OUT)
    withdrawal_refused(world, "paused by the owner")
    assert world.reader.pause_reasons(Door.OUT) == PauseReason.OWNER
    assert world.reader.pause_reasons(Door.IN) == NONE
    assert len(world.next_block()) == 2  # what has a number goes its way
    world.raw(SYSTEM_ADDRESS, world.at, bridge.handover(1, [address(1)]))
    assert len(world.next_block()) == 2
    _, proofs = world.buried_block(payment(), height=3)
    world.prove(proofs.prove(1, 1))
    world.bridge(world.owner, "resume", Door.OUT)
    assert world.withdraw(20_000) == 3


def test_the_two_doors_are_closed_and_opened_each_by_itself(world):
    for door in Door:
        world.bridge(world.owner, "pause", door)
    assert [world.reader.pause_reasons(door) for door in Door] == [PauseReason.OWNER] * 2
    world.bridge(world.owner, "resume", Door.IN)
    assert [world.reader.pause_reasons(door) for door in Door] == [NONE, PauseReason.OWNER]
    world.bridge(world.owner, "pause", Door.IN)
    world.bridge(world.owner, "resume", Door.OUT)
    assert [world.reader.pause_reasons(door) for door in Door] == [PauseReason.OWNER, NONE]


def test_credits_are_paid_while_the_way_in_is_closed(world):
    _, proofs = world.buried_block(payment(), height=3)
    world.prove(proofs.prove(1, 1))
    world.bridge(world.owner, "pause", Door.IN)
    world.next_block()
    world.next_block()
    assert world.balance(ALICE) == 5_000_000 * UNIT


# --- a deep reorganisation -------------------------------------------------------------------------------


def test_a_deep_reorganisation_closes_both_ways_at_once(world):
    """In the very block: the proofs and transactions behind the header that did it are refused already."""
    world.client("setDeepReorgs(uint256)", 1)
    deposit_refused(world, "paused by a deep reorganisation")
    withdrawal_refused(world, "paused by a deep reorganisation")
    world.next_block()
    assert world.event_names("Bridge") == ["DeepReorganisation"]
    assert world.reader.counted_height == 0
    for door in Door:
        assert world.reader.pause_reasons(door) == PauseReason.DEEP_REORGANISATION
        assert world.get("pauseReasons", door) == 2
    world.next_block()
    assert world.event_names("Bridge") == []
    world.raw(SYSTEM_ADDRESS, world.at, bridge.handover(1, [address(1)]))
    for door in Door:
        world.bridge(world.owner, "resume", door)  # another reason's word does not help
    withdrawal_refused(world, "paused by a deep reorganisation")
    world.bridge(world.owner, "acknowledge", 1)
    assert world.reader.pause_reasons(Door.IN) == world.reader.pause_reasons(Door.OUT) == NONE
    world.next_block()
    assert world.reader.counted_height == 3
    assert world.withdraw(20_000) == 2


def test_the_owner_acknowledges_what_he_has_seen(world):
    for count in (0, 1):
        with pytest.raises(Reverted):
            world.bridge(world.owner, "acknowledge", count)
    world.client("setDeepReorgs(uint256)", 2)
    for count in (1, 3, 0):
        with pytest.raises(Reverted, match="count"):
            world.bridge(world.owner, "acknowledge", count)
    world.bridge(world.owner, "acknowledge", 2)
    with pytest.raises(Reverted, match="nothing to acknowledge"):
        world.bridge(world.owner, "acknowledge", 2)
    world.client("setDeepReorgs(uint256)", 3)
    withdrawal_refused(world, "paused by a deep reorganisation")


def test_reasons_stand_beside_each_other(world):
    world.client("setDeepReorgs(uint256)", 1)
    world.bridge(world.owner, "pause", Door.OUT)
    world.next_block(final=0, slots=world.spec.dpos.stall_slots)
    everything = PauseReason.OWNER | PauseReason.DEEP_REORGANISATION | PauseReason.STALL
    assert world.reader.pause_reasons(Door.OUT) == everything
    assert world.get("pauseReasons", Door.OUT) == 7
    world.bridge(world.owner, "resume", Door.OUT)
    world.bridge(world.owner, "acknowledge", 1)
    withdrawal_refused(world, "paused while finality stalls")


# --- the cap ---------------------------------------------------------------------------------------------


def test_the_cap_falls_at_once_and_rises_after_the_delay(world):
    cap, delay = world.spec.bridge.daily_outflow_cap, world.spec.bridge.owner_delay
    world.bridge(world.owner, "lowerCap", 30_000)
    assert world.event_names("Bridge") == ["CapSet"]
    withdrawal = 30_001 * UNIT
    with pytest.raises(Reverted, match="over the daily cap"):
        world.bridge(ALICE, "withdraw", P2WPKH, value=withdrawal)
    world.bridge(world.owner, "announceCap", cap)
    assert world.event_names("Bridge") == ["CapAnnounced"]
    world.time += delay - 1
    with pytest.raises(Reverted, match="too early"):
        world.bridge(world.owner, "raiseCap")
    assert world.reader.daily_cap == 30_000
    world.time += 1
    world.bridge(world.owner, "raiseCap")
    assert world.reader.daily_cap == cap
    with pytest.raises(Reverted, match="nothing was announced"):
        world.bridge(world.owner, "raiseCap")
    world.bridge(ALICE, "withdraw", P2WPKH, value=withdrawal)


def test_a_lower_cap_forgets_the_announced_one(world):
    cap = world.reader.daily_cap
    world.bridge(world.owner, "announceCap", cap + 1)
    assert (world.get("pendingCap"), world.get("pendingCapTime") > world.time) == (cap + 1, True)
    world.bridge(world.owner, "lowerCap", cap - 1)
    assert (world.get("pendingCap"), world.get("pendingCapTime")) == (0, 0)
    world.time += 10 * world.spec.bridge.owner_delay
    with pytest.raises(Reverted, match="nothing was announced"):
        world.bridge(world.owner, "raiseCap")
    assert world.reader.daily_cap == cap - 1


def test_a_second_announcement_waits_anew(world):
    cap, delay = world.reader.daily_cap, world.spec.bridge.owner_delay
    world.bridge(world.owner, "announceCap", cap + 1)
    world.time += delay
    world.bridge(world.owner, "announceCap", cap + 2)
    with pytest.raises(Reverted, match="too early"):
        world.bridge(world.owner, "raiseCap")


@pytest.mark.parametrize(
    ("function", "change", "reason"),
    [("lowerCap", 0, "not lower"), ("lowerCap", 1, "not lower"), ("announceCap", 0, "not higher")],
)
def test_a_cap_goes_the_way_that_was_said(world, function, change, reason):
    with pytest.raises(Reverted, match=reason):
        world.bridge(world.owner, function, world.reader.daily_cap + change)


# --- who may what ----------------------------------------------------------------------------------------

OWNERS_WORDS = [
    ("pause", [0]),
    ("resume", [1]),
    ("acknowledge", [1]),
    ("lowerCap", [1]),
    ("announceCap", [10**18]),
    ("raiseCap", []),
    ("transferOwnership", [ALICE]),
]


@pytest.mark.parametrize(("function", "arguments"), OWNERS_WORDS)
def test_only_the_owner_says_so(world, function, arguments):
    world.client("setDeepReorgs(uint256)", 1)
    if function == "raiseCap":
        world.bridge(world.owner, "announceCap", 10**18)
        world.time += world.spec.bridge.owner_delay
    for sender in (ALICE, SYSTEM_ADDRESS, world.pool, bytes(20)):
        with pytest.raises(Reverted, match="only the owner"):
            world.bridge(sender, function, *arguments)
    world.bridge(world.owner, function, *arguments)


def test_the_owner_is_a_multisig(world):
    first, second = world.spec.dpos.owner_keys[:2]
    data = functions("Bridge")["pause"][0] + encode(["uint256"], [Door.OUT])
    number = world.call(first, "OwnerMultisig", "submit", world.at, 0, data)
    with pytest.raises(Reverted, match="too few confirmations"):
        world.call(first, "OwnerMultisig", "execute", number)
    assert not world.reader.is_paused(Door.OUT)
    world.call(second, "OwnerMultisig", "confirm", number)
    world.call(first, "OwnerMultisig", "execute", number)
    assert world.reader.pause_reasons(Door.OUT) == PauseReason.OWNER


@pytest.mark.parametrize("function", ["pause", "resume", "pauseReasons", "isPaused"])
def test_there_are_two_doors(world, function):
    for door in (2, 255, 2**256 - 1):
        with pytest.raises(Reverted, match="door"):
            world.bridge(world.owner, function, door)


def test_the_ownership_moves_in_two_steps(world):
    with pytest.raises(Reverted, match="not offered"):
        world.bridge(ALICE, "acceptOwnership")
    world.bridge(world.owner, "transferOwnership", ALICE)
    assert world.get("owner") == "0x" + world.owner.hex()
    with pytest.raises(Reverted, match="not offered"):
        world.bridge(address(2), "acceptOwnership")
    world.bridge(ALICE, "acceptOwnership")
    assert world.get("owner") == "0x" + ALICE.hex()
    with pytest.raises(Reverted, match="not offered"):
        world.bridge(ALICE, "acceptOwnership")
    with pytest.raises(Reverted, match="only the owner"):
        world.bridge(world.owner, "pause", 0)
    world.bridge(ALICE, "pause", 0)


def test_the_functions_are_a_closed_list():
    """What changes state: the protocol's two, three of anybody, eight of the owner. Views change nothing."""
    changing = {
        item["name"]
        for item in artefact("Bridge").abi
        if item["type"] == "function" and item["stateMutability"] in ("nonpayable", "payable")
    }
    protocol = {"onBlock", "handover"}
    anybody = {"proveDeposit", "withdraw", "retire"}
    owner = {name for name, _ in OWNERS_WORDS} | {"acceptOwnership"}
    assert changing == protocol | anybody | owner
    assert not [item for item in artefact("Bridge").abi if item["type"] in ("fallback", "receive")]


def test_the_code_has_no_instruction_that_sends_coins():
    """No CALL, CREATE, DELEGATECALL or SELFDESTRUCT of any kind: coins stay, nothing is re-entered."""
    forbidden = {0xF0, 0xF1, 0xF2, 0xF4, 0xF5, 0xFF}
    code, at, found = artefact("Bridge").runtime, 0, set()
    while at < len(code):
        found.add(code[at])
        at += code[at] - 0x5E if 0x60 <= code[at] <= 0x7F else 1
    assert not found & forbidden
    assert 0xFA in found  # STATICCALL: the scan does see instructions


def test_the_owner_gets_no_coins_and_makes_no_credits(world):
    world.withdraw(50_000)
    world.bridge(ALICE, "retire", value=9)
    world.client("setDeepReorgs(uint256)", 1)
    balance = world.balance(world.at)
    totals = world.get("creditedRewards"), world.get("creditedDeposits"), world.get("creditQueueBounds")
    for name, (selector, inputs, _) in functions("Bridge").items():
        if name in ("withdraw", "retire"):
            continue
        zeros = {"uint256": 1, "bytes": b"\x01" * 94, "bytes32[]": [], "address[]": [], "address": ALICE}
        data = selector + encode(inputs, [zeros.get(kind, bytes(32)) for kind in inputs])
        try:
            world.raw(world.owner, world.at, data)
        except Reverted:
            continue
    assert world.balance(world.at) == balance
    assert totals == (
        world.get("creditedRewards"),
        world.get("creditedDeposits"),
        world.get("creditQueueBounds"),
    )


# --- storage and code ------------------------------------------------------------------------------------


def test_genesis_writes_the_parameters(world):
    spec = world.spec
    world.set("lightClient", int.from_bytes(spec.contracts.addresses["PowLightClient"], "big"))
    expected = {
        "lightClient": "0x" + spec.contracts.addresses["PowLightClient"].hex(),
        "rewardPool": "0x" + spec.contracts.reward_pool.hex(),
        "owner": "0x" + spec.dpos.owner.hex(),
        "pendingOwner": "0x" + "00" * 20,
        "minWithdrawal": spec.bridge.min_withdrawal,
        "maxWaiting": spec.bridge.max_waiting,
        "maxRequests": spec.bridge.max_requests,
        "stallSlots": spec.dpos.stall_slots,
        "ownerDelay": spec.bridge.owner_delay,
        "dailyCap": spec.bridge.daily_outflow_cap,
        "pendingCap": 0,
        "counted": 0,
        "lastSet": 0,
    }
    assert {name: world.get(name) for name in expected} == expected
    assert 0 not in bridge.genesis_storage(spec).values()


def test_the_code_fits_and_its_events_are_known():
    assert len(artefact("Bridge").runtime) < 24_576
    assert len(events("Bridge")) == 13


def test_calldata_is_the_abis(world):
    members = [address(1), address(2)]
    assert bridge.on_block(3, 2, 1) == functions("Bridge")["onBlock"][0] + encode(["uint256"] * 3, [3, 2, 1])
    expected = functions("Bridge")["handover"][0] + encode(["uint256", "address[]"], [7, members])
    assert bridge.handover(7, members) == expected
    proof = bridge.DepositProof(b"\x01" * 80, 9, (b"\x02" * 32, b"\x03" * 32), 4, b"\x05" * 95)
    chosen, inputs, _ = functions("Bridge")["proveDeposit"]
    values = [proof.header, proof.index, proof.branch, proof.raw, proof.vout]
    assert bridge.prove_deposit(proof) == chosen + encode(inputs, values)
    assert world.withdraw(20_000, P2TR) == 1
