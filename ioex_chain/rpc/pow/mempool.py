"""The mempool: send, test and look up unconfirmed transactions; fee estimates."""

from collections.abc import Callable, Iterable
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.pow.errors import TransactionError
from ioex_chain.pow.fees import MAX_TARGET
from ioex_chain.pow.packages import MempoolEntry, in_order
from ioex_chain.pow.policy import AlreadyInPool, fee_at
from ioex_chain.pow.script import Form, classify
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN, display
from ioex_chain.rpc.errors import Code, ParameterError, RpcError
from ioex_chain.rpc.jsonio import AmountParam, JsonAmount, amount
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.pow.format import weight_of
from ioex_chain.rpc.pow.params import HexParam, TxidParam, not_found
from ioex_chain.rpc.pow.transactions import TxHexParam, decode_transaction
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.pow_errors import reason_of, transaction_refused
from ioex_chain.rpc.registry import method

GROUP = "mempool"
DEFAULT_MAX_RATE = COIN // 10
"""Units per 1,000 bytes: 0.10 IOEX, as Core's 0.10 BTC."""
MAX_TESTED = 25
MaxFeeRate = Annotated[
    AmountParam,
    Param("refuse a fee rate above this, in IOEX per 1,000 bytes (0.10 when absent); 0: take any"),
]
Verbose = Annotated[bool, Param("true: entries by id; false: ids")]


class EntryFees(TypedDict):
    """Fees of an entry, and with its unconfirmed relatives."""

    base: JsonAmount
    modified: JsonAmount
    ancestor: JsonAmount
    descendant: JsonAmount


EntryJson = TypedDict(
    "EntryJson",
    {
        "vsize": int,
        "weight": int,
        "time": int,
        "height": int,
        "descendantcount": int,
        "descendantsize": int,
        "ancestorcount": int,
        "ancestorsize": int,
        "wtxid": str,
        "fees": EntryFees,
        "depends": list[str],
        "spentby": list[str],
        "bip125-replaceable": bool,
        "unbroadcast": bool,
    },
)
"""A mempool entry. `vsize` and the other sizes are what fee rates count here: bytes with witnesses."""


class MempoolInfo(TypedDict):
    """Figures of the whole pool. `bytes` is the sum of the entries' `vsize`, `usage` bytes of memory."""

    loaded: bool
    size: int
    bytes: int
    usage: int
    total_fee: JsonAmount
    maxmempool: int
    mempoolminfee: JsonAmount
    minrelaytxfee: JsonAmount
    incrementalrelayfee: JsonAmount
    unbroadcastcount: int
    fullrbf: bool


class MempoolSequence(TypedDict):
    """Ids and the number that rises with every change of the pool."""

    txids: list[str]
    mempool_sequence: int


TestedFees = TypedDict(
    "TestedFees",
    {"base": JsonAmount, "effective-feerate": JsonAmount, "effective-includes": list[str]},
)
"""Fee, and fee for 1,000 bytes."""
Tested = TypedDict(
    "Tested",
    {
        "txid": str,
        "wtxid": str,
        "allowed": bool,
        "vsize": NotRequired[int],
        "fees": NotRequired[TestedFees],
        "reject-reason": NotRequired[str],
        "reject-details": NotRequired[str],
    },
)
"""Whether the pool would take a transaction now, and if not, Core's word for it."""


class SmartFee(TypedDict):
    """An estimate; `feerate` is IOEX per 1,000 bytes and absent when `errors` says why."""

    feerate: NotRequired[JsonAmount]
    errors: NotRequired[list[str]]
    blocks: int


def entry_json(entry: MempoolEntry) -> EntryJson:
    """Show an entry."""
    return {
        "vsize": entry.size,
        "weight": weight_of(entry.tx),
        "time": entry.time,
        "height": entry.height,
        "descendantcount": entry.descendant_count,
        "descendantsize": entry.descendant_size,
        "ancestorcount": entry.ancestor_count,
        "ancestorsize": entry.ancestor_size,
        "wtxid": display(entry.wtxid),
        "fees": {
            "base": amount(entry.fee),
            "modified": amount(entry.fee),
            "ancestor": amount(entry.ancestor_fee),
            "descendant": amount(entry.descendant_fee),
        },
        "depends": [display(parent.txid) for parent in in_order(entry.parents)],
        "spentby": [display(child.txid) for child in in_order(entry.children)],
        "bip125-replaceable": True,
        "unbroadcast": False,
    }


