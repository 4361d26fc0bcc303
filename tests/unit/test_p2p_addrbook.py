"""The address book: what it learns, keeps, gives and forgets."""

import random
from collections import Counter
from ipaddress import IPv4Address

import pytest

from ioex_chain.p2p.addrbook import MAX_FROM_SOURCE, AddressBook, KnownAddress
from ioex_chain.p2p.addrtable import BUCKET_SIZE, BUCKETS_PER_GROUP, BUCKETS_PER_SOURCE_GROUP, Places
from ioex_chain.p2p.groups import network_group
from ioex_chain.p2p.kept import KeptFileUnreadable
from ioex_chain.p2p.messages import AddressRecord
from ioex_chain.p2p.types import Endpoint, PeerAddress, PeerId
from ioex_chain.primitives.clock import FixedClock

NOW = 1_700_000_000
DAY = 86_400
OWN, SECRET = PeerId(b"\xee" * 32), b"\x07" * 32
TELLER = Endpoint("9.9.9.9", 20_866)


def peer(number: int, host: str | None = None, port: int = 20_866) -> PeerAddress:
    """A peer at an address of its own, each in a group of its own."""
    place = host or str(IPv4Address(0x1600_0101 + number * 0x1_0000))
    return PeerAddress(PeerId(number.to_bytes(32, "big")), Endpoint(place, port))


def record(address: PeerAddress, seen: int = NOW) -> AddressRecord:
    return AddressRecord(address.id, address.endpoint, seen)


class World:
    def __init__(self, seed: int = 1, *, accept_local: bool = False) -> None:
        self.clock = FixedClock(NOW)
        self.accept_local = accept_local
        self.book = AddressBook(
            random.Random(seed), self.clock, OWN, secret=SECRET, accept_local=accept_local
        )

    def tell(self, *addresses: PeerAddress, source: Endpoint = TELLER, seen: int | None = None) -> int:
        at = self.clock.now() if seen is None else seen
        return self.book.learn([record(address, at) for address in addresses], source)

    def find(self, address: PeerAddress) -> KnownAddress:
        (found,) = [entry for entry in self.book.entries() if entry.address == address]
        return found

    def reopened(self, secret: bytes = SECRET) -> AddressBook:
        return AddressBook.decode(
            self.book.encode(),
            random.Random(2),
            self.clock,
            OWN,
            secret=secret,
            accept_local=self.accept_local,
        )


@pytest.fixture
def world() -> World:
    return World()


def test_it_learns_and_gives(world: World) -> None:
    assert world.book.choose() is None
    assert world.tell(peer(1), peer(2)) == 2
    assert world.tell(peer(1), source=Endpoint("5.5.5.5", 1)) == 0
    assert len(world.book) == 2
    assert {world.book.choose() for _ in range(50)} == {peer(1), peer(2)}
    assert world.book.choose(accept=lambda address: address == peer(2)) == peer(2)
    assert world.book.choose(accept=lambda _: False) is None


def test_what_it_does_not_take(world: World) -> None:
    useless = [
        PeerAddress(OWN, peer(1).endpoint),
        peer(2, "127.0.0.1"),
        peer(3, "10.0.0.1"),
        peer(4, "224.0.0.1"),
        peer(5, "0.0.0.0"),
        peer(6, "fe80::1"),
        peer(7, port=0),
        peer(8, "node.example"),
    ]
    assert world.tell(*useless) == 0
    world.book.succeeded(useless[0], 0)
    world.book.succeeded(useless[1], 0)
    assert len(world.book) == 0


def test_local_addresses_where_they_are_wanted() -> None:
    world = World(accept_local=True)
    assert (
        world.tell(peer(1, "127.0.0.1"), peer(2, "10.0.0.1"), peer(3, "224.0.0.1"), peer(4, "0.0.0.0")) == 2
    )
    assert len(world.reopened()) == 2


def test_times_are_believed_within_reason(world: World) -> None:
    world.tell(peer(1), seen=NOW + 601)
    world.tell(peer(2), seen=0)
    world.tell(peer(3), seen=NOW + 600)
    world.tell(peer(4), seen=NOW - DAY)
    world.tell(peer(5), source=peer(5).endpoint)
    assert world.tell(peer(6), seen=NOW - 31 * DAY) == 0
    ages = [NOW - entry.seen for entry in world.book.entries()]
    assert ages == [5 * DAY + 7_200, 5 * DAY + 7_200, 7_200, DAY + 7_200, 0]
    world.tell(peer(4), seen=NOW)
    assert NOW - world.find(peer(4)).seen == 7_200
    world.tell(peer(4), seen=NOW - DAY)
    assert NOW - world.find(peer(4)).seen == 7_200


