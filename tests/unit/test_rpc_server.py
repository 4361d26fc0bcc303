"""The server over real sockets on loopback."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from rpc_sample import dispatcher, table

from ioex_chain.rpc.auth import Authenticator, Credential
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.limits import Limits
from ioex_chain.rpc.origin import OriginPolicy
from ioex_chain.rpc.server import PortTaken, RpcServer, ServerConfig
from ioex_chain.rpc.subscriptions import Subscriptions, Topic

OWNER = Credential("u", "p")
LIMITS = Limits(
    body_bytes=200_000, auth_failure_seconds=0.0, body_seconds=0.2, ws_queue_items=8, ws_queue_bytes=300_000
)
APP = "https://app.example"


class Rig:
    """A server with one topic, and a client."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.api, methods = table()
        self.hub = Subscriptions([Topic("heads", "New heads.")])
        self.hub.add_methods(methods)
        policy = OriginPolicy(hosts=frozenset({"node.example"}), origins=frozenset({APP}))
        config = ServerConfig(policy=policy, headers={"X-Long-Polling": "/"})
        self.dispatcher = Dispatcher(methods, limits=limits)
        self.server = RpcServer(self.dispatcher, config, Authenticator([OWNER]), self.hub)
        self.http: aiohttp.ClientSession

    async def post(
        self, body: object, headers: dict[str, str] | None = None, method: str = "POST", path: str = ""
    ) -> tuple[int, Any, Any]:
        data = body if isinstance(body, bytes | None) else orjson.dumps(body)
        async with self.http.request(method, self.server.url + path, data=data, headers=headers) as response:
            text = await response.read()
            return response.status, orjson.loads(text) if text else None, response.headers

    async def raw(self, data: bytes, eof: bool = False) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(data)
        if eof:
            writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answer


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    await made.server.start()
    async with aiohttp.ClientSession() as made.http:
        yield made
    await made.server.stop()


def call(name: str, *params: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": name, "params": list(params), "id": 1}


async def test_post_answers_and_keeps_the_connection(rig: Rig) -> None:
    for _ in range(3):
        status, answer, headers = await rig.post(call("echo", 5))
        assert (status, answer["result"]) == (200, 5)
        assert headers["Content-Type"] == "application/json"
        assert headers["X-Long-Polling"] == "/"
    assert rig.server.open_connections == 1


async def test_authentication(rig: Rig) -> None:
    status, answer, headers = await rig.post(call("pay", "a", 1))
    assert (status, answer["error"]["code"]) == (401, 4100)
    assert headers["WWW-Authenticate"].startswith("Basic")
    status, answer, _ = await rig.post(call("pay", "a", 1), {"Authorization": OWNER.header()})
    assert (status, answer["result"]["amount"]) == (200, 1.0)
    wrong = Credential("u", "wrong").header()
    status, answer, headers = await rig.post(call("echo"), {"Authorization": wrong})
    assert (status, answer["error"]["code"], answer["id"]) == (401, 4100, None)
    assert headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "", {}, 405),
        ("PUT", "", {}, 405),
        ("POST", "other", {}, 404),
        ("OPTIONS", "", {"Origin": "https://evil.example"}, 403),
        ("POST", "", {"Host": "evil.example"}, 403),
        ("POST", "", {"Host": "node.example"}, 200),
        ("POST", "", {"Origin": "https://evil.example", "Content-Type": "text/plain"}, 403),
        ("POST", "", {"Origin": "chrome-extension://abc", "Content-Type": "application/json"}, 200),
        ("POST", "", {"Content-Encoding": "gzip"}, 415),
        ("POST", "", {"Content-Encoding": "br"}, 415),
        ("POST", "", {"X-Big": "x" * 8_100}, 431),
        ("POST", "", {"X-Big": "x" * 9_000}, 400),
    ],
)
async def test_what_http_refuses(
    rig: Rig, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    body = orjson.dumps(call("echo", 1)) if method != "OPTIONS" else None
    got, answer, _ = await rig.post(body, headers, method, path)
    assert got == status
    assert status == 200 or isinstance(answer["error"]["code"], int)


async def test_cors_only_for_listed_pages(rig: Rig) -> None:
    status, _, headers = await rig.post(None, {"Origin": APP}, "OPTIONS")
    assert (status, headers["Access-Control-Allow-Origin"]) == (204, APP)
    _, answer, headers = await rig.post(call("echo", 1), {"Origin": APP})
    assert (answer["result"], headers["Access-Control-Allow-Origin"]) == (1, APP)
    _, _, headers = await rig.post(
        call("echo", 1), {"Origin": "https://evil.example", "Content-Type": "application/json"}
    )
    assert "Access-Control-Allow-Origin" not in headers


async def test_bodies_are_bounded_with_and_without_a_stated_length(rig: Rig) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 10_000

    status, answer, _ = await rig.post(b" " * 200_001)
    assert (status, answer["error"]["code"]) == (413, -32005)
    async with rig.http.post(rig.server.url, data=chunks()) as response:
        assert response.status == 413
    status, answer, _ = await rig.post(orjson.dumps(call("echo", "x")) + b" " * 190_000)
    assert answer["result"] == "x"


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GARBAGE\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{",
        b"POST /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nConnection: close\r\n\r\n",
    ],
)
async def test_bytes_that_are_no_request_get_a_json_rpc_error(rig: Rig, data: bytes) -> None:
    head, _, body = (await rig.raw(data)).partition(b"\r\n\r\n")
    assert head.split()[1] in (b"400", b"404", b"405", b"408")
    assert isinstance(orjson.loads(body)["error"]["code"], int)
    assert (await rig.post(call("echo", 1)))[1]["result"] == 1


