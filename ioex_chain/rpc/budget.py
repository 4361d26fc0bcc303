"""One account of the memory that unfinished large requests hold, over all connections of a port."""

from types import TracebackType
from typing import Self

from ioex_chain.rpc.errors import LimitExceeded


class Budget:
    """Bytes that may be held at one time."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0

    def take(self, count: int) -> bool:
        """Book `count` bytes; False, and nothing booked, when that is more than is left."""
        if self.used + count > self.total:
            return False
        self.used += count
        return True

    def give(self, count: int) -> None:
        """Hand back what was taken."""
        self.used -= count


class Hold:
    """What one request holds of a budget; the first `free` bytes cost nothing. Leaving it hands all back."""

    def __init__(self, budget: Budget, free: int) -> None:
        self._budget = budget
        self._free = free
        self._booked = 0
        self.size = 0

    def grow(self, count: int) -> None:
        """Count `count` more bytes. Raises LimitExceeded when the server holds too much already."""
        self.size += count
        due = max(0, self.size - self._free) - self._booked
        if due > 0:
            if not self._budget.take(due):
                raise LimitExceeded("The server holds as many large requests as it may; try again later")
            self._booked += due

    def release(self) -> None:
        """Hand everything back."""
        self._budget.give(self._booked)
        self._booked = 0
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
