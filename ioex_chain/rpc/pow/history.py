"""The history of addresses, page by page."""

import asyncio
import heapq
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.ledger.types import Entry
from ioex_chain.pow.header import Header
from ioex_chain.pow.utxo import Reads, scan_address
from ioex_chain.primitives.types import display
from ioex_chain.rpc.errors import Code, ParameterError
from ioex_chain.rpc.jsonio import JsonAmount, amount
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.pow.address import GROUP, AddressBook, AddressesParam, require_index
from ioex_chain.rpc.pow.pool import pool_outputs, pool_spends
from ioex_chain.rpc.pow.reader import ChainReader
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.registry import method

RECEIVED, SPENT = 0, 1
_NAMES = ("received", "spent")
_IN_POOL = 2**32 - 1
"""Height in a cursor that stands for the mempool: after every block."""
_CURSOR = re.compile(r"([0-9]{1,10})-([01])-([0-9a-f]{72})")
MAX_PAGE = 1_000


class HistoryRow(TypedDict):
    """An output that an address received, or its spend.

    `amount` is positive for received and negative for spent, so that all rows sum up to the balance.
    `txid` is the transaction of the row and `n` its output (received) or input (spent); `prev_txid` and
    `prev_vout` name the output that a spend took. `height`, `blockhash`, `time` are null in the mempool.
    """

    category: str
    address: str
    amount: JsonAmount
    txid: str
    n: int
    prev_txid: NotRequired[str]
    prev_vout: NotRequired[int]
    coinbase: bool
    confirmations: int
    height: int | None
    blockhash: str | None
    time: int | None


class History(TypedDict):
    """One page, oldest row first. `next` goes into `after` for the next page; null at the end."""

    rows: list[HistoryRow]
    next: str | None
    height: int
    bestblock: str


class _Event(NamedTuple):
    """Sorts by height, then received before spent, then output."""

    height: int
    kind: int
    outpoint: bytes
    txid: bytes
    vin: int
    value: int
    is_coinbase: bool
    script: bytes

    @property
    def place(self) -> tuple[int, int, bytes]:
        return self[:3]


class HistoryApi:
    """Merges the address index and the mempool."""

    def __init__(self, backend: PowBackend, reader: ChainReader) -> None:
        self._backend = backend
        self._ledger = backend.ledger
        self._reader = reader
        self._book = AddressBook(reader.prefix)

    @method("getaddresshistory", group=GROUP, errors=(Code.INVALID_ADDRESS_OR_KEY, Code.MISC_ERROR))
    async def getaddresshistory(
        self,
        addresses: AddressesParam,
        count: Annotated[int, Field(ge=1, le=MAX_PAGE), Param("rows in a page")] = 100,
        after: Annotated[str | None, Param("`next` of the page before")] = None,
        include_mempool: Annotated[bool, Param("add what waits in the mempool, at the end")] = True,
    ) -> History:
        """Give what addresses received and spent, oldest first, page by page.

        A reorganisation may change rows that were given already: keep the last page's `bestblock`, and
        begin again when it is no longer on the best chain.
        """
        require_index(self._reader)
        scripts = self._book.scripts(addresses)
        start = _read_cursor(after)
        waiting: list[_Event] = []
        if include_mempool:  # first, so that what a block takes meanwhile is seen twice and not never
            waiting = await self._backend.call(lambda: list(self._waiting(scripts)))
        return await asyncio.to_thread(self._page, scripts, count, start, waiting)

    def _page(
        self,
        scripts: dict[bytes, str],
        count: int,
        start: tuple[int, int, bytes],
        waiting: Sequence[_Event],
    ) -> History:
        left = {(event.kind, event.outpoint): event for event in waiting}
        found: list[_Event] = []
        with self._ledger.snapshot() as snapshot:
            head = snapshot.head
            for event in self._confirmed(snapshot, scripts):
                left.pop((event.kind, event.outpoint), None)
                if event.place > start:
                    found.append(event)
        found += [event for event in left.values() if event.place > start]
        page = heapq.nsmallest(count + 1, found)
        return {
            "rows": [self._shown(event, scripts[event.script], head) for event in page[:count]],
            "next": _write_cursor(page[count - 1]) if len(page) > count else None,
            "height": head.height,
            "bestblock": display(head.hash),
        }

    def _confirmed(self, view: Reads, scripts: dict[bytes, str]) -> Iterator[_Event]:
        for script in scripts:
            for outpoint, value, height, is_coinbase, spender in scan_address(view, script):
                yield _Event(height, RECEIVED, outpoint, outpoint[:32], 0, value, is_coinbase, script)
                if spender is not None:
                    txid, vin, at = spender
                    yield _Event(at, SPENT, outpoint, txid, vin, -value, False, script)

    def _waiting(self, scripts: dict[bytes, str]) -> Iterator[_Event]:
        pool, view = self._backend.mempool, self._ledger.view()
        for entry, outpoint, value, script in pool_outputs(pool, scripts):
            yield _Event(_IN_POOL, RECEIVED, outpoint, entry.txid, 0, value, False, script)
        for entry, vin, outpoint, value, script in pool_spends(pool, view, scripts):
            yield _Event(_IN_POOL, SPENT, outpoint, entry.txid, vin, -value, False, script)

    def _shown(self, event: _Event, address: str, head: Entry[Header]) -> HistoryRow:
        index = int.from_bytes(event.outpoint[32:], "little")
        block = None if event.height == _IN_POOL else self._ledger.ancestor(head, event.height)
        row: HistoryRow = {
            "category": _NAMES[event.kind],
            "address": address,
            "amount": amount(event.value),
            "txid": display(event.txid),
            "n": index if event.kind == RECEIVED else event.vin,
            "coinbase": event.is_coinbase,
            "confirmations": 0 if block is None else head.height - block.height + 1,
            "height": None if block is None else block.height,
            "blockhash": None if block is None else display(block.hash),
            "time": None if block is None else block.header.time,
        }
        if event.kind == SPENT:
            row["prev_txid"] = display(event.outpoint[:32])
            row["prev_vout"] = index
        return row


def _write_cursor(event: _Event) -> str:
    return f"{event.height}-{event.kind}-{event.outpoint.hex()}"


def _read_cursor(text: str | None) -> tuple[int, int, bytes]:
    if text is None:
        return -1, 0, b""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise ParameterError("after", "give `next` of the page before, or leave it out")
    return int(found[1]), int(found[2]), bytes.fromhex(found[3])
