"""Deployment records: what was deployed, by which transaction, from which source, and how final it is.

A record is written before its transaction is sent, so that a crash never loses the hash, and completed
afterwards. It is never written over, but by its own completion or when its transaction failed.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.wallet.abi import read_abi
from ioex_chain.wallet.contract_errors import DeploymentDamaged, DeploymentExists, InvalidAbi
from ioex_chain.wallet.errors import KeystoreExists
from ioex_chain.wallet.keystore import create_file, replace_file

FORMAT = "ioex-deployment"
VERSION = 1
MAX_FILE = 64 * 1024 * 1024
SENT, MINED, FINAL, FAILED = "sent", "mined", "final", "failed"
STATES = (SENT, MINED, FINAL, FAILED)
"""`sent`: no block seen yet; `mined`: in a block; `final`: in a finalised block; `failed`: it reverted."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment. Hashes and addresses are 0x text, amounts wei as decimal text."""

    contract: str
    state: str
    network: str
    chain_id: int
    genesis_hash: str
    address: str
    transaction_hash: str
    deployer: str
    nonce: int
    value: str
    abi: list[dict[str, Any]]
    constructor_arguments: list[Any]
    """As they were understood, readable."""
    constructor_data: str
    """As they were encoded."""
    creation_code_hash: str
    """keccak256 of the code that the compiler gave, linked, without arguments."""
    runtime_code_hash: str | None = None
    """keccak256 of what stands at the address; None until it is in a block."""
    compiler: dict[str, Any] = field(default_factory=dict)
    source_name: str = ""
    source_hash: str | None = None
    libraries: dict[str, str] = field(default_factory=dict)
    block_number: int | None = None
    block_hash: str | None = None
    finalized_number: int | None = None
    """Height of the finalised block when this deployment was seen to be final."""
    finalized_hash: str | None = None
    gas_used: int | None = None
    effective_gas_price: str | None = None

    def encode(self) -> bytes:
        """Give the file's bytes."""
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        return orjson.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, option=options)


def read_deployment(path: Path) -> Deployment:
    """Read a record. Raises DeploymentDamaged."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise DeploymentDamaged(f"{path} is larger than any deployment record")
        value = orjson.loads(path.read_bytes())
    except OSError as error:
        raise DeploymentDamaged(f"{path} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise DeploymentDamaged(f"{path} is no deployment record: it is not JSON") from error
    if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
        raise DeploymentDamaged(f"{path} is no deployment record of ioex")
    if value.pop("version", None) != VERSION:
        raise DeploymentDamaged(f"{path} was written by a newer version of this program; upgrade")
    try:
        found = Deployment(**value)
        read_abi(found.abi)
    except (TypeError, InvalidAbi) as error:
        raise DeploymentDamaged(f"{path} is damaged: {error}") from error
    if found.state not in STATES:
        raise DeploymentDamaged(f"{path} is damaged: its state is {found.state!r}")
    return found


def check_free(path: Path) -> None:
    """Refuse a name that holds a record already, unless its transaction failed. Raises DeploymentExists."""
    if path.exists() and read_deployment(path).state != FAILED:
        known = read_deployment(path)
        more = f"; finish it with 'ioex contract wait {path}'" if known.state != FINAL else ""
        raise DeploymentExists(
            f"{path} records {known.contract} at {known.address} ({known.state}) and is not written over: "
            f"choose another --record{more}"
        )


def write_new(path: Path, deployment: Deployment) -> None:
    """Write a record under a free name, whole or not at all. Raises DeploymentExists."""
    check_free(path)
    if path.exists():  # its transaction failed
        replace_file(path, deployment.encode())
        return
    try:
        create_file(path, deployment.encode())
    except KeystoreExists as error:  # another process was quicker
        raise DeploymentExists(f"{path} exists and is not written over: choose another --record") from error


def complete(path: Path, deployment: Deployment, **changes: Any) -> Deployment:
    """Write what became of a record's own transaction."""
    done = replace(deployment, **changes)
    replace_file(path, done.encode())
    return done


def compare_with_record(deployment: Deployment, code: bytes) -> dict[str, Any]:
    """Tell whether the code that stands there is what was deployed, as JSON holds it."""
    found = "0x" + keccak256(code).hex()
    if deployment.runtime_code_hash is None:
        note = "the record does not know the deployed code yet; finish it with 'ioex contract wait'"
    elif found == deployment.runtime_code_hash:
        note = "the code is the one that the record was completed with; --source compares it with a source"
    else:
        note = f"the code differs from the record's, whose hash is {deployment.runtime_code_hash}"
    verified = found == deployment.runtime_code_hash
    return {
        "verified": verified,
        "match": "record" if verified else "none",
        "code_hash": found,
        "notes": [note],
    }
