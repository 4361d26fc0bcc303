"""Block relay: stories of one node and what its peers send it. The ledger, pool and intake are real."""

import pytest
from gossip_world import FakePeer, GossipWorld

from ioex_chain.gossip import compact, serving
from ioex_chain.gossip.block_relay import MAX_PUSHERS, PACE
from ioex_chain.gossip.compact import make_compact
from ioex_chain.gossip.compact_fetch import DEADLINE, MAX_FETCHES, SPARE_DEADLINE
from ioex_chain.gossip.serving import MAX_KEPT_BODIES, RECENT_DEPTH
from ioex_chain.p2p.chain_messages import (
    Announce,
    BlockTransactions,
    CompactBlock,
    GetBlockTransactions,
    GetCompact,
    NotFound,
    Prefilled,
    SendCompact,
)
from ioex_chain.p2p.seam import Offence
from ioex_chain.pow.block import Block
from ioex_chain.pow.header import Header
from ioex_chain.pow.pool_events import Left


@pytest.fixture
def world() -> GossipWorld:
    return GossipWorld()


def next_block(world: GossipWorld, known: int = 2, unknown: int = 0) -> Block:
    """Make a block on the head: some of its transactions are in our pool, the last ones are not."""
    pools = world.pools
    txs = [pools.pay() for _ in range(known + unknown)]
    for tx in txs[:known]:
        pools.add(tx)
    world.settle()
    return pools.chain.block(pools.tip, txs)


def push(world: GossipWorld, peer: FakePeer, block: Block, nonce: int = 1, **fields: object) -> None:
    message = make_compact(block, nonce)
    if fields:
        message = CompactBlock(
            **{
                name: fields.get(name, getattr(message, name))
                for name in ("header", "nonce", "short_ids", "prefilled")
            }  # type: ignore[arg-type]
        )
    world.blocks.on_compact(peer, message)
    world.settle()


def answer(world: GossipWorld, peer: FakePeer, block: Block) -> None:
    """Answer the one GetBlockTransactions that the peer was sent."""
    [asked] = peer.take(GetBlockTransactions)
    assert asked.hash == block.hash
    items = tuple(block.transactions[index].raw for index in asked.indexes)
    world.blocks.on_block_transactions(peer, BlockTransactions(block.hash, items))
    world.settle()


def is_head(world: GossipWorld, block: Block) -> bool:
    return world.pools.ledger.head.hash == block.hash


# --- pushed blocks -------------------------------------------------------------------------------------


def test_full_hit(world):
    peer = world.connect()
    block = next_block(world)
    push(world, peer, block)
    assert is_head(world, block)
    assert peer.take(GetBlockTransactions) == []
    assert world.sync.has(peer, block.hash)
    assert peer.offences == []
    assert world.sync.failed == []
    assert world.sync.fetches == {}
    assert world.gave_blocks == [peer.number]


def test_some_missing(world):
    peer = world.connect()
    block = next_block(world, known=2, unknown=2)
    push(world, peer, block)
    assert peer.sent == [GetBlockTransactions(block.hash, (3, 4))]
    assert world.sync.fetches == {block.hash: peer.number}
    answer(world, peer, block)
    assert is_head(world, block)
    assert world.sync.fetches == {}


def test_an_orphan_in_the_block_is_not_asked_for(world):
    peer = world.connect()
    parent = world.pools.pay()
    child = world.pools.respend(parent, fee=1_000)
    world.blocks.fetcher.extra = lambda: [child]
    push(world, peer, world.pools.chain.block(world.pools.tip, [parent, child]))
    [asked] = peer.take(GetBlockTransactions)
    assert asked.indexes == (1,)


def test_what_we_lacked_goes_along_to_the_next_peer(world):
    giver, taker = world.connect(), world.connect()
    world.blocks.on_send_compact(taker, SendCompact(True))
    block = next_block(world, known=2, unknown=1)
    push(world, giver, block)
    answer(world, giver, block)
    [pushed] = taker.take(CompactBlock)
    assert [item.place for item in pushed.prefilled] == [0, 3]


def test_a_known_block_costs_nothing(world):
    peer, other = world.connect(), world.connect()
    block = next_block(world)
    push(world, peer, block)
    runs = world.chain.runs
    push(world, other, block)
    assert world.chain.runs == runs
    assert world.sync.has(other, block.hash)


