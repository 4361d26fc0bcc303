"""From "pay this much to that address" to an unsigned transaction and its fee.

Fee rates are in PoW units per 1,000 bytes of the whole transaction (docs/protocol.md section 3, "Policy").
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from ioex_chain.crypto.address import (
    DEPOSIT_TAG,
    InvalidAddress,
    address_to_script,
    checksum_account,
    deposit_script,
    parse_account,
)
from ioex_chain.pow.policy import Policy, dust_threshold, fee_at
from ioex_chain.pow.script import LOCKTIME_THRESHOLD, SEQUENCE_DISABLE, Form, classify
from ioex_chain.pow.transaction import Transaction, TxIn, TxOut
from ioex_chain.primitives.codec import compact
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.model import MAX_OUTPUT, NetworkSpec
from ioex_chain.wallet.book import OwnScript
from ioex_chain.wallet.coins import Coin
from ioex_chain.wallet.errors import (
    DustOutput,
    InsufficientFunds,
    InvalidAmount,
    InvalidFeeRate,
    InvalidMemo,
    MixedLocks,
    PaymentError,
    TransactionTooBig,
)
from ioex_chain.wallet.hd import Purpose
from ioex_chain.wallet.selection import Candidate, select

MAX_MEMO = 80
"""Bytes: what OP_RETURN, a push opcode and the data leave of 83."""
MAX_FEE_RATE = 1_000_000
"""Units per 1,000 bytes (0.01 IOEX): above it a rate is taken for a mistake."""
SEQUENCE_REPLACEABLE = 0xFFFFFFFD
"""BIP-125: this input's transaction may be replaced by one with a higher fee."""
SEQUENCE_NOT_REPLACEABLE = 0xFFFFFFFE
_SIGNATURE = 73
"""Bytes of the longest ECDSA signature with low S, with its hash type and its length byte."""
_INPUT_BASE = 41
_FRAME = 10
"""Bytes of version, witness marker and flag, and lock time."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom to pay. An `amount` of None takes all that the other recipients and the fee leave."""

    script: bytes
    amount: int | None
    address: str
    note: str = ""
    """What people should know before they pay it."""


@dataclass(frozen=True, slots=True)
class Spendable:
    """A coin that may be spent and what is known of its script."""

    coin: Coin
    own: OwnScript


@dataclass(frozen=True, slots=True)
class Terms:
    """How a payment is to be made."""

    rate: int
    """Units per 1,000 bytes."""
    replaceable: bool = True
    memo: bytes | None = None
    required: tuple[Spendable, ...] = ()
    """Coins that must be spent."""
    policy: Policy = field(default_factory=Policy)
    max_deposit_size: int = 32_768
    """Bytes without witness of a transaction that pays a deposit."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An unsigned transaction with everything that a person should see before it is signed."""

    transaction: Transaction
    spent: tuple[Spendable, ...]
    """In input order."""
    fee: int
    size: int
    """Bytes that the signed transaction has at most."""
    change: tuple[int, ...]
    """Positions of the outputs that come back to the wallet."""
    notes: tuple[str, ...] = ()


def parse_amount(text: str) -> int:
    """Read an amount of IOEX, such as 1.5, as PoW units. Raises InvalidAmount."""
    try:
        units = Decimal(text.strip().replace("_", "")) * COIN
    except InvalidOperation as error:
        raise InvalidAmount(f"{text!r} is not an amount of IOEX") from error
    if not units.is_finite() or units != units.to_integral_value():
        raise InvalidAmount(f"{text!r} is not an amount with at most 8 decimals")
    return check_amount(int(units))


def check_amount(units: int) -> int:
    """Check that one output may carry this. Raises InvalidAmount."""
    if units <= 0:
        raise InvalidAmount("an amount is above zero")
    if units > MAX_OUTPUT:
        raise InvalidAmount("one output carries at most 20,000,000 IOEX; pay in several")
    return units


