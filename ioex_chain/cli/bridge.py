"""`ioex bridge`: move coins between the chains, follow them, and see whether all of them are backed."""

from dataclasses import replace
from typing import Annotated, Any

import typer

from ioex_chain.cli.bridge_text import (
    deposit_line,
    print_bridge,
    print_count,
    print_solvency,
    withdrawal_line,
)
from ioex_chain.cli.dpos_node import (
    KeyOptions,
    NoWait,
    TermOptions,
    account_wallet,
    carry_out,
    open_node,
)
from ioex_chain.cli.dpos_url import SETTINGS
from ioex_chain.cli.options import EXIT_FAILED, Session, command, out, progress
from ioex_chain.cli.wallet import read_recipients, sign_and_send
from ioex_chain.cli.wallet_pay import AmountArgument, FeeRate, payment_terms
from ioex_chain.cli.wallet_session import DEFAULT, PasswordFile, WalletName, WalletUsageError, opened
from ioex_chain.crypto.address import checksum_account, deposit_script, parse_account, script_to_address
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import display
from ioex_chain.wallet.account_wallet import AccountWallet, Patience, Terms, check_chain
from ioex_chain.wallet.bridge import (
    Deposit,
    DposTransaction,
    NotThereYet,
    PowTransaction,
    TransferRefused,
    Watch,
    bridge,
    find_transfers,
    follow_deposit,
    follow_withdrawal,
    parse_transfer,
    payout_script,
    withdrawal_value,
)
from ioex_chain.wallet.contracts import outcome, send

app = typer.Typer(no_args_is_help=True, help="Move coins between the PoW chain and the DPoS chain.")

Timeout = Annotated[float, typer.Option(help="Seconds to wait at most; the transfer goes on without.", min=0)]
DposUrl = Annotated[
    str | None, typer.Option(help="The DPoS chain's RPC address; --rpc-url is the PoW chain's here.")
]
TransferText = Annotated[
    str | None,
    typer.Argument(help="txid:vout or txid of a deposit; number or 0x... of a withdrawal; all without it."),
]
SOUND = ("sound", "void")
UNSOUND = ("hole", "forked")
"""Verdicts after which deposits may be missing; the others say nothing of it."""
COUNT_SECONDS = 620.0


@app.command()
@command()
def address(
    session: Session,
    account: Annotated[str, typer.Argument(help="Who is to be credited on the DPoS chain: 0x...")],
) -> None:
    """Print the PoW address whose payments are credited to ACCOUNT; any PoW wallet can pay it."""
    raw = parse_account(account)
    script = deposit_script(raw)
    text = script_to_address(session.spec().pow.address_prefix, script)
    facts = {"account": checksum_account(raw), "address": text, "script": "0x" + script.hex()}
    session.show(facts, lambda: print(text))


@app.command()
@command(*SETTINGS)
def deposit(
    session: Session,
    account: Annotated[str, typer.Argument(help="Who is to be credited on the DPoS chain: 0x...")],
    amount: AmountArgument,
    name: WalletName = DEFAULT,
    fee_rate: FeeRate = None,
    password_file: PasswordFile = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dpos_rpc_url: DposUrl = None,
    no_wait: NoWait = False,
    timeout: Timeout = 7_200.0,
) -> None:
    """Pay from a PoW wallet to ACCOUNT on the DPoS chain, and follow the deposit until it is credited."""
    raw = parse_account(account)
    watching = _dpos_session(session, dpos_rpc_url, no_wait)
    with opened(session, name) as (place, wallet):
        recipients = read_recipients(wallet, [(account, amount)])
        draft = wallet.prepare(recipients, payment_terms(wallet, fee_rate, None, final=False))
        paid = sign_and_send(session, place, wallet, draft, recipients, password_file, yes)
    transfer = Deposit(display(paid.txid), _output(paid, deposit_script(raw)))
    progress(session, f"sent {transfer}")
    if watching is None:
        session.show({"id": str(transfer), "txid": transfer.txid}, lambda: print(transfer))
        return
    with open_node(watching) as node:
        found = follow_deposit(node, transfer, _watch(session, timeout))
    session.show(found, lambda: out.print(deposit_line(found), highlight=False, soft_wrap=True))