def test_unknown_parent_is_left_to_sync(world):
    peer = world.connect()
    parent = world.pools.chain.block(world.pools.tip)
    block = world.pools.chain.block(parent)
    push(world, peer, block)
    assert world.sync.announced == [(peer.number, [block.hash])]
    assert peer.offences == []


def test_while_catching_up_it_is_left_to_sync(world):
    peer = world.connect()
    world.sync.is_syncing = True
    block = next_block(world)
    push(world, peer, block)
    assert world.sync.announced == [(peer.number, [block.hash])]
    assert not is_head(world, block)


def test_a_side_branch_is_not_rebuilt(world):
    peer = world.connect()
    old = world.pools.tip
    world.pools.mine()
    world.settle()
    rival = world.pools.chain.block(old)
    push(world, peer, rival)
    assert world.sync.has(peer, rival.hash)
    assert world.pools.ledger.body_bytes(rival.hash) is None
    assert world.sync.fetches == {}
    assert world.sync.failed == []
    assert peer.take(GetBlockTransactions) == []


def test_collision_is_nobodys_fault(world, monkeypatch):
    """A short id names another transaction of our pool: the block is fetched whole."""
    peer = world.connect()
    block = next_block(world)
    wrong = world.pools.pay()
    world.pools.add(wrong)
    right = compact.short_ids

    def weak(key: bytes, wtxids: list[bytes]) -> list[bytes]:
        swap = block.transactions[1].wtxid
        return right(key, [swap if wtxid == wrong.wtxid else wtxid for wtxid in wtxids if wtxid != swap])

    message = make_compact(block, 1)
    monkeypatch.setattr(compact, "short_ids", weak)
    world.pools.pool.remove(world.pools.pool.get(block.transactions[1].txid), Left.EVICTED)
    world.blocks.on_compact(peer, message)
    world.settle()
    assert world.sync.failed == [(peer.number, block.hash)]
    assert peer.offences == []
    assert not is_head(world, block)
    world.blocks.on_compact(peer, message)
    assert world.sync.announced == [(peer.number, [block.hash])]


@pytest.mark.parametrize(
    ("spoil", "offence"),
    [
        (lambda items, other: items[:1], Offence.UNREQUESTED),
        (lambda items, other: items[::-1], Offence.UNREQUESTED),
        (lambda items, other: [items[0], other], Offence.UNREQUESTED),
        (lambda items, other: [items[0], items[1][:-1]], Offence.MALFORMED),
    ],
)
def test_wrong_fill(world, spoil, offence):
    peer = world.connect()
    block = next_block(world, known=1, unknown=2)
    push(world, peer, block)
    [asked] = peer.take(GetBlockTransactions)
    items = [block.transactions[index].raw for index in asked.indexes]
    wrong = tuple(spoil(items, world.pools.pay().raw))
    world.blocks.on_block_transactions(peer, BlockTransactions(block.hash, wrong))
    world.settle()
    assert peer.offences == [offence]
    assert world.sync.failed == [(peer.number, block.hash)]
    assert not is_head(world, block)


def test_a_mutated_body_blames_the_sender_not_the_block(world):
    """The coinbase without its witness: same Merkle root, wrong witness commitment."""
    peer, other = world.connect(), world.connect()
    block = next_block(world)
    coinbase = block.transactions[0]
    bare = coinbase.encode_stripped()
    push(world, peer, block, prefilled=(Prefilled(0, bare),))
    assert peer.offences == [Offence.MUTATED_BLOCK]
    assert world.sync.failed == [(peer.number, block.hash)]
    push(world, other, block)
    assert is_head(world, block)


def test_invalid_messages_are_offences(world):
    peer = world.connect()
    block = next_block(world)
    raw = block.transactions[0].raw
    push(world, peer, block, prefilled=(Prefilled(9, raw),))
    push(world, peer, block, header=block.header.encode()[:-1])
    unsolved = world.pools.chain.block(world.pools.tip, solved=False)
    push(world, peer, unsolved)
    world.blocks.on_announce(peer, Announce((b"\x00" * 79,)))
    assert peer.offences == [
        Offence.MALFORMED,
        Offence.MALFORMED,
        Offence.INVALID_HEADER,
        Offence.MALFORMED,
    ]


