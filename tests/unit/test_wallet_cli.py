"""`ioex wallet` against the real RPC methods and mempool, in one process."""

import json
import stat
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from chaingen.builder import ChainBuilder
from pow_rpc_world import LIMITS, FakeBackend
from typer.testing import CliRunner
from wallet_chain import MNEMONIC, OTHER_MNEMONIC, make_spec

from ioex_chain.cli import wallet_node, wallet_session
from ioex_chain.cli.options import Session
from ioex_chain.cli.wallet import app
from ioex_chain.cli.wallet_node import NodeSource
from ioex_chain.crypto.address import address_to_script, checksum_account, encode_witness
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN
from ioex_chain.rpc.client import RpcCallError
from ioex_chain.rpc.context import CallContext
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.pow.table import pow_port
from ioex_chain.spec.lock import push_number
from ioex_chain.wallet.hd import MasterKey
from ioex_chain.wallet.keystore import Sealer


class Node:
    """A node with one chain; speaks RPC as RpcClient does."""

    def __init__(self) -> None:
        self.chain = ChainBuilder(make_spec())
        self.backend = FakeBackend(self.chain)
        port = pow_port(self.backend)
        self._dispatcher = Dispatcher(port.table, errors=port.errors, limits=LIMITS)
        self.calls: list[bytes] = []
        self.tip = self.chain.genesis
        self.mine(4)

    def mine(self, count: int = 1) -> None:
        for _ in range(count):
            waiting = [entry.tx for entry in self.backend.mempool]
            for tx in waiting:
                self.chain._remember_outputs(tx)
            self.tip = self.chain.block(self.tip, waiting)
            self.backend.ledger.accept_block(self.tip)

    def pay(self, address: str, *values: int) -> Transaction:
        script = address_to_script("riox", address)
        tx = self.chain.spend(self.chain.take(), [(value, script) for value in values], fee=10_000)
        self.backend.mempool.add(tx, Tip.of(self.backend.ledger))
        return tx

    async def call(self, method: str, /, *params: object) -> Any:
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        self.calls.append(body)
        reply = await self._dispatcher.handle(body, CallContext(True))
        answer = json.loads(reply.body or b"", parse_float=Decimal)
        if "error" in answer:
            raise RpcCallError(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    async def close(self) -> None:
        """Keep running for the next command."""


class Shell:
    """Runs commands of `ioex wallet` on one data directory."""

    def __init__(self, node: Node, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node = node
        self.folder = folder
        self._runner = CliRunner()
        spec = node.chain.spec
        monkeypatch.setattr(Session, "client", lambda *_: node)
        monkeypatch.setattr(Session, "spec", lambda *_: spec)
        monkeypatch.setattr(wallet_session, "sealer", lambda: Sealer(scrypt_n=2))
        monkeypatch.setenv("IOEX_WALLET_PASSWORD", "correct horse")

    def run(self, *words: str, stdin: str | None = None) -> Any:
        result = self._runner.invoke(
            app, [*words, "--network", "devnet", "--datadir", str(self.folder), "--json"], input=stdin
        )
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout, parse_float=Decimal)

    def fail(self, *words: str, stdin: str | None = None) -> str:
        result = self._runner.invoke(
            app, [*words, "--network", "devnet", "--datadir", str(self.folder), "--json"], input=stdin
        )
        assert result.exit_code in (1, 2), result.output
        assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)
        return result.output

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def restore(self, name: str = "default", mnemonic: str = MNEMONIC) -> None:
        self.run("restore", "--wallet", name, stdin=mnemonic)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(Node(), tmp_path, monkeypatch)


