"""Miners: each finds blocks on its own node's head as chance wills, in proportion to its hash rate."""

from collections.abc import Callable

from ioex_chain.pow.block import Block
from ioex_chain.pow.difficulty import next_bits, work_of
from ioex_chain.pow.miner import mine_block
from ioex_chain.pow.template import TemplateBuilder
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import display

from .chain import SimChain
from .scheduler import Scheduler


class SimMiner:
    """Finds blocks at rate `hash_rate` / difficulty: a Poisson process, thinned as difficulty rises.

    `chain` gives the node's present chain, None while it is down. `hash_rate` is in hashes a second of
    virtual time; the block itself is solved at once.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        name: str,
        chain: Callable[[], SimChain | None],
        payout: bytes,
        hash_rate: float,
    ) -> None:
        self.hash_rate = hash_rate
        self.found = 0
        self.is_on = True
        self._scheduler = scheduler
        self._name = name
        self._chain = chain
        self._payout = payout
        self._chance = scheduler.stream(f"miner {name}")
        self._next()

    def _next(self) -> None:
        chain = self._chain()
        easiest = 2 if chain is None else work_of(chain.spec.pow.pow_limit_bits)
        self._scheduler.after(self._chance.expovariate(self.hash_rate / easiest), self._maybe)

    def _maybe(self) -> None:
        self._next()
        chain, luck = self._chain(), self._chance.random()
        if chain is None or not self.is_on:
            return
        head, spec = chain.ledger.head, chain.spec.pow
        bits = next_bits(spec, head.height, head.header.time)
        if luck * work_of(bits) < work_of(spec.pow_limit_bits):
            self.mine(chain)

    def mine(self, chain: SimChain) -> None:
        """Find a block now."""
        self.found += 1
        number = self.found
        chain.run(lambda: self._block(chain, number), lambda _block: None, self._stale)

    def _block(self, chain: SimChain, number: int) -> Block:
        builder = TemplateBuilder(chain.spec, chain.ledger, chain.mempool, chain.clock)
        job = builder.build().job(self._payout, self._name.encode())
        block = mine_block(job, extra_nonce=number << 16)
        assert block is not None
        self._scheduler.note(self._name, f"mined {display(block.hash)[-12:]} of {len(block.transactions)}")
        chain.ledger.accept_block(block)
        return block

    def _stale(self, error: Exception) -> None:
        assert isinstance(error, IoexError)
        self._scheduler.note(self._name, f"own block refused: {error}")
