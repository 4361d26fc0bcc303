"""Look-ups that several methods share. All of them read the ledger only, so any thread may call them."""

from collections.abc import Iterable, Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from ioex_chain.ledger.types import Entry
from ioex_chain.pow.block import Block
from ioex_chain.pow.consensus import median_time_past
from ioex_chain.pow.difficulty import work_of
from ioex_chain.pow.header import Header
from ioex_chain.pow.ledger import PowLedger
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import Coin, find_transaction
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.types import BlockHash, OutPoint, TxHash, display
from ioex_chain.rpc.errors import Code, RpcError
from ioex_chain.rpc.pow.format import (
    AuxPowJson,
    auxpow_json,
    difficulty_json,
    signed32,
    target_hex,
)
from ioex_chain.rpc.pow.params import not_found
from ioex_chain.spec.model import NetworkSpec

PREVOUT_BYTES = 256_000_000
"""Most bytes of old blocks that one call reads to find what a block spends."""


class TooMuchToRead(RpcError):
    """The outputs spent lie in more blocks than one call may read."""

    def __init__(self) -> None:
        super().__init__(
            Code.MISC_ERROR,
            "The outputs that this block spends lie in too many other blocks; use a lower verbosity and "
            "getrawtransaction with verbosity 2 for single transactions",
        )


class BlockHeaderJson(TypedDict):
    """A header as Core shows it; `auxpow` as Namecoin does, when the block is merged-mined."""

    hash: str
    confirmations: int
    height: int
    version: int
    versionHex: str
    merkleroot: str
    time: int
    mediantime: int
    nonce: int
    bits: str
    target: str
    difficulty: float
    chainwork: str
    nTx: int
    previousblockhash: NotRequired[str]
    nextblockhash: NotRequired[str]
    auxpow: NotRequired[AuxPowJson]


