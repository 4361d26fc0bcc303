"""Data of a newer program or another network is refused and left alone; so is what a dying reindex leaves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chaingen.builder import ChainBuilder
from crash.damaged_world import error_of, facts_of, settings, start
from e2e.devnet_chain import dev_chain
from e2e.node_process import GENESIS_TIME, ioex
from typer.testing import CliRunner

from ioex_chain.cli.main import app
from ioex_chain.ledger import schema
from ioex_chain.ledger.errors import StoreError, WrongFormat, WrongNetwork
from ioex_chain.ledger.store import LevelStore
from ioex_chain.node.build import open_chain
from ioex_chain.node.datadir import DataDir, Identity, checksum

COMMANDS = (
    ("db", "check"),
    ("db", "check", "--deep"),
    ("db", "reindex"),
    ("db", "compact"),
    ("db", "repair"),
    ("rollback", "1"),
    ("export", "/dev/null/blocks"),
    ("init",),
)


def make_node(base: Path, genesis_time: int = GENESIS_TIME) -> DataDir:
    """Set up a devnet of five blocks."""
    datadir = DataDir(base, "devnet")
    datadir.create(Identity("devnet", genesis_time))
    chain, _ = dev_chain() if genesis_time == GENESIS_TIME else (None, None)
    with open_chain(settings(base)) as node:
        for block in (chain or ChainBuilder(node.spec)).warm_up():
            node.ledger.accept_block(block)
        assert facts_of(node.ledger)[0] == 3
    return datadir


def newer_folder(datadir: DataDir) -> None:
    content = json.loads(datadir.marker.read_bytes())
    content.pop("checksum")
    content["format"] = 2
    datadir.marker.write_text(json.dumps({**content, "checksum": checksum(content)}))


def newer_folder_of_another_form(datadir: DataDir) -> None:
    datadir.marker.write_text(json.dumps({"format": 7, "chains": ["pow", "dpos"]}))


def newer_rows(datadir: DataDir) -> None:
    store = LevelStore(datadir.database, create=False)
    store.write({schema.META_FORMAT: schema.encode_height(schema.FORMAT_VERSION + 1)})
    store.close()


def folder_of_testnet(datadir: DataDir) -> None:
    datadir.write_identity(Identity("testnet"))


def database_of_another_devnet(datadir: DataDir) -> None:
    other = make_node(datadir.base.with_name("other"), GENESIS_TIME + 1)
    for file in datadir.database.iterdir():
        file.unlink()
    datadir.database.rmdir()
    other.database.rename(datadir.database)


CASES = [
    pytest.param(newer_folder, WrongFormat, "newer ioex", id="newer folder"),
    pytest.param(newer_folder_of_another_form, WrongFormat, "newer ioex", id="much newer folder"),
    pytest.param(newer_rows, WrongFormat, "has format 2", id="newer rows"),
    pytest.param(folder_of_testnet, WrongNetwork, "testnet", id="testnet's folder"),
    pytest.param(database_of_another_devnet, WrongNetwork, "another genesis", id="another database"),
]


def rows_of(datadir: DataDir) -> list[tuple[bytes, bytes]]:
    store = LevelStore(datadir.database, create=False)
    try:
        return list(store.scan(b""))
    finally:
        store.close()


@pytest.mark.parametrize(("change", "error", "words"), CASES)
def test_refused_by_everything_and_left_alone(
    tmp_path: Path, change: Callable[[DataDir], None], error: type[StoreError], words: str
) -> None:
    datadir = make_node(tmp_path / "data")
    change(datadir)
    marker, rows = datadir.marker.read_bytes(), rows_of(datadir)
    with pytest.raises(error, match=words):
        start(datadir.base)
    for command in COMMANDS:
        if command == ("init",) and change in (newer_rows, database_of_another_devnet):
            continue  # it looks at the folder only
        result = run(datadir, *command)
        assert words in error_of(result), command
    assert datadir.marker.read_bytes() == marker
    assert rows_of(datadir) == rows
    assert sorted(path.name for path in datadir.path.iterdir()) == ["datadir.json", "lock", "pow"]


def run(datadir: DataDir, *words: str) -> Any:
    place = ["--network", "devnet", "--datadir", str(datadir.base), "--json"]
    return CliRunner().invoke(app, [*words, *place])


@pytest.mark.e2e
def test_the_command_says_it_in_one_line(tmp_path: Path) -> None:
    datadir = make_node(tmp_path / "data")
    newer_folder(datadir)
    before = {path: path.read_bytes() for path in datadir.path.rglob("*") if path.is_file()}
    done = ioex("node", "--network", "devnet", "--datadir", str(datadir.base), "--rpc-port", "0")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1), done
    assert "update this program" in done.err
    assert {path: path.read_bytes() for path in datadir.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_reindex_that_dies_while_databases_change_places(
    tmp_path: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    datadir = make_node(tmp_path / "data")
    before = start(datadir.base)

    class Died(Exception):
        pass

    renamed = iter(range(10))

    def rename(path: Path, target: Path, real: Any = Path.rename) -> Path:
        if next(renamed) == steps:
            raise Died
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    result = run(datadir, "db", "reindex")
    monkeypatch.undo()
    assert isinstance(result.exception, Died) is (steps < 2), result.output
    assert start(datadir.base) == before
