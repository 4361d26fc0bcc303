"""What an exchange follows: deposits and withdrawals since a block, over extended public keys."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.crypto.address import script_to_address
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.ledger.views import HeadSnapshot
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import find_transaction, scan_address
from ioex_chain.primitives.types import OutPoint, TxHash, display
from ioex_chain.rpc.errors import Code, ParameterError
from ioex_chain.rpc.jsonio import JsonAmount, amount
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.pow.address import MAX_ADDRESSES, AddressBook, require_index
from ioex_chain.rpc.pow.params import AddressText, HashBytes
from ioex_chain.rpc.pow.reader import ChainReader, transactions_at
from ioex_chain.rpc.pow.watch import Origin, WatchedAccounts
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.registry import method

GROUP = "exchange"
_NAMED = Origin("", 0, 0)
KeysParam = Annotated[
    list[Annotated[str, Field(max_length=140)]],
    Field(max_length=64),
    Param("account extended public keys: xpub or zpub (P2WPKH), wpkh(xpub), tr(xpub)"),
]
NamedParam = Annotated[
    list[AddressText], Field(max_length=MAX_ADDRESSES), Param("addresses to watch beside the keys")
]


class WatchedTransaction(TypedDict):
    """One output that paid a watched address (positive) or that a watched one paid (negative).

    category: receive, generate (a mature coinbase), immature, send. `key` and `path` ("0/5") tell which
    key's address it is. `fee` is negative, on sends whose inputs are all watched. In `removed`,
    `confirmations` says what became of the transaction: again in a block (1 and more), waiting in the
    mempool (0), or nowhere (-1).
    """

    involvesWatchonly: bool
    address: NotRequired[str]
    key: NotRequired[str]
    path: NotRequired[str]
    category: str
    amount: JsonAmount
    fee: NotRequired[JsonAmount]
    vout: int
    confirmations: int
    generated: NotRequired[bool]
    blockhash: NotRequired[str]
    blockheight: NotRequired[int]
    blockindex: NotRequired[int]
    blocktime: NotRequired[int]
    txid: str
    wtxid: str
    time: int


class SinceBlock(TypedDict):
    """What happened, oldest first; `lastblock` is the next call's `blockhash`."""

    transactions: list[WatchedTransaction]
    removed: list[WatchedTransaction]
    lastblock: str


@dataclass(slots=True)
class _Place:
    """Where a transaction stands: a block with its index there, or the mempool since a time."""

    entry: Entry[Header] | None
    position: int
    time: int
    confirmations: int


@dataclass(frozen=True, slots=True)
class _Query:
    """What the caller asked for."""

    keys: list[str]
    addresses: dict[bytes, str]
    since: Entry[Header] | None
    target_confirmations: int
    include_removed: bool
    include_change: bool


