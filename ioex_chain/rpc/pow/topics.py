"""What WebSocket clients can subscribe to: new blocks, reorganisations, new mempool transactions."""

from collections.abc import Iterable
from typing import NotRequired

from typing_extensions import TypedDict

from ioex_chain.crypto.address import script_to_address
from ioex_chain.pow.ledger import PowHeadChanged
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import display
from ioex_chain.rpc.jsonio import JsonAmount, amount
from ioex_chain.rpc.pow.reader import ChainReader
from ioex_chain.rpc.subscriptions import Subscriptions, Topic

BLOCKS, TRANSACTIONS, REORGANISATIONS = "blocks", "transactions", "reorganisations"
MAX_PUSHED = 1_000
"""Blocks of one event that are pushed one by one; of a longer catch-up only the newest are."""


class BlockRef(TypedDict):
    """A block by hash and height."""

    hash: str
    height: int


class TransactionFilter(TypedDict):
    """Which transactions to send: those that pay one of these addresses; without it all."""

    addresses: NotRequired[list[str]]


class PaidOutput(TypedDict):
    """An output of an announced transaction."""

    n: int
    value: JsonAmount
    address: str | None


class PushedTransaction(TypedDict):
    """A transaction that came into the mempool."""

    txid: str
    wtxid: str
    size: int
    outputs: list[PaidOutput]


class Reorganisation(TypedDict):
    """The best chain left blocks for others. `fork` is the last block that both have."""

    fork: BlockRef
    disconnected: list[BlockRef]
    connected: list[BlockRef]
    head: BlockRef


def pow_topics() -> Subscriptions:
    """Make the topics of the PoW port."""
    return Subscriptions(
        (
            Topic(
                BLOCKS,
                "each block that joins the best chain, as getblockheader shows it; oldest first",
            ),
            Topic(
                TRANSACTIONS,
                'each transaction that comes into the mempool; {"addresses": [...]} picks those that pay one',
                params=TransactionFilter | None,
                select=_select_transaction,
            ),
            Topic(
                REORGANISATIONS,
                "each time the best chain leaves blocks: the fork, what went (highest first), what came",
            ),
        )
    )


def _select_transaction(wanted: TransactionFilter | None, event: PushedTransaction) -> Iterable[object]:
    addresses = (wanted or {}).get("addresses")
    if addresses is None:
        return (event,)
    paid = {output["address"] for output in event["outputs"]}
    return (event,) if not paid.isdisjoint(addresses) else ()


class Publisher:
    """Turns the node's events into notifications; call it in the event loop."""

    def __init__(self, subscriptions: Subscriptions, reader: ChainReader) -> None:
        self._subscriptions = subscriptions
        self._reader = reader

    def head_changed(self, event: PowHeadChanged) -> None:
        """Announce a reorganisation, if it is one, and then the new blocks."""
        if event.disconnected and self._subscriptions.has_listeners(REORGANISATIONS):
            self._subscriptions.publish(REORGANISATIONS, _reorganisation(event))
        if self._subscriptions.has_listeners(BLOCKS):
            for connected in event.connected[-MAX_PUSHED:]:
                self._subscriptions.publish(BLOCKS, self._reader.header_json(connected.entry))

    def transaction_added(self, tx: Transaction) -> None:
        """Announce a transaction that came into the mempool."""
        if self._subscriptions.has_listeners(TRANSACTIONS):
            self._subscriptions.publish(TRANSACTIONS, _pushed(self._reader.prefix, tx))


def _pushed(prefix: str, tx: Transaction) -> PushedTransaction:
    return {
        "txid": display(tx.txid),
        "wtxid": display(tx.wtxid),
        "size": tx.size,
        "outputs": [
            {"n": index, "value": amount(value), "address": script_to_address(prefix, script)}
            for index, (value, script) in enumerate(tx.outputs)
        ],
    }


def _reorganisation(event: PowHeadChanged) -> Reorganisation:
    lowest = event.disconnected[-1]
    return {
        "fork": {"hash": display(lowest.header.parent_hash), "height": lowest.height - 1},
        "disconnected": [{"hash": display(e.hash), "height": e.height} for e in event.disconnected],
        "connected": [
            {"hash": display(done.entry.hash), "height": done.entry.height} for done in event.connected
        ],
        "head": {"hash": display(event.head.hash), "height": event.head.height},
    }
