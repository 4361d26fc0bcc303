"""Dying at every single write: what is found afterwards is the old chain or the new one, whole."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from chaingen.stores import Crashed, Disk, FailingStore, Moment
from chaingen.toy import (
    CODEC,
    GENESIS,
    CounterMachine,
    ToyLedger,
    block_on,
    counter_body,
    grow,
    open_toy,
    replay,
    state_rows,
)

from ioex_chain.ledger.errors import LedgerError, Rejected, StoreFull
from ioex_chain.ledger.types import KeyValueStore
from ioex_chain.ledger.verify import check
from ioex_chain.primitives.types import BlockHash

Deed = Callable[[ToyLedger], object]


def story() -> list[Deed]:
    """Extension, reorganisations, a failing branch, waiting bodies, marks, finality: every kind of write."""
    ours, theirs = grow(GENESIS.hash, 4, note=1), grow(GENESIS.hash, 5, note=2)
    bad = block_on(theirs[4].hash, counter_body([(0, -1000)]))
    third = grow(theirs[1].hash, 6, note=3)
    last = grow(third[5].hash, 2, note=4)
    deeds: list[Deed] = [lambda ledger, b=block: ledger.accept_block(b) for block in [*ours, *theirs, bad]]
    deeds.append(lambda ledger: ledger.accept_headers([block.header for block in third]))
    deeds += [lambda ledger, b=block: ledger.accept_block(b) for block in reversed(third)]
    deeds.append(lambda ledger: ledger.invalidate(third[2].hash))
    deeds.append(lambda ledger: ledger.reconsider(third[2].hash))
    deeds.append(lambda ledger: ledger.finalize(theirs[1].hash))
    deeds += [lambda ledger, b=block: ledger.accept_block(b) for block in last]
    return deeds


def open_small(store: KeyValueStore) -> ToyLedger:
    return open_toy(store, undo_depth=6, window=3)


def run(store: KeyValueStore, heads: list[BlockHash]) -> ToyLedger:
    """Live through the story, noting the head after every deed."""
    ledger = open_small(store)
    heads.append(ledger.head.hash)
    for deed in story():
        with suppress(Rejected):
            deed(ledger)
        heads.append(ledger.head.hash)
    return ledger


def whole(store: KeyValueStore, ledger: ToyLedger) -> None:
    assert state_rows(ledger) == replay(ledger, CounterMachine())
    assert check(store, CODEC).problems == []


def control() -> tuple[list[BlockHash], dict[bytes, bytes], int]:
    heads: list[BlockHash] = []
    store = FailingStore(Disk(), -1, Moment.AFTER)
    ledger = run(store, heads)
    whole(store, ledger)
    return heads, state_rows(ledger), store.writes


HEADS, STATE, WRITES = control()


def test_the_story_has_every_kind_of_write() -> None:
    assert WRITES > 20
    assert len(set(HEADS)) == 9  # genesis, four of ours, theirs, the third's, and two more


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("at", range(WRITES))
def test_dying_at_a_write_leaves_one_whole_chain(moment: Moment, at: int) -> None:
    disk = Disk()
    heads: list[BlockHash] = []
    with pytest.raises((Crashed, StoreFull)):
        run(FailingStore(disk, at, moment), heads)
    before = heads[-1] if heads else GENESIS.hash
    after = HEADS[len(heads)]
    ledger = open_small(disk.store)
    assert ledger.head.hash in (before, after)
    whole(disk.store, ledger)
    again = run(disk.store, [])  # the same story once more ends where it would have ended
    assert again.head.hash == HEADS[-1]
    assert state_rows(again) == STATE
    whole(disk.store, again)


def test_nothing_more_is_taken_after_a_full_disk() -> None:
    disk = Disk()
    store = FailingStore(disk, 4, Moment.FULL)
    ledger = open_small(store)
    blocks = grow(GENESIS.hash, 5)
    failures = 0
    for block in blocks:
        try:
            ledger.accept_block(block)
        except LedgerError:
            failures += 1
    assert failures == 2  # writes: genesis, three blocks, then no more
    whole(disk.store, open_small(disk.store))


@pytest.mark.parametrize("moment", Moment)
def test_dying_while_rolling_back(moment: Moment) -> None:
    disk = Disk()
    run(disk.store, [])
    disk.write({}, sync=True)
    ledger = open_small(FailingStore(disk, 0, moment))
    top = ledger.head.height
    with pytest.raises((Crashed, StoreFull)):
        ledger.rollback(2)
    ledger = open_small(disk.store)
    assert ledger.head.height in (top, top - 2)
    assert ledger.head.hash == HEADS[-1] or ledger.head.height == top - 2
    whole(disk.store, ledger)
