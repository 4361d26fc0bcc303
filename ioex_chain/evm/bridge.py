"""The Bridge contract as nodes see it: genesis storage, what its storage says, calldata of system calls.

The contract is `contracts/Bridge.vy`, its rules are docs/protocol.md section 6.1. Readers take any state with
`get_storage`; amounts are named by their unit: PoW units (1e-8 IOEX), gwei, wei.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum, IntFlag
from typing import Final, Protocol

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.evm.bridge_messages import (
    MAX_MEMBERS,
    DepositProof,
    Handover,
    Request,
    Withdraw,
    accumulate,
    accumulator_request,
    decode_accumulator,
    decode_proof,
    decode_request,
    encode_proof,
    encode_request,
)
from ioex_chain.evm.system import artefact, mapping_slot, selector
from ioex_chain.evm.types import Withdrawal
from ioex_chain.spec.model import NetworkSpec

__all__ = [
    "BridgeReader",
    "DepositProof",
    "Door",
    "Handover",
    "PauseReason",
    "Request",
    "Withdraw",
    "accumulate",
    "accumulator_request",
    "decode_accumulator",
    "decode_proof",
    "decode_request",
    "encode_proof",
    "encode_request",
    "genesis_storage",
    "handover",
    "on_block",
    "prove_deposit",
]

NAME: Final = "Bridge"
DAY: Final = 86_400
"""Seconds of the window of the outflow cap."""

_WORD = (1 << 64) - 1
_SLOT = (1 << 48) - 1
_HALF = (1 << 128) - 1
_PROGRAMS = {0: (b"\x00\x14", 20), 1: (b"\x00\x20", 32), 2: (b"\x51\x20", 32)}
_HANDOVER_FORM = 3


class CreditKind(IntEnum):
    """Where a credit comes from; also the withdrawal's validator index."""

    REWARD = 0
    DEPOSIT = 1


class Door(IntEnum):
    """What can be paused. Handovers have no door."""

    IN = 0
    """Rewards and deposits."""
    OUT = 1
    """New withdrawals."""


class PauseReason(IntFlag):
    """Why a door is closed; several may hold, none: it is open."""

    OWNER = 1
    DEEP_REORGANISATION = 2
    STALL = 4


class StorageReader(Protocol):
    """A state as far as contracts are read; `evm.state.FlatState` is one."""

    def get_storage(self, address: bytes, slot: int) -> int:
        """Give a slot's value."""
        ...


def genesis_storage(spec: NetworkSpec) -> dict[int, int]:
    """Give the storage that genesis writes: parameters of the spec, no slot that is zero."""
    addresses, bridge, slots = spec.contracts.addresses, spec.bridge, artefact(NAME).slots
    values = {
        "lightClient": int.from_bytes(addresses["PowLightClient"], "big"),
        "rewardPool": int.from_bytes(addresses["RewardPool"], "big"),
        "owner": int.from_bytes(spec.dpos.owner, "big"),
        "minWithdrawal": bridge.min_withdrawal,
        "maxWaiting": bridge.max_waiting,
        "maxRequests": bridge.max_requests,
        "stallSlots": spec.dpos.stall_slots,
        "ownerDelay": bridge.owner_delay,
        "dailyCap": bridge.daily_outflow_cap,
    }
    return {slots[name]: value for name, value in values.items() if value}


def outpoint_key(txid: bytes, vout: int) -> bytes:
    """Give the key under which an outpoint is credited: keccak256(txid || vout as uint32 big-endian)."""
    return keccak256(txid + vout.to_bytes(4, "big"))


