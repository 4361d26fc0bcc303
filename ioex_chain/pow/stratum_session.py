"""One miner's Stratum session without I/O: bytes in, bytes out, and a word when it is to be closed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ioex_chain.crypto.address import InvalidAddress, address_to_script
from ioex_chain.pow import stratum as wire
from ioex_chain.pow.stratum_configure import configure
from ioex_chain.pow.stratum_jobs import EXTRANONCE2_SIZE, JobBook, Share, StratumWork
from ioex_chain.pow.stratum_shares import ShareBook
from ioex_chain.pow.stratum_stats import ShareStats, StratumStats, WorkerStats, count
from ioex_chain.pow.vardiff import Vardiff, VardiffRules, difficulty_at, hardest_share
from ioex_chain.primitives.clock import Clock
from ioex_chain.spec.model import NetworkSpec

MAX_GARBAGE = 10
"""Lines that are no requests before the connection ends."""
MAX_BAD_SHARES = 500
"""Wrong shares in a row (late ones are none) before the connection ends."""
MAX_WORKERS = 4
"""Worker names on one connection."""
MAX_WORKER_NAME = 64
_CALL_ID = "ioex-version"


@dataclass(frozen=True, slots=True)
class SessionRules:
    """What a connection may do. Times in seconds."""

    vardiff: VardiffRules = field(default_factory=VardiffRules)
    authorize_within: float = 60.0
    silent_after: float = 600.0
    """A miner that says nothing for so long is gone."""
    message_every: float = 10.0
    """Least time between two messages that a miner shows to its owner."""


class FoundBlock(NamedTuple):
    """A share that meets the network's target."""

    work: StratumWork
    payout_script: bytes
    share: Share
    session: "Session"
    owners: tuple[WorkerStats, WorkerStats]
    """The figures of its worker and of its address."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all sessions of a server share."""

    spec: NetworkSpec
    rules: SessionRules
    book: JobBook
    stats: StratumStats
    clock: Clock
    now: Callable[[], float]
    found: Callable[[FoundBlock], None]
    """Called at once for every share that is a block."""


