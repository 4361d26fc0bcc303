"""The full check of a database, and building one anew from the blocks of another.

Both are for a stopped node. Reading every row also checks every checksum of the database's files.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Generic, TypeVar

from ioex_chain.ledger import schema
from ioex_chain.ledger.chain import Ledger
from ioex_chain.ledger.errors import Rejected, StoreCorrupt, UnknownBlock
from ioex_chain.ledger.overlay import decode_undo
from ioex_chain.ledger.types import BlockLike, Codec, H, HeaderLike, Readable, Status
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash

B = TypeVar("B", bound=BlockLike[HeaderLike])
R = TypeVar("R")

Progress = Callable[[str, int], None]
"""Called with the name of what is being done and the rows done so far, about every 1,000 rows."""

_EVERY = 1000
_MOST_PROBLEMS = 100


@dataclass(slots=True)
class Report:
    """What `check` found. `problems` are sentences, at most 100 of them; empty means sound."""

    rows: dict[str, int] = field(default_factory=dict)
    height: int = -1
    state_digest: bytes = b""
    """SHA-256 over all state rows: equal for equal states, whatever way they came about."""
    problems: list[str] = field(default_factory=list)

    def note(self, key: bytes, what: str) -> None:
        """Add a problem of one row."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(f"{key[:1].decode('ascii', 'replace')}:{key[1:].hex()} {what}")