def _listed(entries: Iterable[MempoolEntry], verbose: bool) -> list[str] | dict[str, EntryJson]:
    if verbose:
        return {display(entry.txid): entry_json(entry) for entry in entries}
    return [display(entry.txid) for entry in entries]


class MempoolApi:
    """Everything about the pool runs on the chain's worker thread, which the pool belongs to."""

    def __init__(self, backend: PowBackend) -> None:
        self._backend = backend
        self._pool = backend.mempool

    # --- sending -----------------------------------------------------------------------------------------

    @method(
        "sendrawtransaction",
        group="rawtransactions",
        errors=(
            Code.DESERIALIZATION_ERROR,
            Code.VERIFY_ERROR,
            Code.VERIFY_REJECTED,
            Code.VERIFY_ALREADY_IN_UTXO_SET,
        ),
    )
    async def sendrawtransaction(
        self,
        hexstring: TxHexParam,
        maxfeerate: MaxFeeRate | None = None,
        maxburnamount: Annotated[
            AmountParam | None, Param("refuse OP_RETURN outputs above this; on this chain they have no value")
        ] = None,
    ) -> str:
        """Put a transaction into the mempool, tell the network, and give its id.

        One that the mempool has already is no error.
        """
        tx = decode_transaction(hexstring)
        self._check_burn(tx, maxburnamount or 0)
        limit = DEFAULT_MAX_RATE if maxfeerate is None else maxfeerate
        try:
            entry = await self._backend.call(lambda: self._test(tx))
            if _exceeds(entry, limit):
                raise RpcError(
                    Code.VERIFY_ERROR,
                    "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate): "
                    f"{entry.fee} units for {entry.size} bytes",
                )
            await self._backend.submit_transaction(tx)
        except AlreadyInPool:
            pass
        except TransactionError as error:
            raise transaction_refused(error) from None
        return display(tx.txid)

    def _check_burn(self, tx: Transaction, most: int) -> None:
        for output in tx.outputs:
            if classify(output.script) is Form.DATA and output.value > most:
                raise RpcError(
                    Code.VERIFY_ERROR,
                    "Unspendable output exceeds maximum configured by user (maxburnamount)",
                )

    def _test(self, tx: Transaction) -> MempoolEntry:
        return self._pool.test_accept(tx, Tip.of(self._backend.ledger))

    @method("testmempoolaccept", group="rawtransactions", errors=(Code.DESERIALIZATION_ERROR,))
    async def testmempoolaccept(
        self,
        rawtxs: Annotated[
            list[HexParam], Field(min_length=1, max_length=MAX_TESTED), Param("transactions in hex")
        ],
        maxfeerate: MaxFeeRate | None = None,
    ) -> list[Tested]:
        """Say of each transaction whether the mempool would take it now, and change nothing.

        Each is tested by itself: one that spends another of the list has missing inputs.
        """
        transactions = [decode_transaction(text) for text in rawtxs]
        limit = DEFAULT_MAX_RATE if maxfeerate is None else maxfeerate
        return [await self._backend.call(self._tester(tx, limit)) for tx in transactions]

    def _tester(self, tx: Transaction, limit: int) -> Callable[[], Tested]:
        def run() -> Tested:
            shown: Tested = {"txid": display(tx.txid), "wtxid": display(tx.wtxid), "allowed": False}
            try:
                entry = self._test(tx)
            except TransactionError as error:
                shown["reject-reason"] = reason_of(error)
                shown["reject-details"] = str(error)
                return shown
            if _exceeds(entry, limit):
                shown["reject-reason"] = "max-fee-exceeded"
                return shown
            rate = entry.fee * 1_000 // entry.size
            shown["allowed"] = True
            shown["vsize"] = entry.size
            shown["fees"] = {
                "base": amount(entry.fee),
                "effective-feerate": amount(rate),
                "effective-includes": [display(tx.wtxid)],
            }
            return shown

        return run

    # --- looking -----------------------------------------------------------------------------------------

    @method("getrawmempool", group=GROUP, errors=(Code.INVALID_PARAMETER,))
    async def getrawmempool(
        self,
        verbose: Verbose = False,
        mempool_sequence: Annotated[bool, Param("with the number of the pool's last change")] = False,
    ) -> list[str] | dict[str, EntryJson] | MempoolSequence:
        """Give what waits in the mempool, ids or entries by id."""
        if verbose and mempool_sequence:
            raise ParameterError(
                "mempool_sequence", "Verbose results cannot contain mempool sequence values."
            )

        def read() -> list[str] | dict[str, EntryJson] | MempoolSequence:
            if mempool_sequence:
                txids = [display(entry.txid) for entry in self._pool]
                return {"txids": txids, "mempool_sequence": self._pool.version}
            return _listed(self._pool, verbose)

        return await self._backend.call(read)

    @method("getmempoolentry", group=GROUP, errors=(Code.INVALID_ADDRESS_OR_KEY,))
    async def getmempoolentry(self, txid: TxidParam) -> EntryJson:
        """Give one entry of the mempool."""
        return await self._backend.call(lambda: entry_json(self._require(txid)))

    @method("getmempoolancestors", group=GROUP, errors=(Code.INVALID_ADDRESS_OR_KEY,))
    async def getmempoolancestors(
        self, txid: TxidParam, verbose: Verbose = False
    ) -> list[str] | dict[str, EntryJson]:
        """Give the unconfirmed ancestors of an entry."""
        return await self._backend.call(lambda: _listed(self._pool.ancestors(self._require(txid)), verbose))

    @method("getmempooldescendants", group=GROUP, errors=(Code.INVALID_ADDRESS_OR_KEY,))
    async def getmempooldescendants(
        self, txid: TxidParam, verbose: Verbose = False
    ) -> list[str] | dict[str, EntryJson]:
        """Give the unconfirmed descendants of an entry."""
        return await self._backend.call(lambda: _listed(self._pool.descendants(self._require(txid)), verbose))

    def _require(self, txid: bytes) -> MempoolEntry:
        entry = self._pool.get(txid)
        if entry is None:
            raise not_found("Transaction not in mempool")
        return entry

    @method("getmempoolinfo", group=GROUP)
    async def getmempoolinfo(self) -> MempoolInfo:
        """Give the mempool's size, memory and least fee rates (IOEX per 1,000 bytes)."""
        pool = self._pool
        return await self._backend.call(
            lambda: {
                "loaded": True,
                "size": len(pool),
                "bytes": pool.total_size,
                "usage": pool.usage,
                "total_fee": amount(pool.total_fee),
                "maxmempool": pool.policy.max_usage,
                "mempoolminfee": amount(pool.min_rate()),
                "minrelaytxfee": amount(pool.policy.min_relay_rate),
                "incrementalrelayfee": amount(pool.policy.incremental_rate),
                "unbroadcastcount": 0,
                "fullrbf": True,
            }
        )

    @method("estimatesmartfee", group="util", errors=(Code.INVALID_PARAMETER,))
    async def estimatesmartfee(
        self,
        conf_target: Annotated[int, Field(ge=1, le=MAX_TARGET), Param("confirmed within so many blocks")],
        estimate_mode: Annotated[
            Literal["unset", "economical", "conservative", "UNSET", "ECONOMICAL", "CONSERVATIVE"],
            Param("conservative: a lull does not lower the answer"),
        ] = "economical",
    ) -> SmartFee:
        """Estimate the fee rate that confirms within some blocks; never below what the mempool takes."""
        conservative = estimate_mode.lower() == "conservative"

        def estimate() -> SmartFee:
            found = self._backend.fees.estimate(conf_target, conservative=conservative)
            if found.rate is None:
                return {"errors": list(found.errors), "blocks": found.blocks}
            return {"feerate": amount(max(found.rate, self._pool.min_rate())), "blocks": found.blocks}

        return await self._backend.call(estimate)


def _exceeds(entry: MempoolEntry, limit: int) -> bool:
    return bool(limit) and entry.fee > fee_at(limit, entry.size)
