"""Every file of the DPoS chain removed, cut short, one byte flipped: an error that helps, or the right chain.

What the signer's journal does is held in tests/unit/dpos/test_dpos_signer.py. The suite tries a third of the
faults, the soak all with 20 flips a file (`pytest -m soak tests/crash/test_dpos_node_damage.py -s`).
"""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crash.damaged_world import Facts, Fault, error_of, faults_of
from e2e.dpos_world import devnet, dpos_cli, eventually
from typer.testing import CliRunner

from ioex_chain.cli.main import app
from ioex_chain.ledger.errors import StoreError
from ioex_chain.ledger.verify import state_digest
from ioex_chain.node.app import Running, run_node
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.offline import AnyLedger, stopped_node
from ioex_chain.primitives.errors import IoexError

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("dpos_damage")]
HELP = (
    "ioex db repair --chain dpos",
    "ioex db reindex --chain dpos",
    "restore it",
    "put it back",
    "--datadir",
)


def settings(base: Path) -> NodeConfig:
    return NodeConfig(
        datadir=base, network="devnet", rpc_port=0, p2p=False, dpos_rpc_port=0, verify_processes=0
    )


def facts_of(ledger: AnyLedger) -> Facts:
    with ledger.snapshot() as snapshot:
        return snapshot.head.height, snapshot.head.hash, state_digest(snapshot)


def start(base: Path) -> Facts:
    """Start the whole node in this process, look, stop it. Raises IoexError as the command reports it."""
    found: list[Facts] = []

    def look(running: Running) -> None:
        assert running.dpos is not None
        service = running.dpos.service
        try:
            found.append(facts_of(service.ledger))
        except StoreError as error:  # a row that only this look reads
            raise service.chain.naming(error) from error
        running.service.request_stop()

    asyncio.run(run_node(settings(base), look))
    return found[0]


class World:
    """A devnet that ran: its folder, an export of its blocks, the right facts at every height."""

    def __init__(self, base: Path) -> None:
        self.base, self.export = base / "control", base / "blocks"
        with devnet(base) as node:
            dpos_cli(node, "faucet", "0x" + "77" * 20, "3")
            eventually(lambda: self._final(node) >= 8)
            assert node.stop()[0] == 0
            shutil.copytree(node.folder, self.base)
        assert self.cli(self.base, "export", str(self.export), "--chain", "dpos").exit_code == 0
        self.facts = dict(self._replay(base / "replay"))
        self.height = max(self.facts)
        assert start(self.base) == self.facts[self.height]

    def _final(self, node: Any) -> int:
        return int(dpos_cli(node, "rpc", "eth_getBlockByNumber", "finalized", "false")["number"], 16)

    def _replay(self, base: Path) -> Iterator[tuple[int, Facts]]:
        """Execute all blocks again, on a new database."""
        shutil.copytree(self.base, base)
        with stopped_node(settings(base)) as place:
            tools = place.tools("dpos")
            with tools.open() as ledger:
                blocks = [ledger.body(ledger.entry_at(h).hash) for h in range(1, ledger.head.height + 1)]  # type: ignore[union-attr]
        shutil.rmtree(base / "devnet" / "dpos" / "chain")
        with stopped_node(settings(base)) as place, place.tools("dpos").open(create=True) as ledger:
            yield 0, facts_of(ledger)
            for height, block in enumerate(blocks, 1):
                ledger.accept_block(block)
                yield height, facts_of(ledger)

    def copy(self, to: Path) -> Path:
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.base, to)
        return to / "devnet"

    def cli(self, base: Path, *words: str) -> Any:
        place = ["--network", "devnet", "--datadir", str(base), "--json"]
        return CliRunner().invoke(app, [*words, *place])

    def is_right(self, facts: Facts) -> bool:
        """Whether this is the chain, whole or as it was some blocks ago."""
        return self.facts.get(facts[0]) == facts


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("damage"))


def judge(world: World, base: Path, fault: Fault) -> str:
    """Damage a copy and start on it; give what became of it."""
    fault.apply(world.copy(base))
    try:
        facts = start(base)
    except IoexError as error:
        text = str(error)
        assert str(base) in text, f"{fault}: names no place: {text}"
        assert any(words in text for words in HELP), f"{fault}: no help: {text}"
        return "refused"
    assert world.is_right(facts), f"{fault}: a wrong answer: {facts}"
    return "whole" if facts[0] == world.height else "earlier"


def recover(world: World, base: Path, fault: Fault) -> str:
    """Repair and reindex, as the messages say, then fetch what was lost; all must be there again."""
    fault.apply(world.copy(base))
    way = "repaired"
    for words in (("db", "repair"), ("db", "reindex")):
        result = world.cli(base, *words, "--chain", "dpos")
        if result.exit_code:
            assert str(base) in error_of(result), f"{fault}: {words}"
            shutil.rmtree(world.copy(base) / "dpos" / "chain")
            way = "rebuilt"
            break
    result = world.cli(base, "import", str(world.export), "--chain", "dpos")
    assert result.exit_code == 0, f"{fault}: {result.output} {result.stderr}"
    assert start(base) == world.facts[world.height], str(fault)
    return way


def check_says_so(world: World, base: Path, fault: Fault) -> str:
    """`ioex db check` finds it, or there is nothing wrong."""
    fault.apply(world.copy(base))
    result = world.cli(base, "db", "check", "--chain", "dpos")
    if result.exit_code == 0:
        return "sound"
    if result.stdout.startswith("{"):
        assert not json.loads(result.stdout)["ok"]
        return "problems"
    text = error_of(result)
    assert str(base) in text, f"{fault}: {text}"
    assert any(words in text for words in HELP), f"{fault}: {text}"
    return "refused"


def run(world: World, base: Path, flips: int, step: int, every: int) -> None:
    counts: Counter[str] = Counter()
    folder = world.base / "devnet"
    faults = [fault for fault in faults_of(folder, flips, seed=4) if fault.file.startswith("dpos/")]
    faults = [fault for fault in faults if not fault.file.startswith("dpos/signers/")][::step]
    for number, fault in enumerate(faults):
        counts[judge(world, base, fault)] += 1
        if number % every == 0:
            counts[f"check: {check_says_so(world, base, fault)}"] += 1
            if fault.file.startswith("dpos/chain/"):
                counts[recover(world, base, fault)] += 1
    print(f"\n{len(faults)} faults: {dict(counts)}, 0 wrong answers")
    assert counts["refused"] > 3
    assert counts["whole"] > 3


def test_files_damaged(world: World, tmp_path: Path) -> None:
    run(world, tmp_path / "copy", flips=2, step=3, every=6)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_every_file_damaged_in_many_places(world: World, tmp_path: Path) -> None:
    run(world, tmp_path / "copy", flips=20, step=1, every=4)
