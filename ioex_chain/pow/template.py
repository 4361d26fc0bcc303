"""Blocks to be mined: what stands in them, and the header to search for a nonce (docs/protocol.md section 3).

`TemplateBuilder.build` chooses transactions; a `Template` is that choice on one head; a `Job` is a template
with a payout script, whose extra nonce, time and nonce are still free.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from ioex_chain.pow.block import Block
from ioex_chain.pow.coinbase import build_coinbase, commitment_of
from ioex_chain.pow.consensus import is_final
from ioex_chain.pow.difficulty import next_bits, target_of
from ioex_chain.pow.errors import BlockTransactionError, TransactionError
from ioex_chain.pow.header import AUXPOW_BIT, Header
from ioex_chain.pow.machine import PowReceipt, collect_checks
from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.pool_events import Left
from ioex_chain.pow.selection import Limits, select
from ioex_chain.pow.tip import Chain, Tip
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import Coin, get_coin
from ioex_chain.primitives.clock import Clock
from ioex_chain.primitives.errors import IoexError
from ioex_chain.primitives.merkle import branch_root, merkle_branch
from ioex_chain.primitives.types import BlockHash, OutPoint
from ioex_chain.spec.model import NetworkSpec

NATIVE_VERSION = 0x2000_0000
"""Version of a native header: bit 8 (AuxPoW) clear; all other bits are free for version rolling."""
EXTRA_NONCE_SIZE = 9
"""Bytes of a coinbase script that the extra nonce takes: a push of 8."""
_CHECK_SCRIPT = b"\x6a"
"""Where a template that is only checked pays: nowhere."""
_MAX_REBUILDS = 10
_DERIVED = ("fees", "transactions", "commitment", "branch")
"""What a template works out of its transactions alone, once."""


class TemplateRefused(IoexError):
    """The pool gave transactions that the chain refuses, again and again: a fault of this program."""


class TemplateTransaction(NamedTuple):
    """A transaction of a template; `depends` are the places (from 1) of those before it that it spends."""

    tx: Transaction
    fee: int
    checks: int
    depends: tuple[int, ...] = ()


@dataclass(frozen=True)
class Template:
    """A choice of transactions for the block after `parent_hash`. Fees in units, times in Unix seconds."""

    spec: NetworkSpec
    parent_hash: BlockHash
    height: int
    bits: int
    min_time: int
    """The least time that the rules allow: one after the head's median."""
    max_time: int
    """The largest time that other nodes' clocks let pass, as ours is now."""
    time: int
    entries: tuple[TemplateTransaction, ...]
    pool_version: int = 0
    """`Mempool.version` when it was made."""

    @cached_property
    def fees(self) -> int:
        """Sum of the fees, which the coinbase adds to 4 IOEX."""
        return sum(entry.fee for entry in self.entries)

    @property
    def target(self) -> int:
        """The number that the header's hash, read little-endian, may not exceed."""
        return target_of(self.bits)

    @cached_property
    def transactions(self) -> tuple[Transaction, ...]:
        """The transactions without the coinbase."""
        return tuple(entry.tx for entry in self.entries)

    @cached_property
    def commitment(self) -> bytes:
        """The witness commitment: the same in every coinbase, whomever it pays."""
        return commitment_of(self.transactions)

    @cached_property
    def branch(self) -> tuple[bytes, ...]:
        """The Merkle branch of the coinbase, lowest sibling first."""
        return tuple(merkle_branch([bytes(32), *(tx.txid for tx in self.transactions)], 0))

    def at_time(self, time: int, max_time: int) -> "Template":
        """Give the same choice at a later time; what was worked out of it stays worked out."""
        later = replace(self, time=time, max_time=max_time)
        later.__dict__.update({name: vars(self)[name] for name in _DERIVED if name in vars(self)})
        return later

    def coinbase(self, payout_script: bytes, extra: bytes = b"") -> Transaction:
        """Make a coinbase that pays 4 IOEX and the fees to `payout_script`; `extra` is at most 90 bytes."""
        return build_coinbase(
            self.spec, self.height, payout_script, self.fees, self.transactions, extra, self.commitment
        )

    def job(self, payout_script: bytes, extra: bytes = b"") -> "Job":
        """Make it ready to be mined; `extra` (a tag, at most 82 bytes) stands before the extra nonce."""
        return Job(self, self.coinbase(payout_script, extra))

    def to_block(self, payout_script: bytes, extra_nonce: int = 0, nonce: int = 0) -> Block:
        """Give the block with these nonces at the template's time."""
        return self.job(payout_script).block(extra_nonce, nonce)


