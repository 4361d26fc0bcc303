import pytest
from chaingen.toy import (
    BAD,
    FORBIDDEN,
    GENESIS,
    BadBody,
    BelowZero,
    CounterMachine,
    ForbiddenNote,
    ToyBlock,
    ToyLedger,
    block_on,
    counter_body,
    grow,
    open_toy,
    replay,
    state_rows,
)

from ioex_chain.ledger.errors import (
    BelowFloor,
    KnownInvalid,
    MutatedBlock,
    NotOnHead,
    NotYetValid,
    UndoMissing,
    UnknownBlock,
    UnknownParent,
)
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.types import Status
from ioex_chain.primitives.clock import FixedClock


def feed(ledger: ToyLedger, blocks: list[ToyBlock]) -> None:
    for block in blocks:
        ledger.accept_block(block)


def sound(ledger: ToyLedger) -> None:
    assert state_rows(ledger) == replay(ledger, CounterMachine())


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def ledger(store: MemoryStore) -> ToyLedger:
    return open_toy(store)


def test_a_new_ledger_holds_genesis_and_its_state(ledger):
    assert ledger.head is ledger.genesis is ledger.floor
    assert ledger.head.hash == GENESIS.hash
    assert ledger.view().get(b"total") == b"100"
    assert ledger.body(GENESIS.hash) == GENESIS
    sound(ledger)


def test_extension_gives_event_and_receipt(ledger):
    [block] = grow(GENESIS.hash, 1)
    change = ledger.accept_block(block)
    assert change is not None
    assert change.disconnected == ()
    assert [(done.entry.hash, done.receipt) for done in change.connected] == [(block.hash, 106)]
    assert change.head is ledger.head is ledger.entry_at(1)
    assert ledger.accept_block(block) is None
    sound(ledger)


def test_reorganisation_takes_the_heavier_branch_and_says_so(ledger):
    short, long = grow(GENESIS.hash, 2, note=1), grow(GENESIS.hash, 3, note=2)
    feed(ledger, short + long[:2])
    assert ledger.head.hash == short[-1].hash  # equal weight: first seen
    change = ledger.accept_block(long[2])
    assert [entry.hash for entry in change.disconnected] == [short[1].hash, short[0].hash]
    assert [done.entry.hash for done in change.connected] == [block.hash for block in long]
    assert not ledger.is_on_best_chain(ledger.entry(short[0].hash))
    assert ledger.is_on_best_chain(ledger.entry(long[0].hash))
    sound(ledger)


def test_a_heavier_shorter_branch_wins(ledger, store):
    feed(ledger, grow(GENESIS.hash, 4, note=1))
    [heavy] = grow(GENESIS.hash, 1, note=2, work=9)
    ledger.accept_block(heavy)
    assert ledger.head.height == 1
    assert [ledger.entry_at(height) for height in (2, 3, 4)] == [None, None, None]
    sound(ledger)
    sound(open_toy(store))


def test_bodies_may_come_before_their_parents_bodies(ledger):
    blocks = grow(GENESIS.hash, 4)
    ledger.accept_headers([block.header for block in blocks])
    assert [ledger.accept_block(block) for block in (blocks[3], blocks[1], blocks[2])] == [None] * 3
    change = ledger.accept_block(blocks[0])
    assert [done.entry.height for done in change.connected] == [1, 2, 3, 4]
    sound(ledger)


def test_a_tie_goes_to_the_block_that_was_connectable_first(ledger):
    early, late = grow(GENESIS.hash, 2, note=1), grow(GENESIS.hash, 2, note=2)
    ledger.accept_headers([block.header for block in early])
    ledger.accept_block(early[1])  # its body came first, but its parent's was held back
    feed(ledger, late)
    assert ledger.accept_block(early[0]) is None
    assert ledger.head.hash == late[1].hash


def test_unknown_parent_is_named(ledger):
    orphan = block_on(grow(GENESIS.hash, 1)[0].hash)
    with pytest.raises(UnknownParent) as caught:
        ledger.accept_block(orphan)
    assert caught.value.parent == orphan.header.parent_hash
    assert ledger.entry(orphan.hash) is None


def test_header_rules_are_asked_and_failures_not_stored(store):
    clock = FixedClock(10)
    ledger = open_toy(store, clock=clock)
    late = block_on(GENESIS.hash, time=11)
    with pytest.raises(NotYetValid):
        ledger.accept_block(late)
    with pytest.raises(ForbiddenNote):
        ledger.accept_block(block_on(GENESIS.hash, note=FORBIDDEN))
    clock.advance(1)
    assert ledger.accept_block(late) is not None


