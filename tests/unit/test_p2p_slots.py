"""Who is evicted for a newcomer, how often one may knock, and the anchors' file."""

import random

import pytest

from ioex_chain.p2p.kept import KeptFileUnreadable, seal
from ioex_chain.p2p.slots import (
    Candidate,
    InboundThrottle,
    decode_anchors,
    encode_anchors,
    victim,
)
from ioex_chain.p2p.types import Endpoint, PeerAddress, PeerId
from ioex_chain.primitives.codec import compact, sized

SECRET = b"\x05" * 32


def crowd(count: int, first: int = 1, block: int = 20) -> list[Candidate]:
    """Young strangers of one group that never did anything."""
    return [
        Candidate(first + at, f"66.{block}.{at // 250}.{at % 250 + 1}", 1_000.0 + at) for at in range(count)
    ]


def test_the_youngest_of_the_largest_group_goes() -> None:
    small = [Candidate(500 + at, f"70.{at}.1.1", 2_000.0) for at in range(10)]
    assert victim([*small, *crowd(20)], SECRET) == 20
    assert victim(list(reversed([*small, *crowd(20)])), SECRET) == 20


def test_few_are_all_kept() -> None:
    assert victim([], SECRET) is None
    assert victim(crowd(1), SECRET) is None
    spread = [Candidate(at, f"70.{at}.1.1", 5.0) for at in range(4)]
    assert victim(spread, SECRET) is None
    assert victim([*spread, *crowd(40)], SECRET) is not None


def test_who_is_quick_or_useful_or_old_stays() -> None:
    base = crowd(200)
    quick = [Candidate(1_000 + at, "66.20.9.9", 9_000.0, best_ping=0.001 * at) for at in range(8)]
    givers = [Candidate(2_000 + at, "66.20.9.9", 9_000.0, last_transaction=50.0 + at) for at in range(4)]
    blocks = [Candidate(3_000 + at, "66.20.9.9", 9_000.0, last_block=50.0 + at) for at in range(4)]
    slow = [
        Candidate(4_000 + at, "66.20.9.9", 8_000.0, best_ping=3.0, last_transaction=1.0, last_block=1.0)
        for at in range(30)
    ]
    present = {one.number: one for one in [*base, *quick, *givers, *blocks, *slow]}
    gone = []
    while (found := victim(list(present.values()), SECRET)) is not None:
        gone.append(found)
        del present[found]
    assert all(1_000 + at in present for at in range(8))
    assert all(2_000 + at in present for at in range(4))
    assert all(3_000 + at in present for at in range(4))
    assert 4_029 in gone[:30]
    assert 1 in present


def test_an_attacker_of_many_groups_cannot_tell_which_are_kept() -> None:
    many = [Candidate(at, f"{20 + at}.1.1.1", 5_000.0 + at) for at in range(60)]
    kept = []
    for salt in range(8):
        left, secret = list(many), bytes([salt]) * 32
        while (found := victim(left, secret)) is not None:
            left = [one for one in left if one.number != found]
        kept.append(frozenset(one.number for one in left))
    assert len(set(kept)) > 4


def test_an_attacker_with_one_network_never_pushes_out_the_honest() -> None:
    for seed in range(3):
        chance = random.Random(seed)
        present = [
            Candidate(at, f"{20 + at}.{chance.randrange(256)}.1.1", chance.random() * 100, chance.random())
            for at in range(50)
        ]
        for number in range(100, 500):
            if len(present) >= 117:
                gone = victim(present, SECRET)
                assert gone is not None
                assert gone >= 100, "an honest peer was evicted"
                present = [one for one in present if one.number != gone]
            place = f"66.{chance.randrange(4)}.{chance.randrange(256)}.1"
            present.append(Candidate(number, place, 200.0 + number, best_ping=0.0001))
        assert sum(one.number < 100 for one in present) == 50


def test_arrivals_are_throttled_by_household() -> None:
    time = [0.0]
    throttle = InboundThrottle(lambda: time[0])
    assert [throttle.allows("8.8.8.8") for _ in range(25)] == [True] * 20 + [False] * 5
    assert throttle.allows("8.8.8.9")
    assert sum(throttle.allows(f"2a00::{number:x}") for number in range(30)) == 20
    assert throttle.allows("2a00:0:0:1::1")
    time[0] = 60.0
    assert sum(throttle.allows("8.8.8.8") for _ in range(25)) == 10


def test_this_machine_may_knock_as_it_likes() -> None:
    throttle = InboundThrottle(lambda: 0.0)
    assert all(throttle.allows(host) for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1") for _ in range(100))
    assert len(throttle) == 0


def test_the_throttle_forgets_who_came_longest_ago() -> None:
    throttle = InboundThrottle(lambda: 0.0, limit=100)
    for _ in range(20):
        throttle.allows("8.8.8.8")
    for number in range(99):
        throttle.allows(f"20.1.1.{number}")
    assert not throttle.allows("8.8.8.8")
    for number in range(1_000):
        throttle.allows(f"21.1.{number // 250}.{number % 250}")
    assert len(throttle) == 100
    assert throttle.allows("8.8.8.8")


def test_anchors_are_kept() -> None:
    anchors = (
        PeerAddress(PeerId(b"\x01" * 32), Endpoint("8.8.8.8", 20_866)),
        PeerAddress(PeerId(b"\x02" * 32), Endpoint("2a00::1", 1)),
    )
    assert decode_anchors(encode_anchors(anchors)) == anchors
    assert decode_anchors(encode_anchors(())) == ()
    data = encode_anchors(anchors)
    for at in range(len(data)):
        for damaged in (data[:at], data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]):
            with pytest.raises(KeptFileUnreadable):
                decode_anchors(damaged)
    with pytest.raises(KeptFileUnreadable, match="names no peer"):
        decode_anchors(seal(b"ioexanch", 1, compact(1) + sized(b"nobody")))
