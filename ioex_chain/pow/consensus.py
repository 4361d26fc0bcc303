"""The rules of headers and of transactions, each a short function (docs/protocol.md section 3)."""

from collections.abc import Callable, Sequence

from ioex_chain.ledger.types import Entry
from ioex_chain.pow import errors
from ioex_chain.pow.auxpow import chain_id, check_auxpow
from ioex_chain.pow.difficulty import next_bits, target_of, work_of
from ioex_chain.pow.header import Header
from ioex_chain.pow.script import (
    LOCKTIME_THRESHOLD,
    MAX_DATA_SCRIPT,
    SEQUENCE_DISABLE,
    SEQUENCE_MASK,
    SEQUENCE_TIME,
    Form,
    classify,
)
from ioex_chain.pow.transaction import NULL_OUTPOINT, SEQUENCE_FINAL, Transaction
from ioex_chain.pow.utxo import Coin
from ioex_chain.spec.model import MAX_MONEY, MAX_OUTPUT, PowSpec

MEDIAN_SPAN = 11


def median_time_past(entry: Entry[Header]) -> int:
    """Give the median time of a block and the 10 before it (BIP-113)."""
    times = sorted(times_past(entry))
    return times[len(times) // 2]


def times_past(entry: Entry[Header]) -> list[int]:
    """Give the times of a block and the 10 before it, oldest first."""
    times: list[int] = []
    at: Entry[Header] | None = entry
    while at is not None and len(times) < MEDIAN_SPAN:
        times.append(at.header.time)
        at = at.parent
    return times[::-1]


class PowEngine:
    """Header rules and weight of the PoW chain: the ledger's ConsensusEngine."""

    def __init__(self, spec: PowSpec) -> None:
        self.spec = spec
        self._last: tuple[bytes, tuple[int, ...]] = (b"", ())

    def _median_time(self, entry: Entry[Header]) -> int:
        """Give `median_time_past` of an entry; on a run of headers each takes over the times of the last."""
        before, times = self._last
        if before != entry.header.parent_hash or len(times) < MEDIAN_SPAN:
            times = tuple(times_past(entry))
        else:
            times = (*times[1:], entry.header.time)
        self._last = (entry.hash, times)
        return sorted(times)[len(times) // 2]

    def check_header(self, header: Header, parent: Entry[Header], now: int) -> bool:
        """Raise PowHeaderError, or TimeTooNew (a NotYetValid) when only the clock is in the way.

        Nothing waits for the state: always True.
        """
        check_work(self.spec, header)
        expected = next_bits(self.spec, parent.height, parent.header.time)
        if header.bits != expected:
            raise errors.WrongBits(f"bits {header.bits:08x}, the difficulty rule gives {expected:08x}")
        median = self._median_time(parent)
        if header.time <= median:
            raise errors.TimeTooOld(f"time {header.time} is not after the median {median}")
        if header.time > now + self.spec.max_future:
            raise errors.TimeTooNew(f"time {header.time} is {header.time - now} s ahead of our clock")
        return True

    def weight(self, header: Header, parent: Entry[Header]) -> int:  # noqa: ARG002 - the seam offers it
        """Give the expected number of hashes behind the header."""
        return work_of(header.bits)

    def tie_key(self, entry: Entry[Header]) -> tuple[int, ...]:
        """Prefer the block that was seen first (as Bitcoin does)."""
        return (-entry.sequence,)


def check_work(spec: PowSpec, header: Header) -> None:
    """Check the work against the header's own target, and the AuxPoW record if there is one.

    Needs no parent: what is cheap comes before anything is looked up or stored.
    """
    target = target_of(header.bits)
    if target > target_of(spec.pow_limit_bits):
        raise errors.WrongBits(f"bits {header.bits:08x} are easier than the network's limit")
    proof = header.hash
    if header.is_merged:
        if header.auxpow is None:
            raise errors.AuxPowMissing("version bit 8 is set and no AuxPoW record follows")
        if chain_id(header.version) != spec.auxpow_chain_id:
            raise errors.AuxPowChainId(
                f"chain id {chain_id(header.version):#x}, ours is {spec.auxpow_chain_id:#x}"
            )
        check_auxpow(header.auxpow, header.hash, spec.auxpow_chain_id)
        proof = header.auxpow.proof_hash  # type: ignore[assignment]
    elif header.auxpow is not None:
        raise errors.AuxPowMissing("an AuxPoW record without version bit 8")
    if int.from_bytes(proof, "little") > target:
        raise errors.HighHash("the work is less than the target asks for")


def check_transaction(spec: PowSpec, tx: Transaction) -> None:
    """Check what needs neither state nor place. Raises a TransactionError."""
    inputs, outputs = tx.inputs, tx.outputs
    if not inputs:
        raise errors.NoInputs("a transaction needs an input")
    if not outputs:
        raise errors.NoOutputs("a transaction needs an output")
    if len(tx.raw) > spec.max_block_size:
        raise errors.TransactionTooLarge(f"{len(tx.raw)} bytes")
    if tx.stripped_size == 64:
        raise errors.TransactionNodeSized("a transaction may not have 64 bytes without its witness")
    _check_outputs(spec, tx)
    if tx.is_coinbase:
        if not 2 <= len(inputs[0].script) <= 100:
            raise errors.CoinbaseScriptSize(f"a coinbase script of {len(inputs[0].script)} bytes")
        return
    if len(inputs) > 1 and len({item.outpoint for item in inputs}) != len(inputs):
        raise errors.DuplicateInputs("two inputs spend the same output")
    for index, item in enumerate(inputs):
        if item.outpoint == NULL_OUTPOINT:
            raise errors.NullInput(f"input {index} spends nothing")
        if item.script:
            raise errors.InputScriptNotEmpty(f"input {index}: the input script must be empty")


def _check_outputs(spec: PowSpec, tx: Transaction) -> None:
    total = 0
    has_deposit = False
    for index, (value, script) in enumerate(tx.outputs):
        if value > MAX_OUTPUT:
            raise errors.OutputTooLarge(f"output {index} is above 20,000,000 IOEX")
        total += value
        form = classify(script)
        if form is None:
            raise errors.OutputFormClosed(f"output {index} is outside the closed set of scripts")
        if form is Form.DATA and (value or len(script) > MAX_DATA_SCRIPT):
            raise errors.DataTooLarge(
                f"output {index}: OP_RETURN has no value and at most {MAX_DATA_SCRIPT} bytes"
            )
        has_deposit = has_deposit or form is Form.DEPOSIT
    if total > MAX_MONEY:
        raise errors.OutputSumTooLarge(f"the outputs sum to {total}")
    if has_deposit and tx.stripped_size > spec.max_deposit_transaction:
        raise errors.DepositTooLarge(f"{tx.stripped_size} bytes without witness")


def is_final(tx: Transaction, height: int, median_time: int) -> bool:
    """Whether a block at `height` on a parent with this median time may carry `tx` (BIP-113)."""
    if tx.lock_time == 0:
        return True
    limit = height if tx.lock_time < LOCKTIME_THRESHOLD else median_time
    return tx.lock_time < limit or all(item.sequence == SEQUENCE_FINAL for item in tx.inputs)


def check_spend(
    spec: PowSpec,
    tx: Transaction,
    coins: Sequence[Coin],
    height: int,
    median_time: int,
    median_time_at: Callable[[int], int],
) -> int:
    """Check amounts, maturity and locks of a spend in a block at `height`; give the fee.

    `coins` are the outputs spent, in input order; `median_time` is that of the block's parent;
    `median_time_at(h)` gives the median time of the block at height h on the same branch.
    """
    if not is_final(tx, height, median_time):
        raise errors.NotFinal(f"lock time {tx.lock_time} is not reached")
    total = 0
    for coin in coins:
        if coin.is_coinbase and height - coin.height < spec.coinbase_maturity:
            raise errors.Immature(
                f"a coinbase of block {coin.height} matures at {coin.height + spec.coinbase_maturity}"
            )
        total += coin.value
    if total > MAX_MONEY:
        raise errors.AmountOutOfRange(f"the inputs sum to {total}")
    fee = total - sum([output.value for output in tx.outputs])
    if fee < 0:
        raise errors.OutputsAboveInputs(f"outputs exceed inputs by {-fee}")
    if tx.version >= 2:
        check_sequence_locks(tx, coins, height, median_time, median_time_at)
    return fee


def check_sequence_locks(
    tx: Transaction,
    coins: Sequence[Coin],
    height: int,
    median_time: int,
    median_time_at: Callable[[int], int],
) -> None:
    """Check relative locks (BIP-68) of a version-2 transaction. Raises SequenceLocked."""
    for index, item in enumerate(tx.inputs):
        sequence = item.sequence
        if sequence & SEQUENCE_DISABLE:
            continue
        distance = sequence & SEQUENCE_MASK
        if sequence & SEQUENCE_TIME:
            since = median_time_at(max(coins[index].height - 1, 0))
            if since + (distance << 9) > median_time:
                raise errors.SequenceLocked(f"input {index}: {distance << 9} s are not over")
        elif coins[index].height + distance > height:
            raise errors.SequenceLocked(f"input {index}: {distance} blocks are not over")
