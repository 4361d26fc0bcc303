import asyncio
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from aiohttp import web
from rpc_sample import table

from ioex_chain.rpc.auth import Authenticator, CookieFile, Credential
from ioex_chain.rpc.client import (
    RpcCallError,
    RpcClient,
    RpcProtocolError,
    RpcUnauthorized,
    RpcUnreachable,
    SyncRpcClient,
)
from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.limits import Limits
from ioex_chain.rpc.server import RpcServer
from ioex_chain.rpc.subscriptions import Subscriptions, Topic

HASH = "ab" * 32


def make(*credentials: Credential, **options: Any) -> tuple[RpcServer, Subscriptions]:
    _, methods = table()
    hub = Subscriptions([Topic("heads", "New heads.")])
    hub.add_methods(methods)
    dispatcher = Dispatcher(methods, limits=Limits(auth_failure_seconds=0.0), **options)
    return RpcServer(dispatcher, None, Authenticator(credentials), hub), hub


async def test_calls_by_position_by_name_and_both() -> None:
    server, _ = make()
    await server.start()
    async with RpcClient(server.url) as client:
        assert await client.call("getblock", HASH, 2) == {"hash": HASH, "verbosity": 2}
        assert await client.call("getblock", blockhash=HASH) == {"hash": HASH, "verbosity": 1}
        assert await client.call("getblock", HASH, verbosity=3) == {"hash": HASH, "verbosity": 3}
        with pytest.raises(RpcCallError) as caught:
            await client.call("missing")
        assert (caught.value.code, caught.value.data) == (-32603, caught.value.data)
        results = await client.batch([("echo", [1]), ("nothing", []), ("echo", [0.1])])
        assert results[0] == 1
        assert isinstance(results[1], RpcCallError)
        assert results[2] == Decimal("0.1")
        assert await client.batch([]) == []
    await server.stop()


async def test_the_cookie_is_read_again_when_the_node_renewed_it(tmp_path: Path) -> None:
    cookie = CookieFile(tmp_path / ".cookie")
    stale = cookie.create()
    async with RpcClient("http://unused", cookie=cookie.path) as client:
        for _ in range(2):
            server, _ = make(cookie.create())
            await server.start()
            client.url = server.url
            assert (await client.call("pay", "a", "0.00000001"))["amount"] == Decimal("0.00000001")
            await server.stop()
    async with RpcClient("http://unused", credential=stale) as client:
        server, _ = make(cookie.create())
        await server.start()
        client.url = server.url
        with pytest.raises(RpcUnauthorized, match="datadir"):
            await client.call("echo")
        await server.stop()


async def test_an_unreachable_node_is_named_with_what_to_do() -> None:
    server, _ = make()
    await server.start()
    url = server.url
    await server.stop()
    async with RpcClient(url) as client:
        with pytest.raises(RpcUnreachable, match="ioex node") as caught:
            await client.call("echo")
        assert url in str(caught.value)
        with pytest.raises(RpcUnreachable):
            await anext(client.subscribe("heads"))


async def test_what_is_no_rpc_port_is_said() -> None:
    async def hello(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="hello")

    listener = await asyncio.get_running_loop().create_server(web.Server(hello), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with RpcClient(f"http://127.0.0.1:{port}/") as client:
        with pytest.raises(RpcProtocolError, match="RPC port"):
            await client.call("echo")
    listener.close()


async def test_a_slow_answer_times_out() -> None:
    server, _ = make()
    await server.start()
    async with RpcClient(server.url, timeout=0.05) as client:
        with pytest.raises(RpcUnreachable, match="timed out"):
            await client.call("longpoll")
    await server.stop(0.01)


async def test_subscribe_yields_events_until_the_node_goes() -> None:
    server, hub = make()
    await server.start()
    async with RpcClient(server.url) as client:
        connected = asyncio.Event()
        events = client.subscribe("heads", connected=connected)
        first = asyncio.create_task(anext(events))
        await connected.wait()
        hub.publish("heads", {"height": 1})
        assert await first == {"height": 1}
        with pytest.raises(RpcCallError):
            await anext(client.subscribe("nothing"))
        await server.stop(0.01)
        with pytest.raises(RpcUnreachable):
            await anext(events)


def test_the_synchronous_client() -> None:
    server, _ = make()
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(5)
        with SyncRpcClient(server.url) as client:
            assert client.call("echo", "x") == "x"
            assert client.call("echo", value="y") == "y"
            assert client.batch([("echo", [1]), ("echo", [2])]) == [1, 2]
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
