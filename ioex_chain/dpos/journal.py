"""The signer's memory: what each key signed, on disk before it is signed (docs/protocol.md section 4).

File: "ioeXsgn1" || 32-byte genesis hash, then records: length (uint16 big-endian) || body || 16 bytes of
sha256(check before || length || body). The checks form a chain, so the last one names the whole history.
Body: kind (1 byte), key (20), then
1 seal: slot, header hash · 2 vote: set number, source hash, source height, target hash, target height ·
3 floor: slot, target height, source height that may have been signed · 4 link: the check of the file that
this one replaced (key zero). Numbers are uint64 big-endian.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ioex_chain.dpos.journal_file import JournalFile, Marker
from ioex_chain.dpos.signing_errors import JournalFailed, WrongJournal
from ioex_chain.dpos.votes import Checkpoint, Link
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash

MAGIC = b"ioeXsgn1"
_HEADER = len(MAGIC) + 32
_CHECK = 16
_SEAL, _VOTE, _FLOOR, _LINK = 1, 2, 3, 4
COMPACT_AT = 1 << 20
"""Bytes at which the file is written anew with the newest records only."""


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal that was signed or was about to be."""

    key: bytes
    slot: int
    header: BlockHash


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote that was signed or was about to be."""

    key: bytes
    link: Link


@dataclass(frozen=True, slots=True)
class Floor:
    """What a key may have signed: slots up to `slot`, targets up to `target`, sources up to `source`."""

    key: bytes
    slot: int
    target: int
    source: int


@dataclass(frozen=True, slots=True)
class _Link:
    check: bytes


Record = Seal | Ballot | Floor


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of one key. Numbers are -1 where nothing was signed."""

    slot: int = -1
    target: int = -1
    source: int = -1
    seal: Seal | None = None
    ballot: Ballot | None = None

    def after(self, record: Record) -> "Memory":
        """Give the memory with a record added."""
        if isinstance(record, Seal):
            newest = record if self.seal is None or record.slot >= self.seal.slot else self.seal
            return replace(self, slot=max(self.slot, record.slot), seal=newest)
        if isinstance(record, Ballot):
            link = record.link
            last = -1 if self.ballot is None else self.ballot.link.target.height
            return replace(
                self,
                target=max(self.target, link.target.height),
                source=max(self.source, link.source.height),
                ballot=record if link.target.height >= last else self.ballot,
            )
        return replace(
            self,
            slot=max(self.slot, record.slot),
            target=max(self.target, record.target),
            source=max(self.source, record.source),
        )