def check(
    store: Readable,
    codec: Codec[H, B],
    *,
    check_block: Callable[[B], None] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Read and decode every row, and see that they agree with each other.

    With `check_block` (a chain's own) every body is also checked against its header. Never raises for
    damage: it is in the report.
    """
    checker = _Checker(store, codec, progress or (lambda _what, _done: None))
    stages: list[Callable[[], None]] = [
        checker.meta,
        checker.entries,
        checker.heights,
        checker.best_chain,
        checker.undo_records,
        checker.notes,
        lambda: checker.bodies(check_block),
        checker.state,
    ]
    for stage in stages:
        try:
            stage()
        except StoreCorrupt as error:
            checker.report.problems.append(str(error))
    return checker.report


class _Checker(Generic[H, B]):
    def __init__(self, store: Readable, codec: Codec[H, B], progress: Progress) -> None:
        self.store = store
        self.codec = codec
        self.progress = progress
        self.report = Report()
        self.best: list[BlockHash] = []

    def rows(self, name: str, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Read the rows with a prefix, counting and telling."""
        done = 0
        for done, pair in enumerate(self.store.scan(prefix), 1):
            yield pair
            if done % _EVERY == 0:
                self.progress(name, done)
        self.report.rows[name] = self.report.rows.get(name, 0) + done
        self.progress(name, done)

    def meta(self) -> None:
        present = {key for key, _ in self.rows("meta", schema.META)}
        for key in (
            schema.META_FORMAT,
            schema.META_NETWORK,
            schema.META_HEAD,
            schema.META_FLOOR,
            schema.META_SEQUENCE,
            schema.META_UNDO,
            schema.META_APPROVED,
        ):
            if key not in present:
                self.report.note(key, "is missing")
        if schema.META_REPAIRED in present:
            self.report.note(schema.META_REPAIRED, "says that files were repaired: run `ioex db reindex`")

    def entries(self) -> None:
        for key, value in self.rows("headers", schema.ENTRY):
            try:
                self._entry(key, value)
            except (StoreCorrupt, DecodeError) as error:
                self.report.note(key, f"cannot be read: {error}")

    def _entry(self, key: bytes, value: bytes) -> None:
        height, hash_ = schema.split_tall_key(key)
        status, sequence, _, header_bytes = schema.decode_entry(key, value)
        header = self.codec.header(header_bytes)
        if header.hash != hash_:
            self.report.note(key, "holds another header")
        if height and self.store.get(schema.entry_key(height - 1, header.parent_hash)) is None:
            self.report.note(key, "has no parent")
        if sequence and not status & Status.BODY:
            self.report.note(key, "is numbered but has no body")
        if self.store.get(schema.height_key(hash_)) != schema.encode_height(height):
            self.report.note(key, "is not found by its hash")
        if status & Status.BODY and self.store.get(schema.body_key(hash_)) is None:
            self.report.note(schema.body_key(hash_), "is missing")

    def heights(self) -> None:
        for key, value in self.rows("hashes", schema.HEIGHT):
            if len(value) != 4 or self.store.get(schema.ENTRY + value + key[1:]) is None:
                self.report.note(key, "points to no header")

    def best_chain(self) -> None:
        parent = bytes(schema.HASH_SIZE)
        for height, (key, value) in enumerate(self.rows("best chain", schema.BEST)):
            if key != schema.best_key(height):
                self.report.note(schema.best_key(height), "is missing")
                return
            self._on_best_chain(key, height, value, parent)
            parent = value
            self.best.append(BlockHash(value))
        self.report.height = len(self.best) - 1
        if not self.best or self.store.get(schema.META_HEAD) != self.best[-1]:
            self.report.note(schema.META_HEAD, "is not the end of the best chain")
        floor = self.store.get(schema.META_FLOOR)
        if floor is not None and floor not in self.best:
            self.report.note(schema.META_FLOOR, "is not on the best chain")

    def _on_best_chain(self, key: bytes, height: int, hash_: bytes, parent: bytes) -> None:
        value = self.store.get(schema.entry_key(height, hash_))
        if value is None:
            self.report.note(key, "names a block that is not known")
            return
        status, sequence, _, header_bytes = schema.decode_entry(key, value)
        if Status(status) != Status.BODY | Status.CONNECTED or not sequence:
            self.report.note(key, f"names a block with the marks {Status(status)!r}")
        if height and self.codec.header(header_bytes).parent_hash != parent:
            self.report.note(key, "does not stand on the row before it")

    def undo_records(self) -> None:
        found = set()
        for key, value in self.rows("undo records", schema.UNDO):
            height, hash_ = schema.split_tall_key(key)
            if height >= len(self.best) or self.best[height] != hash_:
                self.report.note(key, "belongs to a block that is not on the best chain")
            try:
                decode_undo(value)
            except DecodeError as error:
                self.report.note(key, f"cannot be read: {error}")
            found.add(height)
        kept_from = schema.decode_height(schema.META_UNDO, self.store.get(schema.META_UNDO) or b"")
        for height in range(kept_from, len(self.best)):
            if height not in found:
                self.report.note(schema.undo_key(height, self.best[height]), "is missing")

    def notes(self) -> None:
        for key, _ in self.rows("notes", schema.NOTE):
            if self.store.get(schema.height_key(key[1:])) is None:
                self.report.note(key, "has no header row")
        anchor = self.store.get(schema.META_ANCHOR)
        if anchor is not None and self.store.get(schema.height_key(anchor)) is None:
            self.report.note(schema.META_ANCHOR, "names a block that is not known")

    def bodies(self, check_block: Callable[[B], None] | None) -> None:
        for key, value in self.rows("bodies", schema.BODY):
            try:
                block = self.codec.block(value)
                if schema.body_key(block.header.hash) != key:
                    self.report.note(key, "holds another block")
                if self.store.get(schema.height_key(block.header.hash)) is None:
                    self.report.note(key, "has no header row")
                if check_block is not None:
                    check_block(block)
            except (DecodeError, Rejected) as error:
                self.report.note(key, f"holds no good block: {error}")

    def state(self) -> None:
        digest = sha256()
        for key, value in self.rows("state and all others", b""):
            if schema.is_state_key(key):
                digest.update(_framed(key, value))
            elif key[:1] not in schema.LEDGER_PREFIXES:
                self.report.note(key, "is no row of this format")
        self.report.state_digest = digest.digest()


def _framed(key: bytes, value: bytes) -> bytes:
    return len(key).to_bytes(2, "big") + key + len(value).to_bytes(4, "big") + value


def state_digest(store: Readable) -> bytes:
    """Give the SHA-256 over all state rows, in key order, with their lengths."""
    digest = sha256()
    for key, value in store.scan(b""):
        if schema.is_state_key(key):
            digest.update(_framed(key, value))
    return digest.digest()


def reindex(
    old: Readable, ledger: Ledger[H, B, R], codec: Codec[H, B], progress: Progress | None = None
) -> int:
    """Feed every readable header and block of `old` to a ledger on a new store; give the new height.

    The best chain comes first, so that ties fall as they did. Floor and anchor are kept, and so are invalid
    marks unless the files were repaired: repair may let flipped bits through, and a mark is the one thing
    that is not verified again. Rows of `old` that are damaged or missing are passed over: what stood on them
    has to come from peers again.
    Raises StoreCorrupt if the files of `old` themselves cannot be read (`store.repair` first), and what a
    write to the new store raises.
    """
    tell = progress or (lambda _what, _done: None)
    keep_marks = old.get(schema.META_REPAIRED) is None
    for done, (key, value) in enumerate(old.scan(schema.ENTRY), 1):
        _take_entry(ledger, codec, key, value, keep_marks)
        if done % _EVERY == 0:
            tell("headers", done)
    for done, (_, hash_) in enumerate(old.scan(schema.BEST), 1):
        if not _take_body(ledger, codec, old.get(schema.body_key(hash_))):
            break
        if done % _EVERY == 0:
            tell("best chain", done)
    _take_other_bodies(old, ledger, codec, tell)
    floor = old.get(schema.META_FLOOR)
    if floor is not None and ledger.entry(BlockHash(floor)) is not None:
        with suppress(Rejected, UnknownBlock):  # its branch may be among what was lost
            ledger.finalize(BlockHash(floor))
    anchor = old.get(schema.META_ANCHOR)
    if anchor is not None:
        with suppress(Rejected, UnknownBlock):
            ledger.prefer(BlockHash(anchor))
    ledger.flush()
    tell("done", ledger.head.height)
    return ledger.head.height


def _take_entry(
    ledger: Ledger[H, B, R], codec: Codec[H, B], key: bytes, value: bytes, keep_mark: bool
) -> None:
    try:
        status, _, _, header_bytes = schema.decode_entry(key, value)
        header = codec.header(header_bytes)
    except (DecodeError, StoreCorrupt):
        return
    try:
        entry = ledger.accept_header(header)
        if keep_mark and status & Status.INVALID:
            ledger.invalidate(entry.hash)
    except Rejected:
        return


def _take_body(ledger: Ledger[H, B, R], codec: Codec[H, B], data: bytes | None) -> bool:
    """Whether the bytes are a block that the ledger has now."""
    try:
        ledger.accept_block(codec.block(data or b""), sync=False)
    except (DecodeError, Rejected):
        return False
    return True


def _take_other_bodies(old: Readable, ledger: Ledger[H, B, R], codec: Codec[H, B], tell: Progress) -> None:
    taken = 1
    while taken:  # again, as long as a lost header row was filled in from a body
        taken = 0
        for key, data in old.scan(schema.BODY):
            if _is_wanted(ledger, key[1:]) and _take_body(ledger, codec, data):
                taken += not _is_wanted(ledger, key[1:])  # a damaged key may name another block
        tell("other bodies", taken)


def _is_wanted(ledger: Ledger[H, B, R], hash_: bytes) -> bool:
    known = ledger.entry(BlockHash(hash_))
    return known is None or not (known.status & Status.BODY or known.status.is_invalid)
