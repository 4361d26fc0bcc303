"""The pool at size: floods, selection for a full block, the journal."""

import time

import pytest
from dpos_pool_world import FEE, GWEI, TIP, PoolWorld, address, tx

from ioex_chain.dpos.mempool_journal import (
    JOURNAL_HEAD,
    JournalUnreadable,
    all_entries,
    decode_journal,
    encode_journal,
    encode_record,
    restore,
)
from ioex_chain.evm.errors import InvalidTransaction


def flooded(count: int, **policy: int) -> PoolWorld:
    world = PoolWorld(**policy)
    senders = range(1, count // 10 + 1)
    world.fund(*senders)
    for start in range(0, count, 100):
        batch = [
            tx(1 + at % len(senders), at // len(senders), tip=1 + at % 977)
            for at in range(start, start + 100)
        ]
        world.pool.add_all(batch, world.tip())
    return world


def test_a_flood_keeps_the_caps_and_a_better_payer_is_first() -> None:
    world = flooded(4_000, max_transactions=1_500)
    world.check()
    assert len(world.pool) == 1_500
    world.fund(100_000)
    honest = world.add(tx(100_000, 0, tip=TIP))
    assert next(world.pool.select(world.base_fee, max_count=10, max_bytes=10**6)) is honest


def test_a_template_of_ten_thousand_is_quick() -> None:
    world = flooded(12_000)
    began = time.perf_counter()
    taken = list(world.pool.select(world.base_fee, max_count=10_000, max_bytes=7_900_000))
    assert time.perf_counter() - began < 1
    assert len(taken) == 10_000
    assert len({entry.tx.hash for entry in taken}) == 10_000


def test_a_selection_keeps_its_bounds_and_passes_over_what_did_not_fit() -> None:
    world = PoolWorld()
    world.fund(1, 2)
    for nonce in range(3):
        world.add(tx(1, nonce, tip=2 * GWEI))
        world.add(tx(2, nonce, tip=1 * GWEI))
    selection = world.pool.select(world.base_fee, max_count=3, max_bytes=10**6)
    first = next(selection)
    assert (first.sender, first.tx.nonce) == (address(1), 0)
    selection.skip()
    rest = [(entry.sender, entry.tx.nonce) for entry in selection]
    assert rest == [(address(2), nonce) for nonce in range(3)]
    size = len(first.tx.raw) + 4
    assert len(list(world.pool.select(world.base_fee, max_count=9, max_bytes=2 * size))) == 2
    assert not list(world.pool.select(FEE + 1, max_count=9, max_bytes=10**6))


def journal_world() -> PoolWorld:
    world = PoolWorld()
    world.fund(1, 2)
    world.add(tx(1, 0), local=True)
    world.add(tx(1, 1, kind=0))
    world.add(tx(2, 4), time=world.clock.time - 60)
    return world


def test_a_pool_survives_a_restart() -> None:
    world = journal_world()
    data = encode_journal(all_entries(world.pool))
    again = PoolWorld()
    again.state = world.state
    done = restore(again.pool, decode_journal(data, 131_072), again.tip())
    assert (done.kept, done.refused, done.damaged) == (3, 0, 0)
    assert (again.pending(1), again.queued(2)) == ([0, 1], [4])
    old = {entry.tx.hash: (entry.local, entry.time) for entry in all_entries(world.pool)}
    assert old == {entry.tx.hash: (entry.local, entry.time) for entry in all_entries(again.pool)}


def test_records_can_be_appended_and_what_is_used_stays_out() -> None:
    world = journal_world()
    data = JOURNAL_HEAD + b"".join(map(encode_record, all_entries(world.pool)))
    world.mine([tx(1, 0)])
    again = PoolWorld()
    again.state = world.state
    done = restore(again.pool, decode_journal(data + data[len(JOURNAL_HEAD) :], 131_072), again.tip())
    assert (done.kept, done.refused, done.damaged) == (2, 1, 0)


def test_damage_costs_what_it_hits() -> None:
    data = encode_journal(all_entries(journal_world().pool))
    assert len(decode_journal(data[:-1], 131_072).transactions) == 2
    assert decode_journal(data[:-1], 131_072).damaged == 1
    with pytest.raises(JournalUnreadable):
        decode_journal(b"x" + data, 131_072)
    hurt = bytearray(data)
    hurt[len(JOURNAL_HEAD) + 20] ^= 1
    kept = decode_journal(bytes(hurt), 131_072)
    assert (len(kept.transactions), kept.damaged) == (2, 1)
    for at in range(len(JOURNAL_HEAD), len(data)):
        hurt = bytearray(data)
        hurt[at] ^= 0x55
        assert len(decode_journal(bytes(hurt), 131_072).transactions) <= 2


def test_old_queued_ones_do_not_come_back() -> None:
    world = journal_world()
    data = encode_journal(all_entries(world.pool))
    world.clock.time += 3 * 3600
    again = PoolWorld()
    again.clock, again.state = world.clock, world.state
    again.pool.clock = world.clock
    restore(again.pool, decode_journal(data, 131_072), again.tip())
    assert (again.pending(1), again.queued(2)) == ([0, 1], [])


def test_an_endless_stream_of_replacements_leaves_one() -> None:
    world = PoolWorld()
    world.fund(1)
    refused = 0
    for step in range(300):
        try:
            world.add(tx(1, 0, fee=FEE + step * GWEI // 10, tip=TIP + step * GWEI // 10))
        except InvalidTransaction:
            refused += 1
    assert len(world.pool) == 1
    assert refused > 250
    world.check()
