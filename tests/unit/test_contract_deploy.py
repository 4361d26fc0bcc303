"""Deploying, calling, sending and verifying on a real EVM (py-evm), by the library and by the commands."""

import json
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_node import EthNode, FakeClient
from typer.testing import CliRunner

from ioex_chain.cli import dpos_node, wallet_session
from ioex_chain.cli.contract import app
from ioex_chain.cli.main import app as ioex
from ioex_chain.wallet.account_wallet import AccountWallet, DposKey, Patience, Terms, settle
from ioex_chain.wallet.artefacts import Artefact
from ioex_chain.wallet.compilers import compile_source
from ioex_chain.wallet.contract_errors import (
    DeploymentExists,
    InvalidArgument,
    NoContract,
    NodeError,
    NotMinedYet,
    Reverted,
    TransactionFailed,
    WrongChain,
)
from ioex_chain.wallet.contracts import Plan, Target, call, deploy, finish, outcome, send
from ioex_chain.wallet.deployments import FAILED, FINAL, SENT, Deployment, read_deployment
from ioex_chain.wallet.keystore import Sealer
from ioex_chain.wallet.verification import verify

VAULT = Path(__file__).parent / "contract_sources" / "Vault.vy"
OWNER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
ARGUMENTS = ("1000", "first vault", json.dumps([[OTHER, 7], {"owner": OWNER, "amount": 5}]))


@pytest.fixture(scope="module")
def vault() -> Artefact:
    return compile_source(VAULT)


@pytest.fixture
def node() -> EthNode:
    return EthNode()


@pytest.fixture
def wallet(node: EthNode) -> AccountWallet:
    return AccountWallet(node, DposKey(node.keys[0]), 51337, sleep=no_sleep)


def no_sleep(seconds: float) -> None:
    """Time passes with every question to the node."""


def deployed(wallet: AccountWallet, vault: Artefact, record: Path) -> Deployment:
    sent = deploy(wallet, Plan(vault, ARGUMENTS, network="devnet"), record)
    return finish(wallet.node, record, sent, Patience(), no_sleep)


def test_a_record_tells_the_whole_story(wallet: AccountWallet, vault: Artefact, tmp_path: Path) -> None:
    record = tmp_path / "deep" / "vault.json"
    done = deployed(wallet, vault, record)
    assert done == read_deployment(record)
    assert done.state == FINAL
    assert (done.block_number, done.deployer, done.nonce) == (1, OWNER, 0)
    assert done.finalized_number is not None
    assert done.finalized_number >= 1
    assert done.constructor_arguments == ["1000", "first vault", [[OTHER, "7"], [OWNER, "5"]]]
    assert done.compiler["language"] == "Vyper"
    assert done.source_hash
    assert call(wallet.node, Target(done.address, done.abi), "total") == ["12"]
    assert call(wallet.node, Target(done.address, done.abi), "facts") == [OWNER, "1000", "first vault", True]
    assert call(wallet.node, Target(done.address), "entries(uint256)((address,uint256))", ["0"]) == [
        [OTHER, "7"]
    ]


def test_a_record_is_on_disk_before_the_transaction_leaves(
    wallet: AccountWallet, node: EthNode, vault: Artefact, tmp_path: Path
) -> None:
    record, seen = tmp_path / "vault.json", []
    send_raw = node.eth_sendRawTransaction
    node.eth_sendRawTransaction = lambda raw: (seen.append(read_deployment(record)), send_raw(raw))[1]  # type: ignore[method-assign]
    sent = deploy(wallet, Plan(vault, ARGUMENTS), record)
    assert seen == [sent]
    assert sent.state == SENT


def test_a_record_is_never_written_over(wallet: AccountWallet, vault: Artefact, tmp_path: Path) -> None:
    record = tmp_path / "vault.json"
    deployed(wallet, vault, record)
    before = record.read_bytes()
    with pytest.raises(DeploymentExists, match="not written over"):
        deployed(wallet, vault, record)
    assert record.read_bytes() == before
    assert wallet.nonce() == 1


