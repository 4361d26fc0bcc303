"""`ioex rewards`: what arbitrators and owners of nodes have earned, and the claims."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.table import Table

from ioex_chain.cli.bridge import take_off
from ioex_chain.cli.bridge_text import ioex
from ioex_chain.cli.dpos_node import (
    KeyOptions,
    Timeout,
    account_wallet,
    carry_out,
    open_node,
)
from ioex_chain.cli.dpos_url import SETTINGS
from ioex_chain.cli.options import Session, command, out
from ioex_chain.cli.wallet_session import WalletUsageError
from ioex_chain.crypto.address import checksum_account, parse_account
from ioex_chain.evm.contribution import NODE_REGISTRY, NODE_REWARDS, WORKLOAD
from ioex_chain.evm.types import WEI_PER_POW_UNIT
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.wallet.account_wallet import AccountWallet, Patience, Terms, check_chain
from ioex_chain.wallet.arbitrators import registry
from ioex_chain.wallet.bridge import payout_script
from ioex_chain.wallet.contracts import Target
from ioex_chain.wallet.rewards import (
    KeyRewards,
    NodeDue,
    NothingToClaim,
    claimed_in,
    claims_of,
    due_to_nodes,
    key_rewards,
    node_claims,
    nodes_of,
    system_contract,
)

app = typer.Typer(no_args_is_help=True, help="See and claim what arbitrators and nodes have earned.")

Who = Annotated[str, typer.Argument(help="Signing key (present or former), operator, or partner number.")]
WithdrawTo = Annotated[
    str | None, typer.Option(help="Withdraw what was claimed to this PoW address at once.")
]
Epochs = Annotated[int, typer.Option(help="How many of the newest epochs to look at.", min=1, max=360)]


def _place(spec: NetworkSpec, name: str) -> Target:
    return system_contract(name, spec.contracts.addresses[name])


@app.command()
@command(*SETTINGS)
def pool(session: Session) -> None:
    """Show what the arbitrators' pool has, has paid and owes."""
    with open_node(session) as node:
        check_chain(node, session.spec().dpos.chain_id)
        found = node.call("ioex_getRewardPool")
    names = ("balance", "income", "accrued", "claimed", "forfeited", "unclaimed", "debt")

    def text() -> None:
        for name in names:
            out.print(f"{name:<12}{ioex(found[name]):>34}", highlight=False)

    session.show(found, text)


@app.command()
@command(*SETTINGS)
def show(session: Session, who: Who) -> None:
    """Show what an arbitrator's key has earned, term by term, and what a claim would pay now."""
    spec = session.spec()
    with open_node(session) as node:
        check_chain(node, spec.dpos.chain_id)
        found = key_rewards(node, registry(spec.contracts.addresses["ArbitratorRegistry"]), who)
    session.show(found.plain(), lambda: _print_key(found))


def _print_key(found: KeyRewards) -> None:
    out.print(f"key {found.key}, paid out to {found.payout or 'nobody yet'}", highlight=False, soft_wrap=True)
    table = Table("term", "earned", "paid", "claimable", box=None, pad_edge=False)
    for term, earned, paid, due in found.terms[-20:]:
        mark = " (open)" if term >= found.open_term else ""
        table.add_row(f"{term}{mark}", ioex(hex(earned)), ioex(hex(paid)), ioex(hex(due)))
    out.print(table)
    words = {"earned": found.earned, "claimed": found.paid, "claimable": found.claimable}
    words |= {"owed, not in the pool yet": found.owed, "in the open term": found.open}
    for name, amount in words.items():
        out.print(f"{name:<28}{ioex(hex(amount))}", highlight=False)


@app.command()
@command(*SETTINGS)
def claim(
    session: Session,
    who: Who,
    signing: KeyOptions,
    withdraw_to: WithdrawTo = None,
    timeout: Timeout = 3_600.0,
) -> None:
    """Claim an arbitrator's rewards. They go to the key's payout address, whoever signs the claim."""
    spec = session.spec()
    place, script = _place(spec, "RewardPool"), _script(spec, withdraw_to)
    key = signing.open(session)
    with account_wallet(session, key) as sender:
        found = key_rewards(sender.node, registry(spec.contracts.addresses["ArbitratorRegistry"]), who)
        if script is not None and found.payout != key.address:
            raise WalletUsageError(
                f"the claim goes to {found.payout}; sign with that account's key to withdraw it from there"
            )
        calls = [("claim", [found.key, _list(terms)]) for terms in claims_of(found)]
        facts = _claim(session, sender, place, calls, script, timeout)
    _show_claimed(session, facts)


