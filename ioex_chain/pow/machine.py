"""What a PoW block does to the state: the ledger's StateMachine.

While transactions are applied one after the other here, their signatures are verified on other cores.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from ioex_chain.ledger.types import Entry, StateView
from ioex_chain.pow import errors
from ioex_chain.pow.block import Block
from ioex_chain.pow.coinbase import check_coinbase, check_coinbase_amount, find_commitment, witness_commitment
from ioex_chain.pow.consensus import check_spend, check_transaction, is_final, median_time_past
from ioex_chain.pow.header import Header
from ioex_chain.pow.reserve import (
    RESERVE_HEAD,
    ClosedReserve,
    ReserveBook,
    ReserveState,
    SettlementRule,
    Source,
    genesis_state,
    spends_reserve,
)
from ioex_chain.pow.script import DATA_HEAD, Check, SighashContext, check_input, classify
from ioex_chain.pow.transaction import Transaction
from ioex_chain.pow.utxo import (
    COIN_PREFIX,
    TRANSACTION_PREFIX,
    Coin,
    address_key,
    decode_coin,
    encode_coin,
    encode_median_time,
    get_median_time,
    median_time_key,
    spent_row,
    transaction_row,
)
from ioex_chain.pow.verifier import Verifier
from ioex_chain.primitives.merkle import merkle_root
from ioex_chain.spec.model import MAX_MONEY, NetworkSpec


@dataclass(frozen=True, slots=True)
class PowReceipt:
    """What connecting a block told: fees in PoW units, signature checks that it cost."""

    fees: int
    signatures: int


class VerifiedTransactions(Protocol):
    """Remembers which transactions' witnesses were checked, by wtxid.

    Sound as a cache: a wtxid covers the witnesses and, through the outpoints' ids, the outputs spent; what
    else a script asks (its locks) is in the transaction itself. A settlement is never asked for here: what it
    must show depends on the state.
    """

    def get(self, wtxid: bytes, /) -> int | None:
        """Give the signature checks of a transaction that was checked before, None for any other."""
        ...


class NothingVerified:
    """Knows no transaction."""

    def get(self, _wtxid: bytes, /) -> None:
        """Give None."""
        return


class PowMachine:
    """Checks bodies and applies them to the UTXO set."""

    def __init__(
        self,
        spec: NetworkSpec,
        *,
        workers: Executor | None = None,
        verified: VerifiedTransactions | None = None,
        indexes: bool = True,
        settlements: SettlementRule | None = None,
    ) -> None:
        """`workers` verifies signatures beside this thread; `indexes` keeps address and transaction rows.

        `settlements` says what may spend the bridge reserve; without it nothing may.
        """
        self.spec = spec
        self.settlements = ClosedReserve() if settlements is None else settlements
        self.workers = workers
        self.verified = NothingVerified() if verified is None else verified
        self.indexes = indexes

    def check_block(self, block: Block) -> None:
        """Check the body against its header, without state. Raises MutatedBlock or PowBlockError."""
        check_body(self.spec, block)

    def connect(self, block: Block, entry: Entry[Header], view: StateView) -> PowReceipt:
        """Apply the block at `entry` to `view`. Raises PowBlockError."""
        parent = entry.parent
        if parent is None:
            return self._connect_genesis(block, view)
        median = median_time_past(parent)
        coinbase = block.transactions[0]
        check_coinbase(self.spec, coinbase, entry.height)
        if not is_final(coinbase, entry.height, median):
            raise errors.BlockTransactionError(0, errors.NotFinal("the coinbase's lock time is not reached"))
        applied = _Application(self, view, entry.height, median)
        for index, tx in enumerate(block.transactions[1:], 1):
            try:
                applied.spend(index, tx)
            except errors.TransactionError as cause:
                raise errors.BlockTransactionError(index, cause) from cause
        if applied.fees > MAX_MONEY:
            raise errors.CoinbaseTooMuch(f"the block's fees sum to {applied.fees}")
        check_coinbase_amount(self.spec, coinbase, applied.fees)
        applied.create(0, coinbase, Source.COINBASE)
        applied.reserve.save()
        view.create(median_time_key(entry.height), encode_median_time(median_time_past(entry)))
        applied.verify()
        return PowReceipt(applied.fees, applied.signatures)

    def _connect_genesis(self, block: Block, view: StateView) -> PowReceipt:
        applied = _Application(self, view, 0, 0, genesis_state(self.spec))
        applied.create(0, block.transactions[0], Source.GENESIS)
        applied.reserve.save()
        view.create(median_time_key(0), encode_median_time(block.header.time))
        return PowReceipt(0, 0)


class _Application:
    """One block on its way into the state."""

    __slots__ = (
        "fees",
        "height",
        "indexes",
        "median_time",
        "owners",
        "reserve",
        "signatures",
        "spec",
        "verified",
        "verifier",
        "view",
    )

    def __init__(
        self,
        machine: PowMachine,
        view: StateView,
        height: int,
        median_time: int,
        reserve: ReserveState | None = None,
    ) -> None:
        """`reserve` is the bridge reserve to begin with at genesis; after that it is in the state."""
        self.spec = machine.spec.pow
        self.verified = machine.verified
        self.indexes = machine.indexes
        self.verifier = Verifier(machine.workers)
        self.view = view
        self.height = height
        self.median_time = median_time
        self.reserve = ReserveBook(view, machine.settlements, height, reserve)
        self.owners: list[int] = []
        self.fees = 0
        self.signatures = 0

    def spend(self, index: int, tx: Transaction) -> None:
        """Check and apply transaction `index`; its signatures go to the verifier."""
        get = self.view.get
        rows = []
        for position, item in enumerate(tx.inputs):
            row = get(COIN_PREFIX + item.outpoint)
            if row is None:
                raise errors.MissingInput(
                    f"input {position} spends an output that does not exist or is spent"
                )
            rows.append(row)
        coins = [decode_coin(row) for row in rows]
        self.fees += check_spend(self.spec, tx, coins, self.height, self.median_time, self._median_time_at)
        source = Source.TRANSACTION
        if spends_reserve(coins):  # whatever else it is, it must be a settlement
            self._count_checks(self.reserve.settle(tx, coins).checks)
            source = Source.SETTLEMENT
        else:
            self._check_scripts(index, tx, coins)
        self._remove(tx, coins, rows)
        self.create(index, tx, source)

    def _median_time_at(self, height: int) -> int:
        return get_median_time(self.view, height)

    def _check_scripts(self, index: int, tx: Transaction, coins: Sequence[Coin]) -> None:
        checks: list[Check] = []
        known = self.verified.get(tx.wtxid)
        self._count_checks(collect_checks(tx, coins, checks) if known is None else known)
        if checks:
            self.verifier.add(checks)
            self.owners += [index] * len(checks)

    def _count_checks(self, checks: int) -> None:
        self.signatures += checks
        if self.signatures > self.spec.max_block_signatures:
            raise errors.TooManySignatures(f"more than {self.spec.max_block_signatures} signature checks")

    def _remove(self, tx: Transaction, coins: Sequence[Coin], rows: Sequence[bytes]) -> None:
        swap, height, txid = self.view.swap, self.height, tx.txid
        for position, item in enumerate(tx.inputs):
            row = rows[position]
            swap(COIN_PREFIX + item.outpoint, row, None)
            if self.indexes:
                coin = coins[position]
                key = address_key(coin.script, coin.height, item.outpoint)
                swap(key, row[:12], spent_row(row, txid, position, height))

    def create(self, index: int, tx: Transaction, source: Source) -> None:
        """Add the outputs of transaction `index`; one that nobody can ever spend is not kept."""
        swap, height, txid, indexes = self.view.swap, self.height, tx.txid, self.indexes
        is_coinbase = index == 0
        for position, (value, script) in enumerate(tx.outputs):
            if script[:1] == DATA_HEAD:
                continue
            outpoint = txid + position.to_bytes(4, "little")
            row = encode_coin(value, script, height, is_coinbase)
            swap(COIN_PREFIX + outpoint, None, row)
            if script[:1] == RESERVE_HEAD:
                self.reserve.create(outpoint, value, script, source)
            if indexes:
                swap(address_key(script, height, outpoint), None, row[:12])
        if indexes:
            swap(TRANSACTION_PREFIX + txid, None, transaction_row(height, index))

    def verify(self) -> None:
        """Wait for the signatures. Raises BlockTransactionError for the first that is wrong."""
        failed = self.verifier.first_failure()
        if failed is not None:
            index = self.owners[failed]
            cause = errors.SignatureWrong(f"a signature of transaction {index} does not verify")
            raise errors.BlockTransactionError(index, cause)


def collect_checks(tx: Transaction, coins: Sequence[Coin], checks: list[Check]) -> int:
    """Append the signature checks of all inputs; give what they cost. Raises a TransactionError."""
    context = SighashContext(tx, coins)
    cost = 0
    for position, coin in enumerate(coins):
        form = classify(coin.script)
        if form is None:
            raise errors.ScriptFormClosed(f"input {position}: this output can never be spent")
        cost += check_input(context, position, form, checks)
    return cost


def check_body(spec: NetworkSpec, block: Block) -> None:
    """Check a body against its header, without state. Raises MutatedBlock or PowBlockError."""
    transactions, limits = block.transactions, spec.pow
    check_merkle(block)
    if not transactions or not transactions[0].is_coinbase:
        raise errors.NoCoinbase("the first transaction is not a coinbase")
    check_witness_commitment(block)
    if block.size > limits.max_block_size or len(transactions) > limits.max_block_transactions:
        raise errors.BlockTooLarge(f"{block.size} bytes, {len(transactions)} transactions")
    for index, tx in enumerate(transactions):
        if index and tx.is_coinbase:
            raise errors.ManyCoinbases(f"transaction {index} is a coinbase too")
        try:
            check_transaction(limits, tx)
        except errors.TransactionError as cause:
            raise errors.BlockTransactionError(index, cause) from cause


def check_merkle(block: Block) -> None:
    """Check that the transactions are those of the header. Raises MutatedBlock."""
    if any(tx.stripped_size == 64 for tx in block.transactions):
        raise errors.NodeSizedTransaction("a transaction of 64 bytes may be an inner node of the Merkle tree")
    leaves: list[bytes] = [tx.txid for tx in block.transactions] or [bytes(32)]
    root, mutated = merkle_root(leaves)
    if root != block.header.merkle_root:
        raise errors.WrongMerkleRoot("the transactions do not hash to the header's Merkle root")
    if mutated:
        raise errors.DuplicateTransactions("the transaction list repeats itself (CVE-2012-2459)")


def check_witness_commitment(block: Block) -> None:
    """Check that the witnesses are those of the coinbase. Raises MutatedBlock or NoWitnessCommitment."""
    coinbase = block.transactions[0]
    commitment = find_commitment(coinbase)
    if commitment is None:
        raise errors.NoWitnessCommitment("the coinbase carries no witness commitment")
    witness = coinbase.inputs[0].witness
    if len(witness) != 1 or len(witness[0]) != 32:
        raise errors.WitnessNonceSize("the coinbase's witness is not one item of 32 bytes")
    if witness_commitment(block.transactions, witness[0]) != commitment:
        raise errors.WrongWitnessCommitment("the witnesses do not hash to the coinbase's commitment")
