"""`ioex bridge` against both real chains: a wallet pays in, an account takes out, everybody looks."""

from pathlib import Path

import pytest
from bridge_cli_world import CliWorld
from sim.bridge_spec import USER_ACCOUNTS, payer

from ioex_chain.crypto.address import (
    address_to_script,
    checksum_account,
    deposit_script,
    script_to_address,
)
from ioex_chain.evm.types import WEI
from ioex_chain.primitives.types import COIN, display
from ioex_chain.wallet.bridge import (
    Deposit,
    DposTransaction,
    NotThereYet,
    PowTransaction,
    Request,
    Watch,
    follow_deposit,
    parse_transfer,
)
from ioex_chain.wallet.contract_errors import InvalidArgument

ALICE = USER_ACCOUNTS[0]
MNEMONIC = "legal winner thank year wave sausage worth useful legal winner thank yellow"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliWorld:
    return CliWorld(tmp_path, monkeypatch)


def funded(shell: CliWorld) -> None:
    """Give the default wallet 100 IOEX."""
    shell.run("wallet", "restore", stdin=MNEMONIC)
    address = shell.run("wallet", "address", "new")["address"]
    world = shell.world
    script = address_to_script(world.spec.pow.address_prefix, address)
    assert world.pow.offer(world.pow.pay(world.pow.spendable(world.chance), [(100 * COIN, script)]))
    shell.bridge.mine(1)


def test_the_deposit_address(shell: CliWorld) -> None:
    found = shell.run("bridge", "address", checksum_account(ALICE))
    prefix = shell.world.spec.pow.address_prefix
    assert found["address"] == script_to_address(prefix, deposit_script(ALICE))
    assert shell.text("bridge", "address", "0x" + ALICE.hex()).strip() == found["address"]
    wrong = "0x" + checksum_account(ALICE)[2:].swapcase()
    assert "EIP-55" in shell.fail("bridge", "address", wrong)
    assert "40 hex digits" in shell.fail("bridge", "address", found["address"])


