"""debug_*: traces, and the bytes of what stands in blocks."""

from collections.abc import Callable
from typing import Annotated, Any

import orjson
import rlp

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.dpos.block import Block
from ioex_chain.evm.receipts import encode_receipt
from ioex_chain.primitives import rlp as strict_rlp
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import BlockHash
from ioex_chain.rpc.errors import Code, ParameterError, RpcError
from ioex_chain.rpc.eth import render
from ioex_chain.rpc.eth.bodies import Body
from ioex_chain.rpc.eth.call_params import MessageParam
from ioex_chain.rpc.eth.evm_port import (
    Deadline,
    EngineBusy,
    ExecutionTimeout,
    MessageRefused,
    StatePruned,
)
from ioex_chain.rpc.eth.reader import PRUNED_HISTORY, BlockNotFound, EthReader
from ioex_chain.rpc.eth.trace_params import TraceParam, TraceRequest
from ioex_chain.rpc.eth.values import (
    LATEST,
    AnyResult,
    BlockHashParam,
    BlockId,
    BlockParam,
    Bytes,
    DataResult,
    ListResult,
    TxHashParam,
    data,
)
from ioex_chain.rpc.eth_backend import DposEntry, EthBackend
from ioex_chain.rpc.jsonio import dumps
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.registry import method

GROUP = "debug"
_BLOCK_FIELDS = 5
"""Most fields of a block: Ethereum's form has four, ours has the seal too."""
TRACE_ERRORS = (PRUNED_HISTORY, -32000, MessageRefused, StatePruned, EngineBusy, ExecutionTimeout)


class TransactionNotFound(RpcError):
    """The transaction is in no block of the best chain."""

    def __init__(self) -> None:
        super().__init__(Code.RESOURCE_NOT_FOUND, "transaction not found")


def ethereum_block(block: Block) -> bytes:
    """Give a block in the form that Ethereum's tools read: rlp([header, transactions, [], withdrawals])."""
    txs = [rlp.decode(tx.raw) if tx.type == 0 else tx.raw for tx in block.transactions]
    withdrawals = [[w.index, w.validator_index, w.address, w.amount] for w in block.withdrawals]
    encoded: bytes = rlp.encode([block.header.header.fields(), txs, [], withdrawals])
    return encoded


