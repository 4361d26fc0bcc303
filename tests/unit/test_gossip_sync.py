"""Stories of nodes that synchronise: one thread, no clock, no network."""

from dataclasses import replace

import pytest
from chaingen.harness import open_ledger, state_hash
from chaingen.specs import story_spec
from gossip_sync_world import ChainBuilder, FakePeer, Node, Offence, Time, connect, headers_of

from ioex_chain.gossip import downloads
from ioex_chain.ledger.group_store import GroupStore
from ioex_chain.ledger.schema import body_key
from ioex_chain.ledger.store import MemoryStore
from ioex_chain.ledger.sync import SyncLimits
from ioex_chain.p2p import chain_messages as m
from ioex_chain.pow.block import Block


@pytest.fixture
def builder():
    return ChainBuilder(story_spec())


@pytest.fixture
def time():
    return Time()


def asked(peer: FakePeer) -> list[bytes]:
    """Take the hashes of the blocks that were asked of a peer since the last look."""
    return [hash_ for message in peer.take(m.GetBlocks) for hash_ in message.hashes]


def tell(node: Node, peer: FakePeer, blocks, more=False):
    node.receive(peer, headers_of(blocks, more))
    node.time.settle()


def give(node: Node, peer: FakePeer, *blocks: Block):
    for block in blocks:
        node.receive(peer, m.BlockData(block.encode()))
    node.time.settle()


# --- catching up -----------------------------------------------------------------------------------------


def test_a_new_node_takes_the_whole_chain_from_one_peer(builder, time):
    blocks = builder.extend(builder.genesis, 300)
    full, new = Node(builder, time), Node(builder, time)
    full.give(blocks)
    at_new, at_full = connect(new, full)
    assert new.ledger.head.hash == blocks[-1].hash
    assert state_hash(new.ledger) == state_hash(full.ledger)
    assert not new.sync.is_syncing
    assert (at_new.offences, at_full.offences) == ([], [])


def test_the_first_download_is_synced_in_groups_and_the_rest_block_by_block(builder, time):
    blocks = builder.extend(builder.genesis, 60)
    disk = MemoryStore()
    node = Node(builder, time, ledger=open_ledger(builder, GroupStore(disk)), group=True)
    peer = node.peer()
    tell(node, peer, blocks)
    node.pass_time(3)
    give(node, peer, *blocks[:30])
    assert disk.get(body_key(blocks[29].hash)) is None
    node.pass_time(3)
    assert disk.get(body_key(blocks[29].hash)) is not None
    give(node, peer, *blocks[30:])
    assert not node.sync.is_syncing
    node.pass_time(0.5)
    assert disk.get(body_key(blocks[-1].hash)) is not None
    (new,) = builder.extend(blocks[-1], 1)
    node.sync.on_announce(peer, [new.header])
    time.settle()
    give(node, peer, new)
    assert disk.get(body_key(new.hash)) is not None


def test_the_bodies_come_from_all_peers_and_each_once(builder, time):
    blocks = builder.extend(builder.genesis, 400)
    full, new = Node(builder, time), Node(builder, time)
    full.give(blocks)
    peers = [new.peer() for _ in range(4)]
    for peer in peers:
        tell(new, peer, blocks)
    hashes = [asked(peer) for peer in peers]
    assert sorted(hash_ for part in hashes for hash_ in part) == sorted(block.hash for block in blocks)
    assert all(len(part) <= 128 for part in hashes)
    assert min(map(len, hashes)) > 0
    by_hash = {block.hash: block for block in blocks}
    for peer, part in reversed(list(zip(peers, hashes, strict=True))):
        give(new, peer, *(by_hash[hash_] for hash_ in part))
    assert new.ledger.head.hash == blocks[-1].hash


