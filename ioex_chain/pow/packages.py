"""The graph of unconfirmed transactions: who spends whom, and each one's totals with its relatives.

Every entry carries the sums over itself and its ancestors (what a miner must take with it) and over itself
and its descendants (what goes when it goes). Both are limited by policy, so that adding and removing touch
a bounded number of entries however large the pool is.
"""

from collections.abc import Collection, Iterable, Iterator
from math import inf
from typing import NamedTuple

from ioex_chain.pow.reserve import ReserveState, Settlement
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import OutPoint, TxHash

_NONE: frozenset["MempoolEntry"] = frozenset()


class Settles(NamedTuple):
    """What a settlement in the pool does, and the state of the reserve on which that was checked."""

    done: Settlement
    before: ReserveState

    @property
    def reach(self) -> tuple[int, int]:
        """How far it goes: requests settled, set believed. Of two the higher is the better one."""
        return self.done.count, self.done.current.number

    def holds(self, state: ReserveState) -> bool:
        """Whether nothing that its check looked at is another in `state`."""
        mine, now = self.before, state
        return (mine.count, mine.accumulator, mine.current, mine.pending) == (
            *(now.count, now.accumulator, now.current, now.pending),
        )


_USAGE_BASE, _USAGE_INPUT, _USAGE_OUTPUT, _USAGE_BYTE = 1_000, 480, 170, 2
"""Measured with tracemalloc: an entry, its transaction object and its places in the indexes."""


class MempoolEntry:
    """One transaction in the pool. Read it; only the pool writes it.

    Fees in units. `size` is the policy size ("vsize"): the transaction's bytes, or more if its signature
    checks weigh more. `time` is when it came (Unix seconds), `height` the chain's height then, `sequence`
    its number: parents always have a lower one than their children. `ancestor_*` and `descendant_*` count
    the entry itself. `spent_height` is the highest block that made a coin it spends, -1 if none did.
    """

    __slots__ = (
        "ancestor_checks",
        "ancestor_count",
        "ancestor_fee",
        "ancestor_size",
        "checks",
        "children",
        "descendant_count",
        "descendant_fee",
        "descendant_size",
        "fee",
        "has_locks",
        "height",
        "parents",
        "sequence",
        "settles",
        "size",
        "spent_height",
        "time",
        "tx",
        "usage",
    )

    def __init__(
        self,
        tx: Transaction,
        fee: int,
        size: int,
        checks: int,
        *,
        time: int,
        height: int,
        spent_height: int,
        has_locks: bool,
        settles: Settles | None = None,
    ) -> None:
        """`has_locks`: it spends a coinbase or has a relative lock, so a reorganisation may delay it.

        `settles`: it is a settlement, and what it does; no fee rate decides about it.
        """
        self.tx = tx
        self.fee = fee
        self.size = size
        self.checks = checks
        self.time = time
        self.height = height
        self.spent_height = spent_height
        self.has_locks = has_locks
        self.settles = settles
        self.sequence = 0
        self.usage = usage_of(tx)
        self.parents: set[MempoolEntry] | frozenset[MempoolEntry] = _NONE
        self.children: set[MempoolEntry] | frozenset[MempoolEntry] = _NONE
        self.ancestor_count = self.descendant_count = 1
        self.ancestor_size = self.descendant_size = size
        self.ancestor_fee = self.descendant_fee = fee
        self.ancestor_checks = checks

    @property
    def txid(self) -> TxHash:
        """The transaction's id."""
        return self.tx.txid

    @property
    def wtxid(self) -> TxHash:
        """The id that covers witnesses."""
        return self.tx.wtxid

    @property
    def rate(self) -> float:
        """Fee per byte of the entry alone, for ordering."""
        return self.fee / self.size

    @property
    def mining_score(self) -> float:
        """Fee per byte that a miner earns by taking it now, its ancestors included."""
        return min(self.fee / self.size, self.ancestor_fee / self.ancestor_size)

    @property
    def keeping_score(self) -> float:
        """Fee per byte that the pool loses by dropping it: its own, or better with its descendants.

        A settlement's is above all others: it goes last.
        """
        if self.settles is not None:
            return inf
        return max(self.fee / self.size, self.descendant_fee / self.descendant_size)

    def __repr__(self) -> str:
        return f"<MempoolEntry {self.tx.txid[::-1].hex()} {self.fee}/{self.size}>"


def usage_of(tx: Transaction) -> int:
    """Estimate the memory in bytes that a pool entry with this transaction takes."""
    return (
        _USAGE_BASE
        + _USAGE_INPUT * len(tx.inputs)
        + _USAGE_OUTPUT * len(tx.outputs)
        + _USAGE_BYTE * len(tx.raw)
    )


