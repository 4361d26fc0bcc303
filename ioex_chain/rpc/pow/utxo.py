"""The set of unspent outputs."""

from collections.abc import Iterator
from hashlib import sha256
from itertools import groupby
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.pow.transaction import TxOut
from ioex_chain.pow.utxo import Coin, Reads, get_coin, scan_coins
from ioex_chain.primitives.types import OutPoint, display
from ioex_chain.rpc.errors import Code
from ioex_chain.rpc.jsonio import JsonAmount, amount
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.pow.params import TxidParam
from ioex_chain.rpc.pow.reader import ChainReader
from ioex_chain.rpc.pow.scripts import ScriptPubKey, script_json
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.registry import method

GROUP = "blockchain"
_SCAN_SECONDS = 600.0
_BOGO_OVERHEAD = 50
"""Core's constant in `bogosize`: 32 txid + 4 index + 4 height and coinbase + 8 value + 2 script length."""
IndexParam = Annotated[int, Field(ge=0, le=2**32 - 1), Param("the output's number")]


class TxOutJson(TypedDict):
    """An unspent output; `confirmations` is 0 when it is in the mempool only."""

    bestblock: str
    confirmations: int
    value: JsonAmount
    scriptPubKey: ScriptPubKey
    coinbase: bool


class SetInfo(TypedDict):
    """Figures of the whole set at one block."""

    height: int
    bestblock: str
    transactions: int
    txouts: int
    bogosize: int
    hash_serialized_3: NotRequired[str]
    disk_size: int
    total_amount: JsonAmount


class UtxoApi:
    """Reads unspent outputs."""

    def __init__(self, backend: PowBackend, reader: ChainReader) -> None:
        self._backend = backend
        self._ledger = backend.ledger
        self._reader = reader

    @method("gettxout", group=GROUP)
    async def gettxout(
        self,
        txid: TxidParam,
        n: IndexParam,
        include_mempool: Annotated[bool, Param("whether the mempool's spends and outputs count")] = True,
    ) -> TxOutJson | None:
        """Give an unspent output, or null when there is none or it is spent."""
        outpoint = OutPoint(txid + n.to_bytes(4, "little"))
        return await self._backend.call(lambda: self._find(outpoint, include_mempool))

    def _find(self, outpoint: OutPoint, include_mempool: bool) -> TxOutJson | None:
        mempool = self._backend.mempool
        head = self._ledger.head
        if include_mempool and mempool.spender(outpoint) is not None:
            return None
        coin = get_coin(self._ledger.view(), outpoint)
        if coin is not None:
            confirmations = head.height - coin.height + 1
            return self._shown(coin.output(), confirmations, coin.is_coinbase)
        output = mempool.output(outpoint) if include_mempool else None
        return None if output is None else self._shown(output, 0, is_coinbase=False)

    def _shown(self, output: TxOut, confirmations: int, is_coinbase: bool) -> TxOutJson:
        return {
            "bestblock": display(self._ledger.head.hash),
            "confirmations": confirmations,
            "value": amount(output.value),
            "scriptPubKey": script_json(self._reader.prefix, output.script),
            "coinbase": is_coinbase,
        }

    @method(
        "gettxoutsetinfo",
        group=GROUP,
        thread=True,
        timeout=_SCAN_SECONDS,
        errors=(Code.INVALID_PARAMETER,),
    )
    def gettxoutsetinfo(
        self,
        hash_type: Annotated[
            Literal["hash_serialized_3", "none"],
            Param("what to hash the set with; Core's muhash is not offered"),
        ] = "hash_serialized_3",
    ) -> SetInfo:
        """Count, sum and hash all unspent outputs, on a snapshot: the node goes on meanwhile.

        hash_serialized_3 is Bitcoin Core's: sha256d over outpoint, height and coinbase bit, output.
        """
        with self._ledger.snapshot() as snapshot:
            count = _count(snapshot, with_hash=hash_type == "hash_serialized_3")
            head = snapshot.head
        info: SetInfo = {
            "height": head.height,
            "bestblock": display(head.hash),
            "transactions": count.transactions,
            "txouts": count.outputs,
            "bogosize": count.bogosize,
            "disk_size": self._backend.database_size(),
            "total_amount": amount(count.total),
        }
        if count.hash is not None:
            info["hash_serialized_3"] = count.hash
        return info


class _Count:
    """What a scan has counted so far."""

    def __init__(self) -> None:
        self.transactions = self.outputs = self.bogosize = self.total = 0
        self.hash: str | None = None


def _count(view: Reads, *, with_hash: bool) -> _Count:
    count = _Count()
    digest = sha256()
    for _, group in groupby(scan_coins(view), key=lambda pair: pair[0][:32]):
        count.transactions += 1
        for outpoint, coin in _by_index(group):
            count.outputs += 1
            count.total += coin.value
            count.bogosize += _BOGO_OVERHEAD + len(coin.script)
            if with_hash:
                digest.update(_serialise(outpoint, coin))
    if with_hash:
        count.hash = display(sha256(digest.digest()).digest())
    return count


def _by_index(group: Iterator[tuple[OutPoint, Coin]]) -> list[tuple[OutPoint, Coin]]:
    """Sort one transaction's outputs by number: keys hold it little-endian."""
    return sorted(group, key=lambda pair: int.from_bytes(pair[0][32:], "little"))


def _serialise(outpoint: bytes, coin: Coin) -> bytes:
    place = (coin.height << 1 | coin.is_coinbase).to_bytes(4, "little")
    return outpoint + place + coin.output().encode()
