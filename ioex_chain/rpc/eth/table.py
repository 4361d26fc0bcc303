"""The whole Ethereum port: every method, the topics, the errors and the OpenRPC description."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ioex_chain.rpc.bridge_port import BridgePort
from ioex_chain.rpc.errors import ErrorTable
from ioex_chain.rpc.eth.calls import CallsApi
from ioex_chain.rpc.eth.chain import ChainApi
from ioex_chain.rpc.eth.debug import DebugApi
from ioex_chain.rpc.eth.fees import FeesApi
from ioex_chain.rpc.eth.filters import Filters, FiltersApi
from ioex_chain.rpc.eth.heavy import HeavyPool
from ioex_chain.rpc.eth.ioex import IoexApi
from ioex_chain.rpc.eth.ioex_bridge import BridgeApi
from ioex_chain.rpc.eth.logs import LogSearch
from ioex_chain.rpc.eth.node import NodeApi
from ioex_chain.rpc.eth.reader import EthReader
from ioex_chain.rpc.eth.solo import SoloApi
from ioex_chain.rpc.eth.state import StateApi
from ioex_chain.rpc.eth.topics import Publisher, eth_topics
from ioex_chain.rpc.eth.transactions import TransactionsApi
from ioex_chain.rpc.eth.txpool import TxpoolApi
from ioex_chain.rpc.eth_backend import EthBackend
from ioex_chain.rpc.eth_errors import eth_error_table
from ioex_chain.rpc.openrpc import Discovery, Info
from ioex_chain.rpc.registry import MethodTable
from ioex_chain.rpc.subscriptions import Subscriptions

SEARCH_THREADS, MAX_SEARCHES = 2, 64
"""Searches for logs and fee histories at work, and waiting: apart from calls, so that neither starves."""


@dataclass(frozen=True, slots=True)
class EthPort:
    """What a server needs of the DPoS chain.

    The node calls the methods of `publisher` in the event loop: `head_changed`, `transaction_added`,
    `sync_changed`.
    """

    table: MethodTable
    errors: ErrorTable
    subscriptions: Subscriptions
    publisher: Publisher


def eth_port(
    backend: EthBackend, now: Callable[[], float] = time.monotonic, bridge: BridgePort | None = None
) -> EthPort:
    """Put the port together. `now` is the monotonic clock by which filters expire and searches end.

    Without `bridge` (no PoW chain beside this one) there are no methods of the bridge.
    """
    reader = EthReader(backend)
    searches = HeavyPool(SEARCH_THREADS, MAX_SEARCHES)
    filters = Filters(now)
    table = MethodTable()
    for api in (
        ChainApi(backend, reader),
        StateApi(backend, reader),
        TransactionsApi(backend, reader),
        FeesApi(backend, reader, searches),
        CallsApi(backend, reader),
        FiltersApi(filters, LogSearch(reader), searches),
        TxpoolApi(backend),
        DebugApi(backend, reader),
        NodeApi(backend),
        IoexApi(backend, reader),
    ):
        table.add_api(api)
    if bridge is not None:
        table.add_api(BridgeApi(backend.spec, bridge))
    if backend.solo is not None:
        SoloApi(backend, reader, backend.solo).add_to(table)
    subscriptions = eth_topics()
    subscriptions.add_methods(table, "eth_subscribe", "eth_unsubscribe")
    errors = eth_error_table()
    Discovery(table, errors, Info("ioeX DPoS chain", backend.version, "Ethereum's methods, and ioeX's own."))
    return EthPort(table, errors, subscriptions, Publisher(backend, reader, subscriptions, filters))
