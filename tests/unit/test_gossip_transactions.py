"""Transaction relay: stories of one node and what its peers tell it. The ledger and the pool are real."""

from contextlib import suppress

import pytest
from chaingen.owners import Impostor
from chaingen.pool_world import PoolWorld
from chaingen.specs import key
from gossip_world import FakePeer, GossipWorld

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.gossip.admission import MAX_BATCH
from ioex_chain.gossip.incoming import MAX_EXTRA_BYTES, REPLY_BYTES, STALLED
from ioex_chain.gossip.orphans import LIFETIME, MAX_ORPHANS
from ioex_chain.gossip.outbox import Outbox
from ioex_chain.gossip.requests import (
    DEADLINE,
    INBOUND_DELAY,
    MAX_ANNOUNCED,
    MAX_IN_FLIGHT,
    RETRY,
    RequestTracker,
)
from ioex_chain.gossip.transactions import RATE_INTERVAL, REBROADCAST_MEAN, best_first
from ioex_chain.p2p.chain_messages import (
    MAX_TRANSACTION_IDS,
    AnnounceTransactions,
    FeeFilter,
    GetTransactions,
    Transactions,
)
from ioex_chain.p2p.messages import SERVES_BLOCKS
from ioex_chain.p2p.seam import Offence
from ioex_chain.pow.policy import PolicyError
from ioex_chain.pow.transaction import Transaction, TxIn, TxOut
from ioex_chain.primitives.types import COIN, OutPoint

SOON = 3.0
"""Seconds within which announcements have gone out, whatever the dice say in these seeds."""


@pytest.fixture
def world() -> GossipWorld:
    return GossipWorld()


def announce(world: GossipWorld, peer: FakePeer, *txs: Transaction) -> None:
    world.transactions.on_announce_transactions(peer, AnnounceTransactions(tuple(tx.wtxid for tx in txs)))
    world.settle()


def give(world: GossipWorld, peer: FakePeer, *txs: Transaction) -> None:
    """Answer a request."""
    world.transactions.on_transactions(peer, Transactions(tuple(tx.raw for tx in txs)))
    world.settle()


def relay(world: GossipWorld, peer: FakePeer, *txs: Transaction) -> None:
    """Announce, be asked, answer."""
    announce(world, peer, *txs)
    [asked] = peer.take(GetTransactions)
    assert asked == GetTransactions(tuple(tx.wtxid for tx in txs))
    give(world, peer, *txs)


def announced_to(peer: FakePeer) -> list[bytes]:
    return [wtxid for message in peer.take(AnnounceTransactions) for wtxid in message.ids]


def has(world: GossipWorld, tx: Transaction) -> bool:
    return world.pools.pool.get_by_wtxid(tx.wtxid) is not None


def asked_of(peer: FakePeer) -> list[bytes]:
    return [wtxid for message in peer.take(GetTransactions) for wtxid in message.ids]


# --- in and out again ----------------------------------------------------------------------------------


def test_announced_asked_taken_and_announced_on(world):
    giver, other, inbound = world.connect(), world.connect(), world.connect(outbound=False)
    tx = world.pools.pay()
    relay(world, giver, tx)
    assert has(world, tx)
    assert world.gave_transactions == [giver.number]
    world.pass_time(SOON)
    assert announced_to(other) == announced_to(inbound) == [tx.wtxid]
    assert announced_to(giver) == []
    world.transactions.on_get_transactions(other, GetTransactions((tx.wtxid,)))
    assert other.take() == [Transactions((tx.raw,))]


def test_one_that_came_by_rpc_is_announced(world):
    peer = world.connect()
    tx = world.pools.pay()
    world.pools.add(tx)
    world.settle()
    world.pass_time(SOON)
    assert announced_to(peer) == [tx.wtxid]
    world.pass_time(SOON)
    assert announced_to(peer) == []


def test_announcements_are_batched(world):
    peer = world.connect()
    txs = [world.pools.pay() for _ in range(10)]
    for tx in txs:
        world.pools.add(tx)
    world.settle()
    world.pass_time(SOON)
    [message] = peer.take(AnnounceTransactions)
    assert message.ids == tuple(tx.wtxid for tx in txs)


def test_what_is_in_the_pool_is_not_asked_for(world):
    peer = world.connect()
    tx = world.pools.pay()
    world.pools.add(tx)
    announce(world, peer, tx)
    assert asked_of(peer) == []


