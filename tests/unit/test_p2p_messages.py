"""The messages: golden bytes, round trips, caps; the table and the docs name every one (section 9)."""

import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest
from golden_wire.examples import EXAMPLES, FOLDER, HEADER, ONE, golden
from golden_wire.world import BASE_HELLO
from hypothesis import given
from hypothesis import strategies as st

from ioex_chain.p2p import chain_messages, finality_messages, messages
from ioex_chain.p2p.chain_messages import (
    Announce,
    AnnounceTransactions,
    BlockData,
    BlockTransactions,
    CompactBlock,
    FeeFilter,
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
from ioex_chain.p2p.finality_messages import Certificate, EvidenceItem, Votes
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
from ioex_chain.p2p.table import CHAIN_ROWS, MessageTable, Row, TypeTaken
from ioex_chain.p2p.table import DPOS_TABLE as TABLE
from ioex_chain.p2p.table import TABLE as POW_TABLE
from ioex_chain.p2p.types import Endpoint, PeerId, normal_host
from ioex_chain.primitives.codec import Reader
from ioex_chain.primitives.errors import DecodeError, NotCanonical, OverCap

OPAQUE = (BlockData, Certificate, EvidenceItem)
PROTOCOL = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
CLASSES = [
    value
    for module in (messages, chain_messages, finality_messages)
    for value in vars(module).values()
    if inspect.isclass(value)
    and value.__module__ == module.__name__
    and isinstance(vars(value).get("type"), int)
]


def read(message_class, data):
    reader = Reader(data)
    message = message_class.read(reader)
    reader.finish()
    return message


def name_of(value):
    return getattr(value, "__name__", None) or type(value).__name__


# The table.


def test_every_message_has_one_row_and_one_example():
    assert len(CLASSES) == 24
    assert [row.message for row in TABLE] == sorted(CLASSES, key=lambda message: message.type)
    assert [type(example) for example in EXAMPLES] == [row.message for row in TABLE]
    assert sorted(path.stem for path in FOLDER.glob("*.hex")) == sorted(row.name for row in TABLE)


@pytest.mark.parametrize("row", list(TABLE), ids=lambda row: row.name)
def test_every_row_has_a_cap_and_a_rate(row):
    assert 0 <= row.cap <= 8_100_000
    assert 0 < row.rate.per_second <= row.rate.burst
    assert row.type < 256
    for request in row.answers:
        assert TABLE.get(request) is not None
        assert not TABLE.get(request).answers
    assert row.unasked == 0 or row.answers


def test_a_later_chain_adds_rows():
    class Vote(Ping):
        type = 64

    table = POW_TABLE.extended([Row(Vote, 8, TABLE[Ping].rate)])
    assert table.get(64).name == "Vote"
    assert table[Vote(7)].cap == 8
    assert table[Ping] is TABLE[Ping]
    assert POW_TABLE.get(64) is None
    with pytest.raises(TypeTaken):
        table.extended([Row(Vote, 8, TABLE[Ping].rate)])
    with pytest.raises(TypeTaken):
        MessageTable([*CHAIN_ROWS, CHAIN_ROWS[0]])


LARGEST = [
    replace(BASE_HELLO, agent="x" * 64),
    Goodbye(LeaveReason.OTHER, "x" * 128),
    Addresses((AddressRecord(PeerId(ONE), Endpoint("::1", 1), 0),) * 1_000),
    GetHeaders((ONE,) * 64),
    GetBlocks((ONE,) * 128),
    Announce((bytes(4_300),) * 8),
    GetBlockTransactions(ONE, tuple(range(10_000))),
    AnnounceTransactions((ONE,) * 1_000),
    GetTransactions((ONE,) * 1_000, (ONE,) * 1_000),
    BlockData(bytes(8_000_000)),
    Ping(0),
    Pong(0),
    GetAddresses(),
    NotFound(18, ONE),
    GetCompact(ONE),
    SendCompact(push=True),
    FeeFilter(0),
    Votes((bytes(200),) * 256),
    Certificate(bytes(9_000)),
    EvidenceItem(bytes(2_200)),
]


@pytest.mark.parametrize("message", LARGEST, ids=name_of)
def test_the_largest_message_has_exactly_its_cap(message):
    assert len(message.encode()) == TABLE[message].cap
    assert read(type(message), message.encode()) == message


def test_a_whole_block_fits_where_transactions_of_blocks_are_sent():
    small = BlockTransactions(ONE, (bytes(800),) * 10_000)
    assert len(small.encode()) <= TABLE[small].cap
    large = BlockTransactions(ONE, (bytes(4_000_000),) * 2)
    assert len(large.encode()) <= TABLE[large].cap


def test_a_full_blocks_short_ids_fit():
    block = CompactBlock(bytes(4_300), 0, (bytes(6),) * 10_000, (Prefilled(0, bytes(1_000_000)),))
    assert len(block.encode()) <= TABLE[block].cap


def test_two_thousand_plain_headers_fit():
    headers = Headers((HEADER,) * 2_000, more=True)
    assert len(headers.encode()) <= TABLE[headers].cap


# The bytes.


@pytest.mark.parametrize("message", EXAMPLES, ids=name_of)
def test_golden_bytes(message):
    data = golden(message)
    assert message.encode() == data
    assert read(type(message), data) == message
    assert f"| {name_of(message)} | `{data.hex()}` |" in PROTOCOL


@pytest.mark.parametrize("message", EXAMPLES, ids=name_of)
def test_a_truncation_never_passes_for_the_message(message):
    data = golden(message)
    for size in range(len(data)):
        try:
            found = read(type(message), data[:size])
        except DecodeError:
            continue
        assert isinstance(message, OPAQUE), "only these are not looked into"
        assert found.encode() == data[:size]


@pytest.mark.parametrize("message", EXAMPLES, ids=name_of)
def test_a_tail_is_refused(message):
    if not isinstance(message, OPAQUE):
        with pytest.raises(DecodeError):
            read(type(message), golden(message) + b"\0")


# The docs.

DOCUMENTED = {
    int(row[1]): row
    for row in re.findall(
        r"^(\| (\d+) \| (\w+) \| ([\d,]+) \| ([\d.,]+)/s, ([\d,]+) \| .*)$", PROTOCOL, re.MULTILINE
    )
}


@pytest.mark.parametrize("row", list(TABLE), ids=lambda row: row.name)
def test_the_docs_have_each_row_of_the_table(row):
    line, _, name, cap, per_second, burst = DOCUMENTED[row.type]
    assert name == row.name
    assert int(cap.replace(",", "")) == row.cap
    assert float(per_second.replace(",", "")) == row.rate.per_second
    assert int(burst.replace(",", "")) == row.rate.burst
    assert ("answers" in line) == bool(row.answers)
    for request in row.answers:
        assert TABLE.get(request).name in line


def test_the_docs_have_no_other_rows():
    assert list(DOCUMENTED) == [row.type for row in TABLE]


def test_the_docs_have_every_reason_to_leave():
    for reason in LeaveReason:
        assert f"{reason.value} {reason.name.lower().replace('_', ' ')}" in PROTOCOL


# Fields with rules of their own.


def test_a_thousand_transactions_come_whole_and_no_more():
    blocks = [
        CompactBlock(HEADER, 0, (), tuple(Prefilled(place, b"") for place in range(count)))
        for count in (1_000, 1_001)
    ]
    assert read(CompactBlock, blocks[0].encode()) == blocks[0]
    with pytest.raises(OverCap):
        read(CompactBlock, blocks[1].encode())


def test_a_flag_is_zero_or_one():
    with pytest.raises(NotCanonical):
        read(SendCompact, b"\x02")
    with pytest.raises(NotCanonical):
        read(Headers, b"\x02\x00")


def test_indexes_and_places_rise():
    for indexes in ((1, 1), (2, 1)):
        with pytest.raises(NotCanonical):
            read(GetBlockTransactions, GetBlockTransactions(ONE, indexes).encode())
        places = tuple(Prefilled(place, b"") for place in indexes)
        with pytest.raises(NotCanonical):
            read(CompactBlock, CompactBlock(HEADER, 0, (), places).encode())


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "ö", "x" * 129, "\0"])
def test_a_goodbye_is_printable(text):
    assert read(Goodbye, Goodbye(LeaveReason.OTHER, text).encode()).text == re.sub(r"[^ -~]", "?", text)[:128]
    data = text.encode()
    with pytest.raises(DecodeError):
        read(Goodbye, bytes((0, len(data))) + data)


