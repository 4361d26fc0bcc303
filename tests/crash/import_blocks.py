"""A process to be killed: imports a fixed world of blocks into a LevelDB ledger.

    python import_blocks.py PATH [NUMBER before|after]

Prints the head's hash after every block that moved it: that block counts as acknowledged. With NUMBER the
process kills itself before or after that write.
"""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from random import Random

from chaingen.toy import GENESIS, ToyBlock, ToyLedger, block_on, counter_body, open_toy

from ioex_chain.ledger.errors import Rejected
from ioex_chain.ledger.store import LevelStore


def world(count: int = 1200) -> list[ToyBlock]:
    """Give blocks in order of arrival: mostly extensions, some forks of up to 12 blocks, some invalid."""
    chance = Random(11)
    blocks, parents = [], [GENESIS]
    while len(blocks) < count:
        parent = parents[-1 if chance.random() < 0.8 else -chance.randint(1, min(12, len(parents)))]
        bad = chance.random() < 0.05
        changes = [(chance.randint(1, 40), chance.randint(0, 9)) for _ in range(30)]
        changes.append((50, -1) if bad else (0, chance.choice((-1, 1))))
        block = block_on(
            parent.hash, counter_body(changes), work=chance.randint(1, 3), note=1000 + len(blocks)
        )
        blocks.append(block)
        if not bad:
            parents.append(block)
    return blocks


class Dying(LevelStore):
    """Kills its process at one write."""

    number = -1
    when = ""

    def write(self, changes: Mapping[bytes, bytes | None], sync: bool = True) -> None:
        self.number -= 1
        if self.number == 0 and self.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(changes, sync)
        if self.number == 0 and self.when == "after":
            os.kill(os.getpid(), signal.SIGKILL)


def open_ledger(store: LevelStore) -> ToyLedger:
    return open_toy(store, undo_depth=40, window=16)


def main(path: Path, number: int, when: str) -> None:
    store = Dying(path, create=True, write_buffer=65_536)
    store.number, store.when = number, when
    ledger = open_ledger(store)
    for block in world():
        with suppress(Rejected):
            if ledger.accept_block(block):
                print(ledger.head.hash.hex(), flush=True)
    store.close()


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        int(sys.argv[2]) if len(sys.argv) > 2 else -1,
        sys.argv[3] if len(sys.argv) > 3 else "",
    )
