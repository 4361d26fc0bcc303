"""`ioex workload`: report what nodes did, hand receipts in, and see what it is worth."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from ioex_chain.cli.dpos_node import (
    KeyOptions,
    Timeout,
    account_wallet,
    carry_out,
    open_node,
)
from ioex_chain.cli.dpos_url import SETTINGS
from ioex_chain.cli.options import Session, command, out
from ioex_chain.cli.wallet_session import WalletUsageError, read_text
from ioex_chain.crypto.address import checksum_account, parse_account
from ioex_chain.evm.contribution import GAS_POINTS, NODE_REGISTRY, WORKLOAD, WorkKind
from ioex_chain.evm.contribution_receipts import Receipt
from ioex_chain.wallet.account_wallet import DposKey, Patience, check_chain
from ioex_chain.wallet.contracts import Target, call
from ioex_chain.wallet.hd import parse_private_key
from ioex_chain.wallet.rewards import nodes_of, system_contract
from ioex_chain.wallet.workload import (
    gas_text,
    make_receipt,
    parse_sighting,
    points_of_node,
    receipt_arguments,
    report_arguments,
    work_of,
)

app = typer.Typer(no_args_is_help=True, help="Report what nodes did; see points and levels.")

EpochNumber = Annotated[
    int | None, typer.Option("--epoch", help="The epoch; the last that is over without it.", min=0)
]


def _place(session: Session, name: str) -> Target:
    return system_contract(name, session.spec().contracts.addresses[name])


def _epoch(node: Any, workload: Target, epoch: int | None) -> int:
    return int(call(node, workload, "currentEpoch")[0]) - 1 if epoch is None else epoch


@app.command()
@command(*SETTINGS)
def report(
    session: Session,
    seen: Annotated[
        list[str], typer.Argument(help="NODE=all, NODE=none or NODE=0-5,7: the hours it was seen in.")
    ],
    signing: KeyOptions,
    epoch: EpochNumber = None,
    timeout: Timeout = 300.0,
) -> None:
    """Say in which hours of an epoch that is over nodes were up; for reporters, once for each node.

    Hours are 24ths of the epoch, from 0. What a majority of the reporters saw counts.
    """
    sightings = [parse_sighting(one) for one in seen]
    key = signing.open(session)
    place = _place(session, WORKLOAD)
    with open_node(session) as node:
        check_chain(node, session.spec().dpos.chain_id)
        number = _epoch(node, place, epoch)
    arguments = report_arguments(number, sightings)
    _send(session, key, place, "reportUptime", arguments, timeout, lambda _: f"reported epoch {number}")


@app.command()
@command()
def sign(
    session: Session,
    node: Annotated[int, typer.Argument(help="Number of the node that worked.", min=1)],
    counterparty: Annotated[int, typer.Argument(help="Number of the node that it worked for.", min=1)],
    kind: Annotated[str, typer.Argument(help="relayed, stored or transferred.")],
    amount: Annotated[int, typer.Argument(help="Bytes.", min=1)],
    epoch: Annotated[int, typer.Option(help="The epoch in which it did.", min=0)],
    nonce: Annotated[int, typer.Option(help="Another for each receipt of these two.", min=0)],
    device_key: Annotated[Path, typer.Option(help="File with the counterparty's device key (hex).")],
) -> None:
    """Sign a receipt as the counterparty's device; prints what `ioex workload receipts` takes in a list."""
    receipt = Receipt(node, counterparty, epoch, _kind(kind), amount, nonce)
    private = parse_private_key(read_text(device_key)).private
    session.show(make_receipt(session.spec(), receipt, private))


def _kind(text: str) -> int:
    kinds = {kind.name.lower(): int(kind) for kind in WorkKind}
    if text not in kinds:
        raise WalletUsageError(f"a receipt is for one of {', '.join(kinds)}, not {text!r}")
    return kinds[text]


