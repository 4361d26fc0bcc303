"""An account of the DPoS chain: fees, nonce, gas, signature, and waiting until a transaction is final.

A client of a node like any other: it knows the chain by Ethereum's JSON-RPC alone, and keys never leave it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ioex_chain.crypto.address import checksum_account
from ioex_chain.crypto.hashes import keccak256
from ioex_chain.wallet.abi import Abi, revert_reason
from ioex_chain.wallet.contract_errors import (
    NodeError,
    NotMinedYet,
    Reverted,
    TransactionFailed,
    WrongChain,
)
from ioex_chain.wallet.hd import dpos_address
from ioex_chain.wallet.keystore import Secret

METHOD_NOT_FOUND = -32601
EXECUTION_REVERTED = 3
FEE_BLOCKS = 20
"""Recent blocks whose tips are looked at."""
GAS_MARGIN = (12, 10)
"""An estimate is taken times 1.2: state may change until the transaction is in a block."""
POLL_SECONDS = 0.5


class Node(Protocol):
    """A node's JSON-RPC. Raises NodeError for an answered error."""

    def call(self, method: str, /, *params: object) -> Any:
        """Call one method and give its result."""
        ...


class DposKey:
    """A private key of the DPoS chain. Never prints it."""

    __slots__ = ("_secret", "address")

    def __init__(self, private: bytes) -> None:
        self._secret = Secret(private)
        self.address = checksum_account(dpos_address(private))

    def sign(self, fields: dict[str, Any]) -> tuple[bytes, str]:
        """Sign a transaction of type 0 or 2; give its EIP-2718 bytes and its hash as 0x text."""
        from eth_account import Account  # a second to import: only when something is signed

        raw = bytes(Account.sign_transaction(fields, self._secret.reveal()).raw_transaction)
        return raw, "0x" + keccak256(raw).hex()

    def sign_text(self, text: str) -> str:
        """Sign a text as wallets do (EIP-191); give the 65 bytes as 0x text."""
        from eth_account import Account
        from eth_account.messages import encode_defunct

        signed = Account.sign_message(encode_defunct(text=text), self._secret.reveal())
        return "0x" + bytes(signed.signature).hex()

    def __repr__(self) -> str:
        return f"<DposKey {self.address}>"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a user fixed about a transaction; None is chosen by the wallet. Prices in wei per gas."""

    gas: int | None = None
    max_fee: int | None = None
    priority_fee: int | None = None
    nonce: int | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait. `confirmations` None asks for finality, a number for so many blocks."""

    confirmations: int | None = None
    timeout: float = 300.0


@dataclass(frozen=True, slots=True)
class Settled:
    """A transaction in a block. `finalized` is the block that was final when it was seen to be."""

    receipt: dict[str, Any]
    finalized: dict[str, Any] | None


