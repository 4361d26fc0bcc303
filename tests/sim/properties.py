"""What must hold of a world when its faults are over. Each function gives sentences about what does not."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from chaingen.harness import unspent

from ioex_chain.ledger.verify import check, state_digest
from ioex_chain.node.build import CODEC
from ioex_chain.pow.policy import Policy
from ioex_chain.primitives.types import display

if TYPE_CHECKING:
    from .node import SimNode
    from .world import World


def problems(world: "World", *, deep: bool = True) -> list[str]:
    """Give everything that is wrong; with `deep` every database is read through."""
    nodes = [node for node in world.honest if node.is_up]
    found = list(world.faults)
    found += _agreement(nodes)
    found += _claims(world, nodes[0])
    found += _supply(nodes)
    found += _bans(world, nodes)
    found += _bounds(world, nodes)
    if deep:
        found += _databases(nodes)
    return found


def _agreement(nodes: Sequence["SimNode"]) -> Iterator[str]:
    heads = Counter(display(node.chain.ledger.head.hash)[-12:] for node in nodes)
    if len(heads) > 1:
        yield f"heads differ: {dict(heads)}"
        for node in nodes:
            yield f"{node.name} is at {node.chain.ledger.head}"
    most = max(
        tip.weight
        for node in nodes
        for tip in node.chain.ledger.tips()
        if tip.sequence and not tip.status.is_invalid
    )
    for node in nodes:
        if node.chain.ledger.head.weight < most:
            yield f"{node.name} does not follow the most work"
    states = {state_digest(node.disk.rows) for node in nodes}
    if len(heads) == 1 and len(states) > 1:
        yield f"{len(states)} different states under one head"


def _claims(world: "World", node: "SimNode") -> Iterator[str]:
    """Each payment once; of each pair exactly one."""
    ledger = node.chain.ledger
    counts: Counter[bytes] = Counter()
    for height in range(1, ledger.head.height + 1):
        entry = ledger.entry_at(height)
        assert entry is not None
        counts.update(tx.txid for tx in ledger.body(entry.hash).transactions)
    for claim in world.wallets.claims:
        number = sum(counts[tx.txid] for tx in claim.choices)
        if number != 1:
            names = " or ".join(display(tx.txid)[:12] for tx in claim.choices)
            yield f"{names} is confirmed {number} times"


def _supply(nodes: Sequence["SimNode"]) -> Iterator[str]:
    """No more money than genesis and 24 IOEX a block (docs/protocol.md section 1)."""
    for node in nodes:
        made = node.spec.pow.miner_reward + node.spec.pow.arbitrator_reward
        most = node.spec.token.supply + made * node.chain.ledger.head.height
        if unspent(node.chain.ledger) > most:
            yield f"{node.name} has more money than there may be"


def _bans(world: "World", nodes: Sequence["SimNode"]) -> Iterator[str]:
    honest = {node.identity.id.hex(): node.name for node in world.honest}
    honest |= {node.machine.host: node.name for node in world.honest}
    for node in nodes:
        for ban in node.bans.entries():
            if ban.subject in honest:
                yield f"{node.name} banned {honest[ban.subject]}: {ban.reason}"


def _bounds(world: "World", nodes: Sequence["SimNode"]) -> Iterator[str]:
    most = Policy().max_usage
    for node in nodes:
        if node.chain.mempool.usage > most:
            yield f"{node.name} keeps a pool of {node.chain.mempool.usage} bytes"
        if node.chain.longest_queue > world.most_queued:
            yield f"{node.name} queued {node.chain.longest_queue} jobs"
        peers = len(node.host.peers())
        if peers > world.most_peers:
            yield f"{node.name} has {peers} peers"
        if not peers:
            yield f"{node.name} has no peers"


def _databases(nodes: Sequence["SimNode"]) -> Iterator[str]:
    for node in nodes:
        for problem in check(node.disk.rows, CODEC).problems:
            yield f"the database of {node.name}: {problem}"