def test_a_node_far_behind_takes_headers_from_one_peer_and_asks_others_what_they_have(builder, time):
    blocks = builder.extend(builder.genesis, 20)
    builder.clock.advance(30 * 24 * 3600)
    new = Node(builder, time)
    peers = [new.peer() for _ in range(3)]
    assert [len(peer.take(m.GetHeaders)) for peer in peers] == [1, 0, 0]
    tell(new, peers[0], blocks[:10])
    assert [len(peer.take(m.GetHeaders)) for peer in peers] == [0, 1, 0]


def test_a_chain_with_more_work_wins_while_a_lighter_one_is_being_loaded(builder, time):
    light = builder.extend(builder.genesis, 20)
    heavy = builder.extend(builder.genesis, 30)
    node = Node(builder, time)
    one, other = node.peer(), node.peer()
    tell(node, one, light)
    give(node, one, *light[:10])
    assert node.ledger.head.hash == light[9].hash
    tell(node, other, heavy)
    give(node, one, *light[10:])
    give(node, other, *heavy)
    assert node.ledger.head.hash == heavy[-1].hash
    assert (one.offences, other.offences) == ([], [])


def test_two_sides_of_a_partition_converge(builder, time):
    common = builder.extend(builder.genesis, 10)
    left, right = Node(builder, time), Node(builder, time)
    left.give([*common, *builder.extend(common[-1], 40)])
    right_blocks = builder.extend(common[-1], 60)
    right.give([*common, *right_blocks])
    ends = connect(left, right)
    assert left.ledger.head.hash == right.ledger.head.hash == right_blocks[-1].hash
    assert [end.offences for end in ends] == [[], []]


def test_headers_never_run_further_ahead_than_the_bound(builder, time):
    blocks = builder.extend(builder.genesis, 4_600)
    full = Node(builder, time)
    full.give(blocks)
    new = Node(builder, time, SyncLimits(first_size=1_000, max_lead=2_500))
    at_new, at_full = connect(new, full, keep=lambda message: not isinstance(message, m.BlockData))
    assert new.sync.headers.best.height == 2_000
    assert not at_new.offences
    held = at_full.of(m.BlockData)
    highest = 0
    at_full.out = lambda message: time.queue.append(lambda: new.receive(at_new, message))
    for message in held:
        new.receive(at_new, message)
        time.settle()
        highest = max(highest, new.sync.headers.best.height - new.ledger.head.height)
    assert highest <= 2_500
    assert new.ledger.head.hash == blocks[-1].hash


def test_the_window_bounds_how_far_bodies_are_asked(builder, time):
    blocks = builder.extend(builder.genesis, 60)
    node = Node(builder, time, SyncLimits(first_size=1_000, window=16))
    peer = node.peer()
    tell(node, peer, blocks)
    assert asked(peer) == [block.hash for block in blocks[:16]]
    give(node, peer, *blocks[1:16])
    assert asked(peer) == []
    give(node, peer, blocks[0])
    assert asked(peer) == [block.hash for block in blocks[16:32]]


def test_blocks_that_come_faster_than_they_are_checked_are_dropped_and_asked_again(
    builder, time, monkeypatch
):
    blocks = builder.extend(builder.genesis, 12)
    size = len(blocks[0].encode())
    monkeypatch.setattr(downloads, "ENOUGH_WAITING", 2 * size)
    monkeypatch.setattr(downloads, "TOO_MUCH_WAITING", 5 * size)
    node = Node(builder, time)
    peer = node.peer()
    tell(node, peer, blocks)
    assert len(asked(peer)) == 12
    for block in blocks:
        node.receive(peer, m.BlockData(block.encode()))
        assert node.intake.waiting_bytes <= 5 * size + 10
    assert asked(peer) == []
    time.settle()
    assert asked(peer) == [block.hash for block in blocks[5:]]
    assert peer.offences == []


def test_blocks_that_were_rolled_back_come_again(builder, time):
    blocks = builder.extend(builder.genesis, 10)
    node = Node(builder, time)
    peer = node.peer()
    tell(node, peer, blocks)
    for block in blocks[:9]:
        give(node, peer, block)
    asked(peer)
    node.ledger.rollback(3)
    time.settle()
    assert asked(peer) == [block.hash for block in blocks[6:9]]
    give(node, peer, *blocks[6:])
    assert node.ledger.head.hash == blocks[-1].hash


