"""Which settlement is due: decided from both ledgers (docs/protocol.md section 6.2). Pure reading."""

from dataclasses import dataclass

from ioex_chain.bridge.finality_proofs import FinalBlock, FinalityProofs
from ioex_chain.bridge.settlement import BridgeSettlements, build_settlement, choose_coins
from ioex_chain.evm.bridge import BridgeReader
from ioex_chain.evm.state import FlatState
from ioex_chain.ledger.types import Readable
from ioex_chain.pow.reserve import Settlement, reserve_state
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import Reads
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import NetworkSpec


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
        proof = self._proofs.next_for(state.current.number, [known.number for known in state.pending])
        if proof is None or not _advances(proof, state.count, state.current.number):
            return None
        if pooled is not None and not _advances(proof, pooled.count, pooled.current.number):
            return None
        bridge = BridgeReader(self._spec, FlatState(dpos_state))
        requests = bridge.requests(state.count + 1, proof.count)
        coins = choose_coins(pow_state, self._spec, pow_height + 1, requests)
        transaction = build_settlement(
            self._rule,
            proof.final.header,
            proof.child.header,
            proof.certificate,
            requests,
            min(proof.own, len(requests)),
            state,
            coins,
        )
        return Due(transaction, proof.count, proof.certificate.link.set_number, proof.final.hash)


def _advances(proof: FinalBlock, count: int, set_number: int) -> bool:
    """Whether a proof settles requests beyond `count`, or shows a set beyond that of `set_number`.

    A lower count: the other chain knows more than this node's best chain.
    """
    if proof.count < count:
        return False
    return proof.count > count or proof.certificate.link.set_number > set_number