class Journal:
    """Records of all keys of one process. Raises WrongJournal and OSError when it is opened.

    `is_continuous`: the marker proves that nothing was signed that this file does not hold. `damage`: what
    was wrong with the file; then what could be read was kept and the rest put aside.
    """

    def __init__(
        self, file: JournalFile, marker: Marker, genesis: bytes, *, compact_at: int = COMPACT_AT
    ) -> None:
        self._file = file
        self._marker = marker
        self._genesis = genesis
        self._compact_at = compact_at
        self._failed = False
        self._memories: dict[bytes, Memory] = {}
        self.damage: str | None = None
        checks = self._open(file.read())
        self.is_continuous = self._marker.read() in checks

    def _open(self, data: bytes | None) -> set[bytes]:
        """Read the file or begin one; give the checks that stand in it."""
        start = MAGIC + self._genesis
        self._check = hashlib.sha256(start).digest()[:_CHECK]
        if not data:
            self._file.replace(start)
            self._size = len(start)
            return set()  # an empty history proves nothing: the old one may be lost
        if data[:_HEADER] != start:
            raise WrongJournal(
                f"{self._file} is not the signer's journal of this chain; if it is damaged, move it away: "
                "the signer then listens to the network for a while before it signs"
            )
        checks, good = self._read(data)
        self._size = good
        if good < len(data):
            copy = self._file.keep_damaged(data)
            self._file.replace(data[:good])
            self.damage = (
                f"{self._file} is damaged from byte {good} of {len(data)} on; the records "
                f"before it are kept, the whole is in {copy}"
            )
        return checks

    def _read(self, data: bytes) -> tuple[set[bytes], int]:
        checks, at = set(), _HEADER
        while at + 2 <= len(data):
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            check = _next_check(self._check, data[at:end])
            if end + _CHECK > len(data) or data[end : end + _CHECK] != check:
                break
            try:
                record = _decode(data[at + 2 : end])
            except DecodeError:
                break
            if isinstance(record, _Link):
                checks.add(record.check)
            else:
                self._remember(record)
            self._check = check
            checks.add(check)
            at = end + _CHECK
        return checks, at

    def _remember(self, record: Record) -> None:
        self._memories[record.key] = self.memory(record.key).after(record)

    def memory(self, key: bytes) -> Memory:
        """Give what is known of a key."""
        return self._memories.get(key, Memory())

    def append(self, records: Iterable[Record]) -> None:
        """Put records on disk together; only afterwards may they be signed.

        Raises JournalFailed, for good: after a failed write nobody knows what the disk holds.
        """
        if self._failed:
            raise JournalFailed(f"{self._file} could not be written before; restart after the disk is well")
        data, check = b"", self._check
        kept = tuple(records)
        for record in kept:
            encoded, check = _frame(record, check)
            data += encoded
        try:
            self._file.append(data)
            self._check, self._size = check, self._size + len(data)
            for record in kept:
                self._remember(record)
            self._marker.write(check)
            if self._size > self._compact_at:
                self._compact()
        except OSError as error:
            self._failed = True
            raise JournalFailed(
                f"{self._file} cannot be written ({error.strerror}); nothing is signed"
            ) from None

    def _compact(self) -> None:
        data = MAGIC + self._genesis
        check = hashlib.sha256(data).digest()[:_CHECK]
        newest: list[Record | _Link] = [_Link(self._check)]
        for key, known in self._memories.items():
            newest.append(Floor(key, max(0, known.slot), max(0, known.target), max(0, known.source)))
            newest += [record for record in (known.seal, known.ballot) if record is not None]
        for record in newest:
            encoded, check = _frame(record, check)
            data += encoded
        self._file.replace(data)
        self._check, self._size = check, len(data)
        self._compact_at = max(self._compact_at, 2 * len(data))
        self._marker.write(check)


def _next_check(before: bytes, framed: bytes) -> bytes:
    return hashlib.sha256(before + framed).digest()[:_CHECK]


def _frame(record: Record | _Link, before: bytes) -> tuple[bytes, bytes]:
    body = _encode(record)
    framed = len(body).to_bytes(2, "big") + body
    check = _next_check(before, framed)
    return framed + check, check


def _u64(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "big") for number in numbers)


def _encode(record: Record | _Link) -> bytes:
    match record:
        case Seal(key, slot, header):
            return bytes([_SEAL]) + key + _u64(slot) + header
        case Ballot(key, link):
            source = link.source.hash + _u64(link.source.height)
            target = link.target.hash + _u64(link.target.height)
            return bytes([_VOTE]) + key + _u64(link.set_number) + source + target
        case Floor(key, slot, target, source):
            return bytes([_FLOOR]) + key + _u64(slot, target, source)
        case _Link(check):
            return bytes([_LINK]) + bytes(20) + check


def _decode(body: bytes) -> Record | _Link:
    reader = Reader(body)
    kind, key = reader.take(1)[0], reader.take(20)
    record = _decode_rest(reader, kind, key)
    reader.finish()
    return record


def _decode_rest(reader: Reader, kind: int, key: bytes) -> Record | _Link:
    def number() -> int:
        return int.from_bytes(reader.take(8), "big")

    def checkpoint() -> Checkpoint:
        return Checkpoint(BlockHash(reader.take(32)), number())

    match kind:
        case 1:
            return Seal(key, number(), BlockHash(reader.take(32)))
        case 2:
            return Ballot(key, Link(number(), checkpoint(), checkpoint()))
        case 3:
            return Floor(key, number(), number(), number())
        case 4:
            return _Link(reader.take(_CHECK))
    raise DecodeError(f"a journal has no records of kind {kind}")
