"""Compact blocks: a block as short ids of transactions that the other end's pool has.

docs/protocol.md section 9.4. The plan is BIP 152's; the short id is six bytes of keyed BLAKE2b, which the
standard library computes, in place of SipHash. Pure functions and values.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b, sha256

from ioex_chain.p2p.chain_messages import MAX_BLOCK_TRANSACTIONS, SHORT_ID_BYTES, CompactBlock, Prefilled
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.errors import DecodeError, NotCanonical
from ioex_chain.primitives.merkle import merkle_root

KEY_BYTES = 16


class WrongFill(DecodeError):
    """Transactions that are not the ones that were asked for."""


def short_id_key(header: bytes, nonce: int) -> bytes:
    """Give the key of a message's short ids; `header` as sent, with its AuxPoW record if it has one."""
    return sha256(header + nonce.to_bytes(8, "little")).digest()[:KEY_BYTES]


def short_ids(key: bytes, wtxids: Iterable[bytes]) -> list[bytes]:
    """Give the short id of each transaction."""
    keyed = blake2b(digest_size=SHORT_ID_BYTES, key=key)
    copy = keyed.copy
    ids = []
    for wtxid in wtxids:
        hasher = copy()
        hasher.update(wtxid)
        ids.append(hasher.digest())
    return ids


def make_compact(block: Block, nonce: int, prefill: Collection[int] = ()) -> CompactBlock:
    """Make the message for a block; the coinbase and the transactions at `prefill` go whole."""
    header = block.header.encode()
    whole = {0, *prefill}
    rest = [tx.wtxid for place, tx in enumerate(block.transactions) if place not in whole]
    prefilled = tuple(Prefilled(place, block.transactions[place].raw) for place in sorted(whole))
    return CompactBlock(header, nonce, tuple(short_ids(short_id_key(header, nonce), rest)), prefilled)


class Rebuild:
    """A block on its way from its compact form.

    `missing` are the places that `fill` still wants, rising. A short id that names two transactions of the
    message or of the pool names none: its places are missing.
    """

    def __init__(self, message: CompactBlock, candidates: Iterable[Transaction]) -> None:
        """Read the message and look for its transactions among `candidates`.

        Raises DecodeError: the header or a prefilled transaction is malformed, or places are out of range.
        """
        self.header = Header.decode(message.header)
        self._slots = _prefilled_slots(message)
        self.prefilled = [(place, tx) for place, tx in enumerate(self._slots) if tx is not None]
        self._key = short_id_key(message.header, message.nonce)
        self._ids = _ids_by_place(message, self._slots)
        self._match(candidates)
        self.missing = [place for place, tx in enumerate(self._slots) if tx is None]

    def _match(self, candidates: Iterable[Transaction]) -> None:
        counts = Counter(self._ids.values())
        wanted = {id_: place for place, id_ in self._ids.items() if counts[id_] == 1}
        pool = list(candidates)
        slots = self._slots
        collided = set()
        for tx, id_ in zip(pool, short_ids(self._key, [tx.wtxid for tx in pool]), strict=True):
            place = wanted.get(id_)
            if place is None:
                continue
            found = slots[place]
            if found is None:
                slots[place] = tx
            elif found.wtxid != tx.wtxid:
                collided.add(place)
        for place in sorted(collided):
            slots[place] = None

    def fill(self, items: Sequence[bytes]) -> None:
        """Put in the missing transactions, in the order of `missing`.

        Raises WrongFill when these are not as many, or not those that the short ids name, and DecodeError.
        """
        if len(items) != len(self.missing):
            raise WrongFill(f"{len(items)} transactions, {len(self.missing)} were asked for")
        filled = [Transaction.decode(raw) for raw in items]
        named = short_ids(self._key, [tx.wtxid for tx in filled])
        for place, tx, id_ in zip(self.missing, filled, named, strict=True):
            if self._ids[place] != id_:
                raise WrongFill(f"the transaction at {place} is not the one that the compact block names")
            self._slots[place] = tx
        self.missing = []

    def block(self) -> Block | None:
        """Give the block; None when something is missing, or a short id named another transaction by chance.

        That is told by the Merkle root, and is nobody's fault. Everything else is left to the ledger.
        """
        transactions = [tx for tx in self._slots if tx is not None]
        if len(transactions) != len(self._slots):
            return None
        root, mutated = merkle_root([tx.txid for tx in transactions])
        if mutated or root != self.header.merkle_root:
            return None
        return Block.build(self.header, transactions)


def _prefilled_slots(message: CompactBlock) -> list[Transaction | None]:
    count = len(message.short_ids) + len(message.prefilled)
    if not 0 < count <= MAX_BLOCK_TRANSACTIONS:
        raise NotCanonical(f"a compact block of {count} transactions")
    slots: list[Transaction | None] = [None] * count
    last = -1
    for place, raw in message.prefilled:
        if not last < place < count:
            raise NotCanonical(f"a prefilled transaction at {place} of {count}, after {last}")
        slots[place] = Transaction.decode(raw)
        last = place
    return slots


def _ids_by_place(message: CompactBlock, slots: Sequence[Transaction | None]) -> dict[int, bytes]:
    open_places = [place for place, tx in enumerate(slots) if tx is None]
    return dict(zip(open_places, message.short_ids, strict=True))
