"""From what a request names to the block or state that it means."""

import asyncio
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, TypeVar

from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.errors import Code, RpcError
from ioex_chain.rpc.eth.bodies import Bodies, Body, BodyMissing
from ioex_chain.rpc.eth.evm_port import Base
from ioex_chain.rpc.eth.values import BlockId
from ioex_chain.rpc.eth_backend import DposEntry, EthBackend, StateReader

T = TypeVar("T")
PRUNED_HISTORY = 4444
"""Code of the execution-apis for history that is not kept."""


class BlockNotFound(RpcError):
    """The request names a block that this node does not know."""

    def __init__(self) -> None:
        super().__init__(Code.RESOURCE_NOT_FOUND, "block not found")


class NotCanonical(RpcError):
    """The request wants a block of the best chain and names another one (EIP-1898)."""

    def __init__(self) -> None:
        super().__init__(Code.INVALID_INPUT, "hash is not currently canonical")


class HistoryUnavailable(RpcError):
    """The block is known, its body or its receipts are not stored."""

    def __init__(self) -> None:
        super().__init__(PRUNED_HISTORY, "pruned history unavailable: this node has the header only")


class EthReader:
    """What all the port's methods read through. From any thread."""

    def __init__(self, backend: EthBackend) -> None:
        self.backend = backend
        self.bodies = Bodies(backend)

    @cached_property
    def genesis_hash(self) -> BlockHash:
        """The hash of the first block."""
        genesis = self.backend.entry_at(0)
        if genesis is None:
            raise BlockNotFound
        return genesis.hash

    def find(self, block: BlockId) -> DposEntry | None:
        """Find a block; `pending` is the head, on which the next block will stand."""
        if block.number is not None:
            return self.backend.entry_at(block.number)
        if block.hash is not None:
            entry = self.backend.entry(BlockHash(block.hash))
            if entry is not None and block.require_canonical and not self.backend.is_on_best_chain(entry):
                raise NotCanonical
            return entry
        if block.tag == "earliest":
            return self.backend.entry_at(0)
        if block.tag == "safe":
            return self.backend.safe()
        if block.tag == "finalized":
            return self.backend.finalized()
        return self.backend.head()

    def require(self, block: BlockId) -> DposEntry:
        """Find a block. Raises BlockNotFound, NotCanonical."""
        entry = self.find(block)
        if entry is None:
            raise BlockNotFound
        return entry

    def base(self, block: BlockId) -> Base:
        """Say what a call is executed on. Raises BlockNotFound, NotCanonical."""
        return Base(self.on_best_chain(block), next_block=block.tag == "pending")

    def on_best_chain(self, block: BlockId) -> DposEntry:
        """Find a block whose state can be had. Raises BlockNotFound, NotCanonical."""
        entry = self.require(block)
        if block.hash is not None and not self.backend.is_on_best_chain(entry):
            raise NotCanonical
        return entry

    def state(self, block: BlockId) -> StateReader:
        """Open the state after a block. Raises BlockNotFound, NotCanonical, StatePruned."""
        return self.backend.state(self.on_best_chain(block))

    def locate(self, tx_hash: bytes) -> tuple[DposEntry, int] | None:
        """Find the block of the best chain that has a transaction, and its place in it."""
        where = self.backend.locate(tx_hash)
        entry = None if where is None else self.backend.entry(where.block_hash)
        if where is None or entry is None or not self.backend.is_on_best_chain(entry):
            return None
        return entry, where.index

    def body(self, entry: DposEntry) -> Body:
        """Give a block's body. Raises HistoryUnavailable."""
        try:
            return self.bodies.get(entry.hash)
        except BodyMissing:
            raise HistoryUnavailable from None

    def from_body(self, entry: DposEntry, make: Callable[[Body], T], needs: str = "block") -> Any:
        """Give what `make` gives of a block: at once for small blocks, by a thread for large ones.

        At once too when the block is at hand with its form `needs`, an attribute of Body.
        """
        if self.bodies.is_quick(entry):
            return self.make(entry, make)
        body = self.bodies.cached(entry.hash)
        if body is not None and needs in vars(body):
            return make(body)
        return asyncio.to_thread(partial(self.make, entry, make))

    def make(self, entry: DposEntry, make: Callable[[Body], T]) -> T:
        """Give what `make` gives of a block. Raises HistoryUnavailable."""
        try:
            return make(self.bodies.get(entry.hash))
        except BodyMissing:
            raise HistoryUnavailable from None
