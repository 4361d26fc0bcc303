"""The bridge reserve: its one door, and its row of the state (docs/protocol.md sections 6 and 6.2).

The reserve is what unspent deposit and reserve-change outputs hold. Only a settlement spends it, and what a
settlement must show is given to the state machine as a `SettlementRule`: this chain does not know the other.
Without a rule the door stays shut.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple, Protocol

from ioex_chain.crypto.address import reserve_change_script
from ioex_chain.ledger.types import StateView
from ioex_chain.pow import errors
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import Coin, Reads, get_coin
from ioex_chain.primitives.errors import TrailingBytes, UnexpectedEnd
from ioex_chain.primitives.types import OutPoint, TxHash
from ioex_chain.spec.model import NetworkSpec

STATE_KEY = b"rs"
"""rs -> the state: counts and totals as 16-byte integers, accumulator, the sets (`encode_state`)."""
COIN_PREFIX = b"rc"
"""rc + uint64 BE (2^64 - 1 - value) + outpoint(36) -> nothing: the unspent reserve outputs, largest first."""
RECORD_PREFIX = b"rn"
"""rn + uint32 BE number (from 0) -> first request, last request, set, height, txid of a settlement."""
WITNESS_ITEMS = 4
"""Items of a settlement's first witness: two headers, certificate, requests."""
RESERVE_HEAD = b"\x60"
"""OP_16: what an output script of the reserve begins with, and no other form of the closed set."""
ACCUMULATOR_SIZE, KEY_SIZE = 32, 20

_RESERVE_CHANGE = reserve_change_script()
_TOP = (1 << 64) - 1
_NUMBERS = 9
_WIDTH = 16
_HEAD = struct.Struct(f">32s{_NUMBERS * _WIDTH}sH")
_SET = struct.Struct(">QH")
_RECORD = struct.Struct(">QQQI32s")


class NumberedSet(NamedTuple):
    """A set of arbitrators as this chain knows it: its number and its members' 20-byte keys in set order."""

    number: int
    members: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ReserveState:
    """What the chain keeps of bridge and reserve. Amounts in PoW units.

    reserve = genesis + rewards + deposits + donations - settled, at every block.
    """

    current: NumberedSet
    """The set whose word is taken."""
    pending: tuple[NumberedSet, ...] = ()
    """Sets handed over and not yet used, in their order."""
    count: int = 0
    """Number of the last request that was settled."""
    accumulator: bytes = bytes(ACCUMULATOR_SIZE)
    """The accumulator after that request."""
    reserve: int = 0
    """Sum of the unspent reserve outputs."""
    genesis: int = 0
    """What the genesis block paid to deposit programs."""
    rewards: int = 0
    """What coinbases paid to the RewardPool's deposit program."""
    deposits: int = 0
    """What all other transactions paid to deposit programs."""
    donations: int = 0
    """What others than settlements paid to reserve change: it is credited to nobody."""
    settled: int = 0
    """What settlements took from the reserve: withdrawals with their fees."""
    withdrawals: int = 0
    """Withdrawals that were settled."""
    settlements: int = 0
    """Settlements in the chain."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a transaction that passed the rule does."""

    count: int
    """Number of the last request that is settled after it."""
    accumulator: bytes
    current: NumberedSet
    pending: tuple[NumberedSet, ...]
    paid: int
    """What it takes from the reserve in units, the fees included."""
    withdrawals: int
    checks: int
    """Signature checks that it costs the block."""


class SettlementRule(Protocol):
    """Says whether a transaction may spend the reserve."""

    def check(self, tx: Transaction, coins: Sequence[Coin], state: ReserveState) -> Settlement:
        """Check everything but the coins' maturity and the sums; a pure function of what is given.

        `coins` are the outputs that `tx` spends, in input order, at least one of them of the reserve;
        `state` is the one before `tx`. Raises ReserveSpend's subclasses.
        """
        ...


