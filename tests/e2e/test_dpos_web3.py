"""Stock web3.py, without any middleware for special chains, against a devnet: what a contract author does."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from e2e.dpos_world import CHAIN_ID, devnet, eventually, token
from e2e.node_process import NodeProcess
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.contract import Contract
from web3.exceptions import ContractCustomError, ContractLogicError, TransactionNotFound, Web3RPCError
from web3.middleware import SignAndSendRawMiddlewareBuilder

from ioex_chain.wallet.artefacts import Artefact
from ioex_chain.wallet.hd import DEV_MNEMONIC, MasterKey

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("dpos_web3")]
GWEI = 10**9
SUPPLY = 1_000_000
ZERO = "0x" + "00" * 20


@dataclass
class World:
    """A devnet, web3 on it, two funded accounts and a deployed contract."""

    node: NodeProcess
    w3: Web3
    alice: LocalAccount
    bob: LocalAccount
    artefact: Artefact
    contract: Contract
    created: Any

    def rpc(self, method: str, *params: Any) -> Any:
        """Call a method that web3 has no name for; give its result."""
        answer = self.w3.provider.make_request(method, list(params))  # type: ignore[arg-type]
        assert "error" not in answer, answer
        return answer["result"]

    def refused(self, method: str, *params: Any) -> Any:
        answer = self.w3.provider.make_request(method, list(params))  # type: ignore[arg-type]
        assert "error" in answer, answer
        return answer["error"]

    def fields(self, account: LocalAccount, **more: Any) -> dict[str, Any]:
        """Give the fields of a transaction that is signed by hand."""
        nonce = self.w3.eth.get_transaction_count(account.address, "pending")
        return {
            "nonce": nonce,
            "gas": 100_000,
            "chainId": CHAIN_ID,
            "to": self.bob.address,
            "value": 1,
            **more,
        }

    def send(self, account: LocalAccount, **fields: Any) -> Any:
        """Sign, send, and give the receipt."""
        raw = account.sign_transaction(self.fields(account, **fields)).raw_transaction
        return self.w3.eth.wait_for_transaction_receipt(self.w3.eth.send_raw_transaction(raw), timeout=60)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with devnet(tmp_path_factory.mktemp("web3")) as node:
        yield make_world(node)


def make_world(node: NodeProcess) -> World:
    w3 = Web3(Web3.HTTPProvider(node.dpos["rpc"]))
    master = MasterKey.from_mnemonic(DEV_MNEMONIC)
    alice, bob = (Account.from_key(master.dpos_key(index)) for index in range(2))
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build([alice, bob]), layer=0)  # type: ignore[arg-type]
    w3.eth.default_account = alice.address
    artefact = token()
    factory = w3.eth.contract(abi=artefact.abi, bytecode="0x" + artefact.creation)
    created = w3.eth.wait_for_transaction_receipt(factory.constructor("Token", SUPPLY).transact(), timeout=60)
    contract = w3.eth.contract(address=created["contractAddress"], abi=artefact.abi)
    return World(node, w3, alice, bob, artefact, contract, created)


# --- the chain -------------------------------------------------------------------------------------------


def test_the_node_introduces_itself(world: World) -> None:
    assert world.w3.is_connected()
    assert world.w3.eth.chain_id == CHAIN_ID
    assert world.w3.net.version == str(CHAIN_ID)
    assert world.w3.client_version.startswith("ioex")
    assert world.w3.eth.syncing is False
    assert world.w3.eth.accounts == []


def test_blocks_parse_without_middleware_for_special_chains(world: World) -> None:
    for tag in ("earliest", "latest", "safe", "finalized", "pending", 0):
        block = world.w3.eth.get_block(tag)  # type: ignore[arg-type]
        assert len(block["extraData"]) <= 32
        assert block["uncles"] == []
        assert block["baseFeePerGas"] >= 0
    latest = world.w3.eth.get_block("latest", full_transactions=True)
    again = world.w3.eth.get_block(latest["hash"])
    assert again["number"] == latest["number"]
    assert world.w3.eth.get_block(latest["parentHash"])["number"] == latest["number"] - 1


def test_a_deployment_becomes_final(world: World) -> None:
    height = world.created["blockNumber"]
    final = eventually(lambda: _at_least(world.w3, "finalized", height))
    safe = world.w3.eth.get_block("safe")
    assert safe["number"] >= final["number"] >= height
    assert world.w3.eth.get_block(height)["hash"] == world.created["blockHash"]
    assert world.w3.eth.get_block("latest")["number"] >= safe["number"]


def _at_least(w3: Web3, tag: Any, height: int) -> Any:
    block = w3.eth.get_block(tag)
    return block if block["number"] >= height else None


# --- contracts -------------------------------------------------------------------------------------------


def test_deploy_call_send_and_logs(world: World) -> None:
    contract, w3 = world.contract, world.w3
    assert world.created["status"] == 1
    assert contract.functions.name().call() == "Token"
    assert w3.eth.get_code(contract.address).hex().startswith(world.artefact.runtime)
    before = contract.functions.balanceOf(world.bob.address).call()
    sent = contract.functions.transfer(world.bob.address, 70).transact()
    receipt = w3.eth.wait_for_transaction_receipt(sent, timeout=60)
    (event,) = contract.events.Transfer().process_receipt(receipt)
    assert dict(event["args"]) == {"sender": world.alice.address, "receiver": world.bob.address, "amount": 70}
    assert contract.functions.balanceOf(world.bob.address).call() == before + 70
    assert (
        contract.functions.balanceOf(world.bob.address).call(block_identifier=receipt["blockNumber"] - 1)
        == before
    )
    found = contract.events.Transfer().get_logs(
        from_block=world.created["blockNumber"], argument_filters={"receiver": world.bob.address}
    )
    assert [one["transactionHash"] for one in found][-1] == sent
    (by_hash,) = w3.eth.get_logs({"blockHash": receipt["blockHash"], "address": contract.address})
    assert by_hash["logIndex"] == event["logIndex"]
    who, amount = contract.functions.history().call()[-1]
    assert (who, amount) == (world.bob.address, 70)


def test_reverts_carry_their_reason(world: World) -> None:
    contract = world.contract
    with pytest.raises(ContractLogicError, match="balance too low"):
        contract.functions.transfer(world.bob.address, SUPPLY * 2).call()
    with pytest.raises(ContractLogicError, match="balance too low"):
        contract.functions.transfer(world.bob.address, SUPPLY * 2).estimate_gas()
    with pytest.raises(ContractLogicError, match="not the owner"):
        contract.functions.onlyOwner().call({"from": world.bob.address})
    with pytest.raises((ContractLogicError, ContractCustomError)):
        contract.functions.divide(1, 0).call()
    data = contract.encode_abi("onlyOwner")
    error = world.refused(
        "eth_call", {"to": contract.address, "data": data, "from": world.bob.address}, "latest"
    )
    assert error["code"] == 3
    assert error["data"].startswith("0x08c379a0")
    assert "not the owner" in error["message"]


def test_a_failing_transaction_is_mined_with_status_0(world: World) -> None:
    data = world.contract.encode_abi("onlyOwner")
    receipt = world.send(
        world.bob,
        to=world.contract.address,
        data=data,
        value=0,
        maxFeePerGas=5 * GWEI,
        maxPriorityFeePerGas=GWEI,
    )
    assert receipt["status"] == 0
    assert receipt["logs"] == []


def test_a_contract_sees_its_block(world: World) -> None:
    number, timestamp, sender = world.contract.functions.where().call({"from": world.bob.address})
    assert number >= world.created["blockNumber"]
    assert timestamp >= world.w3.eth.get_block(world.created["blockNumber"])["timestamp"]
    assert sender == world.bob.address


# --- transactions ----------------------------------------------------------------------------------------

FEES = {"maxFeePerGas": 5 * GWEI, "maxPriorityFeePerGas": GWEI}


def test_every_type_of_transaction(world: World) -> None:
    slots = [{"address": world.contract.address, "storageKeys": ["0x" + "00" * 32]}]
    forms: list[tuple[int, dict[str, Any]]] = [
        (0, {"gasPrice": 5 * GWEI}),
        (1, {"gasPrice": 5 * GWEI, "accessList": slots, "type": 1}),
        (2, {**FEES, "type": 2, "accessList": slots}),
    ]
    for kind, fields in forms:
        receipt = world.send(world.alice, **fields)
        assert (receipt["type"], receipt["status"]) == (kind, 1)
        found = world.w3.eth.get_transaction(receipt["transactionHash"])
        assert (found["type"], found["from"], found["value"]) == (kind, world.alice.address, 1)
        assert receipt["effectiveGasPrice"] <= 5 * GWEI
        assert receipt["gasUsed"] >= 21_000


def test_an_account_takes_code_by_eip_7702(world: World) -> None:
    authority = Account.create()
    signed = authority.sign_authorization(
        {"chainId": CHAIN_ID, "address": world.contract.address, "nonce": 0}
    )
    receipt = world.send(
        world.alice, to=world.bob.address, gas=200_000, type=4, authorizationList=[signed], **FEES
    )
    assert (receipt["type"], receipt["status"]) == (4, 1)
    code = world.w3.eth.get_code(authority.address)
    assert code.hex() == "ef0100" + world.contract.address[2:].lower()
    proxy = world.w3.eth.contract(address=authority.address, abi=world.artefact.abi)
    assert proxy.functions.totalSupply().call() == 0  # its own storage


def test_a_gap_in_the_nonces_waits_and_closes(world: World) -> None:
    nonce = world.w3.eth.get_transaction_count(world.bob.address, "pending")
    later = world.bob.sign_transaction(
        world.fields(world.bob, nonce=nonce + 1, to=world.alice.address, **FEES)
    )
    waiting = world.w3.eth.send_raw_transaction(later.raw_transaction)
    assert world.w3.eth.get_transaction(waiting)["blockNumber"] is None
    with pytest.raises(TransactionNotFound):
        world.w3.eth.get_transaction_receipt(waiting)
    queued = {address.lower(): rows for address, rows in world.rpc("txpool_content")["queued"].items()}
    assert str(nonce + 1) in queued[world.bob.address.lower()]
    world.send(world.bob, nonce=nonce, to=world.alice.address, **FEES)
    assert world.w3.eth.wait_for_transaction_receipt(waiting, timeout=60)["status"] == 1


def test_refusals_use_the_words_that_clients_know(world: World) -> None:
    def refusal(account: LocalAccount, **fields: Any) -> str:
        raw = account.sign_transaction(world.fields(account, **fields)).raw_transaction
        with pytest.raises(Web3RPCError) as caught:
            world.w3.eth.send_raw_transaction(raw)
        return str(caught.value)

    poor = Account.create()
    assert "nonce too low" in refusal(world.alice, nonce=0, **FEES)
    assert "insufficient funds" in refusal(poor, **FEES)
    assert "intrinsic gas too low" in refusal(world.alice, gas=20_999, **FEES)
    assert "chain" in refusal(world.alice, chainId=1, **FEES).lower()
    nonce = world.w3.eth.get_transaction_count(world.bob.address, "pending") + 5
    first = world.bob.sign_transaction(world.fields(world.bob, nonce=nonce, to=ZERO, **FEES)).raw_transaction
    world.w3.eth.send_raw_transaction(first)
    with pytest.raises(Web3RPCError, match="already known"):
        world.w3.eth.send_raw_transaction(first)
    assert "replacement transaction underpriced" in refusal(world.bob, nonce=nonce, value=2, to=ZERO, **FEES)


# --- reading ---------------------------------------------------------------------------------------------


def test_fees_and_history(world: World) -> None:
    history = world.w3.eth.fee_history(4, "latest", [10, 90])
    assert len(history["baseFeePerGas"]) == len(history["gasUsedRatio"]) + 1
    assert len(history["reward"]) == len(history["gasUsedRatio"])
    assert world.w3.eth.gas_price > 0
    assert world.w3.eth.max_priority_fee >= 0


def test_proofs_storage_and_access_lists(world: World) -> None:
    proof = world.w3.eth.get_proof(world.contract.address, [0], "latest")
    assert proof["address"] == world.contract.address
    assert int(proof["storageProof"][0]["value"].hex() or "0", 16) == SUPPLY
    assert int(world.w3.eth.get_storage_at(world.contract.address, 0).hex(), 16) == SUPPLY
    data = world.contract.encode_abi("transfer", [world.bob.address, 1])
    call: Any = {"to": world.contract.address, "data": data, "from": world.alice.address}
    made = world.w3.eth.create_access_list(call)
    assert made["accessList"][0]["address"] == world.contract.address


def test_calls_with_another_state(world: World) -> None:
    overrides: Any = {world.contract.address: {"stateDiff": {"0x" + "00" * 32: "0x" + f"{7:064x}"}}}
    data = world.contract.encode_abi("totalSupply")
    answer = world.w3.eth.call({"to": world.contract.address, "data": data}, "latest", overrides)
    assert int(answer.hex(), 16) == 7
    rich: Any = {ZERO: {"balance": hex(10**30)}}
    send: Any = {"from": ZERO, "to": world.bob.address, "value": 10**29}
    assert world.w3.eth.call(send, "latest", rich).hex() == ""


def test_simulate_several_blocks(world: World) -> None:
    data = world.contract.encode_abi("transfer", [world.bob.address, 5])
    call = {"from": world.alice.address, "to": world.contract.address, "data": data}
    blocks = world.rpc(
        "eth_simulateV1", {"blockStateCalls": [{"calls": [call]}, {"calls": [call]}]}, "latest"
    )
    assert [one["calls"][0]["status"] for one in blocks] == ["0x1", "0x1"]
    assert int(blocks[1]["number"], 16) == int(blocks[0]["number"], 16) + 1
    assert len(blocks[0]["calls"][0]["logs"]) == 1


def test_batches_and_filters(world: World) -> None:
    with world.w3.batch_requests() as batch:
        batch.add(world.w3.eth.get_block("latest"))
        batch.add(world.contract.functions.totalSupply())
        batch.add(world.w3.eth.get_balance(world.alice.address))  # type: ignore[arg-type]
        block, supply, balance = batch.execute()
    assert block["number"] > 0
    assert supply == SUPPLY
    assert balance > 0
    blocks = world.w3.eth.filter("latest")
    logs = world.contract.events.Transfer().create_filter(from_block="latest")
    sent = world.contract.functions.transfer(world.bob.address, 3).transact()
    receipt = world.w3.eth.wait_for_transaction_receipt(sent, timeout=60)
    assert receipt["blockHash"] in eventually(blocks.get_new_entries)
    assert sent in [one["transactionHash"] for one in logs.get_new_entries()]
    assert world.w3.eth.uninstall_filter(blocks.filter_id)


# --- traces ----------------------------------------------------------------------------------------------


def test_traces(world: World) -> None:
    sent = world.contract.functions.transfer(world.bob.address, 2).transact()
    receipt = world.w3.eth.wait_for_transaction_receipt(sent, timeout=60)
    hash_ = "0x" + sent.hex()
    call = world.rpc(
        "debug_traceTransaction", hash_, {"tracer": "callTracer", "tracerConfig": {"withLog": True}}
    )
    assert call["type"] == "CALL"
    assert call["to"].lower() == world.contract.address.lower()
    assert int(call["gasUsed"], 16) == receipt["gasUsed"]
    assert len(call["logs"]) == 1
    steps = world.rpc("debug_traceTransaction", hash_, {})
    assert steps["structLogs"][0]["op"] == "PUSH0"
    assert steps["gas"] == receipt["gasUsed"]
    before = world.rpc("debug_traceTransaction", hash_, {"tracer": "prestateTracer"})
    assert world.contract.address.lower() in {address.lower() for address in before}
    four = world.rpc("debug_traceTransaction", hash_, {"tracer": "4byteTracer"})
    assert any(key.startswith("0xa9059cbb") for key in four)
    whole = world.rpc("debug_traceBlockByNumber", hex(receipt["blockNumber"]), {"tracer": "callTracer"})
    assert hash_ in [one["txHash"] for one in whole]
    failing = {
        "from": world.bob.address,
        "to": world.contract.address,
        "data": world.contract.encode_abi("onlyOwner"),
    }
    traced = world.rpc("debug_traceCall", failing, "latest", {"tracer": "callTracer"})
    assert traced["revertReason"] == "not the owner"


# --- subscriptions ---------------------------------------------------------------------------------------


async def test_subscriptions_over_websocket(world: World) -> None:
    """New heads, logs and pending transactions come, each to its own subscription."""
    sent: list[Any] = []

    async def transfer(w3: AsyncWeb3[WebSocketProvider]) -> None:
        transaction = await asyncio.to_thread(
            world.contract.functions.transfer(world.bob.address, 4).transact
        )
        sent.append(transaction)

    async with asyncio.timeout(90), AsyncWeb3(WebSocketProvider(world.node.dpos["websocket"])) as w3:
        heads = await w3.eth.subscribe("newHeads")
        logs = await w3.eth.subscribe("logs", {"address": world.contract.address})
        pending = await w3.eth.subscribe("newPendingTransactions")
        await transfer(w3)
        seen: dict[str, list[Any]] = {heads: [], logs: [], pending: []}
        async for message in w3.socket.process_subscriptions():
            seen[message["subscription"]].append(message["result"])  # type: ignore[typeddict-item]
            if len(seen[heads]) >= 2 and seen[logs] and seen[pending]:
                break
        numbers = [head["number"] for head in seen[heads]]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert seen[logs][0]["transactionHash"] == sent[0]
        assert sent[0] in [one if isinstance(one, bytes) else one["hash"] for one in seen[pending]]
        assert await w3.eth.unsubscribe(heads)


# --- this project's own commands -------------------------------------------------------------------------


def test_the_commands_work_on_the_same_node(world: World, tmp_path: Path) -> None:
    from e2e.dpos_world import HERE, dpos_cli

    source = str(HERE / "contracts" / "Ledger.vy")
    made = dpos_cli(
        world.node, "contract", "deploy", source, "Coin", "5000", "--dev-account", "2", cwd=tmp_path
    )
    assert made["state"] == "final"
    record = str(tmp_path / made["record"])
    sent = dpos_cli(
        world.node, "contract", "send", record, "transfer", world.bob.address, "40", "--dev-account", "2"
    )
    assert sent["events"][0]["arguments"]["amount"] == "40"
    asked = dpos_cli(world.node, "contract", "call", record, "balanceOf", world.bob.address)
    assert asked["result"] == "40"
    checked = dpos_cli(world.node, "contract", "verify", record, "--source", source)
    assert (checked["match"], checked["creation"]) == ("exact", "exact")
    port = world.node.dpos["rpc"].rstrip("/").rpartition(":")[2]
    assert world.node.json("rpc", "eth_chainId", "--dpos-rpc-port", port) == hex(CHAIN_ID)
    someone = Account.create().address
    assert dpos_cli(world.node, "faucet", someone, "3")["balance"] == str(3 * 10**18)
    state = dpos_cli(world.node, "arbitrator", "status")
    assert len(state["partners"]) >= 1
    assert state["blocks"]["finalized"]["number"] > 0


def test_attach_runs_scripts(world: World) -> None:
    script = (
        f"c = contract('{world.contract.address}', {world.artefact.abi!r})\n"
        "c.functions.transfer(accounts[1].address, 1).transact()\n"
        "print(w3.eth.chain_id, len(accounts))\n"
        "c.functions.totalSupply().call()"
    )
    done = world.node.cli("attach", world.node.dpos["rpc"], "--exec", script, timeout=120)
    assert done.code == 0, done
    assert done.out.split() == [str(CHAIN_ID), "10", str(SUPPLY)]
