"""Decoded blocks and their JSON, kept for the blocks that clients ask for: a bounded cache by block hash."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import orjson

from ioex_chain.dpos.block import Block
from ioex_chain.evm.types import Receipt
from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.eth import render
from ioex_chain.rpc.eth_backend import DposEntry, EthBackend
from ioex_chain.rpc.jsonio import dumps

CACHE_BYTES = 128 << 20
"""Estimated memory of all bodies that are kept."""
SMALL_GAS = 6_300_000
"""A block that used no more has at most 300 transactions: read and written without leaving the event loop."""
_BYTES_BY_TRANSACTION = 3_000


class BodyMissing(LookupError):
    """The block's body or receipts are not stored."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """A log as filters look at it, and its JSON."""

    address: bytes
    topics: tuple[bytes, ...]
    json: bytes

    def removed_json(self) -> bytes:
        """Give the JSON that says that its block left the best chain: `removed` is the last member."""
        return self.json[: -len(b"false}")] + b"true}"


class Body:
    """A block, and what was made of it so far. Whoever comes first makes a form; two may make it twice."""

    def __init__(self, block: Block, backend: EthBackend) -> None:
        self.block = block
        self._backend = backend

    @property
    def weight(self) -> int:
        """Estimated memory with all forms."""
        return 8_192 + 2 * len(self.block.raw) + _BYTES_BY_TRANSACTION * len(self.block.transactions)

    @cached_property
    def senders(self) -> Sequence[bytes]:
        """Who signed each transaction."""
        return self._backend.senders(self.block)

    @cached_property
    def receipts(self) -> Sequence[Receipt]:
        """The receipts. Raises BodyMissing."""
        receipts = self._backend.receipts(self.block.header.hash)
        if receipts is None:
            raise BodyMissing
        return receipts

    @cached_property
    def json_with_hashes(self) -> orjson.Fragment:
        """The block's JSON with transaction hashes."""
        return orjson.Fragment(dumps(render.whole_block_json(self.block, None)))

    @cached_property
    def json_with_transactions(self) -> orjson.Fragment:
        """The block's JSON with whole transactions."""
        return orjson.Fragment(dumps(render.whole_block_json(self.block, self.senders)))

    @cached_property
    def json_receipts(self) -> orjson.Fragment:
        """The JSON of all receipts. Raises BodyMissing."""
        rows = render.receipts_json(self.block, self.senders, self.receipts)
        return orjson.Fragment(dumps(list(rows)))

    def transaction_json(self, index: int) -> render.Json:
        """Write one transaction."""
        tx, sender = self.block.transactions[index], self.senders[index]
        return render.transaction_json(tx, sender, render.Place.of(self.block.header), index)

    def receipt_json(self, index: int) -> render.Json:
        """Write one receipt. Raises BodyMissing."""
        gas_before, logs_before = self.receipt_starts[index]
        tx, receipt = self.block.transactions[index], self.receipts[index]
        return render.receipt_json(
            render.Place.of(self.block.header),
            index,
            tx,
            self.senders[index],
            receipt,
            receipt.cumulative_gas - gas_before,
            logs_before,
        )

    @cached_property
    def receipt_starts(self) -> Sequence[tuple[int, int]]:
        """Gas and number of logs before each transaction; the senders are recovered on the way."""
        starts = [(0, 0)]
        for receipt in self.receipts:
            starts.append((receipt.cumulative_gas, starts[-1][1] + len(receipt.logs)))
        self.senders  # noqa: B018  (whoever asks for a receipt needs them too)
        return starts

    @cached_property
    def logs(self) -> Sequence[LogRow]:
        """All logs in order. Raises BodyMissing."""
        place = render.Place.of(self.block.header)
        rows: list[LogRow] = []
        for index, (tx, receipt) in enumerate(zip(self.block.transactions, self.receipts, strict=True)):
            if receipt.logs:
                tx_hash, tx_index = "0x" + tx.hash.hex(), hex(index)
                for log in receipt.logs:
                    json = render.log_json(log, place, tx_hash, tx_index, len(rows))
                    rows.append(LogRow(log.address, log.topics, orjson.dumps(json)))
        return rows


class Bodies:
    """The cache; from any thread."""

    def __init__(self, backend: EthBackend, capacity: int = CACHE_BYTES) -> None:
        self._backend = backend
        self._capacity = capacity
        self._kept: OrderedDict[BlockHash, Body] = OrderedDict()
        self._used = 0
        self._lock = Lock()

    def cached(self, hash_: BlockHash) -> Body | None:
        """Give a body that is kept."""
        with self._lock:
            body = self._kept.get(hash_)
            if body is not None:
                self._kept.move_to_end(hash_)
            return body

    def get(self, hash_: BlockHash) -> Body:
        """Give a block's body, from the database if need be. Raises BodyMissing."""
        body = self.cached(hash_)
        if body is not None:
            return body
        block = self._backend.block(hash_)
        if block is None:
            raise BodyMissing
        return self._keep(hash_, Body(block, self._backend))

    def is_quick(self, entry: DposEntry) -> bool:
        """Whether reading and writing this block is a matter of a few milliseconds."""
        return entry.header.header.gas_used <= SMALL_GAS

    def _keep(self, hash_: BlockHash, body: Body) -> Body:
        with self._lock:
            known = self._kept.setdefault(hash_, body)
            if known is body:
                self._used += body.weight
            while self._used > self._capacity and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._used -= dropped.weight
            return known