def test_create_writes_the_mnemonic_once_and_restore_finds_the_same_wallet(shell: Shell) -> None:
    out = shell.folder / "words.txt"
    made = shell.run("create", "--mnemonic-out", str(out))
    mnemonic = out.read_text().strip()
    assert len(mnemonic.split()) == 24
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(made["file"]).stat().st_mode) == 0o600
    assert mnemonic not in Path(made["file"]).read_text()
    assert "already" in shell.fail("create", "--mnemonic-out", str(shell.folder / "other.txt"))
    shell.run("restore", "--wallet", "again", "--mnemonic-file", str(out))
    first = shell.run("address", "new")
    assert first == shell.run("address", "new", "--wallet", "again")
    assert shell.run("info")["dpos_address"] == shell.run("info", "--wallet", "again")["dpos_address"]
    assert [row["wallet"] for row in shell.run("list")["wallets"]] == ["again", "default"]


def test_without_a_terminal_no_mnemonic_is_made(shell: Shell) -> None:
    assert "--mnemonic-out" in shell.fail("create")
    assert shell.run("list") == {"wallets": []}


def test_receive_pay_and_look(shell: Shell) -> None:
    shell.restore()
    address = shell.run("address", "new")["address"]
    shell.node.pay(address, 5 * COIN)
    assert shell.run("balance")["unconfirmed"] == 5
    shell.node.mine()
    assert shell.run("balance")["spendable"] == 5
    bob = MasterKey.from_mnemonic(OTHER_MNEMONIC).account(shell.node.chain.spec)
    shell.restore("bob", OTHER_MNEMONIC)
    to = shell.run("address", "new", "--wallet", "bob")["address"]
    assert address_to_script("riox", to) == bob.script(0, 0)
    sent = shell.run("send", to, "1.25", "--yes", "--memo", "lunch")
    shell.node.mine()
    rows = shell.run("history")["transactions"]
    assert rows[0]["txid"] == sent["txid"]
    assert rows[0]["amount"] == Decimal("-1.25") - Decimal(sent["fee"])
    assert rows[0]["confirmations"] == 1
    assert shell.run("balance", "--wallet", "bob")["spendable"] == Decimal("1.25")
    listed = shell.run("address", "list")["addresses"]
    assert {row["kind"] for row in listed} == {"receive", "change"}
    assert sum(row["amount"] for row in listed) == shell.run("balance")["total"]
    everything = shell.run("send", to, "all", "--to", f"{to}=0.5", "--yes")
    assert everything["fee"] > 0
    shell.node.mine()
    assert shell.run("balance")["total"] == 0


def test_deposit_and_bump(shell: Shell) -> None:
    shell.restore()
    shell.node.pay(shell.run("address", "new")["address"], 5 * COIN)
    shell.node.mine()
    sent = shell.run("send", checksum_account(bytes(range(20))), "2", "--yes", "--fee-rate", "1000")
    raised = shell.run("bump", sent["txid"], "--fee-rate", "6000", "--yes")
    assert raised["fee"] > sent["fee"]
    assert len(shell.node.backend.mempool) == 1
    assert "64 hex" in shell.fail("bump", "zz", "--yes")


def test_watch_only_builds_and_the_keys_sign_elsewhere(shell: Shell) -> None:
    shell.restore("cold")
    key = shell.run("export-xpub", "--wallet", "cold")
    assert key["key"].startswith("vpub")
    shell.run("watch", key["with_origin"], "--wallet", "hot")
    shell.node.pay(shell.run("address", "new", "--wallet", "hot")["address"], 3 * COIN)
    shell.node.mine()
    unsigned, signed = str(shell.folder / "unsigned.psbt"), str(shell.folder / "signed.psbt")
    shell.run("build", _stranger(), "1", "--wallet", "hot", "--out", unsigned)
    shown = shell.run("psbt", "show", unsigned, "--wallet", "hot")
    assert (shown["inputs_ours"], shown["inputs_missing"]) == (1, 1)
    assert "only watches" in shell.fail("sign", unsigned, "--wallet", "hot", "--yes")
    before = len(shell.node.calls)
    shell.run("sign", unsigned, "--wallet", "cold", "--yes", "--out", signed)
    assert len(shell.node.calls) == before  # signing asks no node
    assert "not fully signed" in shell.fail("broadcast", unsigned)
    final = shell.run("psbt", "finalize", signed)
    raw = shell.file("raw.hex", final["hex"])
    assert shell.run("broadcast", raw)["txid"] == final["txid"]
    shell.node.mine()
    assert shell.run("balance", "--wallet", "hot")["spendable"] < 2