def test_a_lying_compact_block_leaves_nothing_behind(world):
    """More places than the block has: it is fetched whole, and told to others all the same."""
    liar, other = world.connect(), world.connect()
    world.blocks.on_send_compact(other, SendCompact(True))
    block = next_block(world, known=1)
    push(world, liar, block, short_ids=tuple(n.to_bytes(6, "big") for n in range(9)))
    [asked] = liar.take(GetBlockTransactions)
    assert len(asked.indexes) == 9
    world.blocks.on_not_found(liar, NotFound(GetBlockTransactions.type, block.hash))
    assert world.sync.failed == [(liar.number, block.hash)]
    world.pools.accept(block)
    world.settle()
    [pushed] = other.take(CompactBlock)
    assert [item.place for item in pushed.prefilled] == [0]


def test_an_invalid_block_is_not_passed_on(world):
    peer, other = world.connect(), world.connect()
    pools = world.pools
    greedy = pools.chain.block(pools.tip, [pools.pay()], fees=10**12)
    push(world, peer, greedy)
    answer(world, peer, greedy)
    assert peer.offences == [Offence.INVALID_BLOCK]
    assert other.sent == []
    assert world.sync.failed == []
    assert world.sync.fetches == {}


def test_staller_gives_way_to_the_whole_block(world):
    peer = world.connect()
    block = next_block(world, unknown=1)
    push(world, peer, block)
    world.pass_time(DEADLINE - 0.5)
    assert world.sync.failed == []
    world.pass_time(1.0)
    assert world.sync.failed == [(peer.number, block.hash)]
    assert peer.offences == [Offence.STALLING]
    answer(world, peer, block)  # too late: nothing happens
    assert not is_head(world, block)


def test_staller_gives_way_sooner_when_another_pushed_it(world):
    staller, honest = world.connect(), world.connect()
    block = next_block(world, unknown=1)
    push(world, staller, block, nonce=1)
    push(world, honest, block, nonce=2)
    assert honest.take(GetBlockTransactions) == []
    world.pass_time(SPARE_DEADLINE + 0.2)
    assert world.sync.fetches == {block.hash: honest.number}
    answer(world, honest, block)
    assert is_head(world, block)
    assert world.sync.failed == staller.offences == []


def test_a_peer_that_leaves_gives_way_at_once(world):
    leaver, honest = world.connect(), world.connect()
    block = next_block(world, unknown=1)
    push(world, leaver, block)
    push(world, honest, block)
    world.disconnect(leaver)
    answer(world, honest, block)
    assert is_head(world, block)


def test_not_found_gives_way(world):
    peer = world.connect()
    block = next_block(world, unknown=1)
    push(world, peer, block)
    world.blocks.on_not_found(peer, NotFound(GetBlockTransactions.type, block.hash))
    assert world.sync.failed == [(peer.number, block.hash)]


def test_bounded_fetches(world):
    peer = world.connect()
    for _ in range(MAX_FETCHES + 5):
        push(world, peer, next_block(world, known=0, unknown=1))
    assert len(world.blocks.fetcher) == MAX_FETCHES
    assert len(world.sync.announced) == 5


# --- fetching when it is announced ---------------------------------------------------------------------


def test_announce_goes_to_sync_and_comes_back_as_a_fetch(world):
    peer = world.connect()
    block = next_block(world)
    world.blocks.on_announce(peer, Announce((block.header.encode(),)))
    assert world.sync.announced == [(peer.number, [block.hash])]
    entry = world.pools.ledger.accept_header(block.header)
    assert world.blocks.fetch_compact(peer, entry)
    assert peer.take() == [GetCompact(block.hash)]
    push(world, peer, block)
    assert is_head(world, block)
    assert not world.blocks.fetch_compact(peer, entry), "it is here"


def test_fetch_compact_declines_what_is_far_or_failed(world):
    peer = world.connect()
    block = next_block(world, unknown=1)
    entry = world.pools.ledger.accept_header(block.header)
    assert world.blocks.fetch_compact(peer, entry)
    assert not world.blocks.fetch_compact(peer, entry)
    world.blocks.on_not_found(peer, NotFound(GetCompact.type, block.hash))
    assert not world.blocks.fetch_compact(peer, entry)
    far = world.pools.chain.extend(block, 4)
    entries = world.pools.ledger.accept_headers([item.header for item in far])
    assert not world.blocks.fetch_compact(peer, entries[-1])


def test_get_compact_that_nobody_answers(world):
    peer = world.connect()
    entry = world.pools.ledger.accept_header(next_block(world).header)
    world.blocks.fetch_compact(peer, entry)
    world.pass_time(DEADLINE + 0.2)
    assert world.sync.failed == [(peer.number, entry.hash)]


