"""The session: every transition and every rule of the table (docs/protocol.md section 9)."""

import pytest
from golden_wire.examples import EXAMPLES, ONE, TWO
from golden_wire.world import (
    BASE_HELLO,
    Time,
    carry,
    connect,
    established_client,
    frame,
    make_session,
)
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.p2p.chain_messages import (
    Announce,
    AnnounceTransactions,
    BlockData,
    BlockTransactions,
    CompactBlock,
    GetBlocks,
    GetBlockTransactions,
    GetCompact,
    GetHeaders,
    GetTransactions,
    Headers,
    NotFound,
    Prefilled,
    SendCompact,
    Transactions,
)
from ioex_chain.p2p.framing import frame_head
from ioex_chain.p2p.messages import (
    Addresses,
    AddressRecord,
    GetAddresses,
    Goodbye,
    Hello,
    LeaveReason,
    Ping,
    Pong,
)
from ioex_chain.p2p.seam import Offence
from ioex_chain.p2p.session import (
    PONG_SECONDS,
    Ended,
    Established,
    MessageTooLarge,
    Offended,
    Received,
    Session,
)
from ioex_chain.p2p.table import DPOS_TABLE as TABLE
from ioex_chain.p2p.table import When
from ioex_chain.p2p.types import Endpoint, PeerId


def pair(time=None):
    client, server = make_session(True, time=time), make_session(False, time=time)
    connect(client, server)
    assert client.established
    assert server.established
    return client, server


def offences(events):
    return [event.offence for event in events if isinstance(event, Offended)]


def record(place):
    return AddressRecord(PeerId(ONE), Endpoint(f"203.0.{place // 250}.{place % 250}", 1), 0)


# Messages in general.


def test_a_message_crosses():
    client, server = pair()
    client.send(GetHeaders((ONE,)))
    assert carry(client, server) == ([], [Received(GetHeaders((ONE,)))])
    server.send(Headers((), more=False))
    assert carry(client, server) == ([Received(Headers((), more=False))], [])


def test_bytes_may_come_one_at_a_time():
    client, server = make_session(True), make_session(False)
    server.start()
    sessions = (server, client)
    for turn in range(4):
        data = sessions[turn % 2].outgoing()
        for at in range(len(data)):
            sessions[1 - turn % 2].receive(data[at : at + 1])
        if turn == 1:
            client.send(GetHeaders((ONE,)))
    assert client.established
    assert server.established
    assert server.received_by_type["GetHeaders"] == len(frame(GetHeaders((ONE,))))


def test_nothing_is_sent_before_the_handshake_is_over():
    client = make_session(True)
    client.start()
    client.send(GetHeaders((ONE,)))
    assert client.outgoing() == b""


def test_a_message_of_ours_above_its_cap_is_our_own_fault():
    client, _ = pair()
    with pytest.raises(MessageTooLarge):
        client.send(Transactions((bytes(3_000_000), bytes(3_000_000))))
    assert not client.pending


def test_a_block_of_the_largest_size_crosses():
    client, server = pair()
    client.send(GetBlocks((ONE,)))
    carry(client, server)
    block = BlockData(bytes(8_000_000))
    server.send(block)
    data = server.outgoing()
    events = [event for at in range(0, len(data), 65_536) for event in client.receive(data[at : at + 65_536])]
    assert events == [Received(block)]
    assert client.buffered == 0


def test_traffic_is_counted():
    time = Time()
    client, server = pair(time)
    before = client.bytes_sent
    assert before == client.sent_by_type["Hello"] == server.bytes_received == server.received_by_type["Hello"]
    time.now += 3
    client.send(GetAddresses())
    assert client.pending == 5
    carry(client, server)
    assert client.pending == 0
    assert client.bytes_sent == server.bytes_received == before + 5
    assert client.sent_by_type["GetAddresses"] == server.received_by_type["GetAddresses"] == 5
    assert client.last_sent == server.last_received == time.now
    assert client.last_received == server.last_sent == time.now - 3


# The end.