def test_psbt_forms_convert(shell: Shell) -> None:
    shell.restore()
    shell.node.pay(shell.run("address", "new")["address"], 3 * COIN)
    shell.node.mine()
    unsigned = shell.file("a.psbt", shell.run("build", _stranger(), "1")["psbt"])
    as_hex = shell.file("a.hex", shell.run("psbt", "export", unsigned, "--format", "hex")["psbt"])
    binary = str(shell.folder / "a.bin")
    CliRunner().invoke(app, ["psbt", "export", as_hex, "--format", "binary", "-o", binary])
    assert Path(binary).read_bytes().startswith(b"psbt\xff")
    again = shell.run("psbt", "import", binary)
    assert again["psbt"] == Path(unsigned).read_text()


def test_two_signers_through_files(shell: Shell) -> None:
    spec = shell.node.chain.spec
    keys = [
        MasterKey.from_mnemonic(words).account(spec).public_key(0, 0) for words in (MNEMONIC, OTHER_MNEMONIC)
    ]
    hidden = push_number(2) + b"".join(b"\x21" + key for key in keys) + push_number(2) + b"\xae"
    shell.restore("a")
    shell.restore("b", OTHER_MNEMONIC)
    added = [shell.run("add-lock", hidden.hex(), "--wallet", name) for name in ("a", "b")]
    assert added[0] == added[1]
    assert added[0]["shared"] is True
    tx = shell.node.pay(added[0]["address"], 3 * COIN)
    shell.node.mine()
    assert shell.run("balance", "--wallet", "a")["shared"] == 3
    coin = f"{tx.txid[::-1].hex()}:{[out.value for out in tx.outputs].index(3 * COIN)}"
    unsigned = shell.file("u.psbt", shell.run("build", _stranger(), "1", "-w", "a", "--coin", coin)["psbt"])
    halves = [
        shell.file(f"{name}.psbt", shell.run("sign", unsigned, "-w", name, "--yes")["psbt"])
        for name in ("a", "b")
    ]
    combined = shell.run("psbt", "combine", *halves)
    assert combined["inputs_missing"] == 0
    shell.run("broadcast", shell.file("c.psbt", combined["psbt"]))
    shell.node.mine()


def test_imported_keys(shell: Shell) -> None:
    key = shell.file("key.txt", "11" * 32)
    address = shell.run("import-key", "--wallet", "raw", "--key-file", key)["address"]
    shell.node.pay(address, 2 * COIN)
    shell.node.mine()
    assert shell.run("balance", "--wallet", "raw")["spendable"] == 2
    shell.run("send", _stranger(), "1", "--wallet", "raw", "--yes")
    assert "already" in shell.fail("import-key", "--wallet", "raw", "--key-file", key)
    stored = next((shell.folder / "devnet" / "wallets" / "raw" / "keys").glob("*.json"))
    again = shell.run("import-key", "-w", "two", "--keystore-file", str(stored))
    assert again["address"] == address
    secret = "11" * 32
    assert secret not in b"".join(shell.node.calls).decode()


