"""The short way of plain requests answers what the usual way answers, and leaves all others to it."""

import asyncio
from collections.abc import AsyncIterator
from inspect import iscoroutine

import aiohttp
import orjson
import pytest
from rpc_sample import dispatcher, table

from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.errors import ErrorTable, Flavour
from ioex_chain.rpc.fastlane import FastLane
from ioex_chain.rpc.limits import Limits
from ioex_chain.rpc.origin import OriginPolicy
from ioex_chain.rpc.registry import method
from ioex_chain.rpc.server import RpcServer, ServerConfig

ECHO = b'{"jsonrpc":"2.0","method":"echo","params":[5],"id":1}'


def request(
    body: bytes = ECHO, head: bytes = b"", length: int | None = None, first: bytes = b"POST /"
) -> bytes:
    size = len(body) if length is None else length
    return (
        first + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
        + b"%d\r\n" % size + head + b"\r\n" + body
    )  # fmt: skip


def lane(limits: Limits | None = None, *, reads_need_auth: bool = False) -> FastLane:
    _, methods = table()
    made = Dispatcher(
        methods,
        errors=ErrorTable({}, Flavour.ETHEREUM),
        limits=limits or Limits(),
        reads_need_auth=reads_need_auth,
    )
    return FastLane(made, OriginPolicy(hosts=frozenset({"node.example"})), {"X-Own": "1"})


@pytest.fixture
async def server() -> AsyncIterator[RpcServer]:
    _, d = dispatcher()
    made = RpcServer(d, ServerConfig(headers={"X-Own": "1"}))
    await made.start()
    yield made
    await made.stop()