def parse_recipient(spec: NetworkSpec, address: str, amount: int | None) -> Recipient:
    """Read whom to pay: an address of the network, or a DPoS address (0x...), which is paid by a deposit.

    Raises InvalidAddress, InvalidAmount.
    """
    address = address.strip()
    if amount is not None:
        check_amount(amount)
    if re.match("0[xX]", address):
        account = parse_account(address)
        return Recipient(deposit_script(account), amount, address, _deposit_note(account))
    script = address_to_script(spec.pow.address_prefix, address)
    form = classify(script)
    if form is Form.DEPOSIT:
        return Recipient(script, amount, address, _deposit_note(script[2 + len(DEPOSIT_TAG) :]))
    if form is Form.RESERVE:
        raise InvalidAddress("this is the bridge reserve's own address: whatever is paid to it is lost")
    if form is None:
        raise InvalidAddress("the address is of a witness version that this chain does not pay")
    return Recipient(script, amount, address)


def _deposit_note(account: bytes) -> str:
    return (
        f"deposit: leaves the PoW chain and credits {checksum_account(account)} on the DPoS chain; "
        "nobody can take it back"
    )


def check_rate(rate: int, policy: Policy) -> int:
    """Check a fee rate. Raises InvalidFeeRate."""
    if rate < policy.min_relay_rate:
        raise InvalidFeeRate(
            f"{rate} units per 1,000 bytes is below the {policy.min_relay_rate} that nodes relay"
        )
    if rate > MAX_FEE_RATE:
        raise InvalidFeeRate(f"{rate} units per 1,000 bytes is above {MAX_FEE_RATE}: surely a mistake")
    return rate


def memo_script(memo: bytes) -> bytes:
    """Give the OP_RETURN output that carries a memo of at most 80 bytes. Raises InvalidMemo."""
    if not 0 < len(memo) <= MAX_MEMO:
        raise InvalidMemo(f"a memo has 1 to {MAX_MEMO} bytes, this has {len(memo)}")
    push = bytes((len(memo),)) if len(memo) <= 75 else b"\x4c" + bytes((len(memo),))
    return b"\x6a" + push + memo


def input_size(own: OwnScript) -> int:
    """Give the most bytes that a signed input of this script takes, its witness included."""
    if own.spend is None:
        return _INPUT_BASE + (1 + 65 if own.purpose is Purpose.P2TR else 1 + _SIGNATURE + 34)
    script = len(compact(len(own.witness_script))) + len(own.witness_script)
    if own.spend.is_multisig:
        return _INPUT_BASE + 1 + 1 + own.spend.required * _SIGNATURE + script
    return _INPUT_BASE + 1 + _SIGNATURE + (34 if own.spend.key_hash else 0) + script


def signature_checks(own: OwnScript) -> int:
    """Give the signature checks that an input of this script costs."""
    return len(own.spend.keys) if own.spend and own.spend.is_multisig else 1


def compose(
    offered: Sequence[Spendable], recipients: Sequence[Recipient], change_script: bytes, terms: Terms
) -> Draft:
    """Choose coins and write the unsigned transaction, inputs and outputs in BIP-69's order.

    `offered` are coins that may be spent in the next block. A rest below dust goes to the fee; a change
    above 20,000,000 IOEX is split. Raises PaymentError.
    """
    check_rate(terms.rate, terms.policy)
    if sum(recipient.amount is None for recipient in recipients) > 1:
        raise PaymentError("only one recipient can take all that is left")
    fixed = [TxOut(item.amount, item.script) for item in recipients if item.amount is not None]
    if terms.memo is not None:
        fixed.append(TxOut(0, memo_script(terms.memo)))
    _check_dust(fixed, terms.policy)
    sweep = next((item for item in recipients if item.amount is None), None)
    if not recipients and not terms.required:
        raise PaymentError("there is nobody to pay")
    composer = _Composer(fixed, terms, change_script)
    for pool in _compatible(offered, terms.required):
        if sweep:
            return composer.sweep(pool, sweep, len(offered) - len(pool))
        chosen = composer.choose(pool)
        if chosen is not None:
            return composer.pay(chosen)
    if len(_compatible(offered, terms.required)) > 1 and composer.choose(offered) is not None:
        raise MixedLocks("needs coins locked by height together with coins locked by time; pay in two parts")
    raise InsufficientFunds(composer.target(), sum(item.coin.value for item in offered))


