"""Two ends of a connection in memory, with a clock that stands."""

import random
from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from golden_wire.examples import EXAMPLES
from ioex_chain.p2p.framing import frame_head
from ioex_chain.p2p.links import Certificate
from ioex_chain.p2p.messages import Hello, Message
from ioex_chain.p2p.session import Event, Session
from ioex_chain.p2p.table import DPOS_TABLE
from ioex_chain.p2p.types import PeerId

NETWORK = b"\x55" * 32
BASE_HELLO = next(message for message in EXAMPLES if isinstance(message, Hello))
SERVER_KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
CLIENT_KEY = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)


def id_of(key: Ed25519PrivateKey) -> PeerId:
    return PeerId(key.public_key().public_bytes_raw())


CERTIFICATE = Certificate(id_of(SERVER_KEY), b"\x99" * 32)


class Time:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def nobody_is_refused(hello: Hello) -> None:
    pass


def make_session(
    outbound: bool,
    *,
    key: Ed25519PrivateKey | None = None,
    expected: PeerId | None = None,
    network: bytes = NETWORK,
    certificate: Certificate = CERTIFICATE,
    check_hello: Callable[[Hello], None] = nobody_is_refused,
    time: Callable[[], float] | None = None,
    seed: int = 1,
    sign: Callable[[bytes], bytes] | None = None,
    **fields: object,
) -> Session:
    """Give a session that was not started; `fields` change its hello."""
    key = key or (CLIENT_KEY if outbound else SERVER_KEY)
    own = replace(BASE_HELLO, network=network, key=id_of(key), **fields)  # type: ignore[arg-type]
    return Session(
        outbound=outbound,
        certificate=certificate,
        expected=expected,
        network=network,
        hello=lambda: own,
        check_hello=check_hello,
        sign=sign or key.sign,
        chance=random.Random(seed),
        now=time or Time(),
        table=DPOS_TABLE,
    )


def carry(one: Session, other: Session) -> tuple[list[Event], list[Event]]:
    """Carry bytes both ways until there are none; give the events of each."""
    events: tuple[list[Event], list[Event]] = ([], [])
    while one.pending or other.pending:
        events[1].extend(other.receive(one.outgoing()))
        events[0].extend(one.receive(other.outgoing()))
    return events


def connect(client: Session, server: Session) -> tuple[list[Event], list[Event]]:
    """Start both and carry the handshake; give the client's and the server's events."""
    server.start()
    client.start()
    return carry(client, server)


def frame(message: Message) -> bytes:
    payload = message.encode()
    return frame_head(message.type, len(payload)) + payload


_SERVER_HELLO = frame(replace(BASE_HELLO, key=id_of(SERVER_KEY)))


def established_client(time: Callable[[], float] | None = None) -> Session:
    """Give a client after its handshake, without the cost of a signature."""
    client = make_session(True, time=time, sign=lambda data: bytes(64))
    client.start()
    client.receive(_SERVER_HELLO)
    client.outgoing()
    return client
