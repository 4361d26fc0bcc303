"""All that peers of a chain say to each other: a part for each topic, a table of who hears what."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ioex_chain.gossip.block_relay import BlockRelay
from ioex_chain.gossip.intake import Intake
from ioex_chain.gossip.ports import Context
from ioex_chain.gossip.sync import Sync
from ioex_chain.gossip.transactions import TransactionRelay
from ioex_chain.gossip.wire import AnyHeadChanged
from ioex_chain.ledger.types import Entry
from ioex_chain.p2p import chain_messages as m
from ioex_chain.p2p.messages import Hello, LeaveReason, Message
from ioex_chain.p2p.seam import Peer, Refused, Status
from ioex_chain.spec.identity import ForkId, ForkMismatch, check_fork_id, fork_id

Handler = Callable[[Peer, Any], None]


class Part(Protocol):
    """A topic: each hears of peers, of time and of the head."""

    def peer_up(self, peer: Peer) -> None:
        """Take a new peer."""
        ...

    def peer_down(self, peer: Peer) -> None:
        """Forget a peer."""
        ...

    def drained(self, peer: Peer) -> None:
        """Go on with a peer that has taken what was sent."""
        ...

    def tick(self) -> None:
        """Do what is due."""
        ...

    def head_changed(self, event: Any) -> None:
        """Follow the head."""
        ...


class Gossip:
    """A chain as the connections see it: `p2p.seam.Application`.

    The node calls `head_changed` and `transaction_added` with what its own ledger and pool tell.
    """

    def __init__(self, context: Context, *, group_commits: bool = False) -> None:
        """With `group_commits` the first download is synced in groups: for a ledger on a GroupStore only."""
        self._chain = context.chain
        self._wire = context.wire
        self.intake = Intake(context)
        self.sync = Sync(context, self.intake, fetch_compact=self._fetch_compact, group_commits=group_commits)
        self.transactions = TransactionRelay(context, self.sync)
        self.blocks = BlockRelay(context, self.intake, self.sync, self.transactions.extra)
        self._parts: tuple[Part, ...] = (self.sync, self.blocks, self.transactions)
        self._handlers = self._table()

    def _table(self) -> Mapping[type[Message], Handler]:
        sync, blocks, transactions = self.sync, self.blocks, self.transactions
        return {
            m.GetHeaders: sync.on_get_headers,
            m.Headers: sync.on_headers,
            m.GetBlocks: sync.on_get_blocks,
            m.BlockData: sync.on_block,
            m.NotFound: self._on_not_found,
            m.Announce: blocks.on_announce,
            m.CompactBlock: blocks.on_compact,
            m.GetCompact: blocks.on_get_compact,
            m.GetBlockTransactions: blocks.on_get_block_transactions,
            m.BlockTransactions: blocks.on_block_transactions,
            m.SendCompact: blocks.on_send_compact,
            m.AnnounceTransactions: transactions.on_announce_transactions,
            m.GetTransactions: transactions.on_get_transactions,
            m.Transactions: transactions.on_transactions,
            m.FeeFilter: transactions.on_fee_filter,
        }

    def _on_not_found(self, peer: Peer, message: m.NotFound) -> None:
        if message.request == m.GetBlocks.type:
            self.sync.on_not_found(peer, message)
        else:
            self.blocks.on_not_found(peer, message)

    def _fetch_compact(self, peer: Peer, entry: Entry[Any]) -> bool:
        return self.blocks.fetch_compact(peer, entry)

    # --- what the connections ask and tell ------------------------------------------------------------------

    def status(self) -> Status:
        """Tell rules and head for our hello."""
        head = self._chain.ledger.head
        fork = fork_id(self._wire.identity, self._wire.activations, head.height)
        return Status(fork.checksum, fork.next, head.height, head.hash)

    def check_hello(self, hello: Hello) -> None:
        """Raise Refused unless the peer's rules fit ours (EIP-2124)."""
        theirs = ForkId(hello.fork_checksum, hello.fork_next)
        head = self._chain.ledger.head.height
        try:
            check_fork_id(self._wire.identity, self._wire.activations, head, theirs)
        except ForkMismatch as error:
            raise Refused(LeaveReason.OTHER_RULES, str(error)) from error

    def peer_up(self, peer: Peer) -> None:
        """Take a new peer."""
        for part in self._parts:
            part.peer_up(peer)

    def peer_down(self, peer: Peer) -> None:
        """Forget a peer."""
        for part in reversed(self._parts):
            part.peer_down(peer)

    def received(self, peer: Peer, message: Message) -> None:
        """Give a message to the part that it is for."""
        self._handlers[type(message)](peer, message)

    def drained(self, peer: Peer) -> None:
        """Go on with what was held back."""
        for part in self._parts:
            part.drained(peer)

    def tick(self) -> None:
        """Do what is due."""
        for part in self._parts:
            part.tick()

    # --- what the node's own chain tells --------------------------------------------------------------------

    def head_changed(self, event: AnyHeadChanged) -> None:
        """Follow the head; call it once for each change, in order."""
        for part in self._parts:
            part.head_changed(event)

    def transaction_added(self, tx: Any) -> None:
        """Announce what the pool took."""
        self.transactions.added(tx)