def test_headers_before_the_bad_one_are_kept(ledger, store):
    good = grow(GENESIS.hash, 2)
    bad = block_on(good[-1].hash, note=FORBIDDEN)
    with pytest.raises(ForbiddenNote):
        ledger.accept_headers([good[0].header, good[1].header, bad.header])
    assert ledger.entry(good[1].hash) is ledger.accept_header(good[1].header)
    assert open_toy(store).entry(good[1].hash).height == 2


def test_a_block_that_fails_is_remembered_with_all_above_it(ledger, store):
    bad = block_on(GENESIS.hash, counter_body([(0, -101)]))
    child = block_on(bad.hash)
    ledger.accept_headers([bad.header, child.header])
    before = state_rows(ledger)
    with pytest.raises(BelowZero):
        ledger.accept_block(bad)
    assert state_rows(ledger) == before
    for known in (ledger, open_toy(store)):
        assert known.entry(bad.hash).status == Status.BODY | Status.INVALID
        assert known.entry(child.hash).status == Status.INVALID_ANCESTOR
        for block in (bad, child, block_on(child.hash)):
            with pytest.raises(KnownInvalid):
                known.accept_block(block)


def test_a_body_that_can_never_pass_is_remembered_and_not_stored(ledger):
    bad = block_on(GENESIS.hash, BAD)
    with pytest.raises(BadBody):
        ledger.accept_block(bad)
    with pytest.raises(KnownInvalid):
        ledger.accept_header(bad.header)
    with pytest.raises(UnknownBlock):
        ledger.body(bad.hash)


def test_a_mutated_body_is_never_held_against_the_block(ledger):
    [block] = grow(GENESIS.hash, 1)
    with pytest.raises(MutatedBlock):
        ledger.accept_block(ToyBlock(block.header, block.body + b"x"))
    assert ledger.entry(block.hash).status == Status.HEADER
    assert ledger.accept_block(block) is not None


def test_a_branch_that_fails_midway_leaves_the_choice_to_the_rest(ledger):
    mine = grow(GENESIS.hash, 1, note=1)
    feed(ledger, mine)
    good = grow(GENESIS.hash, 1, note=2)
    bad = block_on(good[0].hash, counter_body([(0, -1000)]))
    top = block_on(bad.hash)
    ledger.accept_headers([block.header for block in (good[0], bad, top)])
    ledger.accept_block(top)
    ledger.accept_block(bad)
    assert ledger.accept_block(good[0]) is None  # not its fault: nothing is raised
    assert ledger.head.hash == mine[0].hash
    assert ledger.entry(bad.hash).status & Status.INVALID
    assert ledger.entry(top.hash).status & Status.INVALID_ANCESTOR
    assert not ledger.entry(good[0].hash).status.is_invalid
    sound(ledger)


def test_preview_runs_on_the_head_and_keeps_nothing(ledger, store):
    [block] = grow(GENESIS.hash, 1)
    before = dict(store.scan(b""))
    assert ledger.preview(block) == 106
    with pytest.raises(BelowZero):
        ledger.preview(block_on(GENESIS.hash, counter_body([(0, -101)])))
    assert dict(store.scan(b"")) == before
    assert ledger.entry(block.hash) is None
    with pytest.raises(NotOnHead):
        ledger.preview(block_on(block.hash))


def test_finalize_stops_reorganisations_below(ledger, store):
    ours, theirs = grow(GENESIS.hash, 3, note=1), grow(GENESIS.hash, 5, note=2)
    feed(ledger, ours + theirs[:2])
    assert ledger.finalize(ours[1].hash) is None
    for known in (ledger, open_toy(store)):
        assert known.floor.hash == ours[1].hash
        with pytest.raises(BelowFloor):
            known.accept_block(theirs[2])
        with pytest.raises(BelowFloor):
            known.accept_header(block_on(GENESIS.hash, note=3).header)
        for contradicting in (theirs[0], theirs[1]):
            with pytest.raises(BelowFloor):
                known.finalize(contradicting.hash)
        assert known.finalize(ours[0].hash) is None
        with pytest.raises(BelowFloor):
            known.invalidate(ours[0].hash)
        with pytest.raises(BelowFloor):
            known.rollback(2)
    feed(ledger, grow(ours[1].hash, 3, note=4))
    assert ledger.head.height == 5
    sound(ledger)


def test_finalize_goes_to_a_lighter_branch(ledger, store):
    ours, theirs = grow(GENESIS.hash, 4, note=1), grow(GENESIS.hash, 2, note=2)
    feed(ledger, ours + theirs)
    change = ledger.finalize(theirs[0].hash)
    assert change.head is ledger.head
    assert ledger.head.hash == theirs[1].hash
    sound(ledger)
    again = open_toy(store)
    assert again.head.hash == theirs[1].hash
    assert again.floor.hash == theirs[0].hash