def test_an_unknown_reason_is_other():
    assert read(Goodbye, b"\xff\x00") == Goodbye(LeaveReason.OTHER, "")


def test_ipv4_is_written_inside_ipv6():
    data = golden(EXAMPLES[5])
    assert bytes(10).hex() + "ffff" + "cb007107" in data.hex()
    assert [str(record.endpoint) for record in read(Addresses, data).records] == [
        "203.0.113.7:20338",
        "[2001:db8::7]:20339",
    ]


# Round trips.

u8, u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
hash32 = st.binary(min_size=32, max_size=32)
blob = st.binary(max_size=300)
printable = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
hosts = st.ip_addresses().map(str).map(normal_host)
records = st.builds(AddressRecord, hash32.map(PeerId), st.builds(Endpoint, hosts, u16), u32)
prefilled = st.dictionaries(u16, blob, max_size=8).map(
    lambda found: tuple(Prefilled(place, found[place]) for place in sorted(found))
)


def many(strategy, cap=40):
    return st.lists(strategy, max_size=cap).map(tuple)


ALL = {
    Hello: st.builds(
        Hello,
        version=u16,
        network=hash32,
        fork_checksum=st.binary(min_size=4, max_size=4),
        fork_next=u64,
        key=hash32,
        nonce=hash32,
        signature=st.binary(min_size=64, max_size=64),
        services=u32,
        port=u16,
        height=u32,
        head=hash32,
        time=u64,
        agent=st.text(printable, max_size=64),
    ),
    Ping: st.builds(Ping, u64),
    Pong: st.builds(Pong, u64),
    Goodbye: st.builds(Goodbye, st.sampled_from(LeaveReason), st.text(printable, max_size=128)),
    GetAddresses: st.builds(GetAddresses),
    Addresses: st.builds(Addresses, many(records)),
    GetHeaders: st.builds(GetHeaders, many(hash32), hash32),
    Headers: st.builds(Headers, many(blob), st.booleans()),
    GetBlocks: st.builds(GetBlocks, many(hash32)),
    BlockData: st.builds(BlockData, blob),
    NotFound: st.builds(NotFound, u8, hash32),
    Announce: st.builds(Announce, many(blob, 8)),
    CompactBlock: st.builds(CompactBlock, blob, u64, many(st.binary(min_size=6, max_size=6)), prefilled),
    GetCompact: st.builds(GetCompact, hash32),
    GetBlockTransactions: st.builds(
        GetBlockTransactions, hash32, st.sets(u16, max_size=40).map(sorted).map(tuple)
    ),
    BlockTransactions: st.builds(BlockTransactions, hash32, many(blob)),
    SendCompact: st.builds(SendCompact, st.booleans()),
    AnnounceTransactions: st.builds(AnnounceTransactions, many(hash32)),
    GetTransactions: st.builds(GetTransactions, many(hash32), many(hash32)),
    Transactions: st.builds(Transactions, many(blob)),
    FeeFilter: st.builds(FeeFilter, u64),
    Votes: st.builds(Votes, many(st.binary(max_size=200))),
    Certificate: st.builds(Certificate, blob),
    EvidenceItem: st.builds(EvidenceItem, blob),
}


@pytest.mark.parametrize("message_class", CLASSES, ids=name_of)
def test_round_trip(message_class):
    @given(ALL[message_class])
    def check(message):
        assert read(message_class, message.encode()) == message

    check()


@pytest.mark.parametrize("message_class", CLASSES, ids=name_of)
def test_noise_reads_in_one_form_or_not_at_all(message_class):
    @given(st.binary(max_size=200))
    def check(data):
        try:
            message = read(message_class, data)
        except DecodeError:
            return
        if not isinstance(message, Goodbye):  # an unknown reason is read as OTHER
            assert message.encode() == data

    check()
