"""Blocks, headers and transactions of the DPoS chain between nodes (docs/protocol.md section 9.6)."""

from dataclasses import replace
from typing import Any

import pytest
from chaingen.dpos_forge import NETWORK, private_key
from dpos_gossip_world import World, make_forge
from dpos_pool_world import NOBODY, tx

from ioex_chain.dpos.block import Block
from ioex_chain.dpos.header import SealedHeader
from ioex_chain.gossip import headers, sync, withheld
from ioex_chain.gossip.compact import make_compact
from ioex_chain.gossip.dpos_wire import DposForm
from ioex_chain.gossip.preference import MAX_TIES
from ioex_chain.p2p import chain_messages as m
from ioex_chain.p2p.messages import Hello
from ioex_chain.p2p.seam import Offence, Refused
from ioex_chain.spec.identity import dpos_identity, fork_id


def sealed_by(world: World, header: SealedHeader, number: int) -> SealedHeader:
    """Give the header with a seal of another key."""
    return replace(header, seal=world.forge.seal(header.header, private_key(number)))


def test_a_newcomer_gets_the_whole_chain_and_nobody_is_blamed() -> None:
    world = World()
    old, new = world.nodes
    old.give(*world.forge.grow(world.forge.genesis, 40, final=True))
    world.connect(new, old)
    world.pass_time(3)
    assert new.ledger.head.hash == old.ledger.head.hash
    assert new.finality.finalised == old.finality.finalised
    assert new.finality.finalised.height == 38
    assert new.offences == old.offences == []
    assert not new.gossip.sync.is_syncing


def test_headers_that_cannot_be_checked_wait_for_bodies_and_go_on() -> None:
    world = World(forge=make_forge(max_unverified=6))
    old, new = world.nodes
    old.give(*world.forge.grow(world.forge.genesis, 60))
    world.connect(new, old)
    world.pass_time(20)
    assert new.ledger.head.height == 60
    assert new.offences == old.offences == []


def test_headers_are_not_asked_again_before_bodies_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "_AHEAD_STEP", 4)
    world = World(1, make_forge(max_unverified=6))
    node = world.nodes[0]
    chain = world.forge.grow(world.forge.genesis, 20)
    peer = node.peer()
    peer.take(m.GetHeaders)
    node.hear(peer, m.Headers(tuple(block.header.encode() for block in chain), more=False))
    assert node.gossip.sync.headers.best.height == 9
    world.pass_time(3)
    assert peer.take(m.GetHeaders) == []
    for block in chain[:6]:
        node.hear(peer, m.BlockData(block.raw))
    world.pass_time(2)
    assert len(peer.take(m.GetHeaders)) >= 1
    assert peer.offences == []


def test_a_new_block_of_known_transactions_comes_without_them() -> None:
    world = World()
    one, other = world.nodes
    world.connect(one, other)
    world.pass_time(1)
    known = [tx(sender, 0) for sender in range(1, 6)]
    for item in known:
        one.send(item)
    world.pass_time(3)
    assert len(other.pool) == 5
    block = world.forge.extend(world.forge.genesis, transactions=[*known, tx(9, 0)])
    one.give(block)
    world.pass_time(1)
    assert other.ledger.head.hash == block.header.hash
    assert other.ledger.body(block.header.hash).raw == block.raw
    assert world.count(m.CompactBlock, other) == 1
    asked = [message for _, message in world.carried if isinstance(message, m.GetBlockTransactions)]
    assert [message.indexes for message in asked] == [(6,)]
    assert world.count(m.BlockData) == 0
    assert len(one.pool) == len(other.pool) == 0
    assert one.offences == other.offences == []


def test_item_0_carries_payload_and_withdrawals() -> None:
    world = World()
    one, other = world.nodes
    world.connect(one, other)
    world.pass_time(1)
    first, second = world.forge.grow(world.forge.genesis, 2, final=True)
    one.give(first)
    world.pass_time(1)
    one.give(second)
    world.pass_time(1)
    assert second.payload.certificate is not None
    assert other.ledger.body(second.header.hash).raw == second.raw
    assert world.count(m.BlockData) == 0


def test_a_tie_is_decided_alike_everywhere() -> None:
    world = World(3)
    one, two, three = world.nodes
    twins = [world.forge.make(world.forge.genesis, 1_000, extra_data=data) for data in (b"a", b"b")]
    low, high = sorted(twins, key=lambda block: block.header.hash)
    for node, block in ((one, low), (two, high), (three, high)):
        node.give(block)
    world.connect(one, two)
    world.connect(two, three)
    world.pass_time(2)
    assert [node.ledger.head.hash for node in world.nodes] == [low.header.hash] * 3
    assert [node.offences for node in world.nodes] == [[], [], []]


