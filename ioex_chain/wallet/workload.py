"""What nodes did, as reporters and counterparties vouch for it: the words of `ioex workload` to Workload.

Source of the rules: docs/protocol.md section 5.7. Uptime is counted in 24ths of an epoch (hours of a day).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ioex_chain.evm.contribution import GAS_DECIMALS, UPTIME_PARTS
from ioex_chain.evm.contribution_receipts import Receipt, sign
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.wallet.account_wallet import Node
from ioex_chain.wallet.contract_errors import InvalidArgument
from ioex_chain.wallet.contracts import Target, call

MOST_NODES, MOST_RECEIPTS = 64, 32
"""Nodes of one uptime report, receipts of one call."""
_RANGE = re.compile(r"([0-9]{1,2})(?:-([0-9]{1,2}))?")
_FIELDS = ("node", "counterparty", "epoch", "kind", "amount", "nonce")


@dataclass(frozen=True, slots=True)
class Sighting:
    """In which 24ths of an epoch a reporter saw a node: bit 0 is the first."""

    node: int
    bits: int


def parse_sighting(text: str) -> Sighting:
    """Read NODE=all, NODE=none or NODE=0-5,7 (24ths of the epoch, from 0). Raises InvalidArgument."""
    number, sign_, hours = text.partition("=")
    if not sign_ or not number.isascii() or not number.isdigit() or not int(number):
        raise _no_sighting(text)
    if hours in ("all", "none"):
        return Sighting(int(number), (1 << UPTIME_PARTS) - 1 if hours == "all" else 0)
    bits = 0
    for part in hours.split(","):
        found = _RANGE.fullmatch(part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last < UPTIME_PARTS:
            raise _no_sighting(text)
        bits |= (1 << last + 1) - (1 << first)
    return Sighting(int(number), bits)


def _no_sighting(text: str) -> InvalidArgument:
    return InvalidArgument("SEEN", "hours", f"give NODE=all, NODE=none or NODE=0-5,7 (0 to 23), not {text!r}")


def report_arguments(epoch: int, seen: Sequence[Sighting]) -> list[str]:
    """Give the arguments of Workload.reportUptime. Raises InvalidArgument."""
    if not 0 < len(seen) <= MOST_NODES:
        raise InvalidArgument("SEEN", "hours", f"a report has 1 to {MOST_NODES} nodes, this has {len(seen)}")
    if len({one.node for one in seen}) < len(seen):
        raise InvalidArgument("SEEN", "hours", "a node stands there twice")
    return [str(epoch), _list(one.node for one in seen), _list(one.bits for one in seen)]


def _list(numbers: Any) -> str:
    return "[" + ",".join(map(str, numbers)) + "]"


# --- receipts --------------------------------------------------------------------------------------------


def make_receipt(spec: NetworkSpec, receipt: Receipt, device_key: bytes) -> dict[str, Any]:
    """Sign a receipt with the counterparty's device key; what a receipts file holds."""
    signed = "0x" + sign(spec, receipt, device_key).hex()
    return {**{name: getattr(receipt, name) for name in _FIELDS}, "signature": signed}


def receipt_arguments(rows: object) -> list[str]:
    """Give the arguments of Workload.submitReceipts from what a receipts file holds.

    Raises InvalidArgument: a file is an array of 1 to 32 objects as `make_receipt` gives.
    """
    if not isinstance(rows, list) or not 0 < len(rows) <= MOST_RECEIPTS:
        raise InvalidArgument("FILE", "receipts", f"a file holds an array of 1 to {MOST_RECEIPTS} receipts")
    tuples, signatures = [], []
    for at, row in enumerate(rows):
        if not isinstance(row, dict) or set(row) != {*_FIELDS, "signature"}:
            names = ", ".join((*_FIELDS, "signature"))
            raise InvalidArgument("FILE", "receipts", f"receipt {at} does not have exactly {names}")
        values = [row[name] for name in _FIELDS]
        if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values):
            raise InvalidArgument("FILE", "receipts", f"receipt {at} has a field that is no whole number")
        tuples.append("[" + ",".join(map(str, values)) + "]")
        signatures.append(f'"{row["signature"]}"')
    return ["[" + ",".join(tuples) + "]", "[" + ",".join(signatures) + "]"]


# --- looking ---------------------------------------------------------------------------------------------


def points_of_node(node: Node, points: Target, number: int) -> dict[str, Any]:
    """Give a node's points and its level."""
    earned = int(call(node, points, "pointsOf", [str(number)])[0])
    level = int(call(node, points, "level", [str(number)])[0])
    return {"node": number, "points": str(earned), "gas": gas_text(earned), "level": level}


def gas_text(points: int) -> str:
    """Write points as GAS with its 6 decimals."""
    whole, rest = divmod(points, 10**GAS_DECIMALS)
    return f"{whole}.{rest:0{GAS_DECIMALS}d}"


def work_of(node: Node, workload: Target, epoch: int, number: int) -> dict[str, Any]:
    """Give what counts for a node in an epoch, and whether that is final."""
    names = ("hours", "relayed", "stored", "transferred", "points", "struck", "settled", "qualified")
    values = call(node, workload, "workOf", [str(epoch), str(number)])[0]
    facts: dict[str, Any] = {"epoch": epoch, "node": number}
    for name, value in zip(names, values, strict=True):
        facts[name] = value if isinstance(value, bool) else int(value)
    facts["final"] = bool(call(node, workload, "isFinal", [str(epoch)])[0])
    return facts
