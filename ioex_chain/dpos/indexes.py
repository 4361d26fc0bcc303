"""Rows that the machine keeps beside the EVM's state (evm/schema.py) for clients to ask for.

=============================  =====================================================================
key                            value
=============================  =====================================================================
``r`` height (uint32)          the block's receipts (`evm.receipts.encode_receipts`)
``x`` transaction hash         uint32 height, uint16 index of a transaction of the best chain
``w`` index (uint64)           uint32 height of the block that carries this credit among its withdrawals
=============================  =====================================================================

They are state rows: a reorganisation takes them back, and a past state does not know later transactions.
"""

from collections.abc import Sequence
from struct import Struct

from ioex_chain.evm.receipts import decode_receipts, encode_receipts
from ioex_chain.evm.types import Receipt, Transaction, Withdrawal
from ioex_chain.ledger.types import Readable, StateView

RECEIPTS = b"r"
TRANSACTION = b"x"
CREDIT = b"w"
_height = Struct(">I")
_place = Struct(">IH")
_index = Struct(">Q")


def receipts_key(height: int) -> bytes:
    """Give the key of a block's receipts."""
    return RECEIPTS + _height.pack(height)


def transaction_key(hash_: bytes) -> bytes:
    """Give the key of a transaction's place."""
    return TRANSACTION + hash_


def write(
    view: StateView, height: int, transactions: Sequence[Transaction], receipts: Sequence[Receipt]
) -> None:
    """Write the rows of a block; one without transactions has none."""
    if not transactions:
        return
    view.create(receipts_key(height), encode_receipts(receipts))
    for index, tx in enumerate(transactions):
        view.create(TRANSACTION + tx.hash, _place.pack(height, index))


def receipts(view: Readable, height: int) -> list[Receipt]:
    """Give the receipts of the best chain's block at `height`; none if it has no transactions."""
    row = view.get(receipts_key(height))
    return [] if row is None else decode_receipts(row)


def find_transaction(view: Readable, hash_: bytes) -> tuple[int, int] | None:
    """Give height and index of a transaction of the best chain; None if it is not there."""
    row = view.get(transaction_key(hash_))
    if row is None:
        return None
    height, index = _place.unpack(row)
    return height, index


def write_credits(view: StateView, height: int, withdrawals: Sequence[Withdrawal]) -> None:
    """Write where the credits of a block's withdrawals stand."""
    for withdrawal in withdrawals:
        view.create(CREDIT + _index.pack(withdrawal.index), _height.pack(height))


def find_credit(view: Readable, index: int) -> int | None:
    """Give the height of the best chain's block that carries a credit; None when none does."""
    row = view.get(CREDIT + _index.pack(index))
    if row is None:
        return None
    height: int = _height.unpack(row)[0]
    return height