@dataclass(frozen=True)
class Job:
    """A template and its coinbase, without an extra nonce."""

    template: Template
    base: Transaction

    def coinbase(self, extra_nonce: int) -> Transaction:
        """Give the coinbase with an extra nonce (8 bytes) at the end of its script."""
        item = self.base.inputs[0]
        script = item.script + b"\x08" + extra_nonce.to_bytes(8, "little")
        return Transaction.build(
            self.base.version, [item._replace(script=script)], self.base.outputs, self.base.lock_time
        )

    def header(
        self, extra_nonce: int, *, time: int | None = None, version: int = NATIVE_VERSION, nonce: int = 0
    ) -> Header:
        """Give the header: 14 hashes, whatever the block's size."""
        template = self.template
        return Header.build(
            version,
            template.parent_hash,
            branch_root(self.coinbase(extra_nonce).txid, template.branch, 0),
            template.time if time is None else time,
            template.bits,
            nonce,
        )

    def block(
        self, extra_nonce: int, nonce: int = 0, *, time: int | None = None, version: int = NATIVE_VERSION
    ) -> Block:
        """Give the whole block."""
        header = self.header(extra_nonce, time=time, version=version, nonce=nonce)
        return self.block_with(header, extra_nonce)

    def block_with(self, header: Header, extra_nonce: int) -> Block:
        """Give the whole block under a header that was found (solved, rolled, or with an AuxPoW record)."""
        return Block.build(header, [self.coinbase(extra_nonce), *self.template.transactions])


def merged_version(spec: NetworkSpec) -> int:
    """Give the header version of a merged-mined block: our chain id and bit 8."""
    return spec.pow.auxpow_chain_id << 16 | AUXPOW_BIT


class TemplateBuilder:
    """Makes templates on the chain's head from a pool. Belongs to the ledger's thread."""

    def __init__(
        self, spec: NetworkSpec, chain: Chain, pool: Mempool, clock: Clock, *, min_rate: int = 0
    ) -> None:
        """Take packages of at least `min_rate` units per 1,000 bytes."""
        self.spec = spec
        self._chain = chain
        self._pool = pool
        self._clock = clock
        self._limits = Limits.of(spec.pow, min_rate)

    def build(self, *, check: bool = True) -> Template:
        """Choose the best-paying transactions.

        With `check` the chain executes the block before it is handed out. A transaction that it refuses
        is removed from the pool, and the choice made again. Raises TemplateRefused.
        """
        for _ in range(_MAX_REBUILDS):
            template = self._template(self._choose())
            if not check:
                return template
            try:
                self._preview(template)
            except BlockTransactionError as refused:
                self._expel(template, refused.index)
            else:
                return template
        raise TemplateRefused("no valid block could be made from the pool; restart the node and report this")

    def build_with(self, transactions: Sequence[Transaction]) -> Template:
        """Take these transactions, in this order, wherever they come from (generateblock).

        Raises InvalidBlock if they do not make a valid block.
        """
        view, made = self._chain.view(), dict[OutPoint, Coin]()
        entries = []
        for tx in transactions:
            coins = [made.get(item.outpoint) or get_coin(view, item.outpoint) for item in tx.inputs]
            entries.append(_measure(tx, [coin for coin in coins if coin]))
            made |= {tx.outpoint(index): Coin(*output, 0, False) for index, output in enumerate(tx.outputs)}
        template = self._template(_with_depends(entries))
        self._preview(template)
        return template

    def empty(self) -> Template:
        """Take nothing: what to mine at once on a new head while a full template is made."""
        return self._template(())

    def _choose(self) -> tuple[TemplateTransaction, ...]:
        tip = Tip.of(self._chain)
        chosen = [
            entry
            for entry in select(self._pool, self._limits, self._pool.settlement)
            if is_final(entry.tx, tip.height, tip.median_time)
        ]
        places: dict[bytes, int] = {entry.tx.txid: place for place, entry in enumerate(chosen, 1)}
        return tuple(
            TemplateTransaction(
                entry.tx, entry.fee, entry.checks, _depends(entry.tx, places) if entry.parents else ()
            )
            for entry in chosen
        )

    def _template(self, entries: tuple[TemplateTransaction, ...]) -> Template:
        tip = Tip.of(self._chain)
        head, spec, now = tip.entry, self.spec.pow, self._clock.now()
        return Template(
            spec=self.spec,
            parent_hash=head.hash,
            height=tip.height,
            bits=next_bits(spec, head.height, head.header.time),
            min_time=tip.median_time + 1,
            max_time=now + spec.max_future,
            time=max(tip.median_time + 1, now),
            entries=entries,
            pool_version=self._pool.version,
        )

    def _preview(self, template: Template) -> PowReceipt:
        return self._chain.preview(template.to_block(_CHECK_SCRIPT))

    def _expel(self, template: Template, index: int) -> None:
        entry = self._pool.get(template.transactions[index - 1].txid)
        if entry is not None:
            self._pool.remove(entry, Left.CONFLICT)


def _measure(tx: Transaction, coins: Sequence[Coin]) -> TemplateTransaction:
    """Give fee and checks of a transaction that may be wrong; the preview says so."""
    fee = sum(coin.value for coin in coins) - sum(output.value for output in tx.outputs)
    checks = 0
    if len(coins) == len(tx.inputs):
        with suppress(TransactionError):
            checks = collect_checks(tx, coins, [])
    return TemplateTransaction(tx, max(0, fee), checks)


def _with_depends(entries: Sequence[TemplateTransaction]) -> tuple[TemplateTransaction, ...]:
    places: dict[bytes, int] = {entry.tx.txid: place for place, entry in enumerate(entries, 1)}
    return tuple(entry._replace(depends=_depends(entry.tx, places)) for entry in entries)


def _depends(tx: Transaction, places: dict[bytes, int]) -> tuple[int, ...]:
    return tuple(sorted({places[item.outpoint[:32]] for item in tx.inputs if item.outpoint[:32] in places}))