async def test_large_requests_share_one_budget() -> None:
    rig = Rig(Limits(body_bytes=200_000, buffered_bytes=100_000, small_body_bytes=1_000))
    await rig.server.start()
    async with aiohttp.ClientSession() as rig.http:
        status, answer, _ = await rig.post(b" " * 150_000)
        assert (status, answer["error"]["code"]) == (503, -32005)
        assert (await rig.post(orjson.dumps(call("echo", 1)) + b" " * 90_000))[1]["result"] == 1
    await rig.server.stop()


async def test_at_the_cap_silent_connections_make_room() -> None:
    rig = Rig(Limits(connections=4))
    await rig.server.start()
    silent = [await asyncio.open_connection("127.0.0.1", rig.server.port) for _ in range(6)]
    async with aiohttp.ClientSession() as rig.http:
        assert (await rig.post(call("echo", 1)))[1]["result"] == 1
        assert rig.server.open_connections <= 4
        assert await silent[0][0].read() == b""
    for _, writer in silent:
        writer.close()
    await rig.server.stop()


async def test_idle_and_half_sent_heads_are_closed() -> None:
    rig = Rig(Limits(connections_idle_seconds=0.05))
    await rig.server.start()
    assert await rig.raw(b"") == b""
    assert await rig.raw(b"POST / HTTP/1.1\r\nHost: local") == b""
    await rig.server.stop()


async def test_websocket_takes_text_and_binary(rig: Rig) -> None:
    async with rig.http.ws_connect(rig.server.url) as ws:
        await ws.send_bytes(orjson.dumps(call("echo", 1)))
        assert (await ws.receive_json())["result"] == 1
        await ws.send_str(orjson.dumps([call("echo", 2)]).decode())
        assert (await ws.receive_json())[0]["result"] == 2
        await ws.send_str("{")
        assert (await ws.receive_json())["error"]["code"] == -32700
        await ws.send_json(call("pay", "a", 1))
        assert (await ws.receive_json())["error"]["code"] == 4100
    async with rig.http.ws_connect(rig.server.url, headers={"Authorization": OWNER.header()}) as ws:
        await ws.send_json(call("whoami"))
        assert (await ws.receive_json())["result"] is True


