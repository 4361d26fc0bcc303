"""What assembling a block wrote, so that connecting this very block need not execute it a second time.

Header, body and payload rules are checked all the same; what is saved is the execution of transactions that
the same code has just executed on the same state. A block of anybody else is always executed in full.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ioex_chain.dpos.block import Block
from ioex_chain.dpos.header import Header
from ioex_chain.evm.block import BlockResult
from ioex_chain.evm.types import Transaction
from ioex_chain.ledger.types import StateView


class RecordingView:
    """A state view that passes everything on and remembers each key's first and last value."""

    def __init__(self, view: StateView) -> None:
        self._view = view
        self.get = view.get
        self.note = view.note
        self.writes: dict[bytes, tuple[bytes | None, bytes | None]] = {}
        """By key: the value before the first write, the value after the last; None for absent."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs whose key begins with `prefix`, in key order."""
        return self._view.scan(prefix)

    def swap(self, key: bytes, before: bytes | None, after: bytes | None) -> None:
        """Replace a value that the caller knows."""
        first = self.writes.get(key)
        self.writes[key] = before if first is None else first[0], after
        self._view.swap(key, before, after)

    def put(self, key: bytes, value: bytes) -> None:
        """Write a value."""
        self.swap(key, self.get(key), value)

    def create(self, key: bytes, value: bytes) -> None:
        """Write a value under a key that is absent."""
        self.swap(key, None, value)

    def delete(self, key: bytes) -> None:
        """Remove a key; it need not exist."""
        self.swap(key, self.get(key), None)


@dataclass(frozen=True, slots=True)
class OwnBlock:
    """A block assembled here: its header, its transactions, what their execution gave and wrote."""

    header: Header
    transactions: Sequence[Transaction]
    result: BlockResult
    requests: Sequence[bytes]
    writes: dict[bytes, tuple[bytes | None, bytes | None]]

    def is_of(self, block: Block) -> bool:
        """Whether it is this very block. The header's hash is over its parent's, so the state is the same."""
        if block.header.header != self.header or len(block.transactions) != len(self.transactions):
            return False
        pairs = zip(block.transactions, self.transactions, strict=True)
        return all(one is other or one.raw == other.raw for one, other in pairs)

    def write(self, view: StateView) -> None:
        """Write to the parent's state what the execution wrote."""
        swap = view.swap
        for key, (before, after) in self.writes.items():
            swap(key, before, after)
