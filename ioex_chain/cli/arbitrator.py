"""Commands of `ioex arbitrator`: a signing key, and its place in the registry."""

import secrets
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ioex_chain.cli.arbitrator_state import chain_facts, evidence_of, show_chain
from ioex_chain.cli.dpos_node import KeyOptions, WaitOptions, account_wallet, carry_out, open_node
from ioex_chain.cli.dpos_url import SETTINGS
from ioex_chain.cli.options import Session, command, out
from ioex_chain.cli.wallet_session import PasswordFile, WalletUsageError, read_password, read_text, sealer
from ioex_chain.crypto.address import checksum_account, parse_account
from ioex_chain.crypto.secp256k1 import InvalidKey, public_key
from ioex_chain.evm.types import WEI
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.wallet.account_wallet import DposKey, check_chain
from ioex_chain.wallet.arbitrators import Consent, Partner, consent, partner, partners, registry
from ioex_chain.wallet.errors import InvalidPrivateKey
from ioex_chain.wallet.files import read_key_file
from ioex_chain.wallet.hd import dpos_address, parse_private_key
from ioex_chain.wallet.keystore import write_document

SigningKey = Annotated[Path, typer.Argument(help="Keystore of the signing key.")]
SigningPassword = Annotated[
    Path | None, typer.Option("--key-password-file", help="Password of the signing key's keystore.")
]


def registry_address(spec: NetworkSpec) -> bytes:
    """Give the fixed 20-byte address of ArbitratorRegistry."""
    return spec.contracts.addresses["ArbitratorRegistry"]


@command()
def init(
    session: Session,
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The keystore; arbitrator-ADDRESS.json in the network's folder."),
    ] = None,
    operator: Annotated[
        str | None, typer.Option(help="Account that will register the key: prints the key's consent.")
    ] = None,
    import_file: Annotated[
        Path | None, typer.Option("--import", help="Take the key in this file (hex), not a new one.")
    ] = None,
    password_file: PasswordFile = None,
) -> None:
    """Make a signing key in an encrypted keystore, and say what to send to the consortium's owner.

    One key serves in one node: its journal of what was signed lies in that node's data directory.
    """
    owner = parse_account(operator) if operator else None
    private = _private(import_file)
    address = dpos_address(private)
    path = output or session.datadir.path / f"arbitrator-{checksum_account(address)}.json"
    password = read_password(password_file, new=True, what="Password of the new keystore")
    write_document(path, sealer().key_document(private, address, password))
    facts: dict[str, Any] = {"key": checksum_account(address), "keystore": str(path)}
    if owner is not None:
        facts["operator"] = checksum_account(owner)
        facts["consent"] = _consent(session, private, owner).plain()
    session.show(facts, lambda: _print_new(facts))


def _private(file: Path | None) -> bytes:
    if file is not None:
        private = parse_private_key(read_text(file)).private
        try:
            public_key(private)
        except InvalidKey as error:
            raise InvalidPrivateKey("a private key is between 1 and the group order less 1") from error
        return private
    while True:
        private = secrets.token_bytes(32)
        try:
            public_key(private)
        except InvalidKey:
            continue  # beyond the group order: once in 2^128
        return private


def _consent(session: Session, private: bytes, operator: bytes) -> Consent:
    spec = session.spec()
    return consent(private, spec.dpos.chain_id, registry_address(spec), operator)


def _print_new(facts: dict[str, Any]) -> None:
    lines = [
        f"signing key  {facts['key']}",
        f"keystore     {facts['keystore']}   (back it up with its password)",
        "",
        "1. Send the consortium's owner the address of your operator account: it admits partners.",
        f"2. Register the key:  ioex arbitrator register {facts['keystore']} --payout 0x.. --wallet NAME",
        f"3. Run the node:      ioex arbitrator run --arbitrator-keys {facts['keystore']} \\",
        "                          --arbitrator-password-file FILE",
    ]
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)


@command(*SETTINGS)
def status(
    session: Session,
    who: Annotated[
        str | None, typer.Argument(help="Signing key, operator, or number; everybody without it.")
    ] = None,
) -> None:
    """Show how the chain stands, and the partners of the registry or one of them."""
    spec = session.spec()
    with open_node(session) as client:
        check_chain(client, spec.dpos.chain_id)
        place = registry(registry_address(spec))
        facts = chain_facts(client)
        found = [partner(client, place, who)] if who else partners(client, place)
    now = int(time.time())

    def text() -> None:
        show_chain(facts)
        out.print(_table(found))
        if who:
            out.print(found[0].advice(now), highlight=False, soft_wrap=True)

    session.show({**facts, "partners": [_plain(one, now) for one in found]}, text)


