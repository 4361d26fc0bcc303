"""Transactions, headers and AuxPoW records as the JSON of Bitcoin Core and Namecoin."""

from collections.abc import Sequence
from typing import NotRequired, cast

from typing_extensions import TypedDict

from ioex_chain.pow.auxpow import AuxPow
from ioex_chain.pow.difficulty import difficulty_of, target_of
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction, TxIn
from ioex_chain.pow.utxo import Coin
from ioex_chain.primitives.types import display
from ioex_chain.rpc.jsonio import JsonAmount, amount, number
from ioex_chain.rpc.pow.scripts import ScriptPubKey, disassemble, script_json


class ScriptSig(TypedDict):
    """An input script."""

    asm: str
    hex: str


class Prevout(TypedDict):
    """The output that an input spends."""

    generated: bool
    height: int
    value: JsonAmount
    scriptPubKey: ScriptPubKey


class Vin(TypedDict):
    """An input; a coinbase's has `coinbase` instead of the output spent."""

    coinbase: NotRequired[str]
    txid: NotRequired[str]
    vout: NotRequired[int]
    scriptSig: NotRequired[ScriptSig]
    txinwitness: NotRequired[list[str]]
    prevout: NotRequired[Prevout]
    sequence: int


class Vout(TypedDict):
    """An output."""

    value: JsonAmount
    n: int
    scriptPubKey: ScriptPubKey


class DecodedTransaction(TypedDict):
    """A transaction. `vsize` and `weight` are BIP-141's; fee rates on this chain count `size`."""

    txid: str
    hash: str
    version: int
    size: int
    vsize: int
    weight: int
    locktime: int
    vin: list[Vin]
    vout: list[Vout]


class BlockTransaction(DecodedTransaction):
    """A transaction in a block's answer; `fee` is absent for a coinbase."""

    fee: NotRequired[JsonAmount]
    hex: str


class AuxPowJson(TypedDict):
    """The record of a merged-mined block, as Namecoin shows it."""

    tx: DecodedTransaction
    chainindex: int
    merklebranch: list[str]
    chainmerklebranch: list[str]
    parentblock: str


def weight_of(tx: Transaction) -> int:
    """Give BIP-141's weight."""
    return 3 * tx.stripped_size + tx.size


def _vin(prefix: str, item: TxIn, is_coinbase: bool, coin: Coin | None) -> Vin:
    shown: Vin
    if is_coinbase:
        shown = {"coinbase": item.script.hex(), "sequence": item.sequence}
    else:
        shown = {
            "txid": display(item.outpoint[:32]),
            "vout": int.from_bytes(item.outpoint[32:], "little"),
            "scriptSig": {"asm": disassemble(item.script), "hex": item.script.hex()},
            "sequence": item.sequence,
        }
    if item.witness:
        shown["txinwitness"] = [part.hex() for part in item.witness]
    if coin is not None:
        shown["prevout"] = {
            "generated": coin.is_coinbase,
            "height": coin.height,
            "value": amount(coin.value),
            "scriptPubKey": script_json(prefix, coin.script),
        }
    return shown


def transaction_json(prefix: str, tx: Transaction, coins: Sequence[Coin] | None = None) -> DecodedTransaction:
    """Show a transaction; with `coins`, the outputs spent in input order, each input has its `prevout`."""
    is_coinbase = tx.is_coinbase
    spent: Sequence[Coin | None] = coins if coins else [None] * len(tx.inputs)
    weight = weight_of(tx)
    return {
        "txid": display(tx.txid),
        "hash": display(tx.wtxid),
        "version": tx.version,
        "size": tx.size,
        "vsize": (weight + 3) // 4,
        "weight": weight,
        "locktime": tx.lock_time,
        "vin": [_vin(prefix, item, is_coinbase, coin) for item, coin in zip(tx.inputs, spent, strict=True)],
        "vout": [
            {"value": amount(output.value), "n": index, "scriptPubKey": script_json(prefix, output.script)}
            for index, output in enumerate(tx.outputs)
        ],
    }


def fee_of(tx: Transaction, coins: Sequence[Coin]) -> int:
    """Give inputs less outputs in units."""
    return sum(coin.value for coin in coins) - sum(output.value for output in tx.outputs)


def block_transaction_json(
    prefix: str, tx: Transaction, coins: Sequence[Coin] | None, with_prevouts: bool
) -> BlockTransaction:
    """Show a transaction of a block; without `coins` there is no fee."""
    shown = cast(
        "BlockTransaction",
        {
            **transaction_json(prefix, tx, coins if with_prevouts else None),
            "hex": tx.raw.hex(),
        },
    )
    if coins:
        shown["fee"] = amount(fee_of(tx, coins))
    return shown


def auxpow_json(prefix: str, record: AuxPow) -> AuxPowJson:
    """Show an AuxPoW record."""
    return {
        "tx": transaction_json(prefix, record.coinbase),
        "chainindex": record.chain_index,
        "merklebranch": [display(item) for item in record.coinbase_branch],
        "chainmerklebranch": [display(item) for item in record.chain_branch],
        "parentblock": record.parent.hex(),
    }


def signed32(value: int) -> int:
    """Give a header's version as Core prints it: a signed number."""
    return value - (1 << 32) if value >> 31 else value


def target_hex(bits: int) -> str:
    """Give the target of compact bits as 64 hex digits, highest first."""
    return f"{target_of(bits):064x}"


def difficulty_json(bits: int) -> float:
    """Give the difficulty as Core prints it."""
    return number(difficulty_of(bits))


def header_hex(header: Header) -> str:
    """Give a header's bytes, an AuxPoW record included."""
    return header.encode().hex()
