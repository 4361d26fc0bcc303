"""Two small chains that use the whole seam, and helpers to grow trees of their blocks.

*Counter*: a block adds numbers to accounts, deletes accounts and scans them; it fails when an account goes
below zero. *Tickets*: a block makes tickets and spends tickets; spending one that is not there fails, so
that whether a block is valid depends on its branch. Both have a state rule that only a wrong `ticket` or a
negative number breaks, a body rule (`BAD` in a body fails `check_block`), a header rule (`note` FORBIDDEN),
and a body hash in the header, so that a body can be mutated.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from struct import Struct

from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.errors import InvalidBlock, InvalidHeader, MutatedBlock, NotYetValid
from ioex_chain.ledger.types import Codec, Entry, KeyValueStore, StateMachine, StateView
from ioex_chain.primitives.clock import FixedClock
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash

NETWORK = sha256(b"toy").digest()
FORBIDDEN = 666
BAD = b"BAD"

_header = Struct("<32s32sIII")
_adding = Struct("<Bi")


@dataclass(frozen=True)
class ToyHeader:
    parent_hash: BlockHash
    body_hash: bytes
    work: int
    time: int
    note: int

    @cached_property
    def hash(self) -> BlockHash:
        return BlockHash(sha256(self.encode()).digest())

    def encode(self) -> bytes:
        return _header.pack(self.parent_hash, self.body_hash, self.work, self.time, self.note)

    @classmethod
    def decode(cls, data: bytes) -> "ToyHeader":
        if len(data) != _header.size:
            raise DecodeError("a toy header has 76 bytes")
        parent, body, work, time, note = _header.unpack(data)
        return cls(BlockHash(parent), body, work, time, note)


@dataclass(frozen=True)
class ToyBlock:
    header: ToyHeader
    body: bytes

    @property
    def hash(self) -> BlockHash:
        return self.header.hash

    def encode(self) -> bytes:
        return self.header.encode() + self.body

    @classmethod
    def decode(cls, data: bytes) -> "ToyBlock":
        return cls(ToyHeader.decode(data[: _header.size]), data[_header.size :])


CODEC: Codec[ToyHeader, ToyBlock] = Codec(ToyHeader.decode, ToyBlock.decode)


class ForbiddenNote(InvalidHeader):
    pass


class BadBody(InvalidBlock):
    pass


class BelowZero(InvalidBlock):
    pass


class NoSuchTicket(InvalidBlock):
    pass


class ToyEngine:
    """`work` is what a header weighs; times ahead of the clock may pass later."""

    def check_header(self, header: ToyHeader, parent: Entry[ToyHeader], now: int) -> bool:
        if header.time > now:
            raise NotYetValid(f"time {header.time} is ahead of {now}")
        if header.note == FORBIDDEN:
            raise ForbiddenNote("note 666")
        return True

    def tie_key(self, entry: Entry[ToyHeader]) -> tuple[int, ...]:
        return (-entry.sequence,)

    def weight(self, header: ToyHeader, parent: Entry[ToyHeader]) -> int:
        return header.work


class _Body:
    def check_block(self, block: ToyBlock) -> None:
        if sha256(block.body).digest() != block.header.body_hash:
            raise MutatedBlock("this is not the body that the header commits to")
        if block.body.startswith(BAD):
            raise BadBody("BAD")


class CounterMachine(_Body):
    """Body: pairs of account (uint8) and difference (int32); an account that comes to 0 is deleted."""

    def connect(self, block: ToyBlock, entry: Entry[ToyHeader], view: StateView) -> int:
        for account, difference in _adding.iter_unpack(block.body):
            key = b"c" + bytes((account,))
            number = int(view.get(key) or b"0") + difference
            if number < 0:
                raise BelowZero(f"account {account} would have {number}")
            if number:
                view.put(key, str(number).encode())
            else:
                view.delete(key)
        total = sum(int(value) for _, value in view.scan(b"c"))
        view.put(b"total", str(total).encode())
        view.create(b"h" + block.hash, str(total).encode())
        return total


class TicketMachine(_Body):
    """Body: signed bytes; n > 0 spends ticket n, n < 0 makes ticket -n, which must not be there."""

    def connect(self, block: ToyBlock, entry: Entry[ToyHeader], view: StateView) -> int:
        for byte in block.body:
            ticket = byte if byte < 128 else byte - 256
            key = b"t" + bytes((abs(ticket),))
            there = view.get(key) is not None
            if there != (ticket > 0):
                raise NoSuchTicket(f"ticket {ticket} at height {entry.height}")
            if there:
                view.delete(key)
            else:
                view.create(key, entry.hash)
        return sum(1 for _ in view.scan(b"t"))


def counter_body(changes: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(_adding.pack(account, difference) for account, difference in changes)


def ticket_body(moves: Iterable[int]) -> bytes:
    return bytes(move % 256 for move in moves)


def block_on(
    parent: BlockHash, body: bytes = b"", *, work: int = 1, time: int = 0, note: int = 0
) -> ToyBlock:
    return ToyBlock(ToyHeader(parent, sha256(body).digest(), work, time, note), body)


GENESIS = block_on(BlockHash(bytes(32)), counter_body([(0, 100)]))
TICKET_GENESIS = block_on(BlockHash(bytes(32)), ticket_body([-1, -2, -3]))

ToyLedger = Ledger[ToyHeader, ToyBlock, int]


def open_toy(
    store: KeyValueStore,
    machine: StateMachine[ToyHeader, ToyBlock, int] | None = None,
    *,
    genesis: ToyBlock | None = None,
    network_id: bytes = NETWORK,
    clock: FixedClock | None = None,
    max_reorg_depth: int | None = None,
    undo_depth: int = 1000,
    archive: bool = False,
    window: int = 2048,
) -> ToyLedger:
    machine = machine or CounterMachine()
    if genesis is None:
        genesis = TICKET_GENESIS if isinstance(machine, TicketMachine) else GENESIS
    return Ledger(
        store,
        ToyEngine(),
        machine,
        CODEC,
        genesis,
        network_id=network_id,
        clock=clock or FixedClock(1000),
        max_reorg_depth=max_reorg_depth,
        undo_depth=undo_depth,
        archive=archive,
        window=window,
    )


def grow(parent: BlockHash, count: int, *, note: int = 0, work: int = 1) -> list[ToyBlock]:
    """Give `count` valid blocks of the counter chain on `parent`; `note` tells branches apart."""
    blocks = []
    for number in range(count):
        body = counter_body([(number % 7 + 1, 5), (note % 200 + 8, 1)])
        blocks.append(block_on(parent, body, note=note, work=work))
        parent = blocks[-1].hash
    return blocks


def state_rows(ledger_or_store: "ToyLedger | KeyValueStore") -> dict[bytes, bytes]:
    """Give the whole state."""
    source = ledger_or_store.view() if isinstance(ledger_or_store, Ledger) else ledger_or_store
    return {key: value for key, value in source.scan(b"") if b"a" <= key < b"{"}


def replay(ledger: ToyLedger, machine: StateMachine[ToyHeader, ToyBlock, int]) -> dict[bytes, bytes]:
    """Connect the best chain from genesis on a fresh store and give the state: the oracle of every test."""
    from ioex_chain.ledger.overlay import Overlay
    from ioex_chain.ledger.store import MemoryStore

    overlay = Overlay(MemoryStore())
    for height in range(ledger.head.height + 1):
        entry = ledger.entry_at(height)
        assert entry is not None
        machine.connect(ledger.body(entry.hash), entry, overlay)
    return {key: value for key, value in overlay.changes.items() if value is not None}