def _dpos_session(session: Session, url: str | None, no_wait: bool) -> Session | None:
    """Give the session of the DPoS chain's port, which must answer; None when nothing is to be followed.

    Raises WalletUsageError, RpcUnreachable, WrongChain.
    """
    if no_wait:
        return None
    if session.rpc_url is not None and url is None:
        raise WalletUsageError(
            "--rpc-url names the PoW chain's RPC here; give --dpos-rpc-url too, or --no-wait"
        )
    found = replace(session, rpc_url=url)
    with open_node(found) as node:
        check_chain(node, session.spec().dpos.chain_id)  # before anything is paid
    return found


def _watch(session: Session, timeout: float) -> Watch:
    return Watch(timeout, lambda one: progress(session, deposit_line(one)))


def _output(paid: Transaction, script: bytes) -> int:
    return next(at for at, item in enumerate(paid.outputs) if item.script == script)


@app.command()
@command(*SETTINGS)
def prove(
    session: Session,
    transfer: Annotated[
        str, typer.Argument(help="txid:vout of a deposit, or its txid when it is the only one.")
    ],
    signing: KeyOptions,
    fixed: TermOptions,
    timeout: Timeout = 600.0,
) -> None:
    """Prove a deposit by a transaction of one's own, when arbitrators do not: it is too small for them.

    Anybody can do it for anybody; the deposit's account is credited, the signing key pays for the gas.
    """
    wanted = parse_transfer(transfer)
    if not isinstance(wanted, Deposit | PowTransaction):
        raise WalletUsageError("a deposit is named by txid:vout or txid of the PoW chain")
    key = signing.open(session)
    with account_wallet(session, key) as sender:
        chosen = _one_deposit(sender.node, wanted)
        done = _send_proof(session, sender, chosen, fixed.terms(), timeout)
        found = follow_deposit(sender.node, chosen, _watch(session, timeout))
    facts = {"proof": done, "deposit": found}
    session.show(facts, lambda: out.print(deposit_line(found), highlight=False, soft_wrap=True))


def _send_proof(
    session: Session, sender: AccountWallet, chosen: Deposit, fixed: Terms, timeout: float
) -> dict[str, Any]:
    proof = sender.node.call("ioex_getDepositProof", chosen.txid, chosen.vout)
    if proof is None:
        raise TransferRefused(f"{chosen} is no deposit that this node knows")
    place = bridge(session.spec().contracts.addresses["Bridge"])
    call = bytes.fromhex(proof["data"][2:])
    sent = sender.send(sender.sign(sender.prepare(place.address, call, 0, fixed, place.abi))[0])
    progress(session, f"sent {sent}")
    return outcome(sender.settle(sent, Patience(1, timeout), place.abi), place.abi)


def _one_deposit(node: Any, wanted: Deposit | PowTransaction) -> Deposit:
    if isinstance(wanted, Deposit):
        return wanted
    _, found = find_transfers(node, wanted)
    if len(found) > 1:
        raise WalletUsageError("this transaction has several deposits: name one as txid:vout")
    return Deposit(wanted.txid, int(found[0]["vout"], 16))


