"""`ioex wallet`: make a wallet, receive, pay, look. Signing happens here; the node never sees a key."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ioex_chain.cli import wallet_offline
from ioex_chain.cli.options import Session, command, out
from ioex_chain.cli.wallet_node import to_coins
from ioex_chain.cli.wallet_pay import AmountArgument, FeeRate, payment_terms, print_preview
from ioex_chain.cli.wallet_session import (
    DEFAULT,
    PasswordFile,
    WalletName,
    WalletUsageError,
    confirm,
    folder,
    need_terminal,
    offline,
    opened,
    read_password,
    read_secret,
    show_mnemonic,
    unlock,
)
from ioex_chain.crypto.address import checksum_account
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import TxHash, display, from_display
from ioex_chain.wallet.book import OwnScript
from ioex_chain.wallet.errors import InvalidAmount
from ioex_chain.wallet.files import WalletFolder, list_wallets, read_key_file
from ioex_chain.wallet.hd import Account, Purpose, generate_mnemonic, is_main, parse_private_key
from ioex_chain.wallet.payment import Draft, Recipient, parse_amount, parse_recipient
from ioex_chain.wallet.signing import KeyRing, extract_transaction, finalize_psbt, sign_psbt
from ioex_chain.wallet.utxo_wallet import OwnCoin, Transfer, UtxoWallet

app = typer.Typer(no_args_is_help=True, help="Addresses, balance and payments; keys stay on this machine.")
address_app = typer.Typer(no_args_is_help=True, help="Hand out and list addresses.")
app.add_typer(address_app, name="address")
wallet_offline.register(app)

Taproot = Annotated[bool, typer.Option("--taproot", help="Use the P2TR account (BIP-86).")]
AccountNumber = Annotated[int, typer.Option("--account", help="BIP-44 account number.", min=0, max=2**31 - 1)]
MnemonicFile = Annotated[Path | None, typer.Option(help="File with the mnemonic; else asked.")]
PassphraseFile = Annotated[Path | None, typer.Option(help="File with the BIP-39 passphrase, if you use one.")]


# --- making a wallet -------------------------------------------------------------------------------------


@app.command()
@command()
def create(
    session: Session,
    name: WalletName = DEFAULT,
    password_file: PasswordFile = None,
    words: Annotated[int, typer.Option(help="12, 15, 18, 21 or 24.")] = 24,
    account: AccountNumber = 0,
    passphrase_file: PassphraseFile = None,
    mnemonic_out: Annotated[
        Path | None, typer.Option(help="Write the mnemonic into this new file instead of the terminal.")
    ] = None,
) -> None:
    """Make a new wallet. Its mnemonic is shown once."""
    need_terminal(mnemonic_out)
    mnemonic = generate_mnemonic(words)
    place = _make(session, name, mnemonic, password_file, passphrase_file, account)
    show_mnemonic(mnemonic, mnemonic_out)
    _show_made(session, place, name)


@app.command()
@command()
def restore(
    session: Session,
    name: WalletName = DEFAULT,
    mnemonic_file: MnemonicFile = None,
    password_file: PasswordFile = None,
    account: AccountNumber = 0,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a wallet of a mnemonic that you have."""
    mnemonic = read_secret(mnemonic_file, "Mnemonic")
    place = _make(session, name, mnemonic, password_file, passphrase_file, account)
    _show_made(session, place, name)


def _make(
    session: Session,
    name: str,
    mnemonic: str,
    password_file: Path | None,
    passphrase_file: Path | None,
    account: int,
) -> WalletFolder:
    place = folder(session, name)
    passphrase = read_secret(passphrase_file, "Passphrase") if passphrase_file else ""
    password = read_password(password_file, new=True, what="New password")
    place.create(mnemonic, password, passphrase, account)
    return place


@app.command()
@command()
def watch(
    session: Session,
    key: Annotated[str, typer.Argument(help="zpub/vpub or xpub/tpub, [fingerprint/path] before it or not.")],
    name: WalletName = DEFAULT,
    taproot: Taproot = False,
) -> None:
    """Make a watch-only wallet of an account's extended public key."""
    place = folder(session, name)
    place.create_watching(key, Purpose.P2TR if taproot else None)
    _show_made(session, place, name)


