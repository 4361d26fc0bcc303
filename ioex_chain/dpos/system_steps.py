"""The system calls of a block, in their order (docs/protocol.md section 4.6).

Checking, building and tracing a block all make them here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ioex_chain.dpos import errors
from ioex_chain.dpos.block import Payload
from ioex_chain.dpos.evidence import Offence
from ioex_chain.dpos.execution import Execution
from ioex_chain.dpos.pow_facts import PowFacts
from ioex_chain.dpos.sets import ArbitratorSet
from ioex_chain.evm import system
from ioex_chain.evm.errors import SystemCallFailed
from ioex_chain.spec.model import NetworkSpec


@dataclass(frozen=True, slots=True)
class Ending:
    """What the calls after a block's transactions say."""

    key: bytes
    """The producer's."""
    missed: list[bytes]
    """Keys of the empty slots before the block, oldest first."""
    term: int
    reward: int
    """Wei."""
    slot: int
    final_slot: int
    """Slot of the block that this block records as final."""
    taken: int
    """Withdrawals of the block."""
    handover: ArbitratorSet | None
    """The set that this block is the first to see as the one read last."""


class SystemSteps:
    """Makes the calls on a run."""

    def __init__(self, spec: NetworkSpec, pow_facts: PowFacts) -> None:
        self._registry = spec.contracts.addresses["ArbitratorRegistry"]
        self._pool = spec.contracts.addresses["RewardPool"]
        self._pow_facts = pow_facts

    def before(self, run: Execution, payload: Payload, offences: Iterable[Offence]) -> None:
        """Carry out the payload: headers, proofs, evidence; `offences` are what the evidence proves.

        Raises PowHeaderRefused, DepositProofRefused, DepositProofMalformed, EvidenceRefused.
        """
        for place, header in enumerate(payload.pow_headers):
            try:
                self.submit(run, header)
            except SystemCallFailed as error:
                raise errors.PowHeaderRefused(f"PoW header {place} of the payload: {error}") from error
        for place, proof in enumerate(payload.deposit_proofs):
            try:
                self.prove(run, proof)
            except SystemCallFailed as error:
                raise errors.DepositProofRefused(f"deposit proof {place} of the payload: {error}") from error
        for one in offences:
            try:
                self.punish(run, one)
            except SystemCallFailed as error:
                raise errors.EvidenceRefused(f"against 0x{one.key.hex()}: {error}") from error

    def submit(self, run: Execution, header: bytes) -> None:
        """Give a PoW header to the light client. Raises SystemCallFailed."""
        run.system_call(*self._pow_facts.header_call(header))

    def prove(self, run: Execution, proof: bytes) -> None:
        """Give a deposit proof to the Bridge. Raises SystemCallFailed, DepositProofMalformed."""
        run.system_call(*self._pow_facts.proof_call(proof))

    def punish(self, run: Execution, one: Offence) -> None:
        """Tell the registry of an offence. Raises SystemCallFailed."""
        run.system_call(self._registry, system.on_evidence(one.key, int(one.kind), one.position))

    def after(self, run: Execution, ending: Ending) -> None:
        """Do what follows transactions and base fees: the slot's result, reward, Bridge.

        Raises SystemCallFailed.
        """
        run.system_call(self._registry, system.on_block(ending.key, ending.missed))
        run.system_call(self._pool, system.accrue(ending.key, ending.term, ending.reward))
        facts, handed = self._pow_facts, ending.handover
        if handed is not None:
            keys = [member.key for member in handed.members]
            run.system_call(*facts.handover_call(handed.number, keys))
        run.system_call(*facts.end_call(ending.taken, ending.slot, ending.final_slot))
