"""All connections of a node, over links in memory and in virtual time."""

import logging

import pytest
from p2p_hosts import NETWORK, App, MemoryLink, Node, World

from ioex_chain.p2p import chain_messages as m
from ioex_chain.p2p.connection import FULL_RELAY, INBOUND, MANUAL
from ioex_chain.p2p.messages import Addresses, AddressRecord, GetAddresses, LeaveReason, Message
from ioex_chain.p2p.seam import Offence, Peer
from ioex_chain.p2p.types import Endpoint, PeerAddress, PeerId

IDS = ("11.1.0.1", "12.1.0.1", "13.1.0.1", "14.1.0.1", "15.1.0.1", "16.1.0.1")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def pair(world: World) -> tuple[Node, Node]:
    """Two nodes, the first has dialled the second."""
    one, two = Node(world, "one", "11.1.0.1"), Node(world, "two", "12.1.0.1")
    one.host.add(two.address)
    world.run(1)
    assert len(one.app.peers) == len(two.app.peers) == 1
    return one, two


def test_a_peer_asked_for_is_dialled_and_both_see_each_other(pair: tuple[Node, Node]) -> None:
    one, two = pair
    (seen,) = one.host.peers()
    assert (seen.id, seen.kind, seen.outbound) == (two.identity.id, MANUAL, True)
    assert (seen.agent, seen.start_height) == ("/two/", 7)
    assert seen.bytes_sent
    assert seen.bytes_received
    (back,) = two.host.peers()
    assert (back.id, back.kind, back.outbound) == (one.identity.id, INBOUND, False)
    assert back.endpoint.host == "11.1.0.1"


def test_messages_go_to_the_chain_and_addresses_do_not(pair: tuple[Node, Node]) -> None:
    one, two = pair
    one.peer.send(m.GetHeaders((bytes(32),)))
    one.world.settle()
    assert [message for _, message in two.app.messages] == [m.GetHeaders((bytes(32),))]


def test_a_burst_is_written_in_one_piece(pair: tuple[Node, Node]) -> None:
    one, two = pair

    def answer(peer: Peer, _: Message) -> None:
        for _ in range(5):
            peer.send(m.Headers((), more=False))

    two.app.on_received = answer
    written: list[bytes] = []
    link = two.link_to(one)
    real = link.write
    link.write = lambda data: (written.append(data), real(data))[1]  # type: ignore[method-assign]
    one.peer.send(m.GetHeaders((bytes(32),)))
    one.peer.send(m.GetHeaders((bytes(32),)))
    one.world.settle()
    assert len(written) == 2


def test_an_offence_of_100_bans_for_a_day_and_says_goodbye(pair: tuple[Node, Node]) -> None:
    one, two = pair
    one.link_to(two).write(b"\xff" * 50)
    one.world.run(1)
    assert not two.app.peers
    assert two.app.gone
    assert two.bans.is_banned(one.identity.id, "99.1.1.1")
    assert two.bans.is_banned(None, "11.1.0.1")
    assert two.host.accept(Endpoint("11.1.0.1", 5)) is None
    (ban, *_) = two.host.bans()
    assert ban.until - ban.created == 86_400
    assert two.host.totals().offences == {"malformed": 1}
    assert two.host.totals().bans_made == 2


def test_small_offences_add_up(pair: tuple[Node, Node]) -> None:
    _, two = pair
    peer = two.peer
    peer.offend(Offence.LOW_WORK)
    peer.offend(Offence.LOW_WORK)
    assert two.app.peers
    assert two.host.peers()[0].score == 68
    peer.offend(Offence.LOW_WORK)
    assert not two.app.peers
    peer.offend(Offence.LOW_WORK)
    assert two.host.totals().offences == {"low_work": 3}


