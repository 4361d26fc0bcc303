"""Credits: rewards by buried height, each height once; the queue; what `onBlock` and `handover` may."""

import pytest
from bridge_world import ALICE, BridgeWorld, payment
from contract_world import Reverted, address
from eth_abi import decode

from ioex_chain.evm import bridge
from ioex_chain.evm.bridge import Handover
from ioex_chain.evm.types import SYSTEM_ADDRESS, Withdrawal

REWARD = 20 * 10**9
"""Gwei for a height."""


@pytest.fixture
def world() -> BridgeWorld:
    return BridgeWorld()


def bury(world: BridgeWorld, height: int) -> None:
    world.client("bury(uint256)", height)


def system(world: BridgeWorld, data: bytes) -> None:
    world.raw(SYSTEM_ADDRESS, world.at, data)


# --- rewards ---------------------------------------------------------------------------------------------


def test_each_buried_height_pays_the_reward_pool_once(world):
    world.next_block()
    assert world.reader.due_credits() == ()
    bury(world, 3)
    world.next_block()
    assert world.event_names("Bridge") == ["RewardsCounted"]
    assert decode(["uint256"] * 3, world.logs[0].data) == (1, 3, 0)
    assert world.reader.due_credits() == (Withdrawal(0, 0, world.pool, 3 * REWARD),)
    assert world.reader.counted_height == 3
    world.next_block()
    assert world.balance(world.pool) == 60 * 10**18
    assert world.reader.due_credits() == ()
    bury(world, 4)
    world.next_block()
    assert world.reader.due_credits() == (Withdrawal(1, 0, world.pool, REWARD),)
    assert world.reader.credited_rewards == 4 * REWARD


def test_a_reorganisation_counts_no_height_twice(world):
    for height, credited in ((5, 5), (3, 5), (5, 5), (4, 5), (6, 6), (0, 6), (7, 7)):
        bury(world, height)
        for _ in range(10):
            world.next_block()
            assert world.reader.counted_height == credited
            assert world.reader.credited_rewards == credited * REWARD
    assert world.balance(world.pool) == 140 * 10**18


def test_many_heights_are_counted_512_a_block(world):
    bury(world, 1_100)
    counted = []
    for _ in range(4):
        world.next_block()
        counted.append(world.reader.counted_height)
    assert counted == [512, 1_024, 1_100, 1_100]
    world.next_block()
    assert world.balance(world.pool) == 22_000 * 10**18


# --- the queue -------------------------------------------------------------------------------------------


def test_the_queue_is_paid_in_order_and_without_gaps(world):
    _, proofs = world.buried_block(*[payment(str(at), address(100 + at)) for at in range(40)])
    for at in range(40):
        world.prove(proofs.prove(at + 1, 1))
    queued = sum(credit.amount for credit in world.reader.due_credits(limit=100))
    assert queued == world.reader.queued_gwei() == 40 * 50_000_000
    seen = []
    for _ in range(6):
        world.next_block()
        seen.append(len(world.next_due))
    assert seen == [16, 16, 9, 0, 0, 0]  # 40 deposits and the rewards
    assert [credit.index for credit in world.taken] == list(range(41))
    assert all(world.balance(address(100 + at)) == 5 * 10**16 for at in range(40))
    assert (world.reader.credit_head, world.reader.credit_tail) == (41, 41)
    assert world.get("creditQueueBounds") == (41, 41)


def test_no_more_is_taken_than_is_queued(world):
    bury(world, 1)
    with pytest.raises(Reverted, match="more than is queued"):
        system(world, bridge.on_block(1, 1, 0))
    world.next_block()
    with pytest.raises(Reverted, match="more than is queued"):
        system(world, bridge.on_block(2, 2, 0))
    system(world, bridge.on_block(1, 2, 0))
    with pytest.raises(Reverted, match="more than is queued"):
        system(world, bridge.on_block(1, 3, 0))


def test_amounts_of_nothing_are_never_queued(world):
    bury(world, 2)
    for _ in range(3):
        world.next_block()
    assert [credit.amount for credit in world.taken] == [2 * REWARD]
    _, proofs = world.buried_block(payment(amount=0), height=2)
    with pytest.raises(Reverted, match="no amount"):
        world.prove(proofs.prove(1, 1))


