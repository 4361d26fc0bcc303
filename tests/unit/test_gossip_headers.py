"""Headers first, and only those with work behind them."""

from collections import deque
from dataclasses import replace

import pytest
from chaingen.builder import solve
from chaingen.specs import story_spec
from gossip_sync_world import ChainBuilder, Node, Offence, Time
from pydantic import ValidationError

from ioex_chain.gossip.presync import HeaderRun, OtherChain, Redo, Unlinked, locator, threshold
from ioex_chain.p2p import chain_messages as m
from ioex_chain.pow import errors
from ioex_chain.pow.difficulty import next_bits, work_of
from ioex_chain.pow.genesis import identity_of
from ioex_chain.pow.header import Header
from ioex_chain.spec.document import NetworkDocument
from ioex_chain.spec.load import read_shipped, to_spec

EASY = 0x207FFFFF
WORK = work_of(EASY)


@pytest.fixture
def time():
    return Time()


def chain_of(builder, count, parent=None, height=0, step=4, note=1):
    """Make headers alone: nobody looks at bodies here."""
    parent = parent or builder.genesis.header
    made = []
    for number in range(count):
        bits = next_bits(builder.spec.pow, height + number, parent.time)
        root = note.to_bytes(4, "big") * 8
        parent = solve(Header.build(0x20000000, parent.hash, root, parent.time + step, bits, 0))
        made.append(parent)
    builder.clock.time = max(builder.clock.time, parent.time)
    return made


def tell(node, peer, headers, more=False):
    node.receive(peer, m.Headers(tuple(header.encode() for header in headers), more))
    node.time.settle()


def work_world(time, minimum_blocks):
    """A node of a network whose best chain is known to have this many blocks' work."""
    builder = ChainBuilder(story_spec(minimum_work=minimum_blocks * WORK))
    return builder, Node(builder, time)


def kept(node):
    """Count the headers in the node's memory."""
    return len(node.ledger._index.in_memory())


# --- work ------------------------------------------------------------------------------------------------


def test_a_chain_with_too_little_work_is_not_stored_and_not_punished(time):
    builder, node = work_world(time, 5_000)
    peer = node.peer()
    headers = chain_of(builder, 4_500)
    tell(node, peer, headers[:2_000], more=True)
    tell(node, peer, headers[2_000:4_000], more=True)
    tell(node, peer, headers[4_000:])
    assert kept(node) == 1
    assert peer.offences == []
    assert node.sync.headers.heard
    assert len(peer.take(m.GetHeaders)) == 3
    node.pass_time(500)
    assert peer.take(m.GetHeaders) == []


def test_low_work_costs_the_same_memory_however_long_it_is(time):
    builder, node = work_world(time, 50_000)
    peer = node.peer()
    state = node.sync.headers._states[peer.number]
    headers = chain_of(builder, 20_000)
    for at in range(0, 20_000, 2_000):
        tell(node, peer, headers[at : at + 2_000], more=True)
        assert kept(node) == 1
        assert len(state.run.marks) == at // 2_000 + 1
        assert len(state.run.times) == 11


def test_a_chain_with_enough_work_is_asked_for_twice_and_then_stored(time):
    builder, node = work_world(time, 3_000)
    peer = node.peer()
    headers = chain_of(builder, 4_500)
    tell(node, peer, headers[:2_000], more=True)
    assert peer.take(m.GetHeaders)[-1].locator[0] == headers[1_999].hash
    assert kept(node) == 1
    tell(node, peer, headers[2_000:4_000], more=True)
    assert peer.take(m.GetHeaders)[-1].locator[0] == builder.genesis.hash
    assert kept(node) == 1
    tell(node, peer, headers[:2_000], more=True)
    assert kept(node) == 2_001
    tell(node, peer, headers[2_000:4_000], more=True)
    assert kept(node) == 4_001
    tell(node, peer, headers[4_000:])
    assert node.sync.headers.best.hash == headers[-1].hash
    assert peer.offences == []


def test_another_chain_the_second_time_is_not_stored(time):
    builder, node = work_world(time, 3_000)
    peer = node.peer()
    headers, cheap = chain_of(builder, 4_000), chain_of(builder, 2_000, note=2)
    tell(node, peer, headers[:2_000], more=True)
    tell(node, peer, headers[2_000:], more=False)
    tell(node, peer, cheap, more=True)
    assert kept(node) == 1
    assert peer.offences == [Offence.INVALID_HEADER]


