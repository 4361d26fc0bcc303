"""kill -9 while blocks are imported, half of the times at a write, half at any moment."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from chaingen.toy import CODEC, CounterMachine, replay, state_rows
from crash.import_blocks import open_ledger, world

from ioex_chain.ledger.errors import Rejected
from ioex_chain.ledger.store import LevelStore, MemoryStore
from ioex_chain.ledger.types import Status
from ioex_chain.ledger.verify import check, state_digest
from ioex_chain.primitives.types import BlockHash

SCRIPT = Path(__file__).with_name("import_blocks.py")
KILLED = -9


def start(path: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(SCRIPT), str(path), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def import_until_killed(path: Path, chance: Random, at_write: bool) -> tuple[list[BlockHash], int]:
    """Give the acknowledged heads and the exit code."""
    arguments = [str(chance.randint(1, 250)), chance.choice(["before", "after"])] if at_write else []
    lines = chance.randint(0, 150)
    acknowledged = []
    with start(path, *arguments) as process:
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged.append(BlockHash(bytes.fromhex(line)))
            if not at_write and len(acknowledged) > lines:
                process.kill()
        code = process.wait()
    return acknowledged, code


def inspect(path: Path, acknowledged: list[BlockHash]) -> None:
    """What is there after the kill must be whole and hold what was acknowledged."""
    if not any(path.glob("CURRENT")):
        assert not acknowledged
        return
    store = LevelStore(path, create=True)
    ledger = open_ledger(store)
    for hash_ in acknowledged:
        entry = ledger.entry(hash_)
        assert entry is not None
        assert entry.status & Status.CONNECTED
        assert entry.weight <= ledger.head.weight
    assert state_rows(ledger) == replay(ledger, CounterMachine())
    assert check(store, CODEC).problems == []
    store.close()


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.soak)])
def test_kill_9_while_importing(tmp_path: Path, kills: int) -> None:
    chance = Random(kills)
    control = MemoryStore()
    uncrashed = open_ledger(control)
    for block in world():
        with suppress(Rejected):
            uncrashed.accept_block(block)
    assert uncrashed.head.height > 200
    done, finished = 0, 0
    while done < kills:
        path = tmp_path / str(finished)
        acknowledged, code = import_until_killed(path, chance, at_write=done % 2 == 0)
        assert code in (0, KILLED)
        inspect(path, acknowledged)
        done += code == KILLED
        finished += code == 0
        assert finished <= kills, "the imports end before they can be killed"
    path = tmp_path / str(finished)
    assert start(path).communicate()[0] is not None
    store = LevelStore(path, create=False)
    assert open_ledger(store).head.hash == uncrashed.head.hash
    assert state_digest(store) == state_digest(control)
    store.close()
    print(
        f"{done} kills, 0 damaged databases, 0 acknowledged blocks lost, {finished} imports finished between"
    )