class ChainReader:
    """Reads blocks, transactions and spent outputs from a ledger."""

    def __init__(self, spec: NetworkSpec, ledger: PowLedger, indexes: bool) -> None:
        self.spec = spec
        self.ledger = ledger
        self.indexes = indexes
        self.prefix = spec.pow.address_prefix
        self._genesis_work = work_of(spec.pow.genesis_bits)

    # --- blocks ------------------------------------------------------------------------------------------

    def require(self, hash_: bytes) -> Entry[Header]:
        """Find a header on any branch. Raises -5."""
        entry = self.ledger.entry(BlockHash(hash_))
        if entry is None:
            raise not_found("Block not found")
        return entry

    def at(self, height: int) -> Entry[Header]:
        """Find the best chain's header at a height. Raises -8."""
        entry = self.ledger.entry_at(height)
        if entry is None:
            raise RpcError(
                Code.INVALID_PARAMETER,
                f"height: Block height out of range (the chain's height is {self.ledger.head.height})",
            )
        return entry

    def body(self, entry: Entry[Header]) -> Block:
        """Give a block. Raises -1 when only its header is here."""
        if self.ledger.body_bytes(entry.hash) is None:
            raise RpcError(Code.MISC_ERROR, "Block not available (not fully downloaded)")
        return self.ledger.body(entry.hash)

    def body_bytes(self, entry: Entry[Header]) -> bytes:
        """Give a block's bytes. Raises -1 when only its header is here."""
        data = self.ledger.body_bytes(entry.hash)
        if data is None:
            raise RpcError(Code.MISC_ERROR, "Block not available (not fully downloaded)")
        return data

    def confirmations(self, entry: Entry[Header]) -> int:
        """Count the blocks from this one to the head; -1 on another branch."""
        head = self.ledger.head
        return head.height - entry.height + 1 if self.ledger.is_on_best_chain(entry) else -1

    def chain_work(self, entry: Entry[Header]) -> str:
        """Give the expected hashes from genesis on, 64 hex digits."""
        return f"{entry.weight + self._genesis_work:064x}"

    def transaction_count(self, entry: Entry[Header]) -> int:
        """Give the number of transactions, 0 when the body is not here."""
        data = self.ledger.body_bytes(entry.hash)
        if data is None:
            return 0
        reader = Reader(data)
        Header.read(reader)
        return reader.compact(self.spec.pow.max_block_transactions)

    def header_json(self, entry: Entry[Header], transactions: int | None = None) -> BlockHeaderJson:
        """Show a header with its place in the chain."""
        header = entry.header
        count = self.transaction_count(entry) if transactions is None else transactions
        shown: BlockHeaderJson = {
            "hash": display(entry.hash),
            "confirmations": self.confirmations(entry),
            "height": entry.height,
            "version": signed32(header.version),
            "versionHex": f"{header.version:08x}",
            "merkleroot": display(header.merkle_root),
            "time": header.time,
            "mediantime": median_time_past(entry),
            "nonce": header.nonce,
            "bits": f"{header.bits:08x}",
            "target": target_hex(header.bits),
            "difficulty": difficulty_json(header.bits),
            "chainwork": self.chain_work(entry),
            "nTx": count,
        }
        if entry.height:
            shown["previousblockhash"] = display(header.parent_hash)
        following = self.ledger.entry_at(entry.height + 1)
        if following is not None and following.header.parent_hash == entry.hash:
            shown["nextblockhash"] = display(following.hash)
        if header.auxpow is not None:
            shown["auxpow"] = auxpow_json(self.prefix, header.auxpow)
        return shown

    # --- transactions ------------------------------------------------------------------------------------

    def find(self, txid: bytes) -> tuple[Transaction, Entry[Header]] | None:
        """Find a confirmed transaction by the index, with its block."""
        with self.ledger.snapshot() as snapshot:
            place = find_transaction(snapshot, TxHash(txid))
            if place is None:
                return None
            entry = self.ledger.ancestor(snapshot.head, place[0])
        return self._transaction_at(self.body_bytes(entry), place[1]), entry

    def find_in(self, txid: bytes, entry: Entry[Header]) -> Transaction | None:
        """Find a transaction in one block, without the index."""
        return next((tx for tx in self.body(entry).transactions if tx.txid == txid), None)

    def _transaction_at(self, body: bytes, position: int) -> Transaction:
        return next(iter(transactions_at(body, {position}).values()))

    def spent_by_block(self, block: Block) -> dict[OutPoint, Coin]:
        """Give every output that a block of the best chain spends. Raises TooMuchToRead."""
        return self.spent_by(block.transactions)

    def spent_by(self, transactions: Iterable[Transaction]) -> dict[OutPoint, Coin]:
        """Give the confirmed outputs that transactions spend, by the transaction index.

        What the index does not know is left out. Raises TooMuchToRead.
        """
        wanted: dict[int, dict[int, set[int]]] = {}
        view = self.ledger.view()
        for tx in transactions:
            if tx.is_coinbase:
                continue
            for item in tx.inputs:
                place = find_transaction(view, TxHash(item.outpoint[:32]))
                if place is not None:
                    outputs = wanted.setdefault(place[0], {}).setdefault(place[1], set())
                    outputs.add(int.from_bytes(item.outpoint[32:], "little"))
        return self._read_outputs(wanted)

    def _read_outputs(self, wanted: dict[int, dict[int, set[int]]]) -> dict[OutPoint, Coin]:
        found: dict[OutPoint, Coin] = {}
        budget = PREVOUT_BYTES
        for height, places in wanted.items():
            entry = self.ledger.entry_at(height)
            body = self.ledger.body_bytes(entry.hash) if entry is not None else None
            if body is None:  # the chain has moved under this call
                continue
            budget -= len(body)
            if budget < 0:
                raise TooMuchToRead
            for position, tx in transactions_at(body, set(places)).items():
                for index in places[position]:
                    if index < len(tx.outputs):
                        value, script = tx.outputs[index]
                        found[tx.outpoint(index)] = Coin(value, script, height, position == 0)
        return found

    def coins_of(self, tx: Transaction, found: dict[OutPoint, Coin]) -> Sequence[Coin] | None:
        """Give the outputs that a transaction spends, in input order; None if one is missing."""
        if tx.is_coinbase:
            return None
        coins = [found.get(item.outpoint) for item in tx.inputs]
        known = [coin for coin in coins if coin is not None]
        return known if len(known) == len(coins) else None


def transactions_at(body: bytes, positions: set[int]) -> dict[int, Transaction]:
    """Read some of a block's transactions, none behind the last that is wanted."""
    reader = Reader(body)
    Header.read(reader)
    count = reader.compact(len(body))
    found: dict[int, Transaction] = {}
    for position in range(min(count, max(positions) + 1)):
        tx = Transaction.read(reader)
        if position in positions:
            found[position] = tx
    return found