@app.command()
@command(*SETTINGS)
def withdraw(
    session: Session,
    to: Annotated[str, typer.Argument(help="PoW address to pay.")],
    amount: Annotated[str, typer.Argument(help="IOEX, such as 1.5; the settlement keeps its fee of it.")],
    signing: KeyOptions,
    fixed: TermOptions,
    confirmations: Annotated[int, typer.Option(help="Wait for so many PoW blocks.", min=1)] = 1,
    no_wait: NoWait = False,
    timeout: Timeout = 3_600.0,
) -> None:
    """Take IOEX off the DPoS chain and follow the withdrawal until the PoW chain has paid it."""
    spec = session.spec()
    script, value = payout_script(spec, to), withdrawal_value(spec, amount)
    key = signing.open(session)
    with account_wallet(session, key) as sender:
        if no_wait:
            place = bridge(spec.contracts.addresses["Bridge"])
            sent = send(sender, place, "withdraw", ["0x" + script.hex()], value=value, terms=fixed.terms())
            progress(session, f"sent {sent}")
            session.show({"transaction_hash": sent}, lambda: print(sent))
            return
        facts = take_off(session, sender, script, value, fixed.terms(), confirmations, timeout)
    line = withdrawal_line(facts["withdrawal"])
    session.show(facts, lambda: out.print(line, highlight=False, soft_wrap=True))


def take_off(
    session: Session,
    sender: AccountWallet,
    script: bytes,
    value: int,
    fixed: Terms,
    confirmations: int,
    timeout: float,
) -> dict[str, Any]:
    """Withdraw and follow it until the PoW chain has paid it; give transaction and withdrawal."""
    place, patience = bridge(session.spec().contracts.addresses["Bridge"]), Patience(1, timeout)
    given = ["0x" + script.hex()]
    done = carry_out(session, sender, place, "withdraw", given, patience, value=value, terms=fixed)
    number = _number(sender.node, done["transaction_hash"])
    progress(session, f"withdrawal {number}")
    watch = Watch(timeout, lambda one: progress(session, withdrawal_line(one)))
    return {"transaction": done, "withdrawal": follow_withdrawal(sender.node, number, watch, confirmations)}


def _number(node: Any, transaction: str) -> int:
    """Give the number that a transaction's withdrawal was given; it may have changed its block since."""
    found = node.call("ioex_getWithdrawalsByTransaction", transaction)
    if not found:
        raise NotThereYet(transaction, "in no block any more", 0)
    return int(found[0]["number"], 16)


@app.command()
@command(*SETTINGS)
def status(session: Session, transfer: TransferText = None) -> None:
    """Show how far a transfer is, or how the whole bridge stands."""
    wanted = None if transfer is None else parse_transfer(transfer)
    with open_node(session) as node:
        check_chain(node, session.spec().dpos.chain_id)
        if wanted is None:
            whole = node.call("ioex_getBridge")
            session.show(whole, lambda: print_bridge(whole))
            return
        kind, found = find_transfers(node, wanted)
    line = deposit_line if kind == "deposit" else withdrawal_line
    several = isinstance(wanted, PowTransaction | DposTransaction)

    def text() -> None:
        for one in found:
            out.print(line(one), highlight=False, soft_wrap=True)

    session.show({kind + "s": found} if several else {kind: found[0]}, text)


@app.command()
@command(*SETTINGS)
def solvency(
    session: Session,
    count: Annotated[
        bool, typer.Option("--count", help="Count every coin and account too; minutes on a long chain.")
    ] = False,
) -> None:
    """Show whether everything on the DPoS chain is backed by the reserve; exits with 1 when it is not shown.

    That is so for a hole, and also while the node lacks blocks of one chain.
    """
    with open_node(session, COUNT_SECONDS if count else 60.0) as node:
        check_chain(node, session.spec().dpos.chain_id)
        found = node.call("ioex_getSolvency")
        if found["verdict"] in UNSOUND:
            found["missing"] = node.call("ioex_getMissingDeposits")
        counted = node.call("ioex_countSupply") if count else None

    def text() -> None:
        print_solvency(found)
        if counted is not None:
            print_count(counted)

    session.show(found if counted is None else {**found, "counted": counted}, text)
    if found["verdict"] not in SOUND or (counted is not None and not counted["sound"]):
        raise SystemExit(EXIT_FAILED)
