"""The signer dies between any two steps: afterwards nothing that contradicts a signature can be signed."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from crash.signing_process import open_signer
from unit.dpos.signer_world import ONE, TWO, Killed, Machine, link

from ioex_chain.dpos import signing_errors
from ioex_chain.dpos.signer import Signer

SCRIPT = Path(__file__).with_name("signing_process.py")


def sign(signer: Signer, machine: Machine, action: str) -> None:
    if action == "seal":
        signer.sign_seal(ONE, machine.header())
    else:
        signer.sign_votes([ONE, TWO], link(5, 6))


def must_not_contradict(machine: Machine, slot: int, target: int) -> None:
    """Start again: what may have been signed at `slot` and `target` cannot be signed differently."""
    machine.marker.dies = False
    machine.file.dies_at = None
    signer = machine.start()
    machine.listen(signer, tallest=target)
    machine.slot = slot
    with pytest.raises((signing_errors.SlotTaken, signing_errors.Watching)):
        signer.sign_seal(ONE, machine.header(extra=b"another"))
    machine.slot = slot + 20
    votes, refused = signer.sign_votes([ONE, TWO], link(target - 1, target, "another"))
    assert votes == []
    assert len(refused) == 2


@pytest.mark.parametrize("kept", [0, 1, 40, 77, 78, 10_000])
@pytest.mark.parametrize("action", ["seal", "vote"])
def test_killed_in_the_write(kept: int, action: str) -> None:
    """Nothing, a part or all of the record reaches the disk; the signature never left."""
    machine = Machine()
    signer = machine.ready()
    machine.slot += 1
    header = machine.header()
    signer.sign_seal(ONE, header)
    signer.sign_votes([ONE, TWO], link(4, 5))
    machine.slot += 1
    machine.file.dies_at = machine.file.writes + 1
    machine.file.keeps, machine.file.error = kept, Killed
    with pytest.raises(Killed):
        sign(signer, machine, action)
    must_not_contradict(machine, machine.slot - 1, 5)


@pytest.mark.parametrize("action", ["seal", "vote"])
def test_killed_between_the_write_and_the_signature(action: str) -> None:
    machine = Machine()
    signer = machine.ready()
    machine.slot += 1
    machine.marker.dies = True
    with pytest.raises(Killed):
        sign(signer, machine, action)
    machine.marker.dies = False
    again = machine.start()
    again.tick(online=True, tallest=0)
    if action == "seal":
        with pytest.raises(signing_errors.SlotTaken):
            again.sign_seal(ONE, machine.header(extra=b"another"))
    else:
        assert again.sign_votes([ONE, TWO], link(5, 6, "another"))[0] == []


def test_killed_while_compacting() -> None:
    machine = Machine()
    signer = machine.start(compact_at=400, new_chain=True)
    signer.tick(online=True, tallest=0)
    target = 0
    machine.file.error = Killed
    while True:
        size = len(machine.file.data or b"")
        target += 1
        machine.slot += 1
        if size > 250:
            machine.file.dies_at = machine.file.writes + 2  # the append, then the replacement
        try:
            signer.sign_seal(ONE, machine.header())
            machine.file.dies_at = None
            signer.sign_votes([ONE, TWO], link(target - 1, target))
        except Killed:
            break
    must_not_contradict(machine, machine.slot, target - 1)


def test_killed_after_compacting_before_the_marker() -> None:
    """The marker names the end of the file that was replaced: the new one says that it follows it."""
    machine = Machine()
    signer = machine.start(compact_at=400, new_chain=True)
    signer.tick(online=True, tallest=0)
    target = 0
    while len(machine.file.data or b"") + 2 * 130 < 400:
        target += 1
        signer.sign_votes([ONE, TWO], link(target - 1, target))
    machine.marker.dies_in = 2
    with pytest.raises(Killed):
        signer.sign_votes([ONE, TWO], link(target, target + 1))
    machine.marker.dies_in = None
    again = machine.start()
    again.tick(online=True, tallest=0)
    assert again.slots_left == 0
    assert again.sign_votes([ONE, TWO], link(target, target + 1, "another"))[0] == []
    assert len(again.sign_votes([ONE, TWO], link(target, target + 1))[0]) == 2


def run(folder: Path, at: int, when: str, lines: int | None) -> tuple[list[list[str]], int]:
    """Give what was signed before the process was killed, and its exit code."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(SCRIPT), str(folder), str(at), when]
    signed = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            signed.append(line.split())
            if lines is not None and len(signed) > lines:
                process.kill()
        code = process.wait()
    return signed, code


@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=pytest.mark.soak)])
def test_kill_9_while_signing(tmp_path: Path, kills: int) -> None:
    """Half die at a write, half at any moment; each start goes on with the same journal."""
    chance = Random(kills)
    seals: dict[str, str] = {}
    newest = 0
    for number in range(kills):
        when = chance.choice(["before", "torn", "after"])
        at, lines = (chance.randint(1, 60), None) if number % 2 else (0, chance.randint(1, 90))
        signed, code = run(tmp_path, at, when, lines)
        assert code in (0, -9)
        for kind, slot, *header in signed:
            if kind == "seal":
                assert seals.setdefault(slot, header[0]) == header[0]
            newest = max(newest, int(slot))
        machine = Machine()
        machine.slot = newest + 30
        signer = open_signer(tmp_path, machine)
        assert signer.memory(ONE).slot >= newest  # no acknowledged signature is lost
        assert signer.memory(ONE).target >= max(
            [int(slot) for kind, slot, *_ in signed if kind == "vote"], default=0
        )
        signer._journal._marker.close()  # type: ignore[attr-defined]
