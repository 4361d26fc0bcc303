"""Container, compose file and service agree with the node's settings and ports."""

import re
from configparser import ConfigParser
from pathlib import Path

import pytest
from typer.main import get_command

from ioex_chain.cli.main import app
from ioex_chain.node.config import ENV_PREFIX, NodeConfig, load_config
from ioex_chain.spec.load import load_network

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = (ROOT / "compose.yaml").read_text()
SERVICE = (ROOT / "packaging" / "ioex-node.service").read_text()


@pytest.mark.parametrize("text", [DOCKERFILE, COMPOSE, SERVICE], ids=["Dockerfile", "compose", "service"])
def test_every_variable_is_a_setting(text: str) -> None:
    used = set(re.findall(r"\bIOEX_([A-Z0-9_]+)", text))
    assert used
    assert {name.lower() for name in used} <= set(NodeConfig.model_fields)


def dockers_variables() -> dict[str, str]:
    return dict(re.findall(r"(IOEX_[A-Z0-9_]+)=(\S+)", DOCKERFILE))


def test_the_image_has_mainnets_ports_and_exposes_them() -> None:
    spec = load_network("mainnet")
    config = load_config({}, dockers_variables()).config
    ports = (config.p2p_port, config.rpc_port, config.stratum_port, config.metrics_port)
    assert ports == (spec.pow.p2p_port, spec.pow.rpc_port, spec.pow.stratum_port, spec.metrics_port)
    exposed = re.search(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)
    assert exposed is not None
    assert tuple(map(int, exposed[1].split())) == ports


def compose_environment(service: str) -> dict[str, str]:
    block = re.search(rf"^  {service}:\n(.*?)(?=^  \w|^\w|\Z)", COMPOSE, re.MULTILINE | re.DOTALL)
    assert block is not None
    found = re.findall(r"^      (IOEX_[A-Z0-9_]+): \"?([^\"\n]*)", block[1], re.MULTILINE)
    return {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for name, value in found}


@pytest.mark.parametrize("service", ["node", "miner"])
def test_compose_gives_settings_that_the_node_takes(service: str) -> None:
    environment = {**dockers_variables(), **compose_environment(service)}
    assert environment[f"{ENV_PREFIX}NETWORK"] == "testnet"
    load_config({}, environment)


def test_only_peers_reach_the_composed_node_from_outside() -> None:
    published = re.findall(r'^      - "([\d.:]+)"', COMPOSE, re.MULTILINE)
    assert [port for port in published if not port.startswith("127.0.0.1:")] == ["20338:20338"]
    assert {port.rpartition(":")[2] for port in published} == {"20338", "20336", "20335", "9420"}


def test_the_miner_calls_the_node_by_a_name_that_it_answers_to() -> None:
    assert '"--rpc-url", "http://node:20336/"' in COMPOSE
    assert load_config({}, compose_environment("node")).config.rpc_hosts == ("node",)


def options_of(command: str) -> set[str]:
    found = get_command(app).get_command(None, command)  # type: ignore[attr-defined, arg-type]
    return {option for parameter in found.params for option in parameter.opts}


def test_the_commands_that_are_run_have_these_options() -> None:
    for line in (*re.findall(r"command: \[(.*)\]", COMPOSE), *re.findall(r"^CMD \[(.*)\]", DOCKERFILE, re.M)):
        words = [word.strip().strip('"') for word in line.split(",")]
        assert {word for word in words if word.startswith("--")} <= options_of(words[0])


def test_the_service() -> None:
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(SERVICE)
    service = unit["Service"]
    program, command, *options = service["ExecStart"].split()
    assert (program.rpartition("/")[2], command) == ("ioex", "node")
    assert {option for option in options if option.startswith("--")} <= options_of("node")
    assert (service["Type"], service["Restart"], service["KillMode"]) == ("exec", "on-failure", "mixed")
    assert service["RestartPreventExitStatus"] == "2"
    assert int(service["TimeoutStopSec"]) >= 30
    assert service["Environment"] == "IOEX_DATADIR=%S/ioex"
    assert service["StateDirectory"] == "ioex"
    for lock in ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictNamespaces"):
        assert service[lock] == "yes"
    assert unit["Install"]["WantedBy"] == "multi-user.target"
