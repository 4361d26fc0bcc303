"""Workload's challenges: what shows a contradiction, who may object; what is struck earns nothing."""

from dataclasses import replace

import pytest
from contract_world import Reverted, address
from contribution_world import GIB, Contribution, fields

from ioex_chain.evm.contribution import StrikeReason, WorkKind
from ioex_chain.evm.contribution_receipts import Denial, Receipt

ALICE, BOB, ANYBODY = address(1), address(2), address(9)
WORK = "Workload"


@pytest.fixture
def world() -> Contribution:
    """Node 5 of Alice has two receipts of 1 GiB from node 6 of Bob, and 24 hours of three reporters."""
    made = Contribution()
    made.add(ALICE, "a")
    made.add(BOB, "b")
    made.go_to(made.epoch + 1)
    made.hand_in(*(made.receipt(5, 6, GIB, nonce=nonce) for nonce in (1, 2)))
    epoch = made.epoch
    made.go_to(epoch + 1)
    for reporter in made.reporters[:3]:
        made.report(reporter, epoch, 5)
    return made


def receipt(world: Contribution, nonce: int = 1) -> Receipt:
    return Receipt(5, 6, world.epoch - 1, WorkKind.RELAYED, GIB, nonce)


def denial(of: Receipt) -> Denial:
    return Denial(of.node, of.counterparty, of.epoch, of.kind, of.nonce)


def points(world: Contribution, gibs: int, hours: int = 24) -> int:
    return hours * world.given.workload[0] + gibs * world.given.workload[1]


def strike_reason(world: Contribution) -> int:
    assert world.names() in (["ReceiptStruck"], ["DayStruck"], ["Objected", "DayStruck"])
    return int.from_bytes(world.logs[-1].data[-32:], "big")


def test_a_denied_receipt_is_struck(world):
    struck, other = receipt(world), receipt(world, 2)
    assert world.work(struck.epoch, 5)["points"] == points(world, 2)
    signature = world.signature(denial(struck))
    world.call(ANYBODY, WORK, "strikeDenied", fields(struck), signature)
    assert strike_reason(world) == StrikeReason.DENIED
    assert world.ask(WORK, "receiptState", fields(struck)) == (2, GIB)
    assert world.work(struck.epoch, 5)["relayed"] == GIB
    assert world.work(struck.epoch, 5)["points"] == points(world, 1)
    assert world.ask(WORK, "totalsOf", struck.epoch)[1] == points(world, 1)
    with pytest.raises(Reverted, match="no such receipt counts"):
        world.call(ANYBODY, WORK, "strikeDenied", fields(struck), signature)
    with pytest.raises(Reverted, match="counted before"):
        world.hand_in(struck)  # never again
    assert world.ask(WORK, "usedOf", struck.epoch, 5, 6)[0][0] == 2 * GIB  # the cap stays used
    assert world.ask(WORK, "receiptState", fields(other)) == (1, GIB)


def test_only_the_counterparty_denies(world):
    struck = receipt(world)
    for signature in (
        world.signature(denial(struck), by="a"),
        world.signature(denial(receipt(world, 2))),
        world.signature(struck),
    ):
        with pytest.raises(Reverted, match="not signed by the counterparty"):
            world.call(ALICE, WORK, "strikeDenied", fields(struck), signature)
    unknown = receipt(world, 3)
    with pytest.raises(Reverted, match="no such receipt counts"):
        world.call(ANYBODY, WORK, "strikeDenied", fields(unknown), world.signature(denial(unknown)))


def test_two_amounts_under_one_nonce_strike_what_counted(world):
    counted = receipt(world)
    other = replace(counted, amount=2 * GIB)
    with pytest.raises(Reverted, match="the same receipt"):
        world.call(ANYBODY, WORK, "strikeConflict", fields(counted), world.signature(counted))
    with pytest.raises(Reverted, match="not signed by the counterparty"):
        world.call(ANYBODY, WORK, "strikeConflict", fields(other), world.signature(other, by="a"))
    world.call(ANYBODY, WORK, "strikeConflict", fields(other), world.signature(other))
    assert strike_reason(world) == StrikeReason.CONFLICT
    assert world.work(counted.epoch, 5)["points"] == points(
        world, 1
    )  # what was counted goes, not what was shown


def test_receipts_of_a_suspended_counterparty(world):
    struck = receipt(world)
    with pytest.raises(Reverted, match="is not suspended"):
        world.call(ANYBODY, WORK, "strikeSuspended", fields(struck))
    world.call(world.owner, "NodeRegistry", "suspend", 6)
    world.call(ANYBODY, WORK, "strikeSuspended", fields(struck))
    assert strike_reason(world) == StrikeReason.SUSPENDED
    assert world.work(struck.epoch, 5)["points"] == points(world, 1)


