"""Runs `ioex` with a disk that ends the process at a named point: `failpoint_node.py POINT NUMBER ARGS...`.

The points, each counted from the start of the process: `before-write` and `after-write` of the database's
NUMBER-th write, `before-save` and `after-save` of the NUMBER-th file that is replaced (mempool, fees).
"""

import os
import signal
import sys
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from ioex_chain.cli.main import app as ioex
from ioex_chain.ledger.store import LevelStore
from ioex_chain.node import app, build, datadir

POINTS = ("before-write", "after-write", "before-save", "after-save")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, number: int) -> None:
    """Put the failpoint in the way of what the node writes."""
    moment, _, what = point.partition("-")
    numbers = count(1)

    def guard(write: Any, *args: Any) -> Any:
        mine = next(numbers) == number
        if mine and moment == "before":
            die()
        result = write(*args)
        if mine and moment == "after":
            die()
        return result

    class CrashingStore(LevelStore):
        def write(self, changes: Mapping[bytes, bytes | None], sync: bool = True) -> None:
            guard(super().write, changes, sync)

    def save(path: Path, data: bytes) -> None:
        guard(datadir.write_atomically, path, data)

    if what == "write":
        build.LevelStore = CrashingStore  # type: ignore[misc]
    else:
        app.write_atomically = save


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    ioex(sys.argv[3:])
