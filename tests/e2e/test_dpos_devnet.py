"""`ioex devnet` with both chains: a full set of arbitrators, and what survives a power cut."""

from pathlib import Path
from typing import Any

import pytest
from e2e.dpos_world import HERE, devnet, dpos_cli, eventually
from e2e.node_process import NodeDied, NodeProcess, environment, ioex
from web3 import Web3

from ioex_chain.wallet.hd import DEV_MNEMONIC, MasterKey

pytestmark = pytest.mark.e2e


def height(w3: Web3, tag: Any) -> int:
    return int(w3.eth.get_block(tag)["number"])


def connected(node: NodeProcess) -> Web3:
    return Web3(Web3.HTTPProvider(node.dpos["rpc"]))


def test_51_arbitrators_in_one_process_reach_finality(tmp_path: Path) -> None:
    with devnet(tmp_path, "--arbitrators", "51") as node:
        assert node.dpos["arbitrators"] == 51
        w3 = connected(node)
        eventually(lambda: height(w3, "finalized") >= 3)
        finality = dpos_cli(node, "rpc", "ioex_getFinality")
        assert int(finality["quorum"], 16) == 35
        state = dpos_cli(node, "arbitrator", "status")
        assert len(state["partners"]) == 51
        assert all(one["eligible"] for one in state["partners"])
        refused = w3.provider.make_request("evm_snapshot", [])  # type: ignore[arg-type]
        assert refused["error"]["code"] == -32601  # that is for --solo alone


def test_contracts_and_finality_survive_a_power_cut(tmp_path: Path) -> None:
    """What was final stays; the arbitrators go on behind their journals; nobody is jailed."""
    with devnet(tmp_path) as node:
        source = str(HERE / "contracts" / "Ledger.vy")
        made = dpos_cli(
            node, "contract", "deploy", source, "Coin", "5000", "--dev-account", "0", cwd=tmp_path
        )
        record = str(tmp_path / made["record"])
        final = connected(node).eth.get_block("finalized")
        node.kill()
        node.start("--mine-processes", "1")
        w3 = connected(node)
        assert w3.eth.get_block(final["number"])["hash"] == final["hash"]
        assert height(w3, "finalized") >= final["number"]
        assert dpos_cli(node, "contract", "call", record, "totalSupply")["result"] == "5000"
        before = height(w3, "latest")
        eventually(lambda: height(w3, "finalized") > before)
        assert dpos_cli(node, "contract", "verify", record, "--source", source)["creation"] == "exact"
        state = dpos_cli(node, "arbitrator", "status")
        assert not any(one["jailed"] for one in state["partners"])
        assert dpos_cli(node, "rpc", "ioex_getEvidence") == []


def test_an_arbitrator_runs_from_a_keystore(tmp_path: Path) -> None:
    """`init` makes the keystore, `run` seals and votes with it; a wrong password starts nothing."""
    key, password = tmp_path / "key.txt", tmp_path / "password.txt"
    key.write_text(MasterKey.from_mnemonic(DEV_MNEMONIC).dpos_key(0).hex())
    password.write_text("correct horse\n")
    made = ioex(
        *("arbitrator", "init", "--network", "devnet", "--import", str(key), "--json"),
        *("--out", str(tmp_path / "arbitrator.json"), "--password-file", str(password)),
    ).json()
    node = NodeProcess(tmp_path, command=("arbitrator", "run"), env=environment(IOEX_ARBITRATORS="1"))
    node.datadir.marker.unlink()
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("battery staple")
    flags = ("--network", "devnet", "--arbitrator-keys", made["keystore"], "--arbitrator-password-file")
    with pytest.raises(NodeDied, match="wrong password"):
        node.start(*flags, str(wrong))
    with node.running(*flags, str(password)):
        w3 = connected(node)
        eventually(lambda: height(w3, "finalized") >= 2)
        (seat,) = dpos_cli(node, "arbitrator", "status")["partners"]
        assert seat["key"] == made["key"]
        assert seat["produced"] >= 1


def test_a_solo_devnet_edits_its_state_as_test_suites_do(tmp_path: Path) -> None:
    """Snapshot, mine, balances, time, impersonation, by the names of other dev nodes."""
    with devnet(tmp_path, "--solo") as node:
        w3 = connected(node)

        def rpc(method: str, *params: Any) -> Any:
            answer = w3.provider.make_request(method, list(params))  # type: ignore[arg-type]
            assert "error" not in answer, (method, answer)
            return answer["result"]

        someone = Web3.to_checksum_address("0x" + "12" * 20)
        snapshot = rpc("evm_snapshot")
        rpc("anvil_setBalance", someone, hex(10**20))
        assert w3.eth.get_balance(someone) == 10**20
        rpc("hardhat_impersonateAccount", someone)
        sent = rpc("eth_sendTransaction", {"from": someone, "to": "0x" + "34" * 20, "value": hex(5)})
        assert w3.eth.wait_for_transaction_receipt(sent, timeout=30)["status"] == 1
        before = w3.eth.get_block("latest")
        rpc("evm_increaseTime", 3600)
        rpc("evm_mine")
        after = w3.eth.get_block("latest")
        assert after["timestamp"] >= before["timestamp"] + 3600
        assert after["number"] > before["number"]
        assert rpc("evm_revert", snapshot) is True
        assert w3.eth.get_balance(someone) == 0
