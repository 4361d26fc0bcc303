"""Withdrawals: what is taken and what is refused, before it has a number; requests and their accumulator."""

import pytest
from bridge_world import ALICE, P2TR, P2WPKH, P2WSH, UNIT, BridgeWorld
from contract_world import Reverted, address
from eth_abi import decode

from ioex_chain.crypto.address import deposit_script, reserve_change_script
from ioex_chain.evm import bridge
from ioex_chain.evm.bridge import Door, PauseReason, Withdraw
from ioex_chain.evm.bridge_messages import decode_accumulator
from ioex_chain.evm.types import SYSTEM_ADDRESS

COIN = 10**8


@pytest.fixture
def world() -> BridgeWorld:
    return BridgeWorld()


def refused(world: BridgeWorld, reason: str, script: bytes = P2WPKH, wei: int = 50_000 * UNIT) -> None:
    queued, balance = world.reader.queued, world.balance(world.at)
    with pytest.raises(Reverted) as error:
        world.bridge(ALICE, "withdraw", script, value=wei)
    assert str(error.value) == reason
    assert (world.reader.queued, world.balance(world.at)) == (queued, balance)


def test_withdrawals_are_numbered_and_keep_their_coins_here(world):
    numbers = [world.withdraw(30_000, script) for script in (P2WPKH, P2WSH, P2TR)]
    assert numbers == [1, 2, 3]
    assert world.event_names("Bridge") == ["WithdrawalRequested"]
    assert decode(["uint256", "bytes"], world.logs[0].data) == (30_000, P2TR)
    assert world.logs[0].topics[1] == (3).to_bytes(32, "big")
    assert world.logs[0].topics[2][12:] == ALICE
    assert world.balance(world.at) == 90_000 * UNIT
    reader = world.reader
    assert (reader.queued, reader.drained, reader.withdrawals_count) == (3, 0, 3)
    assert reader.requested_units == 90_000
    assert [bridge.decode_request(reader.request(number)) for number in numbers] == [
        Withdraw(1, 30_000, P2WPKH),
        Withdraw(2, 30_000, P2WSH),
        Withdraw(3, 30_000, P2TR),
    ]
    assert [world.get("request", number) for number in numbers] == list(reader.requests(1, 3))
    assert reader.request(0) is None
    assert reader.request(4) is None
    assert world.get("request", 4) == b""
    with pytest.raises(LookupError, match="no request 4"):
        reader.requests(1, 4)


def test_the_bytes_of_a_request(world):
    world.withdraw(0x0102030405, P2WSH)
    head = "10" + "0000000000000001" + "0000000102030405"
    assert world.get("request", 1).hex() == head + P2WSH.hex()


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"\x00\x14" + bytes(19),
        b"\x00\x14" + bytes(21),
        b"\x00\x20" + bytes(31),
        b"\x51\x14" + bytes(20),
        b"\x00\x15" + bytes(20),
        b"\x52\x20" + bytes(32),
        b"\x00\x21" + bytes(32),
        b"\x6a\x14" + bytes(20),
        deposit_script(ALICE),
        reserve_change_script(),
        b"\x76\xa9\x14" + bytes(20) + b"\x88\xac",
    ],
)
def test_only_three_script_forms_are_paid(world, script):
    refused(world, "script form", script)


def test_a_longer_script_is_no_calldata(world):
    with pytest.raises(Reverted):
        world.bridge(ALICE, "withdraw", P2WSH + b"\0", value=50_000 * UNIT)


def test_an_amount_is_whole_units_within_bounds(world):
    refused(world, "not a multiple of 1e10 wei", wei=50_000 * UNIT + 1)
    refused(world, "not a multiple of 1e10 wei", wei=50_000 * UNIT - 1)
    refused(world, "not a multiple of 1e10 wei", wei=1)
    refused(world, "below the minimum", wei=0)
    refused(world, "below the minimum", wei=19_999 * UNIT)
    refused(world, "more than an output may hold", wei=(20_000_000 * COIN + 1) * UNIT)
    assert world.withdraw(20_000) == 1
    world.set("dailyCap", 10**18)
    assert world.withdraw(20_000_000 * COIN) == 2


def test_the_daily_cap_holds_by_utc_days(world):
    cap = world.spec.bridge.daily_outflow_cap
    start = world.time - world.time % 86_400
    world.time = start
    world.withdraw(cap - 50_000)
    world.time = start + 86_399
    refused(world, "over the daily cap", wei=50_001 * UNIT)
    world.withdraw(30_000)
    world.withdraw(20_000)
    refused(world, "over the daily cap", wei=20_000 * UNIT)
    assert world.get("outflowToday") == world.reader.outflow_on(world.time) == cap
    world.time = start + 86_400
    assert world.get("outflowToday") == world.reader.outflow_on(world.time) == 0
    refused(world, "over the daily cap", wei=(cap + 1) * UNIT)
    world.withdraw(cap)
    refused(world, "over the daily cap", wei=20_000 * UNIT)


