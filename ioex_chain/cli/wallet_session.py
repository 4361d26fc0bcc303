"""What every `ioex wallet` command needs: which wallet, its password, and the node."""

import os
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, cast

import typer

from ioex_chain.cli.options import Session, err
from ioex_chain.cli.wallet_node import NodeSource
from ioex_chain.primitives.errors import IoexError
from ioex_chain.wallet.coins import ChainSource
from ioex_chain.wallet.files import WalletFolder
from ioex_chain.wallet.keystore import Sealer, create_file
from ioex_chain.wallet.signing import KeyRing
from ioex_chain.wallet.utxo_wallet import UtxoWallet

PASSWORD_VARIABLE = "IOEX_WALLET_PASSWORD"  # noqa: S105 - a name, not a password
DEFAULT = "default"

WalletName = Annotated[str, typer.Option("--wallet", "-w", help="Name of the wallet.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", help=f"File with the password; else {PASSWORD_VARIABLE}, else asked."),
]


class WalletUsageError(IoexError):
    """A command cannot go on with what it was given; the message says what to give."""


def sealer() -> Sealer:
    """Give what encrypts new key files."""
    return Sealer()


def folder(session: Session, name: str) -> WalletFolder:
    """Give a wallet's folder; it need not exist. Raises WalletUsageError."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise WalletUsageError("a wallet's name is 1 to 64 letters, digits, '-', '_' or '.'")
    return WalletFolder(session.datadir.wallets / name, session.spec(), sealer())


@contextmanager
def opened(session: Session, name: str) -> Iterator[tuple[WalletFolder, UtxoWallet]]:
    """Open a wallet with the node behind it, brought up to date; keep what it learnt at the end."""
    place = folder(session, name)
    place.document()
    with NodeSource(session.client(), place.spec) as source:
        wallet = place.open(source)
        locks = place.state().locks
        wallet.discover()
        yield place, wallet
        place.save(wallet, locks)


def offline(session: Session, name: str) -> tuple[WalletFolder, UtxoWallet]:
    """Open a wallet that never asks a node."""
    place = folder(session, name)
    place.document()
    return place, place.open(cast("ChainSource", NoNode()))


class NoNode:
    """Stands where a node would, in commands that need none."""

    def __getattr__(self, name: str) -> object:
        raise WalletUsageError("this command works without a node")


def unlock(place: WalletFolder, password_file: Path | None) -> KeyRing:
    """Ask for the password and give the keys. No core dump of this process will hold them."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return place.unlock(read_password(password_file))


def read_password(file: Path | None, *, new: bool = False, what: str = "Password") -> str:
    """Take a password from the file, the environment or the terminal. Raises WalletUsageError."""
    if file is not None:
        password = read_text(file).split("\n", 1)[0].rstrip("\r")
    elif PASSWORD_VARIABLE in os.environ:
        password = os.environ[PASSWORD_VARIABLE]
    elif sys.stdin.isatty():
        password = typer.prompt(what, hide_input=True, confirmation_prompt=new, err=True)
    else:
        raise WalletUsageError(
            f"no terminal to ask for the password; give --password-file or {PASSWORD_VARIABLE}"
        )
    if not password:
        raise WalletUsageError("the password is empty")
    return password


def read_secret(file: Path | None, what: str) -> str:
    """Take a mnemonic or a key from a file or the terminal, never from the command line."""
    if file is not None:
        return read_text(file).strip()
    if not sys.stdin.isatty():
        return sys.stdin.read(100_000).strip()
    return str(typer.prompt(what, hide_input=True, err=True))


def read_text(path: Path) -> str:
    """Read a small text file. Raises WalletUsageError."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WalletUsageError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error


def show_mnemonic(mnemonic: str, out: Path | None) -> None:
    """Show a new mnemonic once: on the terminal, or in a file of mode 0600 that must not exist."""
    if out is not None:
        create_file(out, mnemonic.encode() + b"\n")
        return
    words = mnemonic.split()
    rows = [words[start : start + 6] for start in range(0, len(words), 6)]
    err.print("\n[bold]Write these words down. They are the money, and they are not shown again.[/]\n")
    for row, line in enumerate(rows):
        err.print(
            "  " + "  ".join(f"{row * 6 + n + 1:2}. {word}" for n, word in enumerate(line)), highlight=False
        )
    err.print()


def need_terminal(out: Path | None) -> None:
    """Refuse to make a mnemonic that nobody would see."""
    if out is None and not sys.stderr.isatty():
        raise WalletUsageError("no terminal to show the mnemonic on; give --mnemonic-out FILE")


def confirm(question: str, yes: bool) -> None:
    """Ask before money moves; without a terminal, --yes is needed. Raises WalletUsageError."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise WalletUsageError("no terminal to confirm on; give --yes")
    if not typer.confirm(question, err=True):
        raise WalletUsageError("nothing was sent")
