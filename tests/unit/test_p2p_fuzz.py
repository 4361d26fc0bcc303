"""Broken frames of every type at live sessions: nothing is raised, nothing grows, the sender goes (R10).

The suite throws 2,000 inputs a type; the soak 100,000 (`pytest -m soak tests/unit/test_p2p_fuzz.py -s`).
"""

import gc
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from golden_wire.examples import EXAMPLES, golden
from golden_wire.world import SERVER_KEY, frame, id_of, make_session

from ioex_chain.p2p.chain_messages import BlockData
from ioex_chain.p2p.finality_messages import Certificate, EvidenceItem
from ioex_chain.p2p.framing import frame_head
from ioex_chain.p2p.messages import Hello
from ioex_chain.p2p.seam import Offence
from ioex_chain.p2p.session import Ended, Offended, Received
from ioex_chain.p2p.table import DPOS_TABLE as TABLE

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzz"))
import p2p_session

each = pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)


@each
def test_mutations(message):
    counts = p2p_session.run_type(message, 2_000, 20_338, lambda: 0.0)
    assert sum(counts.offences.values()) > 200
    assert {"MALFORMED", "OVERSIZE"} <= set(counts.offences)


@each
def test_every_truncation_in_a_frame_of_its_length(message):
    data = golden(message)
    for size in range(len(data)):
        session = p2p_session.new_session(message, Random(1))
        events = session.receive(frame_head(message.type, size) + data[:size])
        if isinstance(message, BlockData | Certificate | EvidenceItem):
            assert events == [Received(type(message)(data[:size]))]
        else:
            assert [event.offence for event in events] == [Offence.MALFORMED]
            assert session.ended


@each
def test_every_truncation_of_the_frame(message):
    data = frame(message)
    for size in range(len(data)):
        session = p2p_session.new_session(message, Random(1))
        assert session.receive(data[:size]) == []
        assert not session.ended
        assert session.buffered == (size if size < 5 else size - 5)


@each
def test_every_byte_of_the_frame_turned_over(message):
    data = frame(message)
    for place in range(len(data)):
        session = p2p_session.new_session(message, Random(1))
        wrong = bytearray(data)
        wrong[place] ^= 0xFF
        events = session.receive(bytes(wrong))
        assert len(events) <= 1
        assert session.ended or not any(isinstance(event, Ended) for event in events)


@each
def test_noise_behind_a_good_head_ends_it_or_is_the_message(message):
    chance = Random(7)
    row = TABLE[message]
    for size in {0, 1, min(row.cap, 1_000), min(row.cap, 60_000), row.cap}:
        session = p2p_session.new_session(message, chance)
        events = session.receive(frame_head(row.type, size) + chance.randbytes(size))
        assert len(events) <= 1
        assert session.ended or all(isinstance(event, Received | Offended) for event in events)


def test_the_fuzz_target_reaches_established():
    hello = next(message for message in EXAMPLES if isinstance(message, Hello))
    assert p2p_session.run_type(hello, 500, 1, lambda: 0.0).accepted > 20


def test_sessions_leave_nothing_behind():
    announced = EXAMPLES[-7]
    p2p_session.run_type(announced, 300, 1, lambda: 0.0)
    tracemalloc.start()
    try:
        p2p_session.run_type(announced, 300, 2, lambda: 0.0)
        gc.collect()  # when the collector last ran is not the subject
        before = tracemalloc.get_traced_memory()[0]
        p2p_session.run_type(announced, 1_500, 3, lambda: 0.0)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 200_000


def test_a_hostile_server_cannot_make_a_client_keep_much():
    session = make_session(True)
    session.start()
    hello = replace(EXAMPLES[0], key=id_of(SERVER_KEY))
    session.receive(frame(hello))
    for row in TABLE:
        if not session.ended:
            session.receive(frame_head(row.type, row.cap) + bytes(min(row.cap, 1_000)))
            assert session.buffered <= 34_425, "nothing larger comes unasked"


@pytest.mark.soak
@pytest.mark.timeout(3600)
@each
def test_mutations_soak(message):
    counts = p2p_session.run_type(message, 100_000, 1, time.process_time)
    print(f"{type(message).__name__}: {counts}")
    assert counts.slowest < 1
