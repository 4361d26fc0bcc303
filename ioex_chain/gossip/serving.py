"""The last few blocks, ready to be sent in compact form or in part."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ioex_chain.gossip.compact import make_compact
from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.pow_wire import POW_FORM
from ioex_chain.gossip.wire import Block, CompactForm
from ioex_chain.ledger.errors import UnknownBlock
from ioex_chain.ledger.types import Entry
from ioex_chain.p2p.chain_messages import CompactBlock
from ioex_chain.p2p.table import TABLE
from ioex_chain.primitives.types import BlockHash

K = TypeVar("K")
V = TypeVar("V")

RECENT_DEPTH = 10
"""Blocks, counted from the head downwards, that are given in compact form."""
MAX_KEPT_BODIES = 2
MAX_WAITING = 256
"""Answers that wait for blocks to be read."""
MAX_PREFILL_BYTES = 64_000
"""Transactions that we lacked are likely lacked by the next as well: this much of them goes along."""
_CAP = TABLE[CompactBlock].cap


@dataclass(frozen=True, slots=True)
class EncodedCompact(CompactBlock):
    """A compact block whose bytes are worked out once for all peers."""

    payload: bytes = b""

    def encode(self) -> bytes:
        """Give the payload."""
        return self.payload


@dataclass(frozen=True, slots=True)
class Served:
    """A block to serve: its compact form, and where its items begin and end in its bytes.

    `compact` is None when the message would be too large: with a huge coinbase.
    """

    hash: BlockHash
    compact: EncodedCompact | None
    bounds: "array[int]"

    def transactions(self, body: bytes, indexes: Sequence[int]) -> tuple[bytes, ...]:
        """Cut items out of the block's bytes. Raises IndexError, also for one that is not in one piece."""
        bounds = self.bounds
        cut = tuple([body[bounds[2 * index] : bounds[2 * index + 1]] for index in indexes])
        if not all(cut):
            raise IndexError
        return cut


class Serving:
    """Keeps what peers ask for after a new block: RECENT_DEPTH compact forms and MAX_KEPT_BODIES bodies."""

    def __init__(self, context: Context) -> None:
        self._chain = context.chain
        self._chance = context.chance
        self._form = context.wire.form
        self._kept: dict[BlockHash, Served] = {}
        self._bodies: dict[BlockHash, bytes] = {}
        self._fresh: dict[BlockHash, tuple[Block, tuple[int, ...]]] = {}
        self._waiting: dict[BlockHash, list[Callable[[Served | None], None]]] = {}

    def keep(self, block: Block, lacked: Sequence[int]) -> None:
        """Hold a block that may be asked for soon, and the places of what our pool lacked of it."""
        self._fresh = {block.header.hash: (block, tuple(lacked))}

    def release(self) -> None:
        """Let go of the held block: a parsed full one takes much memory."""
        self._fresh = {}

    def body(self, served: Served) -> bytes | None:
        """Give a block's bytes, None if it is not stored any more."""
        return self._bodies.get(served.hash) or self._chain.ledger.body_bytes(served.hash)

    def prepare(self, entry: Entry[Any], done: Callable[[Served | None], None]) -> None:
        """Give a block ready to serve, at once if it is kept; None if it is not stored, or for too many."""
        served = self._kept.get(entry.hash)
        if served is not None:
            done(served)
            return
        waiting = self._waiting.get(entry.hash)
        if waiting is None and sum(map(len, self._waiting.values())) < MAX_WAITING:
            self._waiting[entry.hash] = [done]
            self._load(entry.hash)
        elif waiting is not None and len(waiting) < MAX_WAITING:
            waiting.append(done)
        else:
            done(None)

    def _load(self, hash_: BlockHash) -> None:
        fresh, places = self._fresh.pop(hash_, (None, ()))
        nonce = self._chance.getrandbits(64)

        def work() -> tuple[Served, bytes] | None:
            try:
                block = fresh or self._chain.ledger.body(hash_)
            except UnknownBlock:
                return None
            return make_served(block, nonce, places, self._form), block.raw

        self._chain.run(
            work, lambda result: self._loaded(hash_, result), lambda _error: self._loaded(hash_, None)
        )

    def _loaded(self, hash_: BlockHash, result: tuple[Served, bytes] | None) -> None:
        served = None
        if result is not None:
            served, raw = result
            _put(self._kept, hash_, served, RECENT_DEPTH)
            _put(self._bodies, hash_, raw, MAX_KEPT_BODIES)
        for done in self._waiting.pop(hash_, ()):
            done(served)


def make_served(block: Block, nonce: int, wanted: Sequence[int] = (), form: CompactForm = POW_FORM) -> Served:
    """Make what is served of a block; of `wanted` as many go along whole as MAX_PREFILL_BYTES allow.

    `wanted` rises; a liar's compact block may have had more places than the block has.
    """
    places = []
    left = MAX_PREFILL_BYTES
    items = form.items(block)
    for place in wanted:
        if place >= len(items):
            break
        left -= len(items[place].raw)
        if left < 0:
            break
        places.append(place)
    message = make_compact(block, nonce, places, form)
    payload = message.encode()
    compact = EncodedCompact(message.header, message.nonce, message.short_ids, message.prefilled, payload)
    return Served(block.header.hash, compact if len(payload) <= _CAP else None, form.bounds(block))


def _put(kept: dict[K, V], key: K, value: V, limit: int) -> None:
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > limit:
        del kept[next(iter(kept))]
