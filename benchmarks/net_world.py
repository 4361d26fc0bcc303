"""Chains for `bench_network`, and the processes of a small network that run on copies of them."""

import base64
import http.client
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from ioex_chain.ledger.store import LevelStore
from ioex_chain.node.build import open_ledger
from ioex_chain.pow.block import Block
from tests.chaingen.builder import ChainBuilder, Funds
from tests.chaingen.specs import story_spec

from .worlds import FEE, KEYS, key_hash


def write_chain(folder: Path, chain: ChainBuilder, blocks: Sequence[Block]) -> None:
    """Put blocks into a database in `folder`, with the time at which they are not too new."""
    folder.mkdir(parents=True)
    store = LevelStore(folder / "db", create=True)
    ledger = open_ledger(chain.spec, store, chain.clock)
    for block in blocks:
        ledger.accept_block(block, sync=False)
    ledger.flush()
    assert ledger.head.height == len(blocks)
    store.close()
    (folder / "facts").write_text(json.dumps({"time": chain.clock.time}))


def empty_folder(folder: Path, like: Path) -> Path:
    """Make a folder without a chain and with the same time."""
    folder.mkdir(parents=True)
    shutil.copy(like / "facts", folder / "facts")
    return folder


def small_chain(folder: Path, count: int) -> Path:
    """Make a chain of blocks with a coinbase and one payment."""
    chain = ChainBuilder(story_spec())
    blocks = chain.warm_up()
    coin = chain.take()
    while len(blocks) < count:
        pay = chain.spend(coin, [(coin.value - FEE, chain.miner)])
        coin = chain.funds(pay)
        blocks.append(chain.block(blocks[-1], [pay]))
    write_chain(folder, chain, blocks)
    return folder


def full_chain(folder: Path, count: int, transactions: int) -> Path:
    """Make a chain whose last `count` blocks are full: each spends the outputs of the one before."""
    chain = ChainBuilder(story_spec())
    owners = [key_hash(number) for number in range(KEYS)]
    blocks = chain.warm_up()
    source = chain.take()
    share = (source.value - FEE) // transactions
    fan = chain.spend(source, [(share, owners[at % KEYS]) for at in range(transactions - 1)])
    blocks.append(chain.block(blocks[-1], [fan]))
    coins: list[Funds] = list(chain.all_funds(fan))
    for _ in range(count):
        body = [
            chain.spend(coin, [(coin.value - FEE, owners[(at * 7) % KEYS])]) for at, coin in enumerate(coins)
        ]
        coins = [chain.funds(tx) for tx in body]
        blocks.append(chain.block(blocks[-1], body))
    write_chain(folder, chain, blocks)
    return folder


class NetNode:
    """A node process of the benchmark."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.net_node", str(folder), *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        facts = self.line()
        self.port = int(facts["rpc"].rstrip("/").rpartition(":")[2])
        self.p2p = facts["p2p"]

    def line(self) -> dict[str, Any]:
        """Read what it says next."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def rpc(self, method: str, *params: Any) -> Any:
        answer = self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def post(self, body: Any) -> Any:
        cookie = base64.b64encode((self.folder / "devnet" / ".cookie").read_bytes()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        headers = {"Authorization": f"Basic {cookie}", "Content-Type": "application/json"}
        connection.request("POST", "/", json.dumps(body), headers)
        return json.loads(connection.getresponse().read())

    def send_all(self, raws: Sequence[str], size: int = 500) -> None:
        """Hand in transactions."""
        for start in range(0, len(raws), size):
            batch = [
                {"jsonrpc": "2.0", "id": at, "method": "sendrawtransaction", "params": [raw]}
                for at, raw in enumerate(raws[start : start + size])
            ]
            failed = [answer for answer in self.post(batch) if "error" in answer]
            assert not failed, failed[0]

    def memory(self) -> float:
        """Give resident MiB of the node's own process."""
        return psutil.Process(self.process.pid).memory_info().rss / (1 << 20)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def until(what: Callable[[], bool], seconds: float = 600, pause: float = 0.02) -> float:
    """Wait; give how long it took."""
    began = time.perf_counter()
    while not what():
        if time.perf_counter() - began > seconds:
            raise TimeoutError("the benchmark's network did not get there")
        time.sleep(pause)
    return time.perf_counter() - began