def test_a_wallet_pays_to_an_account_of_the_other_chain(shell: CliWorld) -> None:
    funded(shell)
    before = shell.world.dpos.state.get_balance(ALICE)
    found = shell.run("bridge", "deposit", checksum_account(ALICE), "12.5", "--yes")
    assert (found["state"], int(found["amount"], 16)) == ("paid", 12 * WEI + WEI // 2)
    assert shell.world.dpos.state.get_balance(ALICE) == before + 12 * WEI + WEI // 2
    assert shell.run("bridge", "status", found["id"])["deposit"]["state"] == "paid"
    assert shell.run("bridge", "status", found["txid"])["deposits"][0]["id"] == found["id"]
    line = shell.text("bridge", "status", found["id"])
    assert "12.50000000 IOEX" in line
    assert f"paid in DPoS block {int(found['paid']['blockNumber'], 16)}" in line


def test_a_payment_need_not_be_watched(shell: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    funded(shell)
    found = shell.run("bridge", "deposit", "0x" + ALICE.hex(), "1", "--yes", "--no-wait")
    shell.dpos.runs = False
    assert shell.run("bridge", "status", found["id"])["deposit"]["state"] == "mempool"
    late = shell.fail("bridge", "deposit", "0x" + ALICE.hex(), "1", "--yes", "--timeout", "0")
    assert "is mempool after 0 s" in late
    assert "it waits for a PoW block" in late
    before = len(shell.world.pow.pool)
    monkeypatch.setattr(shell.dpos, "eth_chainId", lambda: "0x1")
    assert "chain 1" in shell.fail("bridge", "deposit", "0x" + ALICE.hex(), "1", "--yes")
    assert len(shell.world.pow.pool) == before
    remote = ("--rpc-url", "http://127.0.0.1:1/")
    assert "--dpos-rpc-url" in shell.fail("bridge", "deposit", "0x" + ALICE.hex(), "1", "--yes", *remote)


def test_a_small_deposit_is_proven_by_a_transaction_of_ones_own(shell: CliWorld) -> None:
    paid = shell.world.deposit((COIN // 1_000, ALICE))
    assert paid is not None
    txid, key = display(paid.txid), shell.key_file(ALICE)
    assert "in no PoW block yet" in shell.fail("bridge", "prove", txid, "--key-file", key)
    shell.bridge.mine(shell.bridge.k + 1)
    assert "ioex bridge prove" in shell.text("bridge", "status", txid)
    found = shell.run("bridge", "prove", txid, "--key-file", key)
    assert found["deposit"]["state"] == "paid"
    (event,) = found["proof"]["events"]
    assert event["event"] == "DepositCredited"
    assert "credited already" in shell.fail("bridge", "prove", f"{txid}:0", "--key-file", key)
    assert "no such deposit" in shell.fail("bridge", "prove", "77" * 32, "--key-file", key)
    assert "txid:vout" in shell.fail("bridge", "prove", "1", "--key-file", key)


def test_an_account_takes_coins_off(shell: CliWorld) -> None:
    to = payer(3)
    address = script_to_address(shell.world.spec.pow.address_prefix, to.script)
    key = shell.key_file(ALICE)
    found = shell.run("bridge", "withdraw", str(address), "3.25", "--key-file", key)
    assert found["withdrawal"]["state"] == "settled"
    (event,) = found["transaction"]["events"]
    assert event["event"] == "WithdrawalRequested"
    settlement = found["withdrawal"]["settlement"]
    block = shell.world.pow.block_at(int(settlement["height"], 16))
    (tx,) = [tx for tx in block.transactions if display(tx.txid) == settlement["txid"]]
    assert tx.outputs[0] == (325 * COIN // 100 - 10_000, to.script)
    assert "settled by" in shell.text("bridge", "status", "1")
    sent = found["transaction"]["transaction_hash"]
    assert shell.run("bridge", "status", sent)["withdrawals"][0]["number"] == "0x1"
    more = shell.run("bridge", "withdraw", str(address), "1", "--key-file", key, "--no-wait")
    assert "withdrawal 2: 1.00000000 IOEX" in shell.text("bridge", "status", more["transaction_hash"])


def test_withdrawals_that_cannot_be_are_refused_before_anything_is_sent(shell: CliWorld) -> None:
    key = shell.key_file(ALICE)
    prefix = shell.world.spec.pow.address_prefix
    address = str(script_to_address(prefix, payer(3).script))
    deposit = str(script_to_address(prefix, deposit_script(ALICE)))
    assert "Taproot" in shell.fail("bridge", "withdraw", deposit, "1", "--key-file", key)
    assert "typing error" in shell.fail("bridge", "withdraw", address[:-1] + "q", "1", "--key-file", key)
    assert "at least 0.00020000" in shell.fail("bridge", "withdraw", address, "0.0001", "--key-file", key)
    assert "8 decimals" in shell.fail("bridge", "withdraw", address, "1.000000001", "--key-file", key)
    assert "name one key" in shell.fail("bridge", "withdraw", address, "1")
    over = shell.fail("bridge", "withdraw", address, "4001", "--key-file", key)
    assert "over the daily cap" in over
    assert len(shell.world.calls) == 0


def test_the_whole_bridge_and_its_solvency(shell: CliWorld) -> None:
    shell.bridge.mine(4)
    text = shell.text("bridge", "status")
    assert "PoW to DPoS           open" in text
    assert f"height {shell.bridge.start + 4}, buried {shell.bridge.start + 2}, 0 behind" in text
    assert "every IOEX on the DPoS chain is backed" in shell.text("bridge", "solvency")
    assert shell.run("bridge", "solvency")["difference"] == "0x0"
    counted = shell.run("bridge", "solvency", "--count")["counted"]
    assert (counted["sound"], counted["reserveDifference"]) == (True, "0x0")
    assert "exists in all" in shell.text("bridge", "solvency", "--count")
    shell.world.fork_pow(shell.bridge.k + 2)
    shell.dpos.runs = False
    result = shell.invoke("bridge", "solvency", as_json=False)
    assert result.exit_code == 1
    assert "no verdict: the DPoS chain believes a PoW block" in result.stdout


def test_unknown_and_malformed_ids(shell: CliWorld) -> None:
    assert "no such deposit" in shell.fail("bridge", "status", "77" * 32 + ":0")
    assert "no withdrawal has this number" in shell.fail("bridge", "status", "9")
    assert "no block" in shell.fail("bridge", "status", "0x" + "77" * 32)
    assert "txid:vout" in shell.fail("bridge", "status", "0x77")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("AB" * 32 + ":3", Deposit("ab" * 32, 3)),
        ("ab" * 32, PowTransaction("ab" * 32)),
        ("0x" + "AB" * 32, DposTransaction("0x" + "ab" * 32)),
        ("17", Request(17)),
    ],
)
def test_what_an_id_names(text: str, found: object) -> None:
    assert parse_transfer(text) == found


@pytest.mark.parametrize("text", ["", "0", "-1", "ab" * 31, "0x" + "ab" * 31, "ab" * 32 + ":", "1.5", "٣"])
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(InvalidArgument, match="txid:vout"):
        parse_transfer(text)


def test_waiting_tells_each_change_once_and_ends() -> None:
    states = [None, {"state": "mempool", "note": "n"}, {"state": "mempool", "note": "n"}]
    told: list[str] = []
    clock = iter(range(100))

    class Slow:
        def call(self, method: str, /, *params: object) -> object:
            return states.pop(0) if len(states) > 1 else states[0]

    watch = Watch(3, lambda one: told.append(one["state"]), lambda _: None, lambda: float(next(clock)))
    with pytest.raises(NotThereYet, match="is mempool after 3 s; n"):
        follow_deposit(Slow(), Deposit("ab" * 32, 0), watch)
    assert told == ["mempool"]