def test_finalize_refuses_what_it_cannot_reach(ledger):
    ours = grow(GENESIS.hash, 2, note=1)
    bad = block_on(GENESIS.hash, counter_body([(0, -101)]))
    feed(ledger, [*ours, bad])
    [headless] = grow(GENESIS.hash, 1, note=3)
    ledger.accept_header(headless.header)
    for block in (headless, block_on(headless.hash)):
        with pytest.raises(UnknownBlock):
            ledger.finalize(block.hash)
    with pytest.raises(KnownInvalid):
        ledger.finalize(bad.hash)
    assert ledger.floor is ledger.genesis
    assert ledger.head.hash == ours[1].hash


def test_invalidate_and_reconsider(ledger, store):
    ours, theirs = grow(GENESIS.hash, 3, note=1), grow(GENESIS.hash, 2, note=2)
    feed(ledger, ours + theirs)
    change = ledger.invalidate(ours[0].hash)
    assert (len(change.disconnected), len(change.connected)) == (3, 2)
    assert ledger.head.hash == theirs[1].hash
    sound(ledger)
    ledger = open_toy(store)
    assert ledger.head.hash == theirs[1].hash
    assert ledger.entry(ours[2].hash).status & Status.INVALID_ANCESTOR
    change = ledger.reconsider(ours[1].hash)
    assert change.head.hash == ours[2].hash
    assert not ledger.entry(ours[0].hash).status.is_invalid
    sound(ledger)


def test_rollback_lets_the_same_blocks_come_again(ledger, store):
    blocks = grow(GENESIS.hash, 5)
    feed(ledger, blocks)
    event = ledger.rollback(3)
    assert [entry.height for entry in event.disconnected] == [5, 4, 3]
    sound(ledger)
    ledger = open_toy(store)
    assert ledger.head.hash == blocks[1].hash
    assert ledger.body_bytes(blocks[2].hash) is None
    feed(ledger, blocks[2:])
    assert ledger.head.hash == blocks[4].hash
    sound(ledger)
    for wrong in (0, 6, -1):
        with pytest.raises(ValueError):
            ledger.rollback(wrong)


def test_a_deep_branch_waits_for_the_operator(store):
    ledger = open_toy(store, max_reorg_depth=2)
    ours, theirs = grow(GENESIS.hash, 3, note=1), grow(GENESIS.hash, 5, note=2)
    feed(ledger, ours + theirs[:4])
    assert ledger.head.hash == ours[2].hash
    assert [entry.hash for entry in ledger.deep_branches()] == [theirs[3].hash]
    change = ledger.accept_deep_reorg(theirs[1].hash)
    assert change.head.hash == theirs[3].hash
    assert ledger.deep_branches() == []
    assert store.get(b"Mapproved") == b""
    sound(ledger)


def test_a_deep_approval_is_remembered_until_the_branch_is_better(store):
    ours, theirs = grow(GENESIS.hash, 3, note=1), grow(GENESIS.hash, 4, note=2)
    ledger = open_toy(store, max_reorg_depth=2)
    feed(ledger, ours + theirs[:2])
    assert ledger.accept_deep_reorg(theirs[0].hash) is None
    ledger = open_toy(store, max_reorg_depth=2)
    feed(ledger, theirs[2:])
    assert ledger.head.hash == theirs[3].hash


def test_undo_records_are_kept_to_their_depth_only(store):
    ledger = open_toy(store, undo_depth=4)
    ours = grow(GENESIS.hash, 10, note=1)
    feed(ledger, ours)
    assert [key[1:5] for key, _ in store.scan(b"U")] == [bytes((0, 0, 0, at)) for at in (7, 8, 9, 10)]
    theirs = grow(ours[4].hash, 8, note=2)
    feed(ledger, theirs)
    assert ledger.head.hash == ours[9].hash
    for refused in (ledger.invalidate, ledger.accept_deep_reorg):
        with pytest.raises(UndoMissing):
            refused(ours[5].hash if refused == ledger.invalidate else theirs[0].hash)
    with pytest.raises(UndoMissing):
        ledger.rollback(5)
    ledger.rollback(4)
    sound(ledger)
    archive = MemoryStore()
    feed(open_toy(archive, undo_depth=4, archive=True), ours)
    assert len(list(archive.scan(b"U"))) == 10


def test_undo_depth_covers_the_reorganisation_limit(store):
    with pytest.raises(ValueError):
        open_toy(store, max_reorg_depth=10, undo_depth=9)


