"""Links over real sockets on loopback: TLS, limits, and whole sessions across them."""

import asyncio
import contextlib
import errno
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from p2p_hosts import NETWORK, App

from ioex_chain.p2p import chain_messages as m
from ioex_chain.p2p import network as network_module
from ioex_chain.p2p.addrbook import AddressBook
from ioex_chain.p2p.bans import BanList
from ioex_chain.p2p.host import Host, HostSettings
from ioex_chain.p2p.identity import Identity
from ioex_chain.p2p.links import Link, LinkHandler
from ioex_chain.p2p.messages import Message
from ioex_chain.p2p.network import MAX_UNFINISHED_PER_HOST, PortTaken, TlsNetwork, client_context
from ioex_chain.p2p.seam import Peer
from ioex_chain.p2p.types import Endpoint, PeerAddress
from ioex_chain.primitives.clock import FixedClock

pytestmark = pytest.mark.timeout(60)


class Recorder:
    """A link's handler that writes down what it hears, and wakes who waits."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self.data = bytearray()
        self.drained = 0
        self.down: str | None = None
        self.calls: list[str] = []
        self._changed = asyncio.Event()

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self._changed.set()

    def link_up(self, link: Link) -> None:
        self.link = link
        self._note("up")

    def link_data(self, data: bytes) -> None:
        self.data += data
        self._note("data")

    def link_drained(self) -> None:
        self.drained += 1
        self._note("drained")

    def link_down(self, why: str) -> None:
        assert self.down is None
        self.down = why
        self._note("down")

    async def until(self, condition: Callable[["Recorder"], bool], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()

    @property
    def up(self) -> Link:
        assert self.link is not None
        return self.link


def identity(name: str) -> Identity:
    return Identity.from_seed(sha256(name.encode()).digest())


Make = Callable[..., TlsNetwork]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[TlsNetwork] = []

    def one(name: str, **options: float) -> TlsNetwork:
        made.append(TlsNetwork(identity(name), **options))
        return made[-1]

    yield one
    for network in made:
        await network.close()


class Server:
    """A listening network and the handlers of what arrived."""

    def __init__(self, network: TlsNetwork) -> None:
        self.network = network
        self.arrived: list[Recorder] = []
        self.remotes: list[Endpoint] = []
        self.refuse = False
        self.endpoint = Endpoint("127.0.0.1", 0)

    def accept(self, remote: Endpoint) -> LinkHandler | None:
        self.remotes.append(remote)
        if self.refuse:
            return None
        self.arrived.append(Recorder())
        return self.arrived[-1]

    async def start(self) -> "Server":
        self.endpoint = await self.network.listen("127.0.0.1", 0, self.accept)
        return self


async def linked(make: Make) -> tuple[Recorder, Recorder, Server]:
    server = await Server(make("server")).start()
    near = Recorder()
    make("client").dial(server.endpoint, near)
    await near.until(lambda one: one.link is not None)
    await server.arrived[0].until(lambda one: one.link is not None)
    return near, server.arrived[0], server


async def test_both_ends_know_the_listening_ends_certificate(make: Make) -> None:
    near, far, server = await linked(make)
    assert near.up.certificate == far.up.certificate == identity("server").certificate
    assert near.up.remote == server.endpoint
    assert far.up.remote.host == "127.0.0.1"
    assert server.remotes == [far.up.remote]


async def test_bytes_go_both_ways_and_a_close_delivers_what_was_written(make: Make) -> None:
    near, far, _ = await linked(make)
    near.up.write(b"hello")
    await far.until(lambda one: one.data == b"hello")
    far.up.write(b"x" * 3_000_000)
    far.up.write(b"bye")
    far.up.close()
    far.up.write(b"too late")
    await near.until(lambda one: one.down is not None)
    await far.until(lambda one: one.down is not None)
    assert bytes(near.data) == b"x" * 3_000_000 + b"bye"
    assert near.calls[0] == "up"
    assert near.calls[-1] == "down"


async def test_a_goodbye_arrives_though_the_other_end_keeps_sending(make: Make) -> None:
    near, far, _ = await linked(make)
    near.up.write(bytes(4_000_000))
    far.up.write(b"goodbye")
    far.up.close()
    await near.until(lambda one: one.down is not None)
    assert near.data == b"goodbye"


async def test_a_closing_link_waits_for_the_other_end_but_not_for_ever(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await Server(make("server")).start()
    for patience in (100.0, 0.1):
        monkeypatch.setattr(network_module, "CLOSE_SECONDS", patience)
        # No stream of the library's: those close as soon as the other end does.
        with socket.create_connection(server.endpoint) as plain:
            tls = await asyncio.to_thread(client_context().wrap_socket, plain)
            far = server.arrived[-1]
            await far.until(lambda one: one.link is not None)
            far.up.write(b"bye")
            far.up.close()
            assert await asyncio.to_thread(tls.recv, 10) == b"bye"
            assert await asyncio.to_thread(tls.recv, 10) == b""
            if patience > 1:
                assert far.down is None
                tls.close()
            await far.until(lambda one: one.down is not None)
            tls.close()
    monkeypatch.undo()


async def test_closing_a_link_that_the_other_end_has_just_reset(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket knows of the reset before the event loop does: closing must not fail (ENOTCONN)."""
    near, far, _ = await linked(make)

    def refuse() -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr(far.up._transport, "write_eof", refuse)  # type: ignore[attr-defined]
    far.up.close()
    await far.until(lambda one: one.down is not None)
    await near.until(lambda one: one.down is not None)