class BridgeReader:
    """The Bridge's storage under one state: that of the block after which it is read."""

    def __init__(self, spec: NetworkSpec, state: StorageReader) -> None:
        self._address = spec.contracts.addresses[NAME]
        self._max_withdrawals = spec.dpos.max_withdrawals
        self._slots = artefact(NAME).slots
        self._state = state

    def _get(self, variable: str) -> int:
        return self._state.get_storage(self._address, self._slots[variable])

    def _at(self, variable: str, key: int | bytes) -> int:
        return self._state.get_storage(self._address, mapping_slot(self._slots[variable], key))

    # --- credits: PoW -> DPoS ---

    @property
    def credit_head(self) -> int:
        """Queue index of the first credit that is not paid yet."""
        return self._get("creditQueue") & _WORD

    @property
    def credit_tail(self) -> int:
        """How many credits were ever queued."""
        return self._get("creditQueue") >> 64

    def credit(self, index: int) -> Withdrawal:
        """Give a queued or paid credit as the withdrawal that pays it."""
        packed = self._at("credits", index)
        address = (packed & (1 << 160) - 1).to_bytes(20, "big")
        return Withdrawal(index, packed >> 224, address, packed >> 160 & _WORD)

    def due_credits(self, limit: int | None = None) -> tuple[Withdrawal, ...]:
        """Give the withdrawals of the next block: the head of the queue, by default of the spec's length."""
        queue = self._get("creditQueue")
        head, tail = queue & _WORD, queue >> 64
        end = min(tail, head + (self._max_withdrawals if limit is None else limit))
        return tuple(self.credit(index) for index in range(head, end))

    def credit_of(self, txid: bytes, vout: int) -> int | None:
        """Give the queue index of a deposit's credit; None when the outpoint was not credited."""
        place = self._at("creditOf", outpoint_key(txid, vout))
        return place - 1 if place else None

    def is_credited(self, txid: bytes, vout: int) -> bool:
        """Whether an outpoint was credited; paid once the queue's head has passed it."""
        return self.credit_of(txid, vout) is not None

    @property
    def counted_height(self) -> int:
        """The highest PoW height whose reward was credited; every one up to it was, once."""
        return self._get("counted")

    @property
    def credited_rewards(self) -> int:
        """All gwei ever credited as rewards."""
        return self._get("creditedTotals") & _HALF

    @property
    def credited_deposits(self) -> int:
        """All gwei ever credited for deposits."""
        return self._get("creditedTotals") >> 128

    def queued_gwei(self) -> int:
        """Give the gwei credited and not yet paid. Reads the whole queue."""
        return sum(credit.amount for credit in self.due_credits(limit=_WORD))

    # --- requests: DPoS -> PoW ---

    @property
    def queued(self) -> int:
        """How many requests were ever made."""
        return self._get("requestQueue") & _WORD

    @property
    def drained(self) -> int:
        """How many requests stand in blocks up to this one."""
        return self._get("requestQueue") >> 64 & _WORD

    @property
    def drained_before(self) -> int:
        """How many requests stand in the blocks before this one."""
        return self._get("requestQueue") >> 128 & _WORD

    @property
    def withdrawals_count(self) -> int:
        """How many of the requests are withdrawals."""
        return self._get("requestQueue") >> 192

    def request(self, number: int) -> bytes | None:
        """Give the bytes of request 1, 2, ...; None when there is none of this number."""
        head = self._at("requestHeads", number)
        if not head:
            return None
        form, value = head >> 248, head & _WORD
        if form == _HANDOVER_FORM:
            return encode_request(Handover(number, value, self._members(number)))
        prefix, size = _PROGRAMS[form]
        program = self._at("requestPrograms", number).to_bytes(32, "big")[:size]
        return encode_request(Withdraw(number, value, prefix + program))

    def _members(self, number: int) -> tuple[bytes, ...]:
        first = mapping_slot(self._slots["requestMembers"], number)
        count = self._state.get_storage(self._address, first)
        words = (self._state.get_storage(self._address, first + 1 + at) for at in range(count))
        return tuple(word.to_bytes(20, "big") for word in words)

    def requests(self, first: int, last: int) -> tuple[bytes, ...]:
        """Give the bytes of the requests from `first` to `last`. Raises LookupError."""
        return tuple(self._require(number) for number in range(first, last + 1))

    def _require(self, number: int) -> bytes:
        request = self.request(number)
        if request is None:
            raise LookupError(f"the Bridge has no request {number}")
        return request

    def accumulator(self, number: int) -> bytes:
        """Give the accumulator over the requests 1 to `number`: 32 zero bytes for 0."""
        return self._at("accumulators", number).to_bytes(32, "big")

    def drained_requests(self) -> tuple[bytes, ...]:
        """Give this block's whole list of requests; the accumulator is its last item."""
        queue = self._get("requestQueue")
        before, drained = queue >> 128 & _WORD, queue >> 64 & _WORD
        last = accumulator_request(drained, self.accumulator(drained))
        return (*self.requests(before + 1, drained), last)

    @property
    def last_set(self) -> int:
        """The number of the set that was handed over last; 0 before the first."""
        return self._get("lastSet")

    # --- doors and totals ---

    def pause_reasons(self, door: Door) -> PauseReason:
        """Say why a door is closed after this block; no reason: it is open."""
        reasons = PauseReason(0)
        if self._get("ownerPaused") >> door & 1:
            reasons |= PauseReason.OWNER
        if self._get("deepSeen") > self._get("deepAcknowledged"):
            reasons |= PauseReason.DEEP_REORGANISATION
        if door == Door.OUT and self.stalled_slots >= self._get("stallSlots"):
            reasons |= PauseReason.STALL
        return reasons

    def is_paused(self, door: Door) -> bool:
        """Whether a door is closed after this block."""
        return bool(self.pause_reasons(door))

    @property
    def slot(self) -> int:
        """The slot of the last block that the Bridge closed."""
        return self._get("finality") & _SLOT

    @property
    def final_slot(self) -> int:
        """The slot of the block that the last block recorded as final."""
        return self._get("finality") >> 48 & _SLOT

    @property
    def stalled_slots(self) -> int:
        """Slots since the final block; from the spec's `stall_slots` on the out-door is closed."""
        return self.slot - self.final_slot

    @property
    def waiting(self) -> int:
        """Requests not seen to be drained for good; no withdrawal is taken while `max_waiting` are."""
        return self.queued - (self._get("finality") >> 192)

    @property
    def daily_cap(self) -> int:
        """PoW units that may be withdrawn in a day."""
        return self._get("dailyCap")

    def outflow_on(self, timestamp: int) -> int:
        """Give the PoW units withdrawn on the day (UTC) of a Unix time not before the last block."""
        packed = self._get("outflow")
        return packed & _HALF if packed >> 128 == timestamp // DAY else 0

    @property
    def requested_units(self) -> int:
        """All PoW units ever withdrawn, fees included."""
        return self._get("requestedUnits")

    @property
    def retired_wei(self) -> int:
        """All wei ever retired."""
        return self._get("retiredTotal")