@app.command("import-key")
@command()
def import_key(
    session: Session,
    name: WalletName = DEFAULT,
    key_file: Annotated[
        Path | None, typer.Option(help="File with the key in hex or WIF; else asked.")
    ] = None,
    keystore_file: Annotated[Path | None, typer.Option(help="Web3 v3 key file of another program.")] = None,
    keystore_password_file: Annotated[Path | None, typer.Option(help="Its password; else asked.")] = None,
    password_file: PasswordFile = None,
) -> None:
    """Add a raw private key to a wallet; a wallet that does not exist is made for it."""
    place = folder(session, name)
    if keystore_file:
        private = read_key_file(
            keystore_file, lambda: read_password(keystore_password_file, what="Password of the key file")
        )
    else:
        private = parse_private_key(read_secret(key_file, "Private key")).private
    password = read_password(password_file, new=True)
    if place.file.exists():
        if "crypto" in place.document() or place.imported():
            place.unlock(password)  # one password opens all of a wallet
    else:
        place.create_empty()
    public = place.import_key(private, password)
    _, wallet = offline(session, name)
    own = next(item for item in wallet.book if item.keys[0].public == public)
    result = {"wallet": name, "address": wallet.address(own.script)}
    session.show(result, lambda: out.print(f"imported {result['address']}", highlight=False))


def _show_made(session: Session, place: WalletFolder, name: str) -> None:
    document = place.document()
    dpos = document.get("dpos_address")
    result = {
        "wallet": name,
        "kind": document["kind"],
        "network": document["network"],
        "file": str(place.file),
        "dpos_address": checksum_account(bytes.fromhex(dpos)) if dpos else None,
    }

    def text() -> None:
        out.print(f"wallet {name} ({document['network']}, {document['kind']}): {place.file}", soft_wrap=True)

    session.show(result, text)


@app.command("list")
@command()
def list_(session: Session) -> None:
    """List the wallets of this network."""
    names = list_wallets(session.datadir.wallets)
    rows = [{"wallet": name, "kind": folder(session, name).document()["kind"]} for name in names]
    session.show(
        {"wallets": rows}, lambda: print("\n".join(f"{row['wallet']}  {row['kind']}" for row in rows))
    )


@app.command()
@command()
def info(session: Session, name: WalletName = DEFAULT) -> None:
    """Show what a wallet is: kind, files, its address on the DPoS chain."""
    _show_made(session, folder(session, name), name)


@app.command("export-xpub")
@command()
def export_xpub(session: Session, name: WalletName = DEFAULT, taproot: Taproot = False) -> None:
    """Print the account's extended public key, for a watch-only wallet elsewhere. It shows all addresses."""
    place = folder(session, name)
    account = _account(place.accounts(), taproot)
    main = is_main(place.spec)
    key = account.export(main)
    path = "".join(f"/{step - 2**31}'" if step >= 2**31 else f"/{step}" for step in account.path)
    result = {
        "key": key,
        "xpub": account.export_xpub(main),
        "with_origin": f"[{account.fingerprint.hex()}{path}]{key}",
    }
    session.show(result, lambda: print(result["with_origin"]))


@app.command("add-lock")
@command()
def add_lock(
    session: Session,
    script: Annotated[str, typer.Argument(help="Witness script in hex; a key of this wallet is in it.")],
    name: WalletName = DEFAULT,
) -> None:
    """Watch a P2WSH output that a key of this wallet opens: a time lock, or one of several signers."""
    try:
        hidden = bytes.fromhex(script)
    except ValueError as error:
        raise WalletUsageError("the witness script is not hex") from error
    place, _ = offline(session, name)
    place.add_lock(hidden)
    _, wallet = offline(session, name)
    own = next((item for item in wallet.book.locked().values() if item.witness_script == hidden), None)
    if own is None:
        raise WalletUsageError("no key of this wallet opens this script; it is kept, in case one is added")
    result = {"address": wallet.address(own.script), "shared": own.is_shared}
    session.show(result, lambda: out.print(result["address"], highlight=False))


# --- addresses -------------------------------------------------------------------------------------------


