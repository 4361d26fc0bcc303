"""Compact blocks by themselves: short ids, rebuilding, and what cannot be rebuilt."""

from collections.abc import Callable
from hashlib import blake2b, sha256

import pytest
from chaingen.pool_world import PoolWorld
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.gossip import compact
from ioex_chain.gossip.compact import Rebuild, WrongFill, make_compact, short_id_key, short_ids
from ioex_chain.p2p.chain_messages import CompactBlock, Prefilled
from ioex_chain.pow.block import Block
from ioex_chain.pow.transaction import Transaction
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.errors import DecodeError

COUNT = 12


@pytest.fixture(scope="module")
def world() -> PoolWorld:
    return PoolWorld()


@pytest.fixture(scope="module")
def block(world: PoolWorld) -> Block:
    return world.chain.block(world.tip, [world.pay() for _ in range(COUNT)])


def over_the_wire(message: CompactBlock) -> CompactBlock:
    reader = Reader(message.encode())
    read = CompactBlock.read(reader)
    reader.finish()
    assert read == message
    return read


def test_short_id_is_keyed_blake2b(block):
    header = block.header.encode()
    key = short_id_key(header, 7)
    assert key == sha256(header + (7).to_bytes(8, "little")).digest()[:16]
    wtxid = block.transactions[1].wtxid
    assert short_ids(key, [wtxid]) == [blake2b(wtxid, digest_size=6, key=key).digest()]
    assert short_id_key(header, 8) != key


def test_short_id_key_covers_an_auxpow_record(world, block):
    merged = world.chain.merged(block)
    message = over_the_wire(make_compact(merged, 7))
    assert message.header == merged.header.encode()
    assert Rebuild(message, block.transactions).block() == merged


def test_full_hit(block):
    message = over_the_wire(make_compact(block, 1))
    assert [item.place for item in message.prefilled] == [0]
    rebuild = Rebuild(message, block.transactions[1:])
    assert rebuild.missing == []
    assert rebuild.block() == block
    assert rebuild.block().transactions[3] is block.transactions[3]


def test_only_a_coinbase(world):
    empty = world.chain.block(world.tip)
    assert Rebuild(over_the_wire(make_compact(empty, 1)), ()).block() == empty


@given(st.sets(st.integers(1, COUNT)), st.sets(st.integers(1, COUNT)), st.integers(0, 2**64 - 1))
def test_whatever_is_missing_is_filled(prefill: set[int], had: set[int], nonce: int):
    block = _BLOCK()
    rebuild = Rebuild(
        over_the_wire(make_compact(block, nonce, prefill)),
        [block.transactions[place] for place in sorted(had)],
    )
    assert rebuild.missing == sorted(set(range(1, COUNT + 1)) - had - prefill)
    if rebuild.missing:
        assert rebuild.block() is None
        rebuild.fill([block.transactions[place].raw for place in rebuild.missing])
    assert rebuild.block() == block


def _made() -> Callable[[], Block]:
    blocks: list[Block] = []

    def give() -> Block:
        if not blocks:
            world = PoolWorld()
            blocks.append(world.chain.block(world.tip, [world.pay() for _ in range(COUNT)]))
        return blocks[0]

    return give


_BLOCK = _made()


def test_wrong_fill(world, block):
    def rebuild() -> Rebuild:
        return Rebuild(make_compact(block, 1), block.transactions[3:])

    right = [tx.raw for tx in block.transactions[1:3]]
    with pytest.raises(WrongFill):
        rebuild().fill(right[:1])
    with pytest.raises(WrongFill):
        rebuild().fill([*right, right[0]])
    with pytest.raises(WrongFill):
        rebuild().fill(right[::-1])
    with pytest.raises(WrongFill):
        rebuild().fill([right[0], world.pay().raw])
    with pytest.raises(DecodeError):
        rebuild().fill([right[0], right[1][:-1]])


