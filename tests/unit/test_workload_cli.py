"""`ioex workload` against the real contracts: reports, receipts, points, and the rewards that follow."""

import json
from pathlib import Path

import pytest
from bridge_cli_world import CliWorld
from sim.bridge_spec import OPERATORS, USER_ACCOUNTS

from ioex_chain.crypto.address import checksum_account
from ioex_chain.evm.contribution import parameters_of
from ioex_chain.wallet.contract_errors import InvalidArgument
from ioex_chain.wallet.workload import (
    Sighting,
    gas_text,
    parse_sighting,
    receipt_arguments,
    report_arguments,
)

GIB = 1 << 30
ALL = (1 << 24) - 1


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliWorld:
    return CliWorld(tmp_path, monkeypatch)


def running_epoch(shell: CliWorld) -> int:
    """Give the epoch of the next block."""
    seconds = parameters_of(shell.world.spec).epoch_seconds
    return (shell.world.dpos.head.header.header.timestamp + 30) // seconds


def reported(shell: CliWorld) -> int:
    """Have operators 0 and 1 say that nodes 3 and 4 were up in the last epoch; one of them by the command."""
    shell.bridge.pass_blocks(4)
    epoch = running_epoch(shell) - 1
    seen = [[3, 4], [ALL, 0b11]]
    shell.world.call(OPERATORS[1], "Workload", "reportUptime(uint256,uint256[],uint256[])", epoch, *seen)
    signer = ("--key-file", shell.key_file(OPERATORS[0]))
    found = shell.run("workload", "report", "3=all", "4=0-1", "--epoch", str(epoch), *signer)
    events = [event["event"] for event in found["events"]]
    assert events.count("UptimeReported") == 2
    return epoch


def final(shell: CliWorld) -> None:
    shell.bridge.pass_blocks(10)


def test_uptime_becomes_points_and_rewards(shell: CliWorld) -> None:
    epoch = reported(shell)
    rows = shell.run("workload", "show", "3", "4", "--epoch", str(epoch))["nodes"]
    assert [(row["hours"], row["qualified"]) for row in rows] == [(24, True), (2, False)]
    assert not rows[0]["final"]
    signer = ("--key-file", shell.key_file(USER_ACCOUNTS[0]))
    assert "not final" in shell.fail("workload", "settle", "3", "--epoch", str(epoch), *signer)
    final(shell)
    shell.run("workload", "settle", "3", "4", "--epoch", str(epoch), *signer)
    known = {"node": 3, "points": "24000000", "gas": "24.000000", "level": 0}
    assert shell.run("workload", "points", "3") == known
    owner = checksum_account(OPERATORS[2])
    whole = shell.run("workload", "points", owner)
    assert (whole["gas"], [row["node"] for row in whole["nodes"]]) == ("24.000000", [3])
    assert "24.000000 GAS, level 0" in shell.text("workload", "points", owner)
    assert "24 of 24 hours" in shell.text("workload", "show", "3", "--epoch", str(epoch))

    due = shell.run("rewards", "nodes", owner)
    assert due["nodes"] == [3]
    assert [row["epoch"] for row in due["due"]] == [epoch]
    before = shell.world.dpos.state.get_balance(OPERATORS[2])
    found = shell.run("rewards", "claim-nodes", "--key-file", shell.key_file(OPERATORS[2]))
    assert found["claimed"] == due["total"] == str((20 + 24) * 10**18)  # the quota, and an IOEX a GAS
    gas = sum(int(one["gas_used"]) for one in found["transactions"])
    assert gas
    assert before < shell.world.dpos.state.get_balance(OPERATORS[2]) < before + int(due["total"])
    assert shell.run("rewards", "nodes", owner)["total"] == "0"
    nobody = shell.fail("rewards", "claim-nodes", "--key-file", shell.key_file(USER_ACCOUNTS[1]))
    assert "knows no node" in nobody


