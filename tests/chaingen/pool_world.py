"""A ledger in memory with a pool that follows it, for the tests of mempool, template and miner."""

from typing import Any

from ioex_chain.pow.block import Block
from ioex_chain.pow.fees import FeeEstimator
from ioex_chain.pow.machine import PowMachine
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.packages import MempoolEntry
from ioex_chain.pow.policy import Policy
from ioex_chain.pow.pool_events import PoolChange
from ioex_chain.pow.reserve import SettlementRule
from ioex_chain.pow.template import TemplateBuilder
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.verified import VerifiedCache
from ioex_chain.spec.model import NetworkSpec

from .builder import ChainBuilder, Funds, Pay
from .harness import open_ledger
from .owners import Owner
from .specs import key, story_spec


class PoolWorld:
    """A chain whose genesis outputs have matured, and a pool on it. `policy` are fields of Policy."""

    def __init__(
        self, spec: NetworkSpec | None = None, settlements: SettlementRule | None = None, **policy: Any
    ) -> None:
        self.chain = ChainBuilder(spec or story_spec())
        self.spec = self.chain.spec
        self.clock = self.chain.clock
        self.verified = VerifiedCache()
        machine = PowMachine(self.spec, verified=self.verified, settlements=settlements)
        self.ledger = open_ledger(self.chain, machine=machine)
        self.fees = FeeEstimator()
        self.pool = Mempool(
            self.spec,
            self.clock,
            policy=Policy(**policy),
            verified=self.verified,
            observer=self.fees,
            settlements=settlements,
        )
        self.builder = TemplateBuilder(self.spec, self.ledger, self.pool, self.clock)
        self.changes: list[PoolChange] = []
        self.pool.subscribe(self.changes.append)
        self.ledger.subscribe(lambda event: self.pool.on_head(event, self.ledger))
        self.tip = self.chain.genesis
        for block in self.chain.warm_up():
            self.accept(block)

    def accept(self, block: Block) -> Block:
        """Give the ledger a block; `tip` follows the head."""
        self.ledger.accept_block(block)
        self.follow()
        return block

    def follow(self) -> None:
        """Set `tip` to the ledger's head."""
        self.tip = self.chain._blocks[self.ledger.head.hash][1]

    def mine(self, *transactions: Transaction, on: Block | None = None) -> Block:
        """Make a block of these and have it taken."""
        return self.accept(self.chain.block(on or self.tip, transactions))

    def pay(self, *pays: Pay, fee: int = 1_000, **fields: Any) -> Transaction:
        """Spend a fresh genesis output."""
        return self.chain.spend(self.chain.take(), pays or [(10_000, key("bob"))], fee=fee, **fields)

    def respend(self, tx: Transaction, fee: int, index: int = -1, **fields: Any) -> Transaction:
        """Spend an output (by default the change) of a transaction to its owner, less a fee."""
        funds = self.chain.funds(tx, index % len(tx.outputs))
        return self.chain.spend(funds, [], fee=fee, **fields)

    def again(self, tx: Transaction, fee: int, *pays: Pay, **fields: Any) -> Transaction:
        """Spend the same inputs as `tx` otherwise: a double spend."""
        sources = [self._source(item.outpoint) for item in tx.inputs]
        return self.chain.spend(sources, pays, fee=fee, **fields)

    def _source(self, outpoint: bytes) -> Funds:
        output = self.chain._outputs[outpoint]  # type: ignore[index]
        return Funds(outpoint, output.value, self.chain.owners[output.script])  # type: ignore[arg-type]

    def fan(self, count: int, owner: Owner | None = None) -> list[Funds]:
        """Confirm `count` coins of one owner."""
        tx = self.chain.fan_out(self.chain.take(), count, owner or key("fan"))
        self.chain.know(owner or key("fan"))
        self.mine(tx)
        return self.chain.all_funds(tx)

    def add(self, tx: Transaction) -> MempoolEntry:
        """Offer a transaction to the pool."""
        return self.pool.add(tx, Tip.of(self.ledger))

    def chain_of(self, count: int, fee: int = 1_000) -> list[Transaction]:
        """Add `count` transactions, each spending the one before."""
        made = [self.pay(fee=fee)]
        while len(made) < count:
            made.append(self.respend(made[-1], fee))
        for tx in made:
            self.add(tx)
        return made
