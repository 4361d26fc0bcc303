"""The system's clock: the one place outside the async shells that asks for the time."""

import time


class SystemClock:
    """Unix time as this machine has it."""

    def now(self) -> int:
        """Give the current Unix time in whole seconds."""
        return int(time.time())