# --- liars -----------------------------------------------------------------------------------------------


def test_an_invalid_body_costs_its_sender_and_the_chain_below_it_stays(builder, time):
    good = builder.extend(builder.genesis, 3)
    bad = builder.block(good[-1], fees=1)
    above = builder.extend(bad, 2)
    node = Node(builder, time)
    peer = node.peer()
    tell(node, peer, [*good, bad, *above])
    give(node, peer, *good, bad, *above)
    assert Offence.INVALID_BLOCK in peer.offences
    assert node.ledger.head.hash == good[-1].hash


def test_a_body_found_invalid_only_when_its_parents_come_is_traced_to_its_sender(builder, time):
    good = builder.extend(builder.genesis, 3)
    bad = builder.block(good[-1], fees=1)
    node = Node(builder, time)
    liar, honest = node.peer(), node.peer()
    tell(node, liar, [*good, bad])
    wanted = asked(liar)
    assert bad.hash in wanted
    give(node, liar, bad)
    assert liar.offences == []
    for block in good[:-1]:
        give(node, liar, block)
    node.down(liar)
    tell(node, honest, good)
    assert good[-1].hash in asked(honest)
    liar.open = True  # so that the score of a closed connection shows
    give(node, honest, good[-1])
    assert node.ledger.head.hash == good[-1].hash
    assert liar.offences == [Offence.INVALID_BLOCK]
    assert honest.offences == []


def test_a_mutated_body_costs_its_sender_only_and_is_asked_of_another(builder, time):
    blocks = builder.extend(builder.genesis, 2)
    other = builder.block(builder.genesis)
    mutated = Block.build(blocks[0].header, other.transactions)
    node = Node(builder, time)
    liar, honest = node.peer(), node.peer()
    tell(node, liar, blocks)
    tell(node, honest, blocks)
    assert asked(liar) == [block.hash for block in blocks]
    give(node, liar, mutated)
    assert liar.offences == [Offence.MUTATED_BLOCK]
    assert asked(honest) == [blocks[0].hash]
    give(node, honest, blocks[0])
    give(node, liar, blocks[1])
    assert node.ledger.head.hash == blocks[1].hash
    assert honest.offences == []


def test_a_block_that_cannot_be_read_is_asked_of_another(builder, time):
    (block,) = builder.extend(builder.genesis, 1)
    node = Node(builder, time)
    liar, honest = node.peer(), node.peer()
    tell(node, liar, [block])
    tell(node, honest, [block])
    node.receive(liar, m.BlockData(block.encode() + b"\x00"))
    time.settle()
    assert liar.offences == [Offence.MALFORMED]
    assert asked(honest) == [block.hash]


def test_a_block_that_was_not_asked_for_is_an_offence(builder, time):
    (block,) = builder.extend(builder.genesis, 1)
    node = Node(builder, time)
    peer = node.peer()
    give(node, peer, block)
    assert peer.offences == [Offence.UNREQUESTED]
    assert node.ledger.head.height == 0
    node.receive(peer, m.BlockData(b"short"))
    assert peer.offences[1:] == [Offence.MALFORMED]


def test_a_wrong_proof_beside_a_merged_block_blames_its_sender_only(builder, time):
    block = builder.merged(builder.block(builder.genesis))
    wrong = builder.merged(builder.block(builder.genesis), met=False)
    core = block.header
    forged = Block.build(type(core)(core.core, wrong.header.auxpow), block.transactions)
    assert forged.hash == block.hash
    node = Node(builder, time)
    liar, honest = node.peer(), node.peer()
    tell(node, liar, [block])
    tell(node, honest, [block])
    give(node, liar, forged)
    assert liar.offences == [Offence.MUTATED_BLOCK]
    give(node, honest, block)
    assert node.ledger.head.hash == block.hash
    assert node.ledger.body_bytes(block.hash) == block.encode()


