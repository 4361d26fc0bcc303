"""Every file of a wallet removed, cut short, one byte flipped: an error that names it, or the same wallet."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from crash.damaged_world import faults_of
from typer.testing import CliRunner

from ioex_chain.cli import wallet_session
from ioex_chain.cli.main import app
from ioex_chain.wallet.keystore import Sealer

MNEMONIC = "abandon " * 11 + "about"
PASSWORD = "correct horse"
QUESTIONS = (("export-xpub",), ("address", "new", "--offline"), ("info",))


class Wallet:
    def __init__(self, base: Path) -> None:
        self.base = base
        assert self.run("restore", stdin=MNEMONIC).exit_code == 0
        self.folder = base / "devnet" / "wallets"
        self.files = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        self.answers = {words: self.ask(words) for words in QUESTIONS}

    def run(self, *words: str, stdin: str = "") -> Any:
        place = ["--network", "devnet", "--datadir", str(self.base), "--json"]
        env = {"IOEX_WALLET_PASSWORD": PASSWORD}
        return CliRunner().invoke(app, ["wallet", *words, *place], input=stdin, env=env)

    def put_back(self) -> None:
        for path in self.folder.rglob("*"):
            if path.is_file() and path not in self.files:
                path.unlink()
        for path, data in self.files.items():
            path.write_bytes(data)

    def ask(self, words: tuple[str, ...]) -> Any:
        """Give the answer, or the message of a clean refusal, on the wallet as it was made."""
        result = self.run(*words)
        if result.exit_code == 0:
            return json.loads(result.stdout)
        assert result.exit_code == 1, (words, result.output, result.exception)
        assert isinstance(result.exception, SystemExit), (words, result.exception)
        return str(json.loads(result.stderr)["error"]["message"])


@pytest.fixture(scope="module")
def wallet(tmp_path_factory: pytest.TempPathFactory) -> Wallet:
    patch = pytest.MonkeyPatch()
    patch.setattr(wallet_session, "sealer", lambda: Sealer(scrypt_n=2))
    made = Wallet(tmp_path_factory.mktemp("keys"))
    patch.undo()
    return made


def test_every_wallet_file_damaged(wallet: Wallet) -> None:
    counts: Counter[str] = Counter()
    wallet.put_back()
    for fault in list(faults_of(wallet.folder, flips=25, seed=5)):
        for words, right in wallet.answers.items():
            wallet.put_back()
            fault.apply(wallet.folder)
            answer = wallet.ask(words)
            if isinstance(answer, str):
                assert str(wallet.folder) in answer, f"{fault} {words}: {answer}"
                counts["refused"] += 1
            else:
                assert answer == right, f"{fault} {words}: a wrong answer"
                counts["right"] += 1
    print(f"\n{dict(counts)}, 0 wrong answers")
    assert counts["refused"] > 20
