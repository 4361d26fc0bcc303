"""Start a new database with its genesis block, or read an old one's meta rows and refuse a wrong one."""

from dataclasses import dataclass
from typing import TypeVar

from ioex_chain.ledger import schema
from ioex_chain.ledger.errors import StoreCorrupt, WrongFormat, WrongNetwork
from ioex_chain.ledger.overlay import Overlay
from ioex_chain.ledger.types import (
    BlockLike,
    Entry,
    HeaderLike,
    KeyValueStore,
    Readable,
    StateMachine,
    Status,
)
from ioex_chain.primitives.types import BlockHash

H = TypeVar("H", bound=HeaderLike)
B = TypeVar("B", bound=BlockLike[HeaderLike])
R = TypeVar("R")
_FOREIGN = (
    "this data directory belongs to another network or another genesis block; "
    "choose the right --network or another --datadir"
)


@dataclass(frozen=True, slots=True)
class Meta:
    """The `M` rows of an opened database."""

    head: BlockHash
    floor: BlockHash
    sequence: int
    undo_from: int
    approved: tuple[BlockHash, ...]
    anchor: BlockHash | None


def initialise(
    store: KeyValueStore, machine: StateMachine[H, B, R], block: B, header: H, network_id: bytes
) -> None:
    """Write everything that a new database begins with, in one write; a store with rows is left alone."""
    if next(store.scan(b""), None) is not None:
        return
    entry = Entry(header, 0, 0, Status.BODY | Status.CONNECTED, 1, None, _no_parent)
    overlay = Overlay(store)
    overlay.begin()
    machine.connect(block, entry, overlay)
    overlay.seal()  # refuses keys that are not the state's
    hash_ = entry.hash
    record = schema.encode_entry(entry.status, entry.sequence, entry.weight, header.encode())
    rows: dict[bytes, bytes | None] = {
        **overlay.changes,
        schema.META_FORMAT: schema.encode_height(schema.FORMAT_VERSION),
        schema.META_NETWORK: network_id,
        schema.META_HEAD: hash_,
        schema.META_FLOOR: hash_,
        schema.META_SEQUENCE: schema.encode_sequence(2),
        schema.META_UNDO: schema.encode_height(1),
        schema.META_APPROVED: b"",
        schema.body_key(hash_): block.encode(),
        schema.entry_key(0, hash_): record,
        schema.height_key(hash_): schema.encode_height(0),
        schema.best_key(0): hash_,
    }
    if overlay.noted is not None:
        rows[schema.note_key(hash_)] = overlay.noted
    store.write(rows)


def _no_parent(_hash: BlockHash) -> Entry[H]:
    raise LookupError("genesis has no parent")


def read_meta(store: KeyValueStore, network_id: bytes, genesis: BlockHash) -> Meta:
    """Check that the database is ours and of this network, and give its meta rows.

    Raises WrongFormat, WrongNetwork, StoreCorrupt.
    """
    _check_format(store)
    if _row(store, schema.META_NETWORK) != network_id or _row(store, schema.best_key(0)) != genesis:
        raise WrongNetwork(_FOREIGN)
    if store.get(schema.META_REPAIRED) is not None:
        raise StoreCorrupt("the database was repaired and may have lost rows; run `ioex db reindex`")
    anchor = store.get(schema.META_ANCHOR)
    return Meta(
        head=_hash(store, schema.META_HEAD),
        floor=_hash(store, schema.META_FLOOR),
        sequence=schema.decode_sequence(schema.META_SEQUENCE, _row(store, schema.META_SEQUENCE)),
        undo_from=schema.decode_height(schema.META_UNDO, _row(store, schema.META_UNDO)),
        approved=tuple(schema.decode_hashes(schema.META_APPROVED, _row(store, schema.META_APPROVED))),
        anchor=None if anchor is None else schema.decode_hash(schema.META_ANCHOR, anchor),
    )


def refuse_foreign(store: Readable, network_id: bytes, genesis: BlockHash) -> None:
    """Refuse what a newer program or another network wrote; damaged or missing rows are passed over.

    For tools that work on databases which cannot be opened. Raises WrongFormat, WrongNetwork.
    """
    version = store.get(schema.META_FORMAT)
    if version is not None and len(version) == 4:
        _check_version(schema.decode_height(schema.META_FORMAT, version))
    for key, ours in ((schema.META_NETWORK, network_id), (schema.best_key(0), genesis)):
        if store.get(key) not in (ours, None):
            raise WrongNetwork(_FOREIGN)


def _check_format(store: KeyValueStore) -> None:
    value = store.get(schema.META_FORMAT)
    if value is None:
        if store.get(schema.META_HEAD) is not None or store.get(schema.META_NETWORK) is not None:
            raise schema.damaged(schema.META_FORMAT, "is missing")
        raise WrongFormat("the database was not written by ioex; choose another --datadir")
    _check_version(schema.decode_height(schema.META_FORMAT, value))


def _check_version(version: int) -> None:
    if version != schema.FORMAT_VERSION:
        raise WrongFormat(
            f"the data has format {version}, this program reads {schema.FORMAT_VERSION}; "
            "install the ioex release that wrote it or a newer one"
        )


def _row(store: KeyValueStore, key: bytes) -> bytes:
    value = store.get(key)
    if value is None:
        raise schema.damaged(key, "is missing")
    return value


def _hash(store: KeyValueStore, key: bytes) -> BlockHash:
    return schema.decode_hash(key, _row(store, key))