async def test_the_backlog_is_told_and_drains(make: Make) -> None:
    near, far, _ = await linked(make)
    size = 30_000_000
    near.up.write(bytes(size))
    assert near.up.backlog > 1 << 20
    await near.until(lambda one: one.drained == 1)
    assert near.up.backlog <= 1 << 18
    await far.until(lambda one: len(one.data) == size)


async def test_an_abort_drops_the_link_at_once(make: Make) -> None:
    near, far, _ = await linked(make)
    near.up.abort()
    await near.until(lambda one: one.down is not None)
    await far.until(lambda one: one.down is not None)


async def test_a_refused_address_costs_no_handshake(make: Make) -> None:
    server = await Server(make("server")).start()
    server.refuse = True
    near = Recorder()
    make("client").dial(server.endpoint, near)
    await near.until(lambda one: one.down is not None)
    assert near.calls == ["down"]
    assert len(server.remotes) == 1


async def test_a_dial_to_nobody_fails_alone(make: Make) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        near = Recorder()
        client = make("client")
        client.dial(Endpoint("127.0.0.1", port), near)
        assert near.calls == []
        await near.until(lambda one: one.down is not None)
    assert near.calls == ["down"]


@pytest.mark.parametrize("callers", [0, 4])
async def test_a_dial_that_is_not_answered_ends_within_the_limit(make: Make, callers: int) -> None:
    with socket.socket() as mute, contextlib.ExitStack() as crowd:
        mute.bind(("127.0.0.1", 0))
        mute.listen(0)
        for _ in range(callers):
            # A full queue makes the system ignore whoever connects.
            caller = crowd.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(mute.getsockname())
        near = Recorder()
        began = time.monotonic()
        make("client", handshake_seconds=0.2).dial(Endpoint(*mute.getsockname()), near)
        await near.until(lambda one: one.down is not None)
        assert near.calls == ["down"]
        assert time.monotonic() - began < 10


async def test_a_broken_record_after_a_sound_one_ends_the_link_quietly(make: Make) -> None:
    class Echo(Recorder):
        def link_data(self, data: bytes) -> None:
            super().link_data(data)
            self.up.write(data)

    unhandled: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    far = Echo()
    endpoint = await make("server").listen("127.0.0.1", 0, lambda _: far)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing)
    reader, writer = await asyncio.open_connection(*endpoint)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.read(65_536))
    tls.write(b"sound")
    writer.write(outgoing.read() + b"\x17\x03\x03\x00\x20" + bytes(32))
    await far.until(lambda one: one.down is not None)
    assert far.data == b"sound"
    assert far.down is not None
    assert far.down.startswith("TLS")
    assert not unhandled
    writer.close()


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x40\x00", bytes(4_096)]
)
async def test_garbage_and_silence_are_dropped_within_the_limit(make: Make, sent: bytes) -> None:
    server = await Server(make("server", handshake_seconds=0.2)).start()
    reader, writer = await asyncio.open_connection(*server.endpoint)
    writer.write(sent)
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            while await reader.read(1_000):
                pass
    await server.arrived[0].until(lambda one: one.down is not None)
    assert server.arrived[0].calls == ["down"]
    writer.close()


async def test_slow_handshakes_of_one_address_are_few(make: Make) -> None:
    server = await Server(make("server")).start()
    idle = [await asyncio.open_connection(*server.endpoint) for _ in range(MAX_UNFINISHED_PER_HOST + 4)]
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            assert await idle[-1][0].read(1) == b""
    assert len(server.arrived) == MAX_UNFINISHED_PER_HOST
    for _, writer in idle:
        writer.close()
    for one in server.arrived:
        await one.until(lambda one: one.down is not None)
    near = Recorder()
    make("client").dial(server.endpoint, near)
    await near.until(lambda one: one.link is not None)