def test_a_slow_or_frozen_peer_is_left_but_not_banned(pair: tuple[Node, Node]) -> None:
    """A pause of half a minute makes an honest one late with headers and blocks at once."""
    one, two = pair
    two.peer.offend(Offence.STALLING)
    two.peer.offend(Offence.STALLING)
    assert not two.app.peers
    assert not two.bans.is_banned(one.identity.id, "11.1.0.1")
    one.world.run(10)
    two.peer.offend(Offence.STALLING)
    two.peer.offend(Offence.UNREQUESTED)
    assert two.bans.is_banned(one.identity.id, "11.1.0.1")


def test_on_loopback_only_the_id_is_banned(world: World) -> None:
    one, two = Node(world, "one", "127.0.0.2"), Node(world, "two", "127.0.0.3")
    one.host.add(two.address)
    world.run(1)
    two.peer.offend(Offence.INVALID_BLOCK)
    assert two.bans.is_banned(one.identity.id, "127.0.0.2")
    assert two.host.accept(Endpoint("127.0.0.2", 5)) is not None


def test_a_banned_id_is_refused_in_the_handshake_from_anywhere(world: World) -> None:
    one, two = Node(world, "one", "11.1.0.1"), Node(world, "two", "12.1.0.1")
    two.host.ban(one.identity.id.hex(), 1_000, "test")
    one.host.add(two.address)
    world.run(3)
    assert not two.app.peers
    assert one.dials
    two.host.unban(one.identity.id.hex())
    world.run(120)
    assert two.app.peers


def test_a_ban_by_hand_ends_the_connection(pair: tuple[Node, Node]) -> None:
    one, two = pair
    one.host.ban("12.1.0.0/16", 1_000, "subnet")
    one.world.settle()
    assert not one.app.peers
    assert not two.app.peers
    before = len(one.dials)
    one.world.run(30)
    assert len(one.dials) == before


def test_a_lost_peer_is_dialled_again_with_growing_pauses(pair: tuple[Node, Node]) -> None:
    one, two = pair
    one.world.unreachable |= {one.endpoint, two.endpoint}
    one.link_to(two).break_("reset")
    before = len(one.dials)
    one.world.run(15)
    early = len(one.dials) - before
    assert 2 <= early <= 6
    one.world.run(600)
    late = len(one.dials) - before - early
    assert 5 <= late <= 22
    one.world.unreachable.clear()
    one.world.run(91)
    assert one.app.peers


def test_another_network_is_refused_without_blame(world: World) -> None:
    one, two = Node(world, "one", "11.1.0.1"), Node(world, "two", "12.1.0.1", network=NETWORK[::-1])
    one.host.add(two.address)
    world.run(30)
    assert not one.app.peers
    assert not two.app.peers
    assert not two.host.bans()
    assert not one.host.bans()
    assert 2 <= len(one.dials) <= 7


def test_other_rules_are_refused(world: World) -> None:
    one, two = Node(world, "one", "11.1.0.1"), Node(world, "two", "12.1.0.1")
    two.app.rules = b"new!"
    one.host.add(two.address)
    world.run(5)
    assert not one.app.peers
    assert not two.app.peers


def test_who_answers_with_another_key_is_left(world: World) -> None:
    one, two = Node(world, "one", "11.1.0.1"), Node(world, "two", "12.1.0.1")
    other = Node(world, "other", "13.1.0.1")
    one.host.add(PeerAddress(other.identity.id, two.endpoint))
    world.run(5)
    assert not one.app.peers
    assert not two.app.peers


@pytest.mark.parametrize("names", [("one", "two"), ("two", "one"), ("a", "b"), ("b", "a")])
def test_of_two_simultaneous_dials_both_ends_keep_that_of_the_lower_id(
    world: World, names: tuple[str, str]
) -> None:
    one, two = Node(world, names[0], "11.1.0.1"), Node(world, names[1], "12.1.0.1")
    one.host.add(two.address)
    two.host.add(one.address)
    world.run(3)
    assert len(one.dials) == len(two.dials) == 1
    assert len(one.app.peers) == len(two.app.peers) == 1
    assert one.peer.outbound == (one.identity.id < two.identity.id)
    assert two.peer.outbound != one.peer.outbound


