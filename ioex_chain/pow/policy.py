"""What this node relays and keeps, beyond the rules of consensus (docs/protocol.md section 3, "Policy").

This chain has no weight: a fee rate is in units per 1,000 bytes of the whole transaction, witnesses
included. Only a transaction with many signature checks for its size (multisig with many keys) is counted
larger than it is, because checks are scarce in a block too: see `Policy.bytes_per_check`.

The short words in `reason` are Bitcoin Core's.
"""

from dataclasses import dataclass
from typing import ClassVar

from ioex_chain.pow.consensus import is_final
from ioex_chain.pow.errors import TransactionError
from ioex_chain.pow.script import Form, classify
from ioex_chain.pow.transaction import Transaction, TxOut

RATE_BYTES = 1_000
"""Fee rates are per this many bytes."""
MIN_STANDARD_SIZE = 65
"""Bytes without witness; consensus refuses exactly 64 (docs/protocol.md section 3)."""
_SPEND_SIZE = {Form.P2WPKH: 148, Form.P2WSH: 150, Form.P2TR: 107, Form.DEPOSIT: 107, Form.RESERVE: 107}
"""Bytes that the cheapest later spend of an output takes: what dust is measured against."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The pool's limits. Rates in units per 1,000 bytes, sizes in bytes, times in seconds."""

    min_relay_rate: int = 1_000
    incremental_rate: int = 1_000
    """What a replacement pays for its own relay on top, and what the minimum rises by at an eviction."""
    dust_rate: int = 3_000
    max_standard_size: int = 100_000
    max_settlement_size: int = 3_000_000
    """A settlement of the most withdrawals that can wait takes two thirds of it."""
    max_standard_checks: int = 8_000
    bytes_per_check: int = 50
    """Every single-key spend is larger than this per check, so `size` is its real size."""
    max_ancestors: int = 25
    """Unconfirmed ancestors, the transaction itself counted."""
    max_ancestor_size: int = 101_000
    max_descendants: int = 25
    """Unconfirmed descendants of any pool transaction, it counted itself."""
    max_descendant_size: int = 101_000
    max_replaced: int = 100
    """Transactions that one replacement may push out (BIP-125 rule 5)."""
    max_usage: int = 300_000_000
    """Estimated memory of all entries."""
    expiry: int = 336 * 3600
    min_rate_half_life: int = 12 * 3600
    """Half-life of the minimum fee rate that evictions raise."""
    max_reconsidered: int = 20_000_000
    """Bytes of disconnected blocks whose transactions a reorganisation offers to the pool again."""

    def policy_size(self, size: int, checks: int) -> int:
        """Give the bytes that fee rates count ("vsize"): the size, or more if the checks weigh more."""
        return max(size, checks * self.bytes_per_check)


