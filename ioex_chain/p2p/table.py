"""The one table of message types: size, rate and reply rule of each (docs/protocol.md sections 9.2 and 9.3).

A message that is not in the table does not exist. A chain with more messages adds its rows with
`MessageTable.extended`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, Self

from ioex_chain.p2p import chain_messages as chain
from ioex_chain.p2p import finality_messages as finality
from ioex_chain.p2p import messages as base
from ioex_chain.p2p.rates import Rate
from ioex_chain.p2p.types import P2pError
from ioex_chain.primitives.codec import Reader


class WireMessage(base.Message, Protocol):
    """A message class that can be read as well as written."""

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload. Raises DecodeError."""
        ...


class TypeTaken(P2pError):
    """Two rows of a table have one type number: give the new message another."""


class When(Enum):
    """In which state of a connection a message may come."""

    HANDSHAKE = "handshake"
    ESTABLISHED = "established"
    ALWAYS = "always"


def _one(_: Any) -> int:
    return 1


def _none(_: Any) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Row:
    """The rules of one message type."""

    message: type[WireMessage]
    cap: int
    """Most bytes of the payload."""
    rate: Rate
    """Tokens a second and burst."""
    tokens: Callable[[Any], int] = _one
    """What a message costs; never less than one."""
    items: Callable[[Any], int] = _one
    """How many pieces its list has, where `unasked` bounds them."""
    when: When = When.ESTABLISHED
    answers: tuple[int, ...] = ()
    """The requests that it can answer; with more than one, its field `request` names which."""
    replies: Callable[[Any], int] = _one
    """How many answers it gets, if it is a request."""
    unasked: int = 0
    """Most pieces that it may have when nobody asked for it; 0: never unasked. Counts for answers only."""
    invited: bool = False
    """Comes unasked only after the receiver sent what `invites` it."""
    invites: Callable[[Any], int | None] = _none
    """The type that the other end may send unasked from now on."""

    @property
    def type(self) -> int:
        """Its number on the wire."""
        return self.message.type

    @property
    def name(self) -> str:
        """Its name in docs, logs and counters."""
        return self.message.__name__

    def cost(self, message: Any) -> int:
        """Give the tokens that a message costs."""
        return max(1, self.tokens(message))

    def request(self, message: Any) -> int:
        """Give the request that this answer is for; which may be one that it cannot answer."""
        if len(self.answers) == 1:
            return self.answers[0]
        named: int = message.request
        return named


class MessageTable:
    """Rows by type number, in the order of the numbers."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[int, Row] = {}
        for row in sorted(rows, key=lambda row: row.type):
            if row.type in self._rows:
                raise TypeTaken(f"{row.name} has type {row.type} of {self._rows[row.type].name}")
            self._rows[row.type] = row

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def __getitem__(self, message: base.Message | type[base.Message]) -> Row:
        return self._rows[message.type]

    def get(self, type_: int) -> Row | None:
        """Give the row of a type number, None for a type that does not exist."""
        return self._rows.get(type_)

    def extended(self, rows: Iterable[Row]) -> "MessageTable":
        """Give a table with more rows. Raises TypeTaken."""
        return MessageTable((*self, *rows))


def _hashes(most: int) -> int:
    """Give the bytes of a list of at most so many hashes."""
    return (1 if most < 0xFD else 3) + 32 * most


_HANDSHAKE = Rate(1, 1)
_SELDOM = Rate(1, 20)
_BLOCKS = Rate(200, 2_000)
"""Messages about the newest blocks: above what a devnet node makes when it is told to generate."""
_BULK = Rate(5_000, 10_000)
"""Blocks of a first download: above what a node can verify."""
_TRANSACTIONS = Rate(5_000, 50_000)
"""Transactions: five times what the chain is built for, and a pool's worth at once."""