@pytest.mark.parametrize("names", [("one", "two"), ("two", "one")])
def test_a_peer_that_lost_the_connection_replaces_the_dead_one(world: World, names: tuple[str, str]) -> None:
    one = Node(world, names[0], "11.1.0.1", max_outbound=0)
    two = Node(world, names[1], "12.1.0.1", max_outbound=0)
    one.host.add(two.address)
    world.run(2)
    dead = two.link_to(one)
    number = two.peer.number
    dead.other.closed = True  # its end vanished, this end has heard nothing
    one.host._connections[one.peer.number].link_down("power cut")
    one.world.run(3)
    assert len(two.app.peers) == 1
    assert two.peer.number != number
    assert two.app.gone == [number]


def test_a_node_does_not_talk_to_itself(world: World) -> None:
    one = Node(world, "one", "11.1.0.1")
    one.host.try_once(PeerAddress(one.identity.id, one.endpoint))
    one.host.add(PeerAddress(Node(world, "two", "12.1.0.1").identity.id, one.endpoint))
    world.run(3)
    assert not one.app.peers


def test_inbound_slots_end_and_never_take_outbound_ones(world: World) -> None:
    centre = Node(world, "centre", "11.1.0.1", max_inbound=2)
    others = [Node(world, f"n{at}", host, max_outbound=0) for at, host in enumerate(IDS[1:])]
    for other in others:
        other.host.add(centre.address)
    world.run(20)
    inbound = [peer for peer in centre.host.peers() if peer.kind == INBOUND]
    assert len(inbound) == 2
    far = Node(world, "far", "21.1.0.1", max_outbound=0)
    centre.host.add(far.address)
    world.run(5)
    assert far.app.peers


def test_a_newcomer_takes_the_place_of_the_youngest_of_the_largest_crowd(world: World) -> None:
    centre = Node(world, "centre", "11.1.0.1", max_inbound=40, max_outbound=0)
    crowd = [
        Node(world, f"crowd{at}", f"12.1.{at}.1", max_outbound=0, peers=(centre.address,)) for at in range(40)
    ]
    world.run(3)
    assert len(centre.app.peers) == 40
    old = {peer.number: peer.id for peer in centre.app.peers.values()}
    honest = Node(world, "honest", "13.1.0.1", max_outbound=0)
    honest.host.try_once(centre.address)
    world.run(0.1)
    assert honest.app.peers
    (evicted,) = centre.app.gone
    assert old[evicted] in [node.identity.id for node in crowd]


def test_arrivals_of_one_address_are_throttled(world: World) -> None:
    centre = Node(world, "centre", "11.1.0.1")
    taken = sum(centre.host.accept(Endpoint("12.1.0.1", 1_000 + at)) is not None for at in range(100))
    assert taken == 20
    assert centre.host.accept(Endpoint("13.1.0.1", 1)) is not None


def test_unfinished_handshakes_never_shut_the_door(world: World) -> None:
    centre = Node(world, "centre", "127.0.0.1")
    first = centre.host.accept(Endpoint("127.0.0.2", 999))
    for at in range(200):
        assert centre.host.accept(Endpoint("127.0.0.2", 1_000 + at)) is not None
    assert len(centre.host._connections) == 64
    assert first not in centre.host._connections.values()


def test_addresses_spread_by_gossip(world: World) -> None:
    seed = Node(world, "seed", "11.1.0.1")
    others = [Node(world, f"n{at}", host, seeds=(seed.address,)) for at, host in enumerate(IDS[1:])]
    world.run(120)
    for node in (seed, *others):
        assert len(node.app.peers) >= 3, node.endpoint
        assert len({peer.id for peer in node.app.peers.values()}) == len(node.app.peers)
    assert any(peer.kind == FULL_RELAY for node in others[1:] for peer in node.host.peers())