def test_tips_and_ancestors(ledger):
    ours, theirs = grow(GENESIS.hash, 6, note=1), grow(GENESIS.hash, 3, note=2)
    feed(ledger, ours + theirs)
    ledger.accept_headers([block.header for block in grow(ours[5].hash, 2)])
    assert sorted(entry.height for entry in ledger.tips()) == [3, 6, 8]
    tip = ledger.entry(theirs[2].hash)
    assert ledger.ancestor(tip, 1).hash == theirs[0].hash
    assert ledger.ancestor(tip, 0) is ledger.genesis
    assert ledger.fork_point(tip, ledger.head) is ledger.genesis
    with pytest.raises(ValueError):
        ledger.ancestor(tip, 4)


def test_old_entries_load_from_disk_and_are_one_object(store):
    ledger = open_toy(store, window=5)
    blocks = grow(GENESIS.hash, 40)
    feed(ledger, blocks)
    old = ledger.entry(blocks[3].hash)
    assert old is ledger.entry_at(4) is ledger.ancestor(ledger.head, 4)
    assert old.parent.hash == blocks[2].hash
    assert ledger.is_on_best_chain(old)
    walked = ledger.head
    while walked.parent is not None:
        walked = walked.parent
    assert walked.height == 0
    assert len(ledger._index.in_memory()) == len(ledger._index._children) == 6
    change = ledger.invalidate(blocks[9].hash)
    assert len(change.disconnected) == 31
    sound(ledger)
    assert ledger.reconsider(blocks[20].hash).head.hash == blocks[39].hash
    sound(ledger)


@pytest.mark.parametrize("leave", ["invalidate", "finalize"])
def test_a_branch_below_the_window_is_found_when_the_head_falls_back(store, leave):
    ledger = open_toy(store, window=1)
    ours, theirs = grow(GENESIS.hash, 10, note=1), grow(GENESIS.hash, 3, note=2)
    feed(ledger, theirs + ours)
    change = ledger.invalidate(ours[0].hash) if leave == "invalidate" else ledger.finalize(theirs[0].hash)
    assert change.head.hash == theirs[2].hash
    sound(ledger)


def test_snapshot_stays_while_blocks_come(ledger):
    blocks = grow(GENESIS.hash, 2)
    ledger.accept_block(blocks[0])
    with ledger.snapshot() as snapshot:
        ledger.accept_block(blocks[1])
        assert snapshot.head.hash == blocks[0].hash
        assert snapshot.get(b"total") == b"106"
        assert (b"total", b"106") in list(snapshot.scan(b"t"))
    assert ledger.view().get(b"total") == b"112"
    with pytest.raises(TypeError):
        ledger.view().put(b"x", b"")


def test_listeners_hear_every_change_until_they_leave(ledger):
    heard = []
    leave = ledger.subscribe(heard.append)
    blocks = grow(GENESIS.hash, 2)
    assert ledger.accept_block(blocks[0]) == heard[0]
    leave()
    ledger.accept_block(blocks[1])
    assert len(heard) == 1


def test_a_long_catch_up_is_written_in_pieces(store, monkeypatch):
    monkeypatch.setattr("ioex_chain.ledger.reorganise._ENOUGH_STAGED", 12)
    ledger = open_toy(store)
    ours, theirs = grow(GENESIS.hash, 6, note=1), grow(GENESIS.hash, 20, note=2)
    feed(ledger, ours)
    ledger.accept_headers([block.header for block in theirs])
    feed(ledger, theirs[1:])
    heard = []
    ledger.subscribe(heard.append)
    change = ledger.accept_block(theirs[0])
    assert len(heard) > 2
    assert heard[0].head.height > 6  # never a worse chain on the way
    assert len(change.disconnected) == 6
    assert [done.entry.hash for done in change.connected] == [block.hash for block in theirs]
    sound(ledger)


class CountingStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.syncs: list[bool] = []

    def write(self, changes, sync=True):
        self.syncs.append(sync)
        super().write(changes, sync)


def test_a_block_is_one_synced_write_with_its_header_and_body():
    store = CountingStore()
    ledger = open_toy(store)
    blocks = grow(GENESIS.hash, 4)
    store.syncs.clear()
    ledger.accept_block(blocks[0])
    ledger.accept_block(blocks[0])
    assert store.syncs == [True]
    ledger.accept_headers([block.header for block in blocks])
    assert store.syncs == [True] * 2
    ledger.accept_block(blocks[1], sync=False)
    ledger.flush()
    ledger.accept_block(blocks[2])
    assert store.syncs == [True, True, False, True, True]


def test_the_header_of_a_mutated_or_bad_body_is_written(store):
    ledger = open_toy(store)
    [good] = grow(GENESIS.hash, 1)
    bad = block_on(GENESIS.hash, BAD)
    with pytest.raises(MutatedBlock):
        ledger.accept_block(ToyBlock(good.header, b"other"))
    with pytest.raises(BadBody):
        ledger.accept_block(bad)
    again = open_toy(store)
    assert again.entry(good.hash).status == Status.HEADER
    assert again.entry(bad.hash).status == Status.INVALID