def test_what_a_block_took_is_not_asked_for(world):
    peer = world.connect()
    tx = world.pools.pay()
    world.pools.add(tx)
    world.pools.mine(tx)
    world.settle()
    announce(world, peer, tx)
    assert asked_of(peer) == []


def test_what_is_on_its_way_to_the_pool_is_not_asked_for_again(world):
    """The worker has the first hundred; the last one still waits for it."""
    coins = world.pools.fan(MAX_BATCH + 10)
    world.settle()
    giver, other = world.connect(), world.connect()
    txs = [world.pools.chain.spend(coin, [(COIN, key("x"))], fee=1_000) for coin in coins]
    announce(world, giver, *txs)
    world.transactions.on_transactions(giver, Transactions(tuple(tx.raw for tx in txs)))
    assert not has(world, txs[-1])
    world.transactions.on_announce_transactions(other, AnnounceTransactions((txs[-1].wtxid,)))
    assert asked_of(other) == []
    world.settle()
    assert has(world, txs[-1])
    assert asked_of(other) == []


def test_peers_that_do_not_relay_are_left_alone(world):
    peer = world.connect(services=SERVES_BLOCKS)
    tx = world.pools.pay()
    announce(world, peer, tx)
    world.pools.add(world.pools.pay())
    world.settle()
    world.pass_time(SOON)
    world.transactions.on_get_transactions(peer, GetTransactions((tx.wtxid,)))
    assert peer.take() == [Transactions(())]


def test_nothing_is_relayed_while_catching_up(world):
    peer = world.connect()
    world.sync.is_syncing = True
    theirs, ours = world.pools.pay(), world.pools.pay()
    world.pools.add(ours)
    announce(world, peer, theirs)
    world.pass_time(SOON)
    assert peer.take() == []
    world.sync.is_syncing = False
    world.pass_time(SOON)
    assert asked_of(peer) == [theirs.wtxid]
    assert announced_to(peer) == [ours.wtxid]


def test_a_batch_of_work_is_small(world):
    """Blocks get their turn between a hundred transactions and the next."""
    coins = world.pools.fan(250)
    world.settle()
    peer = world.connect()
    txs = [world.pools.chain.spend(coin, [(COIN, key("x"))], fee=1_000) for coin in coins]
    announce(world, peer, *txs)
    runs = world.chain.runs
    give(world, peer, *txs)
    assert all(has(world, tx) for tx in txs)
    assert world.chain.runs == runs + 3


# --- asking --------------------------------------------------------------------------------------------


def test_one_peer_is_asked_and_the_next_after_a_while(world):
    first, second = world.connect(), world.connect()
    tx = world.pools.pay()
    announce(world, first, tx)
    announce(world, second, tx)
    assert asked_of(first) == [tx.wtxid]
    assert asked_of(second) == []
    world.pass_time(RETRY + 0.2)
    assert asked_of(second) == [tx.wtxid]
    give(world, second, tx)
    assert has(world, tx)
    give(world, first)
    assert first.offences == second.offences == []


def test_a_lone_announcer_has_longer(world):
    first, late = world.connect(), world.connect()
    tx = world.pools.pay()
    announce(world, first, tx)
    world.pass_time(DEADLINE - 1)
    first.take()
    announce(world, late, tx)
    world.pass_time(0.2)
    assert asked_of(late) == [tx.wtxid]


def test_after_the_deadline_it_may_be_announced_again(world):
    peer = world.connect()
    tx = world.pools.pay()
    announce(world, peer, tx)
    assert asked_of(peer) == [tx.wtxid]
    announce(world, peer, tx)
    assert asked_of(peer) == []
    world.pass_time(DEADLINE + 0.2)
    announce(world, peer, tx)
    assert asked_of(peer) == [tx.wtxid]


def test_who_has_it_not_is_passed_over(world):
    first, second = world.connect(), world.connect()
    txs = [world.pools.pay() for _ in range(3)]
    announce(world, first, *txs)
    announce(world, second, *txs)
    first.take()
    give(world, first, txs[0], txs[2])
    assert asked_of(second) == [txs[1].wtxid]


def test_a_peer_that_leaves_is_replaced_at_once(world):
    first, second = world.connect(), world.connect()
    tx = world.pools.pay()
    announce(world, first, tx)
    announce(world, second, tx)
    world.disconnect(first)
    assert asked_of(second) == [tx.wtxid]