def test_an_operators_invalid_mark_bans_no_honest_peer(builder, time):
    blocks = builder.extend(builder.genesis, 5)
    full, node = Node(builder, time), Node(builder, time)
    full.give(blocks)
    node.give(blocks)
    node.ledger.invalidate(blocks[2].hash)
    time.settle()
    at_node, _ = connect(node, full)
    node.pass_time(30)
    assert at_node.offences == []
    assert node.ledger.head.hash == blocks[1].hash


# --- stallers and the vanished ---------------------------------------------------------------------------


def test_a_silent_peer_is_scored_and_its_blocks_are_asked_of_another(builder, time):
    blocks = builder.extend(builder.genesis, 5)
    node = Node(builder, time)
    silent, honest = node.peer(), node.peer()
    tell(node, silent, blocks)
    tell(node, honest, blocks)
    assert len(asked(silent)) == 5
    node.pass_time(8)
    assert asked(honest) == []
    node.pass_time(5)
    assert silent.offences == [Offence.STALLING]
    assert asked(honest) == [block.hash for block in blocks]
    give(node, silent, blocks[0])  # late, and still of use
    give(node, honest, *blocks)
    assert node.ledger.head.hash == blocks[-1].hash
    assert silent.offences == [Offence.STALLING]
    assert honest.offences == []


def test_a_peer_that_holds_up_the_window_is_replaced_soon(builder, time):
    blocks = builder.extend(builder.genesis, 40)
    node = Node(builder, time, SyncLimits(first_size=1_000, window=16, peer_blocks=8))
    slow, fast = node.peer(), node.peer()
    tell(node, slow, blocks)
    tell(node, fast, blocks)
    assert asked(slow) == [block.hash for block in blocks[:8]]
    give(node, fast, *blocks[8:16])
    node.pass_time(1.5)
    assert slow.offences == []
    node.pass_time(2)
    assert slow.offences == [Offence.STALLING]
    assert asked(fast)[-8:] == [block.hash for block in blocks[:8]]


def test_what_a_vanished_peer_owes_is_asked_of_another_at_once(builder, time):
    blocks = builder.extend(builder.genesis, 5)
    node = Node(builder, time)
    one, other = node.peer(), node.peer()
    tell(node, one, blocks)
    tell(node, other, blocks)
    give(node, one, blocks[0])
    node.down(one)
    assert asked(other) == [block.hash for block in blocks[1:]]


def test_not_found_is_asked_elsewhere_and_forgiven_once(builder, time):
    blocks = builder.extend(builder.genesis, 3)
    node = Node(builder, time)
    without, having = node.peer(), node.peer()
    tell(node, without, blocks)
    tell(node, having, blocks)
    for hash_ in asked(without):
        node.receive(without, m.NotFound(m.GetBlocks.type, hash_))
    time.settle()
    assert without.offences == []
    assert asked(having) == [block.hash for block in blocks]
    assert without.take(m.GetHeaders)  # asked again what it has
    assert asked(without) == []


def test_a_peer_that_has_nothing_of_what_it_told_is_scored(builder, time):
    blocks = builder.extend(builder.genesis, 40)
    node = Node(builder, time)
    peer = node.peer()
    tell(node, peer, blocks)
    for hash_ in asked(peer):
        node.receive(peer, m.NotFound(m.GetBlocks.type, hash_))
    assert peer.offences == [Offence.BROKEN_PROMISE] * 2


# --- near the tip ----------------------------------------------------------------------------------------


def synced(builder, time, **kwargs):
    node = Node(builder, time, **kwargs)
    peer = node.peer()
    node.receive(peer, m.Headers((), more=False))
    node.pass_time(1)
    assert not node.sync.is_syncing
    return node, peer


