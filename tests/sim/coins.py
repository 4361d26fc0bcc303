"""The money of a world: a genesis of many small coins, payments out of them, and double spends."""

from dataclasses import dataclass, replace

from chaingen.builder import ChainBuilder, Funds
from chaingen.specs import GENESIS_OWNERS, REWARD_POOL, key, network, story_spec

from ioex_chain.crypto.address import deposit_script, reserve_change_script
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.model import Allocation, NetworkSpec

OWNER = GENESIS_OWNERS["p2wpkh"]
_VALUE = 10 * COIN


def sim_spec(coins: int, *, retarget: bool = False, **changes: object) -> NetworkSpec:
    """Give devnet's rules with `coins` genesis outputs of 10 IOEX; `retarget` has ASERT set the difficulty.

    The easiest target is devnet's, so that every block is solved with a few hashes.
    """
    base = story_spec(fixed_difficulty=not retarget, half_life=600, **changes)
    paid = [Allocation("A", _VALUE, OWNER.script, 0, "wallet") for _ in range(coins)]
    paid.append(Allocation("B", COIN, deposit_script(REWARD_POOL), 0, "pool"))
    paid.append(Allocation("B", COIN, reserve_change_script(), 0, "reserve"))
    return replace(network(base.pow, paid), name="devnet")


@dataclass(frozen=True)
class Pair:
    """Two transactions that spend the same coin: one of them may be confirmed."""

    one: Transaction
    other: Transaction


class Purse:
    """Makes payments out of the genesis coins; signing knows no chance, so same calls, same bytes."""

    def __init__(self, spec: NetworkSpec) -> None:
        self._builder = ChainBuilder(spec)
        self._left = list(reversed(self._builder.all_funds(self._builder.genesis.transactions[0])))
        self._bait = self._left.pop()
        self._made = 0

    @property
    def coins(self) -> int:
        """How many coins nobody has taken yet."""
        return len(self._left)

    def payment(self, fee: int = 1_000) -> Transaction:
        """Pay somebody out of a fresh coin."""
        return self._pay(self._left.pop(), fee)

    def respend(self, tx: Transaction, fee: int = 1_000) -> Transaction:
        """Spend the change of a payment, confirmed or not."""
        return self._pay(self._builder.funds(tx, 1), fee)

    def pair(self, fee: int, other_fee: int) -> Pair:
        """Spend one coin twice."""
        funds = self._left.pop()
        return Pair(self._pay(funds, fee), self._pay(funds, other_fee))

    def forged(self) -> Transaction:
        """Spend a coin with a signature that does not verify."""
        tx = self._pay(self._bait, 5_000)
        stack = tx.inputs[0].witness
        wrong = stack[0][:10] + bytes((stack[0][10] ^ 1,)) + stack[0][11:]
        return tx.with_witnesses([(wrong, *stack[1:])])

    def _pay(self, funds: Funds, fee: int) -> Transaction:
        self._made += 1
        return self._builder.spend(funds, [(COIN + self._made, key("somebody"))], fee=fee)
