"""Bans by id, address and subnet; the groups of addresses."""

import pytest

from ioex_chain.p2p.bans import DEFAULT_SECONDS, BanList, InvalidBan, normal_subject
from ioex_chain.p2p.groups import household, is_local, is_loopback, is_routable, network_group
from ioex_chain.p2p.kept import KeptFileUnreadable
from ioex_chain.p2p.types import PeerId
from ioex_chain.primitives.clock import FixedClock

ID, OTHER = PeerId(b"\x01" * 32), PeerId(b"\x02" * 32)
FAR = "203.1.2.3"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(1_700_000_000)


@pytest.fixture
def bans(clock: FixedClock) -> BanList:
    return BanList(clock)


def test_an_id_is_banned_wherever_it_comes_from(bans: BanList) -> None:
    bans.ban(ID.hex().upper(), reason="rude")
    assert bans.is_banned(ID, FAR)
    assert bans.is_banned(ID, "::1")
    assert not bans.is_banned(OTHER, FAR)
    assert not bans.is_banned(None, FAR)


@pytest.mark.parametrize(
    ("subject", "inside", "outside"),
    [
        ("203.1.2.3", ["203.1.2.3", "::ffff:203.1.2.3"], ["203.1.2.4", "::1", "name.example"]),
        ("203.1.2.9/24", ["203.1.2.0", "203.1.2.255"], ["203.1.3.0", "::cb01:200"]),
        ("2001:db8::/32", ["2001:db8:1::5"], ["2001:db9::", "32.1.13.184"]),
        ("fe80::1%eth0", ["fe80::1", "fe80::1%eth1"], ["fe80::2"]),
        ("::ffff:10.1.0.0/112", ["10.1.2.3"], ["10.2.0.0"]),
        ("0.0.0.0/0", ["1.2.3.4", "255.255.255.255"], ["::1"]),
        ("127.0.0.1", ["127.0.0.1"], ["127.0.0.2"]),
    ],
)
def test_an_address_and_a_subnet(bans: BanList, subject: str, inside: list[str], outside: list[str]) -> None:
    bans.ban(subject)
    assert all(bans.is_banned(None, host) for host in inside)
    assert not any(bans.is_banned(None, host) for host in outside)
    assert bans.lift(subject)
    assert not any(bans.is_banned(None, host) for host in inside)
    assert not bans.lift(subject)


@pytest.mark.parametrize(
    "subject", ["", "nobody", "1.2.3", "1.2.3.4/33", "ab" * 31, "ab" * 33, "::1/129", "a/b"]
)
def test_a_subject_that_names_nobody(bans: BanList, subject: str) -> None:
    with pytest.raises(InvalidBan, match="give a peer id"):
        bans.ban(subject)
    with pytest.raises(InvalidBan):
        bans.lift(subject)


def test_a_time_must_be_positive(bans: BanList) -> None:
    with pytest.raises(InvalidBan, match="positive"):
        bans.ban(FAR, 0)
    assert bans.ban(FAR, 1 << 80).until < 1 << 64


def test_a_ban_ends(bans: BanList, clock: FixedClock) -> None:
    bans.ban(ID.hex())
    bans.ban("203.1.0.0/16", 10)
    assert [ban.until - ban.created for ban in bans.entries()] == [DEFAULT_SECONDS, 10]
    clock.advance(10)
    assert not bans.is_banned(None, FAR)
    assert [ban.subject for ban in bans.entries()] == [ID.hex()]
    clock.advance(DEFAULT_SECONDS - 11)
    assert bans.is_banned(ID, FAR)
    clock.advance(1)
    assert not bans.is_banned(ID, FAR)
    assert len(bans) == 0


def test_a_misbehaving_peer_is_banned_by_id_and_household(bans: BanList) -> None:
    bans.ban_peer(ID, "2001:db8:1:2:3::4", "garbage")
    assert [ban.subject for ban in bans.entries()] == [ID.hex(), "2001:db8:1:2::/64"]
    assert all(ban.automatic and ban.reason == "garbage" for ban in bans.entries())
    assert bans.is_banned(OTHER, "2001:db8:1:2:ffff::")
    assert not bans.is_banned(OTHER, "2001:db8:1:3::")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "localhost"])
