"""`ioex genesis`: build a network's file with its real beneficiaries, and verify one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.table import Column, Table

from ioex_chain.bridge.genesis_check import check_both_chains
from ioex_chain.crypto.address import checksum_account
from ioex_chain.evm.genesis import genesis_hash, node_rewards_balance
from ioex_chain.evm.types import WEI_PER_POW_UNIT
from ioex_chain.pow.genesis import check_genesis, genesis_block, identity_of
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import display
from ioex_chain.spec.build import build_document, encode_document, read_beneficiaries, read_consortium
from ioex_chain.spec.document import format_amount, parse_amount
from ioex_chain.spec.load import (
    NETWORKS,
    load_network,
    load_network_file,
    read_document,
    read_shipped,
    to_spec,
)
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.spec.plan import NODE_REWARDS_LINE, PLAN
from ioex_chain.wallet.vesting import calendar

app = typer.Typer(no_args_is_help=True, help="The token plan in the genesis block: build it, verify it.")

EXIT_INVALID = 1
EXIT_USAGE = 2

Target = Annotated[str, typer.Argument(help="mainnet, testnet, devnet, or a network file.")]
Network = Annotated[str | None, typer.Option("--network", help="The same as the argument.")]


@app.command()
def verify(
    target: Target = "mainnet",
    network: Network = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Recompute every sum, share and lock of a network's genesis, and what its chains say of each other."""
    target = network or target
    try:
        spec = load_network(target) if target in NETWORKS else load_network_file(Path(target))
        _check(spec)
    except IoexError as error:
        _fail(str(error), as_json)
    report = describe(spec)
    if as_json:
        print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        _print_report(report)