def test_what_the_node_refuses_leaves_no_record(
    wallet: AccountWallet, node: EthNode, vault: Artefact, tmp_path: Path
) -> None:
    node.refuse["eth_sendRawTransaction"] = NodeError(-32000, "insufficient funds for gas * price + value")
    with pytest.raises(NodeError, match="insufficient funds"):
        deploy(wallet, Plan(vault, ARGUMENTS), tmp_path / "vault.json")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_creation_says_so_and_may_be_tried_again(
    wallet: AccountWallet, vault: Artefact, tmp_path: Path
) -> None:
    record = tmp_path / "vault.json"
    sent = deploy(wallet, Plan(vault, ARGUMENTS, terms=Terms(gas=200_000)), record)
    with pytest.raises(TransactionFailed, match="all of its gas"):
        finish(wallet.node, record, sent, Patience(), no_sleep)
    assert read_deployment(record).state == FAILED
    assert deployed(wallet, vault, record).state == FINAL


def test_arguments_are_checked_before_anything_is_sent(
    wallet: AccountWallet, node: EthNode, vault: Artefact, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgument, match="cap"):
        deploy(wallet, Plan(vault, ("-1", "x", "[]")), tmp_path / "vault.json")
    assert node.calls == []


def test_a_node_of_another_chain_is_refused(vault: Artefact, tmp_path: Path) -> None:
    other = AccountWallet(EthNode(chain_id=1), DposKey(EthNode().keys[0]), 51337)
    with pytest.raises(WrongChain, match="chain 1, the chosen network is chain 51337"):
        deploy(other, Plan(vault, ARGUMENTS), tmp_path / "vault.json")


def test_a_transaction_tells_its_events(wallet: AccountWallet, vault: Artefact, tmp_path: Path) -> None:
    done = deployed(wallet, vault, tmp_path / "vault.json")
    target = Target(done.address, done.abi)
    transaction = send(wallet, target, "store", ["a label", "30"])
    facts = outcome(wallet.settle(transaction, Patience(1), target.abi), target.abi)
    (event,) = facts["events"]
    assert (event["event"], event["arguments"]["owner"], event["arguments"]["amount"]) == (
        "Stored",
        OWNER,
        "30",
    )
    assert event["arguments"]["label"].startswith("0x")
    assert call(wallet.node, target, "total") == ["42"]
    assert call(wallet.node, target, "total", block=hex(done.block_number or 0)) == ["12"]


def test_reverts_come_with_their_reason(wallet: AccountWallet, vault: Artefact, tmp_path: Path) -> None:
    done = deployed(wallet, vault, tmp_path / "vault.json")
    target = Target(done.address, done.abi)
    with pytest.raises(Reverted, match="over the cap"):
        call(wallet.node, target, "store", ["x", "5000"])
    with pytest.raises(Reverted, match="over the cap"):
        send(wallet, target, "store", ["x", "5000"])
    sent = send(wallet, target, "store", ["x", "5000"], terms=Terms(gas=300_000))
    with pytest.raises(TransactionFailed, match="over the cap"):
        wallet.settle(sent, Patience(1), target.abi)
    with pytest.raises(InvalidArgument, match="not payable"):
        send(wallet, target, "store", ["x", "1"], value=1)
    with pytest.raises(NoContract, match="no contract at"):
        send(wallet, Target(OTHER, done.abi), "pay")
    with pytest.raises(NoContract):
        call(wallet.node, Target(OTHER, done.abi), "total")


def test_waiting_ends_and_says_what_it_waited_for(wallet: AccountWallet, node: EthNode) -> None:
    times = iter(range(100))
    with pytest.raises(NotMinedYet, match="not in a block after 3 s"):
        settle(node, "0x" + "11" * 32, Patience(None, 3), sleep=no_sleep, now=lambda: next(times))
    raw, transaction = wallet.sign(wallet.prepare(OTHER, b"", 5))
    node.lag = 1000
    wallet.send(raw)
    times = iter(range(100))
    with pytest.raises(NotMinedYet, match="not final after 3 s"):
        settle(node, transaction, Patience(None, 3), sleep=no_sleep, now=lambda: next(times))
    assert wallet.send(raw) == transaction  # a node that knows it already is fine


def test_finality_is_of_the_block_that_stays(wallet: AccountWallet, node: EthNode) -> None:
    raw, transaction = wallet.sign(wallet.prepare(OTHER, b"", 5))
    wallet.send(raw)
    whole, gone = (
        node.eth_getTransactionReceipt,
        iter([{"blockHash": "0x" + "aa" * 32, "blockNumber": "0x0"}]),
    )

    def moving(text: str) -> dict[str, Any] | None:
        """Tell of a lower block that a reorganisation takes away, the first time."""
        receipt = whole(text)
        assert receipt is not None
        return {**receipt, **next(gone, {})}

    node.eth_getTransactionReceipt = moving  # type: ignore[method-assign]
    settled = wallet.settle(transaction, Patience())
    assert settled.receipt == whole(transaction)
    assert settled.finalized is not None
    assert settled.finalized["number"] >= int(settled.receipt["blockNumber"], 16) > 0


