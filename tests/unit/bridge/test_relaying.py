"""What a relayer decides to carry, on real PoW ledgers and made-up answers of the other chain."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from chaingen.builder import ChainBuilder
from chaingen.harness import PowLedger, open_ledger
from chaingen.specs import story_spec

from ioex_chain.bridge import deposit_watch
from ioex_chain.bridge.deposit_watch import DepositWatch, ReadTo
from ioex_chain.bridge.deposits import check_proof, read_deposit
from ioex_chain.bridge.header_relay import headers_due
from ioex_chain.bridge.relayer import Relayer, Settled, Stuck
from ioex_chain.bridge.settlement import CannotSettle
from ioex_chain.bridge.settling import Due
from ioex_chain.crypto.address import deposit_script
from ioex_chain.evm.bridge_messages import DepositProof, decode_proof
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.types import COIN, BlockHash

T = TypeVar("T")
LATE = 1 << 40
ACCOUNT = b"\x0a" * 20


class Light:
    """A light client that was told blocks, the best chain's last."""

    def __init__(self, chain: ChainBuilder, tip: Block, *others: Block) -> None:
        self.branch = [chain.genesis, *chain.branch(tip)]
        self.known = {block.hash for block in (*self.branch, *others)}

    def best(self) -> tuple[bytes, int, int]:
        return self.branch[-1].hash, len(self.branch) - 1, 2 * (len(self.branch) - 1)

    def hash_at(self, height: int) -> bytes | None:
        return self.branch[height].hash if height < len(self.branch) else None

    def height_of(self, hash_: bytes) -> int | None:
        return next((at for at, block in enumerate(self.branch) if block.hash == hash_), None)

    def knows(self, hash_: bytes) -> bool:
        return hash_ in self.known

    def buried_height(self) -> int:
        return max(0, len(self.branch) - 3)


class Bridge:
    """A Bridge that credited these."""

    def __init__(self, *credited: tuple[bytes, int]) -> None:
        self.credited = set(credited)

    def is_credited(self, txid: bytes, vout: int) -> bool:
        return (txid, vout) in self.credited


def grown(count: int) -> tuple[ChainBuilder, PowLedger, list[Block]]:
    chain = ChainBuilder(story_spec())
    ledger = open_ledger(chain)
    blocks = chain.extend(chain.genesis, count)
    for block in blocks:
        ledger.accept_block(block)
    return chain, ledger, blocks


def hashes(headers: tuple[bytes, ...]) -> list[BlockHash]:
    return [Header.decode(header).hash for header in headers]


# --- headers -----------------------------------------------------------------------------------------------


def test_headers_follow_in_order_as_many_as_a_block_carries() -> None:
    chain, ledger, blocks = grown(70)
    due = headers_due(Light(chain, chain.genesis), ledger, chain.spec.dpos, LATE)
    assert hashes(due) == [block.hash for block in blocks[: chain.spec.dpos.max_pow_headers]]
    due = headers_due(Light(chain, blocks[63]), ledger, chain.spec.dpos, LATE)
    assert hashes(due) == [block.hash for block in blocks[64:]]
    assert headers_due(Light(chain, blocks[-1]), ledger, chain.spec.dpos, LATE) == ()


def test_a_header_from_the_future_waits() -> None:
    chain, ledger, blocks = grown(5)
    due = headers_due(Light(chain, chain.genesis), ledger, chain.spec.dpos, blocks[2].header.time)
    assert hashes(due) == [block.hash for block in blocks[:3]]


def test_merged_headers_have_a_limit_of_their_own() -> None:
    chain = ChainBuilder(story_spec())
    ledger, parent, blocks = open_ledger(chain), chain.genesis, []
    for _ in range(10):
        parent = chain.merged(chain.block(parent))
        ledger.accept_block(parent)
        blocks.append(parent)
    due = headers_due(Light(chain, chain.genesis), ledger, chain.spec.dpos, LATE)
    assert hashes(due) == [block.hash for block in blocks[: chain.spec.dpos.max_merged_headers]]


def test_a_better_branch_is_carried_from_the_fork_on_without_what_is_known() -> None:
    chain, ledger, blocks = grown(4)
    other = chain.extend(blocks[1], 4)
    for block in other:
        ledger.accept_block(block)
    light = Light(chain, blocks[-1], other[0])
    assert hashes(headers_due(light, ledger, chain.spec.dpos, LATE)) == [block.hash for block in other[1:]]


def test_nothing_is_carried_that_is_not_better() -> None:
    chain, ledger, blocks = grown(4)
    same_work = chain.extend(blocks[1], 2)
    more_work = chain.extend(blocks[1], 9)
    for tip in (same_work[-1], more_work[-1]):
        assert headers_due(Light(chain, tip), ledger, chain.spec.dpos, LATE) == ()


