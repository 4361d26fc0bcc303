"""The DPoS chain in one snapshot, with the readers of what the bridge's contracts hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ioex_chain.dpos.records import DposEntry
from ioex_chain.dpos.votes import Checkpoint
from ioex_chain.evm.bridge import BridgeReader, Door, PauseReason
from ioex_chain.evm.light_client import LightClientReader
from ioex_chain.evm.reward_pool import RewardPoolReader
from ioex_chain.evm.state import FlatState
from ioex_chain.ledger.types import Readable
from ioex_chain.node.dpos_service import DposService
from ioex_chain.rpc.bridge_port import DposPlace

_REASONS = {
    PauseReason.OWNER: "closed by the consortium's owner",
    PauseReason.DEEP_REORGANISATION: "the PoW chain was reorganised deeper than k, and the owner looks at it",
    PauseReason.STALL: "finality stalls; it opens by itself when blocks become final again",
}


@dataclass(frozen=True, slots=True)
class Side:
    """One moment of the DPoS chain."""

    view: Readable
    head: DposEntry
    bridge: BridgeReader
    light: LightClientReader
    pool: RewardPoolReader
    final_height: int

    @property
    def block(self) -> Checkpoint:
        """The block after which it is read."""
        return Checkpoint(self.head.hash, self.head.height)

    def place(self, entry: DposEntry, transaction: bytes | None = None) -> DposPlace:
        """Say where a block of this chain stands."""
        point = Checkpoint(entry.hash, entry.height)
        return DposPlace(point, entry.height <= self.final_height, transaction)

    def reasons(self, door: Door) -> list[str]:
        """Say in words why a door is shut; nothing while it is open."""
        found = self.bridge.pause_reasons(door)
        return [words for reason, words in _REASONS.items() if reason in found]


@contextmanager
def dpos_side(service: DposService) -> Iterator[Side]:
    """Open the newest state."""
    spec = service.spec
    with service.ledger.snapshot() as view:
        state = FlatState(view)
        yield Side(
            view,
            view.head,
            BridgeReader(spec, state),
            LightClientReader(spec, state),
            RewardPoolReader(spec, state),
            service.finality.finalised.height,
        )
