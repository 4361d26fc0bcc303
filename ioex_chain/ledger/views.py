"""Read-only views of the best chain's state, for mempool, RPC and wallets."""

from collections.abc import Iterator
from typing import Generic, NoReturn, Self

from ioex_chain.ledger.types import Entry, H, KeyValueStore, Snapshot


class HeadView:
    """The committed state, always that of the newest head; a `StateView` that refuses writes.

    Two reads may fall before and after a new block; use `Ledger.snapshot` where they must agree.
    """

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store
        self.get = store.get

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs whose key begins with `prefix`, in key order."""
        return self._store.scan(prefix)

    def note(self, value: bytes) -> NoReturn:  # noqa: ARG002
        """Refuse."""
        raise TypeError("only a block changes the state")

    def put(self, key: bytes, value: bytes) -> NoReturn:  # noqa: ARG002
        """Refuse."""
        raise TypeError("only a block changes the state")

    def create(self, key: bytes, value: bytes) -> NoReturn:  # noqa: ARG002
        """Refuse."""
        raise TypeError("only a block changes the state")

    def swap(self, key: bytes, before: bytes | None, after: bytes | None) -> NoReturn:  # noqa: ARG002
        """Refuse."""
        raise TypeError("only a block changes the state")

    def delete(self, key: bytes) -> NoReturn:  # noqa: ARG002
        """Refuse."""
        raise TypeError("only a block changes the state")


class HeadSnapshot(Generic[H]):
    """The state as it was when `head` was the head, whatever is connected meanwhile. Close it after use."""

    def __init__(self, snapshot: Snapshot, head: Entry[H]) -> None:
        self._snapshot = snapshot
        self.head = head
        self.get = snapshot.get
        self.scan = snapshot.scan

    def close(self) -> None:
        """Release it."""
        self._snapshot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
