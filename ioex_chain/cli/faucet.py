"""`ioex faucet`: money for an address on a devnet, from the published mnemonic."""

from typing import Annotated

import typer

from ioex_chain.cli.dpos_node import Timeout, account_wallet, dev_key, number
from ioex_chain.cli.dpos_url import SETTINGS
from ioex_chain.cli.options import Session, command, out, progress
from ioex_chain.cli.wallet_session import WalletUsageError
from ioex_chain.crypto.address import checksum_account, parse_account
from ioex_chain.evm.types import WEI
from ioex_chain.wallet.account_wallet import Patience


@command(*SETTINGS)
def faucet(
    session: Session,
    address: Annotated[str, typer.Argument(help="Who gets it: 0x...")],
    amount: Annotated[str, typer.Argument(help="IOEX, or with a unit as in 5gwei.")] = "100",
    dev_account: Annotated[int, typer.Option(help="Which published account pays.", min=0)] = 0,
    timeout: Timeout = 60.0,
) -> None:
    """Send IOEX to ADDRESS on a devnet's DPoS chain and wait until it is in a block."""
    if session.config.network != "devnet":
        raise WalletUsageError("a faucet is for a devnet: add --network devnet")
    wei = number(f"{amount}ioex" if amount.replace(".", "").isdigit() else amount, "AMOUNT") or 0
    to = checksum_account(parse_account(address))
    with account_wallet(session, dev_key(session, dev_account)) as payer:
        if payer.balance() < wei:
            raise WalletUsageError(
                f"account {dev_account} has {payer.balance() / WEI:g} IOEX left; take another --dev-account"
            )
        raw, _ = payer.sign(payer.prepare(to, b"", wei))
        transaction = payer.send(raw)
        progress(session, f"sent {transaction}")
        settled = payer.settle(transaction, Patience(1, timeout))
        balance = int(payer.node.call("eth_getBalance", to, "latest"), 16)
    facts = {
        "transaction_hash": transaction,
        "block_number": int(settled.receipt["blockNumber"], 16),
        "from": payer.key.address,
        "to": to,
        "wei": str(wei),
        "balance": str(balance),
    }
    session.show(
        facts, lambda: out.print(f"{to} has {balance / WEI:,.6f} IOEX now", highlight=False, soft_wrap=True)
    )