@app.command()
def build(
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write; it must not exist.")],
    network: Annotated[str, typer.Option(help="Network, or a file, to start from.")] = "mainnet",
    beneficiaries: Annotated[
        Path | None,
        typer.Option(help="JSON: plan line -> address, pk(..), multi(..), or a list of them with amounts."),
    ] = None,
    consortium: Annotated[
        Path | None,
        typer.Option(help="JSON: owner_keys, owner_quorum and members of the DPoS chain's first set."),
    ] = None,
    genesis_time: Annotated[str | None, typer.Option(help="Unix seconds or ISO 8601 with a zone.")] = None,
    listing_time: Annotated[
        str | None, typer.Option(help="Start of line E1's locks: Unix seconds or ISO 8601 with a zone.")
    ] = None,
    unsold_e1: Annotated[str, typer.Option(help="IOEX of E1 without a buyer: they move to A.")] = "0",
    unsold_e2: Annotated[str, typer.Option(help="IOEX of E2 without a buyer: they move to A.")] = "0",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a network file with these beneficiaries, times and unsold amounts, and verify it."""
    unsold = {
        "E1": _amount(unsold_e1, "--unsold-e1"),
        "E2": _amount(unsold_e2, "--unsold-e2"),
    }
    times = (_time(genesis_time, "--genesis-time"), _time(listing_time, "--listing-time"))
    try:
        template = read_shipped(network) if network in NETWORKS else read_document(Path(network))
        grants = read_beneficiaries(beneficiaries) if beneficiaries else {}
        seats = read_consortium(consortium) if consortium else None
        document = build_document(template, grants, unsold, *times, consortium=seats)
        _check(to_spec(document, str(output)))
        _write_new(output, encode_document(document))
        spec = load_network_file(output)
    except IoexError as error:
        _fail(str(error), as_json)
    block_hash = display(genesis_block(spec).hash)
    if as_json:
        print(orjson.dumps({"file": str(output), "genesis_hash": block_hash}).decode())
    else:
        print(f"{output} written; genesis hash {block_hash}")


def _check(spec: NetworkSpec) -> None:
    """Check both genesis blocks. Raises WrongGenesis."""
    block = genesis_block(spec)
    check_genesis(spec, block)
    check_both_chains(spec, block)


def describe(spec: NetworkSpec) -> dict[str, Any]:
    """Give what `verify` reports, ready for JSON; amounts are decimal IOEX, times Unix seconds."""
    block = genesis_block(spec)
    return {
        "network": spec.name,
        "provisional": spec.token.provisional,
        "genesis_hash": display(block.hash),
        "merkle_root": display(block.header.merkle_root),
        "dpos_genesis_hash": genesis_hash(spec, block.hash).hex(),
        "network_id": identity_of(spec).hex(),
        "genesis_time": spec.pow.genesis_time,
        "listing_time": spec.token.listing_time,
        "bits": f"{spec.pow.genesis_bits:08x}",
        "supply": format_amount(spec.token.supply),
        "plan": [_line(spec, letter) for letter in PLAN],
        "calendar": [
            {"time": date.time, "amount": format_amount(date.amount), "total": format_amount(date.total)}
            for date in calendar(spec)
        ],
        "contracts": {name: checksum_account(address) for name, address in spec.contracts.addresses.items()},
        "dpos": _consortium(spec),
    }


def _consortium(spec: NetworkSpec) -> dict[str, Any]:
    balances = {checksum_account(row.address): row.wei for row in spec.dpos.accounts}
    balances[checksum_account(spec.contracts.node_rewards)] = node_rewards_balance(spec)
    return {
        "chain_id": spec.dpos.chain_id,
        "seats": spec.dpos.seats,
        "owner": checksum_account(spec.dpos.owner),
        "owner_keys": [checksum_account(key) for key in spec.dpos.owner_keys],
        "owner_quorum": spec.dpos.owner_quorum,
        "members": [
            {
                "key": checksum_account(member.key),
                "payout": checksum_account(member.payout),
                "operator": checksum_account(member.operator),
                "name": member.name,
            }
            for member in spec.dpos.members
        ],
        "balances": {
            address: format_amount(wei // WEI_PER_POW_UNIT) for address, wei in balances.items() if wei
        },
    }


def _line(spec: NetworkSpec, letter: str) -> dict[str, Any]:
    rows = [row for row in spec.token.allocations if row.plan == letter]
    return {
        "line": letter,
        "name": PLAN[letter].name,
        "amount": format_amount(sum(row.amount for row in rows)),
        "unsold": format_amount(spec.token.unsold.get(letter, 0)),
        "outputs": [
            {
                "amount": format_amount(row.amount),
                "beneficiary": row.beneficiary,
                "unlock_time": row.unlock_time,
            }
            for row in rows
        ],
    }


def _print_report(report: dict[str, Any]) -> None:
    console = Console(highlight=False)
    state = "provisional" if report["provisional"] else "final"
    console.print(f"[bold]{report['network']}[/bold] ({state})")
    for key in ("genesis_hash", "merkle_root", "dpos_genesis_hash", "network_id", "bits"):
        console.print(f"{key.replace('_', ' '):>17}  {report[key]}", soft_wrap=True)
    for key in ("genesis_time", "listing_time"):
        console.print(f"{key.replace('_', ' '):>17}  {_date(report[key])}")
    console.print(f"{'supply':>17}  {_grouped(report['supply'])} IOEX")
    consortium = report["dpos"]
    owners = f"{consortium['owner_quorum']} of {len(consortium['owner_keys'])} owners"
    console.print(f"{'first set':>17}  {len(consortium['members'])} of {consortium['seats']} seats, {owners}")
    on_dpos = sum(map(parse_amount, consortium["balances"].values()))
    console.print(f"{'on the DPoS chain':>17}  {_grouped(format_amount(on_dpos))} IOEX, backed to the unit")
    plan = Table("line", "for", _right("IOEX"), _right("outputs"), _right("last unlock"), title="Token plan")
    for line in report["plan"]:
        last = max((row["unlock_time"] for row in line["outputs"]), default=0)
        when = "bridge reserve" if line["line"] == NODE_REWARDS_LINE else _date(last)
        plan.add_row(line["line"], line["name"], _grouped(line["amount"]), str(len(line["outputs"])), when)
    dates = Table(
        "from",
        _right("unlocked"),
        _right("spendable in all"),
        title="Unlock calendar (without the bridge reserve)",
    )
    for date in report["calendar"]:
        dates.add_row(_date(date["time"]), _grouped(date["amount"]), _grouped(date["total"]))
    console.print(plan, dates)
    console.print("every sum, share and lock is as the token plan says")
    console.print("contracts, light client and first set are the same on both chains")


def _right(name: str) -> Column:
    return Column(name, justify="right")


def _grouped(amount: str) -> str:
    whole, _, part = amount.partition(".")
    return f"{int(whole):,}" + (f".{part}" if part else "")


def _date(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC") if time else "free"


def _amount(text: str, option: str) -> int:
    try:
        return parse_amount(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _time(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is neither Unix seconds nor ISO 8601", param_hint=option
        ) from error
    if moment.tzinfo is None:
        raise typer.BadParameter(f"{text!r} lacks a zone; write {text}Z for UTC", param_hint=option)
    return int(moment.timestamp())


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x") as file:
            file.write(text)
    except OSError as error:
        _fail(f"{path}: cannot be written: {error.strerror}; a file is never overwritten", as_json=False)


def _fail(message: str, as_json: bool) -> NoReturn:
    if as_json:
        print(orjson.dumps({"error": message}).decode())
    else:
        Console(stderr=True, highlight=False).print(f"ioex genesis: {message}", style="red", soft_wrap=True)
    raise typer.Exit(EXIT_INVALID)
