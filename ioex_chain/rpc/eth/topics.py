"""eth_subscribe's topics, and the publisher that the node tells what happens."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from ioex_chain.dpos.header import SealedHeader
from ioex_chain.ledger.types import HeadChanged
from ioex_chain.rpc.eth.bodies import BodyMissing, LogRow
from ioex_chain.rpc.eth.chain import syncing_json
from ioex_chain.rpc.eth.filters import Filters
from ioex_chain.rpc.eth.log_filter import Criteria, LogFilter
from ioex_chain.rpc.eth.reader import EthReader
from ioex_chain.rpc.eth.render import header_json, transaction_json
from ioex_chain.rpc.eth_backend import DposEntry, EthBackend, Pooled
from ioex_chain.rpc.subscriptions import Subscriptions, Topic

HEADS, LOGS, TRANSACTIONS, SYNCING = "newHeads", "logs", "newPendingTransactions", "syncing"
QUICK_BLOCKS = 8
MAX_PUSHED = 1_000
"""Blocks of one event that are pushed one by one; of a longer catch-up only the newest are."""


@dataclass(frozen=True, slots=True)
class BlockLogs:
    """The logs of a block that joined or left the best chain."""

    rows: Sequence[LogRow]
    removed: bool


def eth_topics() -> Subscriptions:
    """Make the topics of the Ethereum port."""
    return Subscriptions(
        (
            Topic(HEADS, "the header of each block that joins the best chain", dict[str, Any] | None),
            Topic(
                LOGS,
                "each log that matches, with `removed` once its block leaves the best chain",
                LogFilter | None,
                _select_logs,
            ),
            Topic(
                TRANSACTIONS,
                "each transaction that becomes executable in the pool: its hash, or all of it with true",
                bool | dict[str, Any] | None,
                _select_transaction,
            ),
            Topic(SYNCING, "the state of synchronising whenever it begins or ends"),
        ),
        notification="eth_subscription",
    )


def _select_logs(wanted: Any, event: BlockLogs) -> Iterable[object]:
    criteria = wanted.criteria if wanted is not None else Criteria()
    for row in criteria.select(event.rows):
        yield orjson.Fragment(row.removed_json() if event.removed else row.json)


def _select_transaction(full: Any, event: Pooled) -> Iterable[object]:
    if full is True:
        yield transaction_json(event.tx, event.sender, None, None)
    else:
        yield "0x" + event.tx.hash.hex()


class Publisher:
    """Turns the node's events into notifications and filter results; call it in the event loop."""

    def __init__(
        self, backend: EthBackend, reader: EthReader, subscriptions: Subscriptions, filters: Filters
    ) -> None:
        self._backend = backend
        self._reader = reader
        self._subscriptions = subscriptions
        self._filters = filters
        self._syncing = False
        self._waiting: deque[HeadChanged[SealedHeader, Any]] = deque()
        self._reading: asyncio.Task[None] | None = None

    def head_changed(self, event: HeadChanged[SealedHeader, Any]) -> None:
        """Tell of logs that are no more, newest block first, then of new blocks and their logs.

        Logs of large blocks are read by a thread first; events stay in order.
        """
        if self._reading is None and self._is_quick(event):
            self._publish(event)
            return
        self._waiting.append(event)
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read_and_publish())

    def _is_quick(self, event: HeadChanged[SealedHeader, Any]) -> bool:
        entries = (*event.disconnected, *(done.entry for done in event.connected))
        return not self._wants_logs() or (
            len(entries) <= QUICK_BLOCKS and all(self._reader.bodies.is_quick(entry) for entry in entries)
        )

    async def _read_and_publish(self) -> None:
        try:
            while self._waiting:
                event = self._waiting.popleft()
                await asyncio.to_thread(self._read_logs, event)
                self._publish(event)
        finally:
            self._reading = None

    def _read_logs(self, event: HeadChanged[SealedHeader, Any]) -> None:
        """Have the blocks' logs at hand; what cannot be read is left out later."""
        for entry in (*event.disconnected, *(done.entry for done in event.connected[-MAX_PUSHED:])):
            if entry.header.header.logs_bloom != bytes(256):
                with suppress(BodyMissing):
                    self._reader.bodies.get(entry.hash).logs  # noqa: B018  (it is kept)

    def _publish(self, event: HeadChanged[SealedHeader, Any]) -> None:
        joined = [connected.entry for connected in event.connected[-MAX_PUSHED:]]
        if self._wants_logs():
            for entry in event.disconnected[:MAX_PUSHED]:
                self._publish_logs(entry, removed=True)
        self._filters.add("blocks", ["0x" + entry.hash.hex() for entry in joined])
        for entry in joined:
            if self._subscriptions.has_listeners(HEADS):
                self._subscriptions.publish(HEADS, header_json(entry.header))
            if self._wants_logs():
                self._publish_logs(entry, removed=False)
        self.sync_changed()

    def transaction_added(self, pooled: Pooled) -> None:
        """Tell of a transaction that became executable."""
        if self._subscriptions.has_listeners(TRANSACTIONS):
            self._subscriptions.publish(TRANSACTIONS, pooled)
        if self._filters.wants("transactions"):
            self._filters.add("transactions", ["0x" + pooled.tx.hash.hex()])

    def sync_changed(self) -> None:
        """Tell when synchronising begins or ends."""
        status = syncing_json(self._backend)
        if bool(status) == self._syncing:
            return
        self._syncing = bool(status)
        self._subscriptions.publish(SYNCING, {"syncing": True, "status": status} if status else False)

    def _wants_logs(self) -> bool:
        return self._subscriptions.has_listeners(LOGS) or self._filters.wants("logs")

    def _publish_logs(self, entry: DposEntry, *, removed: bool) -> None:
        if entry.header.header.logs_bloom == bytes(256):
            return
        try:
            rows = self._reader.bodies.get(entry.hash).logs
        except BodyMissing:
            return
        ordered = list(reversed(rows)) if removed else rows
        self._subscriptions.publish(LOGS, BlockLogs(ordered, removed))
        self._filters.add_logs(entry.height, ordered, removed=removed)
