"""`ioex contract`: compile, deploy, call, send and verify contracts on the DPoS chain."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from ioex_chain.cli.contract_options import (
    AbiFile,
    Arguments,
    ArtefactFile,
    Block,
    ContractName,
    EvmVersion,
    Libraries,
    OptimizerRuns,
    Record,
    Solc,
    Source,
    TargetText,
    block_tag,
    choices,
    default_record,
    target_of,
)
from ioex_chain.cli.dpos_node import (
    KeyOptions,
    NoWait,
    TermOptions,
    Value,
    WaitOptions,
    account_wallet,
    number,
    open_node,
)
from ioex_chain.cli.dpos_url import SETTINGS
from ioex_chain.cli.options import EXIT_FAILED, Session, command, out, progress
from ioex_chain.cli.wallet_session import WalletUsageError
from ioex_chain.crypto.address import checksum_account, parse_account
from ioex_chain.wallet.account_wallet import check_chain
from ioex_chain.wallet.artefacts import Artefact, parse_libraries
from ioex_chain.wallet.compilers import compile_source
from ioex_chain.wallet.contracts import Plan, call, code_at, deploy, finish, outcome, send
from ioex_chain.wallet.deployments import Deployment, compare_with_record, read_deployment
from ioex_chain.wallet.keystore import create_file
from ioex_chain.wallet.verification import Verdict, verify

app = typer.Typer(no_args_is_help=True, help="Compile, deploy, call and verify contracts on the DPoS chain.")


@app.command("compile")
@command()
def compile_(
    session: Session,
    source: Source,
    contract: ContractName = None,
    evm_version: EvmVersion = "prague",
    optimizer_runs: OptimizerRuns = 200,
    solc: Solc = None,
    output: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the artefact here; it must not exist.")
    ] = None,
) -> None:
    """Compile a contract, and print its artefact or write it (in Hardhat's form)."""
    artefact = compile_source(source, contract, choices(evm_version, optimizer_runs, solc))
    document = artefact.document()
    if output is None:
        session.show(document)
        return
    create_file(output, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    facts = {"artefact": str(output), **_facts(artefact)}
    session.show(facts, lambda: out.print(f"{artefact.name}: {facts['code_bytes']} bytes, in {output}"))


def _facts(artefact: Artefact) -> dict[str, Any]:
    return {
        "contract": artefact.name,
        "code_bytes": len(artefact.runtime) // 2,
        "compiler": dict(artefact.compiler),
        "source_hash": artefact.source_hash,
    }


@app.command("deploy")
@command(*SETTINGS)
def deploy_(
    session: Session,
    source: Source,
    signing: KeyOptions,
    fixed: TermOptions,
    wait: WaitOptions,
    arguments: Arguments = None,
    contract: ContractName = None,
    value: Value = "0",
    library: Libraries = None,
    record: Record = None,
    no_wait: NoWait = False,
    evm_version: EvmVersion = "prague",
    optimizer_runs: OptimizerRuns = 200,
    solc: Solc = None,
) -> None:
    """Deploy a contract, wait until it is final, and write a deployment record.

    SOURCE is Vyper (.vy), Solidity (.sol), standard JSON, or an artefact of Hardhat or Foundry.
    """
    artefact = compile_source(source, contract, choices(evm_version, optimizer_runs, solc))
    plan = Plan(
        artefact,
        tuple(arguments or ()),
        number(value, "--value") or 0,
        parse_libraries(library or []),
        fixed.terms(),
        session.config.network,
    )
    plan.code()  # what is wrong with the arguments is said before a password is asked
    path = record or default_record(session, artefact.name)
    key = signing.open(session)
    with account_wallet(session, key) as sender:
        sent = deploy(sender, plan, path)
        progress(session, f"sent {sent.transaction_hash}, {sent.contract} will be at {sent.address}")
        if not no_wait:
            sent = finish(sender.node, path, sent, wait.patience())
    _show_deployment(session, path, sent)


@app.command("wait")
@command(*SETTINGS)
def wait_(
    session: Session,
    record: Annotated[Path, typer.Argument(help="Deployment record.")],
    wait: WaitOptions,
) -> None:
    """Finish a deployment whose record says `sent` or `mined`: wait, and complete the record."""
    found = read_deployment(record)
    with open_node(session) as node:
        check_chain(node, found.chain_id)
        found = finish(node, record, found, wait.patience())
    _show_deployment(session, record, found)


def _show_deployment(session: Session, path: Path, found: Deployment) -> None:
    facts = {"record": str(path), **_without_abi(found)}

    def text() -> None:
        print(found.address)
        if not session.quiet:
            progress(session, f"{found.contract} is {found.state}; record in {path}")

    session.show(facts, text)


def _without_abi(found: Deployment) -> dict[str, Any]:
    value: dict[str, Any] = orjson.loads(found.encode())
    del value["abi"]
    return value


@app.command("call")
@command(*SETTINGS)
def call_(
    session: Session,
    target: TargetText,
    function: Annotated[
        str, typer.Argument(help="Name, or signature such as 'balanceOf(address)(uint256)'.")
    ],
    arguments: Arguments = None,
    abi: AbiFile = None,
    sender: Annotated[str | None, typer.Option("--from", help="Address that calls.")] = None,
    value: Value = "0",
    block: Block = "latest",
) -> None:
    """Ask a function of a contract, without a transaction, and print what it returns."""
    with open_node(session) as node:
        place = target_of(session, node, target, abi)
        caller = checksum_account(parse_account(sender)) if sender else None
        answer = call(
            node,
            place,
            function,
            arguments or (),
            sender=caller,
            value=number(value, "--value") or 0,
            block=block_tag(block),
        )
    shown = answer[0] if len(answer) == 1 else answer
    session.show({"result": shown}, lambda: _print_values(answer))


def _print_values(values: list[Any]) -> None:
    for one in values:
        print(one if isinstance(one, str) else orjson.dumps(one).decode())


@app.command("send")
@command(*SETTINGS)
def send_(
    session: Session,
    target: TargetText,
    function: Annotated[str, typer.Argument(help="Name or signature of the function.")],
    signing: KeyOptions,
    fixed: TermOptions,
    wait: WaitOptions,
    arguments: Arguments = None,
    abi: AbiFile = None,
    value: Value = "0",
    no_wait: NoWait = False,
) -> None:
    """Send a transaction to a function of a contract, wait until it is final, and print its events."""
    key = signing.open(session)
    with account_wallet(session, key) as sender:
        place = target_of(session, sender.node, target, abi)
        transaction = send(
            sender,
            place,
            function,
            arguments or (),
            value=number(value, "--value") or 0,
            terms=fixed.terms(),
        )
        progress(session, f"sent {transaction}")
        if no_wait:
            session.show({"transaction_hash": transaction}, lambda: print(transaction))
            return
        settled = sender.settle(transaction, wait.patience(), place.abi)
    facts = outcome(settled, place.abi)
    session.show(facts, lambda: _print_outcome(facts))


def _print_outcome(facts: dict[str, Any]) -> None:
    print(facts["transaction_hash"])
    how = "final" if facts["finalized"] else "mined"
    out.print(f"{how} in block {facts['block_number']}, gas {facts['gas_used']}", highlight=False)
    for event in facts["events"]:
        if "event" in event:
            words = ", ".join(f"{name}={value}" for name, value in event["arguments"].items())
            out.print(f"event {event['event']}({words})", highlight=False, markup=False, soft_wrap=True)


@app.command("verify")
@command(*SETTINGS)
def verify_(
    session: Session,
    target: TargetText,
    source: ArtefactFile = None,
    contract: ContractName = None,
    library: Libraries = None,
    transaction: Annotated[
        str | None, typer.Option(help="The creating transaction; a record knows it.")
    ] = None,
    block: Block = "latest",
    evm_version: EvmVersion = "prague",
    optimizer_runs: OptimizerRuns = 200,
    solc: Solc = None,
) -> None:
    """Compare the code at an address with a source or an artefact, and say exactly what is equal.

    With a record and no SOURCE: is what was deployed still what stands there? Exits with 1 if it is not.
    """
    with open_node(session) as node:
        found = read_deployment(Path(target)) if Path(target).is_file() else None
        place = target_of(session, node, target, None)
        code = code_at(node, place.address, block_tag(block))
        if source is None:
            facts = compare_with_record(_known(found), code)
        else:
            artefact = compile_source(source, contract, choices(evm_version, optimizer_runs, solc))
            given = transaction or (found.transaction_hash if found else None)
            ran = node.call("eth_getTransactionByHash", given) if given else None
            libraries = parse_libraries(library or []) or {
                name: parse_account(one) for name, one in (found.libraries if found else {}).items()
            }
            facts = _verdict(verify(artefact, code, _input(ran), libraries))
    facts = {"address": place.address, **facts}
    session.show(facts, lambda: _print_verdict(facts))
    if not facts["verified"]:
        raise SystemExit(EXIT_FAILED)


def _known(found: Deployment | None) -> Deployment:
    if found is None:
        raise WalletUsageError("give the source or artefact to compare with: --source FILE")
    return found


def _input(transaction: dict[str, Any] | None) -> bytes | None:
    """Give what a creating transaction ran; one that calls a factory tells nothing."""
    if transaction is None or transaction.get("to") is not None:
        return None
    return bytes.fromhex(transaction["input"][2:])


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "verified": verdict.is_verified,
        "match": verdict.match,
        "metadata": verdict.metadata,
        "creation": verdict.creation,
        "constructor_arguments": verdict.constructor_arguments,
        "immutables": dict(verdict.immutables),
        "code_hash": verdict.code_hash,
        "notes": list(verdict.notes),
    }


def _print_verdict(facts: dict[str, Any]) -> None:
    print("verified" if facts["verified"] else "NOT verified")
    for name, value in facts.items():
        if name not in ("verified", "notes") and value not in (None, {}, ()):
            out.print(f"  {name}: {value}", highlight=False, markup=False, soft_wrap=True)
    for note in facts["notes"]:
        out.print(f"  {note}", highlight=False, markup=False, soft_wrap=True)