class ClosedReserve:
    """The rule of a chain without a bridge: nothing is a settlement."""

    def check(self, tx: Transaction, coins: Sequence[Coin], state: ReserveState) -> Settlement:  # noqa: ARG002
        """Raise ReserveSpend."""
        position = next(at for at, coin in enumerate(coins) if is_reserve(coin.script))
        raise errors.ReserveSpend(f"input {position}: only a settlement may spend the bridge reserve")


def is_reserve(script: bytes) -> bool:
    """Whether an output that the chain took belongs to the reserve."""
    return script[:1] == RESERVE_HEAD


def spends_reserve(coins: Sequence[Coin]) -> bool:
    """Whether a transaction that spends these coins must be a settlement."""
    return any(coin.script[:1] == RESERVE_HEAD for coin in coins)


def may_settle(tx: Transaction, max_inputs: int) -> bool:
    """Whether a transaction has a settlement's outer form; what it spends is not looked at."""
    if len(tx.inputs) > max_inputs:
        return False
    first, *others = tx.inputs
    return len(first.witness) == WITNESS_ITEMS and not any(item.witness for item in others)


# --- the row ---------------------------------------------------------------------------------------------


def encode_state(state: ReserveState) -> bytes:
    """Give the row's value."""
    numbers = (
        *(state.count, state.reserve, state.genesis, state.rewards, state.deposits, state.donations),
        *(state.settled, state.withdrawals, state.settlements),
    )
    joined = b"".join([number.to_bytes(_WIDTH, "big") for number in numbers])
    parts = [_HEAD.pack(state.accumulator, joined, len(state.pending))]
    for known in (state.current, *state.pending):
        parts += [_SET.pack(known.number, len(known.members)), *known.members]
    return b"".join(parts)


def decode_state(data: bytes) -> ReserveState:
    """Read what `encode_state` wrote. Raises DecodeError."""
    if len(data) < _HEAD.size:
        raise UnexpectedEnd("the reserve's row is cut off")
    accumulator, joined, pending = _HEAD.unpack_from(data)
    numbers = [int.from_bytes(joined[at : at + _WIDTH], "big") for at in range(0, len(joined), _WIDTH)]
    sets, at = [], _HEAD.size
    for _ in range(1 + pending):
        known, at = _read_set(data, at)
        sets.append(known)
    if at != len(data):
        raise TrailingBytes(f"{len(data) - at} bytes after the reserve's row")
    return ReserveState(sets[0], tuple(sets[1:]), numbers[0], accumulator, *numbers[1:])


def _read_set(data: bytes, at: int) -> tuple[NumberedSet, int]:
    if at + _SET.size > len(data):
        raise UnexpectedEnd("the reserve's row ends before a set")
    number, size = _SET.unpack_from(data, at)
    start = at + _SET.size
    end = start + KEY_SIZE * size
    if end > len(data):
        raise UnexpectedEnd("the reserve's row ends in a set")
    return NumberedSet(number, tuple(data[at : at + KEY_SIZE] for at in range(start, end, KEY_SIZE))), end


def genesis_state(spec: NetworkSpec) -> ReserveState:
    """Give the state before the genesis block's outputs: set 0 is the spec's, nothing is settled."""
    return ReserveState(NumberedSet(0, tuple(member.key for member in spec.dpos.members)))


def reserve_state(view: Reads) -> ReserveState:
    """Give the state after the block whose state `view` is. Raises DecodeError."""
    data = view.get(STATE_KEY)
    if data is None:
        raise UnexpectedEnd("the database holds no bridge reserve; rebuild it with `ioex db reindex`")
    return decode_state(data)


# --- the reserve's outputs -------------------------------------------------------------------------------


def coin_key(value: int, outpoint: bytes) -> bytes:
    """Give the key of a reserve output's row."""
    return COIN_PREFIX + (_TOP - value).to_bytes(8, "big") + outpoint


def scan_reserve(view: Reads, value: int | None = None) -> Iterator[tuple[OutPoint, Coin]]:
    """Give the unspent reserve outputs, the largest first; with `value` only those of so many units."""
    prefix = COIN_PREFIX if value is None else coin_key(value, b"")
    for key, _ in view.scan(prefix):
        outpoint = OutPoint(key[-36:])
        coin = get_coin(view, outpoint)
        if coin is None:
            raise UnexpectedEnd("a reserve output's row stands without its coin; run `ioex db check`")
        yield outpoint, coin


