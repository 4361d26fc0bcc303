"""`ioex arbitrator` against the registry's real code on an EVM: from a new key to a rotated one."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from eth_node import CHAIN_ID, EthNode, FakeClient
from typer.testing import CliRunner

from ioex_chain.cli import arbitrator as commands
from ioex_chain.cli import dpos_node
from ioex_chain.cli.arbitrator_group import app
from ioex_chain.cli.main import app as ioex
from ioex_chain.evm.system import Registry, artefact
from ioex_chain.spec.load import load_network
from ioex_chain.wallet.account_wallet import AccountWallet, DposKey
from ioex_chain.wallet.arbitrators import key_digest, registry
from ioex_chain.wallet.contracts import call, send
from ioex_chain.wallet.keystore import Sealer

REGISTRY = load_network("devnet").contracts.addresses["ArbitratorRegistry"]
PAYOUT = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"


def genesis(owner: bytes) -> dict[bytes, dict[str, Any]]:
    compiled = artefact(Registry.NAME)
    slots = {"owner": int.from_bytes(owner, "big"), "unlockPeriod": 60, "missLimit": 16}
    storage = {compiled.slots[name]: value for name, value in slots.items()}
    return {REGISTRY: {"balance": 0, "nonce": 1, "code": compiled.runtime, "storage": storage}}


class Shell:
    """One node whose owner is account 0; account 1 operates a partner."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        keys = EthNode().keys
        owner = DposKey(keys[0])
        self.node = EthNode(accounts=genesis(bytes.fromhex(owner.address[2:])))
        self.owner = AccountWallet(self.node, owner, CHAIN_ID, sleep=lambda _: None)
        self.operator = DposKey(keys[1]).address
        self.folder = folder
        self.place = registry(REGISTRY)
        monkeypatch.setattr(dpos_node, "SyncRpcClient", lambda *_, **__: FakeClient(self.node))
        monkeypatch.setattr(commands, "sealer", lambda: Sealer(scrypt_n=2))
        monkeypatch.setattr("time.sleep", lambda _: None)
        monkeypatch.setenv("IOEX_WALLET_PASSWORD", "correct horse")

    def invoke(self, *words: str) -> Any:
        place = ("--network", "devnet", "--datadir", str(self.folder / "data"), "--json")
        return CliRunner().invoke(app, [*words, *place])

    def run(self, *words: str) -> Any:
        result = self.invoke(*words)
        assert result.exit_code == 0, (result.output, result.exception)
        return json.loads(result.stdout)

    def fail(self, *words: str) -> str:
        result = self.invoke(*words)
        assert result.exit_code in (1, 2), (result.output, result.exception)
        return str(result.output)

    def admit(self, name: bytes = b"Partner One") -> None:
        send(self.owner, self.place, "admit", [self.operator, "0x" + name.ljust(32, b"\0").hex()])

    def joined(self) -> dict[str, Any]:
        """Make a key and register it."""
        made: dict[str, Any] = self.run("init")
        self.admit()
        self.run("register", made["keystore"], "--payout", PAYOUT, "--dev-account", "1")
        return made


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(tmp_path, monkeypatch)


