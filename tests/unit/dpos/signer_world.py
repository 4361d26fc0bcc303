"""A machine for the signer: a disk and a marker in memory, a clock, and real keys."""

from dataclasses import replace

from unit.dpos.finality_world import BLANK

from ioex_chain.dpos.header import Header
from ioex_chain.dpos.journal import Journal
from ioex_chain.dpos.schedule import Schedule
from ioex_chain.dpos.signer import Signer, SigningKey
from ioex_chain.dpos.votes import Checkpoint, Link
from ioex_chain.primitives.types import BlockHash
from ioex_chain.spec.model import DposSpec

GENESIS = bytes([9]) * 32
SPEC = DposSpec(chain_id=1, block_time=10, seats=4, p2p_port=0, rpc_port=0, genesis_time=1_000_000)
SCHEDULE = Schedule(SPEC)
KEYS = [SigningKey(bytes([number]) * 32) for number in (1, 2, 3)]
ONE, TWO, THREE = (key.address for key in KEYS)


class MemoryFile:
    """A file that dies when it is told: `fails_in` writes from now, before or after it is done."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.damaged: bytes | None = None
        self.writes = 0
        self.dies_at: int | None = None
        self.keeps = 0
        self.error: type[BaseException] = OSError

    def _write(self, data: bytes, before: bytes) -> None:
        self.writes += 1
        if self.writes == self.dies_at:
            self.data = before + data[: self.keeps]
            raise self.error(28, "No space left on device")
        self.data = before + data

    def read(self) -> bytes | None:
        return self.data

    def append(self, data: bytes) -> None:
        assert self.data is not None
        self._write(data, self.data)

    def replace(self, data: bytes) -> None:
        self.writes += 1
        if self.writes == self.dies_at:
            raise self.error(28, "No space left on device")
        self.data = data

    def keep_damaged(self, data: bytes) -> str:
        self.damaged = data
        return "copy"


class MemoryMarker:
    def __init__(self) -> None:
        self.digest: bytes | None = None
        self.dies = False
        self.dies_in: int | None = None

    def read(self) -> bytes | None:
        return self.digest

    def write(self, digest: bytes) -> None:
        if self.dies_in is not None:
            self.dies_in -= 1
        if self.dies or self.dies_in == 0:
            raise Killed
        self.digest = digest


class Killed(BaseException):
    """The process is gone."""


class Machine:
    """Starts signers over one disk; `slot` is what the clock shows."""

    def __init__(self) -> None:
        self.file = MemoryFile()
        self.marker = MemoryMarker()
        self.slot = 100

    def now(self) -> float:
        return SCHEDULE.slot_start(self.slot) + 0.5

    def start(self, *, compact_at: int = 1 << 20, new_chain: bool = False) -> Signer:
        journal = Journal(self.file, self.marker, GENESIS, compact_at=compact_at)
        return Signer(KEYS, journal, GENESIS, SCHEDULE, self.now, window=SPEC.seats, is_new_chain=new_chain)

    def ready(self) -> Signer:
        """Start and listen until it may sign."""
        signer = self.start()
        self.listen(signer)
        return signer

    def listen(self, signer: Signer, tallest: int = 0) -> None:
        signer.tick(online=True, tallest=tallest)
        while signer.slots_left:
            self.slot += 1
            signer.tick(online=True, tallest=tallest)

    def header(self, slot: int | None = None, extra: bytes = b"") -> Header:
        return replace(
            BLANK, timestamp=SCHEDULE.slot_start(self.slot if slot is None else slot), extra_data=extra
        )


def hash_of(text: str) -> BlockHash:
    return BlockHash(text.encode().ljust(32, b"."))


def link(source: int, target: int, name: str = "", set_number: int = 0) -> Link:
    return Link(
        set_number, Checkpoint(hash_of(f"s{source}"), source), Checkpoint(hash_of(f"t{target}{name}"), target)
    )
