"""What a new head does to the pool: blocks take transactions out, a reorganisation gives some back.

Bodies are read one at a time and the state is always the new head's, so that the depth of a reorganisation
costs time but no memory.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ioex_chain.ledger.errors import UnknownBlock
from ioex_chain.ledger.types import Entry, HeadChanged
from ioex_chain.pow import policy as rules
from ioex_chain.pow.consensus import check_spend, is_final
from ioex_chain.pow.errors import TransactionError
from ioex_chain.pow.header import Header
from ioex_chain.pow.machine import PowReceipt
from ioex_chain.pow.packages import MempoolEntry, Settles, in_order, with_descendants
from ioex_chain.pow.pool_events import Left, PoolChange
from ioex_chain.pow.reserve import reserve_state
from ioex_chain.pow.tip import Chain, Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import Coin, get_coin

if TYPE_CHECKING:
    from ioex_chain.pow.mempool import Mempool


def follow(pool: "Mempool", event: HeadChanged[Header, PowReceipt], chain: Chain) -> None:
    """Bring the pool from the old head to the new one."""
    detached = _detach(pool, event.disconnected[-1].height) if event.disconnected else []
    for connected in event.connected:
        _confirm(pool, connected.entry, chain)
    if event.disconnected:
        tip = Tip.of(chain)
        _drop_delayed(pool, tip)
        _give_back(pool, event.disconnected, chain, tip)
        _attach(pool, detached, tip)
    _check_settlement(pool, chain)
    pool.expire()


def _detach(pool: "Mempool", lowest: int) -> list[MempoolEntry]:
    """Take out what spends coins of the disconnected blocks, from `lowest` up, and all that hangs on it."""
    losing = with_descendants(entry for entry in pool if entry.spent_height >= lowest)
    ordered = in_order(losing)
    pool.remove_all(losing, Left.REORG, silent=losing)
    return ordered


def _attach(pool: "Mempool", detached: Sequence[MempoolEntry], tip: Tip) -> None:
    """Put back what still holds: its coins came back from the pool or from the new branch."""
    for entry in detached:
        try:
            pool.admit(pool.examine(entry.tx, tip, time=entry.time, returning=True), announce=False)
        except rules.AlreadyConfirmed:
            pool.tell(PoolChange(entry, Left.CONFIRMED))
        except TransactionError:
            pool.tell(PoolChange(entry, Left.REORG))


def _confirm(pool: "Mempool", entry: Entry[Header], chain: Chain) -> None:
    confirmed: list[MempoolEntry] = []
    if len(pool):  # while the chain is caught up with an empty pool, no body is read twice
        for tx in chain.body(entry.hash).transactions[1:]:
            found = pool.get(tx.txid)
            if found is not None:
                pool.confirm(found, entry.height)
                confirmed.append(found)
            else:
                _drop_conflicts(pool, tx)
    pool.block_seen(entry.height, confirmed)


def _drop_conflicts(pool: "Mempool", tx: Transaction) -> None:
    for item in tx.inputs:
        conflict = pool.spender(item.outpoint)
        if conflict is not None:
            pool.remove(conflict, Left.CONFLICT)


def _check_settlement(pool: "Mempool", chain: Chain) -> None:
    """Remove the pool's settlement if it holds no more on the head's state: another went before it."""
    entry = pool.settlement
    if entry is None or entry.settles is None:
        return
    tip = Tip.of(chain)
    state = reserve_state(tip.view)
    if entry.settles.holds(state):
        return
    coins = [coin for item in entry.tx.inputs if (coin := get_coin(tip.view, item.outpoint))]
    try:
        if len(coins) < len(entry.tx.inputs):
            raise rules.MissingInputs("the new branch has not all that it spends")
        done = pool.settlements.check(entry.tx, coins, state)
    except TransactionError:
        pool.remove(entry, Left.CONFLICT)
    else:
        entry.settles = Settles(done, state)


def _drop_delayed(pool: "Mempool", tip: Tip) -> None:
    """Remove what the next block may not carry any more: height or median time may have gone back."""
    for entry in list(pool):
        if pool.get(entry.txid) is not entry:
            continue
        if not is_final(entry.tx, tip.height, tip.median_time) or (
            entry.has_locks and not _is_spendable(pool, entry.tx, tip)
        ):
            pool.remove(entry, Left.REORG)


def _is_spendable(pool: "Mempool", tx: Transaction, tip: Tip) -> bool:
    coins = []
    for item in tx.inputs:
        output = pool.output(item.outpoint)
        coin = Coin(*output, tip.height, False) if output else get_coin(tip.view, item.outpoint)
        if coin is None:
            return False
        coins.append(coin)
    try:
        check_spend(pool.spec.pow, tx, coins, tip.height, tip.median_time, tip.median_time_at)
    except TransactionError:
        return False
    return True


def _give_back(pool: "Mempool", disconnected: Sequence[Entry[Header]], chain: Chain, tip: Tip) -> None:
    """Offer the disconnected blocks' transactions to the pool, oldest block first, up to a cap of bytes."""
    left = pool.policy.max_reconsidered
    for entry in reversed(disconnected):
        try:
            block = chain.body(entry.hash)
        except UnknownBlock:  # an operator's rollback forgets the bodies
            continue
        left -= block.size
        if left < 0:
            return
        for tx in block.transactions[1:]:
            try:
                pool.admit(pool.examine(tx, tip, returning=True))
            except TransactionError:  # confirmed on the new branch too, in conflict with it, or not standard
                continue
