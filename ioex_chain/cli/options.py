"""Options that most commands share, and how a command ends."""

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from ioex_chain.node.config import ConfigError, Effective, NodeConfig, load_config
from ioex_chain.node.datadir import DataDir, Identity
from ioex_chain.primitives.errors import IoexError
from ioex_chain.rpc.auth import CookieFile, Credential
from ioex_chain.rpc.client import RpcClient, RpcUnreachable
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import NetworkSpec

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
"""No node answers: scripts may try again."""

err = Console(stderr=True)
out = Console()


@dataclass(frozen=True, slots=True)
class Session:
    """What a command was started with."""

    effective: Effective
    as_json: bool
    rpc_url: str | None
    quiet: bool
    verbose: bool

    @property
    def config(self) -> Any:
        """The node's settings."""
        return self.effective.config

    @property
    def datadir(self) -> DataDir:
        """The network's folder."""
        return DataDir(self.config.datadir, self.config.network)

    def spec(self) -> NetworkSpec:
        """Give the network's parameters, a devnet's with what its folder fixed."""
        identity = self.datadir.identity() if self.datadir.exists() else Identity(self.config.network)
        return load_network(self.config.network, **identity.options())

    def client(self, timeout: float = 60.0) -> RpcClient:
        """Give a client of the node that runs on these settings, or at --rpc-url."""
        port = self.config.rpc_port or load_network(self.config.network).pow.rpc_port
        url = self.rpc_url or f"http://127.0.0.1:{port}/"
        if self.config.rpc_user is not None:
            password = self.config.rpc_password.get_secret_value()
            return RpcClient(url, credential=Credential(self.config.rpc_user, password), timeout=timeout)
        cookie = self.datadir.cookie
        return RpcClient(url, cookie=CookieFile(cookie) if cookie.exists() else None, timeout=timeout)

    def show(self, value: Any, text: Callable[[], None] | None = None) -> None:
        """Print a result on stdout: as JSON with --json or when there is no other form."""
        if self.as_json or text is None:
            print(to_json(value))
        else:
            text()


def progress(session: Session, line: str) -> None:
    """Say on stderr how it goes."""
    if not session.quiet and not session.as_json:
        err.print(line, highlight=False, soft_wrap=True)


def to_json(value: Any) -> str:
    """Write a result with stable keys, for people and programs; amounts keep their 8 decimals."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=_number).decode()


def _number(value: Any) -> Any:
    return orjson.Fragment(f"{value:f}".encode())


_SHARED: dict[str, Any] = {
    "network": Annotated[str | None, typer.Option(help="mainnet, testnet or devnet.")],
    "datadir": Annotated[Path | None, typer.Option(help="Where data lies.")],
    "config_file": Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")],
    "rpc_url": Annotated[str | None, typer.Option(help="A node's RPC address, instead of the local one.")],
    "rpc_port": Annotated[int | None, typer.Option(help="Port of the PoW chain's RPC.")],
    "rpc_user": Annotated[str | None, typer.Option(help="RPC user, instead of the cookie.")],
    "rpc_password": Annotated[
        str | None, typer.Option(help="RPC password; better in IOEX_RPC_PASSWORD.", show_default=False)
    ],
    "as_json": Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")],
    "quiet": Annotated[bool, typer.Option("-q", "--quiet", help="Say less.")],
    "verbose": Annotated[bool, typer.Option("-v", "--verbose", help="Log more.")],
}
_FLAGS = {"as_json", "quiet", "verbose"}


class OptionGroup:
    """Options that belong together: a frozen dataclass whose fields are options, with defaults.

    A command that takes one as a parameter has all its options, and gets them in one value.
    """

    @classmethod
    def options(cls) -> list[inspect.Parameter]:
        """Give the options as parameters."""
        kinds = get_type_hints(cls, include_extras=True)
        return [_keyword(one.name, kinds[one.name], one.default) for one in fields(cls)]  # type: ignore[arg-type]


def _groups(function: Callable[..., Any]) -> dict[str, type[OptionGroup]]:
    kinds = {name: parameter.annotation for name, parameter in inspect.signature(function).parameters.items()}
    return {
        name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, OptionGroup)
    }


def _own(function: Callable[..., Any], groups: dict[str, type[OptionGroup]]) -> Iterator[inspect.Parameter]:
    """Give a command's own parameters; groups spread out, after what must be given."""
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            yield from groups[name].options()
        elif name != "session":
            yield parameter


def command(*settings: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the shared options and a `session` made of them; end it as people expect.

    `settings` are names of NodeConfig that the command takes as flags too.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        groups = _groups(function)
        own = list(_own(function, groups))

        @wraps(function)
        def run(*args: Any, **given: Any) -> Any:
            common = {name: given.pop(name) for name in _SHARED}
            flags = {name: given.pop(name) for name in settings}
            for name, group in groups.items():
                given[name] = group(**{one.name: given.pop(one.name) for one in group.options()})
            with _ending(as_json=common["as_json"]):
                return function(_session(common, flags), *args, **given)

        added = [
            *(_keyword(name, _setting_option(name), None) for name in settings),
            *(_keyword(name, kind, False if name in _FLAGS else None) for name, kind in _SHARED.items()),
        ]
        run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in [*own, *added]}
        return run

    return decorate


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation
    )


def _setting_option(name: str) -> Any:
    """Make a command-line option of one of the node's settings."""
    field = NodeConfig.model_fields[name]
    text = str(field.annotation)
    kind: Any = str | None
    for word, found in (("bool", bool | None), ("int", int | None), ("tuple", list[str] | None)):
        if word in text:
            kind = found
            break
    words = field.description or ""
    return Annotated[kind, typer.Option(help=f"{words[:1].upper()}{words[1:]}.")]


def _session(common: dict[str, Any], settings: dict[str, Any]) -> Session:
    flags = {name: common[name] for name in ("network", "datadir", "rpc_port", "rpc_user", "rpc_password")}
    if common["verbose"]:
        flags["log_level"] = "debug"
    if common["quiet"]:
        flags["log_level"] = "warning"
    effective = load_config({**flags, **settings}, os.environ, common["config_file"])
    return Session(effective, common["as_json"], common["rpc_url"], common["quiet"], common["verbose"])


class _ending:  # noqa: N801 - reads as a statement
    """Turns our errors into one clear line and an exit code."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, IoexError):
            code = EXIT_UNREACHABLE if isinstance(error, RpcUnreachable) else EXIT_FAILED
            fail(str(error), EXIT_USAGE if isinstance(error, ConfigError) else code, as_json=self.as_json)
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()
            raise SystemExit(EXIT_FAILED) from None


def fail(message: str, code: int = EXIT_FAILED, *, as_json: bool = False) -> None:
    """Say what is wrong on stderr and exit."""
    if as_json:
        print(to_json({"error": {"code": code, "message": message}}), file=sys.stderr)
    else:
        err.print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise SystemExit(code)
