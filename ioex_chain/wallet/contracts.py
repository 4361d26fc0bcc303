"""Contracts from the outside: deploy, call, send, each by a deployment record or an ABI."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rlp

from ioex_chain.crypto.address import checksum_account, parse_account
from ioex_chain.crypto.hashes import keccak256
from ioex_chain.wallet.abi import (
    Abi,
    Function,
    constructor,
    decode_log,
    decode_values,
    function,
    parse_signature,
)
from ioex_chain.wallet.account_wallet import (
    AccountWallet,
    Node,
    Patience,
    Settled,
    Terms,
    as_revert,
    call_object,
    settle,
)
from ioex_chain.wallet.artefacts import Artefact, libraries_text
from ioex_chain.wallet.contract_errors import (
    InvalidArgument,
    NoContract,
    NodeError,
    TransactionFailed,
)
from ioex_chain.wallet.deployments import (
    FAILED,
    FINAL,
    MINED,
    SENT,
    Deployment,
    check_free,
    complete,
    write_new,
)

MAX_INITCODE = 49_152
"""EIP-3860: bytes of creation code and arguments together."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to deploy and how."""

    artefact: Artefact
    arguments: Sequence[Any] = ()
    """Texts or JSON values, one per parameter of the constructor."""
    value: int = 0
    libraries: Mapping[str, bytes] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)
    network: str = ""

    def code(self) -> tuple[bytes, bytes, list[Any]]:
        """Give creation code, encoded arguments and their values.

        Raises NotDeployable, LibrariesMissing, WrongArgumentCount, InvalidArgument.
        """
        creation = self.artefact.creation_code(self.libraries)
        maker = constructor(self.artefact.abi)
        values = maker.arguments(self.arguments)
        data = maker.encode(values) if maker.inputs else b""
        if len(creation) + len(data) > MAX_INITCODE:
            raise InvalidArgument("code", "bytes", f"above {MAX_INITCODE} bytes with arguments (EIP-3860)")
        if self.value and maker.mutability != "payable":
            raise InvalidArgument("value", "wei", "the constructor is not payable")
        return creation, data, values


def created_address(sender: str, nonce: int) -> str:
    """Give the address of the contract that a sender's transaction of this nonce creates."""
    return checksum_account(keccak256(rlp.encode([parse_account(sender), nonce]))[12:])


def deploy(wallet: AccountWallet, plan: Plan, record: Path) -> Deployment:
    """Send a deployment; its record is on disk before the transaction leaves.

    Raises DeploymentExists, Reverted, WrongChain, NodeError and what `Plan.code` raises.
    """
    check_free(record)
    creation, data, _ = plan.code()
    fields = wallet.prepare(None, creation + data, plan.value, plan.terms, plan.artefact.abi)
    raw, transaction = wallet.sign(fields)
    deployment = _describe(wallet, plan, fields, transaction)
    write_new(record, deployment)
    try:
        wallet.send(raw)
    except NodeError:
        record.unlink(missing_ok=True)  # the node refused it: it was never sent
        raise
    return deployment


def _describe(wallet: AccountWallet, plan: Plan, fields: Mapping[str, Any], transaction: str) -> Deployment:
    creation, data, _ = plan.code()
    maker, one = constructor(plan.artefact.abi), plan.artefact
    return Deployment(
        contract=one.name,
        state=SENT,
        network=plan.network,
        chain_id=wallet.chain_id,
        genesis_hash=wallet.node.call("eth_getBlockByNumber", "0x0", False)["hash"],
        address=created_address(wallet.key.address, fields["nonce"]),
        transaction_hash=transaction,
        deployer=wallet.key.address,
        nonce=fields["nonce"],
        value=str(plan.value),
        abi=one.abi,
        constructor_arguments=decode_values(maker.inputs, data) if maker.inputs else [],
        constructor_data="0x" + data.hex(),
        creation_code_hash="0x" + keccak256(creation).hex(),
        compiler=dict(one.compiler),
        source_name=one.source_name,
        source_hash=one.source_hash,
        libraries=libraries_text(plan.libraries),
    )