@app.command()
@command(*SETTINGS)
def nodes(
    session: Session,
    owner: Annotated[str, typer.Argument(help="Account that owns the nodes: 0x...")],
    epochs: Epochs = 30,
) -> None:
    """Show what an owner's nodes may claim of the node rewards plan."""
    with open_node(session) as node:
        check_chain(node, session.spec().dpos.chain_id)
        numbers, due = _due(session.spec(), node, checksum_account(parse_account(owner)), epochs)
    total = sum(one.amount for one in due)

    def text() -> None:
        for one in due:
            out.print(f"epoch {one.epoch}  node {one.node}  {ioex(hex(one.amount))}", highlight=False)
        out.print(f"{ioex(hex(total))} to claim; nodes: {len(numbers)}", highlight=False)

    session.show({"nodes": numbers, "due": [one.plain() for one in due], "total": str(total)}, text)


def _due(spec: NetworkSpec, node: Any, owner: str, epochs: int) -> tuple[list[int], list[NodeDue]]:
    numbers = nodes_of(node, _place(spec, NODE_REGISTRY), owner)
    plan, work = _place(spec, NODE_REWARDS), _place(spec, WORKLOAD)
    return numbers, due_to_nodes(node, plan, work, numbers, epochs)


@app.command("claim-nodes")
@command(*SETTINGS)
def claim_nodes(
    session: Session,
    signing: KeyOptions,
    epochs: Epochs = 30,
    withdraw_to: WithdrawTo = None,
    timeout: Timeout = 3_600.0,
) -> None:
    """Claim what the signing account's nodes have earned; it is paid to that account."""
    spec = session.spec()
    script = _script(spec, withdraw_to)
    key = signing.open(session)
    with account_wallet(session, key) as sender:
        numbers, due = _due(spec, sender.node, key.address, epochs)
        if not numbers:
            raise NothingToClaim(f"NodeRegistry knows no node of {key.address}")
        calls = [("claim", [str(epoch), _list(part)]) for epoch, part in node_claims(due)]
        facts = _claim(session, sender, _place(spec, NODE_REWARDS), calls, script, timeout)
    _show_claimed(session, facts)


def _script(spec: NetworkSpec, address: str | None) -> bytes | None:
    return None if address is None else payout_script(spec, address)


def _list(numbers: Iterable[int]) -> str:
    return "[" + ",".join(map(str, numbers)) + "]"


def _claim(
    session: Session,
    sender: AccountWallet,
    place: Target,
    calls: list[tuple[str, list[str]]],
    script: bytes | None,
    timeout: float,
) -> dict[str, Any]:
    """Send claims one after the other; then withdraw the sum, if a script is given."""
    patience = Patience(1, timeout)
    done = [carry_out(session, sender, place, name, arguments, patience) for name, arguments in calls]
    claimed = sum(claimed_in(one) for one in done)
    facts: dict[str, Any] = {"claimed": str(claimed), "transactions": done}
    if script is not None:
        value = claimed - claimed % WEI_PER_POW_UNIT
        if value < session.spec().bridge.min_withdrawal * WEI_PER_POW_UNIT:
            raise WalletUsageError(f"{ioex(hex(claimed))} were claimed: too little to be withdrawn")
        facts |= take_off(session, sender, script, value, Terms(), 1, timeout)
    return facts


def _show_claimed(session: Session, facts: dict[str, Any]) -> None:
    words = f"claimed {ioex(hex(int(facts['claimed'])))}"
    if "withdrawal" in facts:
        words += f", withdrawn as number {int(facts['withdrawal']['number'], 16)}"
    session.show(facts, lambda: out.print(words, highlight=False, soft_wrap=True))