def test_fees_follow_the_market_and_the_user(wallet: AccountWallet, node: EthNode) -> None:
    gwei = 10**9
    assert wallet.fees(Terms()) == {
        "maxFeePerGas": 2 * gwei + 3 * gwei // 10,
        "maxPriorityFeePerGas": 3 * gwei // 10,
    }
    assert wallet.fees(Terms(max_fee=5, priority_fee=9)) == {"maxFeePerGas": 5, "maxPriorityFeePerGas": 5}
    node.refuse["eth_feeHistory"] = NodeError(-32601, "the method does not exist")
    assert wallet.fees(Terms()) == {"gasPrice": 2 * gwei}


def test_verify_says_what_is_equal(wallet: AccountWallet, vault: Artefact, tmp_path: Path) -> None:
    done = deployed(wallet, vault, tmp_path / "vault.json")
    code = bytes.fromhex(wallet.node.call("eth_getCode", done.address, "latest")[2:])
    ran = bytes.fromhex(wallet.node.call("eth_getTransactionByHash", done.transaction_hash)["input"][2:])
    verdict = verify(vault, code, ran)
    assert (verdict.match, verdict.creation, verdict.is_verified) == ("exact", "exact", True)
    assert int(verdict.immutables["CAP"], 16) == 1000
    assert verdict.immutables["OWNER"].endswith(OWNER[2:].lower())
    assert verdict.constructor_arguments is not None
    assert verdict.constructor_arguments[0] == "1000"
    changed = bytes([code[0], code[1] ^ 1]) + code[2:]
    assert not verify(vault, changed, ran).is_verified
    other = replace(vault, creation=vault.creation.replace("33", "32", 1))
    assert verify(other, code, ran).creation == "differs"
    assert not verify(other, code, ran).is_verified


# --- the commands ----------------------------------------------------------------------------------------


