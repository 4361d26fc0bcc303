"""Settings: flag, then `IOEX_*` variable, then TOML file, then default; each knows where it came from."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from ioex_chain.primitives.errors import IoexError

ENV_PREFIX = "IOEX_"
CONFIG_FILE = "ioex.toml"
OTHER_VARIABLES = frozenset({"IOEX_WALLET_PASSWORD", "IOEX_CONFIG"})
"""Variables with our prefix that are no settings of the node."""
TEST_VARIABLES = ("IOEX_VECTORS", "IOEX_MINERD", "IOEX_SOAK", "IOEX_SIM_", "IOEX_BENCH_")
"""How those begin that a developer's shell may hold for tests and benchmarks (docs/testing.md)."""
LISTS = frozenset(
    {
        "rpc_hosts",
        "rpc_origins",
        "peers",
        "external_hosts",
        "dpos_peers",
        "arbitrator_keys",
        "arbitrator_accounts",
    }
)
"""Settings that a variable gives as one text with commas."""
Port = Annotated[int, Ge(0), Le(65535)]


class ConfigError(IoexError):
    """A setting that cannot be used; the message names it, its source and what it takes."""


class NodeConfig(BaseSettings):
    """All settings of a node. The description of each is its help text."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    network: Literal["mainnet", "testnet", "devnet"] = Field("mainnet", description="which network to join")
    datadir: Path = Field(
        Path("~/.ioex"), description="where data lies; each network has its own folder in it"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level that is logged"
    )
    log_format: Literal["console", "json"] = Field("console", description="form of the log on stderr")
    rpc_host: str = Field("127.0.0.1", description="address on which JSON-RPC listens")
    rpc_port: Port | None = Field(
        None, description="port of the PoW chain's JSON-RPC; the network's own by default"
    )
    rpc_user: str | None = Field(None, description="user name beside the cookie's")
    rpc_password: SecretStr | None = Field(None, description="password of rpc_user")
    rpc_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="host names that the port answers to"
    )
    rpc_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="web origins that may call (CORS)"
    )
    rpc_require_auth: bool = Field(False, description="ask for the password on reading methods too")
    p2p: bool = Field(True, description="talk to other nodes")
    p2p_host: str = Field(
        "127.0.0.1", description="address on which other nodes are let in; 0.0.0.0 or :: for the internet"
    )
    p2p_port: Port | None = Field(None, description="port for other nodes; the network's own by default")
    external_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="IP addresses under which other nodes reach this one"
    )
    peers: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="nodes to stay connected to, each ioex://id@host:port"
    )
    only_peers: bool = Field(False, description="dial no other nodes than those of `peers`")
    max_inbound: Annotated[int, Ge(0), Le(4096)] = Field(117, description="nodes let in at most")
    max_outbound: Annotated[int, Ge(0), Le(64)] = Field(8, description="nodes dialled at most")
    metrics: bool = Field(False, description="serve Prometheus metrics, /healthz and /readyz")
    metrics_host: str = Field("127.0.0.1", description="address on which metrics are served")
    metrics_port: Port | None = Field(None, description="port of the metrics; the network's own by default")
    stratum: bool = Field(False, description="let mining programs work over Stratum")
    stratum_host: str = Field("127.0.0.1", description="address on which Stratum listens")
    stratum_port: Port | None = Field(None, description="port of Stratum; the network's own by default")
    stratum_min_difficulty: Annotated[float, Gt(0)] = Field(
        0.0001, description="least share difficulty that a Stratum worker gets"
    )
    mine: bool = Field(False, description="mine with this machine's processors")
    mine_to: str | None = Field(None, description="address that mining pays; getblocktemplate's default too")
    mine_processes: Annotated[int, Ge(1), Le(1024)] | None = Field(
        None, description="mining processes; all cores but one by default"
    )
    verify_processes: Annotated[int, Ge(0), Le(64)] | None = Field(
        None, description="processes that verify signatures beside the main one; all cores but one by default"
    )
    mempool_mb: Annotated[int, Ge(5), Le(100_000)] = Field(
        300, description="megabytes that the mempool may take"
    )
    min_relay_fee: Annotated[int, Ge(0)] = Field(
        1000, description="least fee in units of 1e-8 IOEX per 1000 bytes"
    )
    indexes: bool | None = Field(
        None, description="keep the address and transaction indexes; fixed at the first start, on by default"
    )
    archive: bool = Field(False, description="keep all undo records")
    db_cache_mb: Annotated[int, Ge(4), Le(65_536)] = Field(48, description="megabytes of database cache")
    spacing: Annotated[int, Ge(1), Le(3600)] | None = Field(
        None, description="seconds between PoW blocks; devnet only, fixed at its first start"
    )

    dpos: bool = Field(True, description="run the DPoS chain beside the PoW chain")
    dpos_rpc_port: Port | None = Field(
        None, description="port of the DPoS chain's Ethereum JSON-RPC; the network's own by default"
    )
    dpos_p2p_port: Port | None = Field(
        None, description="port for other nodes of the DPoS chain; the network's own by default"
    )
    dpos_peers: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="nodes of the DPoS chain to stay connected to, each ioex://id@host:port"
    )
    dpos_checkpoint: str | None = Field(
        None, description="block that the DPoS chain must contain, as height:0xhash, for a node that is new"
    )
    txpool_mb: Annotated[int, Ge(5), Le(100_000)] = Field(
        100, description="megabytes that the DPoS chain's transaction pool may take"
    )
    call_threads: Annotated[int, Ge(1), Le(64)] = Field(
        2, description="calls, estimates and traces that run at a time"
    )
    arbitrator_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="keystore files of the arbitrator keys that seal and vote in this node"
    )
    arbitrator_password_file: Path | None = Field(
        None, description="file with the password of the arbitrator keystores"
    )
    arbitrator_accounts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="accounts of the published mnemonic that seal and vote in this node; devnet only"
    )
    relay: bool | None = Field(
        None,
        description="carry headers, deposits, settlements across the chains; by default with arbitrator keys",
    )
    arbitrators: Annotated[int, Ge(1), Le(51)] | None = Field(
        None, description="seats, all sealed by this node; devnet only, fixed at its first start"
    )
    block_time: Annotated[int, Ge(1), Le(3600)] | None = Field(
        None, description="seconds of a DPoS slot; devnet only, fixed at its first start"
    )
    solo: bool = Field(
        False,
        description="one arbitrator, no peers, a virtual clock and methods that edit the state; devnet only",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class names the parameters
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what `load_config` merged and nothing else, so that every origin is known."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Effective:
    """Settings and where each came from: `flag`, `IOEX_NAME`, a file's path or `default`."""

    config: NodeConfig
    origins: Mapping[str, str]


