"""What `send` and `build` share: fee rate, terms, and the preview that a person reads before signing."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from ioex_chain.cli.options import err
from ioex_chain.cli.wallet_node import to_coins
from ioex_chain.wallet.payment import Recipient, Terms, check_rate
from ioex_chain.wallet.utxo_wallet import Preview, UtxoWallet

CONFIRM_WITHIN = 6
"""Blocks that the default fee rate aims at."""
FALLBACK_FACTOR = 2
"""Times the relay minimum, when the node has no estimate yet."""

AmountArgument = Annotated[str, typer.Argument(help="IOEX, such as 1.5, or `all`.")]
FeeRate = Annotated[
    int | None,
    typer.Option(help="Units of 1e-8 IOEX per 1,000 bytes; else the node's estimate for 6 blocks."),
]


def payment_terms(wallet: UtxoWallet, fee_rate: int | None, memo: str | None, final: bool) -> Terms:
    """Give the terms of a payment; without a rate the node's estimate, at least what nodes relay."""
    least = wallet.policy.min_relay_rate
    rate = fee_rate
    if rate is None:
        rate = max(wallet.chain.fee_rate(CONFIRM_WITHIN) or FALLBACK_FACTOR * least, least)
    check_rate(rate, wallet.policy)
    return Terms(rate, replaceable=not final, memo=None if memo is None else memo.encode())


def print_preview(
    preview: Preview, notes: Sequence[str], recipients: Mapping[bytes, Recipient], wallet: UtxoWallet
) -> None:
    """Show on stderr what signing means."""
    named = {wallet.address(script): item for script, item in recipients.items()}
    for output in preview.outputs:
        mark = "change" if output.is_change else "pays"
        err.print(
            f"{mark:>7} {to_coins(output.amount):,f} IOEX to {output.address}",
            highlight=False,
            soft_wrap=True,
        )
        note = named[output.address].note if output.address in named else output.note
        if note:
            err.print(f"[yellow]        {note}[/]", highlight=False, soft_wrap=True)
    err.print(f"    fee {to_coins(preview.fee):,f} IOEX", highlight=False)
    if preview.ours < preview.inputs:
        err.print(
            f"        {preview.inputs - preview.ours} of {preview.inputs} inputs are not ours",
            highlight=False,
        )
    for note in notes:
        err.print(f"[yellow]        {note}[/]", highlight=False)


def preview_json(preview: Preview) -> dict[str, Any]:
    """Give the same for programs."""
    return {
        "spent": to_coins(preview.spent),
        "fee": to_coins(preview.fee),
        "lock_time": preview.lock_time,
        "inputs": preview.inputs,
        "inputs_ours": preview.ours,
        "outputs": [
            {
                "address": item.address,
                "amount": to_coins(item.amount),
                "change": item.is_change,
                "note": item.note,
            }
            for item in preview.outputs
        ],
    }