# --- telling -------------------------------------------------------------------------------------------


def test_a_new_head_is_told_once_to_all_that_do_not_know(world):
    giver, quiet, pushed = world.connect(), world.connect(), world.connect(outbound=False)
    world.blocks.on_send_compact(pushed, SendCompact(True))
    block = next_block(world)
    push(world, giver, block)
    assert quiet.take() == [Announce((block.header.encode(),))]
    [message] = pushed.take(CompactBlock)
    assert (
        message.encode()
        == CompactBlock(message.header, message.nonce, message.short_ids, message.prefilled).encode()
    )
    assert message.header == block.header.encode()
    assert giver.take(Announce) == giver.take(CompactBlock) == []
    world.pass_time(5)
    assert quiet.take(Announce) == []


def test_our_own_block_is_told(world):
    peer = world.connect()
    block = world.pools.mine()
    world.settle()
    assert peer.take(Announce) == [Announce((block.header.encode(),))]


def test_push_only_to_who_has_the_parent(world):
    peer = world.connect()
    world.blocks.on_send_compact(peer, SendCompact(True))
    world.sync.known.clear()
    block = world.pools.mine()
    world.settle()
    assert peer.take(CompactBlock) == []
    world.pools.mine()
    world.settle()
    assert len(peer.take(CompactBlock)) == 1, "the last block was announced, so it will have it"
    assert block.hash != world.pools.tip.hash


def test_no_push_after_it_was_withdrawn(world):
    peer = world.connect()
    world.blocks.on_send_compact(peer, SendCompact(True))
    world.blocks.on_send_compact(peer, SendCompact(False))
    world.pools.mine()
    world.settle()
    assert peer.take(CompactBlock) == []
    assert len(peer.take(Announce)) == 1


def test_reorganisation_is_announced(world):
    peer = world.connect()
    pools = world.pools
    fork = pools.tip
    pools.mine()
    world.settle()
    peer.take()
    branch = pools.chain.extend(fork, 3)
    for block in branch:
        pools.accept(block)
    world.settle()
    sent = [header for message in peer.take(Announce) for header in message.headers]
    assert sent == [block.header.encode() for block in branch]


def test_of_a_long_reorganisation_the_last_eight_are_announced(world):
    peer = world.connect()
    pools = world.pools
    fork = pools.tip
    for _ in range(11):
        pools.mine()
    world.settle()
    peer.take()
    branch = pools.chain.extend(fork, 12)
    for block in reversed(branch):  # the bodies come last to first, so that it is one step
        pools.ledger.accept_headers([item.header for item in branch])
        pools.ledger.accept_block(block)
    world.settle()
    [message] = peer.take(Announce)
    assert message.headers == tuple(block.header.encode() for block in branch[-8:])


def test_nothing_is_told_while_catching_up_but_the_head_after_it(world):
    peer = world.connect()
    world.sync.is_syncing = True
    blocks = [world.pools.mine(), world.pools.mine()]
    world.settle()
    world.pass_time(1)
    assert peer.take(Announce) == []
    world.sync.is_syncing = False
    world.pass_time(1)
    assert peer.take(Announce) == [Announce(tuple(block.header.encode() for block in blocks))]


def test_heads_in_quick_succession_are_not_all_told(world):
    """A node that catches up again floods nobody; the last head is always told."""
    peer = world.connect()
    for _ in range(200):
        last = world.pools.mine()
        world.settle()
    world.pass_time(1)
    messages = peer.take(Announce)
    assert PACE.burst <= len(messages) < 2 * PACE.burst
    assert messages[-1].headers[-1] == last.header.encode()


def test_bytes_of_a_pushed_block_are_made_once(world):
    peers = [world.connect() for _ in range(3)]
    for peer in peers:
        world.blocks.on_send_compact(peer, SendCompact(True))
    world.pools.mine()
    world.settle()
    payloads = {id(message.encode()) for peer in peers for message in peer.take(CompactBlock)}
    assert len(payloads) == 1


# --- whom we ask to push -------------------------------------------------------------------------------


def asked_to_push(world: GossipWorld) -> list[int]:
    """Give the peers whose last SendCompact said yes."""
    wanted = []
    for peer in world.peers.values():
        said = [message.push for message in peer.sent if isinstance(message, SendCompact)]
        if said and said[-1]:
            wanted.append(peer.number)
    return wanted


