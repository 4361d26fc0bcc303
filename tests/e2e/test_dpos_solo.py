"""`ioex devnet --solo` with stock web3.py: what a contract author's tests lean on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.dpos_world import devnet, eventually
from e2e.node_process import NodeProcess
from web3 import Web3

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("dpos_solo")]
RICH = "0x0000000000000000000000000000000000001234"
POOR = "0x0000000000000000000000000000000000005678"
IOEX = 10**18


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with devnet(tmp_path_factory.mktemp("solo"), "--solo", "--no-mine") as running:
        yield running


@pytest.fixture(scope="module")
def w3(node: NodeProcess) -> Web3:
    return Web3(Web3.HTTPProvider(node.dpos["rpc"]))


def rpc(w3: Web3, method: str, *params: Any) -> Any:
    answer = w3.provider.make_request(method, list(params))  # type: ignore[arg-type]
    assert "error" not in answer, answer
    return answer["result"]


def test_a_balance_that_was_set_can_be_spent_by_impersonation(w3: Web3) -> None:
    rpc(w3, "anvil_setBalance", RICH, hex(5 * IOEX))
    assert w3.eth.get_balance(RICH) == 5 * IOEX
    rpc(w3, "hardhat_impersonateAccount", RICH)
    sent = w3.eth.send_transaction({"from": RICH, "to": POOR, "value": IOEX, "gas": 21_000})
    receipt = w3.eth.wait_for_transaction_receipt(sent)
    assert receipt["status"] == 1
    assert receipt["from"] == RICH
    assert w3.eth.get_balance(POOR) == IOEX
    rpc(w3, "hardhat_stopImpersonatingAccount", RICH)
    refused = w3.provider.make_request("eth_sendTransaction", [{"from": RICH, "to": POOR}])  # type: ignore[arg-type]
    assert "error" in refused


def test_a_revert_goes_back_to_the_snapshot_and_below_final_blocks(w3: Web3) -> None:
    kept = rpc(w3, "evm_snapshot")
    height, balance = w3.eth.block_number, w3.eth.get_balance(POOR)
    rpc(w3, "anvil_setBalance", POOR, hex(9 * IOEX))
    rpc(w3, "hardhat_mine", "0x8")
    assert w3.eth.get_block("finalized")["number"] > height
    assert rpc(w3, "evm_revert", kept) is True
    assert height <= w3.eth.block_number < height + 5
    assert w3.eth.get_balance(POOR) == balance
    assert rpc(w3, "evm_revert", kept) is False


def test_time_goes_on_at_will(w3: Web3) -> None:
    before = w3.eth.get_block("latest")["timestamp"]
    rpc(w3, "evm_increaseTime", 3_600)
    rpc(w3, "evm_mine")
    assert w3.eth.get_block("latest")["timestamp"] >= before + 3_600
    wanted = w3.eth.get_block("latest")["timestamp"] + 500
    rpc(w3, "evm_setNextBlockTimestamp", wanted)
    rpc(w3, "evm_mine")
    assert w3.eth.get_block("latest")["timestamp"] in range(wanted, wanted + 5)


def test_code_storage_and_nonce_can_be_set(w3: Web3) -> None:
    rpc(w3, "hardhat_setCode", POOR, "0x60005460005260206000f3")  # gives slot 0
    rpc(w3, "hardhat_setStorageAt", POOR, "0x0", "0x" + "00" * 31 + "2a")
    rpc(w3, "hardhat_setNonce", POOR, "0x7")
    assert int.from_bytes(w3.eth.call({"to": POOR}), "big") == 42
    assert w3.eth.get_transaction_count(POOR) == 7
    proof = w3.eth.get_proof(POOR, [0])
    assert proof["storageProof"][0]["value"] == b"\x2a"


def test_finality_goes_on_after_a_revert(w3: Web3) -> None:
    kept = rpc(w3, "evm_snapshot")
    rpc(w3, "hardhat_mine", "0x4")
    rpc(w3, "evm_revert", kept)
    height = w3.eth.block_number
    eventually(lambda: w3.eth.get_block("finalized")["number"] > height)


def test_edits_survive_a_restart_and_a_check_of_the_database(tmp_path: Path) -> None:
    with devnet(tmp_path, "--solo", "--no-mine") as node:
        w3 = Web3(Web3.HTTPProvider(node.dpos["rpc"]))
        rpc(w3, "anvil_setBalance", RICH, hex(3 * IOEX))
        rpc(w3, "evm_increaseTime", 1_000)
    with node.running("--solo", "--no-mine", "--mine-processes", "1"):
        w3 = Web3(Web3.HTTPProvider(node.dpos["rpc"]))
        assert w3.eth.get_balance(RICH) == 3 * IOEX
        height = w3.eth.block_number
        eventually(lambda: w3.eth.block_number > height)


def test_no_other_node_offers_any_of_it(tmp_path: Path) -> None:
    with devnet(tmp_path, "--no-mine") as node:
        w3 = Web3(Web3.HTTPProvider(node.dpos["rpc"]))
        for method in ("evm_snapshot", "anvil_setBalance", "hardhat_impersonateAccount", "evm_increaseTime"):
            answer = w3.provider.make_request(method, [])  # type: ignore[arg-type]
            assert answer["error"]["code"] == -32601