def test_outbound_peers_come_first(world):
    inbound, outbound = world.connect(outbound=False), world.connect()
    tx, other = world.pools.pay(), world.pools.pay()
    announce(world, inbound, tx, other)
    announce(world, outbound, tx)
    assert asked_of(outbound) == [tx.wtxid]
    world.pass_time(INBOUND_DELAY + 0.2)
    assert asked_of(inbound) == [other.wtxid]


def test_what_did_not_fit_is_asked_for_again(world):
    """The answer is full; what is missing after its last item was cut off."""
    peer = world.connect()
    heavy = [big(n, 320_000) for n in range(4)]
    txs = [*heavy, world.pools.pay(), world.pools.pay()]
    announce(world, peer, *txs)
    peer.take()
    give(world, peer, *heavy[:2], *heavy[3:])
    assert asked_of(peer) == [tx.wtxid for tx in txs[4:]], "not the one before the last: that is not there"


def big(number: int, size: int) -> Transaction:
    """Make a transaction that is nothing but large."""
    source = OutPoint(number.to_bytes(36, "big"))
    out = TxOut(1, b"\x00\x14" + bytes(20))
    return Transaction.build(2, [TxIn(source, b"", 0, (bytes(size),))], [out])


def test_answers_to_nothing(world):
    peer, other = world.connect(), world.connect()
    tx, wrong = world.pools.pay(), world.pools.pay()
    give(world, peer, tx)
    assert peer.offences == [Offence.UNREQUESTED]
    assert not has(world, tx)
    announce(world, other, tx)
    give(world, other, tx, wrong)
    assert other.offences == [Offence.UNREQUESTED]
    assert has(world, tx)
    assert not has(world, wrong)


def test_an_answer_is_matched_though_one_was_lost(world):
    """A request above the peer's rate is passed over: the next answer belongs to the next request."""
    peer = world.connect()
    lost, tx = world.pools.pay(), world.pools.pay()
    announce(world, peer, lost)
    announce(world, peer, tx)
    give(world, peer, tx)
    assert has(world, tx)
    assert peer.offences == []


def test_who_never_answers_is_stalling(world):
    peer = world.connect()
    announce(world, peer, world.pools.pay())
    world.pass_time(STALLED + 0.5)
    assert peer.offences == [Offence.STALLING]
    world.pass_time(STALLED + 0.5)
    assert peer.offences == [Offence.STALLING] * 2


def test_flood_is_bounded(world):
    peer, honest = world.connect(), world.connect()
    for n in range(0, 4 * MAX_ANNOUNCED, MAX_TRANSACTION_IDS):
        ids = tuple((n + i).to_bytes(32, "little") for i in range(MAX_TRANSACTION_IDS))
        world.transactions.on_announce_transactions(peer, AnnounceTransactions(ids))
    assert len(world.transactions._incoming._tracker) == MAX_ANNOUNCED
    assert len(asked_of(peer)) == MAX_IN_FLIGHT
    tx = world.pools.pay()
    relay(world, honest, tx)
    assert has(world, tx)
    world.disconnect(peer)
    assert len(world.transactions._incoming._tracker) == 0


def test_tracker_is_bounded_in_total_and_empty_at_the_end():
    tracker = RequestTracker()
    for peer in range(30):
        tracker.peer_up(peer, outbound=True)
        for n in range(MAX_ANNOUNCED):
            tracker.announced(peer, (peer * MAX_ANNOUNCED + n).to_bytes(32, "little"), 0.0)
    assert len(tracker) == 100_000
    for peer in range(30):
        tracker.peer_down(peer, 1.0)
    assert len(tracker) == tracker._total == 0


# --- verdicts ------------------------------------------------------------------------------------------


def test_invalid_transactions_are_offences(world):
    peer = world.connect()
    pools = world.pools
    funds = pools.chain.take()
    forged = pools.chain.spend(
        type(funds)(funds.outpoint, funds.value, Impostor(funds.owner, key("eve"))),
        [(COIN, key("bob"))],
        fee=1_000,
    )
    greedy = pools.chain.spend(pools.chain.take(), [(20_000 * COIN, key("bob"))])
    relay(world, peer, forged)
    relay(world, peer, greedy)
    assert peer.offences == [Offence.INVALID_TRANSACTION] * 2
    assert len(pools.pool) == 0