def test_push_is_asked_of_those_that_gave_blocks_last(world):
    peers = [world.connect() for _ in range(MAX_PUSHERS + 1)]
    for peer in peers:
        push(world, peer, next_block(world))
        world.pools.follow()
    assert asked_to_push(world) == [2, 3, 4]
    push(world, peers[1], next_block(world))
    world.pools.follow()
    push(world, peers[0], next_block(world))
    assert asked_to_push(world) == [1, 2, 4]
    assert len(peers[1].take(SendCompact)) == 1, "who is asked already is not asked again"


def test_the_last_outbound_pusher_is_kept(world):
    outbound = world.connect()
    inbound = [world.connect(outbound=False) for _ in range(4)]
    for peer in (outbound, *inbound):
        push(world, peer, next_block(world))
        world.pools.follow()
    assert outbound.number in asked_to_push(world)
    assert len(asked_to_push(world)) == MAX_PUSHERS


def test_a_pusher_that_left_is_replaced(world):
    peers = [world.connect() for _ in range(4)]
    for peer in peers[:3]:
        push(world, peer, next_block(world))
        world.pools.follow()
    world.disconnect(peers[0])
    peers[0].take()
    push(world, peers[3], next_block(world))
    assert asked_to_push(world) == [2, 3, 4]


# --- serving -------------------------------------------------------------------------------------------


def test_recent_blocks_are_served_in_compact_form_and_in_part(world):
    peer = world.connect()
    txs = [world.pools.pay() for _ in range(3)]
    block = world.pools.mine(*txs)
    world.settle()
    peer.take()
    world.blocks.on_get_compact(peer, GetCompact(block.hash))
    world.blocks.on_get_block_transactions(peer, GetBlockTransactions(block.hash, (0, 2, 3)))
    world.settle()
    served, part = peer.take()
    assert Header.decode(served.header).hash == block.hash
    assert part == BlockTransactions(block.hash, tuple(block.transactions[at].raw for at in (0, 2, 3)))
    for _ in range(MAX_KEPT_BODIES + 2):
        world.pools.mine()
    world.settle()
    peer.take()
    world.blocks.on_get_block_transactions(peer, GetBlockTransactions(block.hash, (1,)))
    world.settle()
    assert peer.take() == [BlockTransactions(block.hash, (txs[0].raw,))]


def test_old_and_unknown_blocks_are_not_found(world):
    peer = world.connect()
    block = world.pools.mine()
    for _ in range(RECENT_DEPTH):
        world.pools.mine()
    world.settle()
    peer.take()
    unconnected = world.pools.chain.extend(world.pools.tip, 2)[1]
    world.pools.ledger.accept_header(world.pools.chain.parent(unconnected).header)
    world.pools.ledger.accept_block(unconnected)
    hashes = [block.hash, bytes(32), unconnected.hash]
    for hash_ in hashes:
        world.blocks.on_get_compact(peer, GetCompact(hash_))
        world.blocks.on_get_block_transactions(peer, GetBlockTransactions(hash_, (0,)))
    world.settle()
    kinds = (GetCompact.type, GetBlockTransactions.type)
    assert peer.take() == [NotFound(kind, hash_) for hash_ in hashes for kind in kinds]


def test_a_block_whose_compact_form_is_too_large_is_only_announced(world, monkeypatch):
    """A huge coinbase, which always goes whole."""
    monkeypatch.setattr(serving, "_CAP", 200)
    peer = world.connect()
    world.blocks.on_send_compact(peer, SendCompact(True))
    block = world.pools.mine()
    world.settle()
    assert peer.take() == [Announce((block.header.encode(),))]
    world.blocks.on_get_compact(peer, GetCompact(block.hash))
    assert peer.take() == [NotFound(GetCompact.type, block.hash)]


def test_an_index_that_the_block_has_not_got(world):
    peer = world.connect()
    block = world.pools.mine()
    world.settle()
    world.blocks.on_get_block_transactions(peer, GetBlockTransactions(block.hash, (0, 1)))
    world.settle()
    assert peer.offences == [Offence.MALFORMED]


def test_a_block_is_prepared_once_for_all_who_ask(world):
    peers = [world.connect() for _ in range(5)]
    block = world.pools.mine()
    world.chain.queue.clear()
    runs = world.chain.runs
    for peer in peers:
        world.blocks.on_get_compact(peer, GetCompact(block.hash))
    world.settle()
    assert world.chain.runs == runs + 1
    assert all(len(peer.take(CompactBlock)) == 1 for peer in peers)
