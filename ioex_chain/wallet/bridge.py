"""Transfers between the chains, as a client of a node follows them (docs/protocol.md section 6).

It knows the chains by the `ioex_*` methods alone. Amounts that the node gives are wei.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ioex_chain.crypto.address import InvalidAddress, address_to_script, checksum_account
from ioex_chain.evm.bridge_messages import is_payable
from ioex_chain.evm.system import artefact
from ioex_chain.evm.types import WEI_PER_POW_UNIT
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.wallet.account_wallet import Node
from ioex_chain.wallet.contract_errors import ContractError, InvalidArgument
from ioex_chain.wallet.contracts import Target
from ioex_chain.wallet.payment import parse_amount

POLL_SECONDS = 1.0
_OUTPUT = re.compile(r"([0-9a-fA-F]{64}):([0-9]{1,9})")


class UnknownTransfer(ContractError):
    """The node knows no transfer by this id; the message says which ids there are."""


class NotThereYet(ContractError):
    """A transfer did not come as far as was wanted in time; it goes on by itself."""

    def __init__(self, what: str, state: str, timeout: float, note: str = "") -> None:
        ahead = note or "it goes on by itself"
        super().__init__(
            f"{what} is {state} after {timeout:g} s; {ahead}; 'ioex bridge status {what}' shows how far it is"
        )
        self.state = state


class TransferRefused(ContractError):
    """A transfer that can never be completed; the message says why."""


@dataclass(frozen=True, slots=True)
class Deposit:
    """An output of a PoW transaction; `txid` as people copy it."""

    txid: str
    vout: int

    def __str__(self) -> str:
        return f"{self.txid}:{self.vout}"


@dataclass(frozen=True, slots=True)
class PowTransaction:
    """A PoW transaction, with all deposits in it."""

    txid: str


@dataclass(frozen=True, slots=True)
class DposTransaction:
    """A DPoS transaction, with all withdrawals that it made."""

    hash: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the PoW chain, by its number."""

    number: int


TransferId = Deposit | PowTransaction | DposTransaction | Request


def parse_transfer(text: str) -> TransferId:
    """Tell what an id names: `txid:vout`, a PoW txid, 0x and a DPoS hash, or a number.

    Raises InvalidArgument.
    """
    output = _OUTPUT.fullmatch(text)
    if output is not None:
        return Deposit(output[1].lower(), int(output[2]))
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return PowTransaction(text.lower())
    if re.fullmatch(r"0x[0-9a-fA-F]{64}", text):
        return DposTransaction(text.lower())
    if re.fullmatch(r"[1-9][0-9]{0,17}", text):
        return Request(int(text))
    raise InvalidArgument(
        "ID",
        "transfer",
        "give txid:vout or txid of a deposit (64 hex digits without 0x), the number of a withdrawal, or the "
        "hash 0x... of the DPoS transaction that made it",
    )


def find_transfers(node: Node, wanted: TransferId) -> tuple[str, list[dict[str, Any]]]:
    """Ask for what an id names: ("deposit" or "withdrawal", transfers). Raises UnknownTransfer, NodeError."""
    match wanted:
        case Deposit(txid, vout):
            one = node.call("ioex_getDeposit", txid, vout)
            kind, found = "deposit", [] if one is None else [one]
        case PowTransaction(txid):
            kind, found = "deposit", node.call("ioex_getDeposits", txid)
        case Request(number):
            one = node.call("ioex_getWithdrawal", number)
            kind, found = "withdrawal", [] if one is None else [one]
        case DposTransaction(hash_):
            kind, found = "withdrawal", node.call("ioex_getWithdrawalsByTransaction", hash_) or []
    if not found:
        raise UnknownTransfer(_unknown(wanted))
    return kind, found


def _unknown(wanted: TransferId) -> str:
    match wanted:
        case Deposit() | PowTransaction():
            return (
                "this node knows no such deposit: no transaction of its PoW chain or mempool by this id pays "
                "a deposit address"
            )
        case DposTransaction():
            return "no block of this node's DPoS chain has a transaction of this hash that withdraws"
        case Request():
            return "no withdrawal has this number yet"


def bridge(address: bytes) -> Target:
    """Give the Bridge at its fixed address."""
    return Target(checksum_account(address), artefact("Bridge").abi)


def payout_script(spec: NetworkSpec, address: str) -> bytes:
    """Give the output script of a PoW address that the Bridge pays. Raises InvalidAddress."""
    script = address_to_script(spec.pow.address_prefix, address)
    if not is_payable(script):
        raise InvalidAddress(
            "a withdrawal pays a key, a script or a Taproot address (P2WPKH, P2WSH, P2TR), not this one"
        )
    return script


def withdrawal_value(spec: NetworkSpec, amount: str) -> int:
    """Read an amount of IOEX to withdraw; give wei. Raises InvalidAmount, InvalidArgument."""
    units = parse_amount(amount)
    least = spec.bridge.min_withdrawal
    if units < least:
        raise InvalidArgument("AMOUNT", "IOEX", f"at least {least / 10**8:.8f} IOEX can be withdrawn")
    return units * WEI_PER_POW_UNIT


Told = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Watch:
    """How a transfer is watched: until when, and who hears of each step."""

    timeout: float
    tell: Told = lambda _: None
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic


def follow_deposit(node: Node, deposit: Deposit, watch: Watch) -> dict[str, Any]:
    """Wait until a deposit is paid on the DPoS chain; give its last status.

    Raises NotThereYet, TransferRefused for one that is never credited, NodeError.
    """

    def done(found: dict[str, Any]) -> bool:
        if found["state"] == "never":
            raise TransferRefused(f"{deposit} is never credited: {found['note']}")
        return bool(found["state"] == "paid")

    return _follow(
        lambda: node.call("ioex_getDeposit", deposit.txid, deposit.vout), done, str(deposit), watch
    )


def follow_withdrawal(node: Node, number: int, watch: Watch, confirmations: int = 1) -> dict[str, Any]:
    """Wait until a withdrawal is settled on the PoW chain under so many blocks; give its last status.

    Raises NotThereYet, NodeError.
    """

    def done(found: dict[str, Any]) -> bool:
        place = found["settlement"]
        return place is not None and int(place.get("confirmations", "0x0"), 16) >= confirmations

    return _follow(lambda: node.call("ioex_getWithdrawal", number), done, str(number), watch)


def _follow(
    ask: Callable[[], dict[str, Any] | None],
    done: Callable[[dict[str, Any]], bool],
    what: str,
    watch: Watch,
) -> dict[str, Any]:
    deadline = watch.now() + watch.timeout
    before: dict[str, Any] | None = None
    while True:
        found = ask()
        if found is not None and found != before:
            watch.tell(found)
            before = found
        if found is not None and done(found):
            return found
        if watch.now() >= deadline:
            state, note = ("unknown to this node", "") if found is None else (found["state"], found["note"])
            raise NotThereYet(what, state, watch.timeout, note)
        watch.sleep(POLL_SECONDS)
