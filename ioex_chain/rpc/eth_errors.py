"""The Ethereum port's table: which error of the chain, the pool and the engine has which code.

Messages are those of the errors themselves: clients recognise "nonce too low", "insufficient funds" and the
like by their words (EIP-1474 has the codes).
"""

from ioex_chain.dpos.mempool_errors import PoolError
from ioex_chain.evm.errors import EvmError
from ioex_chain.ledger.errors import LedgerError, StoreError
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.rpc.bridge_port import NotProvable
from ioex_chain.rpc.errors import Code, ErrorRows, ErrorTable, Flavour, Row
from ioex_chain.rpc.eth.evm_port import EngineBusy, ExecutionTimeout, MessageRefused, StatePruned

ETH_ERRORS: ErrorRows = {
    DecodeError: Code.INVALID_INPUT,
    PoolError: Code.TRANSACTION_REJECTED,
    EvmError: Code.TRANSACTION_REJECTED,
    StatePruned: Code.RESOURCE_UNAVAILABLE,
    EngineBusy: Code.LIMIT_EXCEEDED,
    ExecutionTimeout: Code.RESOURCE_UNAVAILABLE,
    MessageRefused: Code.INVALID_INPUT,
    NotProvable: Code.RESOURCE_UNAVAILABLE,
    LedgerError: Code.RESOURCE_UNAVAILABLE,
    StoreError: Row(
        Code.RESOURCE_UNAVAILABLE,
        "Database error; the node's log says which and what to do (`ioex db check`)",
    ),
}
"""A class without a row has that of its nearest base."""


def eth_error_table() -> ErrorTable:
    """Make the table that the Ethereum port's dispatcher uses."""
    return ErrorTable(ETH_ERRORS, Flavour.ETHEREUM)
