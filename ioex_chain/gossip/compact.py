"""Compact blocks: a block as short ids of transactions that the other end's pool has.

docs/protocol.md section 9.4. The plan is BIP 152's; the short id is six bytes of keyed BLAKE2b, which the
standard library computes, in place of SipHash. Pure functions and values.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b, sha256
from typing import Any

from ioex_chain.gossip.pow_wire import POW_FORM
from ioex_chain.gossip.wire import Block, CompactForm
from ioex_chain.p2p.chain_messages import SHORT_ID_BYTES, CompactBlock, Prefilled
from ioex_chain.primitives.errors import DecodeError, NotCanonical

KEY_BYTES = 16


class WrongFill(DecodeError):
    """Transactions that are not the ones that were asked for."""


def short_id_key(header: bytes, nonce: int) -> bytes:
    """Give the key of a message's short ids; `header` as sent, with its proof of work or its seal."""
    return sha256(header + nonce.to_bytes(8, "little")).digest()[:KEY_BYTES]


def short_ids(key: bytes, hashes: Iterable[bytes]) -> list[bytes]:
    """Give the short id of each transaction."""
    keyed = blake2b(digest_size=SHORT_ID_BYTES, key=key)
    copy = keyed.copy
    ids = []
    for hash_ in hashes:
        hasher = copy()
        hasher.update(hash_)
        ids.append(hasher.digest())
    return ids


def make_compact(
    block: Block, nonce: int, prefill: Collection[int] = (), form: CompactForm = POW_FORM
) -> CompactBlock:
    """Make the message for a block; the first item and those at `prefill` go whole."""
    header, items = block.header.encode(), form.items(block)
    whole = {0, *prefill}
    rest = [form.id(item) for place, item in enumerate(items) if place not in whole]
    prefilled = tuple(Prefilled(place, items[place].raw) for place in sorted(whole))
    return CompactBlock(header, nonce, tuple(short_ids(short_id_key(header, nonce), rest)), prefilled)


class Rebuild:
    """A block on its way from its compact form.

    `missing` are the places that `fill` still wants, rising. A short id that names two transactions of the
    message or of the pool names none: its places are missing.
    """

    def __init__(
        self, message: CompactBlock, candidates: Iterable[Any], form: CompactForm = POW_FORM
    ) -> None:
        """Read the message and look for its items among `candidates`.

        Raises DecodeError: the header or a prefilled transaction is malformed, or places are out of range.
        """
        self._form = form
        self.header = form.read_header(message.header)
        self._slots = _prefilled_slots(message, form)
        self.prefilled = [(place, tx) for place, tx in enumerate(self._slots) if tx is not None]
        self._key = short_id_key(message.header, message.nonce)
        self._ids = _ids_by_place(message, self._slots)
        self._match(candidates)
        self.missing = [place for place, tx in enumerate(self._slots) if tx is None]

    def _match(self, candidates: Iterable[Any]) -> None:
        counts = Counter(self._ids.values())
        wanted = {id_: place for place, id_ in self._ids.items() if counts[id_] == 1}
        pool = list(candidates)
        slots, hash_of = self._slots, self._form.id
        collided = set()
        for tx, id_ in zip(pool, short_ids(self._key, map(hash_of, pool)), strict=True):
            place = wanted.get(id_)
            if place is None:
                continue
            found = slots[place]
            if found is None:
                slots[place] = tx
            elif hash_of(found) != hash_of(tx):
                collided.add(place)
        for place in sorted(collided):
            slots[place] = None

    def fill(self, items: Sequence[bytes]) -> None:
        """Put in the missing transactions, in the order of `missing`.

        Raises WrongFill when these are not as many, or not those that the short ids name, and DecodeError.
        """
        if len(items) != len(self.missing):
            raise WrongFill(f"{len(items)} transactions, {len(self.missing)} were asked for")
        filled = [self._form.item(place, raw) for place, raw in zip(self.missing, items, strict=True)]
        named = short_ids(self._key, map(self._form.id, filled))
        for place, tx, id_ in zip(self.missing, filled, named, strict=True):
            if self._ids[place] != id_:
                raise WrongFill(f"the transaction at {place} is not the one that the compact block names")
            self._slots[place] = tx
        self.missing = []

    def block(self) -> Any | None:
        """Give the block; None when something is missing, or a short id named another transaction by chance.

        That is nobody's fault. Everything else is left to the ledger.
        """
        items = [item for item in self._slots if item is not None]
        if len(items) != len(self._slots):
            return None
        return self._form.build(self.header, items)


def _prefilled_slots(message: CompactBlock, form: CompactForm) -> list[Any]:
    count = len(message.short_ids) + len(message.prefilled)
    if not 0 < count <= form.max_items:
        raise NotCanonical(f"a compact block of {count} transactions")
    slots: list[Any] = [None] * count
    last = -1
    for place, raw in message.prefilled:
        if not last < place < count:
            raise NotCanonical(f"a prefilled transaction at {place} of {count}, after {last}")
        slots[place] = form.item(place, raw)
        last = place
    return slots


def _ids_by_place(message: CompactBlock, slots: Sequence[Any]) -> dict[int, bytes]:
    open_places = [place for place, tx in enumerate(slots) if tx is None]
    return dict(zip(open_places, message.short_ids, strict=True))