def test_goodbye_ends_both():
    client, server = pair()
    client.leave(LeaveReason.NOT_USEFUL, "enough")
    client.send(GetHeaders((ONE,)))
    client.leave(LeaveReason.STOPPING)
    assert client.ended
    assert carry(client, server) == ([], [Ended(LeaveReason.NOT_USEFUL, "enough", by_peer=True)])
    assert server.ended
    assert not server.established
    server.leave(LeaveReason.STOPPING)
    assert server.outgoing() == b""


def test_nothing_is_read_after_the_end():
    _, server = pair()
    events = server.receive(frame(Goodbye(LeaveReason.STOPPING, "")) + frame(GetHeaders((ONE,))))
    assert events == [Ended(LeaveReason.STOPPING, "", by_peer=True)]
    assert server.receive(frame(GetHeaders((ONE,)))) == []
    assert server.receive(b"\xff" * 100) == []
    assert server.tick() == []


def test_an_unknown_reason_is_other():
    _, server = pair()
    events = server.receive(frame_head(Goodbye.type, 3) + b"\xc8\x01x")
    assert events == [Ended(LeaveReason.OTHER, "x", by_peer=True)]


def test_after_a_fatal_offence_only_a_goodbye_is_sent():
    _, server = pair()
    assert offences(server.receive(b"\0\0\0\0\xff" + frame(GetHeaders((ONE,))))) == [Offence.MALFORMED]
    assert server.ended
    server.send(GetHeaders((ONE,)))
    assert server.outgoing() == b""
    server.leave(LeaveReason.MISBEHAVING, "unreadable")
    assert server.outgoing() == frame(Goodbye(LeaveReason.MISBEHAVING, "unreadable"))


# What may come when.


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
@pytest.mark.parametrize("outbound", [True, False])
def test_before_the_handshake_only_hello_and_goodbye(message, outbound):
    session = make_session(outbound)
    session.start()
    row = TABLE[message]
    events = session.receive(frame(message))
    if row.when is When.ESTABLISHED:
        assert offences(events) == [Offence.WRONG_STATE]
    else:
        assert isinstance(events[-1], Ended)  # the example's hello is of another key
    assert session.ended


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_after_the_handshake_everything_but_hello(message):
    session = established_client()
    events = session.receive(frame(message))
    row = TABLE[message]
    if isinstance(message, Hello):
        assert offences(events) == [Offence.WRONG_STATE]
        assert session.ended
    elif isinstance(message, Goodbye | Ping):
        assert offences(events) == []
    elif row.answers and not (row.unasked and not row.invited):
        assert offences(events) == [Offence.UNREQUESTED]
        assert not session.ended
    else:
        assert events == [Received(message)]


def test_the_large_caps_do_not_hold_before_the_handshake():
    session = make_session(False)
    session.start()
    assert offences(session.receive(frame_head(BlockData.type, 8_000_000))) == [Offence.WRONG_STATE]
    assert session.buffered == 0


@pytest.mark.parametrize("row", list(TABLE), ids=lambda row: row.name)
def test_oversize_is_seen_at_the_head(row):
    session = established_client() if row.when is not When.HANDSHAKE else make_session(True)
    assert offences(session.receive(frame_head(row.type, row.cap + 1))) == [Offence.OVERSIZE]
    assert session.ended
    assert session.buffered == 0


def test_a_payload_with_a_tail_is_malformed():
    session = established_client()
    payload = Announce(()).encode() + b"\0"
    assert offences(session.receive(frame_head(Announce.type, len(payload)) + payload)) == [Offence.MALFORMED]
    assert session.ended


# Answers.

ANSWERED = [
    (GetAddresses(), Addresses(tuple(map(record, range(11))))),
    (GetHeaders((ONE,)), Headers((), more=False)),
    (GetBlocks((ONE,)), BlockData(b"x")),
    (GetBlocks((ONE,)), NotFound(GetBlocks.type, ONE)),
    (GetCompact(ONE), CompactBlock(b"", 0, (), ())),
    (GetCompact(ONE), NotFound(GetCompact.type, ONE)),
    (GetBlockTransactions(ONE, (1,)), BlockTransactions(ONE, ())),
    (GetBlockTransactions(ONE, (1,)), NotFound(GetBlockTransactions.type, ONE)),
    (GetTransactions((ONE,)), Transactions(())),
]


