"""A Stratum v1 miner with nothing of ours in it: it reads and hashes as pooler's cpuminer does.

It is strict where real miners are: field lengths, types, set_difficulty before the first job.
"""

import asyncio
import json
import struct
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Self

AGENT = "test-miner/1.0"


def sha256d(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


def target_of(difficulty: float) -> int:
    """cpuminer's diff_to_target, in its floating point: 64 significant bits at the top."""
    word = 6
    while word > 0 and difficulty > 1.0:
        difficulty /= 4294967296.0
        word -= 1
    number = int(4294901760.0 / difficulty)
    assert number < 1 << 64, "the difficulty is too low for a miner's 64 bits"
    return number << 32 * word


@dataclass
class Job:
    """mining.notify, checked."""

    id: str
    previous: bytes
    front: bytes
    back: bytes
    branch: list[bytes]
    version: int
    bits: str
    time: int
    clean: bool
    target: int

    @classmethod
    def read(cls, params: list[Any], difficulty: float) -> "Job":
        name, previous, front, back, branch, version, bits, time, clean = params
        assert isinstance(name, str)
        assert all(len(word) == 8 for word in (version, bits, time))
        assert len(previous) == 64
        assert isinstance(clean, bool)
        return cls(
            name,
            bytes.fromhex(previous),
            bytes.fromhex(front),
            bytes.fromhex(back),
            [bytes.fromhex(node) for node in branch],
            int(version, 16),
            bits,
            int(time, 16),
            clean,
            target_of(difficulty),
        )

    def header(self, extranonce: bytes, nonce: int, time: int | None = None) -> bytes:
        """Put the header together as cpuminer's stratum_gen_work does."""
        root = sha256d(self.front + extranonce + self.back)
        for node in self.branch:
            root = sha256d(root + node)
        words = struct.unpack("<8I", self.previous)
        head = struct.pack("<I", self.version) + struct.pack(">8I", *words) + root
        bits = int(self.bits, 16)
        return head + struct.pack("<III", self.time if time is None else time, bits, nonce)


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, error: list[Any]) -> None:
        super().__init__(f"{error[0]}: {error[1]}")
        self.code = error[0]


@dataclass
class StratumClient:
    """One connection. `jobs` are all that came; the last is what to mine."""

    host: str
    port: int
    user: str
    extranonce1: bytes = b""
    size2: int = 0
    difficulty: float = 1.0
    jobs: list[Job] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    accepted: int = 0
    refused: dict[int, int] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self.host, self.port)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._news = asyncio.Event()
        self._told = False
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()

    async def enter(self, password: str = "x") -> None:
        """Subscribe and authorize. Raises Refused."""
        names, extranonce1, self.size2 = await self.call("mining.subscribe", AGENT)
        assert {name for name, _ in names} == {"mining.set_difficulty", "mining.notify"}
        self.extranonce1 = bytes.fromhex(extranonce1)
        assert 0 < self.size2 <= 100
        assert await self.call("mining.authorize", self.user, password) is True

    async def call(self, method: str, *params: Any, within: float = 10.0) -> Any:
        """Call and wait for the answer. Raises Refused."""
        self._number += 1
        waiting = self._answers[self._number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": self._number, "method": method, "params": list(params)})
        self._writer.write(line.encode() + b"\n")
        return await asyncio.wait_for(waiting, within)

    async def next_job(self, after: int = 0, within: float = 10.0) -> Job:
        """Wait until more than `after` jobs came; give the newest."""
        async with asyncio.timeout(within):
            while len(self.jobs) <= after:
                self._news.clear()
                await self._news.wait()
        return self.jobs[-1]

    def solve(self, job: Job, extranonce2: int, start: int = 0) -> int:
        """Give a nonce from `start` on whose hash is a share."""
        extranonce = self.extranonce1 + extranonce2.to_bytes(self.size2, "little")
        core = job.header(extranonce, 0)[:76]
        for nonce in range(start, 1 << 32):
            if int.from_bytes(sha256d(core + struct.pack("<I", nonce)), "little") <= job.target:
                return nonce
        raise AssertionError("no nonce is a share")

    async def submit(self, job: Job, extranonce2: int, nonce: int, **changes: Any) -> bool:
        """Submit a share; False when it is refused, which is counted by its code."""
        params = {
            "user": self.user,
            "job": job.id,
            "extranonce2": extranonce2.to_bytes(self.size2, "little").hex(),
            "time": f"{job.time:08x}",
            "nonce": f"{nonce:08x}",
            **changes,
        }
        try:
            done = await self.call("mining.submit", *params.values())
        except Refused as error:
            self.refused[error.code] = self.refused.get(error.code, 0) + 1
            return False
        assert done is True
        self.accepted += 1
        return True

    async def _read(self) -> None:
        while line := await self._reader.readline():
            message = json.loads(line)
            if message.get("method") is None:
                waiting = self._answers.pop(message["id"])
                if waiting.done():
                    continue
                if message["error"] is not None:
                    waiting.set_exception(Refused(message["error"]))
                else:
                    waiting.set_result(message["result"])
            else:
                self._told_of(message)

    def _told_of(self, message: dict[str, Any]) -> None:
        params = message["params"]
        if message["method"] == "mining.set_difficulty":
            assert params[0] > 0
            self.difficulty = params[0]
            self._told = True
        elif message["method"] == "mining.notify":
            assert self._told, "a job came before the first difficulty"
            self.jobs.append(Job.read(params, self.difficulty))
            self._news.set()
        elif message["method"] == "client.show_message":
            self.messages.append(params[0])
