"""A relayer as nodes have it, between the two sides of a world: pure looking, nothing remembered."""

from collections.abc import Iterator

from ioex_chain.evm.light_client import LightClientReader

from ioex_chain.bridge.deposits import Deposit, prove_deposits
from ioex_chain.bridge.finality_proofs import FinalityProofs
from ioex_chain.bridge.header_relay import headers_due
from ioex_chain.bridge.settlement import BridgeSettlements, CannotSettle, build_settlement, choose_coins
from ioex_chain.evm.bridge import (
    BridgeReader,
    DepositProof,
    decode_request,
    encode_proof,
    prove_deposit,
)
from ioex_chain.pow.reserve import reserve_state
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import NetworkSpec

from .bridge_dpos import DposSide
from .bridge_pow import PowSide

WINDOW = 60
"""Heights below the buried one in which relayers look for deposits."""


class Relayer:
    """Carries headers and proofs one way, settlements the other."""

    def __init__(self, spec: NetworkSpec, pow_side: PowSide, dpos: DposSide) -> None:
        self.spec = spec
        self._pow = pow_side
        self._dpos = dpos
        self._proofs: dict[BlockHash, tuple[tuple[Deposit, DepositProof], ...]] = {}

    def items(self, side: DposSide, latest: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """Give PoW headers and deposit proofs for a block on a node's head."""
        light = LightClientReader(self.spec, side.state)
        headers = headers_due(light, self._pow.ledger, self.spec.dpos, latest)
        bridge = BridgeReader(self.spec, side.state)
        found = [
            encode_proof(proof)
            for deposit, proof in self._buried(light)
            if deposit.amount >= self.spec.bridge.min_relayed_deposit
            and not bridge.is_credited(deposit.txid, deposit.vout)
        ]
        return headers, tuple(found[: self.spec.dpos.max_deposit_proofs])

    def _buried(self, light: LightClientReader) -> Iterator[tuple[Deposit, DepositProof]]:
        """Give what stands in the blocks that the light client has buried lately."""
        buried = light.buried_height()
        for height in range(max(1, buried - WINDOW), buried + 1):
            entry = self._pow.ledger.entry_at(height)
            if entry is not None and entry.hash == light.hash_at(height):
                yield from self._proofs_in(entry.hash)

    def _proofs_in(self, hash_: BlockHash) -> tuple[tuple[Deposit, DepositProof], ...]:
        if hash_ not in self._proofs:
            self._proofs[hash_] = prove_deposits(self._pow.blocks[hash_])
        return self._proofs[hash_]

    def proof_of(self, name: tuple[bytes, int]) -> DepositProof:
        """Give the proof of a deposit on the best chain, whether anybody needs it or not."""
        for block in self._pow.best():
            for deposit, proof in self._proofs_in(block.hash):
                if (deposit.txid, deposit.vout) == name:
                    return proof
        raise LookupError("no block of the best chain has this deposit")

    def settlement(self) -> Transaction | None:
        """Give the settlement that is due now, None if there is none."""
        view = self._pow.ledger.view()
        state = reserve_state(view)
        proofs = FinalityProofs(self._dpos.ledger, self._dpos.engine.records)
        found = proofs.next_for(state.current.number, [known.number for known in state.pending])
        if found is None:
            return None
        if found.count <= state.count and found.members.number == state.current.number:
            return None
        reader = BridgeReader(self.spec, self._dpos.state)
        requests = [decode_request(raw) for raw in reader.requests(state.count + 1, found.count)]
        rule = BridgeSettlements(self.spec, self._pow.chain.genesis.hash)
        own = min(found.own, len(requests))
        try:
            coins = choose_coins(view, self.spec, self._pow.height + 1, requests)
            return build_settlement(
                rule,
                found.final.header,
                found.child.header,
                found.certificate,
                requests,
                own,
                state,
                coins,
            )
        except CannotSettle:
            return None


def proof_call(proof: DepositProof) -> bytes:
    """Give the calldata with which anybody proves a deposit."""
    return prove_deposit(proof)