def test_one_outbound_connection_a_network_group(world: World) -> None:
    one = Node(world, "one", "11.1.0.1")
    near = [Node(world, f"near{at}", f"12.1.0.{at}", max_outbound=0) for at in range(1, 5)]
    far = [Node(world, f"far{at}", f"{at}.1.0.1", max_outbound=0) for at in range(20, 23)]
    records = [AddressRecord(*node.address, world.clock.now()) for node in (*near, *far)]
    one.book.learn(records, Endpoint("99.1.0.1", 1))
    world.run(60)
    hosts = [peer.endpoint.host for peer in one.host.peers() if peer.kind == FULL_RELAY]
    assert sum(host.startswith("12.1.") for host in hosts) == 1
    assert len(hosts) == 4


def test_get_addresses_is_answered_once_and_only_to_who_dialled(pair: tuple[Node, Node]) -> None:
    one, two = pair
    two.book.learn([AddressRecord(two.identity.id, Endpoint("31.1.0.1", 1), 0)], one.endpoint)
    counts = two.host.totals().sent_by_type
    assert counts.get("Addresses")
    one.peer.send(GetAddresses())
    two.peer.send(GetAddresses())
    one.world.settle()
    assert two.host.totals().sent_by_type["Addresses"] == counts["Addresses"]
    assert "Addresses" not in one.host.totals().sent_by_type


def test_addresses_that_many_tell_are_passed_on_at_a_pace_that_peers_allow(world: World) -> None:
    """Else whoever tells a node enough has its peers ban it."""
    centre = Node(world, "centre", "11.1.0.1", max_outbound=0)
    others = [Node(world, f"n{at}", host, max_outbound=0, port=0) for at, host in enumerate(IDS[1:4])]
    for other in others:
        other.host.add(centre.address)
    world.run(2)
    assert len(centre.host.peers()) == 3
    for number in range(5_000):
        id_ = PeerId(number.to_bytes(32, "little"))
        place = Endpoint(f"{20 + number % 100}.{number // 100}.0.1", 1)
        source = Endpoint(f"{130 + number % 60}.1.0.1", 1)
        centre.book.learn([AddressRecord(id_, place, world.clock.now())], source)
        if PeerAddress(id_, place) in centre.book:
            giver = others[0]
            for connection in list(centre.host._connections.values()):
                if connection.id == giver.identity.id:
                    record = AddressRecord(id_, place, world.clock.now())
                    centre.host._addresses.on_addresses(connection, Addresses((record,)))
        world.settle()
    assert len(centre.book) > 3_500
    assert all("flood" not in other.host.totals().offences for other in others)
    assert len(centre.host.peers()) == 3


def test_a_fresh_address_is_passed_on_to_two_others_once(world: World) -> None:
    centre = Node(world, "centre", "11.1.0.1", max_outbound=0)
    others = [Node(world, f"n{at}", host, max_outbound=0, port=0) for at, host in enumerate(IDS[1:])]
    for other in others:
        other.host.add(centre.address)
    world.run(2)
    stranger = Node(world, "stranger", "77.1.0.1", max_outbound=0)
    record = AddressRecord(*stranger.address, world.clock.now() - 1)
    old = AddressRecord(others[0].identity.id, Endpoint("78.1.0.1", 1), world.clock.now() - 3_600)
    for _ in range(3):
        others[0].peer.send(Addresses((record, old)))
    world.settle()
    told = [other for other in others[1:] if stranger.address in other.book]
    assert len(told) == 2
    assert stranger.address in centre.book
    assert not any(PeerAddress(old.id, old.endpoint) in other.book for other in others[1:])
    world.run(4_000, step=5)
    sent = centre.host.totals().sent_by_type["Addresses"]
    nowhere = AddressRecord(stranger.identity.id, Endpoint("224.0.0.1", 1), world.clock.now())
    others[0].peer.send(Addresses((nowhere,)))
    world.settle()
    assert centre.host.totals().sent_by_type["Addresses"] == sent