class _Collector:
    """Answers one query on one snapshot."""

    def __init__(
        self,
        reader: ChainReader,
        snapshot: HeadSnapshot[Header],
        query: _Query,
        pool: list[tuple[Transaction, int]],
    ) -> None:
        self.reader = reader
        self.ledger = reader.ledger
        self.snapshot = snapshot
        self.query = query
        self.pool = pool
        self.fork = None if query.since is None else self.ledger.fork_point(query.since, snapshot.head)
        self.scripts: dict[bytes, Origin] = {}
        self.outputs: dict[OutPoint, int] = {}
        """Every watched output that was found so far, with its value."""
        self.touched: dict[TxHash, int] = {}
        """Confirmed transactions above the fork that pay or spend a watched script, with their height."""

    def watch(self, accounts: WatchedAccounts, paid_in_pool: Collection[bytes]) -> None:
        """Find the scripts to watch, and read what the address index has of them."""

        def is_used(script: bytes) -> bool:
            return script in paid_in_pool or next(scan_address(self.snapshot, script), None) is not None

        self.scripts = accounts.scripts(self.query.keys, is_used)
        self.scripts.update({script: _NAMED for script in self.query.addresses if script not in self.scripts})
        since = -1 if self.fork is None else self.fork.height
        for script in self.scripts:
            for outpoint, value, height, _, spender in scan_address(self.snapshot, script):
                self.outputs[outpoint] = value
                if height > since:
                    self.touched[TxHash(outpoint[:32])] = height
                if spender is not None and spender.height > since:
                    self.touched[spender.txid] = spender.height

    def confirmed(self) -> list[WatchedTransaction]:
        """Give what is in blocks above the fork, in the order of the chain."""
        places = []
        for txid, height in self.touched.items():
            found = find_transaction(self.snapshot, txid)
            if found is not None:
                places.append((height, found[1]))
        rows: list[WatchedTransaction] = []
        for height, group in groupby(sorted(places), key=lambda place: place[0]):
            entry = self.ledger.ancestor(self.snapshot.head, height)
            confirmations = self.snapshot.head.height - height + 1
            body = self.ledger.body_bytes(entry.hash) or b""
            for position, tx in transactions_at(body, {place[1] for place in group}).items():
                rows += self._rows(tx, _Place(entry, position, entry.header.time, confirmations))
        return rows

    def waiting(self) -> list[WatchedTransaction]:
        """Give what waits in the mempool."""
        rows: list[WatchedTransaction] = []
        for tx, time in self.pool:
            if find_transaction(self.snapshot, tx.txid) is None:  # a block may have taken it meanwhile
                rows += self._rows(tx, _Place(None, 0, time, 0))
        return rows

    def removed(self) -> list[WatchedTransaction]:
        """Give what was in the blocks from `since` down to the fork, oldest first."""
        entries = []
        at = self.query.since
        while at is not None and at is not self.fork and at != self.fork:
            if at.status & Status.CONNECTED:
                entries.append(at)
            at = at.parent
        waiting = {tx.txid for tx, _ in self.pool}
        rows: list[WatchedTransaction] = []
        for entry in reversed(entries):
            for position, tx in enumerate(self.ledger.body(entry.hash).transactions):
                place = _Place(entry, position, entry.header.time, self._now(tx, waiting))
                rows += self._rows(tx, place)
        return rows

    def _now(self, tx: Transaction, waiting: Collection[bytes]) -> int:
        """Give the confirmations of a removed transaction today; -1 when it is nowhere."""
        found = find_transaction(self.snapshot, tx.txid)
        if found is not None:
            return self.snapshot.head.height - found[0] + 1
        return 0 if tx.txid in waiting else -1

    def _rows(self, tx: Transaction, place: _Place) -> list[WatchedTransaction]:
        spent = [self.outputs.get(item.outpoint) for item in tx.inputs]
        sends = any(value is not None for value in spent)
        known = [value for value in spent if value is not None]
        fee = sum(output.value for output in tx.outputs) - sum(known) if len(known) == len(spent) else None
        rows: list[WatchedTransaction] = []
        for vout, (value, script) in enumerate(tx.outputs):
            origin = self.scripts.get(script)
            if origin is not None:
                self.outputs[tx.outpoint(vout)] = value
            if sends and (origin is None or not origin.is_change):
                row = self._row(tx, vout, place, "send", -value)
                if fee is not None:
                    row["fee"] = amount(fee)
                rows.append(row)
            if origin is not None and (self.query.include_change or not (sends and origin.is_change)):
                rows.append(self._row(tx, vout, place, self._category(tx, place), value))
        return rows

    def _category(self, tx: Transaction, place: _Place) -> str:
        if not tx.is_coinbase:
            return "receive"
        mature = place.confirmations >= self.reader.spec.pow.coinbase_maturity
        return "generate" if mature else "immature"

    def _row(
        self, tx: Transaction, vout: int, place: _Place, category: str, value: int
    ) -> WatchedTransaction:
        script = tx.outputs[vout].script
        row: WatchedTransaction = {
            "involvesWatchonly": True,
            "category": category,
            "amount": amount(value),
            "vout": vout,
            "confirmations": place.confirmations,
            "txid": display(tx.txid),
            "wtxid": display(tx.wtxid),
            "time": place.time,
        }
        address = script_to_address(self.reader.prefix, script)
        if address is not None:
            row["address"] = address
        origin = self.scripts.get(script, _NAMED)
        if origin.key:
            row["key"] = origin.key
            row["path"] = f"{origin.branch}/{origin.number}"
        if tx.is_coinbase:
            row["generated"] = True
        if place.entry is not None:
            row["blockhash"] = display(place.entry.hash)
            row["blockheight"] = place.entry.height
            row["blockindex"] = place.position
            row["blocktime"] = place.entry.header.time
        return row