class Shell:
    """Runs `ioex contract` against one node, in one folder."""

    def __init__(self, node: EthNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.chdir(folder)
        monkeypatch.setattr(dpos_node, "SyncRpcClient", lambda *_, **__: FakeClient(node))
        monkeypatch.setattr("time.sleep", no_sleep)

    def invoke(self, *words: str) -> Any:
        place = ("--network", "devnet", "--datadir", str(self.folder / "data"), "--json")
        # Options go before the arguments, since a negative number needs `--` between them.
        return CliRunner().invoke(app, [words[0], *place, *words[1:]])

    def run(self, *words: str) -> Any:
        result = self.invoke(*words)
        assert result.exit_code == 0, (result.output, result.exception)
        return json.loads(result.stdout)

    def fail(self, *words: str, code: int = 1) -> str:
        result = self.invoke(*words)
        assert result.exit_code == code, (result.output, result.exception)
        return str(result.output)


@pytest.fixture
def shell(node: EthNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(node, tmp_path, monkeypatch)


def test_the_commands_go_from_source_to_verified(shell: Shell) -> None:
    made = shell.run("deploy", str(VAULT), *ARGUMENTS, "--dev-account", "0")
    record = made["record"]
    assert record == "deployments/devnet/Vault.json"
    assert made["state"] == "final"
    assert shell.run("call", record, "facts")["result"] == [OWNER, "1000", "first vault", True]
    sent = shell.run("send", record, "store", "label", "30", "--dev-account", "1")
    assert sent["finalized"]["number"] >= sent["block_number"]
    assert shell.run("call", made["address"], "total()(uint256)")["result"] == "42"
    assert shell.run("verify", record, "--source", str(VAULT))["creation"] == "exact"
    assert shell.run("verify", record)["match"] == "record"
    assert "not written over" in shell.fail("deploy", str(VAULT), *ARGUMENTS, "--dev-account", "0")


def test_a_deployment_can_be_finished_later(shell: Shell, node: EthNode) -> None:
    made = shell.run(
        "deploy", str(VAULT), *ARGUMENTS, "--dev-account", "0", "--no-wait", "--record", "v.json"
    )
    assert made["state"] == "sent"
    assert shell.run("wait", "v.json")["state"] == "final"
    assert json.loads((shell.folder / "v.json").read_text())["finalized_number"] is not None


def test_a_wrong_source_is_not_verified(shell: Shell) -> None:
    made = shell.run("deploy", str(VAULT), *ARGUMENTS, "--dev-account", "0")
    other = shell.folder / "Vault.vy"
    other.write_text(VAULT.read_text().replace("<= CAP", "< CAP"))
    assert '"verified": false' in shell.fail("verify", made["address"], "--source", str(other))


def test_compile_writes_an_artefact_that_deploys(shell: Shell) -> None:
    shell.run("compile", str(VAULT), "--out", "Vault.json")
    assert "never written over" in shell.fail("compile", str(VAULT), "--out", "Vault.json")
    made = shell.run("deploy", "Vault.json", *ARGUMENTS, "--dev-account", "2")
    assert made["source_hash"]
    checked = shell.run("verify", made["record"], "--source", "Vault.json")
    assert (checked["match"], checked["creation"]) == ("exact", "exact")
    assert int(checked["immutables"]["CAP"], 16) == 1000


def test_keys_never_come_from_the_command_line_and_exactly_one_is_named(shell: Shell, node: EthNode) -> None:
    assert "name one key" in shell.fail("deploy", str(VAULT), *ARGUMENTS)
    key = shell.folder / "key.txt"
    key.write_text("0x" + node.keys[3].hex())
    both = ("--key-file", str(key), "--dev-account", "1")
    assert "name one key" in shell.fail("deploy", str(VAULT), *ARGUMENTS, *both)
    assert shell.run("deploy", str(VAULT), *ARGUMENTS, "--key-file", str(key))["state"] == "final"
    result = CliRunner().invoke(
        app, ["send", OTHER, "x()", "--network", "mainnet", "--dev-account", "0", "--json"]
    )
    assert "everybody owns those keys" in result.output


def test_wallets_and_keystores_sign(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOEX_WALLET_PASSWORD", "correct horse")
    place = ("--network", "devnet", "--datadir", str(shell.folder / "data"), "--json")
    monkeypatch.setattr(wallet_session, "sealer", lambda: Sealer(scrypt_n=2))
    made = CliRunner().invoke(ioex, ["wallet", "restore", *place], input=dpos_node.DEV_MNEMONIC)
    assert made.exit_code == 0, made.output
    from_wallet = shell.run("deploy", str(VAULT), *ARGUMENTS, "--wallet", "default", "--account", "1")
    assert from_wallet["deployer"] == OTHER
    keystore = shell.folder / "key.json"
    private = EthNode().keys[0]
    document = Sealer(scrypt_n=2).key_document(private, bytes.fromhex(OWNER[2:]), "correct horse")
    keystore.write_text(json.dumps(document))
    record = ("--record", "other.json", "--keystore", str(keystore))
    assert shell.run("deploy", str(VAULT), *ARGUMENTS, *record)["deployer"] == OWNER
    monkeypatch.setenv("IOEX_WALLET_PASSWORD", "battery staple")
    assert "wrong password" in shell.fail("send", "other.json", "pay", "--keystore", str(keystore))


def test_the_script_is_the_command() -> None:
    script = Path(__file__).parents[2] / "scripts" / "deploy_contract.py"
    done = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "deployment record" in done.stdout


def test_a_record_of_a_devnet_of_before_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    record = shell.run("deploy", str(VAULT), *ARGUMENTS, "--dev-account", "0")["record"]
    fresh = EthNode(accounts={b"\1" * 20: {"balance": 1, "nonce": 0, "code": b"", "storage": {}}})
    monkeypatch.setattr(dpos_node, "SyncRpcClient", lambda *_, **__: FakeClient(fresh))
    assert "another chain with the same id" in shell.fail("call", record, "total")


def test_revert_reasons_reach_the_user(shell: Shell) -> None:
    record = shell.run("deploy", str(VAULT), *ARGUMENTS, "--dev-account", "0")["record"]
    assert "over the cap" in shell.fail("call", record, "store", "x", "5000")
    assert "store(string,uint256) takes 2 arguments" in shell.fail("call", record, "store", "x")
    assert "has no function stoer" in shell.fail("call", record, "stoer")


def test_records_hold_no_secret(shell: Shell, node: EthNode) -> None:
    shell.run("deploy", str(VAULT), *ARGUMENTS, "--dev-account", "0")
    text = (shell.folder / "deployments" / "devnet" / "Vault.json").read_text()
    assert node.keys[0].hex() not in text
    assert stat.S_ISREG((shell.folder / "deployments" / "devnet" / "Vault.json").stat().st_mode)
