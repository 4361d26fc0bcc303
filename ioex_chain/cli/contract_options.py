"""Arguments of `ioex contract` that several of its commands take, and what they mean."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from ioex_chain.cli.options import Session
from ioex_chain.cli.wallet_session import WalletUsageError
from ioex_chain.crypto.address import checksum_account, parse_account
from ioex_chain.wallet.abi import Abi, parse_integer, read_abi
from ioex_chain.wallet.account_wallet import Node, check_chain
from ioex_chain.wallet.artefacts import load_artefact
from ioex_chain.wallet.compilers import Choices
from ioex_chain.wallet.contracts import Target
from ioex_chain.wallet.deployments import read_deployment

TAGS = ("latest", "safe", "finalized", "pending", "earliest")

Source = Annotated[Path, typer.Argument(help="Source, standard JSON, or artefact.")]
ArtefactFile = Annotated[
    Path | None, typer.Option("--source", "-s", help="Source or artefact to compare with.")
]
TargetText = Annotated[str, typer.Argument(help="Deployment record, or address 0x...")]
Arguments = Annotated[
    list[str] | None,
    typer.Argument(help="Arguments: 5, 0x.., 1.5ether, text; arrays and tuples as JSON. Put -- before -5."),
]
ContractName = Annotated[
    str | None, typer.Option("--contract", help="Which contract of the file: Name or file:Name.")
]
Libraries = Annotated[list[str] | None, typer.Option(help="Address of a library: NAME=0x...")]
Record = Annotated[
    Path | None,
    typer.Option(help="Where the record goes; deployments/NETWORK/CONTRACT.json by default."),
]
AbiFile = Annotated[Path | None, typer.Option(help="ABI, or an artefact that has it.")]
Block = Annotated[str, typer.Option(help=f"Block: {', '.join(TAGS)}, or a number.")]
EvmVersion = Annotated[str, typer.Option(help="What the compiler targets.")]
OptimizerRuns = Annotated[int, typer.Option(help="Solidity's optimizer; 0 switches it off.", min=0)]
Solc = Annotated[str | None, typer.Option(help="Solidity compiler: a program, or a folder with npm's solc.")]


def choices(evm_version: str, optimizer_runs: int, solc: str | None) -> Choices:
    """Give what the options choose for a compilation."""
    return Choices(evm_version, optimizer_runs, solc)


def default_record(session: Session, contract: str) -> Path:
    """Give the place of a record that was not named."""
    return Path("deployments", session.config.network, f"{contract}.json")


def block_tag(text: str) -> str:
    """Read a tag, a block's number or hash. Raises WalletUsageError."""
    if text in TAGS:
        return text
    value = parse_integer(text)
    if value is None or value < 0:
        raise WalletUsageError(f"a block is a number or one of {', '.join(TAGS)}, not {text!r}")
    return hex(value)


def target_of(session: Session, node: Node, text: str, abi: Path | None) -> Target:
    """Find a contract by its record or its address. Raises WrongChain, DeploymentDamaged, InvalidAddress."""
    check_chain(node, session.spec().dpos.chain_id)
    if Path(text).is_file():
        record = read_deployment(Path(text))
        check_chain(node, record.chain_id)
        check_genesis(node, record.genesis_hash, text)
        return Target(record.address, read_abi_file(abi) if abi else record.abi)
    if not text.startswith("0x"):
        raise WalletUsageError(f"there is no deployment record {text}, and it is no address 0x...")
    return Target(checksum_account(parse_account(text)), read_abi_file(abi) if abi else ())


def check_genesis(node: Node, genesis_hash: str, record: str) -> None:
    """Refuse a record of a devnet that was thrown away. Raises WalletUsageError."""
    found = node.call("eth_getBlockByNumber", "0x0", False)["hash"]
    if found != genesis_hash:
        raise WalletUsageError(
            f"{record} belongs to another chain with the same id (a devnet of before?): "
            f"its genesis is {genesis_hash}, the node's {found}"
        )


def read_abi_file(path: Path) -> Abi:
    """Read an ABI: an array, or an artefact or record that holds one. Raises InvalidAbi, NotAnArtefact."""
    try:
        value = orjson.loads(path.read_bytes())
    except OSError as error:
        raise WalletUsageError(f"{path} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise WalletUsageError(f"{path} is not JSON") from error
    if isinstance(value, list):
        return read_abi(value)
    if isinstance(value, dict) and "abi" in value:
        return read_abi(value["abi"])
    return load_artefact(path).abi