def test_an_announced_block_is_asked_of_the_announcer(builder, time):
    node, peer = synced(builder, time)
    (block,) = builder.extend(builder.genesis, 1)
    node.sync.on_announce(peer, [block.header])
    time.settle()
    assert asked(peer) == [block.hash]
    assert node.sync.has(peer, block.hash)
    give(node, peer, block)
    assert node.ledger.head.hash == block.hash


def test_the_next_block_is_fetched_in_compact_form_and_whole_when_that_fails(builder, time):
    fetched = []
    node, peer = synced(builder, time, fetch_compact=lambda peer, entry: fetched.append(entry) or True)
    first, second = builder.extend(builder.genesis, 2)
    node.sync.on_announce(peer, [first.header])
    time.settle()
    assert [entry.hash for entry in fetched] == [first.hash]
    assert asked(peer) == []
    node.pass_time(60)
    assert peer.offences == []  # whoever fetches it has the last word
    node.sync.fetch_failed(peer, first.hash)
    assert asked(peer) == [first.hash]
    give(node, peer, first)
    node.sync.on_announce(peer, [second.header])
    time.settle()
    assert fetched[1:] == [node.ledger.entry(second.hash)]
    node.ledger.accept_block(second)
    node.sync.fetched(second.hash)
    time.settle()
    assert asked(peer) == []


def test_a_block_that_another_part_fetches_is_not_asked_for(builder, time):
    node, peer = synced(builder, time)
    other = node.peer()
    (block,) = builder.extend(builder.genesis, 1)
    node.sync.fetching(peer, block.hash)
    node.sync.on_announce(peer, [block.header])
    node.sync.on_announce(other, [block.header])
    time.settle()
    assert asked(peer) + asked(other) == []
    node.sync.fetch_failed(peer, block.hash)
    assert asked(peer) + asked(other) == [block.hash]


def test_a_sibling_of_the_head_is_fetched_only_when_it_grows(builder, time):
    node, peer = synced(builder, time)
    ours, theirs = builder.block(builder.genesis), builder.block(builder.genesis)
    node.give([ours])
    node.sync.on_announce(peer, [theirs.header])
    time.settle()
    assert asked(peer) == []
    on_it = builder.block(theirs)
    node.sync.on_announce(peer, [on_it.header])
    time.settle()
    assert asked(peer) == [theirs.hash, on_it.hash]


def test_a_block_ahead_of_our_clock_is_asked_again_when_it_is_valid(builder, time):
    node, peer = synced(builder, time)
    before = builder.clock.time
    early = builder.block(builder.genesis, time=before + 700)
    builder.clock.time = before
    peer.sent.clear()
    node.sync.on_announce(peer, [early.header])
    time.settle()
    assert node.ledger.entry(early.hash) is None
    assert peer.offences == []
    node.pass_time(90)
    assert peer.take(m.GetHeaders) == []
    builder.clock.advance(101)
    node.pass_time(12)
    assert len(peer.take(m.GetHeaders)) == 1
    tell(node, peer, [early])
    give(node, peer, early)
    assert node.ledger.head.hash == early.hash
    assert peer.offences == []


def test_announcements_do_not_pile_up_before_the_worker(builder, time):
    node, peer = synced(builder, time)
    headers = [builder.block(builder.genesis).header for _ in range(100)]
    time.settle()
    waiting = len(time.queue)
    for header in headers:
        node.sync.on_announce(peer, [header])
    assert len(time.queue) - waiting <= 16
    peer.sent.clear()
    time.settle()
    node.pass_time(1)
    assert len(peer.take(m.GetHeaders)) == 1, "what was dropped is asked for"
    assert peer.offences == []


# --- serving ---------------------------------------------------------------------------------------------


