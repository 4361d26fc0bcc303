"""Signs rising slots and votes and prints each after it is signed, until it is killed.

Arguments: folder, number of the write to die at (0: never), "before" or "after" or half of it ("torn").
"""

import os
import signal
import sys
from pathlib import Path

from unit.dpos.signer_world import GENESIS, KEYS, ONE, SCHEDULE, TWO, Machine, link

from ioex_chain.dpos.journal import Journal
from ioex_chain.dpos.journal_file import BootMarker, DiskFile
from ioex_chain.dpos.signer import Signer


class DyingFile(DiskFile):
    def __init__(self, path: Path, at: int, when: str) -> None:
        super().__init__(path)
        self._left, self._when = at, when

    def append(self, data: bytes) -> None:
        self._left -= 1
        if self._left:
            super().append(data)
            return
        if self._when != "before":
            super().append(data if self._when == "after" else data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)


def open_signer(folder: Path, machine: Machine, at: int = 0, when: str = "before") -> Signer:
    marker = BootMarker(folder / "marker", b"one boot")
    journal = Journal(DyingFile(folder / "journal", at, when), marker, GENESIS, compact_at=4096)
    return Signer(KEYS, journal, GENESIS, SCHEDULE, machine.now, window=1)


def main() -> None:
    folder, at, when = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    machine = Machine()
    signer = open_signer(folder, machine, at, when)
    machine.slot = max(machine.slot, signer.memory(ONE).slot, signer.memory(ONE).target)
    machine.listen(signer)
    for _ in range(200):
        machine.slot += 1
        header = machine.header()
        signer.sign_seal(ONE, header)
        print("seal", machine.slot, header.hash.hex(), flush=True)
        votes, refused = signer.sign_votes([ONE, TWO], link(machine.slot - 1, machine.slot))
        assert len(votes) == 2, refused
        print("vote", machine.slot, flush=True)


if __name__ == "__main__":
    main()