@address_app.command("new")
@command()
def address_new(
    session: Session,
    name: WalletName = DEFAULT,
    taproot: Taproot = False,
    is_offline: Annotated[bool, typer.Option("--offline", help="Do not ask a node which are used.")] = False,
) -> None:
    """Hand out the next address."""

    def issue(place: WalletFolder, wallet: UtxoWallet) -> str:
        address = wallet.new_address(_account(list(wallet.book.accounts), taproot))
        place.save(wallet, place.state().locks)
        return address

    if is_offline:
        text = issue(*offline(session, name))
    else:
        with opened(session, name) as (place, wallet):
            text = issue(place, wallet)
    session.show({"address": text}, lambda: print(text))


@address_app.command("list")
@command()
def address_list(session: Session, name: WalletName = DEFAULT) -> None:
    """List the addresses that were handed out or used, with what they hold."""
    with opened(session, name) as (_, wallet):
        held: dict[bytes, int] = {}
        for item in wallet.coins():
            held[item.coin.script] = held.get(item.coin.script, 0) + item.coin.value
        rows = [
            {
                "address": wallet.address(own.script),
                "kind": own.label or ("change" if own.branch else "receive"),
                "path": _short_path(own),
                "amount": to_coins(held.get(own.script, 0)),
            }
            for own in wallet.book
            if _is_issued(wallet, own)
        ]
    session.show({"addresses": rows}, lambda: _print_addresses(rows))


def _is_issued(wallet: UtxoWallet, own: OwnScript) -> bool:
    if own.purpose is None or own.branch is None or own.index is None:
        return True
    return own.index < wallet.issued.get((own.purpose, own.branch), 0)


def _short_path(own: OwnScript) -> str | None:
    return None if own.purpose is None or own.index is None else f"{own.purpose}/{own.branch}/{own.index}"


