"""A Stratum server's parts on a chain in memory: sessions without I/O, and a node that answers at once."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
from chaingen.pool_world import PoolWorld
from chaingen.specs import key

from ioex_chain.crypto.address import script_to_address
from ioex_chain.pow.block import Block
from ioex_chain.pow.ledger import PowHeadChanged
from ioex_chain.pow.stratum_jobs import JobBook
from ioex_chain.pow.stratum_session import Bench, FoundBlock, Session, SessionRules
from ioex_chain.pow.stratum_stats import ShareStats, StratumStats
from ioex_chain.pow.template import Template
from ioex_chain.primitives.types import BlockHash

T = TypeVar("T")
TAG = b"/test/"


def address_of(name: str, prefix: str = "riox") -> str:
    address = script_to_address(prefix, key(name).script)
    assert address is not None
    return address


class MemoryNode:
    """What the server needs of a node, over a PoolWorld, in the event loop's thread."""

    def __init__(self, world: PoolWorld) -> None:
        self.world = world
        self.submitted: list[Block] = []
        self._changed = asyncio.Event()
        world.ledger.subscribe(lambda _: self.wake())

    def wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def call(self, function: Callable[[], T]) -> T:
        return function()

    async def submit_block(self, block: Block) -> PowHeadChanged | None:
        self.submitted.append(block)
        return self.world.ledger.accept_block(block)

    async def wait_for_template_change(self, head: BlockHash, mempool_version: int, timeout: float) -> None:
        del mempool_version
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while self.world.ledger.head.hash == head and loop.time() < deadline:
            changed = self._changed
            try:
                async with asyncio.timeout_at(deadline):
                    await changed.wait()
            except TimeoutError:
                return


class Miner:
    """Speaks to a session as a miner does, and keeps all it was told."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.told: list[dict[str, Any]] = []
        self._id = 0

    def send(self, data: bytes) -> list[dict[str, Any]]:
        """Send bytes; give what came back."""
        return self.take(self.session.receive(data))

    def take(self, data: bytes) -> list[dict[str, Any]]:
        assert not data or data.endswith(b"\n")
        got = [orjson.loads(line) for line in data.splitlines()]
        self.told += got
        return got

    def call(self, method: str, *params: Any) -> dict[str, Any]:
        """Call a method; give its answer."""
        self._id += 1
        body = {"id": self._id, "method": method, "params": list(params)}
        answers = [got for got in self.send(orjson.dumps(body) + b"\n") if got["id"] == self._id]
        assert len(answers) == 1
        return answers[0]

    def result(self, method: str, *params: Any) -> Any:
        answer = self.call(method, *params)
        assert answer["error"] is None, answer
        return answer["result"]

    def error(self, method: str, *params: Any) -> tuple[int, str]:
        """Call what must be refused; give code and message."""
        answer = self.call(method, *params)
        assert answer["result"] is None
        assert answer["error"][2] is None
        return answer["error"][0], answer["error"][1]

    def last(self, method: str) -> list[Any]:
        """Give the parameters of the last notification of a kind."""
        return [got["params"] for got in self.told if got.get("method") == method][-1]

    def count(self, method: str) -> int:
        return sum(got.get("method") == method for got in self.told)


class StratumWorld:
    """Templates of a chain in memory, and sessions on them; time stands until it is moved."""

    def __init__(self, rules: SessionRules | None = None, world: PoolWorld | None = None) -> None:
        self.world = world or PoolWorld()
        self.time = 1000.0
        self.book = JobBook(TAG)
        self.stats = StratumStats(ShareStats(self.time))
        self.found: list[FoundBlock] = []
        self.bench = Bench(
            self.world.spec,
            rules or SessionRules(),
            self.book,
            self.stats,
            self.world.clock,
            lambda: self.time,
            self.found.append,
        )
        self.miners: list[Miner] = []

    def hand_out(self, template: Template | None = None) -> None:
        """Give everybody new work."""
        _, clean = self.book.add(template or self.world.builder.build())
        for miner in self.miners:
            miner.take(miner.session.work_changed(clean=clean))

    def connect(self) -> Miner:
        number = len(self.miners) + 0xA0B0C0D0
        self.miners.append(Miner(Session(self.bench, number.to_bytes(4, "big"))))
        return self.miners[-1]

    def join(self, name: str = "alice", worker: str = ".rig", password: str = "x") -> Miner:
        """Connect, subscribe and authorize."""
        miner = self.connect()
        miner.result("mining.subscribe", "test/1")
        assert miner.result("mining.authorize", address_of(name) + worker, password) is True
        return miner

    def advance(self, seconds: float) -> None:
        """Let time pass, by both clocks."""
        self.time += seconds
        self.world.clock.advance(int(seconds))
