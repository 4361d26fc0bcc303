"""A PoW node in memory: production's ledger, pool and templates; blocks are made on any parent."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from unittest.mock import patch

from chaingen.builder import ChainBuilder, Funds, Pay
from chaingen.specs import key

from ioex_chain.bridge.settlement import settlement_rule
from ioex_chain.ledger.chain import Ledger
from ioex_chain.node import build
from ioex_chain.pow.block import Block
from ioex_chain.pow.errors import TransactionError
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.policy import Policy
from ioex_chain.pow.template import TemplateBuilder
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import get_coin, scan_coins
from ioex_chain.pow.verified import VerifiedCache
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import NetworkSpec

from .bridge_spec import PAYERS, payer
from .bridge_store import WINDOW, CrashingStore

MANY = 400
"""Coins of the world's keys that are kept in sight."""


class PowSide:
    """One node's chain and pool. Every block ever made is known to `chain`, whatever the ledger thinks."""

    def __init__(self, spec: NetworkSpec, clock: FixedClock) -> None:
        self.spec = spec
        self.clock = clock
        self.chain = ChainBuilder(spec)
        self.chain.clock = clock
        self.chain.know(*(payer(number) for number in range(PAYERS)))
        self.store = CrashingStore()
        self.blocks: dict[BlockHash, Block] = {self.chain.genesis.hash: self.chain.genesis}
        coinbase = self.chain.genesis.transactions[0]
        self.funds: list[Funds] = self._mine_of(coinbase)
        self.open()

    def open(self, waiting: Sequence[Transaction] = ()) -> None:
        """Open the chain from its rows, as after a start; `waiting` is what the pool's file had."""
        self.verified = VerifiedCache()
        with patch.object(build, "Ledger", partial(Ledger, window=WINDOW)):
            self.ledger = build.open_ledger(self.spec, self.store, self.clock, verified=self.verified)
        self.pool = Mempool(
            self.spec,
            self.clock,
            policy=Policy(),
            verified=self.verified,
            settlements=settlement_rule(self.spec),
        )
        self.templates = TemplateBuilder(self.spec, self.ledger, self.pool, self.clock)
        self.ledger.subscribe(lambda event: self.pool.on_head(event, self.ledger))
        for tx in waiting:
            self.offer(tx)

    def reopen(self) -> None:
        """Start again with what the disk has."""
        self.open([entry.tx for entry in self.pool])

    # --- reads ---

    @property
    def head(self) -> Block:
        return self.blocks[self.ledger.head.hash]

    @property
    def height(self) -> int:
        return self.ledger.head.height

    def block_at(self, height: int) -> Block:
        """Give a block of the best chain."""
        entry = self.ledger.entry_at(height)
        assert entry is not None
        return self.blocks[entry.hash]

    def best(self) -> Iterator[Block]:
        """Give the best chain from the head down to genesis."""
        return self.chain.ancestors(self.head)

    def unspent(self) -> int:
        """Give the sum of the whole UTXO set."""
        return sum(coin.value for _, coin in scan_coins(self.ledger.view()))

    def tip(self) -> Tip:
        """Give where the pool checks transactions."""
        return Tip.of(self.ledger)

    # --- transactions ---

    def offer(self, tx: Transaction) -> bool:
        """Give the pool a transaction; whether it took it."""
        with suppress(TransactionError):
            self.pool.add(tx, self.tip())
            return True
        return False

    def spendable(self, chance: Random, least: int = 0) -> list[Funds]:
        """Give a coin of `least` units that the head's state has, mature, and that the pool does not spend.

        An empty list when there is none.
        """
        view, found = self.ledger.view(), []
        if len(self.funds) > MANY:
            self._forget_spent()
        for item in chance.sample(self.funds, len(self.funds)):
            if found:
                break
            if item.value < least:
                continue
            coin = get_coin(view, item.outpoint)
            if coin is None or self.pool.spender(item.outpoint) is not None:
                continue
            if not coin.is_coinbase or self.height + 1 - coin.height >= self.spec.pow.coinbase_maturity:
                found.append(item)
        return found

    def _forget_spent(self) -> None:
        """Drop coins that were spent a while ago, so that looking for one stays quick."""
        old = {
            item.outpoint for item in self.funds[: MANY // 2] if get_coin(self.ledger.view(), item.outpoint)
        }
        self.funds = [item for item in self.funds[: MANY // 2] if item.outpoint in old] + self.funds[
            MANY // 2 :
        ]

    def pay(self, sources: Sequence[Funds], pays: Sequence[Pay], fee: int = 2_000) -> Transaction:
        """Sign a payment; its change is known from then on."""
        tx = self.chain.spend(sources, pays, fee=fee)
        self.funds += self._mine_of(tx)
        return tx

    def _mine_of(self, tx: Transaction) -> list[Funds]:
        return [funds for funds in self.chain.all_funds(tx) if funds.value >= 100_000]

    # --- blocks ---

    def mine(
        self,
        direct: Sequence[Transaction] = (),
        *,
        time: int | None = None,
        modest: bool = False,
        merged: bool = False,
    ) -> Block:
        """Make the next block: `direct` first, then what the pool's template holds. It is not taken.

        A `modest` miner leaves all of its reward and the fees unclaimed.
        """
        spent = {item.outpoint for tx in direct for item in tx.inputs}
        chosen = [
            tx
            for tx in self.templates.build().transactions
            if all(item.outpoint not in spent for item in tx.inputs)
        ]
        return self.build(self.head, [*direct, *chosen], time=time, modest=modest, merged=merged)

    def build(
        self,
        parent: Block,
        transactions: Iterable[Transaction] = (),
        *,
        time: int | None = None,
        modest: bool = False,
        merged: bool = False,
    ) -> Block:
        """Make a block on any parent, merged-mined if that is said. It is not taken."""
        least = self.chain.median_time(parent) + 1
        block = self.chain.block(
            parent,
            list(transactions),
            time=max(least, self.clock.time if time is None else time),
            fees=-self.spec.pow.miner_reward if modest else None,
            payout=key("miner"),
        )
        if merged:
            block = self.chain.merged(block)
        self.blocks[block.hash] = block
        self.funds += self._mine_of(block.transactions[0])
        return block

    def take(self, block: Block) -> None:
        """Have the ledger take a block."""
        self.ledger.accept_block(block)
