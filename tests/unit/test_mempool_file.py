"""The pool over a restart, and what damage costs."""

import pytest
from chaingen.pool_world import PoolWorld
from test_mempool_replace import consistent

from ioex_chain.pow.mempool import Mempool
from ioex_chain.pow.pool_file import (
    PoolFileUnreadable,
    Restored,
    decode_pool,
    encode_pool,
    restore,
)
from ioex_chain.pow.tip import Tip

CAP = 100_000


@pytest.fixture
def world() -> PoolWorld:
    return PoolWorld()


def restart(world: PoolWorld, data: bytes) -> Restored:
    world.pool = Mempool(world.spec, world.clock)
    found = restore(world.pool, decode_pool(data, CAP), Tip.of(world.ledger))
    consistent(world)
    return found


def test_round_trip_keeps_times_and_order(world):
    world.chain_of(5)
    world.clock.advance(50)
    world.add(world.pay(fee=400))
    before = {entry.txid: (entry.time, entry.fee, entry.ancestor_count) for entry in world.pool}
    assert restart(world, encode_pool(world.pool)) == Restored(6, 0, 0)
    assert {entry.txid: (entry.time, entry.fee, entry.ancestor_count) for entry in world.pool} == before


def test_empty(world):
    assert restart(world, encode_pool(world.pool)) == Restored(0, 0, 0)


def test_confirmed_meanwhile(world):
    txs = world.chain_of(3)
    data = encode_pool(world.pool)
    world.mine(*txs[:2])
    assert restart(world, data) == Restored(1, 2, 0)


def test_expired_meanwhile(world):
    world.chain_of(2)
    world.clock.advance(336 * 3600 + 1)
    assert restart(world, encode_pool(world.pool)) == Restored(0, 2, 0)


def test_a_damaged_entry_costs_itself_and_its_children(world):
    world.chain_of(2)
    world.add(world.pay())
    data = bytearray(encode_pool(world.pool))
    data[18 + 12 + 50] ^= 1
    assert restart(world, bytes(data)) == Restored(1, 1, 1)


def test_a_damaged_length_costs_the_rest(world):
    world.chain_of(3)
    data = bytearray(encode_pool(world.pool))
    data[18 + 3] ^= 0xFF
    assert restart(world, bytes(data)) == Restored(0, 0, 3)


def test_every_cut(world):
    world.chain_of(2)
    data = encode_pool(world.pool)
    for size in range(18, len(data)):
        kept = decode_pool(data[:size], CAP)
        assert len(kept.transactions) + kept.damaged == 2
        assert kept.damaged > 0


def test_every_flipped_byte_is_noticed(world):
    world.chain_of(2)
    data = encode_pool(world.pool)
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 0x40
        if place < 18:
            with pytest.raises(PoolFileUnreadable):
                decode_pool(bytes(flipped), CAP)
        else:
            assert decode_pool(bytes(flipped), CAP).damaged >= 1


@pytest.mark.parametrize("data", [b"", b"ioexpool", bytes(18)])
def test_not_a_pool(data):
    with pytest.raises(PoolFileUnreadable):
        decode_pool(data, CAP)