def test_a_node_announces_where_it_is_reached(world: World) -> None:
    outside = Endpoint("88.1.0.1", 7)
    named = Endpoint("node.example", 7)
    one, two = Node(world, "one", "11.1.0.1", external=(named, outside)), Node(world, "two", "12.1.0.1")
    one.host.add(two.address)
    world.run(2)
    assert PeerAddress(one.identity.id, outside) in two.book


def test_feelers_test_an_address_and_leave(world: World) -> None:
    one = Node(world, "one", "11.1.0.1", max_outbound=1)
    two = Node(world, "two", "12.1.0.1", max_outbound=0)
    three = Node(world, "three", "13.1.0.1", max_outbound=0)
    one.book.learn(
        [AddressRecord(*node.address, world.clock.now()) for node in (two, three)], Endpoint("99.1.0.1", 1)
    )
    world.run(400)
    assert len(one.app.peers) == 1
    assert all(entry.tried for entry in one.book.entries())


def test_anchors_are_dialled_first(world: World) -> None:
    two = Node(world, "two", "12.1.0.1", max_outbound=0)
    others = [Node(world, f"n{at}", f"{at}.1.0.1", max_outbound=0) for at in range(20, 40)]
    one = Node(world, "one", "11.1.0.1", max_outbound=3, anchors=(two.address,))
    one.book.learn(
        [AddressRecord(*node.address, world.clock.now()) for node in others], Endpoint("99.1.0.1", 1)
    )
    world.run(5)
    assert one.dials[0] == two.endpoint
    assert one.host.anchors()[0] == two.address
    assert len(one.host.anchors()) == 2


def test_only_the_peers_asked_for_are_dialled(world: World) -> None:
    two, three = Node(world, "two", "12.1.0.1"), Node(world, "three", "13.1.0.1")
    one = Node(world, "one", "11.1.0.1", peers=(two.address,), only_peers=True, seeds=(three.address,))
    world.run(300)
    assert set(one.dials) == {two.endpoint}


