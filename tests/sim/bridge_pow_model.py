"""What a PoW chain did to the bridge reserve, worked out from block bodies alone.

No rule of the program is asked but Bitcoin's format: outputs are told apart by their bytes. One row for each
block of the best chain, so that a reorganisation takes rows off.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

from ioex_chain.pow.block import Block
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN, BlockHash, OutPoint

from .bridge_pow import PowSide

DEPOSIT_HEAD = b"\x60\x20ioeX:deposit"
CHANGE = b"\x60\x20ioeX:reserve" + bytes(20)
GENESIS_AND_MINED = 24 * COIN


@dataclass(frozen=True, slots=True)
class Deposit:
    """An output that section 6 wants credited exactly once, when it is buried and proven."""

    txid: bytes
    vout: int
    account: bytes
    units: int
    height: int

    @property
    def name(self) -> tuple[bytes, int]:
        return self.txid, self.vout


@dataclass(frozen=True, slots=True)
class PowRow:
    """Totals since genesis after one block, and what this block brought. Amounts in PoW units."""

    hash: BlockHash
    height: int
    reserve: int
    minted: int
    """Sum of all coinbases less fees: what exists beyond genesis."""
    unclaimed: int
    """What miners left of 24 IOEX and fees."""
    supply: int
    """Sum of all unspent outputs."""
    donations: int
    rewards: int
    deposit_sum: int
    payouts: int
    """Paid by settlements, without fees."""
    fees: int
    """Fees of settlements."""
    settled: int
    """Withdrawals settled."""
    settlements: int
    deposits: tuple[Deposit, ...] = ()
    paid: tuple[tuple[int, bytes], ...] = ()
    """(units, script) of each withdrawal that this block settles, in order."""
    spent: tuple[tuple[OutPoint, int], ...] = ()
    created: tuple[tuple[OutPoint, int], ...] = ()


class PowModel:
    """Follows a ledger's best chain."""

    def __init__(self, side: PowSide) -> None:
        self._side = side
        self.rows: list[PowRow] = []
        self.coins: dict[OutPoint, int] = {}
        """The unspent reserve outputs."""
        self.deposits: dict[tuple[bytes, int], Deposit] = {}
        """Those on the best chain."""
        self.undone: Counter[str] = Counter()
        """What reorganisations took back."""
        genesis = side.chain.genesis
        base = PowRow(genesis.hash, 0, *([0] * 11))
        created = tuple(_reserve_outputs(genesis.transactions[0]))
        self.genesis_supply = sum(output.value for output in genesis.transactions[0].outputs)
        total = sum(value for _, value in created)
        self._push(replace(base, reserve=total, supply=self.genesis_supply, created=created))
        self.genesis_reserve = total

    @property
    def now(self) -> PowRow:
        return self.rows[-1]

    def follow(self) -> None:
        """Take rows off and put rows on until they are the ledger's best chain."""
        ledger = self._side.ledger
        while self.now.height > ledger.head.height or not self._is_best(self.now):
            self._pop()
        while self.now.height < ledger.head.height:
            entry = ledger.entry_at(self.now.height + 1)
            assert entry is not None
            self._push(self._row(self._side.blocks[entry.hash]))

    def _is_best(self, row: PowRow) -> bool:
        entry = self._side.ledger.entry_at(row.height)
        return entry is not None and entry.hash == row.hash

    def _push(self, row: PowRow) -> None:
        for outpoint, _ in row.spent:
            del self.coins[outpoint]
        self.coins.update(row.created)
        self.deposits.update({item.name: item for item in row.deposits})
        self.rows.append(row)

    def _pop(self) -> None:
        row = self.rows.pop()
        self.undone += Counter(deposits=len(row.deposits), withdrawals=len(row.paid))
        for outpoint, _ in row.created:
            self.coins.pop(outpoint, None)
        for outpoint, value in row.spent:
            self.coins[outpoint] = value
        for item in row.deposits:
            self.deposits.pop(item.name, None)

    def _row(self, block: Block) -> PowRow:
        before = self.now
        height = before.height + 1
        row = replace(before, hash=block.hash, height=height, deposits=(), paid=(), spent=(), created=())
        coinbase = block.transactions[0]
        row = self._with_coinbase(row, block, coinbase)
        coins = dict(self.coins)
        for tx in block.transactions[1:]:
            row = self._with_transaction(row, tx, coins)
        return row

    def _with_coinbase(self, row: PowRow, block: Block, coinbase: Transaction) -> PowRow:
        paid = sum(output.value for output in coinbase.outputs)
        fees = sum(self._side.chain.fee_of(tx) for tx in block.transactions[1:])
        created = tuple(_reserve_outputs(coinbase))
        reward = sum(value for _, value in created)
        assert reward == 20 * COIN
        return replace(
            row,
            reserve=row.reserve + reward,
            rewards=row.rewards + reward,
            minted=row.minted + GENESIS_AND_MINED,
            unclaimed=row.unclaimed + GENESIS_AND_MINED + fees - paid,
            supply=row.supply + paid - fees,
            created=created,
        )

    def _with_transaction(self, row: PowRow, tx: Transaction, coins: dict[OutPoint, int]) -> PowRow:
        spent = tuple((item.outpoint, coins[item.outpoint]) for item in tx.inputs if item.outpoint in coins)
        created = tuple(_reserve_outputs(tx))
        coins.update(created)
        taken, given = (sum(value for _, value in rows) for rows in (spent, created))
        row = replace(
            row,
            reserve=row.reserve + given - taken,
            # An output made and spent within the block is in neither list.
            spent=row.spent + tuple(item for item in spent if item not in row.created),
            created=tuple(item for item in row.created if item not in spent) + created,
        )
        for outpoint, _ in spent:
            del coins[outpoint]
        return self._with_settlement(row, tx, taken, given) if spent else self._with_payment(row, tx)

    def _with_settlement(self, row: PowRow, tx: Transaction, taken: int, given: int) -> PowRow:
        paid = tuple((out.value, out.script) for out in tx.outputs if out.script != CHANGE)
        payouts = sum(value for value, _ in paid)
        return replace(
            row,
            payouts=row.payouts + payouts,
            fees=row.fees + taken - given - payouts,
            settled=row.settled + len(paid),
            settlements=row.settlements + 1,
            paid=row.paid + paid,
        )

    def _with_payment(self, row: PowRow, tx: Transaction) -> PowRow:
        found = tuple(
            Deposit(tx.txid, at, out.script[14:], out.value, row.height)
            for at, out in enumerate(tx.outputs)
            if out.script[:14] == DEPOSIT_HEAD and out.value
        )
        donated = sum(out.value for out in tx.outputs if out.script == CHANGE)
        return replace(
            row,
            deposits=row.deposits + found,
            deposit_sum=row.deposit_sum + sum(item.units for item in found),
            donations=row.donations + donated,
        )


def _reserve_outputs(tx: Transaction) -> Iterator[tuple[OutPoint, int]]:
    for index, output in enumerate(tx.outputs):
        if output.script[:14] == DEPOSIT_HEAD or output.script == CHANGE:
            yield OutPoint(tx.txid + index.to_bytes(4, "little")), output.value


def txid_of(raw: bytes) -> bytes:
    """Give the id of a transaction's bytes without witness, as it is hashed."""
    return sha256(sha256(raw).digest()).digest()