def load_config(flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> Effective:
    """Merge all sources. Raises ConfigError for an unknown name, a wrong value or an unreadable file.

    `flags` holds those that were given. Without `file`, `IOEX_CONFIG` or `ioex.toml` in the data directory
    is read if it exists.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    variables = _from_environment(environ)
    path = file or (Path(environ["IOEX_CONFIG"]) if environ.get("IOEX_CONFIG") else None)
    base = Path(
        given.get("datadir") or variables.get("datadir") or NodeConfig.model_fields["datadir"].default
    )
    toml = _from_file(path) if path else _from_file(base.expanduser() / CONFIG_FILE, optional=True)
    path = path or base.expanduser() / CONFIG_FILE
    merged = {**toml, **variables, **given}
    origins = dict.fromkeys(NodeConfig.model_fields, "default")
    origins.update(dict.fromkeys(toml, str(path)))
    origins.update({name: ENV_PREFIX + name.upper() for name in variables})
    origins.update(dict.fromkeys(given, "flag"))
    try:
        config = NodeConfig(**merged)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        raise ConfigError(f"setting {name} ({origins.get(name, 'unknown name')}): {first['msg']}") from error
    if (config.rpc_user is None) != (config.rpc_password is None):
        raise ConfigError("rpc_user and rpc_password go together; set both or neither")
    return Effective(config.model_copy(update={"datadir": config.datadir.expanduser()}), origins)


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable in OTHER_VARIABLES:
            continue
        if variable.startswith(TEST_VARIABLES):
            continue
        name = variable.removeprefix(ENV_PREFIX).lower()
        if name not in NodeConfig.model_fields:
            raise ConfigError(f"{variable} is no setting; `ioex config show` lists them")
        found[name] = text.split(",") if name in LISTS else text
    return found


def _from_file(path: Path, *, optional: bool = False) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        if optional:
            return {}
        raise ConfigError(f"the configuration file {path} does not exist") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the configuration file {path} cannot be read: {error}") from error
    for name in found:
        if name not in NodeConfig.model_fields:
            raise ConfigError(f"{path}: {name} is no setting; `ioex config show` lists them")
    return found


def example_file() -> str:
    """Give a TOML file that names every setting, each commented out at its default."""
    lines = ["# Settings of ioex. A flag or an IOEX_* variable of the same name goes before this file.", ""]
    for name, field in NodeConfig.model_fields.items():
        default = field.default
        shown = "[]" if default == () else _toml_value(default)
        lines += [f"# {field.description}", f"# {name} = {shown}", ""]
    return "\n".join(lines)


def _toml_value(value: object) -> str:
    if value is None:
        return '"..."'
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f'"{value}"'
