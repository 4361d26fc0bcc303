"""Runs `ioex` with a DPoS chain that ends the process at a point: `dpos_failpoint_node.py POINT NUMBER ...`.

The points, each counted from the start of the process: `before-write` and `after-write` of the database's
NUMBER-th write, `before-sign` and `after-sign` of the signer's journal, `before-save` and `after-save` of the
pool's file.
"""

import os
import signal
import sys
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from ioex_chain.cli.main import app as ioex
from ioex_chain.dpos.journal_file import DiskFile
from ioex_chain.ledger.store import LevelStore
from ioex_chain.node import arbitration, datadir, dpos_build, pool_journal

POINTS = ("before-write", "after-write", "before-sign", "after-sign", "before-save", "after-save")


def arm(point: str, number: int) -> None:
    """Put the failpoint in the way of what the node writes."""
    moment, _, what = point.partition("-")
    numbers = count(1)

    def guard(write: Any, *args: Any) -> Any:
        mine = next(numbers) == number
        if mine and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = write(*args)
        if mine and moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    class CrashingStore(LevelStore):
        def write(self, changes: Mapping[bytes, bytes | None], sync: bool = True) -> None:
            guard(super().write, changes, sync)

    class CrashingFile(DiskFile):
        def append(self, data: bytes) -> None:
            guard(super().append, data)

    def save(path: Path, data: bytes) -> None:
        guard(datadir.write_atomically, path, data)

    if what == "write":
        dpos_build.LevelStore = CrashingStore  # type: ignore[misc]
    elif what == "sign":
        arbitration.DiskFile = CrashingFile  # type: ignore[misc]
    else:
        pool_journal.write_atomically = save


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    ioex(sys.argv[3:])
