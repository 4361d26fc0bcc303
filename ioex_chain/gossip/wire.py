"""What differs between the chains: how headers, blocks and transactions are read, judged and named.

The rest of the gossip works with these adapters alone. `pow_wire` and `pow_pool` are the PoW chain's,
`dpos_wire` and `dpos_pool` the DPoS chain's.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.types import Entry, HeadChanged, HeaderLike
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.types import BlockHash

Header = HeaderLike
AnyLedger = Ledger[Any, Any, Any]
AnyHeadChanged = HeadChanged[Any, Any]


class Block(Protocol):
    """A block as far as peers look at it."""

    @property
    def header(self) -> Any:
        """The block's header: a HeaderLike."""
        ...

    @property
    def raw(self) -> bytes:
        """The block's bytes."""
        ...


class Item(Protocol):
    """A transaction, or what else a block is sent in pieces of."""

    @property
    def raw(self) -> bytes:
        """Its bytes, as peers send them."""
        ...


class CompactForm(Protocol):
    """A block as a header and items, of which a compact block names most by their hash."""

    max_items: int
    is_proven: bool
    """Whether `build` gives nothing but the header's very block: then another body is the sender's fault."""

    def read_header(self, raw: bytes) -> Header:
        """Read a header. Raises DecodeError."""
        ...

    def items(self, block: Any) -> Sequence[Any]:
        """Give a block's items; the first one always goes whole."""
        ...

    def item(self, place: int, raw: bytes) -> Any:
        """Read the item of a place. Raises DecodeError."""
        ...

    def id(self, item: Any) -> bytes:
        """Give the hash over an item's bytes."""
        ...

    def build(self, header: Any, items: Sequence[Any]) -> Any | None:
        """Put a block together; None if these are not the header's items."""
        ...

    def bounds(self, block: Any) -> "array[int]":
        """Give begin and end of each item in the block's bytes; 0 and 0 if it is not in one piece."""
        ...


class Run(Protocol):
    """Headers that were looked at and not stored."""

    @property
    def last(self) -> BlockHash:
        """Where they end."""
        ...

    @property
    def start(self) -> Entry[Any]:
        """The stored entry that they stand on."""
        ...


class Again(Protocol):
    """Headers that are asked a second time."""

    @property
    def last(self) -> BlockHash:
        """How far they have come."""
        ...

    @property
    def at(self) -> Entry[Any]:
        """The last that is stored."""
        ...


class Examiner(Protocol):
    """Judges peers' headers on the chain's worker, and stores what deserves it: gives `headers.Report`s."""

    def take(self, items: Sequence[bytes], run: Any, redo: Any) -> Any:
        """Read and judge the headers of an answer that goes on where `run` or `redo` stopped."""
        ...

    def judge(self, headers: Sequence[Any]) -> Any:
        """Judge headers that are decoded."""
        ...


class ChainWire(Protocol):
    """Headers and blocks of one chain."""

    @property
    def form(self) -> CompactForm:
        """How blocks are sent in pieces."""
        ...

    identity: bytes
    """What the fork id is over (EIP-2124)."""
    activations: tuple[int, ...]
    has_ties: bool
    """Whether the ledger may leave its head for a branch of the same weight."""

    def read_block(self, raw: bytes) -> Any:
        """Read a block. Raises DecodeError."""
        ...

    def block_hash(self, raw: bytes) -> BlockHash:
        """Give the hash of a block's header without reading the rest. Raises DecodeError."""
        ...

    def time_of(self, header: Any) -> int:
        """Give a header's time, Unix seconds."""
        ...

    def valid_at(self, header: Any, now: int) -> int | None:
        """Say when a header that is not valid yet will be: Unix time, None: when blocks below it are here."""
        ...

    def check_pushed(self, header: Any) -> None:
        """Check what must hold before a pushed block is worth a look. Raises InvalidHeader."""
        ...

    def with_known_proof(self, block: Any, known: Entry[Any] | None) -> Any:
        """Give the block as it is to be stored when its header is known already. Raises MutatedBlock."""
        ...

    def examiner(self, ledger: AnyLedger, clock: Callable[[], int]) -> Examiner:
        """Give what judges peers' headers."""
        ...

    def arriving(self, block: Any) -> None:
        """Look at a block that a peer sent before the ledger does. On the worker."""
        ...

    def saw_headers(self, headers: Sequence[Any]) -> None:
        """Look at new headers that a peer sent, after the ledger. In the peers' thread."""
        ...

    def saw_block(self, block: Any) -> None:
        """Look at a block that a peer sent and the ledger took. In the peers' thread."""
        ...


class Fate(Enum):
    """What a transaction's refusal means."""

    KNOWN = "the pool has it"
    LACKS_PARENTS = "it spends what is not known"
    LATER = "not now, and nobody's fault"
    POLICY = "not for this pool; a block may hold it"
    MALFORMED = "cannot be read"
    INVALID = "breaks a rule for ever"
    INVALID_PROOF = "its signatures are wrong: others may be right"
    NOT_ASKED = "nobody asked for it"


class NotAsked(IoexError):
    """A transaction that nobody asked for."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A transaction from a peer: its bytes, or read already (an orphan). `since` is when it first came.

    `parents`: what was asked for by txid; None when its id was asked for.
    """

    peer: int
    id: bytes
    raw: bytes
    since: float
    tx: Any = None
    parents: frozenset[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of it: `error` None when the pool took it; `missing` are the txids of unknown parents."""

    arrival: Arrival
    tx: Any = None
    error: IoexError | None = None
    missing: tuple[bytes, ...] = ()


Gone = Callable[[bytes, Any, bool], None]
"""Hears of a transaction that left the pool: its id, itself, and whether a block took it."""


class PoolWire(Protocol):
    """The transactions of one chain and its pool. Calls come in the peers' thread, but for those marked."""

    def __len__(self) -> int:
        """Count what is in the pool."""
        ...

    def raw_id(self, raw: bytes) -> bytes:
        """Give the hash over a transaction's bytes: what it is announced by."""
        ...

    def id(self, tx: Any) -> bytes:
        """Give the same of one that is read."""
        ...

    def name(self, tx: Any) -> bytes:
        """Give what others name it by as a parent: its txid."""
        ...

    def get(self, id_: bytes) -> Any | None:
        """Give the pool's entry by id."""
        ...

    def get_named(self, name: bytes) -> Any | None:
        """Give the pool's entry by txid."""
        ...

    def entry_id(self, entry: Any) -> bytes:
        """Give an entry's id."""
        ...

    def tx(self, entry: Any) -> Any:
        """Give an entry's transaction."""
        ...

    def sequence(self, entry: Any) -> int:
        """Give an entry's number: it rises with every arrival."""
        ...

    def pays(self, entry: Any, rate: int) -> bool:
        """Whether an entry pays a peer's least rate."""
        ...

    def least_rate(self) -> int:
        """Give the rate that this pool always asks for."""
        ...

    def watch(self, gone: Gone) -> None:
        """Have `gone` called, on the worker, when something leaves the pool."""
        ...

    def candidates(self) -> Iterable[Any]:
        """Give the transactions that a new block may hold. On the worker."""
        ...

    def rate(self) -> int:
        """Give the rate that the pool asks for now. On the worker."""
        ...

    def best_first(self) -> list[bytes]:
        """Give the ids of all that peers may be told of, in a good order to take them. On the worker."""
        ...

    def admit(self, arrivals: Sequence[Arrival]) -> list[Result]:
        """Give transactions to the pool. On the worker."""
        ...

    def fate(self, error: IoexError) -> Fate:
        """Say what a refusal means."""
        ...