class Session:
    """One connection. Feed it with `receive`, `work_changed` and `tick`; write what they give.

    `closing` tells why the connection must end, once it must.
    """

    def __init__(self, bench: Bench, extranonce1: bytes) -> None:
        """`extranonce1` (4 bytes) is no other connection's."""
        self._bench = bench
        self._lines = wire.LineReader()
        self._now = bench.now()
        self._started = self._heard = self._now
        self.extranonce1 = extranonce1
        self.stats = ShareStats(self._now)
        self.vardiff = Vardiff(bench.rules.vardiff, self._now)
        self._shares = ShareBook(
            bench.book, self.vardiff, bench.clock, bench.spec.pow.max_future, extranonce1
        )
        self.agent = ""
        self.closing = ""
        self.messages = 0
        self.payout_script = b""
        """Whom this connection's blocks pay; empty until a worker is authorized."""
        self.workers: dict[str, tuple[WorkerStats, WorkerStats]] = {}
        self._subscribed = False
        self._garbage = 0
        self._bad_shares = 0
        self._shown = -1e9
        self._after: list[bytes] = []
        self._methods: dict[str, Callable[[list[Any]], Any]] = {
            "mining.submit": self._submit,
            "mining.subscribe": self._subscribe,
            "mining.authorize": self._authorize,
            "mining.configure": self._configure,
            "mining.extranonce.subscribe": self._subscribe_extranonce,
            "mining.suggest_difficulty": self._suggest_difficulty,
            "mining.suggest_target": self._suggest_target,
            "mining.ping": lambda _: "pong",
        }

    # --- bytes -------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the miner; give what to answer. Sets `closing` when there is no use in going on."""
        self._now = self._bench.now()
        try:
            lines = self._lines.feed(data)
        except wire.LineTooLong as error:
            self._close(error.reason)
            return wire.encode_error(None, error)
        out: list[bytes] = []
        for line in lines:
            out.append(self._answer(line))
            out += self._after
            self._after.clear()
            if self.closing:
                break
        return b"".join(out)

    def _answer(self, line: bytes) -> bytes:
        self.messages += 1
        self._heard = self._now
        try:
            message = wire.read_message(line)
        except wire.BadRequest as error:
            self._garbage += 1
            if self._garbage > MAX_GARBAGE:
                self._close("garbage")
            count(self._bench.stats.protocol_errors, error.reason)
            return wire.encode_error(wire.id_of(line), error)
        if isinstance(message, wire.Response):
            self._take_response(message)
            return b""
        method = self._methods.get(message.method)
        try:
            if method is None:
                raise wire.unknown(message.method)
            return wire.encode_result(message.id, method(message.params))
        except wire.StratumError as error:
            self._count_refused(message.method, error)
            return wire.encode_error(message.id, error)

    def _take_response(self, message: wire.Response) -> None:
        if message.id == _CALL_ID and isinstance(message.result, str):
            self.agent = message.result[:MAX_WORKER_NAME]

    def _count_refused(self, method: str, error: wire.StratumError) -> None:
        if method != "mining.submit":
            count(self._bench.stats.protocol_errors, error.reason)
            return
        self._bench.stats.total.refuse(error.reason)
        self.stats.refuse(error.reason)
        if not isinstance(error, wire.StaleShare):
            self._bad_shares += 1
            if self._bad_shares >= MAX_BAD_SHARES:
                self._close("bad-shares")

    def _close(self, reason: str) -> None:
        self.closing = self.closing or reason

    # --- getting in --------------------------------------------------------------------------------------

    def _subscribe(self, params: list[Any]) -> list[Any]:
        """Give the subscription; a session id to resume is ignored, as extra nonces are never reused."""
        if params and isinstance(params[0], str):
            self.agent = params[0][:MAX_WORKER_NAME]
        self._subscribed = True
        name = self.extranonce1.hex()
        return [[["mining.set_difficulty", name], ["mining.notify", name]], name, EXTRANONCE2_SIZE]

    def _authorize(self, params: list[Any]) -> bool:
        if not self._subscribed:
            raise wire.NotSubscribed("call mining.subscribe first")
        user = wire.text_at(params, 0, "the worker's name")
        if user in self.workers:
            return True
        script = self._payout(user)
        if self.payout_script and script != self.payout_script:
            raise wire.Unauthorized("a connection pays one address; open another one for this worker")
        if len(self.workers) >= MAX_WORKERS:
            raise wire.Unauthorized(f"a connection has at most {MAX_WORKERS} workers")
        stats, first = self._bench.stats, not self.workers
        self.workers[user] = stats.join(user, user.partition(".")[0].lower(), self._now)
        self.payout_script = script
        if first:
            stats.authorized += 1
            self._suggest_by_password(params)
            if not self.agent:
                self._after.append(wire.encode_call("client.get_version", [], _CALL_ID))
            self._after.append(self._shares.assign(script, clean=True))
        return True

    def _payout(self, user: str) -> bytes:
        address, _, worker = user.partition(".")
        if len(worker) > MAX_WORKER_NAME or not worker.isprintable():
            raise wire.Unauthorized(f"a worker's name has at most {MAX_WORKER_NAME} printable letters")
        try:
            return address_to_script(self._bench.spec.pow.address_prefix, address)
        except InvalidAddress as error:
            raise wire.Unauthorized(
                f"the user name is an {self._bench.spec.name} address, optionally with .worker: {error}"
            ) from None

    def _suggest_by_password(self, params: Sequence[Any]) -> None:
        """Heed `d=NUMBER` in the password, which many miners' pages tell their users to write."""
        password = params[1] if len(params) > 1 and isinstance(params[1], str) else ""
        for part in password.split(","):
            name, _, value = part.strip().partition("=")
            if name in ("d", "diff"):
                try:
                    self.vardiff.suggest(wire.difficulty_of_params([float(value)]), self._now)
                except (ValueError, wire.BadRequest):
                    continue

    def _configure(self, params: list[Any]) -> dict[str, Any]:
        answer = configure(params)
        if answer.minimum_difficulty:
            self.vardiff.require(answer.minimum_difficulty)
            self._retell()
        if answer.version_mask is not None:
            self._shares.version_mask = answer.version_mask
        return answer.result

    def _subscribe_extranonce(self, _params: list[Any]) -> bool:
        return True  # it never changes while a connection lasts

    def _suggest_difficulty(self, params: list[Any]) -> bool:
        self.vardiff.suggest(wire.difficulty_of_params(params), self._now)
        self._retell()
        return True

    def _suggest_target(self, params: list[Any]) -> bool:
        try:
            target = int(wire.text_at(params, 0, "the target"), 16)
        except ValueError:
            raise wire.BadRequest("a target is 64 hex digits") from None
        if not 0 < target < 1 << 256:
            raise wire.BadRequest("a target is 64 hex digits, above zero")
        self.vardiff.suggest(difficulty_at(target), self._now)
        self._retell()
        return True

    # --- jobs and shares ---------------------------------------------------------------------------------

    def work_changed(self, *, clean: bool, urgent: bool = False) -> bytes:
        """Give what to send now that there is new work; `clean` when all earlier work is worth nothing.

        `urgent` work is to be begun at once as well, but shares of earlier work are good.
        """
        if clean:
            self._shares.clear()
        return self._shares.assign(self.payout_script, clean=clean or urgent) if self.workers else b""

    def tick(self) -> bytes:
        """Look at the time, about once a second: give what to send, or set `closing`."""
        now = self._now = self._bench.now()
        rules = self._bench.rules
        if not self.workers and now - self._started > rules.authorize_within:
            self._close("not-authorized")
        elif now - self._heard > rules.silent_after:
            self._close("silent")
        elif self.workers and (self._wants_other_difficulty() or self._shares.owes_job):
            return self._shares.reassign(self.payout_script)
        return b""

    def _wants_other_difficulty(self) -> bool:
        work = self._bench.book.latest
        return work is not None and self.vardiff.retarget(self._now, hardest_share(work.template.target))

    def _retell(self) -> None:
        """After a wish of the miner: the new difficulty, with work to which it holds."""
        if self.workers:
            self._after.append(self._shares.reassign(self.payout_script))

    def _submit(self, params: list[Any]) -> bool:
        if not self._subscribed:
            raise wire.NotSubscribed("call mining.subscribe first")
        found = self.workers.get(params[0]) if params and isinstance(params[0], str) else None
        if found is None:
            raise wire.Unauthorized("call mining.authorize with this worker's name first")
        try:
            taken = self._shares.take(params, self.payout_script)
        except wire.StratumError as error:
            for stats in found:
                stats.refuse(error.reason)
            raise
        self._bad_shares = 0
        for one in (self.stats, self._bench.stats.total, *found):
            one.accept(self._now, taken.difficulty, taken.reached)
        if taken.is_block:
            self._bench.found(FoundBlock(taken.work, self.payout_script, taken.share, self, found))
        self.vardiff.share(taken.difficulty)
        if self._wants_other_difficulty():
            self._retell()
        return True

    # --- words to the miner ------------------------------------------------------------------------------

    def show_message(self, text: str) -> bytes:
        """Write a line for the miner's owner; nothing when one was shown a moment ago."""
        now = self._bench.now()
        if now - self._shown < self._bench.rules.message_every:
            return b""
        self._shown = now
        return wire.encode_call("client.show_message", [text])

    def leave(self) -> None:
        """Count the connection out."""
        for worker, address in self.workers.values():
            self._bench.stats.leave(worker, address)
        if self.workers:
            self._bench.stats.authorized -= 1
        self.workers.clear()