async def test_the_oldest_unfinished_handshake_makes_room(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_module, "MAX_UNFINISHED", 3)
    server = await Server(make("server")).start()
    idle = [await asyncio.open_connection(*server.endpoint) for _ in range(4)]
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            assert await idle[0][0].read(1) == b""
    assert [one.down is None for one in server.arrived] == [False, True, True, True]
    near = Recorder()
    make("client").dial(server.endpoint, near)
    await near.until(lambda one: one.link is not None)
    for _, writer in idle:
        writer.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_tls_1_2_is_refused(make: Make) -> None:
    server = await Server(make("server")).start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(*server.endpoint, ssl=context)
    await server.arrived[0].until(lambda one: one.down is not None)


async def test_any_tls_1_3_client_gets_no_session_ticket(make: Make) -> None:
    server = await Server(make("server")).start()
    reader, writer = await asyncio.open_connection(*server.endpoint, ssl=client_context())
    await server.arrived[0].until(lambda one: one.link is not None)
    server.arrived[0].up.write(b"x")
    assert await reader.readexactly(1) == b"x"
    tls = writer.get_extra_info("ssl_object")
    assert tls.version() == "TLSv1.3"
    assert tls.session is None or not tls.session.has_ticket
    writer.close()


async def test_a_server_with_another_sort_of_key_is_left(make: Make, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2090, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
    near = Recorder()
    make("client").dial(Endpoint(*server.sockets[0].getsockname()), near)
    await near.until(lambda one: one.down is not None)
    assert near.down == "the certificate's key is not Ed25519"
    assert near.calls == ["down"]
    server.close()


async def test_a_taken_port_is_named(make: Make) -> None:
    server = await Server(make("server")).start()
    with pytest.raises(PortTaken, match=str(server.endpoint.port)):
        await make("other").listen("127.0.0.1", server.endpoint.port, server.accept)


async def test_closing_the_network_ends_all_of_it(make: Make) -> None:
    near, far, server = await linked(make)
    far.up.write(b"last")
    pending = Recorder()
    server.network.dial(Endpoint("192.0.2.1", 9), pending)
    await server.network.close()
    assert far.down is not None
    assert pending.calls == ["down"]
    await near.until(lambda one: one.down is not None)
    assert near.data == b"last"
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(*server.endpoint)


# --- hosts over real links ----------------------------------------------------------------------------------


class Node:
    """A host over TLS; `run` ticks it."""

    def __init__(self, network: TlsNetwork, name: str, network_id: bytes = NETWORK) -> None:
        self.identity, self.network, self.app = identity(name), network, App()
        clock, chance = FixedClock(1_800_000_000), Random(name)
        self.bans = BanList(clock)
        book = AddressBook(chance, clock, self.identity.id, secret=bytes(32), accept_local=True)
        self.host = Host(
            HostSettings(agent=f"/{name}/", max_outbound=0),
            self.identity,
            network_id,
            network,
            self.app,
            book,
            self.bans,
            now=time.monotonic,
            clock=clock,
            chance=chance,
        )
        self.endpoint = Endpoint("127.0.0.1", 0)

    async def listen(self) -> PeerAddress:
        self.endpoint = await self.network.listen("127.0.0.1", 0, self.host.accept)
        return PeerAddress(self.identity.id, self.endpoint)


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


Nodes = Callable[..., Awaitable[tuple[Node, PeerAddress]]]


@pytest.fixture
async def node(make: Make) -> Nodes:
    async def one(name: str, network_id: bytes = NETWORK, key: str = "") -> tuple[Node, PeerAddress]:
        made = Node(make(key or name), name, network_id)
        return made, await made.listen()

    return one


async def test_the_handshake_proves_both_ids_and_an_8_mb_message_crosses(node: Nodes) -> None:
    (one, _), (two, address) = await node("one"), await node("two")
    one.host.try_once(address)
    await until(lambda: bool(one.app.peers and two.app.peers))
    assert [peer.id for peer in one.host.peers()] == [two.identity.id]
    assert [peer.id for peer in two.host.peers()] == [one.identity.id]
    block = Random(1).randbytes(8_000_000)
    two.app.on_received = lambda peer, message: peer.send(m.BlockData(block))
    (peer,) = one.app.peers.values()
    peer.send(m.GetBlocks((bytes(32),)))
    await until(lambda: bool(one.app.messages))
    assert one.app.messages[0][1] == m.BlockData(block)


async def test_another_network_is_refused(node: Nodes) -> None:
    (one, _), (two, address) = await node("one"), await node("two", NETWORK[::-1])
    one.host.try_once(address)
    await until(lambda: bool(one.host._made) and not one.host._connections)
    assert not one.app.gone
    assert not two.app.gone


async def test_who_holds_another_key_than_the_dialled_one_is_left(node: Nodes) -> None:
    (one, _), (two, address) = await node("one"), await node("two")
    one.host.try_once(PeerAddress(identity("three").id, address.endpoint))
    await until(lambda: not one.host._connections)
    await until(lambda: not two.host._connections)
    assert not one.app.gone
    assert not two.app.gone


async def test_a_man_in_the_middle_fails_at_both_ends(make: Make, node: Nodes) -> None:
    """He terminates TLS with his own certificate and passes every byte on."""
    (one, _), (two, address) = await node("one"), await node("two")
    middle = make("middle")
    hop: list[Recorder] = []

    class Hop(Recorder):
        """Passes what it hears to its twin."""

        twin: "Hop"
        waiting = b""

        def link_up(self, link: Link) -> None:
            super().link_up(link)
            link.write(self.waiting)

        def link_data(self, data: bytes) -> None:
            super().link_data(data)
            if self.twin.link is None:
                self.twin.waiting += data
            else:
                self.twin.link.write(data)

        def link_down(self, why: str) -> None:
            super().link_down(why)
            if self.twin.link is not None:
                self.twin.link.close()

    def accept(remote: Endpoint) -> LinkHandler:
        near, far = Hop(), Hop()
        near.twin, far.twin = far, near
        middle.dial(address.endpoint, far)
        hop.extend((near, far))
        return near

    endpoint = await middle.listen("127.0.0.1", 0, accept)
    # The victim dials the right id at the wrong place: the certificate's key is not the dialled one.
    one.host.try_once(PeerAddress(address.id, endpoint))
    await until(lambda: len(hop) == 2 and not one.host._connections and not two.host._connections)
    # A victim that takes the man for who he is: the hello that he passes on names another key.
    one.host.try_once(PeerAddress(identity("middle").id, endpoint))
    await until(lambda: len(hop) == 4 and not one.host._connections and not two.host._connections)
    assert not one.app.gone
    assert not two.app.gone


async def test_a_client_proof_for_another_server_is_refused(node: Nodes) -> None:
    """A client's hello that was made for the man in the middle does not open another server's door."""
    from dataclasses import replace

    from ioex_chain.p2p.framing import frame_head
    from ioex_chain.p2p.handshake import NO_NONCE, proof_bytes
    from ioex_chain.p2p.messages import Hello
    from ioex_chain.primitives.codec import Reader

    (one, _), (two, address) = await node("one"), await node("two")
    outcomes = []
    for certificate in (identity("middle").certificate, identity("two").certificate):
        reader, writer = await asyncio.open_connection(*address.endpoint, ssl=client_context())
        head = await reader.readexactly(5)
        theirs = Hello.read(Reader(await reader.readexactly(int.from_bytes(head[:4], "little"))))
        signature = one.identity.sign(proof_bytes(NETWORK, certificate, theirs.nonce))
        payload = replace(one.host._hello(), nonce=NO_NONCE, signature=signature).encode()
        writer.write(frame_head(Hello.type, len(payload)) + payload)
        await until(lambda: bool(two.app.peers) or not two.host._connections)
        outcomes.append(bool(two.app.peers))
        writer.close()
        await until(lambda: not two.host._connections)
    assert outcomes == [False, True]


async def test_set_up_and_throughput_are_shown(node: Nodes, capsys: pytest.CaptureFixture[str]) -> None:
    (one, _), (two, address) = await node("one"), await node("two")
    began = time.perf_counter()
    one.host.try_once(address)
    await until(lambda: bool(one.app.peers and two.app.peers))
    setup = time.perf_counter() - began
    block = bytes(8_000_000)
    left = [20]

    def feed(peer: Peer) -> None:
        while left[0] and peer.backlog <= 1 << 20:
            left[0] -= 1
            peer.send(m.BlockData(block))

    def ask(peer: Peer, message: Message) -> None:
        feed(peer)

    two.app.on_received, two.app.on_drained = ask, feed
    (peer,) = one.app.peers.values()
    began = time.perf_counter()
    peer.send(m.GetBlocks(tuple(bytes((at,)) * 32 for at in range(20))))
    await until(lambda: len(one.app.messages) == 20)
    spent = time.perf_counter() - began
    with capsys.disabled():
        print(f"\nset-up {setup * 1e3:.1f} ms, {160 / spent:.0f} MB/s of BlockData")
