"""Workload's receipts: who signs, what counts once, what is refused, and the points that come of them."""

from dataclasses import replace

import contract_world
import pytest
from contract_world import Reverted, address, private_key
from contribution_world import ALL_HOURS, GIB, Contribution, fields
from eth_account import Account
from eth_account.messages import encode_typed_data

from ioex_chain.evm.contribution import WorkKind
from ioex_chain.evm.contribution_receipts import Denial, Device, Downloads, Receipt, digest, sign, typed_data

ALICE, BOB, CAROL, RELAYER = address(1), address(2), address(3), address(4)
WORK = "Workload"


@pytest.fixture
def world() -> Contribution:
    """Nodes: 5 and 7 of Alice, 6 of Bob; a new epoch has begun."""
    made = Contribution()
    for owner, name in ((ALICE, "a"), (BOB, "b"), (ALICE, "c")):
        made.add(owner, name)
    made.go_to(made.epoch + 1)
    return made


def report_all(world, epoch: int, node: int, seen: int = ALL_HOURS) -> None:
    """Have all reporters say in which hours of an epoch they saw a node, on the day after it."""
    world.go_to(epoch + 1)
    for reporter in world.reporters:
        world.report(reporter, epoch, node, seen=seen)


def test_bytes_become_points_by_the_weights(world):
    epoch = world.epoch
    for kind, amount in (
        (WorkKind.RELAYED, 2 * GIB),
        (WorkKind.STORED, 3 * GIB),
        (WorkKind.TRANSFERRED, GIB),
    ):
        world.hand_in(world.receipt(5, 6, amount, kind=kind), sender=RELAYER)
    assert world.names() == ["ReceiptCounted"]
    weights = world.given.workload[1:4]
    served = 2 * weights[0] + 3 * weights[1] + weights[2]
    assert world.work(epoch, 5) == {
        "hours": 0,
        "relayed": 2 * GIB,
        "stored": 3 * GIB,
        "transferred": GIB,
        "points": 0,  # nobody has seen it yet
        "struck": False,
        "settled": False,
        "qualified": False,
    }
    report_all(world, epoch, 5, seen=(1 << 12) - 1)
    points = 12 * world.given.workload[0] + served // 2
    assert world.ask(WORK, "totalsOf", epoch) == (False, points, 0)
    assert world.ask(WORK, "outcome", epoch, 5) == (points, False)
    assert world.ask(WORK, "outcome", epoch, 6) == (0, False)
    pair, given = world.ask(WORK, "usedOf", epoch, 5, 6)
    assert pair == given == (2 * GIB, 3 * GIB, GIB)


