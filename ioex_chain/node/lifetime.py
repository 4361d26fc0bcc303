"""How long the node runs: until somebody asks it to stop, or a disk fails. Both chains share one."""

import asyncio

from ioex_chain.ledger.errors import StoreError
from ioex_chain.node import log

logger = log.get(__name__)


class Lifetime:
    """`stopping` is set once and for all; `failure` says why when a database failed."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.failure: StoreError | None = None

    def request_stop(self) -> None:
        """Ask the node to flush and exit."""
        self.stopping.set()

    def fail(self, error: StoreError) -> None:
        """Stop because the database cannot be relied on; the first error is the one that is told."""
        if self.failure is None:
            self.failure = error
            logger.error("the database failed; stopping", reason=str(error))
            self.stopping.set()
