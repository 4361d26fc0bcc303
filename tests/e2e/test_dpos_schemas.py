"""What a running devnet node answers, held against Ethereum's execution-apis schemas."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.dpos_world import CHAIN_ID, devnet, eventually
from eth_account import Account
from eth_rpc_world import REVERTING, code_logging, init_code
from execution_apis import METHODS, NOT_OFFERED, ROOT, fault_of
from web3 import Web3

from ioex_chain.wallet.hd import DEV_MNEMONIC, MasterKey

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not ROOT, reason="IOEX_VECTORS does not name the folder of public vectors"),
]
WORD = "0x" + "00" * 31 + "2a"


class Client:
    """Asks a node and judges each answer."""

    def __init__(self, url: str) -> None:
        self.w3 = Web3(Web3.HTTPProvider(url))
        self.key = Account.from_key(MasterKey.from_mnemonic(DEV_MNEMONIC).dpos_key(0))
        self.nonce = self.w3.eth.get_transaction_count(self.key.address)
        self.asked: set[str] = set()

    def ask(self, name: str, *params: Any) -> Any:
        answer = self.w3.provider.make_request(name, list(params))  # type: ignore[arg-type]
        assert "error" not in answer, (name, params, answer)
        fault = fault_of(name, answer["result"])
        assert fault is None, f"{name} {params}: {fault}"
        self.asked.add(name)
        return answer["result"]

    def send(self, **fields: Any) -> str:
        values = {"chainId": CHAIN_ID, "nonce": self.nonce, "gas": 200_000, "value": 0} | fields
        if "gasPrice" not in values:
            values |= {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9}
        self.nonce += 1
        raw = self.key.sign_transaction(values).raw_transaction
        hash_: str = self.ask("eth_sendRawTransaction", "0x" + raw.hex().removeprefix("0x"))
        return hash_

    def mined(self, hash_: str) -> Any:
        return eventually(lambda: self.ask("eth_getTransactionReceipt", hash_))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder: Path = tmp_path_factory.mktemp("schemas")
    with devnet(folder) as node:
        yield Client(node.dpos["rpc"])


def test_every_answer_of_a_running_node_has_the_specified_shape(client: Client) -> None:
    ask = client.ask
    filters = [ask("eth_newFilter", {}), ask("eth_newBlockFilter"), ask("eth_newPendingTransactionFilter")]
    created = client.mined(client.send(data=init_code(code_logging(5))))
    contract = created["contractAddress"]
    kinds: list[dict[str, Any]] = [
        {"to": bytes.fromhex(contract[2:]), "data": WORD},
        {"to": bytes.fromhex(contract[2:]), "data": WORD, "gasPrice": 3 * 10**9},
        {"to": bytes.fromhex(contract[2:]), "gasPrice": 3 * 10**9, "accessList": []},
        {"data": REVERTING},
    ]
    sent = [client.send(**fields) for fields in kinds]
    receipts = [created, *map(client.mined, sent)]
    assert [r["status"] for r in receipts] == ["0x1"] * 4 + ["0x0"]
    message, owner = {"to": contract, "input": WORD}, client.key.address
    for name in sorted(set(METHODS) - set(NOT_OFFERED)):
        if not METHODS[name]["params"]:
            ask(name)
    for number in filters:
        ask("eth_getFilterChanges", number)
    ask("eth_getFilterLogs", filters[0])
    ask("eth_uninstallFilter", filters[0])
    for tag in ("earliest", "finalized", "safe", "latest", "pending", receipts[1]["blockNumber"]):
        for full in (True, False):
            ask("eth_getBlockByNumber", tag, full)
        ask("eth_getBlockTransactionCountByNumber", tag)
        ask("eth_getTransactionByBlockNumberAndIndex", tag, "0x0")
        ask("eth_getBlockReceipts", tag)
        ask("eth_getBalance", owner, tag)
        ask("eth_getTransactionCount", owner, tag)
        ask("eth_getCode", contract, tag)
        ask("eth_getStorageAt", contract, "0x0", tag)
        ask("eth_getStorageValues", {contract: ["0x0"]}, tag)
        ask("eth_getProof", contract, ["0x0"], tag)
        ask("eth_call", message, tag)
        ask("eth_createAccessList", message, tag)
        ask("eth_estimateGas", {"from": owner} | message, tag)
    for receipt in receipts:
        block, hash_ = receipt["blockHash"], receipt["transactionHash"]
        ask("eth_getBlockByHash", block, True)
        ask("eth_getBlockTransactionCountByHash", block)
        ask("eth_getTransactionByBlockHashAndIndex", block, receipt["transactionIndex"])
        assert ask("eth_getTransactionByHash", hash_)["blockHash"] == block
        assert ask("debug_traceTransaction", hash_)["gas"] == int(receipt["gasUsed"], 16)
        ask("debug_getRawTransaction", hash_)
        ask("debug_traceBlockByHash", block)
        for what in ("Header", "Block", "Receipts"):
            ask(f"debug_getRaw{what}", receipt["blockNumber"])
        ask("debug_traceBlockByNumber", receipt["blockNumber"], {"tracer": "callTracer"})
    assert len(ask("eth_getLogs", {"fromBlock": "0x0", "address": contract})) == 3
    ask("eth_feeHistory", "0x10", "latest", [25, 75])
    ask(
        "eth_simulateV1",
        {"blockStateCalls": [{"calls": [message]}], "returnFullTransactions": True},
        "latest",
    )
    ask("txpool_contentFrom", owner)
    assert set(METHODS) - set(NOT_OFFERED) - client.asked == set()
