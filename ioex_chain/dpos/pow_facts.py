"""What this chain knows of the PoW chain, and what it tells it: the light client and the Bridge.

The rules of blocks ask here only (docs/protocol.md sections 4.6 and 6). `StatePowFacts` answers from the
contracts' storage; a simulation without contracts has its own answers.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

from ioex_chain.dpos.errors import DepositProofMalformed, WrongWithdrawals
from ioex_chain.evm import bridge, light_client
from ioex_chain.evm.bridge import BridgeReader
from ioex_chain.evm.light_client import LightClientReader
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.types import Withdrawal
from ioex_chain.ledger.types import Readable
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.spec.model import NetworkSpec


class Call(NamedTuple):
    """A system call: the contract's 20-byte address, and calldata."""

    to: bytes
    data: bytes


class PowFacts(Protocol):
    """What the rules of blocks ask of light client and Bridge, and the calls that they make."""

    def buried_hash(self, view: Readable) -> bytes:
        """Give the hash, as it is hashed, of the PoW header buried k deep after the block of this state."""
        ...

    def due_withdrawals(self, view: Readable) -> tuple[Withdrawal, ...]:
        """Give the credits that the next block must carry, read from its parent's state."""
        ...

    def requests(self, view: Readable) -> tuple[bytes, ...]:
        """Give what the block of this state drained: always ends with the accumulator."""
        ...

    def drained(self, view: Readable) -> int:
        """Give the number of the last request that was drained; 0 for none."""
        ...

    def header_call(self, header: bytes) -> Call:
        """Give the call for a PoW header of a payload."""
        ...

    def proof_call(self, proof: bytes) -> Call:
        """Give the call for a deposit proof of a payload. Raises DepositProofMalformed."""
        ...

    def handover_call(self, number: int, members: Sequence[bytes]) -> Call:
        """Give the call that hands set `number` over; `members` are keys in the set's order."""
        ...

    def end_call(self, taken: int, slot: int, final_slot: int) -> Call:
        """Give the Bridge's call at the end of a block.

        `taken`: withdrawals of the block; `final_slot`: slot of the block that it records as final.
        """
        ...


class StatePowFacts:
    """Answers from the storage of PowLightClient and Bridge."""

    def __init__(self, spec: NetworkSpec) -> None:
        self._spec = spec
        self._light_client = spec.contracts.addresses[light_client.NAME]
        self._bridge = spec.contracts.addresses[bridge.NAME]
        self._limit = spec.dpos.max_withdrawals

    def _reader(self, view: Readable) -> BridgeReader:
        return BridgeReader(self._spec, FlatState(view))

    def buried_hash(self, view: Readable) -> bytes:
        """Give the hash of the PoW header buried k deep; the PoW genesis hash while there is none."""
        return LightClientReader(self._spec, FlatState(view)).buried_hash()

    def due_withdrawals(self, view: Readable) -> tuple[Withdrawal, ...]:
        """Give the first of the Bridge's queue, at most `max_withdrawals`."""
        return self._reader(view).due_credits(self._limit)

    def requests(self, view: Readable) -> tuple[bytes, ...]:
        """Give the requests drained by the block of this state, then the accumulator."""
        return self._reader(view).drained_requests()

    def drained(self, view: Readable) -> int:
        """Give the number of the last request that was drained."""
        return self._reader(view).drained

    def header_call(self, header: bytes) -> Call:
        """Give PowLightClient.submit."""
        return Call(self._light_client, light_client.submit(header))

    def proof_call(self, proof: bytes) -> Call:
        """Give Bridge.proveDeposit. Raises DepositProofMalformed."""
        try:
            return Call(self._bridge, bridge.prove_deposit(bridge.decode_proof(proof)))
        except DecodeError as error:
            raise DepositProofMalformed(str(error)) from error

    def handover_call(self, number: int, members: Sequence[bytes]) -> Call:
        """Give Bridge.handover."""
        return Call(self._bridge, bridge.handover(number, members))

    def end_call(self, taken: int, slot: int, final_slot: int) -> Call:
        """Give Bridge.onBlock."""
        return Call(self._bridge, bridge.on_block(taken, slot, final_slot))


def requests_hash(requests: Sequence[bytes]) -> bytes:
    """Give `requestsHash` of requests, each type byte || data (EIP-7685): sha256 over their sha256s."""
    return sha256(b"".join(sha256(request).digest() for request in requests)).digest()


def check_withdrawals(withdrawals: Sequence[Withdrawal], due: Sequence[Withdrawal]) -> None:
    """Check a block's withdrawals against the credits that are due. Raises WrongWithdrawals."""
    for place, (given, expected) in enumerate(zip(withdrawals, due, strict=False)):
        if given != expected:
            raise WrongWithdrawals(
                f"withdrawal {place} is {_words(given)}, the Bridge's queue has {_words(expected)}"
            )
    if len(withdrawals) != len(due):
        raise WrongWithdrawals(f"{len(due)} credits are due, the block has {len(withdrawals)}")


def _words(one: Withdrawal) -> str:
    return f"({one.index}, {one.validator_index}, 0x{one.address.hex()}, {one.amount} gwei)"
