"""The genesis unlock calendar: what is freed when, and which outputs of it a key can spend.

An output locked until t may be spent by a transaction whose lock time is at least t, and a block takes that
transaction once its parent's median time is above the lock time (BIP-65, BIP-113): so from the first block
whose parent's median time is above t. Times here are Unix seconds, amounts PoW units.
"""

from collections.abc import Collection
from hashlib import sha256
from typing import NamedTuple

from ioex_chain.pow.errors import ScriptError
from ioex_chain.pow.genesis import genesis_coinbase
from ioex_chain.pow.script import LOCKTIME_THRESHOLD, Form, classify, parse_spend_script
from ioex_chain.primitives.types import OutPoint
from ioex_chain.spec.model import Allocation, NetworkSpec


class Unlock(NamedTuple):
    """One date of the calendar."""

    time: int
    """0 for what is free from the start."""
    amount: int
    """What becomes spendable at this date."""
    total: int
    """What is spendable from this date on, if nobody has spent any."""
    allocations: tuple[Allocation, ...]


class VestedOutput(NamedTuple):
    """An output of genesis that a key can spend, now or from `unlock_time` on (0: now)."""

    outpoint: OutPoint
    value: int
    script: bytes
    unlock_time: int
    witness_script: bytes
    """Last witness item of the spend; empty for P2WPKH."""
    plan: str


def unlock_time_of(witness_script: bytes) -> int:
    """Give the Unix time until which a witness script is locked, 0 if it is not locked by time.

    Raises ScriptFormClosed, KeyEncoding for a script that nobody can spend.
    """
    lock_time = parse_spend_script(witness_script).lock_time
    return lock_time if lock_time is not None and lock_time >= LOCKTIME_THRESHOLD else 0


def calendar(spec: NetworkSpec) -> tuple[Unlock, ...]:
    """Give the dates of the plan in order, without the node rewards plan (it is in the bridge reserve)."""
    groups: dict[int, list[Allocation]] = {}
    for allocation in spec.token.allocations:
        if not _is_reserve(allocation):
            groups.setdefault(_lock_of(allocation), []).append(allocation)
    dates = []
    total = 0
    for time in sorted(groups):
        amount = sum(allocation.amount for allocation in groups[time])
        total += amount
        dates.append(Unlock(time, amount, total, tuple(groups[time])))
    return tuple(dates)


def spendable_at(spec: NetworkSpec, median_time: int) -> int:
    """Give what of genesis a block may spend whose parent has this median time, if nothing is spent yet."""
    return sum(date.amount for date in calendar(spec) if date.time < median_time)


def vested_outputs(spec: NetworkSpec, keys: Collection[bytes]) -> tuple[VestedOutput, ...]:
    """Give the genesis outputs that one of these 20-byte key hashes can spend alone, in block order.

    These are P2WPKH of the hash, and P2WSH of `[<time> CLTV DROP] <key hash form>`. Whether they are spent
    already is the UTXO set's to say.
    """
    coinbase = genesis_coinbase(spec)
    return tuple(
        VestedOutput(
            coinbase.outpoint(index),
            allocation.amount,
            allocation.script,
            _lock_of(allocation),
            allocation.witness_script,
            allocation.plan,
        )
        for index, allocation in enumerate(spec.token.allocations)
        if _owner(allocation) in keys
    )


def find_witness_script(spec: NetworkSpec, output_script: bytes) -> bytes | None:
    """Give the witness script behind a P2WSH output of genesis, or None if genesis does not pay it."""
    for allocation in spec.token.allocations:
        hidden = allocation.witness_script
        if hidden and allocation.script == output_script and sha256(hidden).digest() == output_script[2:]:
            return hidden
    return None


def _lock_of(allocation: Allocation) -> int:
    return unlock_time_of(allocation.witness_script) if allocation.witness_script else 0


def _is_reserve(allocation: Allocation) -> bool:
    form = classify(allocation.script)
    return form is not None and form.is_reserve


def _owner(allocation: Allocation) -> bytes | None:
    if classify(allocation.script) is Form.P2WPKH:
        return allocation.script[2:]
    if not allocation.witness_script:
        return None
    try:
        return parse_spend_script(allocation.witness_script).key_hash or None
    except ScriptError:
        return None
