"""A chain for wallet tests: real blocks in a real ledger, a mempool that keeps the consensus rules."""

from collections.abc import Iterator, Sequence

from chaingen.builder import ChainBuilder
from chaingen.harness import open_ledger
from chaingen.specs import key, network, story_spec

from ioex_chain.pow.block import Block
from ioex_chain.pow.consensus import check_spend, check_transaction
from ioex_chain.pow.policy import Policy, check_standard, fee_at
from ioex_chain.pow.transaction import Transaction, TxOut
from ioex_chain.pow.utxo import Coin as ChainCoin
from ioex_chain.primitives.types import COIN, OutPoint, TxHash
from ioex_chain.spec.model import Allocation, NetworkSpec
from ioex_chain.wallet.book import ScriptBook
from ioex_chain.wallet.coins import Activity, Coin, Tip
from ioex_chain.wallet.errors import ChainUnavailable
from ioex_chain.wallet.hd import MasterKey, Purpose
from ioex_chain.wallet.signing import KeyRing, check_witnesses, extract_transaction, finalize_psbt, sign_psbt
from ioex_chain.wallet.utxo_wallet import UtxoWallet

MNEMONIC = "legal winner thank year wave sausage worth useful legal winner thank yellow"
OTHER_MNEMONIC = "letter advice cage absurd amount doctor acoustic avoid letter advice cage above"
RATE = 2_000


class FakeChain:
    """A ChainSource over a builder's blocks; `mine` takes the mempool into a block."""

    def __init__(self, spec: NetworkSpec) -> None:
        self.builder = ChainBuilder(spec)
        self.ledger = open_ledger(self.builder)
        self.blocks: list[Block] = [self.builder.genesis]
        self.pool: list[Transaction] = []
        self.rate: int | None = RATE

    # --- the test's side ---------------------------------------------------------------------------------

    def mine(self, count: int = 1, time: int | None = None, payout: bytes | None = None) -> Block:
        """Mine blocks on the tip; the first takes the mempool. `time` moves the clock of all of them."""
        for _ in range(count):
            when = None if time is None else max(time, self.builder.next_time(self.blocks[-1]))
            block = self.builder.block(self.blocks[-1], self.pool, time=when, payout=payout)
            self.ledger.accept_block(block)
            assert self.ledger.head.hash == block.hash
            self.blocks.append(block)
            self.pool = []
        return self.blocks[-1]

    def pay(self, script: bytes, *values: int) -> Transaction:
        """Pay a script from a genesis coin and leave it in the mempool."""
        tx = self.builder.spend(self.builder.take(), [(value, script) for value in values], fee=1_000)
        self.pool.append(tx)
        return tx

    # --- ChainSource -------------------------------------------------------------------------------------

    def tip(self) -> Tip:
        return Tip(len(self.blocks) - 1, self.builder.median_time(self.blocks[-1]))

    def median_time(self, height: int) -> int:
        return self.builder.median_time(self.blocks[height])

    def coins(self, scripts: Sequence[bytes]) -> list[Coin]:
        spent = {item.outpoint for _, _, tx in self._all() for item in tx.inputs}
        return [
            Coin(tx.outpoint(index), output.value, output.script, height, first)
            for height, first, tx in self._all()
            for index, output in enumerate(tx.outputs)
            if output.script in set(scripts) and tx.outpoint(index) not in spent
        ]

    def activity(self, scripts: Sequence[bytes]) -> list[Activity]:
        made = {tx.outpoint(n): out for _, _, tx in self._all() for n, out in enumerate(tx.outputs)}
        found = []
        for height, _, tx in self._all():
            touched = [out.script for out in tx.outputs]
            touched += [made[item.outpoint].script for item in tx.inputs if item.outpoint in made]
            found += [Activity(script, tx.txid, height) for script in touched if script in set(scripts)]
        return found

    def transaction(self, txid: TxHash) -> Transaction:
        for _, _, tx in self._all():
            if tx.txid == txid:
                return tx
        raise ChainUnavailable("no such transaction")

    def fee_rate(self, blocks: int) -> int | None:
        return self.rate

    def broadcast(self, transaction: Transaction) -> TxHash:
        """Take a transaction as a node would: rules, scripts, policy, and replacement by fee."""
        inputs = {item.outpoint for item in transaction.inputs}
        replaced = [tx for tx in self.pool if inputs & {item.outpoint for item in tx.inputs}]
        if replaced and self._fee(transaction) < sum(map(self._fee, replaced)) + transaction.size:
            raise ChainUnavailable("insufficient fee")
        kept = [tx for tx in self.pool if tx not in replaced]
        tip, spec = self.tip(), self.builder.spec.pow
        check_transaction(spec, transaction)
        check_standard(Policy(), transaction)
        coins = [self._coin(item.outpoint) for item in transaction.inputs]
        fee = check_spend(spec, transaction, coins, tip.height + 1, tip.median_time, self.median_time)
        assert fee >= fee_at(Policy().min_relay_rate, transaction.size)
        check_witnesses(transaction, [TxOut(coin.value, coin.script) for coin in coins])
        self.builder._remember_outputs(transaction)
        self.pool = [*kept, transaction]
        return transaction.txid

    def _coin(self, outpoint: OutPoint) -> ChainCoin:
        for height, first, tx in self._all():
            if tx.txid == outpoint[:32]:
                output = tx.outputs[int.from_bytes(outpoint[32:], "little")]
                known = len(self.blocks) if height is None else height
                return ChainCoin(output.value, output.script, known, first)
        raise ChainUnavailable("missing input")

    def _fee(self, tx: Transaction) -> int:
        return sum(self._coin(item.outpoint).value for item in tx.inputs) - sum(o.value for o in tx.outputs)

    def _all(self) -> Iterator[tuple[int | None, bool, Transaction]]:
        for height, block in enumerate(self.blocks):
            for position, tx in enumerate(block.transactions):
                yield height, position == 0, tx
        for tx in self.pool:
            yield None, False, tx


def make_spec(*allocations: Allocation, **changes: object) -> NetworkSpec:
    """Give a network whose genesis pays a bank of plain coins and these allocations."""
    base = story_spec(**changes)
    bank = [Allocation("A", 10_000 * COIN, key("genesis").script, 0, "bank") for _ in range(20)]
    return network(base.pow, [*bank, *allocations])


def open_wallet(chain: FakeChain, mnemonic: str = MNEMONIC, **options: object) -> tuple[UtxoWallet, KeyRing]:
    """Give a wallet with a P2WPKH and a P2TR account, and its keys."""
    spec, master = chain.builder.spec, MasterKey.from_mnemonic(mnemonic)
    accounts = [master.account(spec, Purpose.P2WPKH), master.account(spec, Purpose.P2TR)]
    locks = options.pop("locks", ())
    wallet = UtxoWallet(spec, chain, ScriptBook(spec, accounts, locks=locks), **options)
    return wallet, KeyRing(master)


def sign_and_send(wallet: UtxoWallet, keys: KeyRing, draft) -> Transaction:
    """Sign a draft completely and broadcast it."""
    psbt = wallet.to_psbt(draft)
    assert sign_psbt(psbt, keys) == len(psbt.inputs)
    assert finalize_psbt(psbt) == 0
    tx = extract_transaction(psbt)
    assert tx.size <= draft.size
    wallet.broadcast(tx)
    return tx