def test_an_error_in_the_chain_costs_the_peer_not_the_node(
    pair: tuple[Node, Node], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = pair

    def fail(peer: Peer, message: Message) -> None:
        raise RuntimeError("a bug")

    two.app.on_received = fail
    one.peer.send(m.GetHeaders((bytes(32),)))
    with caplog.at_level(logging.ERROR):
        one.world.settle()
    assert not two.app.peers
    assert "a bug" in caplog.text
    two.app.on_received = App().on_received
    one.world.run(10)
    assert two.app.peers
    assert not two.host.bans()


def test_a_peer_that_takes_nothing_is_left_after_a_minute(pair: tuple[Node, Node]) -> None:
    one, two = pair
    link = stall(one, two)
    live(two, link, 50)
    assert not two.app.gone
    assert two.peer.backlog > 5_000
    live(two, link, 20)
    assert two.app.gone


def test_a_peer_that_takes_little_is_kept(pair: tuple[Node, Node]) -> None:
    one, two = pair
    link = stall(one, two)
    for _ in range(3):
        live(two, link, 30)
        link.backlog -= 1_000
        two.peer.send(m.BlockData(bytes(5_000)))
    assert not two.app.gone


def stall(one: Node, two: Node) -> MemoryLink:
    """Have `one` take nothing any more; it lives on as far as `live` says."""
    del one.world.nodes[one.endpoint]
    link = two.link_to(one)
    link.stalled = True
    two.peer.send(m.BlockData(bytes(5_000)))
    return link


def live(two: Node, link: MemoryLink, seconds: int) -> None:
    """Let time pass while the stalled end goes on sending pings."""
    for _ in range(0, seconds, 10):
        link.handler.link_data((8).to_bytes(4, "little") + b"\x01" + bytes(8))
        two.world.run(10)


def test_a_backlog_above_64_mib_ends_the_connection(pair: tuple[Node, Node]) -> None:
    one, two = pair
    link = two.link_to(one)
    link.stalled = True
    for _ in range(9):
        two.peer.send(m.BlockData(bytes(8_000_000)))
    assert not two.app.gone
    two.world.run(0.2)
    assert two.app.gone


def test_a_chain_that_was_held_back_goes_on(pair: tuple[Node, Node]) -> None:
    one, two = pair
    left = [5]

    def feed(peer: Peer) -> None:
        while left[0] and peer.backlog <= 1 << 20:
            left[0] -= 1
            peer.send(m.BlockData(bytes(900_000)))

    two.app.on_received = lambda peer, message: feed(peer)
    two.app.on_drained = feed
    one.peer.send(m.GetBlocks(tuple(bytes((at,)) * 32 for at in range(5))))
    one.world.settle()
    assert len(one.app.messages) == 5
    assert two.app.drains


def test_a_silent_link_is_dropped_after_five_seconds(world: World) -> None:
    one = Node(world, "one", "11.1.0.1")
    handler = one.host.accept(Endpoint("12.1.0.1", 9))
    assert handler is not None
    world.run(14)
    assert one.host._connections
    world.run(2)
    assert not one.host._connections


def test_stopping_says_goodbye_and_lets_nobody_in(pair: tuple[Node, Node]) -> None:
    one, two = pair
    two.host.stop("maintenance")
    one.world.settle()
    assert not two.app.peers
    assert not one.app.peers
    assert bytes((LeaveReason.STOPPING,)) + bytes((11,)) + b"maintenance" in bytes(one.links[0].other.written)
    assert two.host.accept(Endpoint("13.1.0.1", 9)) is None
    before = len(two.dials)
    one.world.run(5)
    assert len(two.dials) == before


def test_the_network_can_be_turned_off_and_on(pair: tuple[Node, Node]) -> None:
    one, _ = pair
    one.host.set_active(False)
    one.world.run(30)
    assert not one.app.peers
    assert one.host.accept(Endpoint("13.1.0.1", 9)) is None
    one.host.set_active(True)
    one.world.run(3)
    assert one.app.peers


def test_disconnect_add_forget_added(pair: tuple[Node, Node]) -> None:
    one, two = pair
    ((address, info),) = one.host.added()
    assert address == two.address
    assert info is not None
    assert not one.host.add(two.address)
    assert one.host.forget(two.address)
    assert not one.host.forget(two.address)
    assert not one.host.disconnect(99)
    assert one.host.disconnect(one.peer.number)
    one.world.run(1)
    assert not one.app.peers
    assert not two.app.peers
    one.host.try_once(two.address)
    one.world.run(1)
    assert one.app.peers


def test_pings_are_measured(pair: tuple[Node, Node]) -> None:
    one, _ = pair
    one.world.run(2)
    one.host.ping()
    one.world.settle()
    assert one.host.peers()[0].ping == 0


def test_totals_keep_what_closed_connections_carried(pair: tuple[Node, Node]) -> None:
    one, _ = pair
    before = one.host.totals()
    one.host.set_active(False)
    after = one.host.totals()
    assert after.bytes_sent > before.bytes_sent
    assert after.sent_by_type["Goodbye"]
    assert after.received_by_type == before.received_by_type


def test_a_peer_that_dialled_us_is_remembered_where_it_listens(pair: tuple[Node, Node]) -> None:
    one, two = pair
    assert one.address in two.book


def test_a_flood_is_punished_and_the_others_stay(world: World) -> None:
    bad, good = Node(world, "bad", "11.1.0.1"), Node(world, "good", "13.1.0.1")
    two = Node(world, "two", "12.1.0.1", max_outbound=0)
    bad.host.add(two.address)
    good.host.add(two.address)
    world.run(1)
    frame = (8).to_bytes(4, "little") + b"\x01" + bytes(8)
    bad.link_to(two).write(frame * 1_000)
    world.run(1)
    assert [peer.id for peer in two.host.peers()] == [good.identity.id]
    assert two.bans.is_banned(bad.identity.id, "1.1.1.1")
