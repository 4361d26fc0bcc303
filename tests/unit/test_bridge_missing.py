"""After a reorganisation beyond k: RPC and command line name the credited deposits that are gone."""

from pathlib import Path

import pytest
from bridge_cli_world import CliWorld
from bridge_view_world import ViewWorld
from chaingen.builder import Funds
from sim.bridge_spec import USER_ACCOUNTS, payer

from ioex_chain.bridge import missing
from ioex_chain.bridge.deposits import deposit_id
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN, display

ALICE = USER_ACCOUNTS[0]


def credited(bridge: ViewWorld) -> tuple[Transaction, Funds, bytes, int]:
    """Credit a deposit of 5 IOEX; give it, the coin that paid it, and the block that has it."""
    (coin,) = bridge.world.pow.spendable(bridge.world.chance)
    tx = bridge.world.deposit((5 * COIN, ALICE), source=coin, direct=True)
    assert tx is not None
    block = bridge.world.mine([tx])
    height = bridge.world.pow.height
    bridge.pass_blocks(1)
    bridge.mine(bridge.k + 2)
    assert bridge.view.deposit(tx.txid, 0) is not None
    return tx, coin, bytes(block.hash), height


def double_spend(bridge: ViewWorld, coin: Funds) -> None:
    other = bridge.world.pow.pay([coin], [(COIN, payer(0).script)])
    bridge.world.fork_pow(bridge.k + 4, keep=0, instead=[other])


async def test_a_deposit_that_a_deep_branch_took_back_is_named() -> None:
    bridge = ViewWorld()
    tx, coin, block, height = credited(bridge)
    assert await bridge.ask("ioex_getMissingDeposits") == []
    double_spend(bridge, coin)
    expected = {
        "id": deposit_id(tx.txid, 0),
        "txid": display(tx.txid),
        "vout": "0x0",
        "account": "0x" + ALICE.hex(),
        "amount": hex(5 * 10**18),
        "block": display(block),
        "height": hex(height),
    }
    assert await bridge.ask("ioex_getMissingDeposits") == [expected]
    bridge.pass_blocks(3)
    assert await bridge.ask("ioex_getMissingDeposits") == [expected]
    assert (await bridge.ask("ioex_getBridge"))["in"]["open"] is False


async def test_a_deposit_that_the_deep_branch_mined_again_is_not() -> None:
    bridge = ViewWorld()
    credited(bridge)
    bridge.world.fork_pow(bridge.k + 4, keep=1)
    assert await bridge.ask("ioex_getMissingDeposits") == []


async def test_short_reorganisations_take_nothing_that_was_credited(monkeypatch: pytest.MonkeyPatch) -> None:
    """No block is read to say so: anybody may ask, and there are more of them every day."""
    bridge = ViewWorld()
    credited(bridge)
    bridge.world.fork_pow(bridge.k, keep=0)
    bridge.pass_blocks(3)
    assert bridge.view.status().light_client.on_best_chain
    monkeypatch.setattr(missing, "_body", None)
    assert await bridge.ask("ioex_getMissingDeposits") == []


def test_the_command_names_it_beside_the_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = CliWorld(tmp_path, monkeypatch)
    shell.dpos.runs = False
    tx, coin, _, height = credited(shell.bridge)
    assert "missing" not in shell.run("bridge", "solvency")
    double_spend(shell.bridge, coin)
    for _ in range(2):
        result = shell.invoke("bridge", "solvency", as_json=False)
        assert result.exit_code == 1
        assert f"missing: {deposit_id(tx.txid, 0)}" in result.stdout
        assert f"was in block {height}" in result.stdout
        shell.bridge.pass_blocks(3)
