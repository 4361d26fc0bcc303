"""Many writes, one sync: what is on the disk is always what was there after some write."""

import pytest
from chaingen.stores import Crashed, Disk, FailingStore, Moment
from chaingen.toy import grow, open_toy, replay, state_rows
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.ledger.group_store import GroupStore
from ioex_chain.ledger.store import LevelStore, MemoryStore


def test_what_waits_is_read_but_not_on_the_disk():
    disk = MemoryStore({b"a": b"1", b"b": b"2"})
    store = GroupStore(disk)
    store.write({b"a": b"9", b"b": None}, sync=False)
    assert (store.get(b"a"), store.get(b"b"), disk.get(b"a"), disk.get(b"b")) == (b"9", None, b"1", b"2")
    store.write({b"c": b"3"})
    assert (disk.get(b"a"), disk.get(b"b"), disk.get(b"c")) == (b"9", None, b"3")


def test_scans_and_snapshots_see_what_waits():
    disk = MemoryStore()
    store = GroupStore(disk)
    store.write({b"k1": b"1"}, sync=False)
    assert list(store.scan(b"k")) == [(b"k1", b"1")]
    store.write({b"k2": b"2"}, sync=False)
    with store.snapshot() as snapshot:
        store.write({b"k2": b"3"}, sync=False)
        assert snapshot.get(b"k2") == b"2"
    store.close()
    assert disk.get(b"k2") == b"3"


def test_no_more_than_the_bound_waits():
    disk = MemoryStore()
    store = GroupStore(disk, most=100)
    store.write({b"a": bytes(60)}, sync=False)
    assert disk.get(b"a") is None
    store.write({b"b": bytes(60)}, sync=False)
    assert disk.get(b"a") == disk.get(b"b") == bytes(60)


@given(st.integers(0, 12), st.sampled_from(Moment), st.lists(st.booleans(), min_size=30, max_size=30))
def test_after_any_crash_the_ledger_opens_as_it_was_after_some_block(at, moment, synced):
    disk = Disk()
    blocks = []
    acknowledged = 0
    try:
        ledger = open_toy(GroupStore(FailingStore(disk, at, moment), most=1_000))
        blocks = grow(ledger.genesis.hash, 30)
        for block, sync in zip(blocks, synced, strict=True):
            ledger.accept_block(block, sync=sync)
            if sync:
                acknowledged = ledger.head.height
    except (Crashed, Exception):  # noqa: BLE001 - whatever way the disk fails
        pass
    disk.cut_power()
    again = open_toy(disk.store)
    assert again.head.height >= acknowledged
    assert state_rows(again) == replay(again, again._machine)
    for block in blocks:
        again.accept_block(block)
    assert not blocks or again.head.hash == blocks[-1].hash


def test_it_opens_again_over_a_database(tmp_path):
    ledger = open_toy(GroupStore(LevelStore(tmp_path / "db", create=True)))
    blocks = grow(ledger.genesis.hash, 20)
    for block in blocks:
        ledger.accept_block(block, sync=False)
    ledger._store.close()
    store = LevelStore(tmp_path / "db", create=False)
    assert open_toy(store).head.hash == blocks[-1].hash
    store.close()


def test_errors_are_the_disks():
    store = GroupStore(FailingStore(Disk(), 0, Moment.FULL))
    store.write({b"a": b"1"}, sync=False)
    with pytest.raises(Exception, match="no room"):
        store.flush()
