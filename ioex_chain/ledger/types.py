"""What a chain gives the ledger, and what the ledger gives back. Nothing here knows which chain it is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Generic, Protocol, Self, TypeVar

from ioex_chain.primitives.types import BlockHash


class HeaderLike(Protocol):
    """A block header as far as the ledger looks at it."""

    @property
    def hash(self) -> BlockHash:
        """The block's identity."""
        ...

    @property
    def parent_hash(self) -> BlockHash:
        """The identity of the block before it; 32 zero bytes in genesis."""
        ...

    def encode(self) -> bytes:
        """Give the bytes that the chain's header decoder reads back."""
        ...


H = TypeVar("H", bound=HeaderLike)
H_co = TypeVar("H_co", bound=HeaderLike, covariant=True)
H_contra = TypeVar("H_contra", bound=HeaderLike, contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class BlockLike(Protocol[H_co]):
    """A block as far as the ledger looks at it."""

    @property
    def header(self) -> H_co:
        """The block's header."""
        ...

    def encode(self) -> bytes:
        """Give the bytes that the chain's block decoder reads back."""
        ...


B = TypeVar("B", bound=BlockLike[HeaderLike])
B_contra = TypeVar("B_contra", bound=BlockLike[HeaderLike], contravariant=True)


class Status(IntFlag):
    """What is known of a block; kept on disk beside its header."""

    HEADER = 0
    BODY = 1
    """The body is stored and passed `check_block`."""
    CONNECTED = 2
    """Was connected once: its state rules hold."""
    INVALID = 4
    """Breaks a rule by itself."""
    INVALID_ANCESTOR = 8
    """Stands on a block that breaks one, or was forgotten (then only the object says so)."""
    UNVERIFIED = 16
    """A header whose rules could not all be checked yet: the block before its boundary is not connected."""

    @property
    def is_invalid(self) -> bool:
        """Whether the block can never be on the best chain."""
        return self._value_ & 12 != 0  # INVALID or INVALID_ANCESTOR; asked for each header, so plain integers


class Entry(Generic[H]):
    """A header in the tree, with what the ledger knows of it.

    `weight` is the sum from genesis, whose own is 0; `sequence` numbers the blocks in the order in which
    their body and all bodies before it were here (0: not yet), so that the first seen wins a tie, across
    restarts too, and a block whose parent's body is held back gains nothing by coming early. `parent`
    loads from disk when the parent is below the part of the tree that is kept in memory.
    """

    __slots__ = (
        "__weakref__",
        "_load",
        "_note",
        "_parent",
        "_read_note",
        "hash",
        "header",
        "height",
        "sequence",
        "status",
        "weight",
    )

    def __init__(
        self,
        header: H,
        height: int,
        weight: int,
        status: Status,
        sequence: int,
        parent: "Entry[H] | None",
        load: "Callable[[BlockHash], Entry[H]]",
        read_note: "Callable[[BlockHash], bytes | None] | None" = None,
    ) -> None:
        self.hash: BlockHash = header.hash
        self.header = header
        self.height = height
        self.weight = weight
        self.status = status
        self.sequence = sequence
        self._parent = parent
        self._load = load
        self._read_note = read_note
        self._note: bytes | None = None

    @property
    def parent(self) -> "Entry[H] | None":
        """The entry before this one; None in genesis."""
        if self._parent is not None:
            return self._parent
        return self._load(self.header.parent_hash) if self.height else None

    @property
    def note(self) -> bytes | None:
        """What the state machine noted of this block when it was first connected; None before that.

        It is a fact about the block and its ancestors, so it stays when the block leaves the best chain.
        """
        if self._note is None and self._read_note is not None:
            self._note = self._read_note(self.hash)
        return self._note

    @note.setter
    def note(self, value: bytes) -> None:
        self._note = value

    def known(self, hash_: BlockHash) -> "Entry[H]":
        """Give another entry of the same tree, by hash. Raises UnknownBlock."""
        return self._load(hash_)

    def detach(self) -> None:
        """Forget the parent's object (it stays on disk), so that it can be freed."""
        self._parent = None

    def __repr__(self) -> str:
        return f"<Entry {self.height} {self.hash.hex()[:12]} {self.status!r}>"


class ConsensusEngine(Protocol[H]):
    """Header rules and preference: a function of ancestors, never of state."""

    def check_header(self, header: H, parent: Entry[H], now: int) -> bool:
        """Check a header; give False if some rules must wait for the note of an ancestor.

        Raises InvalidHeader, WrongSeal (the messenger's fault, never held against the hash), or NotYetValid
        (nobody is to blame) if it may pass later. What waits is asked again when blocks below were connected,
        and `StateMachine.connect` must check it in any case.
        """
        ...

    def weight(self, header: H, parent: Entry[H]) -> int:
        """Give what this header adds to the branch's weight."""
        ...

    def tie_key(self, entry: Entry[H]) -> tuple[int, ...]:
        """Give what decides between branches of equal weight, at their last block: higher is better.

        It differs for any two entries and does not change while the ledger is open.
        """
        ...


class StateView(Protocol):
    """The state under a block: reads see earlier writes; the ledger undoes everything by itself."""

    def note(self, value: bytes) -> None:
        """Keep `value` beside the block that is being connected, for ever: `Entry.note` gives it back.

        It is written in the same atomic write as the block's state and not undone by a reorganisation.
        """
        ...

    def get(self, key: bytes) -> bytes | None:
        """Give the value, or None."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Write a value."""
        ...

    def create(self, key: bytes, value: bytes) -> None:
        """Write a value under a key that the chain's rules make sure is absent: no read is spent on it."""
        ...

    def swap(self, key: bytes, before: bytes | None, after: bytes | None) -> None:
        """Replace a value that the caller has read or knows, None for absent: no read is spent on it."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove a key; it need not exist."""
        ...

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs whose key begins with `prefix`, in key order."""
        ...


class StateMachine(Protocol[H, B_contra, R_co]):
    """What a block does."""

    def check_block(self, block: B_contra) -> None:
        """Check the body against its header without state.

        Raises MutatedBlock when the body is not the one that the header commits to (the header stays
        blameless), InvalidBlock when every body of this header would fail.
        """
        ...

    def connect(self, block: B_contra, entry: Entry[H], view: StateView) -> R_co:
        """Execute the block on `view`.

        Raises InvalidBlock if it breaks a rule, WrongSeal if its seal is not its producer's.
        """
        ...


class Readable(Protocol):
    """What a snapshot, a store and the ledger's view have in common."""

    def get(self, key: bytes) -> bytes | None:
        """Give the value, or None."""
        ...

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs whose key begins with `prefix`, in key order."""
        ...


class KeyValueStore(Protocol):
    """A sorted map on disk. Reads may come from any thread, writes from one."""

    def get(self, key: bytes) -> bytes | None:
        """Give the value, or None."""
        ...

    def scan(self, prefix: bytes, start: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs whose key begins with `prefix` and is at or after `start`, in key order.

        With `reverse` the same pairs in the opposite order.
        """
        ...

    def write(self, changes: Mapping[bytes, bytes | None], sync: bool = True) -> None:
        """Apply all changes or none; None deletes. With `sync` they survive a power cut on return."""
        ...

    def snapshot(self) -> "Snapshot":
        """Give a view that later writes do not change."""
        ...

    def close(self) -> None:
        """Flush and release."""
        ...


class Snapshot(Protocol):
    """A store as it was at one moment."""

    def get(self, key: bytes) -> bytes | None:
        """Give the value, or None."""
        ...

    def scan(self, prefix: bytes, start: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Give the pairs whose key begins with `prefix` and is at or after `start`, in key order.

        With `reverse` the same pairs in the opposite order.
        """
        ...

    def close(self) -> None:
        """Release it."""
        ...

    def __enter__(self) -> Self:
        """Use it as a context manager that closes it."""
        ...

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        ...


@dataclass(frozen=True, slots=True)
class Codec(Generic[H, B]):
    """A chain's two decoders; both raise DecodeError."""

    header: Callable[[bytes], H]
    block: Callable[[bytes], B]


@dataclass(frozen=True, slots=True)
class Connected(Generic[H, R]):
    """A block that joined the best chain and what its state machine said of it."""

    entry: Entry[H]
    receipt: R


@dataclass(frozen=True, slots=True)
class HeadChanged(Generic[H, R]):
    """The best chain changed. Extension and reorganisation are the same event.

    `disconnected` runs from the old head downwards, `connected` upwards to the new head; bodies are read
    by hash when somebody needs them, so that a deep reorganisation does not hold them all in memory.
    """

    disconnected: tuple[Entry[H], ...]
    connected: tuple[Connected[H, R], ...]
    head: Entry[H]