def _plain(one: Partner, now: int) -> dict[str, Any]:
    return {**one.plain(), "advice": one.advice(now)}


def _table(found: list[Partner]) -> Table:
    table = Table(
        "no", "name", "key", "votes (IOEX)", "state", "produced", "missed", box=None, pad_edge=False
    )
    for one in found:
        state = "jailed" if one.jailed else "standby" if one.standby else "" if one.eligible else "not ranked"
        votes = f"{one.votes / WEI:,.0f}"
        table.add_row(
            str(one.number), one.name, one.key or "-", votes, state, str(one.produced), str(one.missed)
        )
    return table


@command(*SETTINGS)
def jail(
    session: Session,
    who: Annotated[str, typer.Argument(help="Signing key (present or former), operator, or number.")],
) -> None:
    """Show whether a partner is in jail, since which evidence, until when, and what to do."""
    spec = session.spec()
    with open_node(session) as client:
        check_chain(client, spec.dpos.chain_id)
        place = registry(registry_address(spec))
        found = partner(client, place, who)
        evidence = evidence_of(client, place, found.number)
    advice = found.advice(int(time.time()))
    facts: dict[str, Any] = {"number": found.number, "name": found.name, "jailed": found.jailed}
    facts |= {"release_time": found.release_time, "key": found.key, "advice": advice, "evidence": evidence}

    def text() -> None:
        out.print(f"{found.name or found.number}: {advice}", highlight=False, soft_wrap=True)
        for item in evidence:
            where = f"in block {item['block']}" if item["block"] is not None else "in no block yet"
            out.print(f"key {item['key']} gave two {item['kind']}s, {where}", highlight=False, soft_wrap=True)

    session.show(facts, text)


@command(*SETTINGS)
def register(
    session: Session,
    signing: SigningKey,
    payout: Annotated[str, typer.Option(help="Address that fees and rewards go to.")],
    key: KeyOptions,
    wait: WaitOptions,
    key_password_file: SigningPassword = None,
) -> None:
    """Give the registry a signing key and a payout address, from the admitted operator account."""
    pays = checksum_account(parse_account(payout))
    operator = key.open(session)
    agreed = _agreed(session, signing, key_password_file, operator)
    arguments = [agreed.key, pays, *agreed.arguments()]
    _send(session, operator, "register", arguments, wait)


@command(*SETTINGS)
def rotate_key(
    session: Session,
    signing: SigningKey,
    key: KeyOptions,
    wait: WaitOptions,
    key_password_file: SigningPassword = None,
) -> None:
    """Change the signing key: the new one serves from the next set read on, the old one until then.

    Keep the node with the old key running until the new set is in force; a node may hold both keys.
    """
    operator = key.open(session)
    agreed = _agreed(session, signing, key_password_file, operator)
    _send(session, operator, "setKey", [agreed.key, *agreed.arguments()], wait)


@command(*SETTINGS)
def standby(
    session: Session,
    state: Annotated[str, typer.Argument(help="on leaves the ranking, off comes back to it.")],
    key: KeyOptions,
    wait: WaitOptions,
) -> None:
    """Leave the ranking for a while, or come back to it; from the operator account."""
    if state not in ("on", "off"):
        raise WalletUsageError(f"standby is on or off, not {state!r}")
    operator = key.open(session)
    _send(session, operator, "setStandby", ["true" if state == "on" else "false"], wait)


def _agreed(session: Session, signing: Path, password_file: Path | None, operator: DposKey) -> Consent:
    """Open the signing key and let it agree to serve the operator."""
    what = f"Password of {signing.name}"
    private = read_key_file(signing, lambda: read_password(password_file, what=what))
    return _consent(session, private, parse_account(operator.address))


def _send(
    session: Session,
    operator: DposKey,
    function: str,
    arguments: list[str],
    wait: WaitOptions,
) -> None:
    """Send a word of the operator to the registry and wait until it is final."""
    place = registry(registry_address(session.spec()))
    with account_wallet(session, operator) as sender:
        facts = carry_out(session, sender, place, function, arguments, wait.patience())
    done = f"{function} is in block {facts['block_number']}; it counts from the next set read on"
    session.show(facts, lambda: out.print(done, highlight=False, soft_wrap=True))