# --- deposits ----------------------------------------------------------------------------------------------


def paying(chain: ChainBuilder, *amounts: int) -> Transaction:
    return chain.spend(chain.take(), [(amount, deposit_script(ACCOUNT)) for amount in amounts], fee=1_000)


def with_deposits() -> tuple[ChainBuilder, PowLedger, Transaction, list[Block]]:
    """Give a chain with a small and two large deposits in block 5, and two blocks upon it."""
    chain, ledger, blocks = grown(4)
    tx = paying(chain, COIN, 99, 2 * COIN)
    blocks += [chain.block(blocks[-1], [tx])]
    blocks += chain.extend(blocks[-1], 2)
    for block in blocks[4:]:
        ledger.accept_block(block)
    return chain, ledger, tx, blocks


def outputs(proofs: tuple[bytes, ...]) -> list[int]:
    return [decode_proof(proof).vout for proof in proofs]


def test_large_deposits_are_proven_once_buried() -> None:
    chain, ledger, tx, blocks = with_deposits()
    watch = DepositWatch(ledger, 100)
    assert watch.advance(4, 100) is False
    assert watch.waiting == ()
    assert watch.advance(5, 100) is False
    light = Light(chain, blocks[-1])
    proofs = watch.proofs_due(light, Bridge(), 16)
    assert outputs(proofs) == [0, 2]
    assert outputs(watch.proofs_due(light, Bridge(), 1)) == [0]
    assert outputs(watch.proofs_due(light, Bridge((tx.txid, 0)), 16)) == [2]
    assert watch.proofs_due(Light(chain, blocks[-2]), Bridge(), 16) == ()

    class Known(Light, Bridge):
        credited: set[Any] = set()  # noqa: RUF012

    assert check_proof(decode_proof(proofs[0]), Known(chain, blocks[-1])).amount == COIN


def test_a_flood_of_small_deposits_delays_small_ones_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deposit_watch, "MAX_WAITING", 6)
    chain, ledger, blocks = grown(4)
    for amounts in ((200,) * 20, (150, 5 * COIN, 150, 150), (101,) * 9):
        blocks.append(chain.block(blocks[-1], [paying(chain, *amounts)]))
    blocks += chain.extend(blocks[-1], 2)
    for block in blocks[4:]:
        ledger.accept_block(block)
    watch = DepositWatch(ledger, 100)
    assert watch.advance(7, 100) is False
    assert [one.deposit.amount for one in watch.waiting] == [200] * 5 + [5 * COIN]
    light = Light(chain, blocks[-1])
    due = [decode_proof(proof) for proof in watch.proofs_due(light, Bridge(), 4)]
    assert [check_amount(proof) for proof in due] == [200, 200, 5 * COIN, 200]


def check_amount(proof: DepositProof) -> int:
    return read_deposit(proof.raw, proof.vout).amount


def test_blocks_are_read_in_portions() -> None:
    _, ledger, _, _ = with_deposits()
    watch = DepositWatch(ledger, 100)
    assert watch.advance(7, 3) is True
    assert watch.advance(7, 3) is True
    assert watch.advance(7, 3) is False
    assert len(watch.waiting) == 2


def test_what_is_credited_for_good_is_forgotten_and_never_read_again() -> None:
    _, ledger, tx, blocks = with_deposits()
    watch = DepositWatch(ledger, 100)
    watch.advance(7, 100)
    assert watch.read_to() == ReadTo(4, blocks[3].hash)
    watch.forget(Bridge((tx.txid, 0)))
    assert [one.deposit.vout for one in watch.waiting] == [2]
    again = DepositWatch(ledger, 100, watch.read_to())
    again.advance(7, 100)
    assert [one.deposit.vout for one in again.waiting] == [0, 2]
    watch.forget(Bridge((tx.txid, 0), (tx.txid, 2)))
    assert watch.read_to() == ReadTo(7, blocks[6].hash)
    again = DepositWatch(ledger, 100, watch.read_to())
    again.advance(7, 100)
    assert again.waiting == ()


def test_a_reorganisation_takes_deposits_back_and_finds_them_again() -> None:
    chain, ledger, tx, blocks = with_deposits()
    watch = DepositWatch(ledger, 100)
    watch.advance(7, 100)
    old_block = watch.waiting[0].block
    other = chain.extend(blocks[3], 2)
    other.append(chain.block(other[-1], [tx]))
    other += chain.extend(other[-1], 2)
    for block in other:
        ledger.accept_block(block)
    assert ledger.head.hash == other[-1].hash
    watch.advance(6, 100)
    assert watch.waiting == ()
    watch.advance(7, 100)
    assert [one.deposit.vout for one in watch.waiting] == [0, 2]
    assert watch.waiting[0].block == other[2].hash != old_block
    # A light client that follows the other branch takes no proof of this one.
    assert watch.proofs_due(Light(chain, chain.extend(blocks[-1], 9)[-1]), Bridge(), 16) == ()


