"""Paying in steps, on machines that need not trust each other: build, sign, combine, finalise, broadcast."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ioex_chain.cli.options import Session, command, out
from ioex_chain.cli.wallet_node import NodeSource, to_coins
from ioex_chain.cli.wallet_pay import AmountArgument, FeeRate, payment_terms, preview_json, print_preview
from ioex_chain.cli.wallet_session import (
    DEFAULT,
    PasswordFile,
    WalletName,
    WalletUsageError,
    confirm,
    offline,
    opened,
    unlock,
)
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import OutPoint, display, from_display
from ioex_chain.wallet.errors import NotComplete
from ioex_chain.wallet.keystore import replace_file
from ioex_chain.wallet.payment import parse_amount, parse_recipient
from ioex_chain.wallet.psbt import Psbt, combine
from ioex_chain.wallet.signing import extract_transaction, finalize_psbt, sign_psbt

psbt_app = typer.Typer(no_args_is_help=True, help="Partially signed transactions (BIP-174).")

PsbtFile = Annotated[Path, typer.Argument(help="PSBT file: binary, base64 or hex; - is stdin.")]
Output = Annotated[Path | None, typer.Option("--out", "-o", help="Write here instead of printing.")]
Format = Annotated[Literal["base64", "hex", "binary"], typer.Option("--format", help="Form of the PSBT.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands to `ioex wallet`."""
    app.command()(build)
    app.command()(sign)
    app.command()(broadcast)
    app.add_typer(psbt_app, name="psbt")


@command()
def build(
    session: Session,
    address: Annotated[str, typer.Argument(help="Address, or 0x... to deposit on the DPoS chain.")],
    amount: AmountArgument,
    name: WalletName = DEFAULT,
    fee_rate: FeeRate = None,
    memo: Annotated[str | None, typer.Option(help="Up to 80 bytes of text, public for ever.")] = None,
    coin: Annotated[
        list[str] | None, typer.Option(help="Spend these coins only, each TXID:VOUT; may be shared ones.")
    ] = None,
    output: Output = None,
) -> None:
    """Write the unsigned PSBT of a payment. Needs the node, but no key: a watch-only wallet can do it."""
    with opened(session, name) as (_, wallet):
        recipient = parse_recipient(wallet.spec, address, None if amount == "all" else parse_amount(amount))
        only = [_outpoint(text) for text in coin] if coin else None
        terms = payment_terms(wallet, fee_rate, memo, False)
        draft = wallet.prepare([recipient], terms, only)
        psbt = wallet.to_psbt(draft)
        if not session.quiet and not session.as_json:
            print_preview(wallet.preview(psbt), draft.notes, {recipient.script: recipient}, wallet)
        _give(session, psbt, output, preview_json(wallet.preview(psbt)))


