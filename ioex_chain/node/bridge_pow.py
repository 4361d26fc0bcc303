"""The PoW chain as the bridge's view reads it: deposits, their places, the reserve after any kept block."""

from collections import OrderedDict
from threading import Lock

from ioex_chain.bridge.deposits import BlockProofs
from ioex_chain.bridge.solvency import PowFigures
from ioex_chain.crypto.address import DEPOSIT_TAG
from ioex_chain.evm.bridge_messages import DepositProof
from ioex_chain.evm.types import WEI_PER_POW_UNIT
from ioex_chain.ledger.errors import UndoMissing, UnknownBlock
from ioex_chain.ledger.types import Entry, Readable
from ioex_chain.pow.header import Header
from ioex_chain.pow.ledger import PowHeadChanged, PowLedger
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.reserve import ReserveState, SettlementRecord, reserve_state, settlement_of
from ioex_chain.pow.script import Form, classify
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import get_coin
from ioex_chain.primitives.types import BlockHash, OutPoint
from ioex_chain.rpc.bridge_port import PowPlace
from ioex_chain.rpc.pow.reader import ChainReader
from ioex_chain.spec.model import NetworkSpec

_REMEMBERED = 256
_SCRIPT_HEAD = 2 + len(DEPOSIT_TAG)
"""Bytes of a deposit script before the account."""


class Reserves:
    """Reserve figures by block, remembered: those of a buried block are asked for again and again."""

    def __init__(self, ledger: PowLedger) -> None:
        self._ledger = ledger
        self._known: OrderedDict[bytes, PowFigures] = OrderedDict()
        self._lock = Lock()

    def of(self, entry: Entry[Header], view: Readable) -> PowFigures:
        """Give the figures after a block whose state `view` is."""
        found = self._known.get(entry.hash)
        if found is None:
            found = _figures(entry, reserve_state(view))
            with self._lock:
                self._known[entry.hash] = found
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return found

    def at(self, entry: Entry[Header], *, quick: bool = False) -> PowFigures | None:
        """Give the figures after a block of the best chain; None when they are not kept any more.

        `quick` opens no past state: what is not remembered is not given.
        """
        found = self._known.get(entry.hash)
        if found is not None or quick:
            return found
        try:
            past = self._ledger.state_at(entry)
        except (UndoMissing, UnknownBlock):
            return None
        with past:
            return self.of(entry, past)


def _figures(entry: Entry[Header], state: ReserveState) -> PowFigures:
    unit = WEI_PER_POW_UNIT
    return PowFigures(
        hash=entry.hash,
        height=entry.height,
        reserve=unit * state.reserve,
        genesis=unit * state.genesis,
        rewards=unit * state.rewards,
        deposits=unit * state.deposits,
        donations=unit * state.donations,
        settled=unit * state.settled,
        count=state.count,
        accumulator=state.accumulator,
    )


class PowSide:
    """Reads the PoW ledger; from any thread."""

    def __init__(self, spec: NetworkSpec, ledger: PowLedger, mempool: Mempool, indexes: bool) -> None:
        self.ledger = ledger
        self.reserves = Reserves(ledger)
        self._mempool = mempool
        self._reader = ChainReader(spec, ledger, indexes)
        self._indexes = indexes

    def find(self, txid: bytes, vout: int | None) -> tuple[Transaction, Entry[Header] | None] | None:
        """Find a transaction in a block or in the mempool (None for the block).

        Without the transaction index only one whose output `vout` is unspent is found in a block.
        """
        pooled = self._mempool.get(txid)
        found = self._reader.find(txid) if self._indexes else self._by_coin(txid, vout)
        if found is None and pooled is None:
            pooled = self._mempool.get(txid)  # a reorganisation may just have brought it back
        return found if found is not None else None if pooled is None else (pooled.tx, None)

    def _by_coin(self, txid: bytes, vout: int | None) -> tuple[Transaction, Entry[Header]] | None:
        with self.ledger.snapshot() as view:
            coin = get_coin(view, OutPoint(txid + (vout or 0).to_bytes(4, "little")))
            entry = None if coin is None else self.ledger.ancestor(view.head, coin.height)
        tx = None if entry is None else self._reader.find_in(txid, entry)
        return None if tx is None or entry is None else (tx, entry)

    def head_changed(self, event: PowHeadChanged) -> None:
        """Remember the figures of each head, so that they are at hand when it is buried."""
        with self.ledger.snapshot() as view:
            if view.head.hash == event.head.hash:
                self.reserves.of(view.head, view)

    def place(self, entry: Entry[Header]) -> PowPlace:
        """Say where a block of the best chain stands."""
        return PowPlace(entry.hash, entry.height, max(0, self.ledger.head.height - entry.height + 1))

    def at(self, hash_: bytes) -> Entry[Header] | None:
        """Find a block on any branch."""
        return self.ledger.entry(BlockHash(hash_))

    def prove(self, entry: Entry[Header], txid: bytes, vout: int) -> DepositProof:
        """Prove an output of a transaction of a stored block. Raises UnknownBlock."""
        block = self.ledger.body(entry.hash)
        index = next(at for at, tx in enumerate(block.transactions) if tx.txid == txid)
        return BlockProofs(block).prove(index, vout)

    def settlement(self, number: int) -> tuple[SettlementRecord, PowPlace] | None:
        """Find the settlement of a request; None while it is not settled."""
        with self.ledger.snapshot() as view:
            found = settlement_of(view, number)
            if found is None:
                return None
            entry = self.ledger.ancestor(view.head, found.height)
            return found, PowPlace(entry.hash, entry.height, view.head.height - entry.height + 1)

    def reserve(self) -> ReserveState:
        """Give the reserve's row at the head."""
        return reserve_state(self.ledger.view())


def account_of(tx: Transaction, vout: int) -> bytes | None:
    """Give the account that an output credits; None when it pays no deposit address."""
    if vout >= len(tx.outputs) or classify(tx.outputs[vout].script) is not Form.DEPOSIT:
        return None
    return tx.outputs[vout].script[_SCRIPT_HEAD:]
