"""Frames: any cut of the stream gives the same frames, caps hold at the head, nothing is kept twice."""

import tracemalloc
from itertools import pairwise

import pytest
from golden_wire.examples import EXAMPLES, ONE
from golden_wire.world import frame
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.p2p.chain_messages import BlockData, GetHeaders, Headers
from ioex_chain.p2p.framing import FrameReader, OversizeFrame, UnknownType, frame_head
from ioex_chain.p2p.messages import GetAddresses, Ping
from ioex_chain.p2p.rates import Rate, TokenBucket
from ioex_chain.p2p.table import DPOS_TABLE as TABLE

STREAM = b"".join(map(frame, EXAMPLES))
FRAMES = [(message.type, message.encode()) for message in EXAMPLES]


def everything(row):
    return True


def read_all(reader, *pieces):
    return [(found.row.type, found.payload) for piece in pieces for found in reader.feed(piece)]


def test_a_head_is_the_length_and_the_type():
    assert frame_head(19, 0x01020304).hex() == "0403020113"
    assert frame(Ping(1)).hex() == "0800000001" + "0100000000000000"


def test_one_piece_and_single_bytes_give_the_same_frames():
    assert read_all(FrameReader(TABLE, everything), STREAM) == FRAMES
    assert read_all(FrameReader(TABLE, everything), *(bytes((byte,)) for byte in STREAM)) == FRAMES


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_every_cut_gives_the_same_frames(cuts):
    places = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(places)]
    reader = FrameReader(TABLE, everything)
    assert read_all(reader, *pieces) == FRAMES
    assert reader.buffered == 0


@pytest.mark.parametrize("size", range(len(frame(GetHeaders((ONE,))))))
def test_a_frame_that_is_not_complete_gives_nothing(size):
    reader = FrameReader(TABLE, everything)
    assert read_all(reader, frame(GetHeaders((ONE,)))[:size]) == []
    assert reader.buffered == (size if size < 5 else size - 5)


def test_a_frame_without_payload_is_complete_with_its_head():
    reader = FrameReader(TABLE, everything)
    assert read_all(reader, frame(GetAddresses()), frame(GetAddresses())) == [(4, b""), (4, b"")]


@pytest.mark.parametrize("row", list(TABLE), ids=lambda row: row.name)
def test_the_cap_holds_at_the_head(row):
    reader = FrameReader(TABLE, everything)
    assert read_all(reader, frame_head(row.type, row.cap)[:-1]) == []
    with pytest.raises(OversizeFrame, match=f"{row.name} of {row.cap + 1} bytes; at most {row.cap}"):
        read_all(FrameReader(TABLE, everything), frame_head(row.type, row.cap + 1))


@pytest.mark.parametrize("type_", [number for number in range(256) if TABLE.get(number) is None])
def test_an_unknown_type(type_):
    with pytest.raises(UnknownType):
        read_all(FrameReader(TABLE, everything), frame_head(type_, 0))


def test_what_is_not_wanted_is_passed_over():
    reader = FrameReader(TABLE, lambda row: row.type != BlockData.type)
    assert read_all(reader, frame_head(BlockData.type, 3_000_000)) == []
    for _ in range(30):
        assert reader.buffered == 0
        assert read_all(reader, bytes(99_999)) == []
    assert read_all(reader, bytes(30) + frame(Ping(1))) == [(19, None), (1, Ping(1).encode())]


def test_the_next_head_is_judged_after_the_frame_before():
    asked = []

    def wanted(row):
        asked.append(row.name)
        return True

    frames = FrameReader(TABLE, wanted).feed(frame(Ping(1)) + frame(GetAddresses()))
    next(frames)
    assert asked == ["Ping"]
    next(frames)
    assert asked == ["Ping", "GetAddresses"]


def test_a_large_payload_is_held_little_more_than_twice():
    payload = bytes(8_000_000)
    data = frame(BlockData(payload))
    reader = FrameReader(TABLE, everything)
    tracemalloc.start()
    try:
        for at in range(0, len(data), 65_536):
            found = list(reader.feed(data[at : at + 65_536]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found[0].payload == payload
    assert peak < 2.3 * len(payload)


def test_a_head_of_a_large_payload_allocates_nothing():
    tracemalloc.start()
    try:
        reader = FrameReader(TABLE, everything)
        read_all(reader, frame_head(Headers.type, TABLE[Headers].cap))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000


# Token buckets.


def test_a_bucket_begins_full_and_fills_with_time():
    bucket = TokenBucket(Rate(2, 10), now=0)
    assert bucket.take(10, now=0)
    assert not bucket.take(1, now=0.4)
    assert bucket.take(1, now=0.5)
    assert bucket.take(10, now=100)
    assert not bucket.take(1, now=100), "no more than the burst is saved"


def test_a_refusal_costs_nothing():
    bucket = TokenBucket(Rate(0, 10), now=0)
    assert not bucket.take(11, now=0)
    assert bucket.take(10, now=0)


def test_a_clock_that_goes_back_gives_nothing():
    bucket = TokenBucket(Rate(1, 10), now=100)
    assert bucket.take(10, now=100)
    assert not bucket.take(1, now=50)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 20)), max_size=50))
def test_never_more_than_burst_and_rate_allow(takes):
    bucket, now, taken = TokenBucket(Rate(3, 20), now=0), 0.0, 0
    for wait, tokens in takes:
        now += wait
        taken += tokens if bucket.take(tokens, now) else 0
    assert taken <= 20 + 3 * now + 1e-6