def test_one_message_and_one_source_have_a_cap(world: World) -> None:
    many = [record(peer(number)) for number in range(1, 4_000)]
    assert 800 < world.book.learn(many, TELLER) <= 1_000
    for start in range(1_000, 4_000, 500):
        world.book.learn(many[start : start + 500], TELLER)
    assert len(world.book) == MAX_FROM_SOURCE
    assert world.tell(*map(peer, range(4_020, 4_030)), source=Endpoint("5.5.5.5", 1)) > 5
    world.book.succeeded(world.book.entries()[0].address, 0)
    assert sum(world.tell(peer(number)) for number in range(4_002, 4_020)) == 1


def test_a_group_of_tellers_reaches_few_buckets() -> None:
    places = Places(SECRET)
    sources = [f"9.9.{number % 256}.1" for number in range(500)]
    reached = {places.new(peer(number), sources[number % 500])[0] for number in range(5_000)}
    assert len(reached) <= BUCKETS_PER_SOURCE_GROUP
    one_group = [peer(number, f"22.1.{number // 250}.{number % 250 + 1}") for number in range(2_000)]
    assert len({places.new(address, "9.9.9.9")[0] for address in one_group}) == 1
    assert len({places.tried(address)[0] for address in one_group}) <= BUCKETS_PER_GROUP
    assert len({places.tried(peer(number))[0] for number in range(2_000)}) > 200
    assert places.new(peer(1), "9.9.9.9") != Places(b"\x08" * 32).new(peer(1), "9.9.9.9")


def test_a_place_is_kept_against_hearsay(world: World) -> None:
    crowd = [peer(number, f"22.1.{number // 250}.{number % 250 + 1}") for number in range(1, 1_000)]
    taken = world.tell(*crowd)
    assert taken <= BUCKET_SIZE
    first = [entry.address for entry in world.book.entries()]
    world.tell(*crowd)
    assert [entry.address for entry in world.book.entries()] == first
    for _ in range(3):
        for address in first:
            world.book.failed(address)
    world.clock.advance(60)
    world.tell(*reversed(crowd))
    assert [entry.address for entry in world.book.entries()] != first
    assert len(world.book) == taken


def test_success_moves_to_tried(world: World) -> None:
    world.tell(peer(1), peer(2))
    world.book.attempted(peer(1))
    world.book.succeeded(peer(1), 3)
    found = world.find(peer(1))
    assert (found.tried, found.services, found.success, found.attempt) == (True, 3, NOW, NOW)
    drawn = Counter(world.book.choose() for _ in range(1_000))
    assert 400 < drawn[peer(1)] < 600
    assert {world.book.choose(new_only=True) for _ in range(20)} == {peer(2)}
    world.book.succeeded(peer(2), 3)
    assert world.book.choose(new_only=True) is None
    assert {world.book.choose() for _ in range(50)} == {peer(1), peer(2)}


def test_an_unknown_node_that_answered_is_kept(world: World) -> None:
    world.book.succeeded(peer(9), 1)
    assert world.find(peer(9)).tried
    world.book.failed(peer(10))
    world.book.attempted(peer(10))
    assert len(world.book) == 1


def test_one_that_failed_rests_then_comes_less_often(world: World) -> None:
    world.book.succeeded(peer(1), 0)
    world.book.succeeded(peer(2), 0)
    for wait in (5, 10, 20, 40, 80, 160, 300, 300, 300):
        world.book.failed(peer(1))
        assert {world.book.choose() for _ in range(30)} == {peer(2)}
        world.clock.advance(wait - 1)
        assert {world.book.choose() for _ in range(30)} == {peer(2)}
        world.clock.advance(1)
    drawn = Counter(world.book.choose() for _ in range(2_000))
    assert 0 < drawn[peer(1)] < 200
    world.book.succeeded(peer(1), 0)
    drawn = Counter(world.book.choose() for _ in range(2_000))
    assert drawn[peer(1)] > 800


