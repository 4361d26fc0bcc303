"""Which deposits wait for a proof: found block by block as they are buried (docs/protocol.md section 6).

What was credited is the DPoS state's to say; the watch only remembers how far it has read. Losing that costs
reading the chain again and nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ioex_chain.bridge.deposits import Deposit, find_deposits, prove_deposits
from ioex_chain.evm.bridge_messages import encode_proof
from ioex_chain.pow.ledger import PowLedger
from ioex_chain.primitives.types import BlockHash

T = TypeVar("T")
MAX_WAITING = 1_024
"""Deposits remembered; of more the largest: the others are left to their owners to prove."""


class LightClient(Protocol):
    """The light client in one state; `evm.light_client.LightClientReader` is one."""

    def hash_at(self, height: int) -> bytes | None:
        """Give the hash at a height of the light client's best chain."""
        ...

    def buried_height(self) -> int:
        """Give the highest height that is buried deep enough."""
        ...


class Credited(Protocol):
    """What the Bridge credited in one state; `evm.bridge.BridgeReader` is one."""

    def is_credited(self, txid: bytes, vout: int) -> bool:
        """Whether an outpoint was credited."""
        ...


@dataclass(frozen=True, slots=True)
class ReadTo:
    """A block of the PoW chain: deposits in it and below are credited for good, or too small to carry."""

    height: int
    hash: BlockHash


@dataclass(frozen=True, slots=True)
class WaitingDeposit:
    """A deposit that was not seen credited for good; `proof` are the payload's bytes."""

    height: int
    block: BlockHash
    deposit: Deposit
    proof: bytes


class DepositWatch:
    """Reads the PoW chain for deposits. `advance` and `forget` are called by one thread at a time."""

    def __init__(self, ledger: PowLedger, minimum: int, read_to: ReadTo | None = None) -> None:
        """`minimum` in PoW units: smaller deposits are their owners' to prove. `read_to` as kept before."""
        self._ledger = ledger
        self._minimum = minimum
        self._read = read_to or self._genesis
        self.waiting: tuple[WaitingDeposit, ...] = ()
        """In the order of the chain; replaced as a whole, so that any thread may read it."""

    @property
    def _genesis(self) -> ReadTo:
        return ReadTo(0, self._ledger.genesis.hash)

    def read_to(self) -> ReadTo:
        """Give from where on the chain must be read again after a restart."""
        if not self.waiting:
            return self._read
        entry = self._ledger.entry_at(self.waiting[0].height - 1)
        return self._genesis if entry is None else ReadTo(entry.height, entry.hash)

    def advance(self, buried: int, most: int) -> bool:
        """Read up to `most` blocks, none above height `buried`; tell whether more are left."""
        self._step_back()
        for _ in range(most):
            if self._read.height >= buried:
                return False
            entry = self._ledger.entry_at(self._read.height + 1)
            if entry is None or self._ledger.body_bytes(entry.hash) is None:
                return False
            if entry.header.parent_hash != self._read.hash:
                self._step_back()
                continue
            self._take(entry.height, entry.hash)
            self._read = ReadTo(entry.height, entry.hash)
        return True

    def _take(self, height: int, hash_: BlockHash) -> None:
        block = self._ledger.body(hash_)
        found = [deposit for _, deposit in find_deposits(block) if deposit.amount >= self._minimum]
        wanted = set(_largest(found, lambda deposit: deposit.amount))  # a block may hold 180,000 of them
        proven = prove_deposits(block, lambda deposit: deposit in wanted)
        new = [WaitingDeposit(height, hash_, deposit, encode_proof(proof)) for deposit, proof in proven]
        self.waiting = _largest((*self.waiting, *new), lambda one: one.deposit.amount)

    def _step_back(self) -> None:
        """Go back to where the best chain and what was read are one."""
        entry = self._ledger.entry(self._read.hash)
        if entry is None or entry.height != self._read.height:  # of another chain, or damaged
            self._read, self.waiting = self._genesis, ()
            return
        if self._ledger.is_on_best_chain(entry):
            return
        fork = self._ledger.fork_point(entry, self._ledger.head)
        self._read = ReadTo(fork.height, fork.hash)
        self.waiting = tuple(one for one in self.waiting if one.height <= fork.height)

    def forget(self, final: Credited) -> None:
        """Drop what is credited in a final state of the DPoS chain."""
        kept = [one for one in self.waiting if not final.is_credited(one.deposit.txid, one.deposit.vout)]
        if len(kept) < len(self.waiting):
            self.waiting = tuple(kept)

    def proofs_due(self, light: LightClient, credited: Credited, most: int) -> tuple[bytes, ...]:
        """Give proofs that a block on this state can carry: the oldest deposits, and as many large ones.

        So a flood of small deposits delays small ones only.
        """
        buried = light.buried_height()
        due: list[WaitingDeposit] = []
        same: dict[int, bool] = {}

        def agrees(one: WaitingDeposit) -> bool:
            if one.height not in same:
                same[one.height] = light.hash_at(one.height) == one.block
            return same[one.height]

        for one in self.waiting:
            if one.height > buried:
                break
            if agrees(one) and not credited.is_credited(one.deposit.txid, one.deposit.vout):
                due.append(one)
        oldest = due[: max(1, most // 2)]
        others = sorted(due[len(oldest) :], key=lambda one: -one.deposit.amount)
        return tuple(one.proof for one in (*oldest, *others)[:most])


def _largest(rows: Sequence[T], amount: Callable[[T], int]) -> tuple[T, ...]:
    """Give the rows with the largest amounts, as many as are remembered, in their order."""
    if len(rows) <= MAX_WAITING:
        return tuple(rows)
    places = sorted(range(len(rows)), key=lambda at: -amount(rows[at]))[:MAX_WAITING]
    return tuple(rows[at] for at in sorted(places))
