"""Virtual time: what happens next, chance by purpose, and a trace whose digest stands for the whole run."""

import heapq
import zlib
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from random import Random

Callback = Callable[[], None]


class Event:
    """Something that will happen; `cancel` makes it nothing."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Have it not happen; harmless afterwards."""
        self.callback = None


class Scheduler:
    """Runs callbacks in the order of (time, order of the calls). Times are seconds from 0.

    Nothing here asks the machine for time or chance, and nothing depends on hashes or addresses of objects.
    """

    def __init__(self, seed: int, *, keep: int = 400, log: Callable[[str], None] | None = None) -> None:
        """`keep`: newest lines of the trace that stay readable; `log` receives every one."""
        self.seed = seed
        self.now = 0.0
        self.lines = 0
        self.steps = 0
        self.recent: deque[str] = deque(maxlen=keep)
        self._log = log
        self._digest = sha256()
        self._heap: list[tuple[float, int, Event]] = []
        self._sequence = 0

    def stream(self, name: str) -> Random:
        """Give the source of chance for one purpose: the same seed and name give the same numbers."""
        return Random(sha256(f"{self.seed}/{name}".encode()).digest())

    def at(self, time: float, callback: Callback) -> Event:
        """Have `callback` called at a time; one that has passed means as soon as possible."""
        self._sequence += 1
        event = Event(callback)
        heapq.heappush(self._heap, (max(time, self.now), self._sequence, event))
        return event

    def after(self, delay: float, callback: Callback) -> Event:
        """Have `callback` called `delay` seconds from now."""
        return self.at(self.now + delay, callback)

    def every(self, interval: float, callback: Callback, *, first: float = 0.0) -> Callback:
        """Call again and again, first after `first` seconds; gives the function that ends it."""
        stopped = False

        def turn() -> None:
            if not stopped:
                self.after(interval, turn)
                callback()

        def stop() -> None:
            nonlocal stopped
            stopped = True

        self.after(first, turn)
        return stop

    def run(self, until: float) -> None:
        """Go on until the virtual time `until`."""
        while self._heap and self._heap[0][0] <= until:
            time, _, event = heapq.heappop(self._heap)
            if event.callback is None:
                continue
            self.now = time
            self.steps += 1
            event.callback()
        self.now = max(self.now, until)

    def note(self, who: str, what: str) -> None:
        """Add a line to the trace."""
        line = f"{self.now:.6f} {who} {what}"
        self._digest.update(line.encode() + b"\n")
        self.lines += 1
        self.recent.append(line)
        if self._log is not None:
            self._log(line)

    @property
    def digest(self) -> str:
        """SHA-256 over all lines so far: equal traces, equal digests."""
        return self._digest.hexdigest()


def checksum(data: bytes) -> str:
    """Give eight hex digits that stand for `data` in a trace."""
    return f"{zlib.crc32(data):08x}"