def test_bytes_that_are_no_transaction(world):
    peer = world.connect()
    raw = b"\x01\x02\x03"
    world.transactions.on_announce_transactions(peer, AnnounceTransactions((sha256d(raw),)))
    world.transactions.on_transactions(peer, Transactions((raw,)))
    world.settle()
    assert peer.offences == [Offence.MALFORMED]


def test_policy_and_timing_are_no_offences(world):
    peer = world.connect()
    pools = world.pools
    cheap = pools.pay(fee=1)
    immature = pools.chain.spend(pools.chain.coinbase_funds(pools.tip), [(COIN, key("bob"))], fee=1_000)
    for tx in (cheap, immature):
        relay(world, peer, tx)
        assert not has(world, tx)
    assert peer.offences == []


def test_refusal_is_remembered_until_the_next_head(world):
    peer, other = world.connect(), world.connect()
    cheap = world.pools.pay(fee=1)
    relay(world, peer, cheap)
    announce(world, peer, cheap)
    announce(world, other, cheap)
    assert asked_of(peer) == asked_of(other) == []
    world.pools.mine()
    world.settle()
    announce(world, other, cheap)
    assert asked_of(other) == [cheap.wtxid]


def test_double_spend_pair(world):
    """The first seen stays, its rival is refused; a rival that pays more replaces it and is announced."""
    peer, other = world.connect(), world.connect()
    first = world.pools.pay(fee=1_000)
    rival = world.pools.again(first, 1_000, (20_000, key("carol")))
    better = world.pools.again(first, 5_000, (30_000, key("dave")))
    relay(world, peer, first)
    relay(world, peer, rival)
    assert has(world, first)
    assert not has(world, rival)
    world.pass_time(SOON)
    assert announced_to(other) == [first.wtxid]
    relay(world, peer, better)
    assert has(world, better)
    assert not has(world, first)
    world.pass_time(SOON)
    assert announced_to(other) == [better.wtxid]
    assert peer.offences == []
    assert first in world.transactions.extra(), "a block may still carry it"


def test_what_a_block_may_carry_all_the_same_has_a_bound_in_bytes(world):
    """Anybody can make transactions of a settlement's outer form and size that break a policy only."""
    peer = world.connect()
    pools = world.pools
    for number in range(5):
        first, *others = pools.pay().inputs
        witness = (bytes(2_400_000), bytes([number]), b"", b"")
        large = Transaction.build(
            2, [first._replace(witness=witness), *others], [TxOut(10_000, key("bob").script)]
        )
        relay(world, peer, large)
        assert not has(world, large)
        assert large in world.transactions.extra()
    assert peer.offences == []
    assert sum(len(tx.raw) for tx in world.transactions.extra()) <= MAX_EXTRA_BYTES


# --- orphans -------------------------------------------------------------------------------------------


def family(world: GossipWorld, count: int) -> list[Transaction]:
    txs = [world.pools.pay()]
    while len(txs) < count:
        txs.append(world.pools.respend(txs[-1], fee=1_000))
    return txs


def test_orphan_chain_is_resolved(world):
    """Grandchild, child, parent: each asks for the one before, and all come in with the last."""
    peer = world.connect()
    parent, child, grandchild = family(world, 3)
    relay(world, peer, grandchild)
    assert peer.take(GetTransactions) == [GetTransactions((), (child.txid,))]
    give(world, peer, child)
    assert peer.take(GetTransactions) == [GetTransactions((), (parent.txid,))]
    assert len(world.pools.pool) == 0
    give(world, peer, parent)
    assert all(has(world, tx) for tx in (parent, child, grandchild))
    assert peer.offences == []
    assert world.transactions.extra() == []


def test_a_family_in_any_order_in_one_answer(world):
    peer = world.connect()
    txs = family(world, 8)
    relay(world, peer, *txs[::-1])
    assert all(has(world, tx) for tx in txs)
    assert peer.offences == []


def test_orphan_whose_parent_a_block_brings(world):
    peer = world.connect()
    parent, child = family(world, 2)
    relay(world, peer, child)
    world.pools.mine(parent)
    world.settle()
    assert has(world, child)


