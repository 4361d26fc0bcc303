"""What an arbitrator's key and a device owner's nodes have earned, and the calls that claim it.

Source of the rules: docs/protocol.md sections 5.3 and 5.7. Amounts are wei.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ioex_chain.crypto.address import checksum_account
from ioex_chain.evm.system import artefact
from ioex_chain.evm.types import WEI
from ioex_chain.wallet.account_wallet import Node
from ioex_chain.wallet.arbitrators import NotAPartner, partner
from ioex_chain.wallet.contract_errors import ContractError
from ioex_chain.wallet.contracts import Target, call

CLAIM_TERMS = 64
"""Terms that one call of RewardPool.claim takes."""
CLAIM_NODES = 64


class NothingToClaim(ContractError):
    """Nothing is due now; the message says what is owed or open."""


def system_contract(name: str, address: bytes) -> Target:
    """Give a system contract at its fixed address."""
    return Target(checksum_account(address), artefact(name).abi)


# --- arbitrators -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyRewards:
    """A key's rewards by term, newest last; `payout` is who gets what is claimed now."""

    key: str
    payout: str | None
    partner: int | None
    open_term: int
    terms: Sequence[tuple[int, int, int, int]]
    """Term, earned, paid, claimable."""

    @property
    def earned(self) -> int:
        """All that the terms earned."""
        return sum(row[1] for row in self.terms)

    @property
    def paid(self) -> int:
        """All that was claimed."""
        return sum(row[2] for row in self.terms)

    @property
    def claimable(self) -> int:
        """What a claim pays now."""
        return sum(row[3] for row in self.terms)

    @property
    def open(self) -> int:
        """Earned in the term that is not over yet."""
        return sum(row[1] for row in self.terms if row[0] >= self.open_term)

    @property
    def owed(self) -> int:
        """Earned in terms that are over, and not covered by the pool yet."""
        return self.earned - self.paid - self.claimable - self.open

    def plain(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        names = ("earned", "paid", "claimable", "owed", "open")
        rows = [
            {"term": term, "earned": str(earned), "paid": str(paid), "claimable": str(due)}
            for term, earned, paid, due in self.terms
        ]
        known = {"key": self.key, "payout": self.payout, "partner": self.partner, "open_term": self.open_term}
        return {**known, **{name: str(getattr(self, name)) for name in names}, "terms": rows}


def key_rewards(node: Node, registry: Target, who: str) -> KeyRewards:
    """Read the rewards of a key, present or former, or of the present key of an operator or partner number.

    Raises NotAPartner, NodeError.
    """
    found = partner(node, registry, who)
    key = found.key
    if who.startswith("0x") and who.lower() != found.operator.lower():
        key = who  # a former key's rewards stand under that key
    if key is None:
        raise NotAPartner(f"partner {found.number} has no key now; name the key whose rewards you mean")
    answer = node.call("ioex_getRewards", key)
    names = ("term", "earned", "paid", "claimable")
    rows = [[int(row[name], 16) for name in names] for row in answer["terms"]]
    terms = [(row[0], row[1], row[2], row[3]) for row in rows]
    return KeyRewards(answer["key"], found.payout, found.number, int(answer["openTerm"], 16), terms)


def claims_of(found: KeyRewards) -> list[list[int]]:
    """Give the terms to claim, in as many calls as they need. Raises NothingToClaim."""
    due = [term for term, _, _, claimable in found.terms if claimable]
    if not due:
        raise NothingToClaim(
            f"nothing is due to {found.key} now: {found.open / WEI:g} IOEX are of the term that is not over, "
            f"{found.owed / WEI:g} IOEX wait until the pool has them"
        )
    return list(batches(due, CLAIM_TERMS))


# --- owners of nodes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodeDue:
    """What a node of an owner may claim for an epoch."""

    epoch: int
    node: int
    amount: int

    def plain(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        return {"epoch": self.epoch, "node": self.node, "amount": str(self.amount)}


def nodes_of(node: Node, registry: Target, owner: str) -> list[int]:
    """Give the numbers of an owner's nodes."""
    numbers: list[int] = []
    while True:
        page = call(node, registry, "nodesOf", [owner, str(len(numbers))])[0]
        numbers += [int(row[0]) for row in page]
        if not page:
            return numbers


def due_to_nodes(
    node: Node, rewards: Target, workload: Target, numbers: Sequence[int], epochs: int
) -> list[NodeDue]:
    """Give what nodes may claim of the newest `epochs` epochs that are over, oldest first."""
    now = int(call(node, workload, "currentEpoch")[0])
    found = []
    for epoch in range(max(0, now - epochs), now):
        if call(node, workload, "isFinal", [str(epoch)])[0]:
            found += [
                NodeDue(epoch, number, amount)
                for number in numbers
                if (amount := int(call(node, rewards, "claimable", [str(epoch), str(number)])[0]))
            ]
    return found


def node_claims(due: Iterable[NodeDue]) -> list[tuple[int, list[int]]]:
    """Give the calls of NodeRewards.claim: an epoch and nodes each. Raises NothingToClaim."""
    by_epoch: dict[int, list[int]] = {}
    for one in due:
        by_epoch.setdefault(one.epoch, []).append(one.node)
    found = [(epoch, part) for epoch, nodes in by_epoch.items() for part in batches(nodes, CLAIM_NODES)]
    if not found:
        raise NothingToClaim("no node of this account has anything to claim of these epochs")
    return found


def batches(items: Sequence[int], most: int) -> Iterable[list[int]]:
    """Cut a list into parts."""
    for start in range(0, len(items), most):
        yield list(items[start : start + most])


def claimed_in(outcome: dict[str, Any]) -> int:
    """Give the wei that a claim's events say were paid."""
    events = (event for event in outcome["events"] if event.get("event") == "Claimed")
    return sum(int(event["arguments"]["amount"]) for event in events)
