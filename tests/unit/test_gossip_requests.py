"""The request tracker by itself: whatever happens, its books are right and nothing stays behind."""

from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.gossip.bounded import RollingSet
from ioex_chain.gossip.requests import DEADLINE, RETRY, RequestTracker

PEERS, IDS = 4, 6
_peers = st.integers(0, PEERS - 1)
_ids = st.integers(0, IDS - 1).map(lambda n: n.to_bytes(32, "big"))
_acts = st.lists(
    st.one_of(
        st.tuples(st.just("announced"), _peers, _ids),
        st.tuples(st.just("announced"), _peers, _ids),
        st.tuples(st.just("missed"), _peers, _ids),
        st.tuples(st.just("forget"), _ids),
        st.tuples(st.just("leave"), _peers),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 0.5, 1.0, 2.0, 10.0])),
        st.tuples(st.just("busy"), _peers),
    ),
    max_size=40,
)


def books_are_right(tracker: RequestTracker) -> None:
    places = {(peer, id_) for peer, source in tracker._sources.items() for id_ in source.ids}
    held = {(peer, id_) for id_, want in tracker._wants.items() for peer in want.candidates}
    asked = {(want.asked, id_) for id_, want in tracker._wants.items() if want.asked is not None}
    assert not held & asked
    assert places == held | asked
    assert tracker._total == len(places)
    for peer, source in tracker._sources.items():
        assert source.in_flight == sum(1 for number, _ in asked if number == peer)
    scheduled = {id_ for _, _, id_ in tracker._agenda}
    assert set(tracker._wants) <= scheduled, "every want is looked at again"


@given(_acts)
def test_books(acts):
    tracker = RequestTracker()
    now = 0.0
    busy: set[int] = set()

    def can_ask(number: int) -> bool:
        return number not in busy

    for peer in range(PEERS):
        tracker.peer_up(peer, outbound=peer % 2 == 0)
    for name, *args in acts:
        if name == "announced":
            tracker.announced(*args, now)
        elif name == "missed":
            tracker.missed(*args, now)
        elif name == "forget":
            tracker.forget(*args)
        elif name == "leave":
            tracker.peer_down(args[0], now)
            tracker.peer_up(args[0], outbound=args[0] % 2 == 0)
        elif name == "wait":
            now += args[0]
        else:
            busy.symmetric_difference_update(args)
        before = {id_: want.asked for id_, want in tracker._wants.items()}
        for peer, ids in tracker.take(now, can_ask).items():
            assert peer not in busy
            assert all(before[id_] != peer for id_ in ids)
        books_are_right(tracker)
    for _ in range(PEERS * IDS + 2):  # nobody answers: every announcer is asked once, then it is over
        now += DEADLINE
        tracker.take(now, lambda _: True)
        books_are_right(tracker)
    assert len(tracker) == tracker._total == len(tracker._agenda) == 0


def everybody(_number: int) -> bool:
    return True


def test_outbound_announcers_come_first():
    tracker = RequestTracker()
    for peer, outbound in ((1, False), (2, True), (3, True)):
        tracker.peer_up(peer, outbound)
    id_ = bytes(32)
    for peer in (3, 1, 2):
        tracker.announced(peer, id_, 0.0)
    assert tracker.take(0.0, everybody) == {3: [id_]}
    assert tracker.take(RETRY, everybody) == {2: [id_]}
    assert tracker.take(2 * RETRY, everybody) == {1: [id_]}


def test_a_lone_announcer_has_until_the_deadline():
    tracker = RequestTracker()
    tracker.peer_up(1, outbound=True)
    tracker.announced(1, bytes(32), 0.0)
    tracker.take(0.0, everybody)
    tracker.take(DEADLINE - 0.1, everybody)
    assert tracker.in_flight(1) == 1
    tracker.take(DEADLINE, everybody)
    assert tracker.in_flight(1) == len(tracker) == 0


def test_rolling_set():
    kept = RollingSet(100)
    hashes = [n.to_bytes(32, "big") for n in range(1_000)]
    for hash_ in hashes:
        kept.add(hash_)
        assert len(kept) <= 100
    assert all(hash_ in kept for hash_ in hashes[-50:])
    assert hashes[0] not in kept
    kept.discard(hashes[-1])
    assert hashes[-1] not in kept
    kept.clear()
    assert len(kept) == 0