@pytest.mark.parametrize(("request_", "answer"), ANSWERED, ids=lambda message: type(message).__name__)
def test_a_request_gets_one_answer(request_, answer):
    session = established_client()
    session.send(request_)
    assert session.receive(frame(answer)) == [Received(answer)]
    assert offences(session.receive(frame(answer))) == [Offence.UNREQUESTED]
    assert not session.ended
    assert offences(session.receive(frame(answer))) == [Offence.UNREQUESTED]
    assert session.ended


def test_get_blocks_gets_one_answer_a_hash():
    session = established_client()
    session.send(GetBlocks((ONE, TWO)))
    session.send(GetBlocks((TWO,)))
    answers = [BlockData(b"1"), NotFound(GetBlocks.type, TWO), BlockData(b"3")]
    assert session.receive(b"".join(map(frame, answers))) == [Received(answer) for answer in answers]
    assert offences(session.receive(frame(answers[1]))) == [Offence.UNREQUESTED]


def test_not_found_answers_the_request_that_it_names():
    session = established_client()
    session.send(GetCompact(ONE))
    assert offences(session.receive(frame(NotFound(GetBlocks.type, ONE)))) == [Offence.UNREQUESTED]
    session = established_client()
    session.send(GetCompact(ONE))
    session.send(GetHeaders((ONE,)))
    assert offences(session.receive(frame(NotFound(GetHeaders.type, ONE)))) == [Offence.UNREQUESTED]
    assert offences(session.receive(frame(NotFound(GetCompact.type, ONE)))) == []


def test_an_unrequested_answer_is_not_kept():
    session = established_client()
    events = session.receive(frame_head(BlockData.type, 8_000_000) + bytes(1_000))
    assert offences(events) == [Offence.UNREQUESTED]
    session.send(GetHeaders((ONE,)))
    for _ in range(8):
        assert session.receive(bytes(999_875)) == []
        assert session.buffered == 0
    assert session.receive(frame(Headers((), more=False))) == [Received(Headers((), more=False))]


def test_ten_addresses_may_come_unasked():
    session = established_client()
    ten, eleven = (Addresses(tuple(map(record, range(count)))) for count in (10, 11))
    assert session.receive(frame(ten)) == [Received(ten)]
    assert offences(session.receive(frame(eleven))) == [Offence.UNREQUESTED]


def test_what_comes_unasked_is_not_taken_for_the_answer():
    session = established_client()
    ten, many = (Addresses(tuple(map(record, range(count)))) for count in (10, 1_000))
    session.send(GetAddresses())
    assert session.receive(frame(ten) + frame(many)) == [Received(ten), Received(many)]


def test_compact_blocks_come_unasked_where_they_were_invited():
    block = CompactBlock(b"", 0, (), ())
    session = established_client()
    session.send(SendCompact(push=False))
    assert offences(session.receive(frame(block))) == [Offence.UNREQUESTED]
    session.send(SendCompact(push=True))
    assert session.receive(frame(block)) == [Received(block)]
    session.send(SendCompact(push=False))
    assert session.receive(frame(block)) == [Received(block)], "one may be under way"


def test_the_peers_own_invitation_invites_nothing():
    session = established_client()
    session.receive(frame(SendCompact(push=True)))
    assert offences(session.receive(frame(CompactBlock(b"", 0, (), ())))) == [Offence.UNREQUESTED]


# Rates.


UNREQUESTED_ROWS = [row for row in TABLE if row.when is When.ESTABLISHED and not row.answers]


@pytest.mark.parametrize("row", UNREQUESTED_ROWS, ids=lambda row: row.name)
def test_a_flood_ends_after_three_offences(row):
    time = Time()
    session = established_client(time)
    message = next(message for message in EXAMPLES if message.type == row.type)
    allowed = int(row.rate.burst) // row.cost(message)
    events = session.receive(frame(message) * (allowed + 10))
    assert offences(events) == [Offence.FLOOD] * 3
    assert session.ended
    assert len(events) == 3 + (0 if isinstance(message, Ping) else allowed)


