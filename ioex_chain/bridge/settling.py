"""Which settlement is due: decided from both ledgers (docs/protocol.md section 6.2). Pure reading."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ioex_chain.bridge.finality_proofs import FinalBlock, FinalityProofs
from ioex_chain.bridge.settlement import (
    GATHERED,
    BridgeSettlements,
    Scattered,
    build_settlement,
    choose_coins,
)
from ioex_chain.evm.bridge import BridgeReader
from ioex_chain.evm.state import FlatState
from ioex_chain.ledger.types import Readable
from ioex_chain.pow.reserve import ReserveState, Settlement, reserve_state
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import Reads
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import NetworkSpec

MAX_REQUESTS = 25_000
"""Requests of one settlement, so that it stays below what pools take; a block drains far fewer."""


@dataclass(frozen=True, slots=True)
class Due:
    """A settlement that the PoW chain would take now."""

    transaction: Transaction
    count: int
    """Number of the last request that it settles."""
    set_number: int
    final: BlockHash
    """The final DPoS block that it shows."""


class SettlementPlanner:
    """Plans settlements on the state of both heads; safe to ask at any time, by any number of nodes."""

    def __init__(self, spec: NetworkSpec, rule: BridgeSettlements, proofs: FinalityProofs) -> None:
        self._spec = spec
        self._rule = rule
        self._proofs = proofs

    def due(
        self, pow_state: Reads, pow_height: int, dpos_state: Readable, pooled: Settlement | None = None
    ) -> Due | None:
        """Give the settlement that brings the PoW chain further; None while there is nothing to bring.

        `pow_state` is the state after the PoW block at `pow_height`, `pooled` what the settlement in the
        pool does. Raises CannotSettle, SettlementError.
        """
        state = reserve_state(pow_state)
        view = _View(pow_state, pow_height, dpos_state, state)
        scattered: Scattered | None = None
        most = state.count + MAX_REQUESTS
        while (proof := self._proof(state, most)) and _advances(proof, state.count, state.current.number):
            if pooled is not None and not _advances(proof, pooled.count, pooled.current.number):
                return None
            try:
                return self._settle(view, proof)
            except Scattered as error:
                scattered = error
                most = state.count + (proof.count - state.count) // 2
        if scattered is None or pooled is not None:
            return None
        if proof is None:
            raise scattered
        return self._gather(view, proof, scattered)

    def _proof(self, state: ReserveState, most: int) -> FinalBlock | None:
        return self._proofs.next_for(state.current.number, [known.number for known in state.pending], most)

    def _settle(self, view: "_View", proof: FinalBlock) -> Due:
        bridge = BridgeReader(self._spec, FlatState(view.dpos_state))
        requests = bridge.requests(view.state.count + 1, proof.count)
        return self._build(view, proof, requests, proof.own)

    def _gather(self, view: "_View", proof: FinalBlock, scattered: Scattered) -> Due:
        """Plan a settlement that only takes small outputs together, until they can pay."""
        due = self._build(view, proof, (), 0)
        if len(due.transaction.inputs) - len(due.transaction.outputs) < GATHERED:
            raise scattered
        return replace(due, count=view.state.count)

    def _build(self, view: "_View", proof: FinalBlock, requests: Sequence[bytes], own: int) -> Due:
        coins = choose_coins(view.pow_state, self._spec, view.pow_height + 1, requests)
        transaction = build_settlement(
            self._rule,
            proof.final.header,
            proof.child.header,
            proof.certificate,
            requests,
            min(own, len(requests)),
            view.state,
            coins,
        )
        return Due(transaction, proof.count, proof.certificate.link.set_number, proof.final.hash)


@dataclass(frozen=True, slots=True)
class _View:
    """What both chains say at the moment of planning."""

    pow_state: Reads
    pow_height: int
    dpos_state: Readable
    state: ReserveState


def _advances(proof: FinalBlock, count: int, set_number: int) -> bool:
    """Whether a proof settles requests beyond `count`, or shows a set beyond that of `set_number`.

    A lower count: the other chain knows more than this node's best chain.
    """
    if proof.count < count:
        return False
    return proof.count > count or proof.certificate.link.set_number > set_number
