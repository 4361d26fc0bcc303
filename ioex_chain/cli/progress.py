"""A live status line on a terminal, a log line now and then elsewhere; nothing with --json or -q."""

from types import TracebackType
from typing import Self

from rich.status import Status

from ioex_chain.cli.options import Session, err

_LINE_EVERY = 50_000


class Progress:
    """Tells how far a long command is."""

    def __init__(self, verb: str, session: Session) -> None:
        self._verb = verb
        self._silent = session.quiet or session.as_json
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if not self._silent and err.is_terminal:
            self._status = err.status(f"{self._verb} ...")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def step(self, what: str, done: int) -> None:
        """Say that `done` of `what` are done."""
        if self._status is not None:
            self._status.update(f"{self._verb}: {what} {done:,}")
        elif not self._silent and done and done % _LINE_EVERY == 0:
            err.print(f"{self._verb}: {what} {done:,}", highlight=False)