def test_a_bucket_fills_again():
    time = Time()
    session = established_client(time)
    assert offences(session.receive(frame(GetAddresses()) * 11)) == [Offence.FLOOD]
    time.now += 20
    assert offences(session.receive(frame(GetAddresses()) * 2)) == []
    assert offences(session.receive(frame(GetAddresses()))) == [Offence.FLOOD]


def test_a_list_costs_by_its_length():
    session = established_client()
    full = frame(AnnounceTransactions((ONE,) * 1_000))
    events = session.receive(full * 51)
    assert len(events) == 51
    assert offences(events) == [Offence.FLOOD]


@pytest.mark.parametrize(
    "message",
    [
        GetBlockTransactions(ONE, tuple(range(10_000))),
        CompactBlock(b"", 0, (bytes(6),) * 9_000, tuple(Prefilled(place, b"") for place in range(1_000))),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_takes_long_to_read_costs_more(message):
    session = established_client()
    session.send(SendCompact(push=True))
    events = session.receive(frame(message) * 185)
    assert len(events) == 2_000 // 11 + 3
    assert offences(events) == [Offence.FLOOD] * 3


def test_answers_count_for_their_rate_too():
    session = established_client()
    for _ in range(79):
        session.send(GetBlocks((ONE,) * 128))
    events = session.receive(frame(BlockData(b"x")) * 10_001)
    assert offences(events) == [Offence.FLOOD]


def test_honest_traffic_passes_easily():
    time = Time()
    session = established_client(time)
    hashes = tuple(place.to_bytes(32, "big") for place in range(1_000))
    for _ in range(120):  # seconds of 1,000 transactions announced, asked for and given, both ways
        session.send(GetTransactions(hashes))
        data = frame(AnnounceTransactions(hashes)) + frame(GetTransactions(hashes))
        data += frame(Transactions((bytes(200),) * 1_000))
        assert offences(session.receive(data)) == []
        session.outgoing()
        time.now += 1
    for _ in range(10):  # seconds of a first download of 2,000 blocks a second from us, and as much to us
        for _ in range(16):
            session.send(GetBlocks(hashes[:125]))
        data = frame(GetBlocks(hashes[:125])) * 16 + frame(BlockData(bytes(300))) * 2_000
        assert offences(session.receive(data)) == []
        session.outgoing()
        time.now += 1
    assert offences(session.receive(frame(GetHeaders(hashes[:64])) * 100)) == []


def test_what_waited_while_we_were_busy_is_no_flood():
    time = Time()
    session = established_client(time)
    time.now += 10
    assert offences(session.receive(frame(AnnounceTransactions((ONE,) * 1_000)) * 10)) == []
    assert offences(session.receive(frame(Announce((b"",))) * 500)) == []


# Pings and silence.


def test_pings_measure_the_round_trip():
    time = Time()
    client, server = pair(time)
    assert client.tick() == []
    data = client.outgoing()
    time.now += 0.3
    assert server.receive(data) == []
    assert client.receive(server.outgoing()) == []
    assert (client.last_ping, client.best_ping) == (pytest.approx(0.3), pytest.approx(0.3))
    time.now += 9.6
    client.tick()
    assert client.outgoing() == b"", "the next one after ten seconds"
    time.now += 0.1
    client.tick()
    data = client.outgoing()
    time.now += 0.5
    server.receive(data)
    client.receive(server.outgoing())
    assert (client.last_ping, client.best_ping) == (pytest.approx(0.5), pytest.approx(0.3))


def test_a_ping_on_demand():
    time = Time()
    client, server = pair(time)
    client.ping()
    client.ping()
    assert client.pending == 13
    carry(client, server)
    client.ping()
    assert client.pending == 0, "at most one a second"
    time.now += 1
    client.ping()
    assert client.pending == 13


def test_a_pong_of_another_nonce_and_a_second_pong():
    session = established_client()
    session.ping()
    assert offences(session.receive(frame(Pong(7)))) == [Offence.UNREQUESTED]
    assert session.last_ping is None
    assert offences(session.receive(frame(Pong(7)))) == [Offence.UNREQUESTED]
    assert session.ended


@pytest.mark.parametrize("outbound", [True, False])
def test_a_handshake_has_five_seconds(outbound):
    time = Time()
    session = make_session(outbound, time=time)
    session.start()
    time.now += 4.9
    session.receive(b"\x21")
    assert session.tick() == []
    time.now += 0.1
    assert session.tick() == [Ended(LeaveReason.IDLE, "no hello in time")]
    assert session.outgoing().endswith(frame(Goodbye(LeaveReason.IDLE, "no hello in time")))
    assert session.tick() == []


def test_a_silent_peer_is_given_up_after_thirty_seconds():
    time = Time()
    client, _ = pair(time)
    for _ in range(299):
        time.now += 0.1
        assert client.tick() == []
    time.now += 0.2
    assert client.tick() == [Ended(LeaveReason.IDLE, "silent")]


def test_a_peer_that_trickles_but_answers_no_ping_is_given_up():
    time = Time()
    client, _ = pair(time)
    began = time.now
    events = []
    while not events:
        time.now += 1
        client.receive(frame(Announce(())))
        events = client.tick()
    assert events == [Ended(LeaveReason.IDLE, "answers no ping")]
    assert time.now - began == PONG_SECONDS + 1


def test_two_idle_peers_keep_each_other():
    time = Time()
    client, server = pair(time)
    for _ in range(3_600):
        time.now += 1
        assert client.tick() == []
        assert server.tick() == []
        assert carry(client, server) == ([], [])
    assert 300 < client.sent_by_type["Ping"] / 13 <= 361


def test_the_peers_hello_is_known():
    client, server = pair()
    assert client.hello is not None
    assert client.hello.agent == BASE_HELLO.agent
    assert isinstance(server, Session)


def test_established_comes_before_what_follows_in_the_same_bytes():
    client, server = make_session(True), make_session(False)
    server.start()
    client.receive(server.outgoing())
    client.send(GetHeaders((ONE,)))
    events = server.receive(client.outgoing())
    assert [type(event) for event in events] == [Established, Received]


# Two honest ends, whatever they do and however the bytes are cut.

REQUESTS_AND_ANSWERS = [
    (GetAddresses(), [Addresses(tuple(map(record, range(50))))]),
    (GetHeaders((ONE,)), [Headers((b"h" * 80,) * 3, more=False)]),
    (GetBlocks((ONE, TWO)), [BlockData(b"b" * 300), NotFound(GetBlocks.type, TWO)]),
    (GetCompact(ONE), [NotFound(GetCompact.type, ONE)]),
    (GetTransactions((ONE,)), [Transactions((b"t",))]),
    (SendCompact(push=True), [CompactBlock(b"", 0, (), ())] * 2),
    (AnnounceTransactions((ONE,)), []),
    (Addresses((record(1),)), []),
]
actions = st.lists(
    st.tuples(st.booleans(), st.sampled_from(REQUESTS_AND_ANSWERS), st.integers(1, 200)), max_size=30
)


def carry_in_pieces(sender, receiver, size):
    data = sender.outgoing()
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return [event for piece in pieces for event in receiver.receive(piece)]


@given(actions)
def test_honest_ends_never_offend_each_other(steps):
    ends = pair()
    for by_server, (request, answers), size in steps:
        asker, answerer = (ends[1], ends[0]) if by_server else ends
        asker.send(request)
        asker.ping()
        assert carry_in_pieces(asker, answerer, size) == [Received(request)]
        for answer in answers:
            answerer.send(answer)
        assert carry_in_pieces(answerer, asker, size) == [Received(answer) for answer in answers]
        carry(*ends)
    assert all(end.established and end.buffered == 0 for end in ends)
    assert ends[0].bytes_sent == ends[1].bytes_received == sum(ends[1].received_by_type.values())
    assert ends[1].bytes_sent == ends[0].bytes_received == sum(ends[0].received_by_type.values())
    assert ends[0].sent_by_type == ends[1].received_by_type
