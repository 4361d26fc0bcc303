"""The pool's file: what was acknowledged is there after a crash, and it does not grow for ever."""

from pathlib import Path

import pytest
from unit.dpos.dpos_pool_world import GWEI, PoolWorld, tx

from ioex_chain.dpos.mempool_journal import JOURNAL_HEAD
from ioex_chain.ledger.errors import StoreFull
from ioex_chain.node.pool_journal import PoolJournal


def reopened(path: Path, before: PoolWorld) -> PoolWorld:
    """Load the file as the next start does; the process before was killed."""
    world = PoolWorld()
    world.state = before.state
    PoolJournal(path, world.pool).load(world.tip())
    return world


def test_what_was_appended_survives_a_kill(tmp_path: Path) -> None:
    path, world = tmp_path / "txpool.dat", PoolWorld()
    world.fund(1, 2)
    journal = PoolJournal(path, world.pool)
    assert journal.load(world.tip()) is None
    for nonce in range(3):
        journal.append([world.add(tx(1, nonce), local=True)])
    journal.append([world.add(tx(2, 0), local=True), world.add(tx(2, 5), local=True)])
    again = reopened(path, world)
    assert (again.pending(1), again.pending(2), again.queued(2)) == ([0, 1, 2], [0], [5])
    path.write_bytes(path.read_bytes()[:-7])  # torn in the last record
    assert reopened(path, world).pending(1) == [0, 1, 2]


def test_the_file_is_written_anew_before_it_is_large(tmp_path: Path) -> None:
    path, world = tmp_path / "txpool.dat", PoolWorld()
    world.fund(1)
    journal = PoolJournal(path, world.pool, compact_at=1_000)
    journal.load(world.tip())
    fee = 10 * GWEI
    for _ in range(60):
        fee += fee // 8
        journal.append([world.add(tx(1, 0, fee=fee, tip=fee), local=True)])
        assert path.stat().st_size < 1_500
    assert reopened(path, world).pending(1) == [0]


def test_an_unreadable_file_is_replaced_and_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    path, world = tmp_path / "txpool.dat", PoolWorld()
    world.fund(1)
    path.write_bytes(b"something else")
    journal = PoolJournal(path, world.pool)
    assert journal.load(world.tip()) is None
    assert path.read_bytes() == JOURNAL_HEAD
    nowhere = PoolJournal(tmp_path / "none" / "txpool.dat", world.pool)
    with pytest.raises(StoreFull, match="make room"):
        nowhere.append([world.add(tx(1, 0), local=True)])
