"""Readers for the parameters of calls: messages, overrides, eth_simulateV1's payload (execution-apis)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import PlainValidator, WithJsonSchema

from ioex_chain.evm.types import AccessEntry, Authorization, Withdrawal
from ioex_chain.rpc.eth.evm_port import (
    ZERO_ADDRESS,
    AccountOverride,
    BlockOverride,
    Message,
    Overrides,
    SimulatedStep,
)
from ioex_chain.rpc.eth.values import (
    fault,
    read_address,
    read_bytes,
    read_hash,
    read_list,
    read_quantity,
    read_slot,
    read_uint64,
    wrong_type,
)
from ioex_chain.rpc.params import Param

T = TypeVar("T")
MAX_ACCOUNTS = 1_000
MAX_SLOTS = 10_000
MAX_STEPS = 256
MAX_CALLS = 5_000
MAX_ENTRIES = 10_000
_BLOB_MEMBERS = ("blobVersionedHashes", "blobs", "commitments", "proofs", "maxFeePerBlobGas")


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong_type("must be an object")
    return value


def _optional(value: Mapping[str, object], name: str, read: Callable[[object], T]) -> T | None:
    given = value.get(name)
    return None if given is None else read(given)


def read_message(value: object) -> Message:
    """Read a `GenericTransaction`; members that it does not have are ignored, as other nodes do."""
    given = _object(value)
    if any(given.get(name) for name in _BLOB_MEMBERS[:4]):
        raise fault("blob transactions are not supported by this chain")
    max_fee, max_priority_fee = _prices(given)
    return Message(
        sender=_optional(given, "from", read_address) or ZERO_ADDRESS,
        to=_optional(given, "to", read_address),
        gas=_optional(given, "gas", read_uint64),
        value=_optional(given, "value", read_quantity) or 0,
        data=_data(given),
        nonce=_optional(given, "nonce", read_uint64),
        max_fee=max_fee,
        max_priority_fee=max_priority_fee,
        access_list=_optional(given, "accessList", _read_access_list),
        authorizations=_optional(given, "authorizationList", _read_authorizations) or (),
    )


def _prices(given: Mapping[str, object]) -> tuple[int | None, int | None]:
    price = _optional(given, "gasPrice", read_quantity)
    max_fee = _optional(given, "maxFeePerGas", read_quantity)
    tip = _optional(given, "maxPriorityFeePerGas", read_quantity)
    if price is None:
        if max_fee is not None and tip is not None and tip > max_fee:
            raise fault("max priority fee per gas higher than max fee per gas")
        return max_fee, tip
    if max_fee is not None or tip is not None:
        raise fault("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    return price, price


def _data(given: Mapping[str, object]) -> bytes:
    input_ = _optional(given, "input", read_bytes)
    data = _optional(given, "data", read_bytes)
    if input_ is not None and data is not None and input_ != data:
        raise fault('both "data" and "input" are set and not equal; use "input"')
    return input_ if input_ is not None else data or b""


def _read_access_list(value: object) -> tuple[AccessEntry, ...]:
    entries = read_list(value, _read_access_entry, MAX_ENTRIES)
    return tuple(entries)


def _read_access_entry(value: object) -> AccessEntry:
    given = _object(value)
    slots = read_list(given.get("storageKeys", []), read_hash, MAX_ENTRIES)
    return AccessEntry(read_address(given.get("address")), tuple(slots))


def _read_authorizations(value: object) -> tuple[Authorization, ...]:
    return tuple(read_list(value, _read_authorization, MAX_ENTRIES))


def _read_authorization(value: object) -> Authorization:
    given = _object(value)
    return Authorization(
        read_quantity(given.get("chainId")),
        read_address(given.get("address")),
        read_uint64(given.get("nonce")),
        read_quantity(given.get("yParity"), 255),
        read_quantity(given.get("r")),
        read_quantity(given.get("s")),
    )


def read_overrides(value: object) -> Overrides:
    """Read a dictionary of account overrides."""
    given = _object(value)
    if len(given) > MAX_ACCOUNTS:
        raise fault(f"overrides {len(given)} accounts, at most {MAX_ACCOUNTS} are taken")
    overrides = {read_address(address): _read_account(account) for address, account in given.items()}
    if len(overrides) != len(given):
        raise fault("overrides an account twice")
    return overrides


def _read_account(value: object) -> AccountOverride:
    given = _object(value)
    override = AccountOverride(
        nonce=_optional(given, "nonce", read_uint64),
        balance=_optional(given, "balance", read_quantity),
        code=_optional(given, "code", read_bytes),
        state=_optional(given, "state", _read_storage),
        state_diff=_optional(given, "stateDiff", _read_storage),
        move_precompile_to=_optional(given, "movePrecompileToAddress", read_address),
    )
    if override.state is not None and override.state_diff is not None:
        raise fault("an account has both state and stateDiff")
    return override


def _read_storage(value: object) -> dict[int, int]:
    given = _object(value)
    if len(given) > MAX_SLOTS:
        raise fault(f"overrides {len(given)} slots, at most {MAX_SLOTS} are taken")
    return {read_slot(slot): read_slot(word) for slot, word in given.items()}


def read_block_override(value: object) -> BlockOverride:
    """Read a `BlockOverrides` object."""
    given = _object(value)
    return BlockOverride(
        number=_optional(given, "number", read_uint64),
        time=_optional(given, "time", read_uint64),
        gas_limit=_optional(given, "gasLimit", read_uint64),
        fee_recipient=_optional(given, "feeRecipient", read_address),
        prev_randao=_optional(given, "prevRandao", _read_word),
        base_fee=_optional(given, "baseFeePerGas", read_quantity),
        blob_base_fee=_optional(given, "blobBaseFee", read_quantity),
        withdrawals=_optional(given, "withdrawals", _read_withdrawals),
    )


def _read_word(value: object) -> bytes:
    return read_slot(value).to_bytes(32, "big")


def _read_withdrawals(value: object) -> tuple[Withdrawal, ...]:
    return tuple(read_list(value, _read_withdrawal, 16))


def _read_withdrawal(value: object) -> Withdrawal:
    given = _object(value)
    return Withdrawal(
        read_uint64(given.get("index")),
        read_uint64(given.get("validatorIndex")),
        read_address(given.get("address")),
        read_uint64(given.get("amount")),
    )


@dataclass(frozen=True, slots=True)
class Simulation:
    """What eth_simulateV1 is asked for."""

    steps: list[SimulatedStep]
    trace_transfers: bool
    validation: bool
    full: bool


def read_simulation(value: object) -> Simulation:
    """Read an `EthSimulatePayload`."""
    given = _object(value)
    steps = read_list(given.get("blockStateCalls"), _read_step, MAX_STEPS)
    if not steps:
        raise fault("has no blockStateCalls")
    if sum(len(step.calls) for step in steps) > MAX_CALLS:
        raise fault(f"has more than {MAX_CALLS} calls")
    flags = [_flag(given, name) for name in ("traceTransfers", "validation", "returnFullTransactions")]
    return Simulation(steps, *flags)


def _read_step(value: object) -> SimulatedStep:
    given = _object(value)
    return SimulatedStep(
        read_list(given.get("calls") or [], read_message, MAX_CALLS),
        _optional(given, "blockOverrides", read_block_override) or BlockOverride(),
        _optional(given, "stateOverrides", read_overrides) or {},
    )


def _flag(given: Mapping[str, object], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise wrong_type(f"{name} must be true or false")
    return bool(value)


_MESSAGE = WithJsonSchema({"type": "object", "title": "GenericTransaction"})
MessageParam = Annotated[
    Message, PlainValidator(read_message), _MESSAGE, Param("the message, as a transaction without signature")
]
OverridesParam = Annotated[
    dict[bytes, AccountOverride],
    PlainValidator(read_overrides),
    WithJsonSchema({"type": "object", "title": "StateOverrides"}),
    Param(
        "accounts as they are to be taken: balance, nonce, code, state or stateDiff", name="stateOverrides"
    ),
]
BlockOverrideParam = Annotated[
    BlockOverride,
    PlainValidator(read_block_override),
    WithJsonSchema({"type": "object", "title": "BlockOverrides"}),
    Param("the block as it is to be taken", name="blockOverrides"),
]
SimulationParam = Annotated[
    Simulation,
    PlainValidator(read_simulation),
    WithJsonSchema({"type": "object", "title": "EthSimulatePayload"}),
    Param("blocks of calls with overrides"),
]
