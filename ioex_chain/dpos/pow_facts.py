"""What this chain knows of the PoW chain: the one place that answers for the light client and the bridge.

Until those contracts stand it answers with genesis values: the buried PoW header is the PoW genesis block,
no payload item from the PoW chain is taken, no credit is due, no message goes out but the empty accumulator.
"""

from collections.abc import Sequence
from hashlib import sha256

from ioex_chain.dpos.block import Payload
from ioex_chain.dpos.errors import NoSuchContract, WrongWithdrawals
from ioex_chain.evm.genesis import NO_REQUESTS
from ioex_chain.evm.types import Withdrawal
from ioex_chain.ledger.types import Readable


def requests_hash(requests: Sequence[bytes]) -> bytes:
    """Give `requestsHash` of requests, each type byte || data (EIP-7685): sha256 over their sha256s."""
    return sha256(b"".join(sha256(request).digest() for request in requests)).digest()


class GenesisPowFacts:
    """Answers with genesis values; `pow_genesis` is the 32-byte PoW genesis hash as it is hashed."""

    def __init__(self, pow_genesis: bytes) -> None:
        self._pow_genesis = pow_genesis

    def buried_hash(self, view: Readable) -> bytes:  # noqa: ARG002 - the light client will answer from state
        """Give the hash of the PoW header buried k deep after the block whose state this is."""
        return self._pow_genesis

    def check_items(self, payload: Payload) -> None:
        """Check the payload's PoW headers and deposit proofs. Raises NoSuchContract."""
        if payload.pow_headers or payload.deposit_proofs:
            raise NoSuchContract(
                "PoW headers and deposit proofs need the light client, which does not stand yet"
            )

    def due_withdrawals(self, view: Readable) -> tuple[Withdrawal, ...]:  # noqa: ARG002 - as above
        """Give the credits that the next block must carry, read from its parent's state."""
        return ()

    def check_withdrawals(self, withdrawals: Sequence[Withdrawal], view: Readable) -> None:
        """Check a block's withdrawals against its parent's state. Raises WrongWithdrawals."""
        due = self.due_withdrawals(view)
        if tuple(withdrawals) != due:
            raise WrongWithdrawals(f"{len(due)} credits are due and the block has {len(withdrawals)}")

    def requests(self, view: Readable) -> tuple[bytes, ...]:  # noqa: ARG002 - as above
        """Drain the requests of a block: always ends with the accumulator."""
        return (NO_REQUESTS,)
