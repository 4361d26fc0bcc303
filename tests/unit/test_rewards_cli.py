"""`ioex rewards` against the real pool on both real chains: earned, owed, claimed, taken to the PoW chain."""

from pathlib import Path

import pytest
from bridge_cli_world import CliWorld
from sim.bridge_spec import MEMBER_KEYS, OPERATORS, USER_ACCOUNTS, payer

from ioex_chain.crypto.address import checksum_account, script_to_address
from ioex_chain.dpos import seal
from ioex_chain.evm.types import WEI

KEY = seal.address_of(MEMBER_KEYS[0])


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliWorld:
    return CliWorld(tmp_path, monkeypatch)


def test_what_a_key_has_earned(shell: CliWorld) -> None:
    shell.bridge.mine(3)
    found = shell.run("rewards", "show", "1")
    assert (found["key"], found["payout"]) == (checksum_account(KEY), checksum_account(OPERATORS[0]))
    rows = found["terms"]
    total = sum(int(row["earned"]) for row in rows)
    assert int(found["earned"]) == total == int(found["open"])  # the first term is not over
    assert (found["claimable"], found["paid"], found["owed"]) == ("0", "0", "0")
    assert shell.run("rewards", "show", found["key"]) == shell.run("rewards", "show", found["payout"])
    refused = shell.fail("rewards", "claim", "1", "--key-file", shell.key_file(OPERATORS[0]))
    assert "nothing is due" in refused
    assert "knows no partner" in shell.fail("rewards", "show", checksum_account(USER_ACCOUNTS[0]))


def test_what_the_pool_owes_is_said(shell: CliWorld) -> None:
    shell.bridge.pass_blocks(40)
    found = shell.run("rewards", "pool")
    owed = int(found["debt"], 16)
    assert owed == int(found["unclaimed"], 16) - int(found["balance"], 16) > 0
    mine = shell.run("rewards", "show", "1")
    assert int(mine["owed"]) > 0
    earned = int(mine["claimable"]) + int(mine["owed"]) + int(mine["open"])
    assert earned == int(mine["earned"])
    assert "debt" in shell.text("rewards", "pool")
    assert "owed, not in the pool yet" in shell.text("rewards", "show", "1")


def test_a_claim_anybody_may_send_pays_the_payout_address(shell: CliWorld) -> None:
    shell.bridge.mine(12)
    before = shell.world.dpos.state.get_balance(OPERATORS[0])
    due = int(shell.run("rewards", "show", "1")["claimable"])
    assert due > 0
    found = shell.run("rewards", "claim", "1", "--key-file", shell.key_file(USER_ACCOUNTS[0]))
    assert int(found["claimed"]) == due
    assert shell.world.dpos.state.get_balance(OPERATORS[0]) == before + due
    after = shell.run("rewards", "show", checksum_account(KEY))
    assert (int(after["paid"]), after["terms"][0]["claimable"]) == (due, "0")
    address = str(script_to_address(shell.world.spec.pow.address_prefix, payer(1).script))
    other = ("--key-file", shell.key_file(USER_ACCOUNTS[0]), "--withdraw-to", address)
    assert "sign with that account's key" in shell.fail("rewards", "claim", "1", *other)


def test_a_claim_is_taken_to_the_pow_chain(shell: CliWorld) -> None:
    shell.bridge.mine(12)
    to = payer(2)
    address = str(script_to_address(shell.world.spec.pow.address_prefix, to.script))
    signer = ("--key-file", shell.key_file(OPERATORS[0]))
    found = shell.run("rewards", "claim", "1", *signer, "--withdraw-to", address)
    paid = int(found["withdrawal"]["amount"], 16)
    assert 0 <= int(found["claimed"]) - paid < 10**10
    place = found["withdrawal"]["settlement"]
    block = shell.world.pow.block_at(int(place["height"], 16))
    assert (paid // 10**10 - 10_000, to.script) in [row for tx in block.transactions for row in tx.outputs]
    assert paid >= WEI