def test_the_only_one_is_given_though_it_failed_often(world: World) -> None:
    world.tell(peer(1))
    for _ in range(20):
        world.book.failed(peer(1))
    world.clock.advance(300)
    assert all(world.book.choose() == peer(1) for _ in range(20))


def test_a_sample_is_a_share_without_the_terrible(world: World) -> None:
    assert world.book.sample(10) == []
    world.tell(*map(peer, range(1, 101)))
    count = len(world.book)
    first = world.book.sample(1_000)
    assert len(first) == int(count * 0.23)
    assert len({found.id for found in first}) == len(first)
    assert len(world.book.sample(5)) == 5
    assert world.book.sample(1_000) != first
    gone = world.book.entries()[0].address
    for _ in range(3):
        world.book.failed(gone)
    assert any(found.id == gone.id for _ in range(100) for found in world.book.sample(100))
    world.clock.advance(60)
    assert not any(found.id == gone.id for _ in range(100) for found in world.book.sample(100))
    world.clock.advance(31 * DAY)
    assert world.book.sample(100) == []


def test_a_small_book_gives_one(world: World) -> None:
    world.tell(peer(1), peer(2))
    assert len(world.book.sample(1_000)) == 1


def test_an_id_that_moves_is_known_at_both_places(world: World) -> None:
    old, moved = peer(1), peer(1, "44.4.4.4")
    world.book.succeeded(old, 0)
    assert world.tell(moved) == 1
    assert world.find(old).tried
    world.book.succeeded(moved, 0)
    world.book.failed(old)
    assert world.book.choose() == moved


def test_a_handshake_settles_who_is_at_an_endpoint(world: World) -> None:
    world.book.succeeded(peer(1), 0)
    impostor = PeerAddress(PeerId(b"\x42" * 32), peer(1).endpoint)
    assert world.tell(impostor) == 1
    world.book.succeeded(impostor, 0)
    assert [entry.address for entry in world.book.entries()] == [impostor]


def test_lies_push_no_node_out(world: World) -> None:
    honest = peer(1)
    world.tell(honest, source=Endpoint("5.5.5.5", 1))
    lies = [peer(1, f"66.{number}.1.1") for number in range(1, 200)]
    lies += [PeerAddress(PeerId(bytes([number]) * 32), honest.endpoint) for number in range(2, 200)]
    world.tell(*lies)
    assert len(world.book) == 7  # four of the id, four of the endpoint, the honest one in both
    assert world.find(honest)


def test_lies_told_first_keep_no_node_out(world: World) -> None:
    lies = [peer(1, f"66.{number}.1.1") for number in range(1, 200)]
    world.tell(*lies)
    assert len(world.book) == 4
    assert world.tell(peer(1), source=Endpoint("5.5.5.5", 1)) == 1
    assert len(world.book) == 4
    world.tell(*reversed(lies))
    assert world.find(peer(1))


def test_what_several_sources_told_first_stays_until_it_fails(world: World) -> None:
    tellers = [Endpoint(f"{number}.5.5.5", 1) for number in range(30, 35)]
    places = [peer(1, f"66.{number}.1.1") for number in range(5)]
    told = [world.tell(place, source=teller) for place, teller in zip(places, tellers, strict=True)]
    assert told == [1, 1, 1, 1, 0]
    world.book.failed(places[2])
    assert world.tell(places[4], source=tellers[4]) == 1
    assert [entry.address for entry in world.book.entries()] == [places[at] for at in (0, 1, 3, 4)]


