"""All that peers of the DPoS chain say to each other: the same as on the PoW chain, and finality."""

from collections.abc import Callable, Mapping
from typing import Protocol

from ioex_chain.dpos.consensus import DposEngine
from ioex_chain.dpos.finality_types import Outcome
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.dpos.mempool_known import KnownTransactions
from ioex_chain.dpos.mempool_types import PoolTip
from ioex_chain.gossip.dpos_pool import DposPool
from ioex_chain.gossip.dpos_wire import DposWire, Watch
from ioex_chain.gossip.finality_relay import Door, FinalityRelay
from ioex_chain.gossip.hub import Gossip, Handler
from ioex_chain.gossip.ports import Chain, Chance, Context
from ioex_chain.p2p import finality_messages as m
from ioex_chain.p2p.messages import Message


class DposGossip(Gossip):
    """The DPoS chain as the connections see it; they use `p2p.table.DPOS_TABLE`.

    The node has `told` called with every outcome of finality.
    """

    def __init__(self, context: Context, door: Door, *, group_commits: bool = False) -> None:
        """`context` holds a DposWire and a DposPool; `group_commits` is as on the PoW chain."""
        super().__init__(context, group_commits=group_commits)
        self.finality = FinalityRelay(context, door, self.sync)
        self._parts = (*self._parts, self.finality)
        self._handlers = {**self._handlers, **self._finality_table()}

    def _finality_table(self) -> Mapping[type[Message], Handler]:
        finality = self.finality
        return {
            m.Votes: finality.on_votes,
            m.Certificate: finality.on_certificate,
            m.EvidenceItem: finality.on_evidence,
        }

    def told(self, outcome: Outcome) -> None:
        """Tell peers what finality found."""
        self.finality.told(outcome)


class DposChain(Chain, Protocol):
    """The DPoS chain behind a worker."""

    def tip(self) -> PoolTip:
        """Give state and base fee on the head. On the worker."""
        ...


def dpos_context(
    chain: DposChain,
    engine: DposEngine,
    known: KnownTransactions,
    watch: Watch,
    now: Callable[[], float],
    chance: Chance,
    *,
    network_id: bytes,
    gave_block: Callable[[int], None] = lambda _: None,
    gave_transaction: Callable[[int], None] = lambda _: None,
) -> Context:
    """Give what the gossip of a DPoS chain is made of.

    `network_id` is the identity over both genesis blocks; `watch` is the follower that finality has.
    """
    schedule = engine.schedule

    def is_late(header: SealedHeader) -> bool:
        return chain.clock.now() >= schedule.slot_end(schedule.slot_of(header.header.timestamp))

    wire = DposWire(
        network_id,
        engine.spec.activations,
        known.decode,
        chain.ledger,
        watch=watch,
        is_late=is_late,
        mark_late=engine.mark_late,
    )
    pool = DposPool(chain.mempool, chain.tip)
    return Context(chain, now, chance, gave_block, gave_transaction, wire, pool)
