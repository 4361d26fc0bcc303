"""What a producer puts into its payload: what the block's own rules take (docs/protocol.md section 4.6)."""

from collections.abc import Callable, Iterable

from ioex_chain.dpos import errors, payload_rules
from ioex_chain.dpos.evidence import Offence
from ioex_chain.dpos.execution import Execution
from ioex_chain.dpos.finality_ports import Signatures
from ioex_chain.dpos.system_steps import SystemSteps
from ioex_chain.dpos.votes import Evidence
from ioex_chain.evm.errors import SystemCallFailed
from ioex_chain.spec.model import DposSpec

SYSTEM_RESERVE = 6_000_000
"""System gas that PoW items leave to evidence and to the calls after the transactions."""
CALLS_RESERVE = 3_000_000
"""System gas that evidence leaves to the calls after the transactions: a handover takes half of it."""
PROOFS_GAS = 6_000_000
"""System gas after which no more proofs are tried: 16 of ordinary transactions take less. One of a
transaction with the most outputs takes a tenth of a second, and transactions are to have their time too."""
_REFUSALS = 8
"""Items refused after which no more of their kind are tried."""
_LIST_HEAD = 4
"""Bytes that an item may need beside its own."""


class PayloadTrial:
    """Tries items on a run that is thrown away and keeps those that are taken.

    To be asked in the order of the block: headers, proofs, evidence.
    """

    def __init__(
        self, spec: DposSpec, steps: SystemSteps, run: Execution, room: int, go_on: Callable[[], bool]
    ) -> None:
        """`room`: bytes of the block for PoW headers and proofs; none is tried once `go_on` says no."""
        self._spec = spec
        self._steps = steps
        self._run = run
        self._room = room
        self._go_on = go_on

    def pow_headers(self, wanted: Iterable[bytes]) -> tuple[bytes, ...]:
        """Give the headers that the light client takes, at most as many as a block may carry."""
        kept: list[bytes] = []
        refused = 0
        for header in wanted:
            merged = sum(map(payload_rules.is_merged, (*kept, header)))
            if len(kept) == self._spec.max_pow_headers or merged > self._spec.max_merged_headers:
                break
            if refused == _REFUSALS or not self._fits(header):
                break
            try:
                payload_rules.check_pow_header(header)
                self._steps.submit(self._run, header)
            except (errors.PowHeaderMalformed, SystemCallFailed):
                refused += 1
            else:
                self._keep(kept, header)
        return tuple(kept)

    def deposit_proofs(self, wanted: Iterable[bytes]) -> tuple[bytes, ...]:
        """Give the proofs that the Bridge takes, at most as many as a block may carry."""
        kept: list[bytes] = []
        refused = 0
        least = self._run.system_gas_left - PROOFS_GAS
        for proof in wanted:
            if len(kept) == self._spec.max_deposit_proofs or refused == _REFUSALS:
                break
            if self._run.system_gas_left <= least:
                break
            if not self._fits(proof):
                continue
            try:
                payload_rules.check_deposit_proof(proof)
                self._steps.prove(self._run, proof)
            except (errors.DepositProofMalformed, SystemCallFailed):
                refused += 1
            else:
                self._keep(kept, proof)
        return tuple(kept)

    def evidence(
        self, wanted: Iterable[Evidence], signatures: Signatures
    ) -> tuple[tuple[Evidence, ...], list[Offence]]:
        """Give the evidence that proves something and that the registry takes, with what it proves."""
        kept: dict[bytes, tuple[Evidence, Offence]] = {}
        for item in wanted:
            if self._run.system_gas_left <= CALLS_RESERVE:
                break
            try:
                (one,) = payload_rules.offences((item,), signatures)
                if one.key not in kept:
                    self._steps.punish(self._run, one)
                    kept[one.key] = item, one
            except (errors.EvidenceProvesNothing, SystemCallFailed):
                continue
        return tuple(item for item, _ in kept.values()), [one for _, one in kept.values()]

    def _fits(self, item: bytes) -> bool:
        has_room = len(item) + _LIST_HEAD <= self._room and self._run.system_gas_left > SYSTEM_RESERVE
        return has_room and self._go_on()

    def _keep(self, kept: list[bytes], item: bytes) -> None:
        self._room -= len(item) + _LIST_HEAD
        kept.append(item)
