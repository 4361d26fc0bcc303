"""Transactions: look up, decode, send."""

import asyncio
from hashlib import sha256
from typing import Annotated, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from ioex_chain.crypto.address import witness_script
from ioex_chain.ledger.types import Entry
from ioex_chain.pow.errors import ScriptError
from ioex_chain.pow.header import Header
from ioex_chain.pow.script import parse_spend_script
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import Coin, get_coin
from ioex_chain.primitives.errors import DecodeError
from ioex_chain.primitives.types import OutPoint, TxHash, display
from ioex_chain.rpc.errors import Code, ParameterError
from ioex_chain.rpc.jsonio import JsonAmount, amount
from ioex_chain.rpc.params import Param
from ioex_chain.rpc.pow.format import DecodedTransaction, fee_of, transaction_json
from ioex_chain.rpc.pow.params import (
    HashBytes,
    HexError,
    HexParam,
    TxidParam,
    Verbosity2,
    decode_failed,
    from_hex,
    not_found,
)
from ioex_chain.rpc.pow.reader import ChainReader
from ioex_chain.rpc.pow.scripts import ScriptPubKey, script_json, type_of
from ioex_chain.rpc.pow_backend import PowBackend
from ioex_chain.rpc.registry import method

GROUP = "rawtransactions"
MAX_SCRIPT = 10_000
TxHexParam = Annotated[HexParam, Param("the transaction in hex")]


class RawTransaction(DecodedTransaction):
    """A transaction and where it is; the fields of a block are absent while it is in the mempool."""

    in_active_chain: NotRequired[bool]
    hex: str
    blockhash: NotRequired[str]
    confirmations: NotRequired[int]
    time: NotRequired[int]
    blocktime: NotRequired[int]
    fee: NotRequired[JsonAmount]


class Wrapped(ScriptPubKey):
    """The P2WSH of a script; `spendable`: whether this chain lets such an output be spent."""

    spendable: bool


class DecodedScript(TypedDict):
    """A script; `segwit` is there unless it is an output script of this chain itself."""

    asm: str
    desc: str
    type: str
    address: NotRequired[str]
    dpos_address: NotRequired[str]
    segwit: NotRequired[Wrapped]


def decode_transaction(text: str) -> Transaction:
    """Read a transaction in hex. Raises Core's -22."""
    try:
        return Transaction.decode(from_hex(text))
    except (HexError, DecodeError) as error:
        raise decode_failed("TX", f"{error}. Make sure the tx has at least one input.") from None