def fee_at(rate: int, size: int) -> int:
    """Give the fee in units of `size` bytes at `rate` units per 1,000 bytes, rounded up."""
    return -(-rate * size // RATE_BYTES)


class PolicyError(TransactionError):
    """A transaction that no rule forbids in a block, but that this node does not take now."""

    reason: ClassVar[str] = "non-standard"


class AlreadyInPool(PolicyError):
    """The very transaction is in the pool."""

    reason = "txn-already-in-mempool"


class SameButWitness(PolicyError):
    """The pool has the transaction with other witnesses; the first seen stays."""

    reason = "txn-same-nonwitness-data-in-mempool"


class AlreadyConfirmed(PolicyError):
    """The transaction is in a block (code -27)."""

    reason = "txn-already-known"


class MissingInputs(PolicyError):
    """An output spent is neither in the chain's state nor made by a pool transaction (code -25)."""

    reason = "missing-inputs"


class CoinbaseAlone(PolicyError):
    """A coinbase outside a block."""

    reason = "coinbase"


class NotFinalYet(PolicyError):
    """The lock time is not reached in the next block (BIP-113)."""

    reason = "non-final"


class VersionNotStandard(PolicyError):
    """A version other than 1 or 2."""

    reason = "version"


class SizeNotStandard(PolicyError):
    """Above 100,000 bytes."""

    reason = "tx-size"


class TooSmall(PolicyError):
    """Below 65 bytes without witness."""

    reason = "tx-size-small"


class Dust(PolicyError):
    """An output whose value would not pay for its own spend."""

    reason = "dust"


class ManyDataOutputs(PolicyError):
    """More than one OP_RETURN output."""

    reason = "multi-op-return"


class ManyChecks(PolicyError):
    """More signature checks than a fifth of what a block may cost."""

    reason = "bad-txns-too-many-sigops"


class SettlementTooLarge(PolicyError):
    """A settlement above 3,000,000 bytes: settle up to an earlier final block."""

    reason = "settlement-size"


class SettlementUnconfirmed(PolicyError):
    """A settlement that spends an output of the pool: those of blocks do for every one."""

    reason = "settlement-unconfirmed-input"


class SettlementNotBetter(PolicyError):
    """The pool's settlement reaches as far; the first seen stays."""

    reason = "settlement-not-better"


class FeeTooLow(PolicyError):
    """Below the rate that this node relays at all."""

    reason = "min relay fee not met"


class PoolFeeNotMet(FeeTooLow):
    """Below the rate that the full pool asks for now."""

    reason = "mempool min fee not met"


class PoolFull(PolicyError):
    """Everything in the full pool pays more."""

    reason = "mempool full"


class ChainTooLong(PolicyError):
    """Too many or too large unconfirmed ancestors, or one of them has too many descendants."""

    reason = "too-long-mempool-chain"


class ReplacementError(PolicyError):
    """A spend of what a pool transaction spends, that may not replace it (BIP-125)."""

    reason = "txn-mempool-conflict"


class ReplacementFeeTooLow(ReplacementError):
    """It does not pay more, at a higher rate, and for its own relay (BIP-125 rules 3 and 4)."""

    reason = "insufficient fee"


class ReplacementAddsUnconfirmed(ReplacementError):
    """It spends an unconfirmed output that what it replaces did not (BIP-125 rule 2)."""

    reason = "replacement-adds-unconfirmed"


class TooManyReplaced(ReplacementError):
    """It would push out more than 100 transactions (BIP-125 rule 5)."""

    reason = "too many potential replacements"


class SpendsConflict(ReplacementError):
    """It spends an output of a transaction that it would replace."""

    reason = "bad-txns-spends-conflicting-tx"


def dust_threshold(policy: Policy, output: TxOut) -> int:
    """Give the least value in units that an output of this form may have; 0 for OP_RETURN."""
    form = classify(output.script)
    if form is None or form is Form.DATA:
        return 0
    size = 9 + len(output.script)
    return fee_at(policy.dust_rate, size + _SPEND_SIZE[form])


def check_standard(policy: Policy, tx: Transaction, *, settles: bool = False) -> None:
    """Check what needs no state. Raises PolicyError. Call after the consensus check.

    With `settles` it may be a settlement, of which nothing is asked but a larger bound.
    """
    if tx.is_coinbase:
        raise CoinbaseAlone("a coinbase is valid in a block only")
    if tx.version not in (1, 2):
        raise VersionNotStandard(f"version {tx.version}; use 1 or 2")
    if settles:
        if tx.size > policy.max_settlement_size:
            raise SettlementTooLarge(
                f"{tx.size} bytes, {policy.max_settlement_size} are relayed; settle up to an earlier block"
            )
        return
    if tx.size > policy.max_standard_size:
        raise SizeNotStandard(f"{tx.size} bytes, {policy.max_standard_size} are relayed; split it")
    if tx.stripped_size < MIN_STANDARD_SIZE:
        raise TooSmall(f"{tx.stripped_size} bytes without witness, at least {MIN_STANDARD_SIZE} are relayed")
    data = 0
    for index, output in enumerate(tx.outputs):
        if output.script[0] == 0x6A:
            data += 1
            continue
        least = dust_threshold(policy, output)
        if output.value < least:
            raise Dust(f"output {index} is {output.value} units; give it at least {least} or leave it out")
    if data > 1:
        raise ManyDataOutputs(f"{data} OP_RETURN outputs, one is relayed")


def check_final(tx: Transaction, height: int, median_time: int) -> None:
    """Check that a block at `height` on a parent with this median time may carry it (BIP-113)."""
    if not is_final(tx, height, median_time):
        now = height if tx.lock_time < 500_000_000 else median_time
        raise NotFinalYet(f"lock time {tx.lock_time}, the next block has {now}; send it again later")