async def test_websocket_calls_do_not_wait_for_each_other(rig: Rig) -> None:
    async with rig.http.ws_connect(rig.server.url) as ws:
        await ws.send_json(call("longpoll"))
        await ws.send_json(call("echo", "first"))
        assert (await ws.receive_json())["result"] == "first"
        rig.api.go_on.set()
        assert (await ws.receive_json())["result"] == "happened"


async def test_subscriptions_end_with_their_socket(rig: Rig) -> None:
    async with rig.http.ws_connect(rig.server.url) as ws:
        await ws.send_json(call("subscribe", "heads"))
        id_ = (await ws.receive_json())["result"]
        rig.hub.publish("heads", {"height": 1})
        assert (await ws.receive_json())["params"] == {"subscription": id_, "result": {"height": 1}}
    for _ in range(200):
        if not len(rig.hub):
            break
        await asyncio.sleep(0.005)
    assert len(rig.hub) == 0
    assert (await rig.post(call("subscribe", "heads")))[1]["error"]["code"] == -32004


async def test_a_slow_reader_is_dropped_and_others_are_not(rig: Rig) -> None:
    async with rig.http.ws_connect(rig.server.url) as honest, rig.http.ws_connect(rig.server.url) as slow:
        for ws in (honest, slow):
            await ws.send_json(call("subscribe", "heads"))
            await ws.receive_json()
        for _ in range(400):
            rig.hub.publish("heads", "x" * 100_000)
            await honest.receive()
            if len(rig.hub) == 1:
                break
        assert len(rig.hub) == 1
        rig.hub.publish("heads", "still here")
        assert "still here" in (await honest.receive_str())


async def upgrade(
    rig: Rig, extra: bytes = b"", version: bytes = b"13"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: "
        + version
        + b"\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        + extra
        + b"\r\n"
    )
    return reader, writer


async def test_an_unmasked_frame_closes_just_its_socket(rig: Rig) -> None:
    async with rig.http.ws_connect(rig.server.url) as honest:
        reader, writer = await upgrade(rig)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x81\x02{}")
        assert await asyncio.wait_for(reader.read(), 5) == b"\x88\x02\x03\xea"
        writer.close()
        await honest.send_json(call("echo", 1))
        assert (await honest.receive_json())["result"] == 1


async def test_websockets_of_foreign_pages_and_bad_handshakes_are_refused(rig: Rig) -> None:
    for extra, version, status in (
        (b"Origin: https://evil.example\r\n", b"13", b"403"),
        (b"", b"99", b"400"),
    ):
        reader, writer = await upgrade(rig, extra, version)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] == status
        writer.close()


async def test_websockets_are_counted() -> None:
    rig = Rig(Limits(ws_connections=1))
    await rig.server.start()
    async with aiohttp.ClientSession() as rig.http, rig.http.ws_connect(rig.server.url):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await rig.http.ws_connect(rig.server.url)
        assert caught.value.status == 503
    await rig.server.stop()


async def test_a_taken_port_is_said_clearly(rig: Rig) -> None:
    _, other = dispatcher()
    with pytest.raises(PortTaken, match=str(rig.server.port)):
        await RpcServer(other, ServerConfig(port=rig.server.port)).start()
    other.close()


async def test_stop_does_not_wait_for_idle_connections(rig: Rig) -> None:
    await rig.post(call("echo"))
    await asyncio.wait_for(rig.server.stop(grace_seconds=30), 5)


async def test_stop_ends_long_polls_and_websockets_at_once() -> None:
    rig = Rig()
    await rig.server.start()
    async with aiohttp.ClientSession() as rig.http, rig.http.ws_connect(rig.server.url) as ws:
        poll = asyncio.create_task(rig.post(call("longpoll")))
        await ws.send_json(call("longpoll"))
        while rig.api.polls < 2:
            await asyncio.sleep(0.005)
        await asyncio.wait_for(rig.server.stop(grace_seconds=30), 5)
        status, answer, _ = await poll
        assert (status, answer["error"]["code"]) == (200, -32002)
        ended = (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR)
        message = await ws.receive()
        while message.type is aiohttp.WSMsgType.TEXT:
            message = await ws.receive()
        assert message.type in ended