def test_requests_are_drained_in_order_under_one_accumulator(world):
    expected, accumulator = [], bytes(32)
    assert world.next_block() == (bridge.accumulator_request(0, bytes(32)),)
    drained = []
    for number in range(1, 601):
        world.withdraw(20_000 + number, (P2WPKH, P2WSH, P2TR)[number % 3])
        request = bridge.encode_request(Withdraw(number, 20_000 + number, (P2WPKH, P2WSH, P2TR)[number % 3]))
        accumulator = bridge.accumulate(accumulator, request)
        assert world.reader.accumulator(number) == accumulator
        expected.append(request)
    counts = []
    for _ in range(4):
        *requests, last = world.next_block()
        drained += requests
        count, acc = decode_accumulator(last)
        assert acc == world.reader.accumulator(count) == world.get("accumulator", count)
        counts.append((len(requests), count))
    assert counts == [(256, 256), (256, 512), (88, 600), (0, 600)]
    assert drained == expected


def test_the_last_item_says_what_came_before_too(world):
    world.withdraw(20_000)
    first = world.next_block()
    second = world.next_block()
    assert len(first) == 2
    assert second == first[-1:]
    assert world.reader.drained_before == world.reader.drained == 1


def test_a_handover_is_drained_at_once_with_all_before_it(world):
    world.set("maxRequests", 2)
    for _ in range(5):
        world.withdraw(20_000)
    world.raw(SYSTEM_ADDRESS, world.at, bridge.handover(1, [address(1)]))
    world.withdraw(20_000)
    assert len(world.next_block()) == 6 + 1
    assert (world.reader.drained_before, world.reader.drained) == (0, 6)
    assert len(world.next_block()) == 1 + 1
    for _ in range(3):
        world.withdraw(20_000)
    assert len(world.next_block()) == 2 + 1


def test_what_is_not_drained_waits_too(world):
    world.set("maxRequests", 1)
    world.set("maxWaiting", 3)
    for _ in range(3):
        world.withdraw(20_000)
    world.next_block(final=0)
    world.next_block(final=0)
    refused(world, "too many wait")
    world.next_block(final=2)  # the block of slot 1 drained one of them, and is final
    assert world.reader.waiting == 2
    world.withdraw(20_000)
    refused(world, "too many wait")


def test_only_so_many_wait_for_finality(world):
    limit = 5
    world.set("maxWaiting", limit)
    world.next_block(final=0)
    for _ in range(limit):
        world.withdraw(20_000)
    refused(world, "too many wait")
    world.next_block(final=0)
    refused(world, "too many wait")
    assert world.reader.waiting == limit
    world.next_block(final=1)  # what stood at slot 1 is final: none of them
    refused(world, "too many wait")
    world.next_block(final=2)  # marks were set at slots 1 and 3
    refused(world, "too many wait")
    world.next_block(final=3)
    assert world.reader.waiting == 0
    assert world.withdraw(20_000) == limit + 1
    assert world.get("finalityNote") == (5, 3, limit)


def test_waiting_is_never_counted_too_low(world):
    """After every block at least the withdrawals above the final slot; none soon after finality moves."""
    made, by_slot = 0, {0: 0}
    finals = [0, 0, 1, 1, 1, 4, 5, 5, 5, 5, 9, 10, 11, 12, 13, 14, 15, 16]
    for slot, final in enumerate(finals, 1):
        if slot < 12:
            world.withdraw(20_000)
            made += 1
        world.next_block(final=final)
        by_slot[slot] = made
        assert world.reader.waiting >= made - by_slot[final]
    assert world.reader.waiting == 0


def test_a_stall_of_finality_closes_the_door_and_ends_by_itself(world):
    stall = world.spec.dpos.stall_slots
    world.next_block(final=0, slots=stall - 1)
    world.withdraw(20_000)
    world.next_block(final=0)
    assert world.reader.pause_reasons(Door.OUT) == PauseReason.STALL
    assert world.reader.pause_reasons(Door.IN) == PauseReason(0)
    assert world.get("pauseReasons", 1) == 4
    assert world.get("isPaused", 1)
    assert not world.get("isPaused", 0)
    refused(world, "paused while finality stalls")
    world.raw(SYSTEM_ADDRESS, world.at, bridge.handover(1, [address(1)]))  # never paused
    for _ in range(100):
        world.next_block(final=0)
    refused(world, "paused while finality stalls")
    world.next_block(final=world.slot)
    assert not world.reader.is_paused(Door.OUT)
    assert world.withdraw(20_000) == 3


def test_retired_coins_stay_here_and_are_counted(world):
    with pytest.raises(Reverted, match="no amount"):
        world.bridge(ALICE, "retire")
    world.bridge(ALICE, "retire", value=7)
    world.bridge(address(2), "retire", value=5)
    assert world.event_names("Bridge") == ["Retired"]
    assert world.balance(world.at) == world.reader.retired_wei == world.get("retiredTotal") == 12
    assert world.reader.queued == 0


@pytest.mark.parametrize("data", [b"", b"\x01\x02\x03\x04", b"\x01"])
def test_a_plain_payment_is_refused(world, data):
    with pytest.raises(Reverted):
        world.raw(ALICE, world.at, data, value=1)
    assert world.balance(world.at) == 0