def test_a_producer_that_seals_many_blocks_for_its_slot_does_not_make_us_fetch_all() -> None:
    world = World(1)
    node = world.nodes[0]
    peer = node.peer()
    node.hear(peer, m.Headers((), more=False))
    world.pass_time(0.2)
    twins = [world.forge.make(world.forge.genesis, extra_data=bytes((number,))) for number in range(20)]
    by_hash = {block.header.hash: block for block in twins}
    for block in twins:
        node.hear(peer, m.Announce((block.header.encode(),)))
        for request in peer.take(m.GetCompact):
            node.hear(peer, m.NotFound(m.GetCompact.type, request.hash))
        for request in peer.take(m.GetBlocks):
            node.hear(peer, *(m.BlockData(by_hash[hash_].raw) for hash_ in request.hashes))
    stored = sum(node.ledger.body_bytes(block.header.hash) is not None for block in twins)
    assert stored == MAX_TIES
    assert node.ledger.head.height == 1


def test_a_block_first_seen_after_its_slot_is_late() -> None:
    world = World()
    one, other = world.nodes
    block = world.forge.extend(world.forge.genesis, slot=1_000)
    old = world.forge.extend(world.forge.genesis, slot=998)
    world.connect(one, other)
    world.pass_time(1)
    one.give(block)
    world.pass_time(1)
    one.give(old)
    one.gossip.sync.want(old.header.hash)
    engine = other.ledger._engine
    assert not engine.is_late(block.header.hash)
    peer = other.peer()
    other.gossip.intake.block(peer, lambda: old, lambda verdict: None)
    world.time.settle()
    assert engine.is_late(old.header.hash)
    assert other.ledger.head.hash == block.header.hash, "seen in time comes before the earlier slot"


def test_the_bounds_cut_every_transaction_out() -> None:
    forge = make_forge()
    txs = [tx(1, 0), tx(2, 0, kind=0), tx(3, 0, kind=1), tx(4, 0, data=bytes(300), gas=80_000)]
    block = forge.extend(forge.genesis, transactions=txs)
    form = DposForm(forge.codec.block)  # type: ignore[arg-type]  # decodes nothing here
    bounds = form.bounds(block)
    cut = [block.raw[bounds[at] : bounds[at + 1]] for at in range(0, len(bounds), 2)]
    assert cut == [b"", *(item.raw for item in txs)]


# --- seals --------------------------------------------------------------------------------------------------


def test_a_wrong_seal_is_the_messengers_fault_and_the_header_may_come_again() -> None:
    world = World()
    node = world.nodes[0]
    block = world.forge.extend(world.forge.genesis)
    liar, honest = node.peer(), node.peer()
    for peer in (liar, honest):
        node.hear(peer, m.Headers((), more=False))
    node.hear(liar, m.Announce((sealed_by(world, block.header, 9).encode(),)))
    assert liar.offences == [Offence.INVALID_HEADER]
    assert node.ledger.entry(block.header.hash) is None
    node.hear(honest, m.Announce((block.header.encode(),)))
    assert node.ledger.entry(block.header.hash) is not None
    assert honest.offences == []


def test_a_wrong_seal_that_could_not_be_checked_at_first_is_forgotten_and_the_chain_comes_from_others() -> (
    None
):
    world = World()
    node, other = world.nodes
    chain = world.forge.grow(world.forge.genesis, 12)
    liar = node.peer()
    false = [*(block.header for block in chain[:8]), sealed_by(world, chain[8].header, 9)]
    node.hear(liar, m.Headers(tuple(header.encode() for header in false), more=False))
    assert node.ledger.entry(chain[8].header.hash) is not None
    assert liar.offences == []
    other.give(*chain)
    world.connect(node, other)
    world.pass_time(30)
    assert node.ledger.head.hash == chain[-1].header.hash
    assert other.offences == []
    assert Offence.INVALID_HEADER in liar.offences
    assert [peer.offences for peer in node.peers.values() if peer is not liar] == [[]]


