"""RewardPool's storage as clients ask for it: what it owes, and to whom (docs/protocol.md section 5.3)."""

from dataclasses import dataclass
from typing import Final, Protocol

from ioex_chain.evm.system import artefact, mapping_slot
from ioex_chain.spec.model import NetworkSpec

NAME: Final = "RewardPool"
_BITS = 96
_AMOUNT = (1 << _BITS) - 1
_HALF = (1 << 128) - 1


class PoolState(Protocol):
    """A state as far as the pool is read; `evm.state.FlatState` is one."""

    def get_storage(self, address: bytes, slot: int) -> int:
        """Give a slot's value."""
        ...

    def get_balance(self, address: bytes) -> int:
        """Give an account's wei."""
        ...


@dataclass(frozen=True, slots=True)
class TermOfKey:
    """What a key earned in a term, what of it is paid, and what a claim pays now, in wei."""

    term: int
    earned: int
    paid: int
    claimable: int


class RewardPoolReader:
    """The pool under one state. Amounts are wei; the names are those of the contract's views."""

    def __init__(self, spec: NetworkSpec, state: PoolState) -> None:
        self._address = spec.contracts.addresses[NAME]
        self._slots = artefact(NAME).slots
        self._state = state
        self._open = self._get("open")

    def _get(self, variable: str) -> int:
        return self._state.get_storage(self._address, self._slots[variable])

    @property
    def balance(self) -> int:
        """What it has."""
        return self._state.get_balance(self._address)

    @property
    def claimed(self) -> int:
        """What was ever paid."""
        return self._get("claimedTotal")

    @property
    def forfeited(self) -> int:
        """What keys lost by evidence."""
        return self._get("forfeitedTotal")

    @property
    def income(self) -> int:
        """What ever came in."""
        return self.balance + self.claimed

    @property
    def unclaimed(self) -> int:
        """Earned, neither paid nor forfeited."""
        return self._line - self._get("linePaid")

    @property
    def accrued(self) -> int:
        """What was ever earned."""
        return self.unclaimed + self.claimed + self.forfeited

    @property
    def debt(self) -> int:
        """Earned beyond what it has."""
        return max(0, self.unclaimed - self.balance)

    @property
    def open_term(self) -> int:
        """The newest term with a block; rewards of those before it can be claimed."""
        return self._open >> 2 * _BITS

    @property
    def _line(self) -> int:
        return (self._open >> _BITS & _AMOUNT) + (self._open & _AMOUNT)

    def of_key(self, key: bytes, term: int) -> TermOfKey:
        """Give a key's part of a term; the rule of what is due is the contract's `_due`."""
        slot = mapping_slot(self._slots["earned"], key, term)
        entry = self._state.get_storage(self._address, slot)
        earned, paid = entry & _HALF, entry >> 128
        return TermOfKey(term, earned, paid, self._due(term, earned, paid) if earned else 0)

    def _due(self, term: int, earned: int, paid: int) -> int:
        if term >= self.open_term:
            return 0
        line = self._state.get_storage(self._address, mapping_slot(self._slots["terms"], term))
        start, accrued = line >> _BITS, line & _AMOUNT
        income = self.balance + self._get("linePaid")
        if income >= start + accrued:
            share = earned
        elif income > start:
            share = earned * (income - start) // accrued
        else:
            share = 0
        return max(0, share - paid)