@app.command()
@command(*SETTINGS)
def receipts(
    session: Session,
    file: Annotated[Path, typer.Argument(help="JSON: a list of 1 to 32 signed receipts.")],
    signing: KeyOptions,
    timeout: Timeout = 300.0,
) -> None:
    """Hand in receipts that counterparties signed; anybody may."""
    try:
        given = orjson.loads(read_text(file))
    except orjson.JSONDecodeError as error:
        raise WalletUsageError(f"{file} is not JSON") from error
    arguments = receipt_arguments(given)

    def counted(facts: dict[str, Any]) -> str:
        """Say how many count: the contract passes over those that others could have spoilt."""
        events = [event.get("event") for event in facts["events"]]
        return f"counted {events.count('ReceiptCounted')} of {len(given)} receipts"

    key = signing.open(session)
    _send(session, key, _place(session, WORKLOAD), "submitReceipts", arguments, timeout, counted)


@app.command()
@command(*SETTINGS)
def settle(
    session: Session,
    nodes: Annotated[list[int], typer.Argument(help="Numbers of nodes, at most 64.")],
    epoch: Annotated[int, typer.Option(help="A final epoch.", min=0)],
    signing: KeyOptions,
    timeout: Timeout = 300.0,
) -> None:
    """Give nodes the points of a final epoch, once; anybody may."""
    key = signing.open(session)
    arguments = [str(epoch), "[" + ",".join(map(str, nodes)) + "]"]
    _send(
        session,
        key,
        _place(session, WORKLOAD),
        "settle",
        arguments,
        timeout,
        lambda _: f"settled epoch {epoch}",
    )


@app.command()
@command(*SETTINGS)
def points(
    session: Session,
    who: Annotated[str, typer.Argument(help="Number of a node, or the account 0x... that owns some.")],
) -> None:
    """Show points and levels: of a node, or of all nodes of an owner."""
    place = _place(session, GAS_POINTS)
    with open_node(session) as node:
        check_chain(node, session.spec().dpos.chain_id)
        if who.isdigit():
            facts = points_of_node(node, place, int(who))
            session.show(facts, lambda: _print_points([facts]))
            return
        owner = checksum_account(parse_account(who))
        numbers = nodes_of(node, _place(session, NODE_REGISTRY), owner)
        rows = [points_of_node(node, place, number) for number in numbers]
        held = int(call(node, place, "balanceOf", [owner])[0])
    whole = {"owner": owner, "points": str(held), "gas": gas_text(held), "nodes": rows}

    def text() -> None:
        _print_points(rows)
        out.print(f"{owner}: {gas_text(held)} GAS", highlight=False, soft_wrap=True)

    session.show(whole, text)


def _print_points(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        out.print(f"node {row['node']}: {row['gas']} GAS, level {row['level']}", highlight=False)


@app.command()
@command(*SETTINGS)
def show(
    session: Session,
    nodes: Annotated[list[int], typer.Argument(help="Numbers of nodes.")],
    epoch: EpochNumber = None,
) -> None:
    """Show what counts for nodes in an epoch: hours, bytes, points, and whether that is final."""
    place = _place(session, WORKLOAD)
    with open_node(session) as node:
        check_chain(node, session.spec().dpos.chain_id)
        number = _epoch(node, place, epoch)
        rows = [work_of(node, place, number, one) for one in nodes]

    def text() -> None:
        for row in rows:
            words = f"{row['hours']} of 24 hours, {row['relayed']} relayed, {row['stored']} stored, "
            words += f"{row['transferred']} transferred, {gas_text(row['points'])} GAS"
            end = "struck" if row["struck"] else "final" if row["final"] else "open"
            out.print(f"epoch {number} node {row['node']}: {words}, {end}", highlight=False, soft_wrap=True)

    session.show({"epoch": number, "nodes": rows}, text)


def _send(
    session: Session,
    key: DposKey,
    place: Target,
    function: str,
    arguments: list[str],
    timeout: float,
    done: Callable[[dict[str, Any]], str],
) -> None:
    with account_wallet(session, key) as sender:
        facts = carry_out(session, sender, place, function, arguments, Patience(1, timeout))
    where = f"{done(facts)} in block {facts['block_number']}"
    session.show(facts, lambda: out.print(where, highlight=False, soft_wrap=True))
