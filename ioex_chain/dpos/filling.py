"""How a producer fills its block: one transaction after the other, while there is room and time."""

from collections.abc import Callable, Iterable

from ioex_chain.dpos.execution import Execution
from ioex_chain.dpos.mempool_select import RLP_OVERHEAD, Offers
from ioex_chain.evm.errors import (
    ExecutionGasReached,
    GasLimitReached,
    HeavierThanPaid,
    InvalidTransaction,
    NonceTooHigh,
)
from ioex_chain.evm.transactions import GAS_TRANSACTION
from ioex_chain.evm.types import Transaction

CROWDED = 64
"""Transactions without room after which no more of their kind are tried."""


def fill(
    run: Execution, transactions: Iterable[Transaction], room: int, most: int, go_on: Callable[[], bool]
) -> tuple[list[Transaction], list[tuple[Transaction, InvalidTransaction]]]:
    """Take transactions while there is room: `room` bytes, `most` of them; larger ones are skipped.

    Gives those taken, and those that may not stand on this state with the reason. A sender's later ones go
    with one that is skipped: that their nonce is too high is not their fault. When many found no gas left,
    only what can be a plain transfer is tried, so that a full pool costs no time. One of `Offers` that turns
    out to need much more execution gas than it pays for is offered again when its turn has come
    (docs/protocol.md section 4.6).
    """
    offers = transactions if isinstance(transactions, Offers) else None
    taken: list[Transaction] = []
    rejected: list[tuple[Transaction, InvalidTransaction]] = []
    without_room = 0
    for tx in transactions:
        if len(taken) == most or not go_on():
            break
        size = len(tx.raw) + RLP_OVERHEAD
        error = None
        if size <= room and (without_room < CROWDED or tx.gas <= GAS_TRANSACTION):
            error = _try(run, tx, None if offers is None else offers.times)
            if error is None:
                taken.append(tx)
                room -= size
                continue
        if offers is not None and isinstance(error, HeavierThanPaid):
            offers.heavier(error.times)
            continue
        if isinstance(error, GasLimitReached | ExecutionGasReached):
            without_room += 1
        elif error is not None and not isinstance(error, NonceTooHigh):
            rejected.append((tx, error))
        if offers is not None:
            offers.skip()
    return taken, rejected


def _try(run: Execution, tx: Transaction, times: int | None) -> InvalidTransaction | None:
    try:
        run.try_transaction(tx, times)
    except InvalidTransaction as error:
        return error
    return None
