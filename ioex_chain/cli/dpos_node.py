"""What commands of the DPoS chain share: the node to ask, the key to sign with, how long to wait."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import typer

from ioex_chain.cli.dpos_url import credentials, dpos_url
from ioex_chain.cli.options import OptionGroup, Session, progress
from ioex_chain.cli.wallet_session import (
    PasswordFile,
    WalletUsageError,
    folder,
    read_password,
    read_text,
)
from ioex_chain.rpc.client import RpcCallError, SyncRpcClient
from ioex_chain.wallet.abi import parse_integer
from ioex_chain.wallet.account_wallet import AccountWallet, DposKey, Patience, Terms
from ioex_chain.wallet.contract_errors import NodeError
from ioex_chain.wallet.contracts import Target, outcome, send
from ioex_chain.wallet.files import read_key_file
from ioex_chain.wallet.hd import DEV_MNEMONIC, MasterKey, parse_private_key

Keystore = Annotated[Path | None, typer.Option(help="Sign with this Web3 v3 key file (any program's).")]
SigningWallet = Annotated[
    str | None, typer.Option("--wallet", "-w", help="Sign with an account of this wallet's mnemonic.")
]
AccountIndex = Annotated[int, typer.Option("--account", help="Which account of the wallet.", min=0)]
KeyFile = Annotated[Path | None, typer.Option(help="Sign with the private key in this file (hex).")]
DevAccount = Annotated[
    int | None, typer.Option(help="Sign with this account of the devnet's published mnemonic.", min=0)
]
Gas = Annotated[str | None, typer.Option(help="Gas limit; estimated by default.")]
MaxFee = Annotated[
    str | None, typer.Option(help="Most wei (or 3gwei) per gas; twice the base fee by default.")
]
PriorityFee = Annotated[str | None, typer.Option(help="Tip per gas; what recent blocks paid by default.")]
NonceOption = Annotated[int | None, typer.Option("--nonce", help="Nonce; the next by default.", min=0)]
Value = Annotated[str, typer.Option(help="Value to send: wei, or with a unit as in 1.5ioex.")]
Confirmations = Annotated[
    int | None, typer.Option(help="Wait for so many blocks instead of finality.", min=1)
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait at all.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait at most.", min=0)]


class DposNode:
    """A node's Ethereum JSON-RPC: errors that it answers are the wallet's NodeError; a context manager."""

    def __init__(self, client: SyncRpcClient) -> None:
        self._client = client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def call(self, method: str, /, *params: object) -> Any:
        """Call one method. Raises NodeError, RpcUnreachable and the client's other errors."""
        try:
            return self._client.call(method, *params)
        except RpcCallError as error:
            raise NodeError(error.code, error.message, error.data) from error


def open_node(session: Session, timeout: float = 60.0) -> DposNode:
    """Give a client of the DPoS chain's RPC."""
    url = dpos_url(session)
    return DposNode(SyncRpcClient(url, timeout=timeout, **credentials(session, url)))


@contextmanager
def account_wallet(session: Session, key: DposKey) -> Iterator[AccountWallet]:
    """Open a key's account on the chosen network's node."""
    with open_node(session) as node:
        yield AccountWallet(node, key, session.spec().dpos.chain_id)


# --- keys ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeyOptions(OptionGroup):
    """Which key signs."""

    keystore: Keystore = None
    wallet: SigningWallet = None
    account: AccountIndex = 0
    key_file: KeyFile = None
    dev_account: DevAccount = None
    password_file: PasswordFile = None

    def open(self, session: Session) -> DposKey:
        """Give it, if it is one. Raises WalletUsageError, KeystoreError, InvalidPrivateKey."""
        given = [self.keystore, self.wallet, self.key_file, self.dev_account]
        if sum(one is not None for one in given) != 1:
            raise WalletUsageError(
                "name one key to sign with: --keystore FILE, --wallet NAME, --key-file FILE"
                + (" or --dev-account N" if session.config.network == "devnet" else "")
            )
        if self.dev_account is not None:
            return dev_key(session, self.dev_account)
        if self.key_file is not None:
            return DposKey(parse_private_key(read_text(self.key_file)).private)
        if self.keystore is not None:
            return DposKey(read_key_file(self.keystore, lambda: read_password(self.password_file)))
        return self._of_wallet(session, str(self.wallet))

    def _of_wallet(self, session: Session, name: str) -> DposKey:
        place = folder(session, name)
        place.document()
        private = place.unlock(read_password(self.password_file)).dpos_key(self.account)
        if private is None:
            raise WalletUsageError(f"wallet {name} has no mnemonic; give its key file with --keystore")
        return DposKey(private)


def dev_key(session: Session, index: int) -> DposKey:
    """Give an account of the published mnemonic; on a devnet only. Raises WalletUsageError."""
    if session.config.network != "devnet":
        raise WalletUsageError(
            f"--dev-account is for a devnet: on {session.config.network} everybody owns those keys"
        )
    return DposKey(MasterKey.from_mnemonic(DEV_MNEMONIC).dpos_key(index))


# --- numbers ---------------------------------------------------------------------------------------------


def number(text: str | None, what: str) -> int | None:
    """Read a number of an option, with or without a unit. Raises WalletUsageError."""
    if text is None:
        return None
    value = parse_integer(text)
    if value is None or value < 0:
        raise WalletUsageError(
            f"{what} is a whole number of wei or one with a unit (3gwei, 1.5ioex), not {text!r}"
        )
    return value


@dataclass(frozen=True)
class TermOptions(OptionGroup):
    """What is fixed about a transaction."""

    gas: Gas = None
    max_fee: MaxFee = None
    priority_fee: PriorityFee = None
    nonce: NonceOption = None

    def terms(self) -> Terms:
        """Read them. Raises WalletUsageError."""
        return Terms(
            number(self.gas, "--gas"),
            number(self.max_fee, "--max-fee"),
            number(self.priority_fee, "--priority-fee"),
            self.nonce,
        )


@dataclass(frozen=True)
class WaitOptions(OptionGroup):
    """How long to wait for a transaction."""

    confirmations: Confirmations = None
    timeout: Timeout = 300.0

    def patience(self) -> Patience:
        """Say it as the wallet wants it."""
        return Patience(self.confirmations, self.timeout)


# --- sending ---------------------------------------------------------------------------------------------


def carry_out(
    session: Session,
    sender: AccountWallet,
    place: Target,
    function: str,
    arguments: Sequence[str],
    patience: Patience,
    **more: Any,
) -> dict[str, Any]:
    """Send a transaction to a contract's function and wait for it; give what `contracts.outcome` gives.

    `more` is what else `contracts.send` takes. Raises what `send` and `AccountWallet.settle` raise.
    """
    sent = send(sender, place, function, arguments, **more)
    progress(session, f"sent {sent}")
    return outcome(sender.settle(sent, patience, place.abi), place.abi)
