"""Wallets: payments, payments out of unconfirmed ones, and coins spent twice through different nodes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ioex_chain.pow.mempool import is_confirmed
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction

from .chain import SimChain
from .coins import Pair, Purse
from .scheduler import Scheduler

_AGAIN = 15.0
"""Seconds after which a wallet gives its node again what no block has taken."""
_WATCHED = 900.0
"""Seconds for which it looks whether a reorganisation took a confirmed payment back."""

Chains = Callable[[], Sequence[SimChain]]
"""The chains of the honest nodes that run now."""


@dataclass(frozen=True)
class Claim:
    """Transactions of which exactly one must be confirmed in the end."""

    choices: tuple[Transaction, ...]


class Wallets:
    """Sends payments and double spends at Poisson rates (a second); repeats what is not confirmed."""

    def __init__(self, scheduler: Scheduler, purse: Purse, chains: Chains) -> None:
        self.claims: list[Claim] = []
        self._watched: list[tuple[float, Claim]] = []
        self.pairs: list[Pair] = []
        self.is_on = True
        self._scheduler = scheduler
        self._purse = purse
        self._chains = chains
        self._chance = scheduler.stream("wallets")
        self._last: Transaction | None = None
        scheduler.every(_AGAIN, self.repeat, first=_AGAIN)

    def pay_at(self, rate: float) -> None:
        """Make payments at a rate."""
        self._poisson(rate, self.pay)

    def double_spend_at(self, rate: float) -> None:
        """Spend coins twice at a rate."""
        self._poisson(rate, self.double_spend)

    def pay(self) -> None:
        """Pay through one node; every third time out of the payment before, through another node."""
        if self._last is not None and self._chance.random() < 1 / 3:
            tx = self._purse.respend(self._last, self._fee())
        else:
            tx = self._purse.payment(self._fee())
        self._last = tx
        self._claim(tx)
        self._send(tx)

    def double_spend(self) -> None:
        """Give two transactions that spend the same coin to two nodes, at once or one a little later."""
        pair = self._purse.pair(self._fee(), self._fee())
        self.pairs.append(pair)
        self._claim(pair.one, pair.other)
        self._send(pair.one)
        later = self._chance.choice((0.0, 0.0, 0.05, 1.0, 5.0))
        self._scheduler.after(later, lambda: self._send(pair.other))

    def unconfirmed(self) -> bool:
        """Whether there are payments that are in no block of the first node's chain."""
        tip = Tip.of(self._chains()[0].ledger)
        return not all(any(is_confirmed(tx, tip) for tx in claim.choices) for _, claim in self._watched)

    def repeat(self) -> None:
        """Send again what is in no block; of two, either."""
        for chain in self._chains()[:1]:
            tip = Tip.of(chain.ledger)
            watched, self._watched = self._watched, []
            for since, claim in watched:
                is_settled = any(is_confirmed(tx, tip) for tx in claim.choices)
                if not is_settled:
                    self._send(self._chance.choice(claim.choices))
                if not is_settled or self._scheduler.now - since < _WATCHED:
                    self._watched.append((since, claim))

    def _claim(self, *choices: Transaction) -> None:
        claim = Claim(choices)
        self.claims.append(claim)
        self._watched.append((self._scheduler.now, claim))

    def _send(self, tx: Transaction) -> None:
        chains = self._chains()
        if chains:
            self._chance.choice(chains).submit(tx)

    def _fee(self) -> int:
        return self._chance.choice((1_000, 1_000, 2_000, 5_000, 20_000))

    def _poisson(self, rate: float, act: Callable[[], None]) -> None:
        def turn() -> None:
            self._scheduler.after(self._chance.expovariate(rate), turn)
            if self.is_on and self._purse.coins:
                act()

        self._scheduler.after(self._chance.expovariate(rate), turn)
