"""Block and payload (docs/protocol.md section 4): values; their bytes stand in `codec`."""

from dataclasses import dataclass, field

from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.votes import Certificate, Evidence
from ioex_chain.evm.types import Transaction, Withdrawal

MAX_POW_HEADER_SIZE = 80 + 4_096
"""Bytes of a PoW header with its AuxPoW record (docs/protocol.md section 3)."""
MAX_DEPOSIT_PROOF_SIZE = 80 + 4 + 1 + 14 * 32 + 4 + 32_768
"""Bytes of a deposit proof: header, index, depth, branch, output number, transaction."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What stands beside the transactions: rlp([certificate, evidence, PoW headers, proofs]).

    PoW headers and deposit proofs are byte strings for the system contracts to judge.
    """

    certificate: Certificate | None = None
    evidence: tuple[Evidence, ...] = ()
    pow_headers: tuple[bytes, ...] = ()
    deposit_proofs: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A whole block: rlp([header, seal, transactions, withdrawals, payload]), at most 8,000,000 bytes.

    `raw` is what it was read from or first written as, so that storing does not encode again.
    """

    header: SealedHeader
    transactions: tuple[Transaction, ...]
    withdrawals: tuple[Withdrawal, ...]
    payload: Payload
    raw: bytes = field(compare=False, repr=False)

    def encode(self) -> bytes:
        """Give the block's bytes."""
        return self.raw
