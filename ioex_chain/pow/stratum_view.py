"""What others may look at of a running Stratum server."""

from collections.abc import Iterable
from typing import Protocol

from ioex_chain.pow.stratum_limits import StratumSettings
from ioex_chain.pow.stratum_session import Session
from ioex_chain.pow.stratum_stats import StratumStats


class MinerView(Protocol):
    """A connection."""

    host: str
    session: Session


class StratumView(Protocol):
    """The server; `stratum_server.StratumServer` is one."""

    settings: StratumSettings
    stats: StratumStats
    port: int

    def now(self) -> float:
        """Give monotonic time, which all figures are in."""
        ...

    @property
    def connections(self) -> Iterable[MinerView]:
        """The connections as they are now, oldest first."""
        ...
