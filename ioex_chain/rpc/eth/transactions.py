"""eth_*: transactions and receipts, and sending."""

from typing import Any

from ioex_chain.rpc.eth.bodies import Body
from ioex_chain.rpc.eth.pending import pending_transaction
from ioex_chain.rpc.eth.reader import PRUNED_HISTORY, EthReader
from ioex_chain.rpc.eth.render import transaction_json
from ioex_chain.rpc.eth.values import (
    BlockHashParam,
    BlockId,
    BlockTagParam,
    Bytes,
    HashResult,
    Quantity,
    ReceiptResult,
    TransactionResult,
    TxHashParam,
)
from ioex_chain.rpc.eth_backend import DposEntry, EthBackend
from ioex_chain.rpc.registry import method

GROUP = "eth"


class TransactionsApi:
    """Transactions of blocks and of the pool."""

    def __init__(self, backend: EthBackend, reader: EthReader) -> None:
        self._backend = backend
        self._reader = reader

    @method("eth_sendRawTransaction", group=GROUP, errors=(-32000, -32003))
    async def send_raw(self, transaction: Bytes) -> HashResult:
        """Put a signed transaction into the pool, tell the network, and give its hash."""
        return "0x" + (await self._backend.submit(transaction)).hex()

    @method("eth_getTransactionByHash", group=GROUP, errors=(PRUNED_HISTORY,))
    def by_hash(self, hash: TxHashParam) -> TransactionResult:  # noqa: A002
        """Give a transaction of the best chain or of the pool (then without a block); null if unknown."""
        where = self._reader.locate(hash)
        if where is not None:
            entry, index = where
            return self._reader.from_body(entry, lambda body: body.transaction_json(index), "senders")
        pooled = self._backend.pool.get(hash)
        return None if pooled is None else transaction_json(pooled.tx, pooled.sender, None, None)

    @method("eth_getTransactionByBlockHashAndIndex", group=GROUP, errors=(PRUNED_HISTORY,))
    def by_block_hash(self, hash: BlockHashParam, index: Quantity) -> TransactionResult:  # noqa: A002
        """Give a transaction by its place in a block; null if there is none."""
        return self._at(self._reader.find(BlockId(hash=hash)), index)

    @method("eth_getTransactionByBlockNumberAndIndex", group=GROUP, errors=(PRUNED_HISTORY,))
    def by_block_number(self, block: BlockTagParam, index: Quantity) -> TransactionResult:
        """Give a transaction by its place in a block of the best chain; null if there is none."""
        if block.tag == "pending":
            return pending_transaction(self._backend, index)
        return self._at(self._reader.find(block), index)

    def _at(self, entry: DposEntry | None, index: int) -> Any:
        def make(body: Body) -> Any:
            return body.transaction_json(index) if index < len(body.block.transactions) else None

        return None if entry is None else self._reader.from_body(entry, make, "senders")

    @method("eth_getTransactionReceipt", group=GROUP, errors=(PRUNED_HISTORY,))
    def receipt(self, hash: TxHashParam) -> ReceiptResult:  # noqa: A002
        """Give the receipt of a transaction of the best chain; null if it is in no block of it."""
        where = self._reader.locate(hash)
        if where is None:
            return None
        entry, index = where
        return self._reader.from_body(entry, lambda body: body.receipt_json(index), "receipt_starts")
