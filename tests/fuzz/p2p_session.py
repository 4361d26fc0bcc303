"""Throws broken frames of every message type at live sessions (reliability row R10).

    python tests/fuzz/p2p_session.py --per-type 100000 --seed 1

Whatever comes, `Session.receive` raises nothing; what it accepts it would write back byte by byte; it keeps
no more than the bytes it was given and no more than the largest cap; after offences of 100 together it reads
nothing more. Each finding is reported with what repeats it.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from golden_wire.examples import EXAMPLES, ONE, TWO
from golden_wire.world import SERVER_KEY, established_client, frame, id_of, make_session

from ioex_chain.p2p.chain_messages import (
    GetBlocks,
    GetBlockTransactions,
    GetCompact,
    GetHeaders,
    GetTransactions,
    SendCompact,
)
from ioex_chain.p2p.framing import frame_head
from ioex_chain.p2p.messages import GetAddresses, Goodbye, Hello, Message
from ioex_chain.p2p.session import Ended, Established, Event, Offended, Received, Session
from ioex_chain.p2p.table import DPOS_TABLE as TABLE
from ioex_chain.p2p.table import When

REUSES = 32
"""Inputs that one session gets, if it lives."""
LARGEST = max(row.cap for row in TABLE)
HUGE = (b"\xfd\xff\xff", b"\xfe\xff\xff\xff\xff", b"\xff" * 9, b"\xfd\x00\x00", b"\xff" + bytes(8))
LENGTHS = (0, 1, 4, 5, 0xFF, 0xFFFF, 8_000_000, 8_000_001, 2**31, 2**32 - 1)
REQUESTS: tuple[Message, ...] = (
    *(GetAddresses(), GetHeaders((ONE,)), GetCompact(ONE)) * 4,
    *(GetBlockTransactions(ONE, (1,)), GetTransactions((ONE, TWO))) * 4,
    GetBlocks((ONE,) * REUSES),
    SendCompact(push=True),
)


class FuzzFailure(Exception):
    """The session did what it must never do."""


@dataclass
class Counts:
    """What became of the inputs of one message type."""

    accepted: int = 0
    offences: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    """Seconds of the slowest input, by the clock that was given."""


def mutate(data: bytes, corpus: tuple[bytes, ...], chance: random.Random) -> bytes:
    """Change good bytes in one to four of the ways that break readers."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at = chance.randrange(len(out) + 1)
        way = chance.randrange(8)
        if way == 0:
            out[at : at + 1] = bytes((chance.randrange(256),))
        elif way == 1:
            del out[at:]
        elif way == 2:
            out[at:at] = chance.randbytes(chance.choice((1, 1, 4, 32)))
        elif way == 3:
            out[at : at + chance.choice((1, 9))] = chance.choice(HUGE)
        elif way == 4:
            del out[at : at + chance.choice((1, 4, 32))]
        elif way == 5 and at < len(out):
            out[at] ^= 1 << chance.randrange(8)
        elif way == 6:
            other = chance.choice(corpus)
            out[at:] = other[chance.randrange(len(other) + 1) :]
        else:
            out[at : at + 4] = chance.choice((bytes(4), b"\xff" * 4))
    return bytes(out)


def broken(message: Message, corpus: tuple[bytes, ...], chance: random.Random) -> bytes:
    """Give bytes made from a message's frame: a broken payload in a good frame, or a broken frame."""
    payload = message.encode()
    way = chance.random()
    if way < 0.7:
        changed = mutate(payload, corpus, chance)
        return frame_head(message.type, len(changed)) + changed
    if way < 0.9:
        return mutate(frame(message), corpus, chance)
    if way < 0.95:
        return chance.choice(LENGTHS).to_bytes(4, "little") + bytes((message.type,)) + payload
    return chance.randbytes(chance.choice((0, 1, 5, 100, 1_000)))


def new_session(message: Message, chance: random.Random) -> Session:
    """Give a session in a state where this message has a place."""
    if TABLE[message].when is When.HANDSHAKE or (isinstance(message, Goodbye) and chance.random() < 0.5):
        session = make_session(outbound=chance.random() < 0.7, sign=lambda data: bytes(64))
        session.start()
        return session
    session = established_client()
    for request in REQUESTS:
        session.send(request)
    session.ping()
    session.outgoing()
    return session