def _print_addresses(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        out.print(f"{row['address']}  {row['amount']:>22,f}  {row['kind']}", highlight=False, soft_wrap=True)


# --- looking ---------------------------------------------------------------------------------------------


@app.command()
@command()
def balance(session: Session, name: WalletName = DEFAULT) -> None:
    """Show what the wallet has: spendable, on its way, immature, locked with the dates."""
    with opened(session, name) as (_, wallet):
        found = wallet.balance()
    parts = ("spendable", "unconfirmed", "immature", "locked", "shared", "total")
    result: dict[str, Any] = {part: to_coins(getattr(found, part)) for part in parts}
    result["waiting"] = [_waiting_json(item) for item in found.waiting]

    def text() -> None:
        for part in parts:
            if part in ("spendable", "total") or result[part]:
                out.print(f"{part:<12}{result[part]:>28,f} IOEX", highlight=False)
        for row in result["waiting"]:
            out.print(f"  {row['amount']:,f} IOEX {row['status']} until {_when(row)}", highlight=False)

    session.show(result, text)


def _waiting_json(item: OwnCoin) -> dict[str, Any]:
    return {
        "amount": to_coins(item.coin.value),
        "status": item.availability.status.value,
        "height": item.availability.height,
        "time": item.availability.time,
        "txid": display(item.coin.outpoint[:32]),
        "vout": int.from_bytes(item.coin.outpoint[32:], "little"),
        "label": item.own.label,
    }


def _when(row: dict[str, Any]) -> str:
    if row["height"] is not None:
        return f"block {row['height']}"
    return f"{datetime.fromtimestamp(row['time'], UTC):%Y-%m-%d %H:%M} UTC"


@app.command()
@command()
def history(
    session: Session,
    name: WalletName = DEFAULT,
    count: Annotated[int, typer.Option(help="Newest so many.", min=1)] = 100,
) -> None:
    """Show the wallet's transactions, newest first."""
    with opened(session, name) as (_, wallet):
        rows = [_transfer_json(item) for item in wallet.history(count)]
    session.show({"transactions": rows}, lambda: _print_history(rows))


def _transfer_json(item: Transfer) -> dict[str, Any]:
    return {
        "txid": display(item.txid),
        "kind": item.kind,
        "amount": to_coins(item.amount),
        "fee": None if item.fee is None else to_coins(item.fee),
        "height": item.height,
        "confirmations": item.confirmations,
        "addresses": list(item.addresses),
    }


def _print_history(rows: list[dict[str, Any]]) -> None:
    # one line each, never cut: ids are there to be copied
    for row in rows:
        where = "waiting" if row["height"] is None else f"block {row['height']}"
        fee = "" if row["fee"] is None else f"  fee {row['fee']:f}"
        line = f"{where:<12}{row['kind']:<9}{row['amount']:>+22,f}  {row['txid']}{fee}"
        out.print(line, highlight=False, soft_wrap=True)


# --- paying ----------------------------------------------------------------------------------------------


@app.command()
@command()
def send(
    session: Session,
    address: Annotated[str, typer.Argument(help="Address, or 0x... to deposit on the DPoS chain.")],
    amount: AmountArgument,
    to: Annotated[list[str] | None, typer.Option(help="More recipients, each ADDRESS=AMOUNT.")] = None,
    name: WalletName = DEFAULT,
    fee_rate: FeeRate = None,
    memo: Annotated[str | None, typer.Option(help="Up to 80 bytes of text, public for ever.")] = None,
    final: Annotated[bool, typer.Option("--final", help="Do not allow to raise the fee later.")] = False,
    password_file: PasswordFile = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Pay: choose coins, show what will happen, sign, send."""
    with opened(session, name) as (place, wallet):
        recipients = read_recipients(wallet, [(address, amount), *_pairs(to or [])])
        draft = wallet.prepare(recipients, payment_terms(wallet, fee_rate, memo, final))
        transaction = sign_and_send(session, place, wallet, draft, recipients, password_file, yes)
    _show_sent(session, transaction, draft)


@app.command()
@command()
def bump(
    session: Session,
    txid: Annotated[str, typer.Argument(help="An unconfirmed transaction of this wallet.")],
    name: WalletName = DEFAULT,
    fee_rate: FeeRate = None,
    password_file: PasswordFile = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Replace an unconfirmed payment by the same one with a higher fee."""
    try:
        wanted = TxHash(from_display(txid))
    except ValueError as error:
        raise WalletUsageError("a transaction id has 64 hex digits") from error
    with opened(session, name) as (place, wallet):
        rate = payment_terms(wallet, fee_rate, None, False).rate
        draft = wallet.bump(wanted, rate)
        transaction = sign_and_send(session, place, wallet, draft, [], password_file, yes)
    _show_sent(session, transaction, draft)


def read_recipients(wallet: UtxoWallet, pairs: list[tuple[str, str]]) -> list[Recipient]:
    """Read (address, amount) pairs; the amount `all` sends everything that is left."""
    return [
        parse_recipient(wallet.spec, address, None if amount == "all" else parse_amount(amount))
        for address, amount in pairs
    ]


def _pairs(texts: list[str]) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        address, sign, amount = text.partition("=")
        if not sign:
            raise InvalidAmount(f"--to takes ADDRESS=AMOUNT, not {text!r}")
        pairs.append((address, amount))
    return pairs


def sign_and_send(
    session: Session,
    place: WalletFolder,
    wallet: UtxoWallet,
    draft: Draft,
    recipients: list[Recipient],
    password_file: Path | None,
    yes: bool,
) -> Transaction:
    """Show what a draft does, ask, sign and send it. Raises WalletUsageError, WalletError."""
    psbt = wallet.to_psbt(draft)
    if not session.as_json and not session.quiet:
        print_preview(wallet.preview(psbt), draft.notes, {item.script: item for item in recipients}, wallet)
    confirm("Send it?", yes)
    keys: KeyRing = unlock(place, password_file)
    sign_psbt(psbt, keys)
    finalize_psbt(psbt)
    transaction = extract_transaction(psbt)
    wallet.broadcast(transaction)
    place.save(wallet, place.state().locks)
    return transaction


def _show_sent(session: Session, transaction: Transaction, draft: Draft) -> None:
    result = {"txid": display(transaction.txid), "fee": to_coins(draft.fee), "size": transaction.size}
    session.show(result, lambda: print(result["txid"]))


def _account(accounts: list[Account], taproot: bool) -> Account:
    purpose = Purpose.P2TR if taproot else None
    found = [item for item in accounts if purpose is None or item.purpose is purpose]
    if not found:
        raise WalletUsageError("this wallet has no such account")
    return found[0]