@command()
def sign(
    session: Session,
    file: PsbtFile,
    name: WalletName = DEFAULT,
    password_file: PasswordFile = None,
    trust_amounts: Annotated[
        bool, typer.Option("--trust-amounts", help="Sign though the PSBT does not prove the amounts.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Output = None,
) -> None:
    """Add this wallet's signatures to a PSBT. Needs no node."""
    place, wallet = offline(session, name)
    psbt = _read(file)
    wallet.annotate(psbt)
    preview = wallet.preview(psbt)
    if not session.quiet and not session.as_json:
        print_preview(preview, (), {}, wallet)
    confirm("Sign it?", yes)
    added = sign_psbt(psbt, unlock(place, password_file), trust_amounts)
    if not added:
        raise WalletUsageError("this wallet has no key that is still missing in this PSBT")
    _give(session, psbt, output, {"signatures": added, **preview_json(preview)})


@command()
def broadcast(
    session: Session,
    file: Annotated[Path, typer.Argument(help="Signed PSBT, or a raw transaction in hex; - is stdin.")],
) -> None:
    """Send a signed transaction through the node."""
    data = _read_bytes(file)
    transaction = _raw(data) or _finished(Psbt.parse(data))
    with NodeSource(session.client(), session.spec()) as source:
        txid = display(source.broadcast(transaction))
    session.show({"txid": txid, "size": transaction.size}, lambda: print(txid))


@psbt_app.command("show")
@command()
def psbt_show(session: Session, file: PsbtFile, name: WalletName = DEFAULT) -> None:
    """Show what a PSBT does and how far it is signed."""
    _, wallet = offline(session, name)
    psbt = _read(file)
    preview = wallet.preview(psbt)
    missing = finalize_psbt(Psbt.decode(psbt.encode()))
    result = {**preview_json(preview), "txid": display(psbt.transaction.txid), "inputs_missing": missing}

    def text() -> None:
        print_preview(preview, (), {}, wallet)
        out.print(f"{missing} of {preview.inputs} inputs are not fully signed", highlight=False)

    session.show(result, text)


@psbt_app.command("import")
@command()
def psbt_import(session: Session, file: PsbtFile, name: WalletName = DEFAULT, output: Output = None) -> None:
    """Add what this wallet knows about its own inputs and outputs to a PSBT of another program."""
    _, wallet = offline(session, name)
    psbt = _read(file)
    wallet.annotate(psbt)
    _give(session, psbt, output, preview_json(wallet.preview(psbt)))


@psbt_app.command("export")
@command()
def psbt_export(session: Session, file: PsbtFile, form: Format = "base64", output: Output = None) -> None:
    """Write a PSBT in another form, for another program."""
    psbt = _read(file)
    data = {
        "base64": psbt.to_base64().encode(),
        "hex": psbt.encode().hex().encode(),
        "binary": psbt.encode(),
    }[form]
    if output:
        replace_file(output, data)
    elif form == "binary":
        sys.stdout.buffer.write(data)
    else:
        session.show({"psbt": data.decode()}, lambda: print(data.decode()))


@psbt_app.command("combine")
@command()
def psbt_combine(
    session: Session,
    files: Annotated[list[Path], typer.Argument(help="PSBTs of one transaction.")],
    output: Output = None,
) -> None:
    """Put the signatures of several signers together."""
    merged = combine([_read(file) for file in files])
    _give(session, merged, output, {"inputs_missing": finalize_psbt(Psbt.decode(merged.encode()))})


@psbt_app.command("finalize")
@command()
def psbt_finalize(session: Session, file: PsbtFile, output: Output = None) -> None:
    """Print the finished transaction in hex, checked by the chain's own script rules."""
    transaction = _finished(_read(file))
    result = {"hex": transaction.raw.hex(), "txid": display(transaction.txid), "size": transaction.size}
    if output:
        replace_file(output, transaction.raw.hex().encode() + b"\n")
    session.show(result, lambda: print(result["txid"] if output else result["hex"]))


def _finished(psbt: Psbt) -> Transaction:
    missing = finalize_psbt(psbt)
    if missing:
        raise NotComplete(missing, len(psbt.inputs))
    return extract_transaction(psbt)


def _give(session: Session, psbt: Psbt, output: Path | None, more: dict[str, object]) -> None:
    """Print a PSBT or write it where --out says."""
    if output:
        replace_file(output, psbt.to_base64().encode() + b"\n")
    result = {
        "psbt": psbt.to_base64(),
        "txid": display(psbt.transaction.txid),
        "fee": to_coins(psbt.fee),
        **more,
    }
    session.show(result, lambda: print(output or psbt.to_base64()))


def _outpoint(text: str) -> OutPoint:
    txid, _, position = text.partition(":")
    try:
        return OutPoint(from_display(txid) + int(position).to_bytes(4, "little"))
    except (ValueError, OverflowError) as error:
        raise WalletUsageError(f"a coin is TXID:VOUT, not {text!r}") from error


def _read(file: Path) -> Psbt:
    return Psbt.parse(_read_bytes(file))


def _read_bytes(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise WalletUsageError(f"{file} cannot be read: {error.strerror}") from error


def _raw(data: bytes) -> Transaction | None:
    try:
        return Transaction.decode(bytes.fromhex(data.decode("ascii").strip()))
    except (DecodeError, ValueError):
        return None
