"""The PoW chain's transactions and pool for the gossip (docs/protocol.md sections 3 and 9)."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.gossip.wire import Arrival, Fate, Gone, NotAsked, Result
from ioex_chain.pow import errors, policy
from ioex_chain.pow.errors import TransactionError
from ioex_chain.pow.ledger import PowLedger
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.packages import MempoolEntry
from ioex_chain.pow.policy import MissingInputs, fee_at
from ioex_chain.pow.pool_events import Left, PoolChange
from ioex_chain.pow.reserve_errors import SettlementError, StaleSettlement
from ioex_chain.pow.tip import Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import get_coin
from ioex_chain.primitives.errors import DecodeError, IoexError

_LATER = (errors.NotFinal, errors.Immature, errors.SequenceLocked, StaleSettlement)
"""Valid later, or on the sender's branch: nobody's fault."""


class _Chain(Protocol):
    ledger: Any
    mempool: Any


class PowPool:
    """`gossip.wire.PoolWire` of the PoW chain: ids are wtxids, names txids, rates units per 1,000 bytes."""

    def __init__(self, chain: _Chain) -> None:
        self._chain = chain

    @property
    def _pool(self) -> Mempool:
        pool: Mempool = self._chain.mempool
        return pool

    def __len__(self) -> int:
        return len(self._pool)

    def raw_id(self, raw: bytes) -> bytes:
        """Give the wtxid of bytes."""
        return sha256d(raw)

    def id(self, tx: Transaction) -> bytes:
        """Give the wtxid."""
        return tx.wtxid

    def name(self, tx: Transaction) -> bytes:
        """Give the txid."""
        return tx.txid

    def get(self, id_: bytes) -> MempoolEntry | None:
        """Give an entry by wtxid."""
        return self._pool.get_by_wtxid(id_)

    def get_named(self, name: bytes) -> MempoolEntry | None:
        """Give an entry by txid."""
        return self._pool.get(name)

    def entry_id(self, entry: MempoolEntry) -> bytes:
        """Give the wtxid."""
        return entry.wtxid

    def tx(self, entry: MempoolEntry) -> Transaction:
        """Give the transaction."""
        return entry.tx

    def sequence(self, entry: MempoolEntry) -> int:
        """Give the number of its arrival."""
        return entry.sequence

    def pays(self, entry: MempoolEntry, rate: int) -> bool:
        """Whether its fee reaches the rate, or no rate is asked of it: of a settlement."""
        return entry.settles is not None or entry.fee >= fee_at(rate, entry.size)

    def least_rate(self) -> int:
        """Give the least rate of the policy."""
        return self._pool.policy.min_relay_rate

    def watch(self, gone: Gone) -> None:
        """Tell of what leaves."""

        def hear(change: PoolChange) -> None:
            if change.left is not None:
                gone(change.entry.wtxid, change.entry.tx, change.left is Left.CONFIRMED)

        self._pool.subscribe(hear)

    def candidates(self) -> Iterable[Transaction]:
        """Give the pool's transactions."""
        return [entry.tx for entry in self._pool]

    def rate(self) -> int:
        """Give the least rate that comes in now."""
        return self._pool.min_rate()

    def best_first(self) -> list[bytes]:
        """Give the pool's wtxids, the best fee rate first, but no child before its parents."""
        return best_first(self._pool)

    def admit(self, arrivals: Sequence[Arrival]) -> list[Result]:
        """Give transactions to the pool, one after the other."""
        pool, tip = self._pool, Tip.of(self._ledger)
        return [_admit(arrival, pool, tip) for arrival in arrivals]

    @property
    def _ledger(self) -> PowLedger:
        ledger: PowLedger = self._chain.ledger
        return ledger

    def fate(self, error: IoexError) -> Fate:
        """Say what a refusal means."""
        if isinstance(error, NotAsked):
            return Fate.NOT_ASKED
        if isinstance(error, policy.AlreadyInPool):
            return Fate.KNOWN
        if isinstance(error, MissingInputs):
            return Fate.LACKS_PARENTS
        if isinstance(error, DecodeError):
            return Fate.MALFORMED
        if isinstance(error, policy.PolicyError):
            return Fate.POLICY
        if isinstance(error, _LATER):
            return Fate.LATER
        shown_wrongly = (errors.ScriptError, SettlementError)
        return Fate.INVALID_PROOF if isinstance(error, shown_wrongly) else Fate.INVALID


def best_first(pool: Mempool) -> list[bytes]:
    """Give the pool's wtxids, the best fee rate first, but no child before its parents."""
    ids: dict[bytes, None] = {}
    for entry in sorted(pool, key=lambda entry: (-entry.rate, entry.sequence)):
        if entry.parents:
            ids.update((ancestor.wtxid, None) for ancestor in pool.ancestors(entry))
        ids[entry.wtxid] = None
    return list(ids)


def _admit(arrival: Arrival, pool: Mempool, tip: Tip) -> Result:
    tx = arrival.tx
    try:
        if tx is None:
            tx = Transaction.decode(arrival.raw)
            if arrival.parents is not None and tx.txid not in arrival.parents:
                return Result(arrival, tx, NotAsked("it was neither announced nor asked for"))
        pool.add(tx, tip)
    except MissingInputs as error:
        return Result(arrival, tx, error, _missing(tx, pool, tip) if tx else ())
    except (TransactionError, DecodeError) as error:
        return Result(arrival, tx, error)
    return Result(arrival, tx)


def _missing(tx: Transaction, pool: Mempool, tip: Tip) -> tuple[bytes, ...]:
    """Give the parents that are not known, each once; none when one is known and has no such output."""
    missing: dict[bytes, None] = {}
    for item in tx.inputs:
        outpoint = item.outpoint
        if pool.output(outpoint) is not None or get_coin(tip.view, outpoint) is not None:
            continue
        if outpoint[:32] in pool:
            return ()
        missing[outpoint[:32]] = None
    return tuple(missing)
