"""What commands of the DPoS chain share: the node to ask, the key to sign with, how long to wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import typer

from ioex_chain.cli.dpos_url import credentials, dpos_url
from ioex_chain.cli.options import OptionGroup, Session
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


def signing_key(
    session: Session,
    keystore: Path | None,
    wallet: str | None,
    account: int,
    key_file: Path | None,
    dev_account: int | None,
    password_file: Path | None,
) -> DposKey:
    """Give the one key that the options name. Raises WalletUsageError, KeystoreError, InvalidPrivateKey."""
    given = [one for one in (keystore, wallet, key_file, dev_account) if one is not None]
    if len(given) != 1:
        raise WalletUsageError(
            "name one key to sign with: --keystore FILE, --wallet NAME, --key-file FILE"
            + (" or --dev-account N" if session.config.network == "devnet" else "")
        )
    if dev_account is not None:
        return dev_key(session, dev_account)
    if key_file is not None:
        return DposKey(parse_private_key(read_text(key_file)).private)
    if keystore is not None:
        return DposKey(read_key_file(keystore, lambda: read_password(password_file)))
    place = folder(session, str(wallet))
    place.document()
    private = place.unlock(read_password(password_file)).dpos_key(account)
    if private is None:
        raise WalletUsageError(f"wallet {wallet} has no mnemonic; give its key file with --keystore")
    return DposKey(private)


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
        """Give it. Raises as `signing_key`."""
        return signing_key(
            session,
            self.keystore,
            self.wallet,
            self.account,
            self.key_file,
            self.dev_account,
            self.password_file,
        )


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


def terms(gas: str | None, max_fee: str | None, priority_fee: str | None, nonce: int | None) -> Terms:
    """Give what the options fix about a transaction."""
    return Terms(
        number(gas, "--gas"), number(max_fee, "--max-fee"), number(priority_fee, "--priority-fee"), nonce
    )


@dataclass(frozen=True)
class TermOptions(OptionGroup):
    """What is fixed about a transaction."""

    gas: Gas = None
    max_fee: MaxFee = None
    priority_fee: PriorityFee = None
    nonce: NonceOption = None

    def terms(self) -> Terms:
        """Read them. Raises WalletUsageError."""
        return terms(self.gas, self.max_fee, self.priority_fee, self.nonce)


@dataclass(frozen=True)
class WaitOptions(OptionGroup):
    """How long to wait for a transaction."""

    confirmations: Confirmations = None
    timeout: Timeout = 300.0

    def patience(self) -> Patience:
        """Say it as the wallet wants it."""
        return patience(self.confirmations, self.timeout)


def patience(confirmations: int | None, timeout: float) -> Patience:
    """Give how long to wait."""
    return Patience(confirmations, timeout)