def test_this_machine_is_never_banned_by_itself(bans: BanList, host: str) -> None:
    bans.ban_peer(ID, host, "garbage")
    assert [ban.subject for ban in bans.entries()] == [ID.hex()]


def test_an_automatic_ban_neither_shortens_nor_pushes_out_the_operators(clock: FixedClock) -> None:
    bans = BanList(clock, limit=3)
    bans.ban(FAR, 10 * DEFAULT_SECONDS, "mine")
    for number in range(10):
        bans.ban_peer(PeerId(bytes([number]) * 32), FAR, "theirs")
    assert len(bans) == 4
    assert bans.is_banned(PeerId(bytes([9]) * 32), "1.2.3.4")
    assert not bans.is_banned(PeerId(bytes([6]) * 32), "1.2.3.4")
    (mine,) = [ban for ban in bans.entries() if not ban.automatic]
    assert (mine.reason, mine.until - mine.created) == ("mine", 10 * DEFAULT_SECONDS)


def test_a_ban_again_replaces_the_first(bans: BanList, clock: FixedClock) -> None:
    bans.ban("10.0.0.0/8", 10)
    clock.advance(5)
    bans.ban("10.9.9.9/8", 10, "again")
    clock.advance(9)
    assert [ban.reason for ban in bans.entries()] == ["again"]
    assert bans.lift("10.0.0.0/8")
    assert not bans.is_banned(None, "10.0.0.1")


def test_bans_are_kept(bans: BanList, clock: FixedClock) -> None:
    bans.ban("10.0.0.0/8", 1_000, "é" * 500)
    bans.ban("10.0.0.1", 5)
    bans.ban_peer(ID, "::2", "x")
    clock.advance(5)
    again = BanList.decode(bans.encode(), clock)
    assert again.entries() == bans.entries()
    assert len(again.entries()) == 3
    assert again.is_banned(None, "10.0.0.1")
    assert again.is_banned(None, "::3")
    again.clear()
    assert not again.is_banned(ID, "::2")
    assert BanList.decode(again.encode(), clock).entries() == []


def test_a_damaged_file_is_refused(bans: BanList, clock: FixedClock) -> None:
    bans.ban("10.0.0.0/8")
    data = bans.encode()
    for at in range(len(data)):
        with pytest.raises(KeptFileUnreadable):
            BanList.decode(data[:at], clock)
        with pytest.raises(KeptFileUnreadable):
            BanList.decode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], clock)


def test_one_form_of_a_subject() -> None:
    assert normal_subject(" 10.1.2.3/32 ") == "10.1.2.3"
    assert normal_subject("2001:DB8:0::1/64") == "2001:db8::/64"
    assert normal_subject("::ffff:1.2.3.4") == "1.2.3.4"


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("8.8.4.4", b"4\x08\x08"),
        ("::ffff:8.8.4.4", b"4\x08\x08"),
        ("2002:808:404::1", b"4\x08\x08"),
        ("2a00:1450:4001::1", b"6\x2a\x00\x14\x50"),
        ("127.3.4.5", b"loopback"),
        ("::1", b"loopback"),
        ("10.1.2.3", b"private"),
        ("100.64.9.9", b"private"),
        ("fd00::1", b"private"),
        ("192.0.2.1", b"nowhere"),
        ("node.example", b"name:node.example"),
    ],
)
def test_groups(host: str, group: bytes) -> None:
    assert network_group(host) == group
    assert is_routable(host) == (group[:1] in b"46")
    assert is_local(host) == (group in (b"loopback", b"private"))
    assert is_loopback(host) == (group == b"loopback")


@pytest.mark.parametrize(
    "host",
    ["224.0.0.1", "0.0.0.0", "::", "255.255.255.255", "240.0.0.1", "2001:db8::1", "ff02::1", "4000::1"],
)
def test_addresses_of_nobody(host: str) -> None:
    assert not is_routable(host)
    assert not is_local(host)


def test_households() -> None:
    assert household("8.8.8.8") == "8.8.8.8"
    assert household("2a00:1:2:3:4::5") == "2a00:1:2:3::/64"
    assert household("node.example") == "node.example"
