"""docs/bridge.md and docs/rpc.md name what the commands, the methods and the parameters really are."""

import re
from pathlib import Path
from typing import Any

import pytest
from bridge_view_world import ViewWorld
from typer.main import get_command

from ioex_chain.bridge.solvency import Verdict
from ioex_chain.cli.main import app
from ioex_chain.primitives.types import COIN
from ioex_chain.rpc.bridge_port import DepositState, RequestState
from ioex_chain.spec.load import NETWORKS, load_network

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "bridge.md").read_text()


def commands() -> list[list[str]]:
    """Give the words of every command line on the page."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [line.split("#")[0].split(">")[0].split() for block in blocks for line in block.splitlines()]
    return [words for words in lines if words]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_the_commands_on_the_page_exist(words: list[str]) -> None:
    command: Any = get_command(app)
    assert words[0] == "ioex"
    for word in words[1:3]:
        command = command.get_command(None, word)
        assert command is not None, word
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_every_state_and_verdict_is_explained() -> None:
    explained = {
        name.strip()
        for row in re.findall(r"^\| ([a-z, -]+) \|", PAGE, re.MULTILINE)
        for name in row.split(",")
    }
    states = {*DepositState, *RequestState, *Verdict} - {DepositState.NEVER}
    assert states <= explained


@pytest.mark.parametrize("name", NETWORKS)
def test_the_parameters_are_those_of_the_networks(name: str) -> None:
    spec = load_network(name)
    assert f"{name} {spec.pow.burial_depth}" in PAGE
    bridge = spec.bridge
    assert f"from {bridge.min_relayed_deposit / COIN:g} IOEX on" in PAGE
    assert f"At least {bridge.min_withdrawal / COIN:g} IOEX" in PAGE
    assert f"keeps {bridge.withdrawal_fee / COIN:g}" in PAGE
    assert f"{bridge.daily_outflow_cap // COIN:,} IOEX at genesis" in PAGE
    assert f"finality stalls for {spec.dpos.stall_slots} slots" in PAGE
    assert f"a block takes {bridge.max_requests}" in PAGE


def test_the_page_on_rpc_names_every_method_of_the_bridge() -> None:
    words = set(re.findall(r"\b[a-z]+_[A-Za-z]+", (DOCS / "rpc.md").read_text()))
    names = {entry.name for entry in ViewWorld().table}
    assert names <= words
    assert all(name.startswith("ioex_") for name in names)
