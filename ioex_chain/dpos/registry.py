"""The ranking of arbitrators, read straight from ArbitratorRegistry's storage (docs/protocol.md section 5).

The contract keeps the facts; the rule that makes seats of them is `rank`, and stands nowhere else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ioex_chain.dpos.sets import Member
from ioex_chain.evm.state import FlatState
from ioex_chain.evm.system import Registry, mapping_slot
from ioex_chain.evm.types import EMPTY_CODE_HASH
from ioex_chain.ledger.types import Readable
from ioex_chain.spec.model import NetworkSpec

_ADDRESS = (1 << 160) - 1
_COUNTER = (1 << 64) - 1


class StateReader(Protocol):
    """A state as far as the registry is read; `evm.state.FlatState` is one."""

    def get_storage(self, address: bytes, slot: int) -> int:
        """Give a slot's value."""
        ...

    def get_code_hash(self, address: bytes) -> bytes:
        """Give the hash of an account's code."""
        ...


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner as the registry has it. Addresses are 20 bytes, zero where nothing was set."""

    number: int
    """From 1, in the order of admission."""
    operator: bytes
    key: bytes
    """The key of later sets; empty (zero) before registration and after evidence against it."""
    payout: bytes
    votes: int
    """Locked wei."""
    admitted: bool
    standby: bool
    jailed: bool
    has_node: bool
    produced: int
    missed: int
    missed_in_row: int
    release_time: int
    """Unix time before which the owner cannot release it from jail."""
    name: str


def rank(partners: Iterable[Partner], seats: int, nodes_required: bool) -> tuple[Member, ...]:
    """Give the candidate set: at most `seats` members, best first.

    A partner ranks when it is admitted, has a key and a payout address, and is neither on standby nor in
    jail; once NodeRegistry stands (`nodes_required`) it also needs a bootstrap node. More votes rank
    higher; of equal votes the earlier admission. The order is also the members' order in the set.
    """
    ranked = sorted(
        (
            partner
            for partner in partners
            if partner.admitted
            and not partner.standby
            and not partner.jailed
            and any(partner.key)
            and any(partner.payout)
            and (partner.has_node or not nodes_required)
        ),
        key=lambda partner: (-partner.votes, partner.number),
    )
    return tuple(Member(partner.key, partner.payout) for partner in ranked[:seats])


class RegistryReader:
    """ArbitratorRegistry's storage under one state."""

    def __init__(self, spec: NetworkSpec, state: StateReader) -> None:
        self._seats = spec.dpos.seats
        self._address = spec.contracts.addresses[Registry.NAME]
        self._nodes = spec.contracts.addresses["NodeRegistry"]
        self._state = state

    def _get(self, slot: int) -> int:
        return self._state.get_storage(self._address, slot)

    @property
    def nodes_required(self) -> bool:
        """Whether NodeRegistry has code, so that a seat needs a bootstrap node."""
        return self._state.get_code_hash(self._nodes) != EMPTY_CODE_HASH

    def version(self) -> int:
        """Give a number that differs when the ranking may differ: one storage read and one account read."""
        return self._get(Registry.slot("version")) << 1 | self.nodes_required

    def count(self) -> int:
        """Give how many partners were ever admitted."""
        return self._get(Registry.slot("partnerCount"))

    def partner(self, number: int) -> Partner:
        """Give partner 1, 2, ..."""
        first = Registry.partner_slot(number, 0)
        field = [self._get(first + at) for at in range(Registry.PARTNER_SIZE)]
        status, counters = field[Registry.STATUS], field[Registry.COUNTERS]
        name = field[Registry.PARTNER_NAME].to_bytes(32, "big").rstrip(b"\0")
        return Partner(
            number=number,
            operator=_address(field[Registry.OPERATOR]),
            key=_address(field[Registry.KEY]),
            payout=_address(field[Registry.PAYOUT]),
            votes=field[Registry.VOTES],
            admitted=bool(status & Registry.ADMITTED),
            standby=bool(status & Registry.STANDBY),
            jailed=bool(status & Registry.JAILED),
            has_node=bool(status & Registry.NODE),
            produced=counters & _COUNTER,
            missed=counters >> 64 & _COUNTER,
            missed_in_row=counters >> 128,
            release_time=field[Registry.RELEASE_TIME],
            name=name.decode(errors="replace"),
        )

    def partners(self) -> tuple[Partner, ...]:
        """Give all partners, in the order of admission."""
        return tuple(self.partner(number) for number in range(1, self.count() + 1))

    def partner_of(self, key: bytes) -> Partner | None:
        """Give the partner that has or had a signing key."""
        number = self._get(mapping_slot(Registry.slot("partnerOf"), key))
        return self.partner(number) if number else None

    def takes_evidence(self, key: bytes) -> bool:
        """Whether `onEvidence` would succeed: a partner had the key, and no evidence against it was taken."""
        known = self._get(mapping_slot(Registry.slot("partnerOf"), key))
        return bool(known) and not self._get(mapping_slot(Registry.slot("burned"), key))

    def ranking(self) -> tuple[Member, ...]:
        """Give the candidate set of this state, by `rank`."""
        return rank(self.partners(), self._seats, self.nodes_required)


def _address(value: int) -> bytes:
    return (value & _ADDRESS).to_bytes(20, "big")


def ranking(spec: NetworkSpec, view: Readable) -> tuple[Member, ...]:
    """Give the candidate set of the state in `view`."""
    return RegistryReader(spec, FlatState(view)).ranking()


def version(spec: NetworkSpec, view: Readable) -> int:
    """Give a number that differs when the ranking of two states may differ; cheap."""
    return RegistryReader(spec, FlatState(view)).version()