@dataclass(slots=True)
class AccountWallet:
    """One key and a node. `chain_id` is what the user chose; a node of another chain is refused."""

    node: Node
    key: DposKey
    chain_id: int
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic
    _checked: bool = field(default=False, init=False)

    def prepare(
        self, to: str | None, data: bytes, value: int = 0, terms: Terms | None = None, abi: Abi = ()
    ) -> dict[str, Any]:
        """Give a transaction's fields, ready to be signed: EIP-1559, or type 0 where the node has no fees.

        Raises Reverted when the estimate shows that it would fail, WrongChain, NodeError.
        """
        terms = terms or Terms()
        self._check_chain()
        fields: dict[str, Any] = {
            "chainId": self.chain_id,
            "nonce": self.nonce() if terms.nonce is None else terms.nonce,
            "value": value,
            "data": "0x" + data.hex(),
            **({"to": to} if to is not None else {}),
        }
        gas = terms.gas if terms.gas is not None else self.estimate(to, data, value, abi)
        return {**fields, "gas": gas, **self.fees(terms)}

    def _check_chain(self) -> None:
        if not self._checked:
            check_chain(self.node, self.chain_id)
            self._checked = True

    def nonce(self) -> int:
        """Give the next nonce, behind what waits in the node's pool."""
        return int(self.node.call("eth_getTransactionCount", self.key.address, "pending"), 16)

    def balance(self) -> int:
        """Give the balance in wei."""
        return int(self.node.call("eth_getBalance", self.key.address, "latest"), 16)

    def estimate(self, to: str | None, data: bytes, value: int, abi: Abi = ()) -> int:
        """Give the node's estimate with a margin. Raises Reverted, NodeError."""
        call = call_object(self.key.address, to, data, value)
        try:
            found = int(self.node.call("eth_estimateGas", call), 16)
        except NodeError as error:
            raise as_revert(error, abi) from error
        return found if not data else found * GAS_MARGIN[0] // GAS_MARGIN[1]

    def fees(self, terms: Terms) -> dict[str, int]:
        """Choose prices: twice the next base fee and the median tip of recent blocks (EIP-1559)."""
        try:
            history = self.node.call("eth_feeHistory", hex(FEE_BLOCKS), "latest", [50])
            base = int(history["baseFeePerGas"][-1], 16)
        except NodeError as error:
            if error.code != METHOD_NOT_FOUND:
                raise
            price = int(self.node.call("eth_gasPrice"), 16)
            return {"gasPrice": terms.max_fee if terms.max_fee is not None else price}
        tip = terms.priority_fee if terms.priority_fee is not None else self._tip(history)
        if terms.max_fee is not None:
            tip = min(tip, terms.max_fee)
        most = terms.max_fee if terms.max_fee is not None else 2 * base + tip
        return {"maxFeePerGas": most, "maxPriorityFeePerGas": tip}

    def _tip(self, history: dict[str, Any]) -> int:
        paid = sorted(int(row[0], 16) for row in history.get("reward") or [] if row and int(row[0], 16))
        return paid[len(paid) // 2] if paid else int(self.node.call("eth_maxPriorityFeePerGas"), 16)

    def sign(self, fields: dict[str, Any]) -> tuple[bytes, str]:
        """Sign prepared fields; give the bytes and the hash."""
        return self.key.sign(fields)

    def send(self, raw: bytes) -> str:
        """Hand a signed transaction to the node; one that it knows already is fine. Raises NodeError."""
        transaction = "0x" + keccak256(raw).hex()
        try:
            self.node.call("eth_sendRawTransaction", "0x" + raw.hex())
        except NodeError as error:
            if "already known" not in error.message.lower():
                raise
        return transaction

    def settle(self, transaction: str, patience: Patience, abi: Abi = ()) -> Settled:
        """Wait for a transaction; see `settle`."""
        return settle(self.node, transaction, patience, abi, sleep=self.sleep, now=self.now)


def check_chain(node: Node, chain_id: int) -> None:
    """Refuse a node of another chain. Raises WrongChain."""
    found = int(node.call("eth_chainId"), 16)
    if found != chain_id:
        raise WrongChain(
            f"the node belongs to chain {found}, the chosen network is chain {chain_id}; "
            "choose another --network or --rpc-url"
        )


def call_object(sender: str | None, to: str | None, data: bytes, value: int = 0) -> dict[str, str]:
    """Give the object that eth_call and eth_estimateGas take."""
    found = {"data": "0x" + data.hex()}
    if sender is not None:
        found["from"] = sender
    if to is not None:
        found["to"] = to
    if value:
        found["value"] = hex(value)
    return found


def as_revert(error: NodeError, abi: Abi = ()) -> Exception:
    """Give Reverted with the decoded reason for an answer that is a revert, else the error itself."""
    data = error.data.get("data") if isinstance(error.data, dict) else error.data
    if isinstance(data, str) and data.startswith("0x"):
        raw = bytes.fromhex(data[2:]) if len(data) % 2 == 0 else b""
        return Reverted(revert_reason(raw, abi), raw)
    if error.code == EXECUTION_REVERTED or "revert" in error.message.lower():
        return Reverted(error.message)
    return error


def settle(
    node: Node,
    transaction: str,
    patience: Patience,
    abi: Abi = (),
    *,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Settled:
    """Wait until a transaction is in a block that is final, or under so many blocks.

    A reorganisation may move it to another block or take it out: only what stands in the chain in the end
    counts. Raises NotMinedYet when the time is over, TransactionFailed when its status is 0.
    """
    deadline = now() + patience.timeout
    wanted = "in a block"
    while True:
        receipt = node.call("eth_getTransactionReceipt", transaction)
        if receipt is not None:
            settled = _settled(node, receipt, patience)
            if settled is not None:
                _check_status(node, settled.receipt, abi)
                return settled
        wanted = "in a block" if receipt is None else _wish(patience)
        if now() >= deadline:
            raise NotMinedYet(transaction, patience.timeout, wanted)
        sleep(POLL_SECONDS)


def _check_status(node: Node, receipt: dict[str, Any], abi: Abi) -> None:
    if int(receipt["status"], 16) == 0:
        raise TransactionFailed(receipt["transactionHash"], _why(node, receipt, abi))


def _why(node: Node, receipt: dict[str, Any], abi: Abi) -> str:
    """Find out why a transaction failed, by calling it again on the state before its block."""
    transaction = node.call("eth_getTransactionByHash", receipt["transactionHash"]) or {}
    if int(receipt["gasUsed"], 16) == int(transaction.get("gas", "0x0"), 16):
        return "it used all of its gas"
    before = hex(int(receipt["blockNumber"], 16) - 1)
    names = ("from", "to", "input", "value", "gas")
    again = {name: transaction[name] for name in names if transaction.get(name) is not None}
    try:
        node.call("eth_call", again, before)
    except NodeError as error:
        found = as_revert(error, abi)
        return found.reason if isinstance(found, Reverted) else error.message
    return "it would succeed alone: a transaction before it in the block changed the state"


def _wish(patience: Patience) -> str:
    return "final" if patience.confirmations is None else f"under {patience.confirmations} blocks"


def _settled(node: Node, receipt: dict[str, Any], patience: Patience) -> Settled | None:
    height = int(receipt["blockNumber"], 16)
    if patience.confirmations is not None:
        head = int(node.call("eth_blockNumber"), 16)
        return Settled(receipt, None) if head - height + 1 >= patience.confirmations else None
    final = node.call("eth_getBlockByNumber", "finalized", False)
    if final is None or int(final["number"], 16) < height:
        return None
    # Asked again: the block that is final at this height may be another than the one of the receipt.
    again = node.call("eth_getTransactionReceipt", receipt["transactionHash"])
    if again is None or again["blockHash"] != receipt["blockHash"]:
        return None
    return Settled(again, {"number": int(final["number"], 16), "hash": final["hash"]})
