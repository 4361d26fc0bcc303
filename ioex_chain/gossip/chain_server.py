"""Answers to peers who ask for headers and blocks of our chain."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.turns import Turns
from ioex_chain.ledger.types import Entry, Status
from ioex_chain.p2p.chain_messages import (
    MAX_GET_BLOCKS,
    MAX_HEADERS,
    BlockData,
    GetBlocks,
    GetHeaders,
    Headers,
    NotFound,
)
from ioex_chain.p2p.seam import Offence, Peer
from ioex_chain.primitives.types import BlockHash

MAX_HEADERS_BYTES = 2_000_000
HOLD_ABOVE = 1 << 20
"""Bytes of a peer's backlog above which its next block waits."""
HOLD_ALL_ABOVE = 64 << 20
"""Bytes of all peers' backlogs above which blocks wait."""
MAX_QUEUE = 2 * MAX_GET_BLOCKS


@dataclass(slots=True)
class _Queue:
    peer: Peer
    hashes: deque[bytes] = field(default_factory=deque)


class ChainServer:
    """Serves headers and blocks as fast as each peer takes them."""

    def __init__(self, context: Context) -> None:
        self._ledger = context.chain.ledger
        self._queues: dict[int, _Queue] = {}
        self._turns = Turns(context.now)
        self.blocks_served = 0

    def peer_up(self, peer: Peer) -> None:
        """Take a new peer."""
        self._queues[peer.number] = _Queue(peer)
        self._turns.peer_up(peer)

    def peer_down(self, peer: Peer) -> None:
        """Forget what a peer asked for."""
        self._queues.pop(peer.number, None)
        self._turns.peer_down(peer)

    def tick(self) -> None:
        """Go on with those who waited for others."""
        self._turns.tick()
        for queue in list(self._queues.values()):
            if queue.hashes:
                self._serve(queue)

    def drained(self, peer: Peer) -> None:
        """Go on with a peer that has taken what was sent."""
        self._turns.drained(peer)
        queue = self._queues.get(peer.number)
        if queue is not None:
            self._serve(queue)

    # --- headers --------------------------------------------------------------------------------------------

    def on_get_headers(self, peer: Peer, message: GetHeaders) -> None:
        """Send the headers of our best chain that follow the first hash of the locator that is on it."""

        def answer(sent: Callable[[], None]) -> None:
            self._send_headers(peer, message)
            sent()

        self._turns.ask(peer, len(message.locator), answer)

    def _send_headers(self, peer: Peer, message: GetHeaders) -> None:
        start = self._meeting(message)
        items: list[bytes] = []
        size = 0
        more = False  # what the worker adds meanwhile is announced: a short answer never promises more
        for entry in self._above(start):
            item = entry.header.encode()
            size += len(item) + 3
            if len(items) == MAX_HEADERS or size > MAX_HEADERS_BYTES:
                more = True
                break
            items.append(item)
            if entry.hash == message.stop:
                more = self._ledger.head.height > entry.height
                break
        peer.send(Headers(tuple(items), more))

    def _meeting(self, message: GetHeaders) -> Entry[Any]:
        for hash_ in message.locator:
            entry = self._ledger.entry(BlockHash(hash_))
            if entry is not None and self._ledger.is_on_best_chain(entry):
                return entry
        return self._ledger.genesis

    def _above(self, entry: Entry[Any]) -> Iterator[Entry[Any]]:
        """Give the best chain above an entry; it ends early when the chain is reorganised meanwhile."""
        before = entry.hash
        for height in range(entry.height + 1, self._ledger.head.height + 1):
            following = self._ledger.entry_at(height)
            if following is None or following.header.parent_hash != before:
                return
            before = following.hash
            yield following

    # --- blocks ---------------------------------------------------------------------------------------------

    def on_get_blocks(self, peer: Peer, message: GetBlocks) -> None:
        """Send blocks, each by itself and in this order."""
        queue = self._queues.get(peer.number)
        if queue is None:
            return
        if len(queue.hashes) + len(message.hashes) > MAX_QUEUE:
            peer.offend(Offence.FLOOD, "asks for more blocks than it takes")
            return
        queue.hashes.extend(message.hashes)
        self._serve(queue)

    def _serve(self, queue: _Queue) -> None:
        while queue.hashes and queue.peer.backlog <= HOLD_ABOVE and self._is_room(queue):
            hash_ = queue.hashes.popleft()
            raw = self._sound_body(BlockHash(hash_))
            if raw is None:
                queue.peer.send(NotFound(GetBlocks.type, hash_))
            else:
                self.blocks_served += 1
                queue.peer.send(BlockData(raw))

    def _sound_body(self, hash_: BlockHash) -> bytes | None:
        """Give a block that was connected once; who passes another on could be blamed for it."""
        entry = self._ledger.entry(hash_)
        if entry is None or not entry.status & Status.CONNECTED:
            return None
        return self._ledger.body_bytes(hash_)

    def _is_room(self, queue: _Queue) -> bool:
        """Whether all peers together hold little enough of our memory; an idle peer is served anyhow."""
        if queue.peer.backlog == 0:
            return True
        return sum(other.peer.backlog for other in self._queues.values()) <= HOLD_ALL_ABOVE
