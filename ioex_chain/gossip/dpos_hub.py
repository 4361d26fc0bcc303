"""All that peers of the DPoS chain say to each other: the same as on the PoW chain, and finality."""

from collections.abc import Mapping

from ioex_chain.dpos.finality_types import Outcome
from ioex_chain.gossip.finality_relay import Door, FinalityRelay
from ioex_chain.gossip.hub import Gossip, Handler
from ioex_chain.gossip.ports import Context
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
