"""After a deep reorganisation: which credited deposits the best chain lacks, on a real PoW ledger."""

from chaingen.builder import ChainBuilder
from chaingen.harness import PowLedger, open_ledger
from chaingen.specs import story_spec

from ioex_chain.bridge.deposits import Deposit, find_deposits
from ioex_chain.bridge.missing import MissingDeposit, missing_deposits
from ioex_chain.crypto.address import deposit_script
from ioex_chain.pow.block import Block
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN

ACCOUNT = b"\x0a" * 20


class Bridge:
    """A Bridge that credited these."""

    def __init__(self, *credited: Deposit) -> None:
        self.credited = {(deposit.txid, deposit.vout) for deposit in credited}

    def is_credited(self, txid: bytes, vout: int) -> bool:
        return (txid, vout) in self.credited


def begin() -> tuple[ChainBuilder, PowLedger, Block]:
    chain = ChainBuilder(story_spec())
    ledger = open_ledger(chain)
    base = chain.warm_up()
    take(ledger, base)
    return chain, ledger, base[-1]


def take(ledger: PowLedger, blocks: list[Block]) -> None:
    for block in blocks:
        ledger.accept_block(block)


def pays(chain: ChainBuilder, *amounts: int) -> Transaction:
    return chain.spend(chain.take(), [(amount, deposit_script(ACCOUNT)) for amount in amounts], fee=1_000)


def of(*blocks: Block) -> list[Deposit]:
    return [deposit for block in blocks for _, deposit in find_deposits(block)]


def test_nothing_is_missing_while_every_block_stands():
    chain, ledger, base = begin()
    block = chain.block(base, [pays(chain, COIN)])
    take(ledger, [block])
    assert missing_deposits(ledger, Bridge(*of(block))) == ()


def test_a_deposit_whose_block_was_left_is_named():
    chain, ledger, base = begin()
    first = chain.block(base, [pays(chain, COIN, 2 * COIN)])
    second = chain.block(first, [pays(chain, 3 * COIN)])
    take(ledger, [first, second])
    take(ledger, chain.extend(base, 4))
    lost = of(first, second)
    height = chain.height(first)
    expected = [MissingDeposit(lost[0], first.hash, height), MissingDeposit(lost[1], first.hash, height)]
    expected.append(MissingDeposit(lost[2], second.hash, height + 1))
    assert missing_deposits(ledger, Bridge(*lost)) == tuple(expected)
    assert missing_deposits(ledger, Bridge(lost[2])) == (expected[2],)
    assert missing_deposits(ledger, Bridge()) == ()


def test_a_deposit_that_was_mined_again_is_not_missing():
    chain, ledger, base = begin()
    again, gone = pays(chain, COIN), pays(chain, 5 * COIN)
    left = chain.block(base, [again, gone])
    take(ledger, [left, chain.block(left)])
    plain = chain.block(base)
    branch = [plain, *chain.extend(plain, 2)]
    take(ledger, branch)
    everything = Bridge(*of(left))
    assert {one.deposit.amount for one in missing_deposits(ledger, everything)} == {COIN, 5 * COIN}
    take(ledger, [chain.block(branch[-1], [again])])
    assert [one.deposit.amount for one in missing_deposits(ledger, everything)] == [5 * COIN]


def test_each_is_named_once_however_many_branches_had_it():
    chain, ledger, base = begin()
    tx = pays(chain, COIN)
    left = [chain.block(base, [tx]), chain.block(base, [tx, pays(chain, 2 * COIN)])]
    take(ledger, [*left, chain.block(left[0]), chain.block(left[1])])
    take(ledger, chain.extend(base, 5))
    found = missing_deposits(ledger, Bridge(*of(*left)))
    assert sorted(one.deposit.amount for one in found) == [COIN, 2 * COIN]