# --- settlements that stand in the chain ------------------------------------------------------------------


class SettlementRecord(NamedTuple):
    """A settlement in the chain; it settled requests `first` to `last`, none when last < first."""

    first: int
    last: int
    set_number: int
    """The set whose word was taken."""
    height: int
    txid: TxHash


def _record_key(number: int) -> bytes:
    return RECORD_PREFIX + number.to_bytes(4, "big")


def settlement_at(view: Reads, number: int) -> SettlementRecord | None:
    """Give the settlement of this number, counted from 0 in the order of the chain."""
    data = view.get(_record_key(number))
    if data is None:
        return None
    if len(data) != _RECORD.size:
        raise UnexpectedEnd(f"a settlement's row has {_RECORD.size} bytes, this has {len(data)}")
    first, last, set_number, height, txid = _RECORD.unpack(data)
    return SettlementRecord(first, last, set_number, height, TxHash(txid))


def settlement_of(view: Reads, request: int) -> SettlementRecord | None:
    """Give the settlement that settled a request, by its number (from 1); None while it is not settled."""
    state = reserve_state(view)
    if not 1 <= request <= state.count:
        return None
    low, high = 0, state.settlements
    while low < high:  # the first settlement that reaches the request
        middle = (low + high) // 2
        record = settlement_at(view, middle)
        if record is None:
            return None  # the state moved while it was read
        if record.last < request:
            low = middle + 1
        else:
            high = middle
    return settlement_at(view, low)


# --- a block on its way into the state ---------------------------------------------------------------------


class Source(Enum):
    """What made an output of the reserve."""

    GENESIS = "genesis"
    COINBASE = "rewards"
    TRANSACTION = "deposits"
    SETTLEMENT = "reserve"


class ReserveBook:
    """The reserve's part of one block: what comes, what settlements take, and the row at the end."""

    __slots__ = ("_before", "_came", "_height", "_rule", "_state", "_view")

    def __init__(
        self, view: StateView, rule: SettlementRule, height: int, start: ReserveState | None = None
    ) -> None:
        """`start` is the state to begin with where there is no row yet: at genesis."""
        self._view = view
        self._rule = rule
        self._height = height
        self._before = view.get(STATE_KEY) if start is None else None
        self._state = reserve_state(view) if start is None else start
        self._came = dict.fromkeys(("reserve", "genesis", "rewards", "deposits", "donations"), 0)

    def settle(self, tx: Transaction, coins: Sequence[Coin]) -> Settlement:
        """Check a settlement and apply all of it but its outputs. Raises ReserveSpend's subclasses."""
        before = self._state
        done = self._rule.check(tx, coins, before)
        record = (before.count + 1, done.count, done.current.number, self._height, tx.txid)
        self._view.create(_record_key(before.settlements), _RECORD.pack(*record))
        for item, coin in zip(tx.inputs, coins, strict=True):
            self._view.swap(coin_key(coin.value, item.outpoint), b"", None)
        self._came["reserve"] -= sum([coin.value for coin in coins])
        self._state = replace(
            before,
            current=done.current,
            pending=done.pending,
            count=done.count,
            accumulator=done.accumulator,
            settled=before.settled + done.paid,
            withdrawals=before.withdrawals + done.withdrawals,
            settlements=before.settlements + 1,
        )
        return done

    def create(self, outpoint: bytes, value: int, script: bytes, source: Source) -> None:
        """Take in an output of the reserve."""
        self._view.swap(coin_key(value, outpoint), None, b"")
        self._came["reserve"] += value
        if source is Source.TRANSACTION and script == _RESERVE_CHANGE:
            self._came["donations"] += value
        elif source is not Source.SETTLEMENT:
            self._came[source.value] += value

    def save(self) -> ReserveState:
        """Write the row; give the state after the block."""
        state = self._state
        state = replace(state, **{name: getattr(state, name) + came for name, came in self._came.items()})
        self._view.swap(STATE_KEY, self._before, encode_state(state))
        return state
