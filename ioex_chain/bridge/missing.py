"""What a reorganisation beyond k took away: credited deposits that are in no block of the best chain.

The Bridge closes both doors then (docs/protocol.md section 6.1); this names what the owner must look at. A
deposit that is mined again on the best chain is not missing.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ioex_chain.bridge.deposits import Deposit, find_deposits
from ioex_chain.ledger.errors import UnknownBlock
from ioex_chain.ledger.types import Entry
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.pow.ledger import PowLedger
from ioex_chain.primitives.types import BlockHash, TxHash


class Credited(Protocol):
    """What the Bridge credited in one state; `evm.bridge.BridgeReader` is one."""

    def is_credited(self, txid: bytes, vout: int) -> bool:
        """Whether an outpoint was credited."""
        ...


class MissingDeposit(NamedTuple):
    """A credited deposit that lost its block: that block's hash and height on its branch."""

    deposit: Deposit
    block: BlockHash
    height: int


def missing_deposits(ledger: PowLedger, credited: Credited) -> tuple[MissingDeposit, ...]:
    """Name the credited deposits that the best chain lacks, as far as this node has kept the blocks.

    Reads the bodies of all branches that were left, and of the best chain from the lowest fork on when there
    is something to look for: for an operator's question, not for every block.
    """
    found: dict[tuple[TxHash, int], MissingDeposit] = {}
    lowest = ledger.head.height
    for entry, block in _left(ledger):
        for _, deposit in find_deposits(block):
            if credited.is_credited(deposit.txid, deposit.vout):
                found[deposit.txid, deposit.vout] = MissingDeposit(deposit, entry.hash, entry.height)
                lowest = min(lowest, ledger.fork_point(entry, ledger.head).height)
    if found:
        again = _mined(ledger, lowest + 1, {txid for txid, _ in found})
        found = {name: missing for name, missing in found.items() if name[0] not in again}
    return tuple(sorted(found.values(), key=lambda missing: (missing.height, missing.deposit)))


def _left(ledger: PowLedger) -> Iterator[tuple[Entry[Header], Block]]:
    """Give every block off the best chain whose body is kept, each once."""
    seen: set[BlockHash] = set()
    for tip in ledger.tips():
        entry: Entry[Header] | None = tip
        while entry is not None and entry.hash not in seen and not ledger.is_on_best_chain(entry):
            seen.add(entry.hash)
            block = _body(ledger, entry)
            if block is not None:
                yield entry, block
            entry = entry.parent


def _mined(ledger: PowLedger, first: int, wanted: set[TxHash]) -> set[TxHash]:
    """Give those of the transactions that the best chain has at height `first` or above."""
    found: set[TxHash] = set()
    for height in range(first, ledger.head.height + 1):
        entry = ledger.entry_at(height)
        block = None if entry is None else _body(ledger, entry)
        if block is not None:
            found.update(tx.txid for tx in block.transactions if tx.txid in wanted)
    return found


def _body(ledger: PowLedger, entry: Entry[Header]) -> Block | None:
    try:
        return ledger.body(entry.hash)
    except UnknownBlock:
        return None
