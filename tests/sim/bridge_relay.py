"""Two nodes' relayers between the sides of a world: production's planning, called instead of awaited."""

from ioex_chain.bridge.deposit_watch import DepositWatch, ReadTo
from ioex_chain.bridge.deposits import BlockProofs, prove_deposits
from ioex_chain.bridge.finality_proofs import FinalityProofs
from ioex_chain.bridge.header_relay import headers_due
from ioex_chain.bridge.settlement import CannotSettle, settlement_rule
from ioex_chain.bridge.settling import Due, SettlementPlanner
from ioex_chain.evm.bridge import BridgeReader, DepositProof, prove_deposit
from ioex_chain.evm.light_client import LightClientReader
from ioex_chain.evm.state import FlatState
from ioex_chain.pow.transaction import Transaction
from ioex_chain.spec.model import NetworkSpec

from .bridge_dpos import DposSide
from .bridge_pow import PowSide

BLOCKS_AT_ONCE = 64
KEPT_LATE = 5
"""A restart begins where reading had come to that many blocks before."""


class Relayer:
    """Carries headers and proofs one way, settlements the other; `restart` after a side was opened anew."""

    def __init__(self, spec: NetworkSpec, pow_side: PowSide, dpos: DposSide) -> None:
        self.spec = spec
        self._pow = pow_side
        self._dpos = dpos
        self._kept: list[ReadTo | None] = [None]
        self.restart()

    def restart(self) -> None:
        """Begin with what the disk has: where reading had come to some blocks ago."""
        kept = self._kept[max(0, len(self._kept) - KEPT_LATE)]
        self.watch = DepositWatch(self._pow.ledger, self.spec.bridge.min_relayed_deposit, kept)
        rule = settlement_rule(self.spec)
        proofs = FinalityProofs(self._dpos.ledger, self._dpos.engine.records)
        self._planner = SettlementPlanner(self.spec, rule, proofs)

    def items(self, side: DposSide, timestamp: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """Give PoW headers and deposit proofs for a block at a Unix time on a node's head."""
        light, bridge = LightClientReader(self.spec, side.state), BridgeReader(self.spec, side.state)
        latest = timestamp + self.spec.pow.max_future
        headers = headers_due(light, self._pow.ledger, self.spec.dpos, latest)
        self._read(light.buried_height())
        return headers, self.watch.proofs_due(light, bridge, self.spec.dpos.max_deposit_proofs)

    def _read(self, buried: int) -> None:
        while self.watch.advance(buried, BLOCKS_AT_ONCE):
            pass
        ledger = self._dpos.ledger
        with ledger.state_at(ledger.floor) as final:
            self.watch.forget(BridgeReader(self.spec, FlatState(final)))
        self._kept.append(self.watch.read_to())

    def due(self) -> Due | None:
        """Plan the settlement that is due now; None if there is none, or none can be made yet."""
        try:
            return self._planner.due(self._pow.ledger.view(), self._pow.height, self._dpos.ledger.view())
        except CannotSettle:
            return None

    def settlement(self) -> Transaction | None:
        """Give that settlement's transaction."""
        due = self.due()
        return None if due is None else due.transaction

    def proof_of(self, name: tuple[bytes, int]) -> DepositProof:
        """Give the proof of a deposit on the best chain, whether anybody needs it or not."""
        for block in self._pow.best():
            for deposit, proof in prove_deposits(block):
                if (deposit.txid, deposit.vout) == name:
                    return proof
        raise LookupError("no block of the best chain has this deposit")


def output_proof(side: PowSide, height: int, place: int, vout: int) -> DepositProof:
    """Give a proof of any output of the best chain, whatever it pays."""
    return BlockProofs(side.block_at(height)).prove(place, vout)


def proof_call(proof: DepositProof) -> bytes:
    """Give the calldata with which anybody proves a deposit."""
    return prove_deposit(proof)