class TransactionsApi:
    """Looks transactions up and decodes them."""

    def __init__(self, backend: PowBackend, reader: ChainReader) -> None:
        self._backend = backend
        self._ledger = backend.ledger
        self._reader = reader

    @method("getrawtransaction", group=GROUP, errors=(Code.INVALID_ADDRESS_OR_KEY,))
    async def getrawtransaction(
        self,
        txid: TxidParam,
        verbosity: Verbosity2 = 0,
        blockhash: Annotated[HashBytes | None, Param("the block to look into")] = None,
    ) -> str | RawTransaction:
        """Give a transaction from the mempool, the transaction index or one named block."""
        if blockhash is not None:
            return await asyncio.to_thread(self._from_block, txid, blockhash, int(verbosity))
        entry = await self._backend.call(lambda: self._backend.mempool.get(TxHash(txid)))
        if entry is not None:
            return await self._backend.call(lambda: self._from_pool(entry.tx, int(verbosity)))
        return await asyncio.to_thread(self._from_index, txid, int(verbosity))

    def _from_block(self, txid: bytes, blockhash: bytes, verbosity: int) -> str | RawTransaction:
        entry = self._reader.require(blockhash)
        tx = self._reader.find_in(txid, entry)
        if tx is None:
            raise not_found("No such transaction found in the provided block.")
        shown = self._shown(tx, entry, verbosity)
        if not isinstance(shown, str):
            shown["in_active_chain"] = self._ledger.is_on_best_chain(entry)
        return shown

    def _from_index(self, txid: bytes, verbosity: int) -> str | RawTransaction:
        found = self._reader.find(txid)
        if found is None:
            if not self._reader.indexes:
                raise not_found(
                    "No such mempool transaction. This node keeps no transaction index: give the block's hash"
                )
            raise not_found("No such mempool or blockchain transaction.")
        return self._shown(*found, verbosity)

    def _shown(self, tx: Transaction, entry: Entry[Header], verbosity: int) -> str | RawTransaction:
        if verbosity == 0:
            return tx.raw.hex()
        coins = self._reader.coins_of(tx, self._reader.spent_by([tx])) if verbosity == 2 else None
        shown = cast(
            "RawTransaction",
            {
                **transaction_json(self._reader.prefix, tx, coins),
                "hex": tx.raw.hex(),
                "blockhash": display(entry.hash),
                "confirmations": max(0, self._reader.confirmations(entry)),
                "time": entry.header.time,
                "blocktime": entry.header.time,
            },
        )
        if coins is not None:
            shown["fee"] = amount(fee_of(tx, coins))
        return shown

    def _from_pool(self, tx: Transaction, verbosity: int) -> str | RawTransaction:
        if verbosity == 0:
            return tx.raw.hex()
        coins = self._pool_coins(tx) if verbosity == 2 else None
        shown = cast(
            "RawTransaction",
            {
                **transaction_json(self._reader.prefix, tx, coins),
                "hex": tx.raw.hex(),
            },
        )
        if coins is not None:
            shown["fee"] = amount(fee_of(tx, coins))
        return shown

    def _pool_coins(self, tx: Transaction) -> list[Coin] | None:
        coins = [self._pool_coin(item.outpoint) for item in tx.inputs]
        known = [coin for coin in coins if coin is not None]
        return known if len(known) == len(coins) else None

    def _pool_coin(self, outpoint: OutPoint) -> Coin | None:
        """Find an output in the chain's state or the mempool; one there has the next block's height."""
        coin = get_coin(self._ledger.view(), outpoint)
        if coin is not None:
            return coin
        output = self._backend.mempool.output(outpoint)
        if output is None:
            return None
        return Coin(output.value, output.script, self._ledger.head.height + 1, False)

    @method("decoderawtransaction", group=GROUP, thread=True, errors=(Code.DESERIALIZATION_ERROR,))
    def decoderawtransaction(
        self,
        hexstring: TxHexParam,
        iswitness: Annotated[
            bool | None, Param("taken for Core's sake: this chain has one way to read a transaction")
        ] = None,
    ) -> DecodedTransaction:
        """Show a transaction that is given in hex."""
        del iswitness
        return transaction_json(self._reader.prefix, decode_transaction(hexstring))

    @method("decodescript", group=GROUP, errors=(Code.DESERIALIZATION_ERROR,))
    def decodescript(
        self, hexstring: Annotated[str, Field(max_length=2 * MAX_SCRIPT), Param("the script in hex")]
    ) -> DecodedScript:
        """Show a script that is given in hex, and the P2WSH that pays it."""
        try:
            script = from_hex(hexstring)
        except HexError as error:
            raise ParameterError("hexstring", str(error)) from None
        shown = script_json(self._reader.prefix, script)
        decoded: DecodedScript = {"asm": shown["asm"], "desc": shown["desc"], "type": shown["type"]}
        if "address" in shown:
            decoded["address"] = shown["address"]
        if "dpos_address" in shown:
            decoded["dpos_address"] = shown["dpos_address"]
        if type_of(script) in ("nonstandard", "pubkey", "pubkeyhash", "multisig"):
            program = script_json(self._reader.prefix, witness_script(0, sha256(script).digest()))
            decoded["segwit"] = {**program, "spendable": _is_spendable(script)}
        return decoded


def _is_spendable(script: bytes) -> bool:
    try:
        parse_spend_script(script)
    except (ScriptError, IndexError):
        return False
    return True