def test_a_chain_that_is_shorter_the_second_time_is_scored(time):
    builder, node = work_world(time, 3_000)
    peer = node.peer()
    headers = chain_of(builder, 4_000)
    tell(node, peer, headers[:2_000], more=True)
    tell(node, peer, headers[2_000:])
    tell(node, peer, headers[:2_000])
    assert peer.offences == [Offence.LOW_WORK]


def test_short_answers_that_promise_more_are_scored(time):
    builder, node = work_world(time, 0)
    peer = node.peer()
    tell(node, peer, chain_of(builder, 3), more=True)
    assert peer.offences == [Offence.LOW_WORK]
    other = node.peer()
    tell(node, other, (), more=True)
    assert other.offences == [Offence.LOW_WORK]


def test_claimed_work_does_not_count_before_it_is_checked(time):
    builder, node = work_world(time, 5_000)
    peer = node.peer()
    headers = chain_of(builder, 10)
    last = headers[-1]
    tell(node, peer, [*headers, Header.build(0x20000000, last.hash, bytes(32), last.time + 4, 0x1D00FFFF, 0)])
    assert kept(node) == 1
    assert peer.offences == [Offence.INVALID_HEADER]


def test_a_fork_a_day_behind_our_work_is_still_stored_an_older_one_is_not(time):
    builder = ChainBuilder(story_spec())
    node = Node(builder, time)
    node.give(builder.extend(builder.genesis, 200))
    near, far = node.peer(), node.peer()
    assert threshold(builder.spec.pow, node.ledger.head) == 56 * WORK
    tell(node, near, chain_of(builder, 56, note=5))
    assert kept(node) == 201 + 56
    tell(node, far, chain_of(builder, 55, note=6))
    assert kept(node) == 201 + 56
    assert near.offences == far.offences == []


def test_an_announcement_without_work_is_not_stored(time):
    builder = ChainBuilder(story_spec())
    node = Node(builder, time)
    node.give(builder.extend(builder.genesis, 200))
    peer = node.peer()
    node.sync.on_announce(peer, chain_of(builder, 3))
    time.settle()
    assert kept(node) == 201


# --- rules without an entry ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"parent_hash": bytes(32)}, Unlinked),
        ({"bits": 0x2000FFFF}, errors.WrongBits),
        ({"bits": 0x207FFFFE}, errors.WrongBits),
        ({"time": 1_700_000_000}, errors.TimeTooOld),
        ({"time": 1_800_000_000}, errors.TimeTooNew),
    ],
)
def test_a_run_checks_what_the_engine_checks(time, change, error):
    spec = story_spec(fixed_difficulty=False)
    builder = ChainBuilder(spec)
    node = Node(builder, time)
    run = HeaderRun.above(spec.pow, node.ledger.genesis)
    good = chain_of(builder, 12)
    for header in good[:-1]:
        run.add(header, builder.clock.now())
    last = good[-1]
    fields = {
        "version": last.version,
        "parent_hash": last.parent_hash,
        "merkle_root": last.merkle_root,
        "time": last.time,
        "bits": last.bits,
        "nonce": 0,
    }
    with pytest.raises(error):
        run.add(solve(Header.build(**{**fields, **change})), builder.clock.now())
    with pytest.raises(errors.HighHash):
        run.add(solve(Header.build(**fields), met=False), builder.clock.now())
    run.add(last, builder.clock.now())
    assert run.work == sum(work_of(header.bits) for header in good)


def test_a_second_pass_with_other_answer_sizes_stores_only_what_is_vouched_for(time):
    builder = ChainBuilder(story_spec())
    node = Node(builder, time)
    headers = chain_of(builder, 100)
    redo = Redo(node.ledger.genesis, deque([(40, headers[39].hash), (80, headers[79].hash)]))
    assert redo.vouched(headers[:30]) == []
    assert redo.vouched(headers[30:50]) == headers[:40]
    redo.at = node.ledger.accept_headers(headers[:40])[-1]
    assert redo.vouched(headers[50:90]) == headers[40:90]
    redo = Redo(node.ledger.genesis, deque([(40, headers[39].hash)]))
    with pytest.raises(OtherChain):
        redo.vouched(chain_of(builder, 41, note=7))