def test_receipts_are_signed_by_the_device_and_handed_in_by_anybody(shell: CliWorld) -> None:
    shell.bridge.pass_blocks(4)
    epoch = running_epoch(shell)
    words = ["workload", "sign", "1", "2", "relayed", str(2 * GIB), "--epoch", str(epoch), "--nonce", "7"]
    one = shell.run(*words, "--device-key", shell.key_file(OPERATORS[1]))
    file = shell.folder / "receipts.json"
    file.write_text(json.dumps([one]))
    signer = ("--key-file", shell.key_file(USER_ACCOUNTS[0]))
    found = shell.run("workload", "receipts", str(file), *signer)
    event = found["events"][-1]
    assert (event["event"], event["arguments"]["amount"]) == ("ReceiptCounted", str(2 * GIB))
    (row,) = shell.run("workload", "show", "1", "--epoch", str(epoch))["nodes"]
    assert (row["relayed"], row["points"]) == (2 * GIB, 0)  # no reporter has seen the device
    again = shell.run(*words[:-1], "9", "--device-key", shell.key_file(OPERATORS[1]))
    file.write_text(json.dumps([one, again]))  # the first counts no second time
    assert "counted 1 of 2 receipts in block" in shell.text("workload", "receipts", str(file), *signer)
    forged = {**one, "amount": 3 * GIB, "nonce": 8}
    file.write_text(json.dumps([forged]))
    assert "revert" in shell.fail("workload", "receipts", str(file), *signer).lower()
    file.write_text("{")
    assert "is not JSON" in shell.fail("workload", "receipts", str(file), *signer)
    words[4] = "lost"
    assert "one of relayed, stored, transferred" in shell.fail(
        *words, "--device-key", shell.key_file(OPERATORS[1])
    )


def test_only_reporters_report_and_only_in_time(shell: CliWorld) -> None:
    shell.bridge.pass_blocks(6)
    signer = ("--key-file", shell.key_file(USER_ACCOUNTS[0]))
    assert "reporter" in shell.fail("workload", "report", "3=all", *signer)
    operator = ("--key-file", shell.key_file(OPERATORS[0]))
    late = str(running_epoch(shell) - 3)
    assert "too late" in shell.fail("workload", "report", "3=all", "--epoch", late, *operator)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("7=all", Sighting(7, ALL)),
        ("7=none", Sighting(7, 0)),
        ("7=0", Sighting(7, 1)),
        ("12=0-5,7", Sighting(12, 0b10111111)),
        ("1=23", Sighting(1, 1 << 23)),
    ],
)
def test_hours_are_read(text: str, found: Sighting) -> None:
    assert parse_sighting(text) == found


@pytest.mark.parametrize("text", ["7", "0=all", "x=all", "7=24", "7=5-4", "7=", "7=1,,2", "7=-1", "²=all"])
def test_what_is_no_hours(text: str) -> None:
    with pytest.raises(InvalidArgument, match="NODE=all"):
        parse_sighting(text)


def test_reports_and_receipts_have_their_limits() -> None:
    many = [Sighting(number, 1) for number in range(1, 66)]
    assert report_arguments(3, many[:2]) == ["3", "[1,2]", "[1,1]"]
    with pytest.raises(InvalidArgument, match="64 nodes"):
        report_arguments(3, many)
    with pytest.raises(InvalidArgument, match="twice"):
        report_arguments(3, [many[0], many[0]])
    good = {"node": 1, "counterparty": 2, "epoch": 3, "kind": 1, "amount": 5, "nonce": 0, "signature": "0x01"}
    assert receipt_arguments([good]) == ["[[1,2,3,1,5,0]]", '["0x01"]']
    wrong = ({"more": 1}, {"amount": "5"}, {"amount": True}, {"amount": -1})
    for rows in ({}, [], [good] * 33, *([{**good, **one}] for one in wrong)):
        with pytest.raises(InvalidArgument):
            receipt_arguments(rows)
    assert gas_text(1) == "0.000001"