def test_keys_and_words_never_travel(shell: Shell) -> None:
    shell.restore()
    shell.node.pay(shell.run("address", "new")["address"], 5 * COIN)
    shell.node.mine()
    shell.run("send", _stranger(), "1", "--yes")
    shell.run("history")
    master = MasterKey.from_mnemonic(MNEMONIC)
    told = b"".join(shell.node.calls)
    assert not any(word.encode() in told for word in set(MNEMONIC.split()) - {"year"})
    hard = 0x80000000
    for index in range(3):
        for branch in (0, 1):
            path = (84 + hard, 1 + hard, hard, branch, index)
            assert master.private_key(path).hex().encode() not in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("send", "riox1nonsense", "1", "--yes"), "bech32"),
        (("send", "0x00", "1", "--yes"), "40 hex"),
        (("send", "STRANGER", "x", "--yes"), "not an amount"),
        (("send", "STRANGER", "1", "--yes"), "can be spent"),
        (("send", "STRANGER", "1", "--to", "nonsense", "--yes"), "ADDRESS=AMOUNT"),
        (("balance", "--wallet", "nobody"), "no such file"),
        (("balance", "--wallet", "../../etc"), "name"),
        (("watch", "xpubnonsense", "-w", "x"), "extended key"),
        (("add-lock", "51"), "CHECKMULTISIG"),
        (("add-lock", "zz"), "not hex"),
        (("psbt", "show", "/nowhere"), "cannot be read"),
        (("psbt", "show", "/etc/hostname"), "not a PSBT"),
        (("build", "STRANGER", "1", "--coin", "nonsense"), "TXID:VOUT"),
    ],
)
def test_mistakes_get_one_clear_line(shell: Shell, words: tuple[str, ...], said: str) -> None:
    shell.restore()
    output = shell.fail(*(_stranger() if word == "STRANGER" else word for word in words))
    assert said in output
    assert "Traceback" not in output


def test_a_wrong_password_and_a_damaged_file_are_told_apart(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.restore()
    shell.node.pay(shell.run("address", "new")["address"], 5 * COIN)
    shell.node.mine()
    monkeypatch.setenv("IOEX_WALLET_PASSWORD", "wrong")
    assert "wrong password" in shell.fail("send", _stranger(), "1", "--yes")
    state = shell.folder / "devnet" / "wallets" / "default" / "state.json"
    state.write_bytes(state.read_bytes()[:-5])
    assert "state.json" in shell.fail("balance")
    state.unlink()
    assert shell.run("balance")["spendable"] == 5
    file = state.with_name("wallet.json")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    output = shell.fail("balance")
    assert "wallet.json" in output
    assert "damaged" in output


def test_another_networks_wallet_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.restore()
    other = replace(shell.node.chain.spec, name="testnet")
    monkeypatch.setattr(Session, "spec", lambda *_: other)
    assert "devnet wallet" in shell.fail("balance")


def test_a_history_of_many_pages(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wallet_node, "PAGE", 2)
    monkeypatch.setattr(wallet_node, "ADDRESSES_PER_CALL", 7)
    shell.restore()
    address = shell.run("address", "new")["address"]
    for _ in range(5):
        shell.node.pay(address, COIN)
        shell.node.mine()
    assert len(shell.run("history")["transactions"]) == 5
    assert len(shell.run("history", "--count", "2")["transactions"]) == 2
    assert shell.run("balance")["spendable"] == 5


def test_a_block_between_two_questions_is_noticed() -> None:
    node = Node()
    master = MasterKey.from_mnemonic(MNEMONIC)
    script = master.account(node.chain.spec).script(0, 0)
    tx = node.chain.spend(node.chain.take(), [(COIN, script)], fee=10_000)
    node.backend.mempool.add(tx, Tip.of(node.backend.ledger))
    node.mine()
    source = NodeSource(node, node.chain.spec)  # type: ignore[arg-type]
    honest, mined = node.call, []

    async def interrupted(method: str, /, *params: object) -> Any:
        if method == "listunspent" and not mined:
            mined.append(1)
            node.mine()
        return await honest(method, *params)

    node.call = interrupted  # type: ignore[method-assign]
    with source:
        (coin,) = source.coins([script])
    assert coin.height == 5


def _stranger() -> str:
    return encode_witness("riox", 0, bytes(range(20)))