def test_the_locator_is_dense_and_then_exponential(time):
    builder = ChainBuilder(story_spec())
    node = Node(builder, time)
    node.give(builder.extend(builder.genesis, 100))
    heights = [node.ledger.entry(hash_).height for hash_ in locator(node.ledger, node.ledger.head)]
    assert heights == [*range(100, 89, -1), 88, 84, 76, 60, 28, 0]


# --- peers -----------------------------------------------------------------------------------------------


def far_world(time):
    builder = ChainBuilder(story_spec())
    headers = chain_of(builder, 4_000)
    builder.clock.advance(30 * 24 * 3600)
    return builder, Node(builder, time), headers


def test_a_peer_that_owes_headers_is_replaced(time):
    _, node, headers = far_world(time)
    silent, other = node.peer(), node.peer()
    node.pass_time(19)
    assert other.take(m.GetHeaders) == []
    node.pass_time(3)
    assert silent.offences == [Offence.STALLING]
    assert len(other.take(m.GetHeaders)) == 1
    tell(node, silent, headers[:2_000], more=True)  # too late
    assert kept(node) == 1
    tell(node, other, headers[:2_000], more=True)
    assert kept(node) == 2_001


def test_a_ban_that_ends_several_connections_at_once_does_no_harm(time):
    builder, node, _ = far_world(time)
    builder.clock.time = builder.genesis.header.time  # near the tip: everybody is asked
    one, other = node.peer(), node.peer()
    one.on_offence = lambda: (node.down(one), node.down(other))
    node.pass_time(22)
    assert (one.offences, other.offences) == ([Offence.STALLING], [])


def test_when_the_peer_that_gives_headers_vanishes_the_next_goes_on(time):
    _, node, headers = far_world(time)
    one, other = node.peer(), node.peer()
    tell(node, one, headers[:2_000], more=True)
    assert other.take(m.GetHeaders) == []
    node.down(one)
    (request,) = other.take(m.GetHeaders)
    assert request.locator[0] == headers[1_998].hash
    tell(node, other, headers[1_999:3_999], more=True)
    assert kept(node) == 4_000


def test_other_peers_are_asked_whether_they_have_our_best_header(time):
    _, node, headers = far_world(time)
    one, other = node.peer(), node.peer()
    tell(node, one, headers[:2_000], more=True)
    node.pass_time(1)
    (probe,) = other.take(m.GetHeaders)
    assert (probe.locator[0], probe.stop) == (headers[1_998].hash, headers[1_999].hash)
    tell(node, other, headers[1_999:2_000], more=True)
    assert other.offences == []
    assert node.sync.has(other, headers[1_999].hash)
    assert len(other.take(m.GetBlocks)) == 1


def test_an_invalid_header_costs_its_sender(time):
    builder, node, headers = far_world(time)
    peer = node.peer()
    bad = solve(Header.build(1, headers[4].hash, bytes(32), builder.genesis.header.time, EASY, 0))
    tell(node, peer, [*headers[:5], bad])
    assert peer.offences == [Offence.INVALID_HEADER]
    assert kept(node) == 1


def test_what_cannot_be_read_and_what_connects_to_nothing_is_scored(time):
    _, node, headers = far_world(time)
    one, other = node.peer(), node.peer()
    node.receive(one, m.Headers((b"x",), more=False))
    time.settle()
    assert one.offences == [Offence.MALFORMED]
    tell(node, other, headers[5:9])
    assert other.offences == [Offence.UNCONNECTED]


def test_an_unconnected_announcement_is_followed_by_one_request(time):
    builder = ChainBuilder(story_spec())
    node = Node(builder, time)
    peer = node.peer()
    tell(node, peer, ())
    headers = chain_of(builder, 40)
    peer.sent.clear()
    for header in headers[20:29]:
        node.sync.on_announce(peer, [header])
    assert len(peer.take(m.GetHeaders)) == 1
    tell(node, peer, headers)
    assert kept(node) == 41
    assert peer.offences == []