def test_a_right_seal_that_came_second_is_there_when_it_can_be_checked() -> None:
    """Nothing is asked anew: the first one's sender is to blame as soon as the round is known."""
    world = World(1)
    node = world.nodes[0]
    chain = world.forge.grow(world.forge.genesis, 12)
    liar, honest = node.peer(), node.peer()
    false = [*(block.header for block in chain[:8]), sealed_by(world, chain[8].header, 9)]
    for peer, told in ((liar, false), (honest, [block.header for block in chain])):
        node.hear(peer, m.Headers(tuple(header.encode() for header in told), more=False))
    entry = node.ledger.entry(chain[8].header.hash)
    asked = len(honest.take(m.GetHeaders))
    assert asked == 1
    node.give(*chain[:8])
    world.pass_time(0.2)
    assert node.ledger.entry(chain[8].header.hash) is entry
    assert entry.header == chain[8].header
    assert liar.offences == [Offence.INVALID_HEADER]
    assert honest.offences == []
    assert node.ledger.entry(chain[-1].header.hash) is not None


def hidden_branch(world: World, on: Block, count: int) -> list[bytes]:
    """Give headers above a block that its producer keeps to itself: sealed as long as that can be checked."""
    branch = [world.forge.extend(on, extra_data=b"hidden")]
    branch += world.forge.grow(branch[0], count)
    schedule = world.forge.schedule
    rounds = [schedule.round_of(schedule.slot_of(block.header.header.timestamp)) for block in branch]
    return [
        (block.header if at == rounds[0] else sealed_by(world, block.header, 9)).encode()
        for at, block in zip(rounds, branch, strict=True)
    ]


def keeps_hiding(world: World, node: Any, hidden: list[bytes], seconds: float) -> None:
    """Have peers that we dialled tell of the branch, one after the other, and give none of its blocks."""
    for _ in range(round(seconds / 10)):
        liar = node.peer()
        node.hear(liar, m.Headers(tuple(hidden), more=False))
        world.pass_time(10)
        node.gossip.peer_down(liar)


def test_a_withheld_block_keeps_nobody_who_restarts_from_being_synced() -> None:
    """Headers whose seals nobody can check stand on it; peers that keep the rules end where we do."""
    world = World()
    node, other = world.nodes
    chain = world.forge.grow(world.forge.genesis, 9)
    for one in (node, other):
        one.give(*chain)
    hidden = hidden_branch(world, chain[-1], 12)
    world.connect(node, other)
    liar = node.peer()
    node.hear(liar, m.Headers(tuple(hidden), more=False))
    assert node.gossip.sync.headers.best.height > 9 + sync.NEAR
    world.pass_time(1)
    assert node.gossip.sync.is_syncing
    keeps_hiding(world, node, hidden, withheld.PATIENCE - 20)
    assert node.gossip.sync.is_syncing
    keeps_hiding(world, node, hidden, 30)
    assert not node.gossip.sync.is_syncing
    assert node.ledger.head.height == 9
    assert other.offences == []


def test_who_knows_of_no_peer_at_the_same_height_goes_on_waiting() -> None:
    world = World(1)
    node = world.nodes[0]
    chain = world.forge.grow(world.forge.genesis, 9)
    node.give(*chain)
    hidden = hidden_branch(world, chain[-1], 12)
    keeps_hiding(world, node, hidden, 2 * withheld.PATIENCE)
    node.hear(node.peer(), m.Headers(tuple(hidden), more=False))
    world.pass_time(5)
    assert node.gossip.sync.is_syncing