def test_init_makes_an_encrypted_key_and_the_consent_that_the_contract_takes(shell: Shell) -> None:
    made = shell.run("init", "--operator", shell.operator)
    path = Path(made["keystore"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["version"] == 3
    assert made["consent"]["key"] == made["key"]
    digest = key_digest(CHAIN_ID, REGISTRY, bytes.fromhex(shell.operator[2:]))
    assert call(shell.node, shell.place, "keyDigest", [shell.operator]) == ["0x" + digest.hex()]
    again = shell.run("init", "--out", str(shell.folder / "other.json"))
    assert again["key"] != made["key"]
    assert "never written over" in shell.fail("init", "--out", made["keystore"])


def test_from_a_new_key_to_the_ranking(shell: Shell) -> None:
    made = shell.run("init")
    join = ("register", made["keystore"], "--payout", PAYOUT, "--dev-account", "1")
    assert "only a partner's operator" in shell.fail(*join)
    assert "knows no partner" in shell.fail("status", shell.operator)
    shell.admit()
    assert "no key or payout yet" in shell.run("status", "1")["partners"][0]["advice"]
    sent = shell.run(*join)
    assert [event["event"] for event in sent["events"]] == ["KeySet", "PayoutSet"]
    (found,) = shell.run("status", made["key"])["partners"]
    assert (found["name"], found["key"], found["payout"]) == ("Partner One", made["key"], PAYOUT)
    assert found["eligible"]
    assert found["advice"].startswith("in the ranking")
    assert shell.run("status")["blocks"]["finalized"]["number"] >= 1


def test_a_key_is_rotated_and_the_old_one_is_still_known(shell: Shell) -> None:
    made = shell.joined()
    fresh = shell.run("init")
    shell.run("rotate-key", fresh["keystore"], "--dev-account", "1")
    (found,) = shell.run("status", made["key"])["partners"]
    assert found["key"] == fresh["key"]
    assert "key was used before" in shell.fail("rotate-key", made["keystore"], "--dev-account", "1")


def test_standby_and_back(shell: Shell) -> None:
    shell.joined()
    shell.run("standby", "on", "--dev-account", "1")
    assert "standby off" in shell.run("status", "1")["partners"][0]["advice"]
    shell.run("standby", "off", "--dev-account", "1")
    assert shell.run("status", "1")["partners"][0]["eligible"]
    assert "on or off" in shell.fail("standby", "maybe", "--dev-account", "1")


def test_jail_tells_the_state_and_the_way_out(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    made = shell.joined()
    assert shell.run("jail", made["key"])["jailed"] is False
    item = {
        "kind": "seal",
        "key": made["key"].lower(),
        "block": {"number": "0x7", "hash": "0x"},
        "raw": "0x01",
    }
    others = {**item, "key": "0x" + "99" * 20}
    shell.node.ioex_getEvidence = lambda: [item, others]  # type: ignore[attr-defined]
    (known,) = shell.run("jail", "1")["evidence"]
    assert (known["key"], known["kind"], known["block"]) == (made["key"], "seal", 7)
    real = commands.partner
    jailed = 1_900_000_000

    def imprisoned(*given: Any) -> Any:
        from dataclasses import replace

        return replace(real(*given), jailed=True, eligible=False, key=None, release_time=jailed)

    monkeypatch.setattr(commands, "partner", imprisoned)
    monkeypatch.setattr("time.time", lambda: jailed - 1)
    assert "in jail until 2030-03-17 17:46 UTC" in shell.run("jail", made["key"])["advice"]
    monkeypatch.setattr("time.time", lambda: jailed)
    assert "ask the owner to release" in shell.run("jail", made["key"])["advice"]


def test_run_wants_keys_and_a_password_file(shell: Shell) -> None:
    assert "--arbitrator-keys" in shell.fail("run")
    assert "--arbitrator-password-file" in shell.fail("run", "--arbitrator-keys", "x.json")
    gone = ("--arbitrator-keys", "x.json", "--arbitrator-password-file", "p.txt")
    assert "there is no file x.json" in shell.fail("run", *gone)


def test_the_faucet_pays(shell: Shell) -> None:
    to = "0x" + "12" * 20
    words = ("faucet", to, "2.5", "--network", "devnet", "--datadir", str(shell.folder), "--json")
    result = CliRunner().invoke(ioex, words)
    assert result.exit_code == 0, (result.output, result.exception)
    assert json.loads(result.stdout)["balance"] == str(25 * 10**17)
    refused = CliRunner().invoke(ioex, ("faucet", to, "--network", "testnet", "--json"))
    assert "for a devnet" in refused.output
    much = CliRunner().invoke(ioex, (*words[:2], "1000000", *words[3:]))
    assert "take another --dev-account" in much.output