def test_what_is_announced_while_an_answer_is_awaited_is_asked_for_afterwards(time):
    builder = ChainBuilder(story_spec())
    node = Node(builder, time)
    peer = node.peer()
    tell(node, peer, ())
    headers = chain_of(builder, 6)
    peer.sent.clear()
    node.sync.on_announce(peer, [headers[4]])
    node.sync.on_announce(peer, [headers[5]])  # the answer on its way may not have it
    tell(node, peer, headers[:5])
    assert len(peer.take(m.GetHeaders)) == 2
    tell(node, peer, headers[5:])
    assert kept(node) == 7
    assert peer.offences == []


def test_a_peer_whose_announcements_never_connect_is_scored(time):
    builder = ChainBuilder(story_spec())
    node = Node(builder, time)
    peer = node.peer()
    headers = chain_of(builder, 40)
    for header in headers[10:22]:
        tell(node, peer, ())  # each time it has nothing that connects
        node.sync.on_announce(peer, [header])
    assert peer.offences == [Offence.UNCONNECTED]
    node.sync.on_announce(peer, [headers[1], headers[3]])
    assert peer.offences == [Offence.UNCONNECTED] * 2


def test_a_header_ahead_of_our_clock_keeps_those_before_it(time):
    builder = ChainBuilder(story_spec())
    node = Node(builder, time)
    peer = node.peer()
    headers = chain_of(builder, 5)
    before = builder.clock.time
    early = chain_of(builder, 1, headers[-1], 5, step=700)
    builder.clock.time = before
    tell(node, peer, [*headers, *early])
    assert kept(node) == 6
    assert peer.offences == []
    assert not node.sync.is_syncing or node.ledger.head.height == 0
    peer.sent.clear()
    builder.clock.advance(100)
    node.pass_time(102)
    assert len(peer.take(m.GetHeaders)) == 1


def test_a_restarted_node_goes_on_from_the_headers_that_it_stored(time):
    builder = ChainBuilder(story_spec())
    node = Node(builder, time)
    headers = chain_of(builder, 50)
    tell(node, node.peer(), headers)
    again = Node(builder, time, ledger=node.ledger)
    (request,) = again.peer().take(m.GetHeaders)
    assert request.locator[0] == headers[-2].hash


def test_an_honest_side_branch_is_followed_to_its_end(time):
    builder = ChainBuilder(story_spec())
    node = Node(builder, time)
    peer, other = node.peer(), node.peer()
    main = chain_of(builder, 2_400)
    tell(node, peer, main[:2_000], more=True)
    tell(node, peer, main[2_000:])
    branch = chain_of(builder, 2_500, note=9)
    tell(node, other, branch[:2_000], more=True)
    assert other.take(m.GetHeaders)[-1].locator[0] == branch[1_999].hash
    tell(node, other, branch[2_000:])
    assert node.sync.headers.best.hash == branch[-1].hash


def test_a_lost_announcement_is_made_good_by_asking_now_and_then(time):
    builder = ChainBuilder(story_spec())
    node = Node(builder, time)
    peer = node.peer()
    tell(node, peer, ())
    peer.sent.clear()
    node.pass_time(310)
    assert len(peer.take(m.GetHeaders)) == 1


# --- the network's advice --------------------------------------------------------------------------------


def test_minimum_work_is_outside_the_networks_identity():
    spec = story_spec()
    assert identity_of(replace(spec, pow=replace(spec.pow, minimum_work=7))) == identity_of(spec)


def test_minimum_work_and_seeds_come_from_the_file():
    raw = read_shipped("devnet").model_dump()
    assert to_spec(NetworkDocument.model_validate(raw), "f").pow.minimum_work == 0
    seed = f"ioex://{'ab' * 32}@[::1]:20338"
    raw["pow"].update(minimum_work="0x1ff", seeds=[seed])
    spec = to_spec(NetworkDocument.model_validate(raw), "f")
    assert (spec.pow.minimum_work, spec.pow.seeds) == (511, (seed,))
    for wrong in ({"minimum_work": "511"}, {"seeds": ["ioex://ab@host:1"]}, {"seeds": [seed + "/x y"]}):
        with pytest.raises(ValidationError):
            NetworkDocument.model_validate({**raw, "pow": {**raw["pow"], **wrong}})