def test_small_receipts_are_worth_their_sum(world):
    world.hand_in(*(world.receipt(5, 6, GIB // 3 + 1) for _ in range(3)))
    epoch = world.epoch
    report_all(world, epoch, 5)
    uptime, weight = 24 * world.given.workload[0], world.given.workload[1]
    assert world.work(epoch, 5)["points"] == uptime + weight  # nothing is lost to rounding


def test_a_receipt_counts_once(world):
    receipt = world.receipt(5, 6, GIB)
    assert world.ask(WORK, "receiptState", fields(receipt)) == (0, 0)
    world.hand_in(receipt)
    assert world.ask(WORK, "receiptState", fields(receipt)) == (1, GIB)
    for again in (receipt, replace(receipt, amount=2 * GIB)):  # a nonce names one receipt
        with pytest.raises(Reverted, match="counted before"):
            world.hand_in(again)
    fresh = world.receipt(5, 6, GIB)
    assert world.hand_in_together(fresh, receipt, fresh) == 1
    assert world.work(world.epoch, 5)["relayed"] == 2 * GIB


def test_the_same_signature_in_its_other_form_counts_no_second_time(world):
    receipt = world.receipt(5, 6, GIB)
    world.hand_in(receipt)
    signature = world.signature(receipt)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = order - int.from_bytes(signature[32:64], "big")
    twin = signature[:32] + s.to_bytes(32, "big") + bytes((55 - signature[64],))
    with pytest.raises(Reverted, match="counted before"):
        world.call(RELAYER, WORK, "submitReceipt", fields(receipt), twin)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": 0}, "no such kind"),
        ({"kind": 4}, "no such kind"),
        ({"amount": 0}, "no amount"),
        ({"amount": 16 * GIB + 1}, "over the cap"),
        ({"amount": 1 << 64}, "over the cap"),
        ({"node": 99}, "the node is not active"),
        ({"counterparty": 7}, "both have one owner"),
        ({"counterparty": 5}, "both have one owner"),
        ({"epoch": 1 << 255}, "the epoch has not begun"),
    ],
)
def test_what_is_refused(world, changes, reason):
    receipt = replace(world.receipt(5, 6, GIB), **changes)
    with pytest.raises(Reverted, match=reason):
        world.hand_in(receipt)
    assert world.ask(WORK, "totalsOf", world.epoch)[1] == 0


def test_an_unknown_counterparty_is_not_active(world):
    receipt = replace(world.receipt(5, 6, GIB), counterparty=99)
    signature = world.signature(receipt, by="b")
    with pytest.raises(Reverted, match="the counterparty is not active"):
        world.call(RELAYER, WORK, "submitReceipt", fields(receipt), signature)


def test_only_the_counterpartys_device_account_signs(world):
    receipt = world.receipt(5, 6, GIB)
    other_chain = replace(world.spec, dpos=replace(world.spec.dpos, chain_id=1))
    wrong = [
        world.signature(receipt, by="a"),
        world.signature(replace(receipt, amount=GIB + 1)),
        world.signature(Denial(5, 6, receipt.epoch, receipt.kind, receipt.nonce)),
        sign(other_chain, receipt, private_key("b")),
    ]
    for signature in wrong:
        with pytest.raises(Reverted, match="not signed by the counterparty"):
            world.call(RELAYER, WORK, "submitReceipt", fields(receipt), signature)
    right = world.signature(receipt)
    for signature, reason in (
        (right[:64], "signature length"),
        (bytes(65), "signature"),
        (right[:64] + b"\x1d", "signature"),
    ):
        with pytest.raises(Reverted, match=reason):
            world.call(RELAYER, WORK, "submitReceipt", fields(receipt), signature)


def test_in_one_call_what_does_not_count_is_passed_over(world):
    """Nobody spoils the others by handing one in first, or by retiring his node."""
    first, own, retired, good = (world.receipt(5, other, GIB) for other in (6, 7, 8, 6))
    world.devices[8] = "a"  # no such node
    world.hand_in(first)
    assert world.hand_in_together(first, own, retired, good) == 1
    assert world.names() == ["ReceiptCounted"]
    assert world.work(world.epoch, 5)["relayed"] == 2 * GIB
    with pytest.raises(Reverted, match="none counts"):
        world.hand_in_together(first, own)
    with pytest.raises(Reverted, match="none counts"):
        world.hand_in_together()
    with pytest.raises(Reverted, match="one signature for each receipt"):
        world.call(RELAYER, WORK, "submitReceipts", [fields(own)], [])


def test_32_receipts_in_one_call(world):
    assert world.hand_in_together(*(world.receipt(5, 6, GIB // 4) for _ in range(32))) == 32
    assert world.gas_used < 1_600_000
    assert world.work(world.epoch, 5)["relayed"] == 8 * GIB


def test_no_receipt_is_passed_over_for_want_of_gas(world, monkeypatch):
    """Whoever estimates gas by trying less and less must not find an amount with which some fail unseen."""
    receipts = [world.receipt(5, 6, GIB // 4) for _ in range(8)]
    for gas in range(100_000, 1_200_000, 50_000):
        monkeypatch.setattr(contract_world, "GAS", gas)
        try:
            counted = world.hand_in_together(*receipts)
        except Reverted:
            continue
        assert counted == 8
        return
    pytest.fail("1,200,000 gas are enough")


def test_caps_of_a_pair_and_of_a_giver(world):
    pair_cap, giver_cap = world.given.workload[4:6]
    world.hand_in(world.receipt(5, 6, pair_cap))
    with pytest.raises(Reverted, match="over the cap"):
        world.hand_in(world.receipt(5, 6, 1))
    world.hand_in(world.receipt(5, 6, pair_cap, kind=WorkKind.STORED))  # each kind has its own
    others = [world.add(CAROL, f"carol {number}") for number in range(4)]
    epoch = world.epoch + 1
    world.go_to(epoch)
    for node in others:
        world.hand_in(world.receipt(node, 6, giver_cap // 4))
    with pytest.raises(Reverted, match="over the cap"):
        world.hand_in(world.receipt(5, 6, 1))
    world.hand_in(world.receipt(5, others[0], pair_cap))


def test_an_epoch_takes_receipts_while_it_runs_and_one_more(world):
    epoch = world.epoch
    with pytest.raises(Reverted, match="the epoch has not begun"):
        world.hand_in(world.receipt(5, 6, 1, epoch=epoch + 1))
    world.go_to(epoch + 2)
    world.time -= 1
    world.hand_in(world.receipt(5, 6, 1, epoch=epoch))
    world.time += 1
    with pytest.raises(Reverted, match="too late for the epoch"):
        world.hand_in(world.receipt(5, 6, 1, epoch=epoch))


def test_no_receipt_for_an_epoch_before_either_was_registered(world):
    fresh = world.add(CAROL, "fresh")
    before = world.epoch - 1
    for receipt in (world.receipt(fresh, 1, 1, epoch=before), world.receipt(5, fresh, 1, epoch=before)):
        signature = world.signature(receipt, by="fresh")
        with pytest.raises(Reverted, match="before the node was registered"):
            world.call(RELAYER, WORK, "submitReceipt", fields(receipt), signature)
    world.hand_in(world.receipt(5, fresh, 1))


@pytest.mark.parametrize("node", [5, 6])
def test_a_node_that_is_suspended_or_retired_neither_works_nor_signs(world, node):
    receipt = world.receipt(5, 6, GIB)
    world.call(world.owner, "NodeRegistry", "suspend", node)
    with pytest.raises(Reverted, match="is not active"):
        world.hand_in(receipt)
    world.call(world.owner, "NodeRegistry", "resume", node)
    world.call(world.owner, "NodeRegistry", "retire", node)
    with pytest.raises(Reverted, match="is not active"):
        world.hand_in(receipt)


def test_an_epochs_rules_are_those_of_its_first_receipt(world):
    epoch = world.epoch
    world.hand_in(world.receipt(5, 6, GIB))
    report_all(world, epoch, 5)
    world.change(WORK, 1, 77)
    later = world.epoch
    world.hand_in(world.receipt(5, 6, GIB, epoch=later))
    report_all(world, later, 5)
    uptime = 24 * world.given.workload[0]
    assert world.work(epoch, 5)["points"] == uptime + world.given.workload[1]
    assert world.work(later, 5)["points"] == uptime + 77
    assert world.ask(WORK, "rulesOf", epoch)[0] == world.given.workload[:4]
    assert world.ask(WORK, "rulesOf", later)[0][1] == 77


# --- the form that is signed -----------------------------------------------------------------------------

MESSAGES = [
    Receipt(5, 6, 20_833, 1, GIB, 7),
    Denial(5, 6, 20_833, 1, 7),
    Downloads(3, 12),
    Device(ALICE, bytes(range(32))),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_wallets_sign_the_same_digest(world, message):
    """eth_account, an implementation of EIP-712 that is not ours, from the JSON form."""
    signable = encode_typed_data(full_message=typed_data(world.spec, message))
    signed = Account.sign_message(signable, private_key("b"))
    assert bytes(signed.message_hash) == digest(world.spec, message)
    assert bytes(signed.signature) == sign(world.spec, message, private_key("b"))


def test_contracts_compute_the_same_digests(world):
    receipt, denial, downloads, device = MESSAGES
    asked = {
        receipt: world.ask(WORK, "receiptDigest", fields(receipt)),
        denial: world.ask(WORK, "denialDigest", fields(receipt)),
        downloads: world.ask("ServiceLedger", "downloadsDigest", 3, 12),
        device: world.ask("NodeRegistry", "deviceDigest", ALICE, device.uid),
    }
    assert asked == {message: digest(world.spec, message) for message in MESSAGES}
