"""The relayer: carries headers and deposits to the DPoS chain, settlements to the PoW chain.

This is the package's asynchronous shell. Everything it says is proven by what it carries, and what it
carries is decided anew from the two chains each time: several may run, any may stop, nothing is lost.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ioex_chain.bridge.deposit_watch import DepositWatch, ReadTo
from ioex_chain.bridge.header_relay import headers_due
from ioex_chain.bridge.settling import Due
from ioex_chain.evm.bridge import BridgeReader
from ioex_chain.evm.light_client import LightClientReader
from ioex_chain.evm.state import FlatState
from ioex_chain.ledger.types import Readable
from ioex_chain.pow.ledger import PowLedger
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import NetworkSpec

BLOCKS_AT_ONCE = 16
"""PoW blocks that are read for deposits before others get their turn."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PowItems:
    """What the next DPoS block can carry of the PoW chain."""

    headers: tuple[bytes, ...] = ()
    proofs: tuple[bytes, ...] = ()


class Node(Protocol):
    """What the relayer needs of the node around it."""

    def is_synced(self) -> bool:
        """Whether both chains are known as far as the node can tell."""
        ...

    async def read(self, work: Callable[[], T], /) -> T:
        """Run a longer reading call beside the event loop."""
        ...

    async def settlement(self) -> Due | None:
        """Plan a settlement on the heads of both chains. Raises IoexError."""
        ...

    async def submit(self, transaction: Transaction) -> None:
        """Hand a settlement to the PoW chain's pool, which tells peers. Raises IoexError."""
        ...

    def on_final(self, work: Callable[[Readable], None], /) -> None:
        """Run `work` on the state after the last final DPoS block; not at all while that is not known."""
        ...

    def head_state(self) -> Readable:
        """Give the state after the DPoS chain's best block."""
        ...

    def keep(self, read_to: ReadTo) -> None:
        """Remember over a restart how far the PoW chain was read."""
        ...

    def report(self, event: "Settled | Stuck") -> None:
        """Tell the operator."""
        ...


@dataclass(frozen=True, slots=True)
class Settled:
    """A settlement of ours went to the pool."""

    due: Due


@dataclass(frozen=True, slots=True)
class Stuck:
    """Why no settlement can be handed in, told once until it changes."""

    reason: str


class Relayer:
    """Runs until cancelled. `items` is asked by whoever builds a DPoS block, on any thread."""

    def __init__(self, spec: NetworkSpec, ledger: PowLedger, watch: DepositWatch, node: Node) -> None:
        self._spec = spec
        self._ledger = ledger
        self._watch = watch
        self._node = node
        self._moved = asyncio.Event()
        self._tried: tuple[BlockHash, int, int] | None = None
        """What was handed in last: on which PoW head, up to which request, by which set."""
        self._stuck_for = ""
        """Why the last settlement was not made or not taken; empty when all is well."""

    def wake(self) -> None:
        """Look again; called in the event loop when a head has moved or a block became final."""
        self._moved.set()

    def items(self, state: Readable, timestamp: int) -> PowItems:
        """Give what a block at Unix time `timestamp` on this state can carry."""
        flat = FlatState(state)
        light = LightClientReader(self._spec, flat)
        bridge = BridgeReader(self._spec, flat)
        spec = self._spec
        headers = headers_due(light, self._ledger, spec.dpos, timestamp + spec.pow.max_future)
        proofs = self._watch.proofs_due(light, bridge, spec.dpos.max_deposit_proofs)
        return PowItems(headers, proofs)

    async def run(self) -> None:
        """Read deposits and settle whenever a chain has moved."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            if not self._node.is_synced():
                continue
            await self._settle()
            await self._read_deposits()

    async def _read_deposits(self) -> None:
        node, watch = self._node, self._watch
        buried = LightClientReader(self._spec, FlatState(node.head_state())).buried_height()
        if await node.read(lambda: watch.advance(buried, BLOCKS_AT_ONCE)):
            self._moved.set()  # more to read, but not before others had their turn
        if watch.waiting:
            await node.read(lambda: node.on_final(self._forget))
        node.keep(watch.read_to())

    def _forget(self, final: Readable) -> None:
        self._watch.forget(BridgeReader(self._spec, FlatState(final)))

    async def _settle(self) -> None:
        try:
            due = await self._node.settlement()
        except (IoexError, LookupError) as error:
            self._stuck(str(error))
            return
        if due is None:
            self._stuck("")
            return
        attempt = (self._ledger.head.hash, due.count, due.set_number)
        if attempt == self._tried:
            return
        self._tried = attempt
        try:
            await self._node.submit(due.transaction)
        except IoexError as error:
            self._stuck(str(error))
            return
        self._stuck("")
        self._node.report(Settled(due))

    def _stuck(self, reason: str) -> None:
        before, self._stuck_for = self._stuck_for, reason
        if reason and reason != before:
            self._node.report(Stuck(reason))
