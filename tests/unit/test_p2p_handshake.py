"""The handshake, with real keys: who is let in, and what keeps a man in the middle out (section 9.1)."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from golden_wire.world import (
    CERTIFICATE,
    CLIENT_KEY,
    NETWORK,
    SERVER_KEY,
    carry,
    connect,
    frame,
    id_of,
    make_session,
)

from ioex_chain.p2p.framing import frame_head
from ioex_chain.p2p.handshake import (
    OtherVersion,
    SelfConnection,
    WrongNetwork,
    WrongPeer,
    WrongProof,
    check_client,
    check_server,
    proof_bytes,
)
from ioex_chain.p2p.links import Certificate
from ioex_chain.p2p.messages import Goodbye, Hello, LeaveReason
from ioex_chain.p2p.seam import Offence, Refused
from ioex_chain.p2p.session import Ended, Established, Offended
from ioex_chain.p2p.types import PeerId
from ioex_chain.primitives.codec import Reader

GOLDEN_SIGNATURE = (
    "45970c9449e9ebe761360a541a664d3ea3f2b350ae142fb4273f44f65ce323a0"
    "f640d21604d644c60ad3265e928c6aed3405bc5d6b767783f94446f8d0a1ad07"
)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"\x03" * 32)


def hello_in(data: bytes) -> Hello:
    return Hello.read(Reader(data[5:]))


def server_hello() -> tuple[object, Hello]:
    server = make_session(False)
    server.start()
    return server, hello_in(server.outgoing())


def client_hello(nonce: bytes, **options) -> Hello:
    client = make_session(True, **options)
    digest = options.get("certificate", CERTIFICATE)
    network = options.get("network", NETWORK)
    key = options.get("key", CLIENT_KEY)
    own = client._own_hello()
    return replace(own, nonce=bytes(32), signature=key.sign(proof_bytes(network, digest, nonce)))


def test_both_know_each_other():
    client, server = make_session(True, expected=id_of(SERVER_KEY)), make_session(False, height=7)
    at_client, at_server = connect(client, server)
    assert [type(event) for event in at_client] == [Established]
    assert [type(event) for event in at_server] == [Established]
    assert (at_client[0].hello.key, at_client[0].hello.height) == (id_of(SERVER_KEY), 7)
    assert at_server[0].hello.key == id_of(CLIENT_KEY)
    assert at_client[0].hello == client.hello
    assert at_server[0].hello == server.hello


def test_the_golden_proof():
    data = proof_bytes(NETWORK, CERTIFICATE, b"\x77" * 32)
    assert data == b"ioeX/p2p/hello/1" + b"\x55" * 32 + b"\x99" * 32 + b"\x77" * 32
    assert CLIENT_KEY.sign(data).hex() == GOLDEN_SIGNATURE


def test_the_server_speaks_first_with_a_fresh_nonce():
    client = make_session(True)
    client.start()
    assert client.outgoing() == b""
    nonces = set()
    for seed in (1, 2, 3):
        server = make_session(False, seed=seed)
        server.start()
        hello = hello_in(server.outgoing())
        assert hello.signature == bytes(64)
        nonces.add(hello.nonce)
    assert len(nonces) == 3


def test_the_clients_hello_has_no_nonce_of_its_own():
    server, client = make_session(False), make_session(True)
    server.start()
    client.receive(server.outgoing())
    assert hello_in(client.outgoing()).nonce == bytes(32)


# What ends it. Each row: options of the client, options of the server, the reason, who refuses.

ENDS = {
    "another network": ({"network": b"\x56" * 32}, {}, LeaveReason.WRONG_NETWORK, "client"),
    "an old server": ({}, {"version": 0}, LeaveReason.OTHER_VERSION, "client"),
    "an old client": ({"version": 0}, {}, LeaveReason.OTHER_VERSION, "server"),
    "not who was dialled": ({"expected": id_of(OTHER_KEY)}, {}, LeaveReason.WRONG_IDENTITY, "client"),
    "oneself": ({"key": SERVER_KEY}, {}, LeaveReason.SELF, "client"),
    "a key that the certificate has not": ({}, {"key": OTHER_KEY}, LeaveReason.WRONG_IDENTITY, "client"),
    "a signature by another key": ({"sign": OTHER_KEY.sign}, {}, LeaveReason.WRONG_IDENTITY, "server"),
    "a man in the middle": (
        {"certificate": Certificate(CERTIFICATE.key, b"\x98" * 32)},
        {},
        LeaveReason.WRONG_IDENTITY,
        "server",
    ),
}


@pytest.mark.parametrize(("at_client", "at_server", "reason", "who"), ENDS.values(), ids=ENDS)
def test_a_handshake_that_fails(at_client, at_server, reason, who):
    client, server = make_session(True, **at_client), make_session(False, **at_server)
    client_events, server_events = connect(client, server)
    assert client.ended
    assert server.ended
    client_end, server_end = client_events[-1], server_events[-1]
    assert isinstance(client_end, Ended)
    assert isinstance(server_end, Ended)
    assert client_end.reason == server_end.reason == reason
    assert client_end.by_peer is (who == "server")
    assert server_end.by_peer is (who == "client")
    assert not any(isinstance(event, Offended) for event in client_events + server_events)
    assert server.hello is None


def test_a_higher_version_is_welcome():
    client, server = make_session(True, version=2), make_session(False)
    connect(client, server)
    assert client.established
    assert server.established


@pytest.mark.parametrize("refuser", ["client", "server"])
def test_the_chain_may_refuse(refuser):
    def refuse(hello: Hello) -> None:
        raise Refused(LeaveReason.OTHER_RULES, "other rules")

    client = make_session(True, **({"check_hello": refuse} if refuser == "client" else {}))
    server = make_session(False, **({"check_hello": refuse} if refuser == "server" else {}))
    client_events, server_events = connect(client, server)
    assert client_events[-1] == Ended(LeaveReason.OTHER_RULES, "other rules", by_peer=refuser == "server")
    assert server_events[-1] == Ended(LeaveReason.OTHER_RULES, "other rules", by_peer=refuser == "client")
    assert server.hello is None


def test_the_chain_is_not_asked_of_a_peer_without_proof():
    asked = []
    client = make_session(True, sign=OTHER_KEY.sign)
    server = make_session(False, check_hello=asked.append)
    connect(client, server)
    assert asked == []


def test_a_hello_cannot_be_replayed():
    first, second = make_session(False, seed=1), make_session(False, seed=2)
    client = make_session(True)
    for server in (first, second):
        server.start()
    client.receive(first.outgoing())
    stolen = client.outgoing()
    second.outgoing()
    assert second.receive(stolen)[0].reason is LeaveReason.WRONG_IDENTITY
    assert isinstance(first.receive(stolen)[0], Established)


def test_a_second_hello_is_an_offence():
    client, server = make_session(True), make_session(False)
    server.start()
    client.receive(server.outgoing())
    hello = client.outgoing()
    server.receive(hello)
    assert server.receive(hello) == [Offended(Offence.WRONG_STATE, "Hello in the state established")]
    assert server.ended


def test_a_client_that_says_goodbye_at_once():
    client, server = make_session(True), make_session(False)
    server.start()
    client.start()
    client.leave(LeaveReason.STOPPING, "")
    _, events = carry(client, server)
    assert events == [Ended(LeaveReason.STOPPING, "", by_peer=True)]
    assert server.receive(frame(Goodbye(LeaveReason.OTHER, ""))) == []


def test_a_malformed_hello():
    session = make_session(False)
    session.start()
    events = session.receive(frame_head(Hello.type, 10) + bytes(10))
    assert [event.offence for event in events] == [Offence.MALFORMED]


@pytest.mark.parametrize("agent", [b"a\nb", b"\x1b[2J", b"\x7f", "ö".encode(), "\u202e".encode(), b"\xff"])
def test_an_agent_cannot_forge_a_log(agent):
    _, hello = server_hello()
    payload = hello.encode()[: -1 - len(hello.agent)] + bytes((len(agent),)) + agent
    client = make_session(True)
    events = client.receive(frame_head(Hello.type, len(payload)) + payload)
    assert [event.offence for event in events] == [Offence.MALFORMED]


def test_our_own_agent_is_made_printable():
    client, server = make_session(True, agent="ioex\n\x1b ö" + "x" * 100), make_session(False)
    connect(client, server)
    assert server.hello.agent == "ioex?? ?" + "x" * 56


# The rules by themselves.


def test_the_servers_rules():
    _, hello = server_hello()
    own, key = id_of(CLIENT_KEY), id_of(SERVER_KEY)
    check_server(hello, CERTIFICATE, None, own, NETWORK)
    check_server(hello, CERTIFICATE, key, own, NETWORK)
    with pytest.raises(WrongPeer):
        check_server(hello, CERTIFICATE, own, own, NETWORK)
    with pytest.raises(WrongProof):
        check_server(replace(hello, key=own), CERTIFICATE, key, own, NETWORK)
    with pytest.raises(WrongNetwork):
        check_server(hello, CERTIFICATE, key, own, bytes(32))
    with pytest.raises(OtherVersion):
        check_server(replace(hello, version=0), CERTIFICATE, key, own, NETWORK)
    with pytest.raises(SelfConnection):
        check_server(hello, CERTIFICATE, key, key, NETWORK)


def test_the_clients_rules():
    nonce = b"\x07" * 32
    hello = client_hello(nonce)
    check_client(hello, CERTIFICATE, nonce, NETWORK)
    with pytest.raises(WrongProof):
        check_client(hello, CERTIFICATE, bytes(32), NETWORK)
    with pytest.raises(WrongProof):
        check_client(hello, Certificate(CERTIFICATE.key, bytes(32)), nonce, NETWORK)
    with pytest.raises(WrongProof):
        check_client(replace(hello, key=id_of(OTHER_KEY)), CERTIFICATE, nonce, NETWORK)
    with pytest.raises(WrongNetwork):
        check_client(hello, CERTIFICATE, nonce, bytes(32))
    with pytest.raises(OtherVersion):
        check_client(replace(hello, version=0), CERTIFICATE, nonce, NETWORK)
    with pytest.raises(SelfConnection):
        check_client(replace(hello, key=CERTIFICATE.key), CERTIFICATE, nonce, NETWORK)


def test_a_signature_for_another_network_proves_nothing():
    nonce = b"\x07" * 32
    hello = client_hello(nonce, network=b"\x56" * 32)
    with pytest.raises(WrongProof):
        check_client(replace(hello, network=NETWORK), CERTIFICATE, nonce, NETWORK)


@pytest.mark.parametrize("place", range(64))
def test_every_byte_of_the_signature_counts(place):
    nonce = b"\x07" * 32
    hello = client_hello(nonce)
    wrong = bytearray(hello.signature)
    wrong[place] ^= 1
    with pytest.raises(WrongProof):
        check_client(replace(hello, signature=bytes(wrong)), CERTIFICATE, nonce, NETWORK)


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31)])
def test_a_key_that_is_no_point_proves_nothing(key):
    nonce = b"\x07" * 32
    hello = replace(client_hello(nonce), key=PeerId(key))
    with pytest.raises(WrongProof):
        check_client(hello, CERTIFICATE, nonce, NETWORK)