# --- only the protocol -----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [bridge.on_block(0, 1, 0), bridge.handover(1, [address(1)])])
def test_only_the_protocol_closes_blocks_and_hands_over(world, data):
    for sender in (ALICE, world.owner, world.pool, world.light_client, bytes(20)):
        with pytest.raises(Reverted, match="only the protocol"):
            world.raw(sender, world.at, data)
    system(world, data)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ((0, 5, 3), (0, 5, 3), "slot"),
        ((0, 5, 3), (0, 4, 3), "slot"),
        ((0, 5, 3), (0, 2**48, 3), "slot"),
        ((0, 5, 3), (0, 6, 2), "final slot"),
        ((0, 5, 3), (0, 6, 7), "final slot"),
    ],
)
def test_slots_only_rise(world, first, second, reason):
    system(world, bridge.on_block(*first))
    with pytest.raises(Reverted) as error:
        system(world, bridge.on_block(*second))
    assert str(error.value) == reason
    assert (world.reader.slot, world.reader.final_slot) == (5, 3)
    assert world.get("finalityNote") == (5, 3, 0)


# --- handovers -------------------------------------------------------------------------------------------


def test_a_handover_travels_in_the_stream_of_requests(world):
    members = [address(at) for at in range(1, 52)]
    world.withdraw(30_000)
    system(world, bridge.handover(1, members))
    world.withdraw(40_000)
    drained = world.next_block()
    assert len(drained) == 4
    assert bridge.decode_request(drained[1]) == Handover(2, 1, tuple(members))
    assert world.get("request", 2) == drained[1] == world.reader.request(2)
    assert drained[1] == b"\x11" + bytes(7) + b"\x02" + bytes(7) + b"\x01" + b"".join(members)
    assert world.reader.last_set == 1
    assert world.get("requests") == (3, 3, 2)


@pytest.mark.parametrize("count", [1, 2, 13, 63, 64])
def test_a_set_of_any_size_is_told(world, count):
    members = tuple(address(at) for at in range(1, count + 1))
    system(world, bridge.handover(1, members))
    request, last = world.next_block()
    assert bridge.decode_request(request) == Handover(1, 1, members)
    assert last == bridge.accumulator_request(1, bridge.accumulate(bytes(32), request))
    assert world.get("request", 1) == request


def test_set_numbers_rise_by_one(world):
    for number in (0, 2, 2**64):
        with pytest.raises(Reverted, match="set number"):
            system(world, bridge.handover(number, [address(1)]))
    system(world, bridge.handover(1, [address(1)]))
    for number in (0, 1, 3):
        with pytest.raises(Reverted, match="set number"):
            system(world, bridge.handover(number, [address(2)]))
    system(world, bridge.handover(2, [address(1)]))
    assert world.reader.queued == 2


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([], "no members"),
        ([bytes(20)], "no member"),
        ([address(1), bytes(20)], "no member"),
        ([address(1), address(2), address(1)], "member twice"),
        ([address(2), address(1), address(1)], "member twice"),
    ],
)
def test_a_set_has_members_and_none_twice(world, members, reason):
    with pytest.raises(Reverted) as error:
        system(world, bridge.handover(1, members))
    assert str(error.value) == reason
    assert world.reader.queued == 0


def test_a_set_larger_than_the_list_is_no_calldata(world):
    with pytest.raises(ValueError, match="at most 64"):
        bridge.handover(1, [address(at) for at in range(65)])
    data = bridge.handover(1, [address(at + 1) for at in range(64)])
    forged = data[:68] + (65).to_bytes(32, "big") + data[100:] + address(65).rjust(32, b"\0")
    with pytest.raises(Reverted):
        system(world, forged)


def test_a_flood_of_proofs_delays_nobody_for_long(world):
    """Whoever pays for them could queue a thousand credits a block, of which 16 are paid."""
    _, proofs = world.buried_block(payment("one"), payment("two"), payment("three"))
    world.set("creditQueue", 7 | (7 + 1023) << 64)
    assert world.prove(proofs.prove(1, 1)) == 7 + 1023
    with pytest.raises(Reverted, match="too many wait"):
        world.prove(proofs.prove(2, 1))
    assert world.prove(proofs.prove(2, 1), sender=SYSTEM_ADDRESS) == 7 + 1024
    world.set("creditQueue", 9 | (7 + 1025) << 64)
    assert world.prove(proofs.prove(3, 1)) == 7 + 1025