def test_a_place_that_no_chain_has_is_read_from_the_beginning() -> None:
    _, ledger, _, _ = with_deposits()
    watch = DepositWatch(ledger, 100, ReadTo(6, BlockHash(b"\x07" * 32)))
    watch.advance(7, 100)
    assert len(watch.waiting) == 2


def test_a_place_at_a_wrong_height_is_read_from_the_beginning() -> None:
    """A damaged file must not keep the relayer going round."""
    _, ledger, _, blocks = with_deposits()
    watch = DepositWatch(ledger, 100, ReadTo(2, blocks[4].hash))
    assert not watch.advance(7, 100)
    assert len(watch.waiting) == 2


# --- the shell ---------------------------------------------------------------------------------------------


class FakeNode:
    """A node whose planner says what the test wants."""

    def __init__(self) -> None:
        self.plan: Due | Exception | None = None
        self.refuse: Exception | None = None
        self.submitted: list[Due] = []
        self.told: list[Settled | Stuck] = []
        self.synced = True

    def is_synced(self) -> bool:
        return self.synced

    async def read(self, work: Callable[[], T], /) -> T:
        return work()

    async def settlement(self) -> Due | None:
        if isinstance(self.plan, Exception):
            raise self.plan
        return self.plan

    async def submit(self, transaction: Transaction) -> None:
        if self.refuse is not None:
            raise self.refuse
        assert isinstance(self.plan, Due)
        assert transaction is self.plan.transaction
        self.submitted.append(self.plan)

    def on_final(self, work: Callable[[Any], None], /) -> None:
        raise AssertionError("nothing waits")

    def head_state(self) -> Any:
        return self

    def get(self, _key: bytes) -> bytes | None:
        return None

    def keep(self, _read_to: ReadTo) -> None:
        """Remember nothing."""

    def report(self, event: Settled | Stuck) -> None:
        self.told.append(event)


class Running:
    """A relayer on a PoW ledger of a few blocks, in the test's own loop."""

    def __init__(self) -> None:
        self.chain, self.ledger, self.blocks = grown(3)
        self.node = FakeNode()
        spec = self.chain.spec
        addresses = {**spec.contracts.addresses, "PowLightClient": b"\x01" * 20, "Bridge": b"\x02" * 20}
        spec = replace(spec, contracts=replace(spec.contracts, addresses=addresses))
        self.relayer = Relayer(spec, self.ledger, DepositWatch(self.ledger, 100), self.node)
        self.task = asyncio.create_task(self.relayer.run())

    async def wake(self) -> None:
        self.relayer.wake()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not self.task.done()


def due(chain: ChainBuilder, count: int) -> Due:
    return Due(paying(chain, COIN), count, 0, BlockHash(bytes(32)))


async def test_each_plan_is_handed_in_once_and_again_on_another_head() -> None:
    run = Running()
    await run.wake()
    assert run.node.submitted == []
    run.node.plan = due(run.chain, 4)
    await run.wake()
    await run.wake()
    assert [one.count for one in run.node.submitted] == [4]
    run.node.plan = due(run.chain, 5)
    await run.wake()
    assert [one.count for one in run.node.submitted] == [4, 5]
    run.ledger.accept_block(run.chain.block(run.blocks[-1]))
    await run.wake()
    assert [one.count for one in run.node.submitted] == [4, 5, 5]
    run.task.cancel()


async def test_what_stands_in_the_way_is_told_once_until_it_changes() -> None:
    run = Running()
    run.node.plan = CannotSettle("the reserve is short")
    await run.wake()
    await run.wake()
    assert run.node.told == [Stuck("the reserve is short")]
    run.node.plan, run.node.refuse = due(run.chain, 1), CannotSettle("refused")
    await run.wake()
    assert run.node.told[1:] == [Stuck("refused")]
    run.node.refuse = None
    run.ledger.accept_block(run.chain.block(run.blocks[-1]))
    await run.wake()
    assert run.node.told[2:] == [Settled(run.node.plan)]
    run.task.cancel()


async def test_a_node_that_is_not_synced_hands_in_nothing() -> None:
    run = Running()
    run.node.plan, run.node.synced = due(run.chain, 1), False
    await run.wake()
    assert run.node.submitted == []
    run.node.synced = True
    await run.wake()
    assert len(run.node.submitted) == 1
    run.task.cancel()
