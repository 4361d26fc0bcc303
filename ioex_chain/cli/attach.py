"""`ioex attach`: a Python console, or a script, with web3 connected to a node of the DPoS chain."""

import ast
import code
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from ioex_chain import __version__
from ioex_chain.cli.contract_options import read_abi_file
from ioex_chain.cli.dpos_url import SETTINGS, credentials, dpos_url
from ioex_chain.cli.options import EXIT_FAILED, Session, command, err
from ioex_chain.cli.wallet_session import WalletUsageError
from ioex_chain.rpc.auth import CookieError
from ioex_chain.rpc.client import RpcUnreachable
from ioex_chain.wallet.deployments import read_deployment
from ioex_chain.wallet.hd import DEV_MNEMONIC, MasterKey

DEV_ACCOUNTS = 10
"""Accounts of the published mnemonic that a console on a devnet signs with."""


@command(*SETTINGS)
def attach(
    session: Session,
    url: Annotated[
        str | None, typer.Argument(help="http:// or ws:// URL; the local node by default.")
    ] = None,
    script: Annotated[
        str | None, typer.Option("--exec", "-e", help="Run this instead; a value at its end is printed.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Run this file instead.")] = None,
) -> None:
    """Open a Python console with `w3`, `accounts` and `contract(RECORD or ADDRESS, ABI)` ready.

    On a devnet `accounts` are the published ones, and w3 signs for them by itself.
    """
    names = console_names(session, url or dpos_url(session))
    if file is not None:
        run_file(file, names)
    elif script is not None:
        run_script(script, names)
    else:
        _interact(session, names)


def load_web3() -> Any:
    """Import web3. Raises WalletUsageError with the way to install it."""
    try:
        return import_module("web3")
    except ImportError as error:
        raise WalletUsageError(
            "web3 is not installed: pip install 'ioex_chain[attach]' (or web3) in this environment"
        ) from error


def console_names(session: Session, url: str) -> dict[str, Any]:
    """Give what a console starts with. Raises RpcUnreachable, WalletUsageError."""
    web3 = load_web3()
    w3 = web3.Web3(_provider(web3, session, url))
    try:
        chain_id = w3.eth.chain_id
    except (OSError, web3.exceptions.Web3Exception) as error:  # requests' errors are OSErrors
        raise RpcUnreachable(url, type(error).__name__) from error
    accounts = _dev_accounts(w3) if chain_id == session.spec().dpos.chain_id and _is_devnet(session) else []
    return {
        "w3": w3,
        "Web3": web3.Web3,
        "accounts": accounts,
        "contract": _contract_of(w3),
        "chain_id": chain_id,
        "url": url,
    }


def _is_devnet(session: Session) -> bool:
    return bool(session.config.network == "devnet")


def _provider(web3: Any, session: Session, url: str) -> Any:
    if url.startswith(("ws://", "wss://")):
        url = "http" + url.removeprefix("ws")  # the same port; web3's plain interface speaks HTTP
    if not url.startswith(("http://", "https://")):
        raise WalletUsageError(f"a URL begins with http:// or ws://, not {url!r}")
    headers = {"Content-Type": "application/json", "User-Agent": f"ioex/{__version__}"}
    given = credentials(session, url)
    try:
        known = given.get("credential") or (given["cookie"].read() if "cookie" in given else None)
    except CookieError:
        known = None  # reading works without it
    if known is not None:
        headers["Authorization"] = known.header()
    return web3.HTTPProvider(url, request_kwargs={"headers": headers, "timeout": 60})


def _dev_accounts(w3: Any) -> list[Any]:
    """Give the published accounts and let w3 sign what they send."""
    builder = import_module("web3.middleware").SignAndSendRawMiddlewareBuilder
    account = import_module("eth_account").Account
    master = MasterKey.from_mnemonic(DEV_MNEMONIC)
    found = [account.from_key(master.dpos_key(index)) for index in range(DEV_ACCOUNTS)]
    w3.middleware_onion.inject(builder.build(found), layer=0)
    w3.eth.default_account = found[0].address
    return found


def _contract_of(w3: Any) -> Callable[..., Any]:
    def contract(place: str | Path, abi: Any = None) -> Any:
        """Give a web3 contract: of a deployment record, or of an address with an ABI (a list or a file)."""
        if Path(place).is_file():
            record = read_deployment(Path(place))
            return w3.eth.contract(address=record.address, abi=record.abi)
        known = read_abi_file(Path(abi)) if isinstance(abi, str | Path) else abi or []
        return w3.eth.contract(address=w3.to_checksum_address(str(place)), abi=known)

    return contract


# --- running ---------------------------------------------------------------------------------------------


def run_script(text: str, names: dict[str, Any]) -> None:
    """Run statements; print the value of the last one when it is an expression, as a console would."""
    tree = ast.parse(text, "--exec")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "--exec", "exec"), names)  # noqa: S102 - it is what the user asked for
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "--exec", "eval"), names)  # noqa: S307
        if value is not None:
            print(value)


def run_file(path: Path, names: dict[str, Any]) -> None:
    """Run a Python file with the console's names."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise WalletUsageError(f"{path} cannot be read: {error.strerror}") from error
    exec(compile(text, str(path), "exec"), {**names, "__name__": "__main__"})  # noqa: S102


def _interact(session: Session, names: dict[str, Any]) -> None:
    if session.as_json:
        raise WalletUsageError("--json is for scripts: give --exec or --file")
    try:
        readline = import_module("readline")
        completer = import_module("rlcompleter").Completer(names)
        readline.set_completer(completer.complete)
        readline.parse_and_bind("tab: complete")
    except ImportError:
        pass  # a console without editing still works
    w3 = names["w3"]
    banner = (
        f"ioeX console {__version__}, Python {sys.version.split()[0]}, web3 connected to {names['url']}\n"
        f"chain {names['chain_id']}, block {w3.eth.block_number}. "
        f"Names: w3, accounts ({len(names['accounts'])}), contract(RECORD | ADDRESS, ABI), Web3. Ctrl-D ends."
    )
    if not sys.stdin.isatty():
        err.print("reading statements from stdin", highlight=False)
        try:
            run_script(sys.stdin.read(), names)
        except Exception as error:
            err.print_exception()
            raise SystemExit(EXIT_FAILED) from error
        return
    code.interact(banner, local=names, exitmsg="")
