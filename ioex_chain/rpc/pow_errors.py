"""The PoW port's table: which error of the chain, the mempool and the formats has which Core code."""

from ioex_chain.crypto.address import InvalidAddress
from ioex_chain.ledger.errors import (
    BelowFloor,
    LedgerError,
    NotOnHead,
    Rejected,
    StoreError,
    UndoMissing,
    UnknownBlock,
    UnknownParent,
)
from ioex_chain.p2p.bans import InvalidBan
from ioex_chain.p2p.types import InvalidPeerUrl, P2pError
from ioex_chain.pow.errors import TransactionError
from ioex_chain.pow.policy import AlreadyConfirmed, MissingInputs
from ioex_chain.rpc.errors import Code, ErrorRows, ErrorTable, Flavour, Row, RpcError
from ioex_chain.rpc.peer_port import P2pDisabled

POW_ERRORS: ErrorRows = {
    InvalidAddress: Code.INVALID_ADDRESS_OR_KEY,
    UnknownBlock: Code.INVALID_ADDRESS_OR_KEY,
    UnknownParent: Code.VERIFY_ERROR,
    BelowFloor: Code.VERIFY_ERROR,
    UndoMissing: Code.MISC_ERROR,
    NotOnHead: Code.VERIFY_ERROR,
    Rejected: Code.VERIFY_ERROR,
    LedgerError: Code.MISC_ERROR,
    StoreError: Row(
        Code.DATABASE_ERROR, "Database error; the node's log says which and what to do (`ioex db check`)"
    ),
    TransactionError: Code.VERIFY_REJECTED,
    MissingInputs: Code.VERIFY_ERROR,
    AlreadyConfirmed: Code.VERIFY_ALREADY_IN_UTXO_SET,
    P2pError: Code.MISC_ERROR,
    P2pDisabled: Code.P2P_DISABLED,
    InvalidPeerUrl: Code.INVALID_PARAMETER,
    InvalidBan: Code.INVALID_IP_OR_SUBNET,
}
"""A class without a row has that of its nearest base."""


def pow_error_table() -> ErrorTable:
    """Make the table that the PoW port's dispatcher uses."""
    return ErrorTable(POW_ERRORS, Flavour.CORE)


def reason_of(error: Exception) -> str:
    """Give BIP-22's short word for a refused block or transaction ("bad-cb-amount"), else "rejected"."""
    rule = getattr(error, "rule", None) or getattr(error, "reason", None)
    if isinstance(rule, str):
        return rule
    if isinstance(error, UnknownParent):
        return "prev-blk-not-found"
    return "rejected"


def transaction_refused(error: TransactionError) -> RpcError:
    """Give Core's answer to a refused transaction: its short word, and our explanation behind it."""
    table = pow_error_table()
    row = table.row(type(error))
    code = row.code if row is not None else Code.VERIFY_REJECTED
    if code == Code.VERIFY_ALREADY_IN_UTXO_SET:
        return RpcError(code, "Transaction outputs already in utxo set")
    word = "bad-txns-inputs-missingorspent" if code == Code.VERIFY_ERROR else reason_of(error)
    return RpcError(code, f"{word}: {error}")
