"""How the DPoS chain stands, as `ioex arbitrator status` shows it."""

from typing import Any

from ioex_chain.cli.options import out
from ioex_chain.crypto.address import checksum_account, parse_account
from ioex_chain.wallet.account_wallet import METHOD_NOT_FOUND, Node
from ioex_chain.wallet.contract_errors import NodeError
from ioex_chain.wallet.contracts import Target, call

PARTS = {"slot": "ioex_getSlot", "finality": "ioex_getFinality"}
"""What a node of this project tells beside Ethereum's methods."""


def chain_facts(node: Node) -> dict[str, Any]:
    """Give head, tags and what the node tells of schedule, finality and missed slots."""
    blocks = {tag: _block(node, tag) for tag in ("latest", "safe", "finalized")}
    return {"blocks": blocks, **{name: _ask(node, method) for name, method in PARTS.items()}}


def _block(node: Node, tag: str) -> dict[str, Any] | None:
    found = node.call("eth_getBlockByNumber", tag, False)
    if found is None:
        return None
    return {"number": int(found["number"], 16), "hash": found["hash"], "time": int(found["timestamp"], 16)}


def _ask(node: Node, method: str) -> Any:
    try:
        return node.call(method)
    except NodeError as error:
        if error.code != METHOD_NOT_FOUND:
            raise
        return None  # another program's node


def evidence_of(node: Node, registry: Target, number: int) -> list[dict[str, Any]]:
    """Give what this node knows of a partner's keys that sealed or voted twice, newest first."""
    found = []
    for item in _ask(node, "ioex_getEvidence") or []:
        key = checksum_account(parse_account(item["key"]))
        if int(call(node, registry, "partnerOf", [key])[0]) == number:
            block = item["block"] and int(item["block"]["number"], 16)
            found.append({"key": key, "kind": item["kind"], "block": block, "raw": item["raw"]})
    return found


def show_chain(facts: dict[str, Any]) -> None:
    """Print it in a few lines."""
    for tag, name in (("latest", "head"), ("safe", "justified"), ("finalized", "finalised")):
        block = facts["blocks"][tag]
        if block is not None:
            out.print(f"{name:<10} {block['number']}  {block['hash']}", highlight=False, soft_wrap=True)
    slot, finality = facts["slot"], facts["finality"]
    if slot:
        out.print(
            f"slot       {_count(slot['slot'])}, round {_count(slot['round'])}, term {_count(slot['term'])}",
            highlight=False,
        )
    if finality:
        behind = f"{_count(finality['slotsSinceFinalized'])} slots behind"
        stalled = ", stalled" if finality["stalled"] else ""
        quorum = f"set {_count(finality['set'])}, {_count(finality['quorum'])} votes make a certificate"
        out.print(f"finality   {behind}{stalled}; {quorum}", highlight=False, soft_wrap=True)


def _count(text: str | None) -> str:
    return "-" if text is None else str(int(text, 16))
