"""The one source of time: a constructor argument everywhere, so that tests own it."""

from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> int:
        """Give the current Unix time in whole seconds."""
        ...


class FixedClock:
    """A clock that stands until somebody moves it: for tests, simulations and replays."""

    def __init__(self, time: int) -> None:
        self.time = time

    def now(self) -> int:
        """Give the time that was set."""
        return self.time

    def advance(self, seconds: int) -> None:
        """Move on by `seconds`."""
        self.time += seconds