def test_a_slow_peer_with_more_blocks_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block that comes shows that the branch is there, also when another peer is no further than we."""
    monkeypatch.setattr(withheld, "PATIENCE", 20.0)
    world = World()
    node, same = world.nodes
    chain = world.forge.grow(world.forge.genesis, 12)
    world.connect(node, same)
    slow = node.peer()
    for at in range(6):
        node.hear(slow, m.Headers(tuple(block.header.encode() for block in chain), more=False))
        world.pass_time(15)
        assert node.gossip.sync.is_syncing
        node.ledger.accept_block(chain[at])  # whoever gave it
        world.time.settle()
        slow = node.peer()


def test_a_header_of_a_slot_to_come_is_nobodys_fault_and_asked_again() -> None:
    world = World(1)
    node = world.nodes[0]
    block = world.forge.extend(world.forge.genesis, slot=1_002)
    peer = node.peer()
    node.hear(peer, m.Headers((), more=False))
    node.hear(peer, m.Announce((block.header.encode(),)))
    assert node.ledger.entry(block.header.hash) is None
    assert peer.offences == []
    peer.take(m.GetHeaders)
    world.pass_time(19)
    assert peer.take(m.GetHeaders) == []
    world.pass_time(4)
    assert len(peer.take(m.GetHeaders)) == 1


def test_a_body_that_is_not_the_headers_is_blamed_only_when_it_was_sent_whole() -> None:
    world = World()
    node = world.nodes[0]
    good = world.forge.extend(world.forge.genesis, transactions=[tx(1, 0)])
    other = world.forge.make(world.forge.genesis, transactions=[tx(1, 0), tx(2, 0)])
    peer = node.peer()
    node.hear(peer, m.Headers((), more=False))
    world.pass_time(0.2)
    form = node.gossip._wire.form
    lie = make_compact(replace(other, header=good.header), 1, (1, 2), form)
    node.hear(peer, lie)
    assert peer.offences == []
    assert peer.take(m.GetBlocks)[-1].hashes == (good.header.hash,)
    node.hear(peer, m.BlockData(good.raw))
    assert node.ledger.head.hash == good.header.hash


# --- transactions -------------------------------------------------------------------------------------------


def test_transactions_go_round_in_any_order_of_nonces() -> None:
    world = World(3)
    one, two, three = world.nodes
    world.connect(one, two)
    world.connect(two, three)
    world.pass_time(1)
    for nonce in range(5):
        one.send(tx(1, nonce))
    three.send(tx(2, 1))
    world.pass_time(6)
    assert [entry.tx.nonce for entry in three.pool.pending_of(bytes(19) + b"\x01")] == list(range(5))
    assert len(one.pool) == 5, "what is queued is not announced"
    three.send(tx(2, 0))
    world.pass_time(6)
    assert len(one.pool) == 7
    assert [node.offences for node in world.nodes] == [[], [], []]


def test_a_newcomer_is_offered_the_pool() -> None:
    world = World()
    one, other = world.nodes
    for nonce in range(3):
        one.send(tx(1, nonce))
    world.connect(one, other)
    world.pass_time(5)
    assert len(other.pool) == 3


@pytest.mark.parametrize(
    ("item", "offence"),
    [
        (tx(NOBODY, 0).raw, Offence.INVALID_TRANSACTION),
        (tx(1, 0, chain_id=1).raw, Offence.INVALID_TRANSACTION),
        (tx(1, 0, gas=20_000).raw, Offence.INVALID_TRANSACTION),
        (b"\x02" + bytes(30), Offence.MALFORMED),
        (tx(1, 0, value=10**30).raw, None),
        (tx(1, 0, tip=0).raw, None),
    ],
)
def test_only_a_hopeless_transaction_is_blamed(item: bytes, offence: Offence | None) -> None:
    world = World(1)
    node = world.nodes[0]
    peer = node.peer()
    node.hear(peer, m.Headers((), more=False))
    world.pass_time(0.2)
    id_ = node.gossip.transactions._pool.raw_id(item)
    node.hear(peer, m.AnnounceTransactions((id_,)))
    world.pass_time(0.2)
    assert peer.take(m.GetTransactions)[0].ids == (id_,)
    node.hear(peer, m.Transactions((item,)))
    assert peer.offences == ([] if offence is None else [offence])
    assert len(node.pool) == 0


def test_a_reorganisation_gives_transactions_back_to_the_pool() -> None:
    world = World()
    one, other = world.nodes
    sent = tx(1, 0)
    one.send(sent)
    one.give(world.forge.extend(world.forge.genesis, transactions=[sent]))
    assert len(one.pool) == 0
    base = world.forge.extend(world.forge.genesis, slot=2)
    other.give(base, *world.forge.grow(base, 2))
    world.connect(one, other)
    world.pass_time(2)
    assert one.ledger.head.height == 3
    assert sent.hash in one.pool


# --- who is who ---------------------------------------------------------------------------------------------


def test_the_fork_id_is_over_the_dpos_identity() -> None:
    world = World(1)
    gossip = world.nodes[0].gossip
    status = gossip.status()
    assert status.fork_checksum == fork_id(dpos_identity(NETWORK), (), 0).checksum
    other = fork_id(NETWORK, (), 0)
    zeros = bytes(32)
    hello = Hello(1, zeros, other.checksum, 0, zeros, zeros, bytes(64), 3, 0, 0, zeros, 0, "t")
    with pytest.raises(Refused):
        gossip.check_hello(hello)
    assert dpos_identity(NETWORK) != NETWORK
