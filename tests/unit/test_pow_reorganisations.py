"""Reorganisations there and back, stale branches, ties: the state is always that of a replay (R8)."""

import pytest
from chaingen.builder import ChainBuilder
from chaingen.generate import World
from chaingen.harness import open_ledger, replay_hash, state_hash, unspent
from chaingen.specs import key, story_spec

from ioex_chain.ledger.errors import InvalidBlock
from ioex_chain.pow import errors
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.primitives.types import COIN

BOB, CAROL = key("bob"), key("carol")


def busy_branch(chain: ChainBuilder, parent: Block, length: int, name: str) -> list[Block]:
    """Blocks that spend, chain and pay fees; two branches of other names spend the same coins differently."""
    funds = chain.funds(chain.genesis.transactions[0], 0)
    blocks = []
    for step in range(length):
        first = chain.spend(funds, [(COIN, key(f"{name} {step % 7}"))], fee=10 + step)
        second = chain.spend(chain.funds(first, 0), [(COIN // 2, BOB), (COIN // 4, CAROL)], fee=1_000)
        parent = chain.block(parent, [first, second])
        blocks.append(parent)
        funds = chain.funds(first, 1)
    return blocks


def there_and_back(depth: int, times: int) -> None:
    """Two branches from one block outgrow each other `times` times, each time `depth` or more blocks deep."""
    spec = story_spec()
    chain = ChainBuilder(spec)
    ledger = open_ledger(chain, max_reorg_depth=None)
    base = chain.warm_up()
    for block in base:
        ledger.accept_block(block)
    tips = [busy_branch(chain, base[-1], depth, name) for name in ("red", "blue")]
    for branch in tips:
        for block in branch:
            ledger.accept_block(block)
    assert ledger.head.hash == tips[0][-1].hash, "the first seen wins a tie"
    heads = [tips[0][-1], tips[1][-1]]
    hashes = [state_hash(ledger)]
    for turn in range(1, times + 1):
        side = turn % 2
        for _ in range(1 if turn == 1 else 2):
            heads[side] = chain.block(heads[side])
            change = ledger.accept_block(heads[side])
        assert change is not None
        assert len(change.disconnected) >= depth
        assert ledger.head.hash == heads[side].hash
        expected = spec.token.supply + 24 * COIN * chain.height(heads[side])
        assert unspent(ledger) == expected
        hashes.append(state_hash(ledger))
    for side in (times % 2, (times - 1) % 2):
        last = hashes[times if side == times % 2 else times - 1]
        assert last == replay_hash(chain, heads[side])


@pytest.mark.parametrize(("depth", "times"), [(1, 20), (6, 20), (100, 4)])
def test_there_and_back(depth, times):
    there_and_back(depth, times)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_there_and_back_720_deep_20_times():
    there_and_back(720, 20)


def test_first_seen_wins_a_tie_and_more_work_wins():
    world = World(story_spec())
    one, two = world.block(), world.block()
    assert world.ledger.accept_block(one) is not None
    assert world.ledger.accept_block(two) is None
    assert world.ledger.head.hash == one.hash
    child = world.chain.block(two)
    world.ledger.accept_block(child)
    assert world.ledger.head.hash == child.hash


def test_most_work_wins_over_most_blocks():
    spec = story_spec(fixed_difficulty=False, half_life=3)
    chain = ChainBuilder(spec)
    ledger = open_ledger(chain)
    slow, fast = [chain.genesis], [chain.genesis]
    for _ in range(5):
        slow.append(chain.block(slow[-1], time=slow[-1].header.time + 4))
    for _ in range(3):
        fast.append(chain.block(fast[-1], time=fast[-1].header.time + 1))
    for block in [*slow[1:], *fast[1:]]:
        ledger.accept_block(block)
    assert ledger.head.hash == fast[-1].hash
    assert ledger.head.height == 3
    assert ledger.head.weight == 2 + 4 + 8


def test_stale_branch_changes_nothing():
    world = World(story_spec())
    fork = world.tip
    for _ in range(5):
        world.add(world.pay())
    before = state_hash(world.ledger)
    for block in world.chain.extend(fork, 5):
        assert world.ledger.accept_block(block) is None
    assert state_hash(world.ledger) == before


def test_branch_that_turns_out_invalid_leaves_the_old_chain():
    world = World(story_spec())
    fork = world.tip
    for _ in range(3):
        world.add(world.pay())
    before, head = state_hash(world.ledger), world.ledger.head
    good = world.chain.extend(fork, 3)
    bad = world.chain.block(good[-1], fees=1)
    for block in good:
        assert world.ledger.accept_block(block) is None
    with pytest.raises(errors.CoinbaseTooMuch):
        world.ledger.accept_block(bad)
    assert world.ledger.head is head
    assert state_hash(world.ledger) == before
    world.tip = good[-1]
    world.add()
    assert state_hash(world.ledger) == replay_hash(world.chain, world.tip)


def test_children_of_an_invalid_block_are_refused():
    world = World(story_spec())
    bad = world.block(fees=1)
    with pytest.raises(errors.CoinbaseTooMuch):
        world.ledger.accept_block(bad)
    with pytest.raises(InvalidBlock):
        world.ledger.accept_block(world.chain.block(bad))


def test_same_transaction_on_both_sides_survives():
    """A spend that both branches carry, at other heights, keeps its outputs at the right height."""
    world = World(story_spec())
    fork, tx = world.tip, world.pay()
    world.add(tx)
    other = world.chain.extend(fork, 2)
    other.append(world.chain.block(other[-1], [tx]))
    for block in other:
        world.ledger.accept_block(block)
    assert world.ledger.head.hash == other[-1].hash
    assert state_hash(world.ledger) == replay_hash(world.chain, other[-1])
    with pytest.raises(errors.BlockTransactionError):
        world.ledger.accept_block(world.chain.block(other[-1], [tx]))


def test_block_too_early_is_taken_later():
    world = World(story_spec())
    now = world.chain.clock.time
    block = world.block(time=now + 601)
    world.chain.clock.time = now
    with pytest.raises(errors.TimeTooNew):
        world.ledger.accept_block(block)
    world.chain.clock.advance(1)
    world.accept(block)


def test_a_bad_record_does_not_spoil_a_merged_header():
    """The record is not in the hash: somebody else's broken one must not be held against the block."""
    world = World(story_spec())
    good = world.chain.merged(world.block())
    other = world.chain.merged(world.block())
    bad = Block.build(Header(good.header.core, other.header.auxpow), good.transactions)
    with pytest.raises(errors.AuxPowRootMissing):
        world.ledger.accept_block(bad)
    world.accept(good)


def test_replaced_block_index_rows_go_away():
    world = World(story_spec())
    fork = world.tip
    world.add(world.pay((COIN, BOB)))
    for block in world.chain.extend(fork, 2):
        world.ledger.accept_block(block)
        world.tip = block
    assert state_hash(world.ledger) == replay_hash(world.chain, world.tip)