def test_another_announcer_of_an_orphan_is_asked_for_the_parents(world):
    peer, other = world.connect(), world.connect()
    parent, child = family(world, 2)
    relay(world, peer, child)
    peer.take()
    announce(world, other, child)
    assert other.take(GetTransactions) == [], "asked of the first a moment ago"
    world.pass_time(DEADLINE + 0.2)
    announce(world, other, child)
    assert other.take(GetTransactions) == [GetTransactions((), (parent.txid,))]
    give(world, other, parent)
    assert has(world, child)


def test_orphan_limits(world):
    peer, honest = world.connect(), world.connect()
    kept = family(world, 2)[1]
    relay(world, honest, kept)
    base = family(world, 1)[0]
    flood = [world.pools.respend(base, fee=1_000 + n) for n in range(MAX_ORPHANS + 50)]
    announce(world, peer, *flood)
    give(world, peer, *flood)
    orphans = world.transactions.extra()
    assert len(orphans) == MAX_ORPHANS
    assert kept in orphans


def test_orphans_go_with_their_peer_and_with_time(world):
    peer, other = world.connect(), world.connect()
    relay(world, peer, family(world, 2)[1])
    relay(world, other, family(world, 2)[1])
    assert len(world.transactions.extra()) == 2
    world.disconnect(peer)
    assert len(world.transactions.extra()) == 1
    world.time += LIFETIME
    world.pass_time(0.2)
    assert world.transactions.extra() == []


def test_orphan_of_an_invalid_parent_is_refused(world):
    peer = world.connect()
    pools = world.pools
    greedy = pools.chain.spend(pools.chain.take(), [(20_000 * COIN, key("bob"))])
    child = pools.respend(greedy, fee=1_000)
    relay(world, peer, greedy)
    relay(world, peer, child)
    assert world.transactions.extra() == []
    assert peer.take(GetTransactions) == []


def test_an_output_that_a_known_parent_has_not_got(world):
    """Neither an orphan nor looked at for ever."""
    peer = world.connect()
    parent = world.pools.pay()
    relay(world, peer, parent)
    funds = world.pools.chain.funds(parent, 1)
    wrong = type(funds)(parent.txid + (9).to_bytes(4, "little"), funds.value, funds.owner)
    relay(world, peer, world.pools.chain.spend(wrong, [(COIN, key("bob"))], fee=1_000))
    assert world.transactions.extra() == []
    assert peer.take(GetTransactions) == []


def test_a_parent_that_was_not_asked_for(world):
    peer = world.connect()
    _parent, child = family(world, 2)
    stranger = world.pools.pay()
    relay(world, peer, child)
    give(world, peer, stranger)
    assert peer.offences == [Offence.UNREQUESTED]
    assert not has(world, stranger)


# --- what we tell --------------------------------------------------------------------------------------


def test_fee_filter_of_a_peer(world):
    peer = world.connect()
    world.transactions.on_fee_filter(peer, FeeFilter(10_000))
    cheap, dear = world.pools.pay(fee=1_000), world.pools.pay(fee=10_000)
    for tx in (cheap, dear):
        world.pools.add(tx)
    world.settle()
    world.pass_time(SOON)
    assert announced_to(peer) == [dear.wtxid]


