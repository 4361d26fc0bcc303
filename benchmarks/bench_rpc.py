"""Requests per second of a trivial method over HTTP keep-alive: `python benchmarks/bench_rpc.py`.

The server runs in a process of its own, the load generator in this one, so each has one core. The generator
writes prepared bytes and counts whole answers; it costs far less than the server does. As reference points
the same load runs against a bare aiohttp handler that answers a constant, and against the standard library's
threaded HTTP server with `json`.
"""

import argparse
import asyncio
import json
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection

from aiohttp import web

from ioex_chain.rpc.dispatch import Dispatcher
from ioex_chain.rpc.registry import MethodTable, method
from ioex_chain.rpc.server import RpcServer

QUICK_ARGUMENTS = ("--seconds", "0.5")
BODY = b'{"jsonrpc":"2.0","method":"getblockcount","params":[],"id":1}'
ANSWER = b'{"jsonrpc":"2.0","result":123456,"id":1}'


class Api:
    @method("getblockcount", group="blockchain")
    def getblockcount(self) -> int:
        """Give the height of the best block."""
        return 123_456


async def start_ours() -> int:
    table = MethodTable()
    table.add_api(Api())
    server = RpcServer(Dispatcher(table))
    await server.start()
    return server.port


async def start_bare() -> int:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        return web.Response(body=ANSWER, content_type="application/json")

    server = await asyncio.get_running_loop().create_server(
        web.Server(answer, access_log=None), "127.0.0.1", 0
    )
    return int(server.sockets[0].getsockname()[1])


def serve_async(start: Callable[[], Awaitable[int]], ready: Connection) -> None:
    async def run() -> None:
        ready.send(await start())
        await asyncio.Event().wait()

    asyncio.run(run())


class StandardHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"jsonrpc": "2.0", "result": 123_456, "id": request["id"]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        return


def serve_standard(ready: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandardHandler)
    ready.send(server.server_address[1])
    server.serve_forever()


async def client(port: int, request: bytes, until: float) -> int:
    """Send one request after the other on one connection; count the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done = 0
    while time.perf_counter() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        body = await reader.readexactly(int(length.split(b":")[1]))
        assert b'"result"' in body, body
        done += 1
    writer.close()
    return done


async def load(port: int, body: bytes, connections: int, seconds: float) -> float:
    fields = (
        "POST / HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    head = "\r\n".join((*fields, "", ""))
    until = time.perf_counter() + seconds
    counts = await asyncio.gather(*(client(port, head.encode() + body, until) for _ in range(connections)))
    return sum(counts) / seconds


def measure(
    target: Callable[..., None], arguments: tuple[object, ...], body: bytes, options: argparse.Namespace
) -> float:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(*arguments, there), daemon=True)
    process.start()
    try:
        port = here.recv()
        asyncio.run(load(port, body, options.connections, 0.5))
        return asyncio.run(load(port, body, options.connections, options.seconds))
    finally:
        process.terminate()
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    batch = b"[" + b",".join([BODY] * 100) + b"]"
    rows = [
        ("ioex_chain RPC server", measure(serve_async, (start_ours,), BODY, options)),
        (
            "ioex_chain RPC server, batches of 100 (calls/s)",
            100 * measure(serve_async, (start_ours,), batch, options),
        ),
        ("bare aiohttp, constant answer", measure(serve_async, (start_bare,), BODY, options)),
        ("standard library, threaded, json", measure(serve_standard, (), BODY, options)),
    ]
    print(f"{options.connections} keep-alive connections, {options.seconds:g} s each")
    for name, rate in rows:
        print(f"{name:<50} {rate:>10,.0f} requests/s")


if __name__ == "__main__":
    main()
