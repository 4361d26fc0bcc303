"""What the mempool holds of an address. The pool has no index by script, so these walk it.

For the chain's worker thread, which the pool belongs to.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.packages import MempoolEntry
from ioex_chain.pow.utxo import Reads, get_coin
from ioex_chain.primitives.types import OutPoint


class PoolOutput(NamedTuple):
    """An output of a transaction that waits in the pool."""

    entry: MempoolEntry
    outpoint: OutPoint
    value: int
    script: bytes


class PoolSpend(NamedTuple):
    """An input of a transaction that waits in the pool, with what it spends."""

    entry: MempoolEntry
    vin: int
    outpoint: OutPoint
    value: int
    script: bytes


def pool_outputs(mempool: Mempool, scripts: Collection[bytes]) -> Iterator[PoolOutput]:
    """Give the pool's outputs that pay one of `scripts`."""
    for entry in mempool:
        for index, (value, script) in enumerate(entry.tx.outputs):
            if script in scripts:
                yield PoolOutput(entry, entry.tx.outpoint(index), value, script)


def pool_spends(mempool: Mempool, view: Reads, scripts: Collection[bytes]) -> Iterator[PoolSpend]:
    """Give the pool's inputs that spend an output paying one of `scripts`."""
    for entry in mempool:
        for vin, item in enumerate(entry.tx.inputs):
            output = spent_output(mempool, view, item.outpoint)
            if output is not None and output[1] in scripts:
                yield PoolSpend(entry, vin, item.outpoint, *output)


def spent_output(mempool: Mempool, view: Reads, outpoint: OutPoint) -> tuple[int, bytes] | None:
    """Give (value, script) of an output of the state or of the pool."""
    coin = get_coin(view, outpoint)
    if coin is not None:
        return coin.value, coin.script
    output = mempool.output(outpoint)
    return None if output is None else (output.value, output.script)