class ExchangeApi:
    """Follows watched scripts over blocks, the mempool and reorganisations."""

    def __init__(self, backend: PowBackend, reader: ChainReader) -> None:
        self._backend = backend
        self._ledger = backend.ledger
        self._reader = reader
        self._book = AddressBook(reader.prefix)
        self._accounts = WatchedAccounts()

    @method(
        "listsinceblock",
        group=GROUP,
        timeout=120.0,
        errors=(Code.INVALID_ADDRESS_OR_KEY, Code.INVALID_PARAMETER, Code.MISC_ERROR),
    )
    async def listsinceblock(
        self,
        blockhash: Annotated[HashBytes | None, Param("`lastblock` of the call before")] = None,
        target_confirmations: Annotated[
            int, Field(ge=1, le=9_999_999), Param("`lastblock` is the newest block with so many")
        ] = 1,
        include_watchonly: Annotated[
            bool, Param("taken for Core's sake: everything here is watch-only")
        ] = True,
        include_removed: Annotated[bool, Param("tell what a reorganisation took back")] = True,
        include_change: Annotated[bool, Param("also what comes back to the keys' inner branch")] = False,
        keys: KeysParam | None = None,
        addresses: NamedParam | None = None,
    ) -> SinceBlock:
        """Give what came to and left watched addresses since a block, mempool included.

        Nothing is stored: every call names the account keys (or addresses). Addresses are derived up to 20
        unused ones behind the last used, on both branches. When `blockhash` was reorganised away, the
        answer begins at the fork and `removed` holds what was in the blocks that went.
        """
        del include_watchonly
        require_index(self._reader)
        if not keys and not addresses:
            raise ParameterError("keys", "name an extended public key (or `addresses`); there is no wallet")
        since = self._reader.require(blockhash) if blockhash is not None else None
        named = self._book.scripts(addresses or [])
        pool = await self._backend.call(self._pool)
        query = _Query(
            keys or [],
            named,
            since,
            target_confirmations,
            include_removed,
            include_change,
        )
        return await asyncio.to_thread(self._collect, query, pool)

    def _pool(self) -> list[tuple[Transaction, int]]:
        """Give what waits, parents before children, with the time at which it came."""
        entries = sorted(self._backend.mempool, key=lambda entry: entry.sequence)
        return [(entry.tx, entry.time) for entry in entries]

    def _collect(self, query: _Query, pool: list[tuple[Transaction, int]]) -> SinceBlock:
        with self._ledger.snapshot() as snapshot:
            collector = _Collector(self._reader, snapshot, query, pool)
            paid = {output.script for tx, _ in pool for output in tx.outputs}
            collector.watch(self._accounts, paid)
            transactions = collector.confirmed() + collector.waiting()
            removed = collector.removed() if query.include_removed else []
            height = max(0, snapshot.head.height + 1 - query.target_confirmations)
            lastblock = self._ledger.ancestor(snapshot.head, height)
        return {"transactions": transactions, "removed": removed, "lastblock": display(lastblock.hash)}
