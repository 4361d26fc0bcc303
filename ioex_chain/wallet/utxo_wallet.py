"""A wallet on the PoW chain: addresses, balance, payments and history. It never holds a private key.

Signing is `signing.sign_psbt`'s, over the PSBT that `to_psbt` gives; so a watch-only wallet prepares, and
whoever has the keys signs, on this machine or on one that never sees a network.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ioex_chain.crypto.address import DEPOSIT_TAG, checksum_account, script_to_address
from ioex_chain.pow.policy import RATE_BYTES, Policy
from ioex_chain.pow.script import Form, classify
from ioex_chain.pow.transaction import Transaction, TxOut
from ioex_chain.primitives.types import OutPoint, TxHash
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.wallet.book import OwnScript, ScriptBook
from ioex_chain.wallet.coins import Activity, Availability, Calendar, ChainSource, Coin, Status
from ioex_chain.wallet.errors import InsufficientFunds, NotReplaceable, PaymentError
from ioex_chain.wallet.hd import CHANGE, GAP_LIMIT, RECEIVE, Account, Purpose
from ioex_chain.wallet.payment import (
    SEQUENCE_REPLACEABLE,
    Draft,
    Recipient,
    Spendable,
    Terms,
    compose,
)
from ioex_chain.wallet.psbt import In, Out, Psbt, PsbtInput, PsbtOutput

MAX_ADDRESSES = 100_000
"""Addresses of one branch that discovery derives at most."""


class OwnCoin(NamedTuple):
    """A coin of the wallet and when it can be spent."""

    coin: Coin
    own: OwnScript
    availability: Availability


@dataclass(frozen=True, slots=True)
class Balance:
    """What the wallet has, in PoW units, each coin counted once."""

    spendable: int
    unconfirmed: int
    immature: int
    locked: int
    shared: int
    waiting: tuple[OwnCoin, ...]
    """Immature and locked coins in the order in which they become free, by height, then by time."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.spendable + self.unconfirmed + self.immature + self.locked + self.shared


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transaction of the history, from the wallet's side."""

    txid: TxHash
    kind: str
    """received, sent, self, mined or genesis."""
    amount: int
    """What the wallet gained (or lost, then below zero) by it, fee included."""
    fee: int | None
    """Only known when the wallet paid all inputs."""
    height: int | None
    confirmations: int
    addresses: tuple[str, ...]
    """Whom it paid (sent), or our addresses that it paid (else)."""


