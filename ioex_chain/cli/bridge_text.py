"""The bridge's answers in words: what `ioex bridge` prints for people."""

from typing import Any

from ioex_chain.cli.options import out
from ioex_chain.crypto.address import checksum_account, parse_account
from ioex_chain.evm.types import WEI

_VERDICTS = {
    "sound": "sound: every IOEX on the DPoS chain is backed",
    "hole": "NOT SOUND: an invariant is broken",
    "pow-behind": "no verdict: this node's PoW chain lacks blocks that the DPoS chain knows",
    "dpos-behind": "no verdict: this node's DPoS chain lacks blocks that the PoW chain has settled",
    "forked": "no verdict: the DPoS chain believes a PoW block that is not on this node's PoW chain",
    "void": "void: on a solo chain nothing is backed",
}
_PARTS = (
    ("native", "native IOEX on the DPoS chain"),
    ("queued", "credits in the queue"),
    ("unsettled", "requested, not settled"),
    ("retired", "retired"),
    ("unseen", "in PoW blocks the DPoS chain has not heard of yet"),
    ("unburied", "in PoW blocks that are not buried yet"),
    ("uncounted", "rewards of buried blocks, not counted yet"),
    ("unproven", "buried deposits, not proven yet"),
    ("uncreditable", "paid to the reserve for nobody"),
)


def number(text: str) -> int:
    """Read a quantity."""
    return int(text, 16)


def ioex(text: str) -> str:
    """Write wei in hex as IOEX: 8 decimals, all 18 when they are needed."""
    wei = int(text, 16)
    whole, rest = divmod(abs(wei), WEI)
    digits = f"{rest:018d}".rstrip("0").ljust(8, "0")
    return f"{'-' if wei < 0 else ''}{whole:,}.{digits} IOEX"


def deposit_line(found: dict[str, Any]) -> str:
    """Say how far a deposit is."""
    head = f"deposit {found['id']}: {ioex(found['amount'])} for {_account(found)}: "
    return head + _deposit_state(found) + (f" ({found['note']})" if found["note"] else "")


def _account(found: dict[str, Any]) -> str:
    return checksum_account(parse_account(found["account"]))


def _deposit_state(found: dict[str, Any]) -> str:
    state, place = found["state"], found["pow"]
    if state == "mempool":
        return "in the PoW mempool"
    if state == "never":
        return "never credited"
    where = f"PoW block {number(place['height'])}" if place else "its PoW block"
    if state == "confirming":
        return f"in {where}, {number(found['buried'])} of {number(found['burialDepth'])} blocks upon it"
    if state == "provable":
        return f"in {where}, buried; it can be proven"
    if state == "credited":
        return f"credited, number {number(found['creditIndex'])} in the queue"
    block = found["paid"]
    return f"paid in DPoS block {number(block['blockNumber'])}" + (", final" if block["finalized"] else "")


def withdrawal_line(found: dict[str, Any]) -> str:
    """Say how far a request to the PoW chain is."""
    if found["kind"] == "handover":
        what = f"request {number(found['number'])}: handover to set {number(found['set'])}: "
    else:
        to = found["address"] or found["script"]
        what = f"withdrawal {number(found['number'])}: {ioex(found['amount'])} to {to}: "
    return what + _request_state(found) + (f" ({found['note']})" if found["note"] else "")


def _request_state(found: dict[str, Any]) -> str:
    state = found["state"]
    if state == "settled":
        place = found["settlement"]
        count = number(place.get("confirmations", "0x0"))
        return f"settled by {place['txid']}, {count} PoW blocks"
    if state == "requested":
        return "requested, in no block's list yet"
    block = found["drained"]
    where = "a DPoS block" if block is None else f"DPoS block {number(block['blockNumber'])}"
    return f"in {where}, " + ("final: a settlement is due" if state == "finalized" else "not final yet")


def _door(door: dict[str, Any]) -> str:
    return "open" if door["open"] else "SHUT: " + ", ".join(door["reasons"])


def print_bridge(found: dict[str, Any]) -> None:
    """Print how the bridge stands."""
    light, requests, credit = found["lightClient"], found["requests"], found["credits"]
    behind = light["behind"]
    heard = "on another branch" if behind is None else f"{number(behind)} behind this node's PoW chain"
    known = f"height {number(light['bestHeight'])}, buried {number(light['buriedHeight'])}, {heard}"
    stages = (("made", "made"), ("drained", "in blocks"), ("finalized", "final"), ("settled", "settled"))
    rows = {
        "PoW to DPoS": _door(found["in"]),
        "DPoS to PoW": _door(found["out"]),
        "light client": known,
        "rewards counted to": str(number(found["countedHeight"])),
        "credits": f"{number(credit['made'])} made, {number(credit['paid'])} paid",
        "requests": ", ".join(f"{number(requests[name])} {words}" for name, words in stages),
        "withdrawn today": f"{ioex(found['usedToday'])} of {ioex(found['dailyCap'])}",
        "set on the PoW chain": str(number(found["settlement"]["current"]["set"])),
    }
    for name, words in rows.items():
        out.print(f"{name:<22}{words}", highlight=False, soft_wrap=True)


def print_solvency(found: dict[str, Any]) -> None:
    """Print the equation."""
    rows = [_VERDICTS.get(found["verdict"], found["verdict"])]
    rows += [f"  broken: {name}" for name in found["broken"]]
    rows.append(f"{ioex(found['reserve']):>34}  reserve, PoW block {number(found['powBlock']['height'])}")
    for name, words in _PARTS:
        amount = found["parts"][name]
        if number(amount) or name in ("native", "queued", "unsettled"):
            rows.append(f"{ioex(amount):>34}  {words}")
    rows.append(
        f"{ioex(found['difference']):>34}  difference, DPoS block {number(found['dposBlock']['number'])}"
    )
    for one in found.get("missing", ()):
        lost = f"{one['id']}, credited to {one['account']}, was in block {number(one['height'])}"
        rows.append(f"{ioex(one['amount']):>34}  missing: {lost}")
    for row in rows:
        out.print(row, highlight=False, soft_wrap=True)


def print_count(found: dict[str, Any]) -> None:
    """Print what was counted."""
    supply = found["supply"]
    rows = {
        "reserve, counted": found["reserve"],
        "  less its total": found["reserveDifference"],
        "balances, counted": found["balances"],
        "  less all ever credited": found["balancesDifference"],
        "exists in all": supply["total"],
        "  left unclaimed by miners": supply["unclaimed"],
    }
    for words, amount in rows.items():
        out.print(f"{ioex(amount):>34}  {words}", highlight=False, soft_wrap=True)