def colliding(count: int) -> list[PeerAddress]:
    """Peers of many groups with one place in the tried table."""
    places, found = Places(SECRET), {}
    for number in range(1, 200_000):
        address = peer(number % 50_000, port=1_000 + number // 50_000)
        rivals = found.setdefault(places.tried(address), [])
        rivals.append(address)
        if len(rivals) == count:
            return rivals
    raise AssertionError("none found")


def test_a_tried_place_is_kept_while_its_holder_answers(world: World) -> None:
    holder, newcomer = colliding(2)
    world.book.succeeded(holder, 0)
    world.book.succeeded(newcomer, 0)
    assert not world.find(newcomer).tried
    assert world.book.to_test() is None  # it answered within four hours
    world.clock.advance(5 * 3_600)
    world.book.succeeded(newcomer, 0)
    assert world.book.to_test() == holder
    world.book.succeeded(holder, 0)
    assert world.book.to_test() is None
    assert world.find(holder).tried
    world.clock.advance(5 * 3_600)
    world.book.succeeded(newcomer, 0)
    world.book.alive(holder)
    assert world.book.to_test() is None


def test_a_holder_that_fails_its_test_makes_way(world: World) -> None:
    holder, newcomer = colliding(2)
    world.book.succeeded(holder, 0)
    world.clock.advance(5 * 3_600)
    world.book.succeeded(newcomer, 0)
    world.book.failed(holder)
    assert world.find(newcomer).tried
    assert not world.find(holder).tried
    assert world.book.to_test() is None


def test_a_holder_that_nobody_tests_makes_way(world: World) -> None:
    holder, newcomer = colliding(2)
    world.book.succeeded(holder, 0)
    world.clock.advance(5 * 3_600)
    world.book.succeeded(newcomer, 0)
    world.clock.advance(40 * 60)
    assert world.book.to_test() is None
    assert world.find(newcomer).tried


def test_a_terrible_holder_makes_way_at_once(world: World) -> None:
    holder, newcomer = colliding(2)
    world.book.succeeded(holder, 0)
    world.clock.advance(31 * DAY)
    world.book.succeeded(newcomer, 0)
    assert world.find(newcomer).tried


def test_the_book_is_kept(world: World) -> None:
    world.tell(*map(peer, range(1, 200)), peer(300, "2a00:1450::1"))
    world.book.succeeded(peer(5), 3)
    world.book.failed(peer(6))
    again = world.reopened()
    assert sorted(again.entries(), key=str) == sorted(world.book.entries(), key=str)
    other = world.reopened(b"\x09" * 32)
    assert 150 < len(other) <= len(world.book)
    assert [entry.address for entry in other.entries() if entry.tried] == [peer(5)]


def test_a_damaged_file_is_refused(world: World) -> None:
    world.tell(peer(1))
    data = world.book.encode()

    def decode(text: bytes) -> AddressBook:
        return AddressBook.decode(text, random.Random(1), world.clock, OWN, secret=SECRET)

    for at in range(len(data)):
        for damaged in (data[:at], data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]):
            with pytest.raises(KeptFileUnreadable):
                decode(damaged)
    assert len(decode(data)) == 1


def test_the_same_seed_gives_the_same_book() -> None:
    def story(seed: int) -> list[object]:
        world = World(seed)
        told: list[object] = [world.tell(*map(peer, range(1, 300)))]
        for _ in range(200):
            address = world.book.choose()
            assert address is not None
            (world.book.succeeded(address, 1) if address.id[-1] % 3 else world.book.failed(address))
            world.clock.advance(7)
            told.append(address)
        return [*told, world.book.sample(50), world.book.encode()]

    assert story(4) == story(4)
    assert story(4) != story(5)


def test_any_sequence_keeps_the_tables_whole() -> None:
    chance = random.Random(11)
    world = World(accept_local=True)
    crowd = [
        PeerAddress(
            PeerId(bytes([chance.randrange(40)]) * 32),
            Endpoint(f"22.{chance.randrange(6)}.0.1", 1 + chance.randrange(20)),
        )
        for _ in range(600)
    ]
    for _ in range(6_000):
        address, step = chance.choice(crowd), chance.randrange(7)
        if step < 3:
            world.tell(address, source=Endpoint(f"9.{chance.randrange(5)}.1.1", 1))
        elif step == 3:
            world.book.succeeded(address, 1)
        elif step == 4:
            world.book.failed(address)
        elif step == 5:
            world.book.to_test()
            world.book.choose()
        else:
            world.clock.advance(chance.randrange(4_000))
    book = world.book
    assert len(book) > 20
    assert len(book._new) + len(book._tried) == len(book)
    assert sum(map(len, book._by_id.values())) == sum(map(len, book._by_endpoint.values())) == len(book)
    assert sum(book._from.values()) == len(book._new)
    for known in book._entries.values():
        table = book._tried if known.in_tried else book._new
        assert table.at(known.bucket, known.slot) is known
    assert max(Counter(e.address.id for e in book.entries() if not e.tried).values()) <= 4
    assert network_group("22.1.0.1") == b"4\x16\x01"
