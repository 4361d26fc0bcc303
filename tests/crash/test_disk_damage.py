"""Every file of a stopped node removed, cut short, one byte flipped: an error that helps, or the right chain.

The suite flips 2 bytes a file, the soak 20 (`pytest -m soak tests/crash/test_disk_damage.py -s`).
"""

from collections import Counter
from pathlib import Path

import pytest
from crash.damaged_world import BLOCKS, Fault, World, error_of, faults_of, start

from ioex_chain.ledger.errors import StoreCorrupt
from ioex_chain.primitives.errors import IoexError

HELP = ("ioex db repair", "ioex db reindex", "restore it", "put it back", "--datadir")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("disk"))


def test_a_sound_database_is_called_sound(world: World, tmp_path: Path) -> None:
    world.copy(tmp_path / "copy")
    for words in (("db", "check"), ("db", "check", "--deep")):
        result = world.cli(tmp_path / "copy", *words)
        assert result.exit_code == 0, result.output


def test_a_repaired_database_asks_for_the_reindex(world: World, tmp_path: Path) -> None:
    base = tmp_path / "copy"
    world.copy(base)
    assert world.cli(base, "db", "repair").exit_code == 0
    with pytest.raises(StoreCorrupt, match=f"{base}.*ioex db reindex"):
        start(base)
    assert world.cli(base, "db", "check").exit_code == 1
    assert world.cli(base, "db", "reindex").exit_code == 0
    assert start(base) == world.facts[BLOCKS]


def judge(world: World, base: Path, fault: Fault) -> str:
    """Damage a copy, start on it and check it; give what became of it."""
    fault.apply(world.copy(base))
    try:
        facts = start(base)
    except IoexError as error:
        text = str(error)
        assert str(base) in text, f"{fault}: names no place: {text}"
        assert any(words in text for words in HELP), f"{fault}: no help: {text}"
        outcome = "refused"
    else:
        assert world.is_right(facts), f"{fault}: a wrong answer: {facts}"
        outcome = "whole" if facts[0] == BLOCKS else "earlier"
    return outcome


def recover(world: World, base: Path, fault: Fault) -> str:
    """Repair and reindex, as the messages say, then fetch what was lost; all must be there again."""
    fault.apply(world.copy(base))
    way = "repaired"
    for words in (("db", "repair"), ("db", "reindex")):
        result = world.cli(base, *words)
        if result.exit_code:
            assert str(base) in error_of(result), f"{fault}: {words}"
            way = "rebuilt"
            break
    if way == "rebuilt":  # nothing was left to repair: a new folder, and the blocks from elsewhere
        base = base.with_name("fresh")
        folder = world.copy(base)
        for path in (folder / "pow").iterdir():
            path.unlink()
    assert world.is_right(start(base)), str(fault)
    result = world.cli(base, "import", str(world.export))
    assert result.exit_code == 0, result.output
    assert start(base) == world.facts[BLOCKS], str(fault)
    return way


def check_says_so(world: World, base: Path, fault: Fault) -> str:
    """`ioex db check` finds it, or there is nothing wrong."""
    fault.apply(world.copy(base))
    result = world.cli(base, "db", "check")
    if result.exit_code == 0:
        judge(world, base, fault)  # it may lie in a file that is no part of the database
        return "sound"
    if result.stdout.startswith("{"):
        return "problems"
    text = error_of(result)
    assert str(base) in text, f"{fault}: {text}"
    assert any(words in text for words in HELP), f"{fault}: {text}"
    return "refused"


def run(world: World, base: Path, flips: int, every: int) -> None:
    counts: Counter[str] = Counter()
    faults = list(faults_of(world.base / "devnet", flips, seed=2))
    for number, fault in enumerate(faults):
        counts[judge(world, base, fault)] += 1
        if number % every == 0:
            counts[f"check: {check_says_so(world, base, fault)}"] += 1
            if fault.file.startswith("pow/"):
                counts[recover(world, base, fault)] += 1
    print(f"\n{len(faults)} faults: {dict(counts)}, 0 wrong answers")
    assert counts["refused"] > 10
    assert counts["whole"] > 10


def test_every_file_damaged(world: World, tmp_path: Path) -> None:
    run(world, tmp_path / "copy", flips=2, every=6)


@pytest.mark.soak
def test_every_file_damaged_in_many_places(world: World, tmp_path: Path) -> None:
    run(world, tmp_path / "copy", flips=20, every=1)
