"""The peer-to-peer side of a node that has none (`--no-p2p`), and of every node before it has started."""

from collections.abc import Callable, Sequence

from ioex_chain import __version__
from ioex_chain.gossip.sync import PeerSync, SyncState
from ioex_chain.gossip.wire import AnyLedger
from ioex_chain.p2p.messages import PROTOCOL_VERSION
from ioex_chain.p2p.types import PeerAddress, PeerId, PeerInfo
from ioex_chain.rpc.peer_port import AddedPeer, BanInfo, NetworkState, P2pDisabled


class NoPeers:
    """Implements `rpc.peer_port.PeerPort`: nobody is there, and what would change that raises P2pDisabled."""

    def __init__(self, ledger: AnyLedger, rates: Callable[[], tuple[int, int]] = lambda: (0, 0)) -> None:
        """`rates`: least fee rate that the pool relays, and that it asks for now."""
        self._ledger = ledger
        self._rates = rates

    def network_state(self) -> NetworkState:
        """Tell that the network is off."""
        relay_rate, min_rate = self._rates()
        return NetworkState(
            id=PeerId(bytes(32)),
            listening=(),
            agent=f"ioex/{__version__}",
            version=PROTOCOL_VERSION,
            services=0,
            active=False,
            inbound=0,
            outbound=0,
            max_inbound=0,
            max_outbound=0,
            bytes_sent=0,
            bytes_received=0,
            known_addresses=0,
            relay_rate=relay_rate,
            min_rate=min_rate,
        )

    def sync_state(self) -> SyncState:
        """Tell that there is nothing to wait for."""
        height = self._ledger.head.height
        return SyncState(False, height, height, 0.0, None)

    def peers(self) -> Sequence[PeerInfo]:
        """Give nobody."""
        return ()

    def peer_sync(self, number: int) -> PeerSync | None:  # noqa: ARG002 - the port's signature
        """Give nothing."""
        return None

    def add(self, address: PeerAddress) -> bool:  # noqa: ARG002
        """Refuse."""
        raise _disabled()

    def forget(self, address: PeerAddress) -> bool:  # noqa: ARG002
        """Refuse."""
        raise _disabled()

    def try_once(self, address: PeerAddress) -> None:  # noqa: ARG002
        """Refuse."""
        raise _disabled()

    def added(self) -> Sequence[AddedPeer]:
        """Give nobody."""
        return ()

    def disconnect(self, number: int) -> bool:  # noqa: ARG002
        """Refuse."""
        raise _disabled()

    def ban(self, subject: str, seconds: int, reason: str) -> None:  # noqa: ARG002
        """Refuse."""
        raise _disabled()

    def unban(self, subject: str) -> bool:  # noqa: ARG002
        """Refuse."""
        raise _disabled()

    def bans(self) -> Sequence[BanInfo]:
        """Give none."""
        return ()

    def known_addresses(self, count: int) -> Sequence[tuple[PeerAddress, int, int]]:  # noqa: ARG002
        """Give none."""
        return ()

    def set_active(self, active: bool) -> None:  # noqa: ARG002
        """Refuse."""
        raise _disabled()

    def ping(self) -> None:
        """Refuse."""
        raise _disabled()


def _disabled() -> P2pDisabled:
    return P2pDisabled("this node runs without peers (the setting p2p is off)")
