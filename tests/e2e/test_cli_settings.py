"""The command line without a node: settings and their origins, help, JSON, what is refused and how."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ioex_chain.cli.main import app
from ioex_chain.node.config import NodeConfig

NOBODY = "1"
"""A port on which no node answers."""


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in NodeConfig.model_fields:
        monkeypatch.delenv(f"IOEX_{name.upper()}", raising=False)


def run(*words: str, **env: str) -> Any:
    return CliRunner().invoke(app, list(words), env=env)


def error_of(result: Any, code: int) -> str:
    assert result.exit_code == code, (result.output, result.exception)
    assert result.stdout == ""
    return str(json.loads(result.stderr)["error"]["message"])


def effective(base: Path, *words: str, **env: str) -> Any:
    result = run("config", "show", "--effective", "--json", "--datadir", str(base), *words, **env)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_flag_before_variable_before_file_before_default(tmp_path: Path) -> None:
    def log_level(*words: str, **env: str) -> tuple[str, str]:
        shown = effective(tmp_path, *words, **env)["log_level"]
        return shown["value"], shown["origin"]

    assert log_level() == ("info", "default")
    file = tmp_path / "ioex.toml"
    file.write_text('log_level = "error"\nrpc_hosts = ["node.example"]\n')
    assert log_level() == ("error", str(file))
    assert log_level(IOEX_LOG_LEVEL="warning") == ("warning", "IOEX_LOG_LEVEL")
    assert log_level("--verbose", IOEX_LOG_LEVEL="warning") == ("debug", "flag")
    shown = effective(tmp_path, "--rpc-port", "1234", IOEX_RPC_HOSTS="a.example,b.example")
    assert (shown["rpc_port"]["value"], shown["rpc_port"]["origin"]) == (1234, "flag")
    assert shown["rpc_hosts"]["value"] == ["a.example", "b.example"]
    assert set(shown) == set(NodeConfig.model_fields)


def test_a_file_named_by_flag_or_variable_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("mempool_mb = 7\n")
    assert effective(tmp_path, "--config", str(file))["mempool_mb"]["value"] == 7
    assert effective(tmp_path, IOEX_CONFIG=str(file))["mempool_mb"]["origin"] == str(file)
    missing = str(tmp_path / "none.toml")
    assert missing in error_of(run("config", "show", "--json", "--config", missing), 2)


@pytest.mark.parametrize(
    ("toml", "env", "named"),
    [
        ("mempol_mb = 7", {}, ("mempol_mb", "ioex.toml")),
        ("[pow]\nmempool_mb = 7", {}, ("pow", "ioex.toml")),
        ("mempool_mb = ", {}, ("ioex.toml",)),
        ('mempool_mb = "many"', {}, ("mempool_mb", "ioex.toml")),
        ("mempool_mb = 1", {}, ("mempool_mb", "ioex.toml", "5")),
        ("", {"IOEX_MEMPOL_MB": "7"}, ("IOEX_MEMPOL_MB",)),
        ("", {"IOEX_NETWORK": "bitcoin"}, ("network", "IOEX_NETWORK", "devnet")),
        ("", {"IOEX_RPC_USER": "bob"}, ("rpc_user", "rpc_password")),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, toml: str, env: dict[str, str], named: tuple[str, ...]
) -> None:
    (tmp_path / "ioex.toml").write_text(toml)
    for command in (("config", "show"), ("node",), ("status",)):
        message = error_of(run(*command, "--json", "--datadir", str(tmp_path), **env), 2)
        assert all(word in message for word in named), message


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    shown = run(
        "config", "show", "--effective", "--datadir", str(tmp_path),
        IOEX_RPC_USER="bob", IOEX_RPC_PASSWORD="hunter2",
    )  # fmt: skip
    assert shown.exit_code == 0
    assert "hunter2" not in shown.output


def test_init_never_overwrites(tmp_path: Path) -> None:
    place = ("--datadir", str(tmp_path / "data"), "--network", "devnet")
    first = run("init", *place)
    assert first.exit_code == 0, first.output
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in files} >= {"datadir.json", "ioex.toml"}
    file = tmp_path / "data" / "ioex.toml"
    file.write_text("# mine\n")
    again = run("init", *place, "--json")
    assert json.loads(again.stdout)["created"] is False
    assert json.loads(again.stdout)["config_created"] is False
    assert file.read_text() == "# mine\n"
    file.write_bytes(files[file])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_the_example_file_holds_every_setting_and_reads_back(tmp_path: Path) -> None:
    assert run("init", "--datadir", str(tmp_path), "--network", "devnet").exit_code == 0
    lines = (tmp_path / "ioex.toml").read_text().splitlines()
    named = {line[2:].partition(" = ")[0] for line in lines if " = " in line}
    assert named >= set(NodeConfig.model_fields)


@pytest.mark.parametrize(
    "words",
    [
        ("status",), ("stop",), ("rpc", "getblockcount"), ("wallet", "balance"), ("wallet", "history"),
    ],
)  # fmt: skip
def test_without_a_node_the_exit_code_is_3(tmp_path: Path, words: tuple[str, ...]) -> None:
    place = ("--json", "--network", "devnet", "--datadir", str(tmp_path), "--rpc-port", NOBODY)
    if words[0] == "wallet":
        file = tmp_path / "words"
        file.write_text("test " * 11 + "junk")
        made = run(
            "wallet", "restore", "--mnemonic-file", str(file), *place, IOEX_WALLET_PASSWORD="correct horse"
        )
        assert made.exit_code == 0, made.output
    assert "ioex devnet" in error_of(run(*words, *place), 3)


@pytest.mark.parametrize(
    "words",
    [
        ("db", "check"), ("db", "repair"), ("db", "compact"), ("db", "reindex"), ("rollback", "1"),
        ("export", "blocks.dat"),
    ],
)  # fmt: skip
def test_without_data_the_commands_say_what_to_do(tmp_path: Path, words: tuple[str, ...]) -> None:
    place = ("--json", "--network", "devnet", "--datadir", str(tmp_path / "none"))
    assert "ioex init" in error_of(run(*words, *place), 1)
    assert not (tmp_path / "none").exists(), "nothing is made by looking"


def test_wait_sync_gives_up(tmp_path: Path) -> None:
    place = ("--json", "--network", "devnet", "--datadir", str(tmp_path), "--rpc-port", NOBODY)
    assert "0.2 s" in error_of(run("wait-sync", "--timeout", "0.2", *place), 1)


def commands(group: Any, context: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name), command
        if hasattr(command, "list_commands"):
            yield from commands(command, context, (*path, name))


def test_every_command_and_option_has_a_help_text() -> None:
    root = typer.main.get_command(app)
    found = dict(commands(root, None, ()))
    assert len(found) > 30
    for path, command in found.items():
        assert command.help, path
        result = run(*path, "--help")
        assert result.exit_code == 0, path
        assert command.help.split(".")[0].split()[0] in result.output
        for parameter in command.params:
            assert getattr(parameter, "help", None), (path, parameter.name)


def test_an_unknown_command_or_option_is_a_usage_error() -> None:
    assert run("nosuch").exit_code == 2
    assert run("status", "--nosuch").exit_code == 2
    assert run("rollback", "0").exit_code == 2
    assert run("--help").exit_code == 0