@dataclass(frozen=True, slots=True)
class OutputPreview:
    """One output as a person should see it before signing."""

    address: str
    amount: int
    is_change: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What signing a PSBT means."""

    spent: int
    outputs: tuple[OutputPreview, ...]
    fee: int
    lock_time: int
    ours: int
    """Inputs that this wallet can sign for."""
    inputs: int


class UtxoWallet:
    """One user's scripts on one network, seen through a ChainSource."""

    def __init__(
        self,
        spec: NetworkSpec,
        chain: ChainSource,
        book: ScriptBook,
        *,
        issued: dict[tuple[Purpose, int], int] | None = None,
        own_transactions: Iterable[TxHash] = (),
        policy: Policy | None = None,
        gap_limit: int = GAP_LIMIT,
    ) -> None:
        """Take the wallet's scripts and what it remembers.

        `issued` is how many addresses of each (purpose, branch) were handed out, `own_transactions` those
        that it sent: their unconfirmed change may be spent.
        """
        self.spec = spec
        self.chain = chain
        self.book = book
        self.issued = dict(issued or {})
        self.own_transactions = set(own_transactions)
        self.policy = policy or Policy()
        self._gap_limit = gap_limit

    # --- addresses ---------------------------------------------------------------------------------------

    def discover(self) -> None:
        """Find the addresses in use: each branch until `gap_limit` in a row are neither used nor issued."""
        for account in self.book.accounts:
            for branch in (RECEIVE, CHANGE):
                self._discover(account, branch)

    def new_address(self, account: Account | None = None, branch: int = RECEIVE) -> str:
        """Hand out the next address. The caller keeps `issued`, or discovery will give it again."""
        account = account or self._first_account()
        index = self.issued.get((account.purpose, branch), 0)
        if index >= MAX_ADDRESSES:
            raise PaymentError(f"this wallet hands out at most {MAX_ADDRESSES} addresses; create another")
        self.issued[account.purpose, branch] = index + 1
        return self.address(self.book.at(account, branch, index).script)

    def address(self, script: bytes) -> str:
        """Write an output script as an address of this network, data as `data:<hex>`."""
        if classify(script) is Form.DATA:
            return f"data:{script[1:].hex()}"
        return script_to_address(self.spec.pow.address_prefix, script) or script.hex()

    def _discover(self, account: Account, branch: int) -> None:
        key = (account.purpose, branch)
        known = start = 0
        end = self.issued.get(key, 0) + self._gap_limit
        while start < end <= MAX_ADDRESSES:
            scripts = {self.book.at(account, branch, index).script: index for index in range(start, end)}
            used = {item.script for item in self.chain.activity(list(scripts))}
            known = max([known, *(scripts[script] + 1 for script in used)])
            start, end = end, max(end, known + self._gap_limit)
        self.issued[key] = max(self.issued.get(key, 0), known)

    def _first_account(self) -> Account:
        if not self.book.accounts:
            raise PaymentError("this wallet has imported keys only, no account to derive addresses from")
        return self.book.accounts[0]

    # --- coins -------------------------------------------------------------------------------------------

    def coins(self) -> list[OwnCoin]:
        """Give every unspent output of the wallet with its availability. Call `discover` first."""
        calendar = Calendar(self.chain.tip(), self.spec.pow.coinbase_maturity, self.chain.median_time)
        found = []
        for coin in self.chain.coins([own.script for own in self.book]):
            own = self.book.get(coin.script)
            if own is None:
                continue
            trusted = own.branch == CHANGE and coin.outpoint[:32] in self.own_transactions
            availability = calendar.availability(coin, own.spend, trusted)
            if availability.status is Status.SPENDABLE and own.is_shared:
                availability = Availability(Status.SHARED)
            found.append(OwnCoin(coin, own, availability))
        return found

    def balance(self) -> Balance:
        """Add up the coins by what can be done with them."""
        coins = self.coins()
        sums = dict.fromkeys(Status, 0)
        for item in coins:
            sums[item.availability.status] += item.coin.value
        waiting = [item for item in coins if item.availability.status in (Status.IMMATURE, Status.LOCKED)]
        waiting.sort(key=lambda item: (item.availability.time or 0, item.availability.height or 0))
        return Balance(
            sums[Status.SPENDABLE],
            sums[Status.UNCONFIRMED],
            sums[Status.IMMATURE],
            sums[Status.LOCKED],
            sums[Status.SHARED],
            tuple(waiting),
        )

    # --- payments ----------------------------------------------------------------------------------------

    def prepare(
        self, recipients: Sequence[Recipient], terms: Terms, only: Iterable[OutPoint] | None = None
    ) -> Draft:
        """Choose coins for a payment and write its unsigned transaction. Raises PaymentError.

        `only` restricts the choice to these coins, and lets shared ones in: others will sign too.
        """
        coins = self.coins()
        wanted = None if only is None else set(only)
        usable = (Status.SPENDABLE,) if wanted is None else (Status.SPENDABLE, Status.SHARED)
        offered = [
            Spendable(item.coin, item.own)
            for item in coins
            if item.availability.status in usable and (wanted is None or item.coin.outpoint in wanted)
        ]
        offered.sort(key=lambda item: item.coin.height is None)
        terms = replace(terms, policy=self.policy, max_deposit_size=self.spec.pow.max_deposit_transaction)
        try:
            return compose(offered, recipients, self._change_script(offered, terms), terms)
        except InsufficientFunds as error:
            raise InsufficientFunds(error.needed, error.available, _why_not(coins)) from None

    def bump(self, txid: TxHash, rate: int) -> Draft:
        """Write a replacement of an unconfirmed transaction of ours at a higher fee rate (BIP-125).

        Its payments stay as they are, its change shrinks, and coins are added if that is not enough.
        Raises NotReplaceable, PaymentError.
        """
        old = self.chain.transaction(txid)
        required = self._replaceable_inputs(old)
        old_fee = sum(item.coin.value for item in required) - sum(output.value for output in old.outputs)
        # BIP-125 rules 3 and 4: at no smaller size, this rate pays the old fee and the replacement's relay
        least = -(-old_fee * RATE_BYTES // old.size) + self.policy.incremental_rate
        terms = Terms(
            max(rate, least),
            required=required,
            memo=next((_memo(out.script) for out in old.outputs if classify(out.script) is Form.DATA), None),
            policy=self.policy,
        )
        recipients = [
            Recipient(out.script, out.value, self.address(out.script))
            for out in old.outputs
            if not self._is_change(out) and classify(out.script) is not Form.DATA
        ]
        offered = [
            Spendable(item.coin, item.own)
            for item in self.coins()
            if item.availability.status is Status.SPENDABLE
            and item.coin.height is not None  # BIP-125: a replacement adds no unconfirmed input
        ]
        return compose(offered, recipients, self._change_script(required, terms), terms)

    def _replaceable_inputs(self, old: Transaction) -> tuple[Spendable, ...]:
        spent = [self._spent(item.outpoint) for item in old.inputs]
        known = tuple(Spendable(coin, own) for coin in spent if (own := self.book.get(coin.script)))
        if len(known) != len(spent):
            raise NotReplaceable("the transaction spends coins that are not this wallet's")
        if any(item.txid == old.txid and item.height is not None for item in self._activity()):
            raise NotReplaceable("the transaction is confirmed")
        if all(item.sequence > SEQUENCE_REPLACEABLE for item in old.inputs):
            raise NotReplaceable("the transaction was sent as final, nodes keep the first one")
        return known

    def to_psbt(self, draft: Draft) -> Psbt:
        """Give the PSBT of a draft, with all that a signer needs without a network."""
        psbt = Psbt.create(draft.transaction)
        for item, spendable in zip(psbt.inputs, draft.spent, strict=True):
            coin = spendable.coin
            item.put(In.PREVIOUS_OUT, TxOut(coin.value, coin.script).encode())
            if spendable.own.purpose is not Purpose.P2TR:
                previous = self.chain.transaction(TxHash(coin.outpoint[:32]))
                item.put(In.PREVIOUS_TX, previous.encode())
        self.annotate(psbt)
        return psbt

    def annotate(self, psbt: Psbt) -> None:
        """Add what the wallet knows about its own inputs and outputs: BIP-174's Updater. Needs no network."""
        for index, item in enumerate(psbt.inputs):
            if item.final_witness is None and (own := self.book.get(psbt.spent_output(index).script)):
                _annotate_input(item, own)
        for output, described in zip(psbt.transaction.outputs, psbt.outputs, strict=True):
            if found := self.book.get(output.script):
                _annotate_output(described, found)

    def preview(self, psbt: Psbt) -> Preview:
        """Say what signing a PSBT means. Needs no network. Raises PsbtError."""
        spent = [psbt.spent_output(index) for index in range(len(psbt.inputs))]
        outputs = tuple(
            OutputPreview(
                self.address(out.script),
                out.value,
                self.book.get(out.script) is not None,
                _output_note(out.script),
            )
            for out in psbt.transaction.outputs
        )
        ours = sum(self.book.get(out.script) is not None for out in spent)
        value = sum(out.value for out in spent)
        return Preview(value, outputs, psbt.fee, psbt.transaction.lock_time, ours, len(spent))

    def broadcast(self, transaction: Transaction) -> TxHash:
        """Send a signed transaction and remember it as ours."""
        txid = self.chain.broadcast(transaction)
        self.own_transactions.add(txid)
        return txid

    # --- history -----------------------------------------------------------------------------------------

    def history(self, count: int | None = None) -> list[Transfer]:
        """Give the newest `count` transactions, unconfirmed first, then from the newest block down."""
        tip = self.chain.tip().height
        heights = {item.txid: item.height for item in self._activity()}
        order = sorted(heights.items(), key=lambda row: (row[1] is not None, -(row[1] or 0), row[0]))
        return [self._transfer(txid, height, tip) for txid, height in order[:count]]

    def _activity(self) -> Sequence[Activity]:
        return self.chain.activity([own.script for own in self.book])

    def _transfer(self, txid: TxHash, height: int | None, tip: int) -> Transfer:
        transaction = self.chain.transaction(txid)
        spent = [] if transaction.is_coinbase else [self._spent(item.outpoint) for item in transaction.inputs]
        ours_in = [coin for coin in spent if self.book.get(coin.script)]
        ours_out = [out for out in transaction.outputs if self.book.get(out.script)]
        gained = sum(out.value for out in ours_out) - sum(coin.value for coin in ours_in)
        fee = None
        if spent and len(ours_in) == len(spent):
            fee = sum(coin.value for coin in spent) - sum(out.value for out in transaction.outputs)
        others = [out for out in transaction.outputs if not self.book.get(out.script)]
        kind = "received"
        if transaction.is_coinbase:
            kind = "mined" if height else "genesis"
        elif ours_in:
            kind = "sent" if others else "self"
        shown = others if kind == "sent" else ours_out
        confirmations = 0 if height is None else tip - height + 1
        addresses = tuple(dict.fromkeys(self.address(out.script) for out in shown))
        return Transfer(txid, kind, gained, fee, height, confirmations, addresses)

    def _spent(self, outpoint: OutPoint) -> Coin:
        output = self.chain.transaction(TxHash(outpoint[:32])).outputs[
            int.from_bytes(outpoint[32:], "little")
        ]
        return Coin(outpoint, output.value, output.script, None)

    def _is_change(self, output: TxOut) -> bool:
        own = self.book.get(output.script)
        return own is not None and own.branch == CHANGE

    def _change_script(self, offered: Sequence[Spendable], terms: Terms) -> bytes:
        """Give a fresh change address; of a wallet without accounts, the address that is spent from."""
        if self.book.accounts:
            account = self.book.accounts[0]
            return self.book.at(account, CHANGE, self.issued.get((account.purpose, CHANGE), 0)).script
        plain = [item for item in (*terms.required, *offered) if item.own.spend is None]
        own = plain[0].own if plain else next((item for item in self.book if item.spend is None), None)
        if own is None:
            raise PaymentError("this wallet has no key to pay the change to")
        return own.script


def _annotate_input(item: PsbtInput, own: OwnScript) -> None:
    if own.witness_script:
        item.put(In.WITNESS_SCRIPT, own.witness_script)
    for key in own.keys:
        origin = key.origin.encode() if key.origin else bytes(4)
        if own.purpose is Purpose.P2TR:
            item.put(In.TAP_INTERNAL_KEY, key.public[1:])
            item.put(In.TAP_DERIVATION, b"\x00" + origin, key.public[1:])
        else:
            item.put(In.DERIVATION, origin, key.public)


def _annotate_output(described: PsbtOutput, own: OwnScript) -> None:
    for key in own.keys:
        if key.origin is None:
            continue
        if own.purpose is Purpose.P2TR:
            described.put(Out.TAP_INTERNAL_KEY, key.public[1:])
            described.put(Out.TAP_DERIVATION, b"\x00" + key.origin.encode(), key.public[1:])
        else:
            described.put(Out.DERIVATION, key.origin.encode(), key.public)


def _output_note(script: bytes) -> str:
    if classify(script) is Form.DEPOSIT:
        return f"deposit to {checksum_account(script[2 + len(DEPOSIT_TAG) :])} on the DPoS chain"
    return "data" if classify(script) is Form.DATA else ""


def _memo(script: bytes) -> bytes:
    return script[3:] if script[1:2] == b"\x4c" else script[2:]


def _why_not(coins: Sequence[OwnCoin]) -> str:
    waiting = {item.availability.status for item in coins} - {Status.SPENDABLE}
    names = ", ".join(sorted(status.value for status in waiting))
    return f"the wallet also has coins that are {names}" if names else ""
