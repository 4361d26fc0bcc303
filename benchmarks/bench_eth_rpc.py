"""The DPoS port of a running devnet node: reads, calls, transactions, receipts and logs.

The node runs in a process of its own, blocks being produced meanwhile; the load generator, in this process,
writes prepared bytes over 32 keep-alive connections and counts whole answers.
"""

import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from eth_account import Account
from vyper import compile_code

from benchmarks.dpos_world import TOKEN_SOURCE
from benchmarks.report import Row, Table

CONNECTIONS = 32
CHAIN_ID = 51337
GWEI = 10**9
MNEMONIC = "test test test test test test test test test test test junk"
DEPLOY = (
    TOKEN_SOURCE
    + """
@deploy
def __init__():
    self.totalSupply = 10 ** 30
    self.balanceOf[msg.sender] = 10 ** 30
"""
)
_URL = re.compile(r"Ethereum\s+http://127\.0\.0\.1:(\d+)/")


@contextmanager
def devnet() -> Iterator[int]:
    """Run a devnet; give the port of its DPoS chain."""
    flags = ("--rpc-port", "0", "--dpos-rpc-port", "0", "--no-p2p", "--no-mine", "--no-metrics")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ioex_chain", "devnet", "--datadir", folder, *flags]
        process = subprocess.Popen(
            [*command, "--log-level", "error"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        try:
            found = next(match for line in process.stdout if (match := _URL.search(line)))
            yield int(found[1])
        finally:
            process.terminate()
            process.wait(30)


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        self._reader: asyncio.StreamReader | None = None

    async def post(self, body: bytes) -> bytes:
        if self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 26)
        self._writer.write(f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        return await self._reader.readexactly(int(length.split(b":")[1]))

    async def ask(self, method: str, *params: object) -> Any:
        answer = orjson.loads(await self.post(request(method, *params)))
        assert "error" not in answer, answer
        return answer["result"]


def request(method: str, *params: object) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


async def per_second(port: int, bodies: Sequence[bytes], seconds: float) -> float:
    """Send the bodies in turn over all connections; give answers per second."""

    async def one(start: int) -> int:
        connection, done = Connection(port), 0
        while time.perf_counter() < until:
            answer = await connection.post(bodies[(start + done) % len(bodies)])
            assert b'"result"' in answer, answer
            done += 1
        return done

    until = time.perf_counter() + seconds
    return sum(await asyncio.gather(*map(one, range(CONNECTIONS)))) / seconds


async def milliseconds(connection: Connection, runs: int, method: str, *params: object) -> list[float]:
    figures = []
    for _ in range(runs):
        start = time.perf_counter()
        await connection.post(request(method, *params))
        figures.append(1_000 * (time.perf_counter() - start))
    return figures


class Sender:
    """A funded account of the devnet that signs ahead."""

    def __init__(self, key: Any) -> None:
        self.key, self.nonce = key, 0

    def sign(self, **fields: Any) -> bytes:
        values = {"chainId": CHAIN_ID, "nonce": self.nonce, "gasPrice": 50 * GWEI, "value": 0} | fields
        self.nonce += 1
        return bytes(self.key.sign_transaction(values).raw_transaction)


async def deploy(connection: Connection, sender: Sender) -> str:
    code = compile_code(DEPLOY, output_formats=["bytecode"])["bytecode"]
    raw = sender.sign(data=code, gas=2_000_000)
    hash_ = await connection.ask("eth_sendRawTransaction", "0x" + raw.hex())
    while (receipt := await connection.ask("eth_getTransactionReceipt", hash_)) is None:
        await asyncio.sleep(0.1)
    address: str = receipt["contractAddress"]
    return address


async def send_all(port: int, raws: Sequence[bytes], watch: Connection) -> tuple[float, float, str]:
    """Send transactions; give those accepted per second, those mined per second, and the fullest block."""
    bodies = [request("eth_sendRawTransaction", "0x" + raw.hex()) for raw in raws]
    waiting = iter(bodies)
    first = int(await watch.ask("eth_blockNumber"), 16)

    async def one() -> None:
        connection = Connection(port)
        for body in waiting:
            answer = await connection.post(body)
            assert b'"result"' in answer, answer

    start = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    accepted = len(raws) / (time.perf_counter() - start)
    mined, height, fullest = 0, first, (0, "0x0")
    while mined < len(raws):
        height += 1
        while (count := await watch.ask("eth_getBlockTransactionCountByNumber", hex(height))) is None:
            await asyncio.sleep(0.05)
        mined += int(count, 16)
        fullest = max(fullest, (int(count, 16), hex(height)))
        assert time.perf_counter() - start < 120, f"{mined} of {len(raws)} are mined after 120 s"
    return accepted, len(raws) / (time.perf_counter() - start), fullest[1]


async def measure(port: int, quick: bool) -> list[Row]:
    """Take all figures."""
    seconds, count = (0.5, 200) if quick else (4.0, 5_000)
    Account.enable_unaudited_hdwallet_features()
    keys = [Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{n}") for n in range(8)]
    senders = [Sender(key) for key in keys]
    watch = Connection(port)
    token = await deploy(watch, senders[0])
    owner = keys[0].address
    reads = [
        request("eth_blockNumber"),
        request("eth_getBalance", owner, "latest"),
        request("eth_getBlockByNumber", "latest", False),
    ]
    balance = "0x70a08231" + "00" * 12 + owner[2:].lower()
    rows = [
        Row(
            f"reads/s, {CONNECTIONS} connections",
            [await per_second(port, reads, seconds)],
            "/s",
            10_000,
            True,
        ),
        Row(
            "eth_call balanceOf/s",
            [
                await per_second(
                    port, [request("eth_call", {"to": token, "data": balance}, "latest")], seconds
                )
            ],
            "/s",
            1_000,
            True,
        ),
    ]
    receiver, contract = bytes.fromhex("aa" * 20), bytes.fromhex(token[2:])
    plain = [senders[n % 8].sign(to=receiver, value=1, gas=21_000) for n in range(count)]
    accepted, mined, full = await send_all(port, plain, watch)
    rows.append(Row("plain transfers accepted", [accepted], "/s", 1_000, True))
    rows.append(Row("plain transfers mined, none missing", [mined], "/s", 1_000, True))
    got = await milliseconds(watch, 3, "eth_getBlockReceipts", full)
    rows.append(Row("receipts of the fullest block", got, "ms", 200))
    transfer = "0xa9059cbb" + "00" * 12 + "aa" * 20 + f"{1:064x}"
    tokens = [senders[0].sign(to=contract, data=transfer, gas=100_000) for _ in range(count)]
    accepted, mined, _ = await send_all(port, tokens, watch)
    rows.append(Row("ERC-20 transfers accepted", [accepted], "/s", 700, True))
    rows.append(Row("ERC-20 transfers mined, none missing", [mined], "/s", 700, True))
    query = {"fromBlock": "0x0", "toBlock": "latest", "address": token}
    assert len(await watch.ask("eth_getLogs", query)) == count
    rows.append(Row(f"eth_getLogs of {count}", await milliseconds(watch, 5, "eth_getLogs", query), "ms", 50))
    return rows


def run(quick: bool) -> list[Table]:
    """Give the table."""
    with devnet() as port:
        rows = asyncio.run(measure(port, quick))
    return [Table("Ethereum port of a devnet node", rows, ["blocks of 1 s, four arbitrators in the node"])]
