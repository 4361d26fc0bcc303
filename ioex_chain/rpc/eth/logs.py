"""The search for logs over a range of blocks, within bounds."""

import orjson

from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.errors import LimitExceeded, ParameterError
from ioex_chain.rpc.eth.evm_port import Deadline
from ioex_chain.rpc.eth.log_filter import LogQuery
from ioex_chain.rpc.eth.reader import BlockNotFound, EthReader
from ioex_chain.rpc.eth.values import BlockId
from ioex_chain.rpc.eth_backend import DposEntry

MAX_RANGE = 10_000
"""Blocks of one search."""
MAX_RESULTS = 20_000
"""Logs of one answer."""
SEARCH_SECONDS = 10.0
QUICK_RANGE = 16
"""Blocks that are searched without leaving the event loop, if they are small or at hand."""


class LogSearch:
    """Finds logs; from any thread."""

    def __init__(self, reader: EthReader) -> None:
        self._reader = reader
        self._backend = reader.backend

    def is_quick(self, query: LogQuery) -> bool:
        """Whether the search takes a few milliseconds only."""
        bodies = self._reader.bodies
        first, last = self._ends(query)
        if last - first >= QUICK_RANGE:
            return False
        entries = self._entries(query, first, last)
        return all(
            bodies.is_quick(entry) or "logs" in vars(bodies.cached(entry.hash) or ()) for entry in entries
        )

    def run(self, query: LogQuery, deadline: Deadline | None = None) -> list[orjson.Fragment]:
        """Give the logs that match, oldest first.

        Raises BlockNotFound, HistoryUnavailable, ParameterError, LimitExceeded, ExecutionTimeout.
        """
        first, last = self._ends(query)
        if last - first >= MAX_RANGE:
            raise LimitExceeded(
                f"the range has {last - first + 1} blocks, at most {MAX_RANGE} are searched at a time"
            )
        found: list[orjson.Fragment] = []
        for entry in self._entries(query, first, last):
            if deadline is not None:
                deadline.check()
            found += self._of_block(query, entry)
            if len(found) > MAX_RESULTS:
                raise LimitExceeded(
                    f"more than {MAX_RESULTS} logs match; ask for fewer blocks at a time "
                    f"(the first {entry.height - first} of them match fewer)"
                )
        return found

    def _of_block(self, query: LogQuery, entry: DposEntry) -> list[orjson.Fragment]:
        header = entry.header.header
        if header.gas_used == 0 or not query.criteria.may_match(header.logs_bloom):
            return []
        rows = self._reader.make(entry, lambda body: body.logs)
        return [orjson.Fragment(row.json) for row in query.criteria.select(rows)]

    def _ends(self, query: LogQuery) -> tuple[int, int]:
        if query.block_hash is not None:
            return 0, 0
        return self._height(query.first), self._height(query.last)

    def _height(self, block: BlockId) -> int:
        return self._reader.require(block).height if block.number is None else block.number

    def _entries(self, query: LogQuery, first: int, last: int) -> list[DposEntry]:
        if query.block_hash is not None:
            entry = self._backend.entry(BlockHash(query.block_hash))
            if entry is None:
                raise BlockNotFound
            return [entry]
        if first > last and query.first.number is not None and query.last.number is not None:
            raise ParameterError("filter", "fromBlock is above toBlock")
        head = self._backend.head().height
        heights = range(first, min(last, head) + 1)
        return [entry for height in heights if (entry := self._backend.entry_at(height)) is not None]
