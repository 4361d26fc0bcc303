"""A node's wall clock: virtual time with an offset of its own, which drifts and steps."""

from .scheduler import Scheduler


class SimClock:
    """Unix time as one node sees it. `offset` is in seconds, `drift` in seconds per second."""

    def __init__(self, scheduler: Scheduler, epoch: int, offset: float = 0.0, drift: float = 0.0) -> None:
        """`epoch` is the Unix time at the start of the simulation."""
        self._scheduler = scheduler
        self._epoch = epoch
        self.offset = offset
        self.drift = drift

    def now(self) -> int:
        """Give the current Unix time in whole seconds."""
        elapsed = self._scheduler.now
        return self._epoch + int(elapsed + self.offset + self.drift * elapsed)

    def step(self, seconds: float) -> None:
        """Set the clock forward or back."""
        self.offset += seconds