class Target:
    """A session with all that it was given."""

    def __init__(self, message: Message, chance: random.Random) -> None:
        self.session = new_session(message, chance)
        self.chance = chance
        self.stream = b""
        self.inputs = 0
        self.score = 0

    @property
    def worn(self) -> bool:
        """Whether it is time for a new one; one that waits for the rest of a frame swallows what follows."""
        waits = self.session.buffered > 0 and self.chance.random() < 0.5
        return self.session.ended or self.inputs == REUSES or waits

    def feed(self, data: bytes) -> list[Event]:
        """Give the bytes to the session, in one piece or in three."""
        self.inputs += 1
        self.stream += data
        if self.chance.random() < 0.5:
            return self.session.receive(data)
        cut, end = sorted(self.chance.randrange(len(data) + 1) for _ in range(2))
        pieces = (data[:cut], data[cut:end], data[end:])
        return [event for piece in pieces for event in self.session.receive(piece)]

    def check(self, events: list[Event]) -> None:
        """Hold what came out against the rules. Raises FuzzFailure."""
        session = self.session
        for event in events:
            if isinstance(event, Received) and frame(event.message) not in self.stream:
                raise FuzzFailure(f"accepted in another form: {event}")
        self.score += sum(event.offence.score for event in events if isinstance(event, Offended))
        over = self.score >= 100 or any(isinstance(event, Ended) for event in events)
        if session.ended != over:
            raise FuzzFailure(f"offences of {self.score}, {events}, ended: {session.ended}")
        if session.buffered > min(len(self.stream), LARGEST):
            raise FuzzFailure(f"keeps {session.buffered} of {len(self.stream)} bytes")
        if session.ended and session.receive(self.stream):
            raise FuzzFailure("reads on after the end")
        if session.pending > 1_000 + 2 * len(self.stream):
            raise FuzzFailure(f"answers {len(self.stream)} bytes with {session.pending}")


def run_type(message: Message, inputs: int, seed: int, clock: Callable[[], float]) -> Counts:
    """Throw so many inputs made from one message; `clock` times each. Raises FuzzFailure."""
    chance = random.Random(f"{seed} {type(message).__name__}")
    corpus = tuple(example.encode() for example in EXAMPLES)
    if isinstance(message, Hello):
        message = replace(message, key=id_of(SERVER_KEY))
    counts, target = Counts(), Target(message, chance)
    for number in range(inputs):
        if target.worn:
            target = Target(message, chance)
        data = broken(message, corpus, chance)
        began = clock()
        try:
            events = target.feed(data)
            counts.slowest = max(counts.slowest, clock() - began)
            target.check(events)
        except Exception as error:
            raise FuzzFailure(f"{message}, seed {seed}, input {number}: {error!r}: {data.hex()}") from error
        target.session.outgoing()
        note(events, counts)
    return counts


def note(events: list[Event], counts: Counts) -> None:
    """Count what was accepted and what was not."""
    counts.offences.update(event.offence.name for event in events if isinstance(event, Offended))
    counts.accepted += any(isinstance(event, Received | Established) for event in events)


def run(inputs: int, seed: int, clock: Callable[[], float] = lambda: 0.0) -> dict[str, Counts]:
    """Run all types."""
    return {type(message).__name__: run_type(message, inputs, seed, clock) for message in EXAMPLES}


def main() -> int:
    """Run from the command line; 0 when nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-type", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        found = run(options.per_type, options.seed, time.process_time)
    except FuzzFailure as failure:
        print(failure, file=sys.stderr)
        return 1
    for name, counts in found.items():
        offences = ", ".join(f"{kind.lower()} {count:,}" for kind, count in sorted(counts.offences.items()))
        print(f"{name:22} accepted {counts.accepted:8,} slowest {1_000 * counts.slowest:6.1f} ms  {offences}")
    print(f"{options.per_type:,} inputs for each of {len(found)} types, seed {options.seed}: 0 findings")
    return 0


if __name__ == "__main__":
    sys.exit(main())