def test_the_epoch_of_a_suspended_node(world):
    epoch = world.epoch - 1
    with pytest.raises(Reverted, match="is not suspended"):
        world.call(ANYBODY, WORK, "strikeNode", epoch, 5)
    world.call(world.owner, "NodeRegistry", "suspend", 5)
    world.call(ANYBODY, WORK, "strikeNode", epoch, 5)
    assert strike_reason(world) == StrikeReason.SUSPENDED
    assert (world.work(epoch, 5)["points"], world.work(epoch, 5)["struck"]) == (0, True)
    assert world.ask(WORK, "totalsOf", epoch) == (False, 0, 0)
    with pytest.raises(Reverted, match="the node's epoch is struck"):
        world.call(ANYBODY, WORK, "strikeNode", epoch, 5)
    world.call(world.owner, "NodeRegistry", "resume", 5)
    with pytest.raises(Reverted, match="the node's epoch is struck"):
        world.hand_in(world.receipt(5, 6, GIB, epoch=epoch))
    with pytest.raises(Reverted, match="none counts"):
        world.report(world.reporters[3], epoch, 5)
    struck = receipt(world)
    world.call(ANYBODY, WORK, "strikeDenied", fields(struck), world.signature(denial(struck)))
    assert world.ask(WORK, "totalsOf", epoch) == (False, 0, 0)  # nothing is taken off twice


def test_a_majority_of_the_reporters_objects(world):
    epoch = world.epoch - 1
    with pytest.raises(Reverted, match="only a reporter"):
        world.call(ANYBODY, WORK, "object", epoch, 5)
    for reporter in world.reporters[:2]:
        world.call(reporter, WORK, "object", epoch, 5)
        assert world.names() == ["Objected"]
    with pytest.raises(Reverted, match="counted before"):
        world.call(world.reporters[0], WORK, "object", epoch, 5)
    assert world.work(epoch, 5)["points"] == points(world, 2)
    world.call(world.reporters[3], WORK, "object", epoch, 5)
    assert strike_reason(world) == StrikeReason.OBJECTED
    assert world.work(epoch, 5)["points"] == 0
    assert world.ask(WORK, "sightingsOf", epoch, 5)[2] == 0b1011


def test_reporters_object_to_a_fellows_node_without_him(world):
    epoch, fellow = world.epoch - 1, world.reporters[0]
    for reporter in world.reporters[1:3]:
        world.report(reporter, epoch, 1)
    assert world.ask(WORK, "totalsOf", epoch)[2] == 1
    with pytest.raises(Reverted, match="both have one owner"):
        world.call(fellow, WORK, "object", epoch, 1)
    with pytest.raises(Reverted, match="no such node"):
        world.call(fellow, WORK, "object", epoch, 99)
    for reporter in world.reporters[2:]:
        world.call(reporter, WORK, "object", epoch, 1)
    assert world.work(epoch, 1)["struck"] is True
    assert world.ask(WORK, "totalsOf", epoch)[2] == 0  # and its quota is gone


def test_objections_need_no_report_before_them(world):
    epoch = world.epoch
    for reporter in world.reporters[1:3]:
        world.call(reporter, WORK, "object", epoch, 1)
    assert world.work(epoch, 1)["struck"] is True  # two of three, as with a report


def test_after_the_window_an_epoch_is_final(world):
    struck, epoch = receipt(world), world.epoch - 1
    world.call(world.owner, "NodeRegistry", "suspend", 6)
    world.finish(epoch)
    world.time -= 1
    assert world.ask(WORK, "isFinal", epoch) is False
    world.call(ANYBODY, WORK, "strikeSuspended", fields(struck))
    world.time += 1
    assert world.ask(WORK, "isFinal", epoch) is True
    assert world.ask(WORK, "totalsOf", epoch) == (True, points(world, 1), 0)
    left = replace(struck, nonce=2)
    for function, arguments in (
        ("strikeDenied", (fields(left), world.signature(denial(left)))),
        ("strikeConflict", (fields(left), world.signature(left))),
        ("strikeSuspended", (fields(left),)),
        ("strikeNode", (epoch, 6)),
    ):
        with pytest.raises(Reverted, match="the epoch is final"):
            world.call(ANYBODY, WORK, function, *arguments)
    with pytest.raises(Reverted, match="the epoch is final"):
        world.call(world.reporters[0], WORK, "object", epoch, 5)


def test_nothing_is_struck_before_its_epoch(world):
    world.call(world.owner, "NodeRegistry", "suspend", 5)
    with pytest.raises(Reverted, match="the epoch has not begun"):
        world.call(ANYBODY, WORK, "strikeNode", world.epoch + 1, 5)
    with pytest.raises(Reverted, match="the epoch has not begun"):
        world.call(world.reporters[0], WORK, "object", world.epoch + 1, 5)