async def exchange(server: RpcServer, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send parts one after the other and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(pause)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def head_of(answer: bytes) -> tuple[bytes, set[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    return first, {line for line in lines if not line.startswith(b"Date:")}, body


async def test_it_answers_byte_for_byte_as_the_usual_way(server: RpcServer) -> None:
    short = await answer_of(server, request())
    usual = await answer_of(server, request(head=b"X-Any: 1\r\n"))
    assert head_of(short) == head_of(usual)
    assert short.endswith(b'{"jsonrpc":"2.0","result":5,"id":1}')


async def answer_of(server: RpcServer, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = await reader.readexactly(size)
    writer.close()
    return head + body


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","method":"echo","params":[1,2,3],"id":1}',
        b'{"jsonrpc":"2.0","method":"missing","id":1}',
        b'{"jsonrpc":"2.0","method":"getblock","params":["' + b"ab" * 32 + b'"],"id":2}',
        b'{"jsonrpc":"2.0","method":"getblock","params":[],"id":1}',
    ],
)
async def test_what_fails_or_waits_is_answered_byte_for_byte_as_the_usual_way(
    server: RpcServer, body: bytes
) -> None:
    later = lane().answer(body, "")
    assert iscoroutine(later)
    await later
    short = await answer_of(server, request(body))
    usual = await answer_of(server, request(body, head=b"X-Any: 1\r\n"))
    assert head_of(short) == head_of(usual)


class WaitingApi:
    """Methods that wait until they are let go."""

    def __init__(self) -> None:
        self.begun, self.cancelled, self.release = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @method("wait", group="sample")
    async def wait(self) -> int:
        """Wait."""
        self.begun.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return 7


WAIT = b'{"jsonrpc":"2.0","method":"wait","params":[],"id":2}'


@pytest.fixture
async def waiting() -> AsyncIterator[tuple[WaitingApi, RpcServer]]:
    api, (_, methods) = WaitingApi(), table()
    methods.add_api(api)
    made = RpcServer(Dispatcher(methods, limits=Limits(connections_idle_seconds=0.05)))
    await made.start()
    yield api, made
    await made.stop()


async def test_what_comes_while_a_request_waits_is_answered_after_it(
    waiting: tuple[WaitingApi, RpcServer],
) -> None:
    api, server = waiting
    close = request(ECHO.replace(b'"id":1', b'"id":99'), head=b"Connection: close\r\n")
    asking = asyncio.create_task(exchange(server, request(WAIT), request(), request(WAIT) + close))
    await asyncio.wait_for(api.begun.wait(), 5)
    await asyncio.sleep(0.12)  # longer than an idle connection lives
    api.release.set()
    answer = await asking
    order = [answer.index(one) for one in (b'7,"id":2}', b'5,"id":1}', b'5,"id":99}')]
    assert order == sorted(order)
    assert answer.count(b'7,"id":2}') == 2


async def test_a_client_that_leaves_ends_its_call(waiting: tuple[WaitingApi, RpcServer]) -> None:
    api, server = waiting
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(WAIT))
    await asyncio.wait_for(api.begun.wait(), 5)
    writer.close()
    await asyncio.wait_for(api.cancelled.wait(), 5)


async def test_a_stop_waits_for_what_is_being_answered(waiting: tuple[WaitingApi, RpcServer]) -> None:
    api, server = waiting
    asking = asyncio.create_task(answer_of(server, request(WAIT)))
    await asyncio.wait_for(api.begun.wait(), 5)
    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    api.release.set()
    assert b'7,"id":2}' in await asking
    await stopping


async def test_both_ways_follow_each_other_on_one_connection(server: RpcServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    waits = b'{"jsonrpc":"2.0","method":"getblock","params":["' + b"ab" * 32 + b'"],"id":2}'
    for data in (
        request(),
        request(waits),
        request(),
        request(b"{"),
        request(head=b"X-Any: 1\r\n"),
        request(),
    ):
        writer.write(data)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert b'"id":' in await reader.readexactly(size)
    writer.close()


async def test_pipelined_and_split_requests_get_their_answers_in_order(server: RpcServer) -> None:
    numbered = [request(ECHO.replace(b'"id":1', b'"id":%d' % n)) for n in range(1, 7)]
    close = request(ECHO.replace(b'"id":1', b'"id":99'), head=b"Connection: close\r\n")
    whole = b"".join([*numbered, close])
    for step in (len(whole), 7, 150, 200):
        parts = [whole[at : at + step] for at in range(0, len(whole), step)]
        answer = await exchange(server, *parts)
        assert [answer.count(b'"id":%d}' % n) for n in (1, 2, 3, 4, 5, 6, 99)] == [1] * 7
        assert answer.index(b'"id":1}') < answer.index(b'"id":6}') < answer.index(b'"id":99}')


@pytest.mark.parametrize(
    "data",
    [
        request()[:-1],
        request() + b" ",
        request(length=3),
        request(first=b"GET /"),
        request(first=b"POST /x"),
        request(head=b"Origin: http://evil\r\n"),
        request(head=b"Authorization: Basic x\r\n"),
        request(head=b"Transfer-Encoding: chunked\r\n"),
        request(head=b"Content-Encoding: gzip\r\n"),
        request(head=b"Upgrade: websocket\r\n"),
        request(head=b"Expect: 100-continue\r\n"),
        request(head=b"Connection: close\r\n"),
        request(head=b"Content-Length: 53\r\n"),
        request(head=b"Host: 127.0.0.1\r\n"),
        request(head=b" folded: 1\r\n"),
        request(head=b"User-Agent: \x01\r\n"),
        request(head=b"User-Agent: \xff\r\n"),
        request(head=b"User-Agent : x\r\n"),
        request(head=b"no colon\r\n"),
        request(head=b"Accept: " + b"x" * 3_000 + b"\r\n"),
        request(b" " * 20_000),
        request().replace(b"127.0.0.1", b"evil.example"),
        request().replace(b"Host: 127.0.0.1\r\n", b""),
        request().replace(b"\r\n", b"\n"),
        request().replace(b"HTTP/1.1", b"HTTP/1.0"),
        request().replace(b"Content-Length: ", b"Content-Length: +"),
    ],
)
def test_what_is_not_plain_goes_the_usual_way(data: bytes) -> None:
    assert lane().body_of(data) is None


def test_hosts_on_the_list_and_repeated_heads_are_plain() -> None:
    made = lane()
    named = request().replace(b"127.0.0.1", b"node.example:8545")
    for _ in range(2):
        assert made.body_of(named) == made.body_of(request()) == ECHO
    for n in range(2_000):
        assert made.body_of(request(head=b"User-Agent: %d\r\n" % n)) == ECHO


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" + ECHO + b"]",
        b'{"jsonrpc":"2.0","method":"echo","params":[5]}',
        b'{"method":"echo","params":[5],"id":1}',
        b'{"jsonrpc":"2.0","method":"nothing","id":1}',
        b'{"jsonrpc":"2.0","method":"pay","params":["a",1],"id":1}',
        b'{"jsonrpc":"2.0","method":"echo","params":[NaN],"id":1}',
        b'{"jsonrpc":"2.0","method":"echo","id":1,"id":2}',
    ],
)
def test_what_is_no_plain_call_or_changes_the_node_goes_the_usual_way(body: bytes) -> None:
    assert lane().answer(body, "") is None


def test_a_closed_port_goes_the_usual_way() -> None:
    assert lane(reads_need_auth=True).answer(ECHO, "") is None
    assert lane().answer(ECHO, "") is not None


def test_a_long_reply_is_refused_without_asking_twice() -> None:
    answer = lane(Limits(reply_bytes=20)).answer(ECHO, "")
    assert answer is not None
    assert b'"code":-32005' in answer


async def test_connections_that_fall_idle_after_plain_requests_are_closed() -> None:
    _, d = dispatcher(limits=Limits(connections_idle_seconds=0.1))
    server = RpcServer(d)
    await server.start()
    started = asyncio.get_running_loop().time()
    answer = await exchange(server, request(), request(), pause=0.06)
    assert answer.count(b'"result":5') == 2
    assert 0.1 < asyncio.get_running_loop().time() - started < 5
    await server.stop()


async def test_a_burst_over_a_websocket_is_answered_whole(server: RpcServer) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(server.url.replace("http", "ws")) as socket,
    ):
        for number in range(3_000):
            await socket.send_bytes(ECHO.replace(b'"id":1', b'"id":%d' % number))
        got = [orjson.loads((await socket.receive(10)).data)["id"] for _ in range(3_000)]
    assert got == list(range(3_000))