# --- calldata of the protocol's calls --------------------------------------------------------------------

_ON_BLOCK = selector("onBlock(uint256,uint256,uint256)")
_HANDOVER = selector("handover(uint256,address[])")
_PROVE_DEPOSIT = selector("proveDeposit(bytes,uint256,bytes32[],bytes,uint256)")


def _words(*values: int) -> bytes:
    return b"".join([value.to_bytes(32, "big") for value in values])


def _sized(data: bytes) -> bytes:
    return _words(len(data)) + data + bytes(-len(data) % 32)


def _listed(items: Iterable[bytes]) -> bytes:
    words = [item.rjust(32, b"\0") for item in items]
    return _words(len(words)) + b"".join(words)


def on_block(taken: int, slot: int, final_slot: int) -> bytes:
    """Encode Bridge.onBlock: withdrawals in the block, its slot, the slot of what it records as final."""
    return _ON_BLOCK + _words(taken, slot, final_slot)


def handover(set_number: int, members: Sequence[bytes]) -> bytes:
    """Encode Bridge.handover: a newly read set's number and its members' keys (20 bytes), in order."""
    if len(members) > MAX_MEMBERS:
        raise ValueError(f"a set has at most {MAX_MEMBERS} members, not {len(members)}")
    return _HANDOVER + _words(set_number, 64) + _listed(members)


def prove_deposit(proof: DepositProof) -> bytes:
    """Encode Bridge.proveDeposit: what the protocol's call and a paid transaction both carry."""
    header, branch, raw = _sized(proof.header), _listed(proof.branch), _sized(proof.raw)
    at = 5 * 32
    head = _words(at, proof.index, at + len(header), at + len(header) + len(branch), proof.vout)
    return _PROVE_DEPOSIT + head + header + branch + raw