def test_headers_are_served_from_the_best_chain_after_the_locator(builder, time):
    blocks = builder.extend(builder.genesis, 2_005)
    side = builder.block(blocks[3])
    node = Node(builder, time)
    node.give([*blocks, side])
    peer = node.peer()
    node.receive(peer, m.GetHeaders((side.hash, blocks[3].hash, builder.genesis.hash)))
    (answer,) = peer.take(m.Headers)
    assert answer.items == tuple(block.header.encode() for block in blocks[4:2_004])
    assert answer.more
    node.receive(peer, m.GetHeaders((blocks[-2].hash,)))
    assert peer.take(m.Headers) == [headers_of(blocks[-1:])]
    node.receive(peer, m.GetHeaders((blocks[9].hash,), blocks[11].hash))
    assert peer.take(m.Headers) == [headers_of(blocks[10:12], more=True)]
    node.receive(peer, m.GetHeaders((bytes(32),)))
    assert len(peer.take(m.Headers)[0].items) == 2_000


def test_blocks_are_served_in_order_and_wait_for_a_slow_peer(builder, time):
    blocks = builder.extend(builder.genesis, 4)
    node = Node(builder, time)
    node.give(blocks)
    peer = node.peer()
    peer.backlog = 2 << 20
    node.receive(peer, m.GetBlocks((blocks[1].hash, bytes(32), blocks[0].hash)))
    assert peer.take(m.BlockData) == []
    peer.backlog = 0
    node.sync.drained(peer)
    assert peer.sent[-3:] == [
        m.BlockData(blocks[1].encode()),
        m.NotFound(m.GetBlocks.type, bytes(32)),
        m.BlockData(blocks[0].encode()),
    ]


def test_a_block_that_was_never_connected_is_given_to_nobody(builder, time):
    best = builder.extend(builder.genesis, 3)
    aside = [builder.block(builder.genesis, time=builder.genesis.header.time + 77)]
    node = Node(builder, time)
    node.give(best)
    node.give(aside)
    assert node.chain.ledger.body_bytes(aside[0].hash) is not None
    peer = node.peer()
    node.receive(peer, m.GetBlocks((aside[0].hash, best[0].hash)))
    assert peer.sent[-2:] == [m.NotFound(m.GetBlocks.type, aside[0].hash), m.BlockData(best[0].encode())]


def test_a_peer_cannot_queue_requests_without_end(builder, time):
    node = Node(builder, time)
    peer = node.peer()
    peer.backlog = 2 << 20
    for _ in range(3):
        node.receive(peer, m.GetBlocks((bytes(32),) * 128))
    assert peer.offences == [Offence.FLOOD]


# --- what is told ----------------------------------------------------------------------------------------


def test_progress_is_told(builder, time):
    blocks = builder.extend(builder.genesis, 20)
    builder.clock.advance(10 * 24 * 3600)
    node = Node(builder, time)
    peer = node.peer()
    tell(node, peer, blocks)
    state = node.sync.state()
    assert (state.is_syncing, state.head_height, state.header_height) == (True, 0, 20)
    assert state.seconds_left is None
    assert node.sync.peer_sync(peer.number).in_flight == tuple(range(1, 21))
    node.pass_time(2)
    give(node, peer, *blocks[:10])
    state = node.sync.state()
    assert (state.head_height, state.blocks_per_second, state.seconds_left) == (10, 5.0, 2.0)
    known = node.sync.peer_sync(peer.number)
    assert (known.known_headers, known.common_blocks) == (20, 10)
    give(node, peer, *blocks[10:])
    assert not node.sync.is_syncing
    assert node.sync.state().seconds_left == 0
    assert node.sync.peer_sync(9_999) is None


def test_a_lonely_node_is_synced_on_devnet_and_when_its_head_is_recent(builder, time):
    assert not Node(builder, time).sync.is_syncing
    main = ChainBuilder(replace(story_spec(), name="testnet"))
    assert not Node(main, time).sync.is_syncing
    main.clock.advance(2 * 24 * 3600)
    node = Node(main, time)
    assert node.sync.is_syncing
    peer = node.peer()
    node.receive(peer, m.Headers((), more=False))
    node.pass_time(1)
    assert not node.sync.is_syncing