def _compatible(offered: Sequence[Spendable], required: Sequence[Spendable]) -> list[list[Spendable]]:
    """Split coins so that no set mixes lock times by height with lock times by time (BIP-65)."""
    kinds = [_lock_kind(item) for item in (*offered, *required)]
    if not {"height", "time"} <= set(kinds):
        return [list(offered)]
    needed = {_lock_kind(item) for item in required} - {None}
    return [
        [item for item in offered if _lock_kind(item) in (None, kind)]
        for kind in ("time", "height")
        if needed <= {kind}
    ]


def _lock_kind(item: Spendable) -> str | None:
    lock = item.own.spend.lock_time if item.own.spend else None
    if lock is None:
        return None
    return "height" if lock < LOCKTIME_THRESHOLD else "time"


def _check_dust(outputs: Sequence[TxOut], policy: Policy) -> None:
    for output in outputs:
        least = dust_threshold(policy, output)
        if output.value < least:
            raise DustOutput(
                f"{output.value / COIN:.8f} IOEX is dust; the least for this address is {least / COIN:.8f}"
            )


class _Composer:
    """One payment in the making."""

    def __init__(self, fixed: list[TxOut], terms: Terms, change_script: bytes) -> None:
        self.fixed = fixed
        self.terms = terms
        self.change_script = change_script

    def target(self) -> int:
        """Give what chosen coins must bring by effective value: outputs, their bytes and the frame."""
        fee = fee_at(self.terms.rate, _FRAME + 4 + sum(len(output.encode()) for output in self.fixed))
        brought = sum(self._effective(item) for item in self.terms.required)
        return sum(output.value for output in self.fixed) + fee - brought

    def choose(self, pool: Sequence[Spendable]) -> list[Spendable] | None:
        """Pick coins for the fixed outputs; None if they do not suffice."""
        required = list(self.terms.required)
        candidates = [
            Candidate(position, item.coin.value, self._effective(item))
            for position, item in enumerate(pool)
            if item not in required
        ]
        target = self.target()
        if target <= 0 and required:
            return required
        found = select(candidates, max(target, 1), self._cost_of_change())
        return None if found is None else required + [pool[item.position] for item in found]

    def pay(self, chosen: list[Spendable]) -> Draft:
        """Write the transaction, with change if it is worth an output."""
        brought = sum(item.coin.value for item in chosen)
        paid = sum(output.value for output in self.fixed)
        if brought < paid + self._fee(chosen, self.fixed):
            raise InsufficientFunds(paid + self._fee(chosen, self.fixed), brought)
        return self._draft(chosen, self.fixed, self._change(chosen, brought - paid))

    def _change(self, chosen: Sequence[Spendable], rest: int) -> list[TxOut]:
        """Give the outputs that bring back what is left of `rest` after the fee; none if that is dust."""
        pieces = max(-(-(rest - self._fee(chosen, self.fixed)) // MAX_OUTPUT), 1)
        blank = TxOut(0, self.change_script)
        rest -= self._fee(chosen, [*self.fixed, *[blank] * pieces])
        if rest // pieces < dust_threshold(self.terms.policy, blank):
            return []
        share, over = divmod(rest, pieces)
        return [TxOut(share + (1 if n < over else 0), self.change_script) for n in range(pieces)]

    def sweep(self, pool: Sequence[Spendable], recipient: Recipient, left_out: int) -> Draft:
        """Spend every coin that is worth its input; the recipient gets what is left."""
        chosen = list(self.terms.required)
        chosen += [item for item in pool if item not in chosen and self._effective(item) > 0]
        chosen, too_many = self._fit(chosen)
        blank = TxOut(0, recipient.script)
        brought = sum(item.coin.value for item in chosen)
        amount = brought - sum(output.value for output in self.fixed)
        amount -= self._fee(chosen, [*self.fixed, blank])
        if amount <= 0:
            raise InsufficientFunds(brought - amount, brought)
        if amount > MAX_OUTPUT:
            raise InvalidAmount("one output carries at most 20,000,000 IOEX; pay in several")
        output = TxOut(amount, recipient.script)
        _check_dust([output], self.terms.policy)
        staying = left_out + too_many
        notes = (f"{staying} coins do not fit into this transaction and stay",) if staying else ()
        return self._draft(chosen, [*self.fixed, output], [], notes)

    def _fit(self, chosen: list[Spendable]) -> tuple[list[Spendable], int]:
        """Keep the largest coins that fit into a standard transaction."""
        chosen = sorted(chosen, key=lambda item: -item.coin.value)
        room = self.terms.policy.max_standard_size - _FRAME - 10 - 43
        room -= sum(len(output.encode()) for output in self.fixed)
        kept = []
        for item in chosen:
            room -= input_size(item.own)
            if room < 0:
                break
            kept.append(item)
        return kept, len(chosen) - len(kept)

    def _effective(self, item: Spendable) -> int:
        policy = self.terms.policy
        size = policy.policy_size(input_size(item.own), signature_checks(item.own))
        return item.coin.value - fee_at(self.terms.rate, size)

    def _cost_of_change(self) -> int:
        """Price an output now and its spend later."""
        output = TxOut(0, self.change_script)
        return fee_at(self.terms.rate, len(output.encode()) + 149)

    def _size(self, chosen: Sequence[Spendable], outputs: Sequence[TxOut]) -> int:
        counts = len(compact(len(chosen))) + len(compact(len(outputs)))
        ins = sum(input_size(item.own) for item in chosen)
        return _FRAME + counts + ins + sum(len(output.encode()) for output in outputs)

    def _fee(self, chosen: Sequence[Spendable], outputs: Sequence[TxOut]) -> int:
        checks = sum(signature_checks(item.own) for item in chosen)
        size = self.terms.policy.policy_size(self._size(chosen, outputs), checks)
        return fee_at(self.terms.rate, size)

    def _draft(
        self,
        chosen: Sequence[Spendable],
        outputs: Sequence[TxOut],
        change: Sequence[TxOut],
        notes: tuple[str, ...] = (),
    ) -> Draft:
        chosen = sorted(chosen, key=lambda item: (item.coin.outpoint[31::-1], item.coin.outpoint[:31:-1]))
        tagged = [(output, False) for output in outputs] + [(output, True) for output in change]
        tagged.sort(key=lambda item: (item[0].value, item[0].script))
        transaction = Transaction.build(
            2,
            [TxIn(item.coin.outpoint, b"", self._sequence(item)) for item in chosen],
            [output for output, _ in tagged],
            self._lock_time(chosen),
        )
        size = self._size(chosen, transaction.outputs)
        self._check_size(transaction, size)
        fee = sum(item.coin.value for item in chosen) - sum(out.value for out in transaction.outputs)
        own = tuple(index for index, (_, is_change) in enumerate(tagged) if is_change)
        return Draft(transaction, tuple(chosen), fee, size, own, notes)

    def _sequence(self, item: Spendable) -> int:
        relative = item.own.spend.sequence if item.own.spend else None
        if relative is not None and not relative & SEQUENCE_DISABLE:
            return relative
        return SEQUENCE_REPLACEABLE if self.terms.replaceable else SEQUENCE_NOT_REPLACEABLE

    def _lock_time(self, chosen: Sequence[Spendable]) -> int:
        locks = [item.own.spend.lock_time for item in chosen if item.own.spend]
        return max((lock for lock in locks if lock is not None), default=0)

    def _check_size(self, transaction: Transaction, size: int) -> None:
        if not transaction.outputs:
            raise PaymentError("nothing would be left after the fee")
        limit = self.terms.policy.max_standard_size
        deposit = any(classify(output.script) is Form.DEPOSIT for output in transaction.outputs)
        if deposit and transaction.stripped_size > self.terms.max_deposit_size:
            raise TransactionTooBig(
                f"{len(transaction.inputs)} coins make {transaction.stripped_size} bytes, a deposit has at "
                f"most {self.terms.max_deposit_size}; first gather small coins by sending them to yourself"
            )
        if size > limit:
            raise TransactionTooBig(
                f"{len(transaction.inputs)} coins make {size} bytes, {limit} are relayed; "
                "pay less at once, or first gather small coins by sending them to yourself"
            )