class DebugApi:
    """Traces run beside the import, each within a deadline (`timeout`, at most 25 s)."""

    def __init__(self, backend: EthBackend, reader: EthReader) -> None:
        self._backend = backend
        self._reader = reader
        self._evm = backend.evm

    # --- traces ------------------------------------------------------------------------------------------

    async def _trace(self, work: Callable[[Deadline], Any], request: TraceRequest) -> orjson.Fragment:
        """Run a trace and write its JSON in the same thread: it may be long."""
        return await self._backend.run_heavy(
            lambda deadline: orjson.Fragment(dumps(work(deadline))), request.seconds
        )

    @method("debug_traceTransaction", group=GROUP, errors=TRACE_ERRORS)
    async def trace_transaction(
        self,
        hash: TxHashParam,  # noqa: A002
        config: TraceParam | None = None,
    ) -> AnyResult:
        """Replay a transaction as it was executed in its block and give its trace."""
        where = self._reader.locate(hash)
        if where is None:
            raise TransactionNotFound
        (entry, index), request = where, config or TraceRequest()
        return await self._trace(
            lambda deadline: self._evm.trace_block(entry, request.options, index, deadline)[0], request
        )

    @method("debug_traceCall", group=GROUP, errors=TRACE_ERRORS)
    async def trace_call(
        self, message: MessageParam, block: BlockParam = LATEST, config: TraceParam | None = None
    ) -> AnyResult:
        """Trace a message on the state after a block; `config` may have stateOverrides and blockOverrides."""
        base, request = self._reader.base(block), config or TraceRequest()
        return await self._trace(
            lambda deadline: self._evm.trace_call(
                base, message, request.overrides, request.block, request.options, deadline
            ),
            request,
        )

    @method("debug_traceBlockByNumber", group=GROUP, errors=TRACE_ERRORS)
    async def trace_by_number(self, block: BlockParam, config: TraceParam | None = None) -> ListResult:
        """Replay a block and give the trace of each transaction."""
        return await self._trace_block(self._reader.require(block), config or TraceRequest())

    @method("debug_traceBlockByHash", group=GROUP, errors=TRACE_ERRORS)
    async def trace_by_hash(
        self,
        hash: BlockHashParam,  # noqa: A002
        config: TraceParam | None = None,
    ) -> ListResult:
        """Replay a block and give the trace of each transaction."""
        return await self._trace_block(self._reader.require(BlockId(hash=hash)), config or TraceRequest())

    @method("debug_traceBlock", group=GROUP, errors=TRACE_ERRORS)
    async def trace_block(
        self,
        block: Annotated[Bytes, Param("the block's RLP, as debug_getRawBlock gives it")],
        config: TraceParam | None = None,
    ) -> ListResult:
        """Replay a block that this node knows and give the trace of each transaction."""
        entry = self._backend.entry(_block_hash(block))
        if entry is None:
            raise BlockNotFound
        return await self._trace_block(entry, config or TraceRequest())

    async def _trace_block(self, entry: DposEntry, request: TraceRequest) -> Any:
        if entry.height == 0:
            raise RpcError(Code.INVALID_INPUT, "genesis is not traceable")

        def work(deadline: Deadline) -> list[Any]:
            hashes = [tx.hash for tx in self._reader.body(entry).block.transactions]
            traces = self._evm.trace_block(entry, request.options, None, deadline)
            return [
                {"txHash": data(hash_), "result": trace} for hash_, trace in zip(hashes, traces, strict=True)
            ]

        return await self._trace(work, request)

    # --- bytes -------------------------------------------------------------------------------------------

    @method("debug_getRawHeader", group=GROUP)
    def raw_header(self, block: BlockParam) -> DataResult:
        """Give a header's RLP: what its hash is over."""
        return data(rlp.encode(self._reader.require(block).header.header.fields()))

    @method("debug_getRawBlock", group=GROUP, errors=(PRUNED_HISTORY,))
    def raw_block(self, block: BlockParam) -> AnyResult:
        """Give a block in Ethereum's form, without its seal and payload (ioex_getRawBlock has all)."""
        entry = self._reader.require(block)
        return self._reader.from_body(entry, lambda body: data(ethereum_block(body.block)), "never")

    @method("debug_getRawTransaction", group=GROUP, errors=(PRUNED_HISTORY,))
    def raw_transaction(self, hash: TxHashParam) -> AnyResult:  # noqa: A002
        """Give a transaction's EIP-2718 bytes, of a block or of the pool."""
        where = self._reader.locate(hash)
        if where is not None:
            entry, index = where
            return self._reader.from_body(entry, lambda body: data(body.block.transactions[index].raw))
        pooled = self._backend.pool.get(hash)
        if pooled is None:
            raise TransactionNotFound
        return data(pooled.tx.raw)

    @method("debug_getRawReceipts", group=GROUP, errors=(PRUNED_HISTORY,))
    def raw_receipts(self, block: BlockParam) -> AnyResult:
        """Give the EIP-2718 bytes of a block's receipts."""

        def make(body: Body) -> list[str]:
            return [data(encode_receipt(receipt)) for receipt in body.receipts]

        return self._reader.from_body(self._reader.require(block), make, "never")

    @method("debug_getBadBlocks", group=GROUP)
    def bad_blocks(self) -> ListResult:
        """Give blocks that broke a rule lately."""
        return [
            {
                "hash": data(block.header.hash),
                "block": render.whole_block_json(block, None),
                "rlp": data(ethereum_block(block)),
            }
            for block in self._backend.bad_blocks()
        ]


def _block_hash(block: bytes) -> BlockHash:
    """Find the hash of the header that a block's RLP begins with; nothing else of it is read."""
    try:
        header = strict_rlp.items(block, strict_rlp.whole(block), _BLOCK_FIELDS)[0]
    except (DecodeError, IndexError) as error:
        raise ParameterError("block", "is not a block's RLP") from error
    return BlockHash(keccak256(block[header.at : header.end]))