def test_a_changed_witness_is_a_wrong_fill(block):
    tx = block.transactions[1]
    other = tx.with_witnesses([(tx.inputs[0].witness[0][:-1] + b"\x02", tx.inputs[0].witness[1])])
    assert other.txid == tx.txid
    rebuild = Rebuild(make_compact(block, 1), [other, *block.transactions[2:]])
    assert rebuild.missing == [1]
    with pytest.raises(WrongFill):
        rebuild.fill([other.raw])


@pytest.fixture
def weak_ids(monkeypatch):
    """Let short ids be the first byte of the wtxid and zeros, so that collisions can be made."""

    def weak(_key: bytes, wtxids: list[bytes]) -> list[bytes]:
        return [wtxid[:1] + bytes(5) for wtxid in wtxids]

    monkeypatch.setattr(compact, "short_ids", weak)


def collide(tx: Transaction, world: PoolWorld) -> Transaction:
    """Make a transaction with the same weak id."""
    funds = world.chain.funds(tx, len(tx.outputs) - 1)
    for fee in range(1_000, 20_000):
        other = world.chain.spend(funds, [], fee=fee)
        if other.wtxid[0] == tx.wtxid[0]:
            return other
    raise AssertionError("no collision found")


def test_two_of_the_pool_with_one_id_count_as_missing(world, weak_ids):
    tx = world.pay()
    block = world.chain.block(world.tip, [tx])
    other = collide(tx, world)
    rebuild = Rebuild(make_compact(block, 1), [tx, other])
    assert rebuild.missing == [1]
    rebuild.fill([tx.raw])
    assert rebuild.block() == block
    assert Rebuild(make_compact(block, 1), [tx, tx]).missing == []


def test_two_of_the_block_with_one_id_are_missing(world, weak_ids):
    tx = world.pay()
    other = collide(tx, world)
    block = world.chain.block(world.tip, [tx, other])
    rebuild = Rebuild(make_compact(block, 1), [tx])
    assert rebuild.missing == [1, 2]
    rebuild.fill([tx.raw, other.raw])
    assert rebuild.block() == block


def test_a_collision_shows_in_the_merkle_root(world, weak_ids):
    tx = world.pay()
    block = world.chain.block(world.tip, [tx])
    rebuild = Rebuild(make_compact(block, 1), [collide(tx, world)])
    assert rebuild.missing == []
    assert rebuild.block() is None


def test_a_body_with_equal_neighbours_is_not_rebuilt(world):
    """CVE-2012-2459: another list with the same root."""
    block = world.chain.block(world.tip, [world.pay(), world.pay()])
    doubled = Block.build(block.header, [*block.transactions, block.transactions[-1]])
    message = make_compact(doubled, 1, [1, 2, 3])
    assert Rebuild(message, ()).block() is None


@pytest.mark.parametrize(
    "places",
    [(0, 0), (1, 0), (0, 99), (COUNT + 1,), (0, 65535)],
)
def test_places_out_of_range(block, places):
    raw = block.transactions[0].raw
    message = make_compact(block, 1)
    prefilled = tuple(Prefilled(place, raw) for place in places)
    ids = message.short_ids if len(places) == 1 else message.short_ids[1:]
    with pytest.raises(DecodeError):
        Rebuild(CompactBlock(message.header, 1, ids, prefilled), ())


def test_nothing_and_too_much_are_refused(block):
    header = block.header.encode()
    with pytest.raises(DecodeError):
        Rebuild(CompactBlock(header, 1, (), ()), ())
    ids = tuple(n.to_bytes(6, "little") for n in range(10_000))
    raw = block.transactions[0].raw
    with pytest.raises(DecodeError):
        Rebuild(CompactBlock(header, 1, ids, (Prefilled(0, raw),)), ())
    with pytest.raises(DecodeError):
        Rebuild(CompactBlock(header[:-1], 1, ids[:1], (Prefilled(0, raw),)), ())
    with pytest.raises(DecodeError):
        Rebuild(CompactBlock(header, 1, ids[:1], (Prefilled(0, raw[:-1]),)), ())