def finish(
    node: Node,
    record: Path,
    deployment: Deployment,
    patience: Patience,
    sleep: Callable[[float], None] = time.sleep,
) -> Deployment:
    """Wait for a deployment and complete its record. Raises TransactionFailed, NotMinedYet, NoContract."""
    try:
        settled = settle(node, deployment.transaction_hash, patience, deployment.abi, sleep=sleep)
    except TransactionFailed:
        complete(record, deployment, state=FAILED)
        raise
    code = code_at(node, deployment.address)
    receipt = settled.receipt
    return complete(
        record,
        deployment,
        state=FINAL if settled.finalized else MINED,
        block_number=int(receipt["blockNumber"], 16),
        block_hash=receipt["blockHash"],
        finalized_number=settled.finalized["number"] if settled.finalized else None,
        finalized_hash=settled.finalized["hash"] if settled.finalized else None,
        gas_used=int(receipt["gasUsed"], 16),
        effective_gas_price=str(int(receipt.get("effectiveGasPrice") or "0x0", 16)),
        runtime_code_hash="0x" + keccak256(code).hex(),
    )


def code_at(node: Node, address: str, block: str = "latest") -> bytes:
    """Give the code at an address. Raises NoContract."""
    code = bytes.fromhex(node.call("eth_getCode", address, block)[2:])
    if not code:
        raise NoContract(f"there is no contract at {address} in block {block}; is this the right network?")
    return code


# --- calls and transactions ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """A contract: where it is, and its ABI if that is known."""

    address: str
    abi: Abi = ()

    def function(self, name: str) -> Function:
        """Find a function: by name or signature in the ABI, by signature without one.

        Raises NoSuchFunction, AmbiguousFunction, InvalidAbi.
        """
        return function(self.abi, name) if self.abi else parse_signature(name)


def call(
    node: Node,
    target: Target,
    name: str,
    arguments: Sequence[Any] = (),
    *,
    sender: str | None = None,
    value: int = 0,
    block: str = "latest",
) -> list[Any]:
    """Call a function without a transaction; give what it returns, as JSON holds it.

    Raises Reverted, NoContract, NodeError and what `Function.calldata` raises.
    """
    wanted = target.function(name)
    ask = call_object(sender, target.address, wanted.calldata(arguments), value)
    try:
        data = bytes.fromhex(node.call("eth_call", ask, block)[2:])
    except NodeError as error:
        raise as_revert(error, target.abi) from error
    if not data and wanted.outputs:
        code_at(node, target.address, block)
    return decode_values(wanted.outputs, data) if wanted.outputs else ["0x" + data.hex()] if data else []


def send(
    wallet: AccountWallet,
    target: Target,
    name: str,
    arguments: Sequence[Any] = (),
    *,
    value: int = 0,
    terms: Terms | None = None,
) -> str:
    """Send a transaction to a function; give its hash.

    Raises Reverted when it would fail, NoContract, WrongChain, NodeError, InvalidArgument.
    """
    wanted = target.function(name)
    if wanted.mutability in ("view", "pure"):
        raise InvalidArgument(name, "function", "only reads: ask it with 'ioex contract call'")
    if value and target.abi and wanted.mutability != "payable":
        raise InvalidArgument("value", "wei", f"{wanted.signature} is not payable")
    data = wanted.calldata(arguments)
    code_at(wallet.node, target.address)
    raw, _ = wallet.sign(wallet.prepare(target.address, data, value, terms, target.abi))
    return wallet.send(raw)


def outcome(settled: Settled, abi: Abi = ()) -> dict[str, Any]:
    """Give what a settled transaction did, as JSON holds it; events in words where the ABI knows them."""
    receipt = settled.receipt
    return {
        "transaction_hash": receipt["transactionHash"],
        "block_number": int(receipt["blockNumber"], 16),
        "block_hash": receipt["blockHash"],
        "status": int(receipt["status"], 16),
        "gas_used": int(receipt["gasUsed"], 16),
        "fee": str(int(receipt["gasUsed"], 16) * int(receipt.get("effectiveGasPrice") or "0x0", 16)),
        "finalized": settled.finalized,
        "events": [_event(log, abi) for log in receipt["logs"]],
    }


def _event(log: Mapping[str, Any], abi: Abi) -> dict[str, Any]:
    topics = [bytes.fromhex(one[2:]) for one in log["topics"]]
    known = decode_log(abi, topics, bytes.fromhex(log["data"][2:])) or {
        "topics": log["topics"],
        "data": log["data"],
    }
    return {"address": checksum_account(parse_account(log["address"])), **known}
