"""What one connection was given to mine, and whether what comes back is a share of it."""

from typing import Any, NamedTuple

from ioex_chain.crypto.hashes import sha256d
from ioex_chain.pow import stratum as wire
from ioex_chain.pow.stratum_jobs import EXTRANONCE2_SIZE, JobBook, Share, StratumWork
from ioex_chain.pow.template import NATIVE_VERSION
from ioex_chain.pow.vardiff import DIFFICULTY_1, Vardiff, difficulty_at, hardest_share, target_at
from ioex_chain.primitives.clock import Clock

MAX_SEEN = 512
"""Shares of a head that a connection's duplicates are looked for in."""
MAX_ROLL = 600
"""Seconds that a share's time may be after its job's."""


class _Sent(NamedTuple):
    """A job as this connection was given it."""

    work: StratumWork
    time: int
    target: int
    """The largest hash that is a share."""


class Taken(NamedTuple):
    """A share that counts."""

    work: StratumWork
    share: Share
    difficulty: float
    """What was asked for."""
    reached: float
    """The difficulty of its hash."""
    is_block: bool


class ShareBook:
    """One connection's jobs and shares."""

    def __init__(
        self, book: JobBook, vardiff: Vardiff, clock: Clock, max_future: int, extranonce1: bytes
    ) -> None:
        """`max_future` is the network's limit for header times ahead of the clock, in seconds."""
        self._book = book
        self._vardiff = vardiff
        self._clock = clock
        self._max_future = max_future
        self._extranonce1 = extranonce1
        self.version_mask = 0
        """Version bits that the miner may roll."""
        self.owes_job = False
        """Whether the miner waits for work with a difficulty that was changed within the same second."""
        self._told = 0.0
        self._told_target = 0
        self._sent: dict[str, _Sent] = {}
        self._seen: dict[bytes, None] = {}
        self._last: _Sent | None = None

    # --- jobs --------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget everything: there is a new head."""
        self._sent.clear()
        self._seen.clear()

    def assign(self, payout_script: bytes, *, clean: bool) -> bytes:
        """Give the newest work as it was made; nothing when there is none, or when it was given."""
        work = self._book.latest
        if work is None or f"{work.number:x}" in self._sent:
            return b""
        return self._send(f"{work.number:x}", work, work.time, payout_script, clean=clean)

    def reassign(self, payout_script: bytes) -> bytes:
        """Give the newest work again for a new difficulty.

        It gets a later time, so that no hash is found twice; within the same second that must wait.
        """
        work, time = self._book.latest, self._clock.now()
        if work is None or self._last is None:
            return b""
        if self._last.work is work and time <= self._last.time:
            self.owes_job = True
            return b""
        if not work.time < time <= work.time + MAX_ROLL:
            return b""
        job_id = f"{work.number:x}.{time - work.time:x}"
        return self._send(job_id, work, time, payout_script, clean=False)

    def _send(self, job_id: str, work: StratumWork, time: int, payout_script: bytes, *, clean: bool) -> bytes:
        difficulty = self._vardiff.limit(hardest_share(work.template.target))
        told = b""
        if difficulty != self._told:
            told = wire.encode_call("mining.set_difficulty", [_number(difficulty)])
            self._told, self._told_target = difficulty, target_at(difficulty)
        self.owes_job = False
        self._last = self._sent[job_id] = _Sent(work, time, self._told_target)
        while not self._book.holds(next(iter(self._sent.values())).work):
            del self._sent[next(iter(self._sent))]
        return told + work.notify(job_id, payout_script, time, clean=clean)

    # --- shares ------------------------------------------------------------------------------------------

    def take(self, params: list[Any], payout_script: bytes) -> Taken:
        """Judge the parameters of mining.submit. Raises StratumError, one class per broken rule."""
        if len(params) not in (5, 6):
            raise wire.BadRequest("mining.submit takes worker, job, extranonce2, time, nonce, version bits")
        sent = self._job(wire.text_at(params, 1, "the job's id"))
        share = self._read(params, sent)
        digest = sha256d(sent.work.core(payout_script, share))
        if digest in self._seen:
            raise wire.DuplicateShare("this share was counted already")
        number = int.from_bytes(digest, "little")
        # Until it takes up the newest job, a miner goes by the difficulty of its own or by the one told last.
        target = sent.target if number <= sent.target else max(sent.target, self._told_target)
        reached, asked = difficulty_at(number), DIFFICULTY_1 / target
        is_block = number <= sent.work.template.target
        if number > target and not is_block:
            raise wire.LowDifficulty(f"the share has difficulty {reached:.6g}, {asked:.6g} is asked")
        self._seen[digest] = None
        if len(self._seen) > MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        return Taken(sent.work, share, asked, reached, is_block)

    def _job(self, job_id: str) -> _Sent:
        sent = self._sent.get(job_id)
        if sent is not None and self._book.holds(sent.work):
            return sent
        if sent is not None or self._was_dropped(job_id):
            raise wire.StaleShare("stale: this job's head is no longer the best, or it is too old")
        raise wire.JobNotFound("no such job")

    def _was_dropped(self, job_id: str) -> bool:
        """Whether an id is of work that was given once and is held no more."""
        try:
            number = int(job_id.partition(".")[0], 16)
        except ValueError:
            return False
        return 0 < number < self._book.first_number

    def _read(self, params: list[Any], sent: _Sent) -> Share:
        extranonce2 = wire.hex_of(params[2], EXTRANONCE2_SIZE, "extranonce2")
        time = int.from_bytes(wire.hex_of(params[3], 4, "the time"), "big")
        nonce = int.from_bytes(wire.hex_of(params[4], 4, "the nonce"), "big")
        version = self._version(params[5]) if len(params) == 6 else NATIVE_VERSION
        self._check_time(time, sent)
        return Share(self._extranonce1 + extranonce2, time, nonce, version)

    def _check_time(self, time: int, sent: _Sent) -> None:
        first = sent.work.template.min_time
        last = min(sent.time + MAX_ROLL, self._clock.now() + self._max_future)
        if not first <= time <= last:
            raise wire.BadShareTime(f"the time is {time}, this job takes {first} to {last}")

    def _version(self, bits: Any) -> int:
        """Put rolled bits into the version (BIP 310). Bit 8, merged mining's, is never among them."""
        rolled = int.from_bytes(wire.hex_of(bits, 4, "version bits"), "big")
        if rolled & ~self.version_mask:
            raise wire.BadShareVersion(
                f"version bits {rolled:08x} are outside of the mask {self.version_mask:08x}"
            )
        return NATIVE_VERSION & ~self.version_mask | rolled


def _number(difficulty: float) -> float | int:
    """Write whole difficulties without a point: some firmware reads nothing else."""
    return int(difficulty) if difficulty >= 1 and difficulty.is_integer() else difficulty
