"""eth_*: logs, and filters that clients poll instead of subscribing."""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

import orjson

from ioex_chain.rpc.errors import Code, LimitExceeded, RpcError
from ioex_chain.rpc.eth.bodies import LogRow
from ioex_chain.rpc.eth.evm_port import ExecutionTimeout
from ioex_chain.rpc.eth.heavy import HeavyPool
from ioex_chain.rpc.eth.log_filter import LogFilter, LogQuery
from ioex_chain.rpc.eth.logs import SEARCH_SECONDS, LogSearch
from ioex_chain.rpc.eth.reader import PRUNED_HISTORY
from ioex_chain.rpc.eth.values import ChangesResult, LogsResult, Quantity, QuantityResult
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.registry import method

GROUP = "eth filters"
MAX_FILTERS = 1_000
MAX_HELD = 10_000
"""Results that wait for one filter's next poll; one that falls further behind is dropped."""
MAX_HELD_BY_ALL = 500_000
"""Results that wait for all filters together; above it the fullest are dropped."""
LIFETIME = 300.0
"""Seconds without a poll after which a filter is dropped."""
FilterId = Annotated[Quantity, Param("what the filter's method answered")]


class FilterNotFound(RpcError):
    """There is no filter of this id, or not any more."""

    def __init__(self) -> None:
        super().__init__(
            Code.RESOURCE_NOT_FOUND,
            f"filter not found; one that is not polled for {LIFETIME:g} s, or falls {MAX_HELD} results "
            "behind, is dropped",
        )


@dataclass(slots=True)
class _Filter:
    kind: str
    query: LogQuery | None
    polled: float
    held: list[Any] = field(default_factory=list)


class Filters:
    """The filters of one port. Lives in the event loop's thread."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._filters: OrderedDict[int, _Filter] = OrderedDict()

    def __len__(self) -> int:
        return len(self._filters)

    def install(self, kind: str, query: LogQuery | None = None) -> int:
        """Begin to gather. Raises LimitExceeded."""
        self._expire()
        if len(self._filters) >= MAX_FILTERS:
            raise LimitExceeded(f"the node keeps {MAX_FILTERS} filters already; use eth_subscribe")
        number = secrets.randbits(120) | 1 << 120
        self._filters[number] = _Filter(kind, query, self._now())
        return number

    def remove(self, number: int) -> bool:
        """Drop a filter; False if there is none."""
        return self._filters.pop(number, None) is not None

    def poll(self, number: int) -> list[Any]:
        """Give what was gathered since the last poll. Raises FilterNotFound."""
        found = self._touch(number)
        held, found.held = found.held, []
        return held

    def query(self, number: int) -> LogQuery:
        """Give what a filter of logs looks for. Raises FilterNotFound."""
        query = self._touch(number).query
        if query is None:
            raise RpcError(Code.INVALID_INPUT, "this filter is not one of logs")
        return query

    def wants(self, kind: str) -> bool:
        """Whether there is a filter of this kind."""
        return any(f.kind == kind for f in self._filters.values())

    def add(self, kind: str, results: Iterable[Any]) -> None:
        """Hand results to all filters of a kind."""
        listed = list(results)
        for f in self._of(kind):
            f.held += listed
        self._drop_slow()

    def add_logs(self, height: int, logs: Iterable[LogRow], *, removed: bool) -> None:
        """Hand the logs of a block to the filters that match them."""
        rows = list(logs)
        for f in self._of("logs"):
            if f.query is not None and _covers(f.query, height):
                f.held += [
                    orjson.Fragment(row.removed_json() if removed else row.json)
                    for row in f.query.criteria.select(rows)
                ]
        self._drop_slow()

    def _of(self, kind: str) -> list[_Filter]:
        self._expire()
        return [f for f in self._filters.values() if f.kind == kind]

    def _touch(self, number: int) -> _Filter:
        self._expire()
        found = self._filters.get(number)
        if found is None:
            raise FilterNotFound
        found.polled = self._now()
        self._filters.move_to_end(number)
        return found

    def _expire(self) -> None:
        """Drop what nobody polls: the filters stand in the order of their last poll."""
        oldest = self._now() - LIFETIME
        while self._filters and next(iter(self._filters.values())).polled < oldest:
            self._filters.popitem(last=False)

    def _drop_slow(self) -> None:
        for number in [n for n, f in self._filters.items() if len(f.held) > MAX_HELD]:
            del self._filters[number]
        total = sum(len(f.held) for f in self._filters.values())
        while total > MAX_HELD_BY_ALL:
            fullest = max(self._filters, key=lambda n: len(self._filters[n].held))
            total -= len(self._filters.pop(fullest).held)


def _covers(query: LogQuery, height: int) -> bool:
    """Whether a new block at this height lies in the filter's range; tags at its ends leave it open."""
    if query.block_hash is not None:
        return False
    above = query.first.number is None or height >= query.first.number
    return above and (query.last.number is None or height <= query.last.number)


class FiltersApi:
    """Logs and polled filters."""

    def __init__(self, filters: Filters, search: LogSearch, pool: HeavyPool) -> None:
        self._filters = filters
        self._search = search
        self._pool = pool

    @method("eth_getLogs", group=GROUP, errors=(PRUNED_HISTORY, LimitExceeded))
    def get_logs(self, filter: LogFilter) -> LogsResult:  # noqa: A002
        """Give the logs of a block, or of a range of at most 10,000, that match; at most 20,000 of them."""
        return self._find(filter)

    def _find(self, query: LogQuery) -> Any:
        if self._search.is_quick(query):
            return self._search.run(query)
        return self._find_beside(query)

    async def _find_beside(self, query: LogQuery) -> list[orjson.Fragment]:
        try:
            return await self._pool.run(lambda deadline: self._search.run(query, deadline), SEARCH_SECONDS)
        except ExecutionTimeout:
            raise LimitExceeded("the search takes too long; ask for fewer blocks at a time") from None

    @method("eth_newFilter", group=GROUP, errors=(LimitExceeded,))
    def new_filter(self, filter: LogFilter) -> QuantityResult:  # noqa: A002
        """Gather logs that match, of new blocks and of blocks that leave the best chain."""
        return hex(self._filters.install("logs", filter))

    @method("eth_newBlockFilter", group=GROUP, errors=(LimitExceeded,))
    def new_block_filter(self) -> QuantityResult:
        """Gather the hashes of new blocks."""
        return hex(self._filters.install("blocks"))

    @method("eth_newPendingTransactionFilter", group=GROUP, errors=(LimitExceeded,))
    def new_pending_filter(self) -> QuantityResult:
        """Gather the hashes of transactions that become executable in the pool."""
        return hex(self._filters.install("transactions"))

    @method("eth_uninstallFilter", group=GROUP)
    def uninstall(self, id: FilterId) -> bool:  # noqa: A002
        """Drop a filter; false if there is none of this id."""
        return self._filters.remove(id)

    @method("eth_getFilterChanges", group=GROUP, errors=(FilterNotFound,))
    def changes(self, id: FilterId) -> ChangesResult:  # noqa: A002
        """Give what a filter gathered since it was last asked."""
        return self._filters.poll(id)

    @method("eth_getFilterLogs", group=GROUP, errors=(FilterNotFound, PRUNED_HISTORY, LimitExceeded))
    def logs(self, id: FilterId) -> LogsResult:  # noqa: A002
        """Give all logs of the filter's whole range, as eth_getLogs does."""
        return self._find(self._filters.query(id))
