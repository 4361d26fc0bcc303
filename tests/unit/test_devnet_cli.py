"""What `ioex devnet` says about its DPoS chain, and the console on it."""

import json
import re
import sys
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account
from typer.testing import CliRunner

from ioex_chain.cli import attach as console
from ioex_chain.cli.devnet import dpos_accounts, dpos_facts, dpos_places, show_dpos
from ioex_chain.cli.main import app
from ioex_chain.cli.wallet_session import WalletUsageError
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import GenesisAccount, NetworkSpec
from ioex_chain.wallet.hd import DEV_MNEMONIC, MasterKey, dpos_address


@dataclass(frozen=True)
class Dpos:
    rpc_url: str = "http://127.0.0.1:8545/"
    p2p_url: str | None = "ioex://id@127.0.0.1:32338"
    chain_id: int = 51337
    arbitrators: int = 4


RUNNING = SimpleNamespace(dpos=Dpos())


def spec() -> NetworkSpec:
    """Give the devnet with two of the mnemonic's accounts and one of somebody else."""
    master = MasterKey.from_mnemonic(DEV_MNEMONIC)
    owners = [dpos_address(master.dpos_key(index)) for index in (0, 2)]
    accounts = tuple(GenesisAccount(owner, 500 * 10**18) for owner in (*owners, b"\7" * 20))
    whole = load_network("devnet")
    return replace(whole, dpos=replace(whole.dpos, accounts=accounts))


def test_only_published_keys_are_shown() -> None:
    found = dpos_accounts(spec())
    assert [row["index"] for row in found] == [0, 2]
    for row in found:
        assert Account.from_key(row["private_key"]).address == row["address"]
        assert row["wei"] == str(500 * 10**18)


def test_settings_can_be_pasted() -> None:
    facts = dpos_facts(spec(), RUNNING)
    foundry = tomllib.loads(facts["foundry"])
    assert foundry["rpc_endpoints"]["ioex"] == Dpos.rpc_url
    assert foundry["profile"]["default"]["evm_version"] == "prague"
    plain = re.sub(r"//.*", "", facts["hardhat"].replace("http://", "http:@@"))
    named = re.sub(r"(\w+): ", r'"\1": ', "{" + plain + "}").replace("http:@@", "http://")
    hardhat = json.loads(re.sub(r",(\s*})", r"\1", named))
    assert hardhat["networks"]["ioex"]["url"] == Dpos.rpc_url
    assert hardhat["networks"]["ioex"]["chainId"] == 51337
    assert hardhat["networks"]["ioex"]["accounts"]["mnemonic"] == DEV_MNEMONIC
    assert facts["metamask"]["currency_symbol"] == "IOEX"


def test_a_node_without_the_chain_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    alone = SimpleNamespace(dpos=None)
    assert dpos_facts(spec(), alone) == {}
    assert dpos_places(alone) is None
    show_dpos({"dpos": dpos_places(alone)})
    assert capsys.readouterr().out == ""


def test_people_see_accounts_endpoints_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    show_dpos({"dpos": dpos_places(RUNNING), **dpos_facts(spec(), RUNNING, solo=True)})
    shown = capsys.readouterr().out
    first = dpos_accounts(spec())[0]
    for word in ("ws://127.0.0.1:8545/", first["address"], first["private_key"], "mnemonic", "solo", "51337"):
        assert word in shown


# --- attach ----------------------------------------------------------------------------------------------


def test_a_script_prints_its_last_value(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"x": 20}
    console.run_script("y = x + 1\ny * 2", names)
    console.run_script("z = 5", names)
    console.run_script("None", names)
    assert capsys.readouterr().out == "42\n"
    assert names["z"] == 5
    with pytest.raises(ZeroDivisionError):
        console.run_script("1 / 0", names)


def test_a_file_runs_as_the_main_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "s.py"
    script.write_text("if __name__ == '__main__':\n    print(x)\n")
    console.run_file(script, {"x": 7})
    assert capsys.readouterr().out == "7\n"
    with pytest.raises(WalletUsageError, match="cannot be read"):
        console.run_file(tmp_path / "no.py", {})


def test_without_web3_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "web3", None)
    result = CliRunner().invoke(app, ["attach", "http://127.0.0.1:1/", "--network", "devnet", "--json"])
    assert result.exit_code == 1
    assert "ioex_chain[attach]" in result.output


def test_nobody_there_is_exit_3(tmp_path: Path) -> None:
    words = ["attach", "http://127.0.0.1:1/", "--network", "devnet", "--datadir", str(tmp_path), "--json"]
    result = CliRunner().invoke(app, [*words, "--exec", "1"])
    assert (result.exit_code, "no answer from the node" in result.output) == (3, True)
    wrong = CliRunner().invoke(app, ["attach", "ftp://x", "--network", "devnet", "--json"])
    assert "begins with http:// or ws://" in wrong.output