def test_our_fee_filter_follows_the_pool():
    world = GossipWorld(PoolWorld(max_usage=40_000))
    peer = FakePeer(9)
    world.transactions.peer_up(peer)
    assert peer.take(FeeFilter) == [FeeFilter(1_000)]
    world.pass_time(2 * RATE_INTERVAL)
    assert peer.take(FeeFilter) == []
    for coin in world.pools.fan(60):
        with suppress(PolicyError):
            world.pools.add(world.pools.chain.spend(coin, [(COIN // 10, key("x"))], fee=5_000))
    world.settle()
    world.pass_time(RATE_INTERVAL + 0.2)
    [message] = peer.take(FeeFilter)
    assert message.rate > 10_000


def test_the_pool_is_offered_to_a_new_peer_best_first(world):
    fees = [2_000, 9_000, 4_000]
    txs = [world.pools.pay(fee=fee) for fee in fees]
    for tx in txs:
        world.pools.add(tx)
    world.settle()
    peer = world.connect()
    world.pass_time(SOON)
    assert announced_to(peer) == [txs[1].wtxid, txs[2].wtxid, txs[0].wtxid]


def test_best_first_puts_parents_before_children(world):
    parent = world.pools.pay(fee=300)
    child = world.pools.respend(parent, fee=50_000)
    middle = world.pools.pay(fee=9_000)
    for tx in (parent, middle, child):
        world.pools.add(tx)
    assert best_first(world.pools.pool) == [parent.wtxid, child.wtxid, middle.wtxid]


def test_a_message_announces_a_thousand_at_most():
    outbox = Outbox()
    ids = [n.to_bytes(32, "big") for n in range(MAX_TRANSACTION_IDS + 30)]

    class Pool:
        def get(self, wtxid):
            return wtxid if wtxid in ids else None

        def pays(self, entry, rate):
            return True

        def sequence(self, entry):
            return int.from_bytes(entry, "big")

    for wtxid in ids[:20]:
        outbox.offer(wtxid)
    outbox.offer_catalogue(ids)
    assert outbox.batch(Pool()) == tuple(ids[:MAX_TRANSACTION_IDS])
    assert outbox.batch(Pool()) == tuple(ids[MAX_TRANSACTION_IDS:])
    assert len(outbox) == 0


def test_after_a_reorganisation_returned_transactions_are_announced(world):
    peer = world.connect()
    fork = world.pools.tip
    tx = world.pools.pay()
    world.pools.mine(tx)
    for block in world.pools.chain.extend(fork, 2):
        world.pools.accept(block)
    world.settle()
    assert has(world, tx)
    world.pass_time(SOON)
    assert announced_to(peer) == [tx.wtxid]


def test_ours_are_announced_again_and_others_not(world):
    peer = world.connect()
    ours, theirs, done = world.pools.pay(), world.pools.pay(), world.pools.pay()
    relay(world, world.connect(), theirs)
    for tx in (ours, done):
        world.pools.add(tx)
    world.settle()
    world.pass_time(SOON)
    announced_to(peer)
    world.pools.mine(done)
    world.settle()
    for _ in range(200):
        world.time += REBROADCAST_MEAN / 10
        world.pass_time(0.1)
    again = announced_to(peer)
    assert set(again) == {ours.wtxid}
    assert 8 < len(again) < 40, "about once every mean"
    assert list(world.transactions._ours) == [ours.wtxid], "what a block took is forgotten"


# --- what we give --------------------------------------------------------------------------------------


def test_only_what_was_announced_is_given(world):
    """A peer cannot find out by asking what has just reached us."""
    peer = world.connect()
    tx = world.pools.pay()
    world.pools.add(tx)
    world.settle()
    world.transactions.on_get_transactions(peer, GetTransactions((tx.wtxid,), (tx.txid,)))
    assert peer.take(Transactions) == [Transactions(())]
    world.pass_time(SOON)
    world.transactions.on_get_transactions(peer, GetTransactions((tx.wtxid,)))
    assert peer.take(Transactions) == [Transactions((tx.raw,))]


def test_parents_are_given_by_txid(world):
    peer = world.connect()
    parent, child = family(world, 2)
    for tx in (parent, child):
        world.pools.add(tx)
    world.settle()
    world.pass_time(SOON)
    peer.take()
    world.transactions.on_get_transactions(peer, GetTransactions((), (parent.txid, bytes(32))))
    assert peer.take(Transactions) == [Transactions((parent.raw,))]


def test_an_answer_is_capped(world):
    peer = world.connect()
    pools = world.pools
    outputs = [(COIN // 100, key(n)) for n in range(2_500)]
    txs = [pools.chain.spend(pools.chain.take(), outputs, fee=200_000) for _ in range(15)]
    assert sum(tx.size for tx in txs) > REPLY_BYTES
    for tx in txs:
        pools.add(tx)
    world.settle()
    world.pass_time(SOON)
    assert len(announced_to(peer)) == len(txs)
    world.transactions.on_get_transactions(peer, GetTransactions(tuple(tx.wtxid for tx in txs)))
    [answer] = peer.take(Transactions)
    size = sum(map(len, answer.items))
    assert REPLY_BYTES <= size < REPLY_BYTES + txs[0].size
    assert answer.items == tuple(tx.raw for tx in txs[: len(answer.items)])


def test_a_backlog_holds_announcements_back(world):
    peer = world.connect()
    peer.backlog = 2 << 20
    world.pools.add(world.pools.pay())
    world.settle()
    world.pass_time(SOON)
    assert announced_to(peer) == []
    peer.backlog = 0
    world.pass_time(SOON)
    assert len(announced_to(peer)) == 1
