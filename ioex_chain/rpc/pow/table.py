"""The whole PoW port: every method, the topics, the errors and the OpenRPC description."""

from collections.abc import Callable
from dataclasses import dataclass

from ioex_chain.pow.stratum_view import StratumView
from ioex_chain.rpc.errors import ErrorTable
from ioex_chain.rpc.openrpc import Discovery, Info
from ioex_chain.rpc.pow.address import AddressApi
from ioex_chain.rpc.pow.auxpow import AuxPowApi
from ioex_chain.rpc.pow.chain import ChainApi
from ioex_chain.rpc.pow.control import ControlApi
from ioex_chain.rpc.pow.exchange import ExchangeApi
from ioex_chain.rpc.pow.generate import GenerateApi
from ioex_chain.rpc.pow.history import HistoryApi
from ioex_chain.rpc.pow.mempool import MempoolApi
from ioex_chain.rpc.pow.mining import MiningApi, TemplateSource
from ioex_chain.rpc.pow.network import NetworkApi
from ioex_chain.rpc.pow.proofs import ProofsApi
from ioex_chain.rpc.pow.reader import ChainReader
from ioex_chain.rpc.pow.reserve import ReserveApi
from ioex_chain.rpc.pow.stratum import StratumApi
from ioex_chain.rpc.pow.submit import Submitter
from ioex_chain.rpc.pow.topics import Publisher, pow_topics
from ioex_chain.rpc.pow.transactions import TransactionsApi
from ioex_chain.rpc.pow.utxo import UtxoApi
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.pow_errors import pow_error_table
from ioex_chain.rpc.registry import MethodTable
from ioex_chain.rpc.subscriptions import Subscriptions


@dataclass(frozen=True, slots=True)
class PowPort:
    """What a server needs of the PoW chain.

    The node calls `publisher.head_changed` and `publisher.transaction_added` in the event loop.
    """

    table: MethodTable
    errors: ErrorTable
    subscriptions: Subscriptions
    publisher: Publisher


def pow_port(
    backend: PowBackend,
    *,
    payout_script: bytes | None = None,
    stratum: Callable[[], StratumView | None] = lambda: None,
) -> PowPort:
    """Put the port together.

    `payout_script` is whom getblocktemplate pays when the miner names nobody; `stratum` gives the running
    Stratum server, None while there is none.
    """
    reader = ChainReader(backend.spec, backend.ledger, backend.indexes)
    submitter = Submitter(backend, reader)
    templates = TemplateSource(backend)
    table = MethodTable()
    for api in (
        ChainApi(backend, reader),
        UtxoApi(backend, reader),
        TransactionsApi(backend, reader),
        ProofsApi(backend, reader),
        MempoolApi(backend),
        MiningApi(backend, reader, submitter, templates, payout_script),
        GenerateApi(backend, reader, submitter, templates),
        AuxPowApi(backend, reader, submitter, templates),
        AddressApi(backend, reader),
        HistoryApi(backend, reader),
        ExchangeApi(backend, reader),
        ReserveApi(backend, reader),
        StratumApi(stratum, backend.clock),
        NetworkApi(backend),
        ControlApi(backend, table),
    ):
        table.add_api(api)
    subscriptions = pow_topics()
    subscriptions.add_methods(table)
    errors = pow_error_table()
    info = Info("ioeX PoW chain", backend.state().version, "Bitcoin Core's methods, and ioeX's own.")
    Discovery(table, errors, info)
    return PowPort(table, errors, subscriptions, Publisher(subscriptions, reader))