BASE_ROWS = (
    Row(base.Hello, 289, _HANDSHAKE, when=When.HANDSHAKE),
    Row(base.Ping, 8, _SELDOM),
    Row(base.Pong, 8, _SELDOM, answers=(base.Ping.type,)),
    Row(base.Goodbye, 2 + base.MAX_GOODBYE_TEXT, _HANDSHAKE, when=When.ALWAYS),
    Row(base.GetAddresses, 0, Rate(0.1, 10)),
    Row(
        base.Addresses,
        3 + 54 * base.MAX_ADDRESSES,
        Rate(10, 3_000),
        tokens=lambda message: len(message.records),
        items=lambda message: len(message.records),
        answers=(base.GetAddresses.type,),
        unasked=10,
    ),
)
CHAIN_ROWS = (
    Row(chain.GetHeaders, _hashes(chain.MAX_LOCATOR) + 32, Rate(100, 200)),
    Row(chain.Headers, 2_100_000, Rate(100, 200), answers=(chain.GetHeaders.type,)),
    Row(
        chain.GetBlocks,
        _hashes(chain.MAX_GET_BLOCKS),
        _BULK,
        tokens=lambda message: len(message.hashes),
        replies=lambda message: len(message.hashes),
    ),
    Row(chain.BlockData, chain.MAX_BLOCK_BYTES, _BULK, answers=(chain.GetBlocks.type,)),
    Row(
        chain.NotFound,
        33,
        _BULK,
        answers=(chain.GetBlocks.type, chain.GetCompact.type, chain.GetBlockTransactions.type),
    ),
    Row(chain.Announce, 1 + chain.MAX_ANNOUNCED_HEADERS * (3 + chain.MAX_HEADER_BYTES), _BLOCKS),
    Row(
        chain.CompactBlock,
        1_200_000,
        _BLOCKS,
        tokens=lambda message: 1 + (len(message.short_ids) + len(message.prefilled)) // 1_000,
        answers=(chain.GetCompact.type,),
        unasked=1,
        invited=True,
    ),
    Row(chain.GetCompact, 32, _BLOCKS),
    Row(
        chain.GetBlockTransactions,
        32 + 3 + 2 * chain.MAX_BLOCK_TRANSACTIONS,
        _BLOCKS,
        tokens=lambda message: 1 + len(message.indexes) // 1_000,
    ),
    Row(
        chain.BlockTransactions,
        chain.MAX_BLOCK_BYTES + 5 * chain.MAX_BLOCK_TRANSACTIONS + 35,
        _BLOCKS,
        answers=(chain.GetBlockTransactions.type,),
    ),
    Row(
        chain.SendCompact,
        1,
        Rate(100, 1_000),
        invites=lambda message: chain.CompactBlock.type if message.push else None,
    ),
    Row(
        chain.AnnounceTransactions,
        _hashes(chain.MAX_TRANSACTION_IDS),
        _TRANSACTIONS,
        tokens=lambda message: len(message.ids),
    ),
    Row(
        chain.GetTransactions,
        2 * _hashes(chain.MAX_TRANSACTION_IDS),
        _TRANSACTIONS,
        tokens=lambda message: len(message.ids) + len(message.parents),
    ),
    Row(
        chain.Transactions,
        4_050_000,
        _TRANSACTIONS,
        tokens=lambda message: len(message.items),
        answers=(chain.GetTransactions.type,),
    ),
    Row(chain.FeeFilter, 8, _SELDOM),
)
FINALITY_ROWS = (
    Row(
        finality.Votes,
        3 + (1 + finality.MAX_VOTE_BYTES) * finality.MAX_VOTES,
        Rate(200, 5_000),
        tokens=lambda message: len(message.items),
    ),
    Row(finality.Certificate, finality.MAX_CERTIFICATE_BYTES, Rate(10, 200)),
    Row(finality.EvidenceItem, finality.MAX_EVIDENCE_BYTES, Rate(2, 200)),
)
TABLE = MessageTable((*BASE_ROWS, *CHAIN_ROWS))
DPOS_TABLE = TABLE.extended(FINALITY_ROWS)
"""The DPoS chain's."""