def in_order(entries: Iterable[MempoolEntry]) -> list[MempoolEntry]:
    """Sort so that parents come before their children."""
    return sorted(entries, key=_sequence)


def _sequence(entry: MempoolEntry) -> int:
    return entry.sequence


def ancestors_through(parents: Collection[MempoolEntry]) -> set[MempoolEntry]:
    """Give `parents` and all their ancestors."""
    found = set(parents)
    left = list(parents)
    while left:
        for parent in left.pop().parents:
            if parent not in found:
                found.add(parent)
                left.append(parent)
    return found


def with_descendants(entries: Iterable[MempoolEntry]) -> set[MempoolEntry]:
    """Give `entries` and all their descendants."""
    found = set(entries)
    left = list(found)
    while left:
        for child in left.pop().children:
            if child not in found:
                found.add(child)
                left.append(child)
    return found


class PackageGraph:
    """The pool's entries by transaction id and by what they spend, linked and summed."""

    def __init__(self) -> None:
        self._entries: dict[TxHash, MempoolEntry] = {}
        self._spenders: dict[OutPoint, MempoolEntry] = {}
        self._by_wtxid: dict[TxHash, MempoolEntry] = {}
        self._sequence = 0
        self.usage = 0
        self.total_size = 0
        self.total_fee = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[MempoolEntry]:
        return iter(self._entries.values())

    def get(self, txid: bytes) -> MempoolEntry | None:
        """Give the entry of a transaction id."""
        return self._entries.get(TxHash(txid))

    def get_by_wtxid(self, wtxid: bytes) -> MempoolEntry | None:
        """Give the entry of a transaction by the id that covers witnesses."""
        return self._by_wtxid.get(TxHash(wtxid))

    def spender(self, outpoint: bytes) -> MempoolEntry | None:
        """Give the entry that spends an output."""
        return self._spenders.get(OutPoint(outpoint))

    def add(self, entry: MempoolEntry, parents: set[MempoolEntry], ancestors: set[MempoolEntry]) -> None:
        """Link an entry that no entry spends from. `ancestors` are `parents` and theirs."""
        self._sequence += 1
        entry.sequence = self._sequence
        self._entries[entry.tx.txid] = entry
        self._by_wtxid[entry.tx.wtxid] = entry
        for item in entry.tx.inputs:
            self._spenders[item.outpoint] = entry
        if parents:
            entry.parents = parents
        for parent in parents:
            if parent.children:
                parent.children.add(entry)  # type: ignore[union-attr]
            else:
                parent.children = {entry}
        for ancestor in ancestors:
            _add_descendant(ancestor, entry, 1)
            _add_ancestor(entry, ancestor, 1)
        self.usage += entry.usage
        self.total_size += entry.size
        self.total_fee += entry.fee

    def remove_leaf(self, entry: MempoolEntry) -> set[MempoolEntry]:
        """Unlink an entry without children; give its ancestors, whose totals changed."""
        ancestors = ancestors_through(entry.parents)
        for ancestor in ancestors:
            _add_descendant(ancestor, entry, -1)
        for parent in entry.parents:
            _discard(parent, entry)
        self._forget(entry)
        return ancestors

    def remove_root(self, entry: MempoolEntry) -> None:
        """Unlink an entry without parents."""
        for descendant in with_descendants(entry.children):
            _add_ancestor(descendant, entry, -1)
        for child in entry.children:
            child.parents = child.parents - {entry} or _NONE
        self._forget(entry)

    def _forget(self, entry: MempoolEntry) -> None:
        del self._entries[entry.tx.txid]
        del self._by_wtxid[entry.tx.wtxid]
        for item in entry.tx.inputs:
            del self._spenders[item.outpoint]
        self.usage -= entry.usage
        self.total_size -= entry.size
        self.total_fee -= entry.fee
        entry.parents = entry.children = _NONE
        entry.ancestor_count = entry.descendant_count = 1
        entry.ancestor_size = entry.descendant_size = entry.size
        entry.ancestor_fee = entry.descendant_fee = entry.fee
        entry.ancestor_checks = entry.checks


def _discard(parent: MempoolEntry, child: MempoolEntry) -> None:
    parent.children.discard(child)  # type: ignore[union-attr]
    if not parent.children:
        parent.children = _NONE


def _add_descendant(entry: MempoolEntry, descendant: MempoolEntry, sign: int) -> None:
    entry.descendant_count += sign
    entry.descendant_size += sign * descendant.size
    entry.descendant_fee += sign * descendant.fee


def _add_ancestor(entry: MempoolEntry, ancestor: MempoolEntry, sign: int) -> None:
    entry.ancestor_count += sign
    entry.ancestor_size += sign * ancestor.size
    entry.ancestor_fee += sign * ancestor.fee
    entry.ancestor_checks += sign * ancestor.checks
