"""A stopped node's folder to damage, and what may be found in it afterwards."""

import asyncio
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaingen.builder import ChainBuilder
from e2e.devnet_chain import dev_chain
from e2e.node_process import GENESIS_TIME
from typer.testing import CliRunner

from ioex_chain.cli.main import app
from ioex_chain.ledger.verify import state_digest
from ioex_chain.node.app import Running, run_node
from ioex_chain.node.build import open_chain
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.datadir import DataDir, Identity
from ioex_chain.pow.tip import Tip
from ioex_chain.rpc.pow_backend import PowLedger

BLOCKS = 30
Facts = tuple[int, bytes, bytes]
"""Height, head, digest of the whole state."""


@dataclass(frozen=True)
class Fault:
    """One thing done to one file."""

    file: str
    kind: str
    at: int = 0

    def __str__(self) -> str:
        return f"{self.file} {self.kind} {self.at}"

    def apply(self, folder: Path) -> None:
        path = folder / self.file
        if self.kind == "removed":
            path.unlink()
            return
        data = bytearray(path.read_bytes())
        if self.kind == "cut":
            del data[self.at :]
        else:
            data[self.at] ^= 0x40
        path.write_bytes(data)


def faults_of(folder: Path, flips: int, seed: int) -> Iterator[Fault]:
    """Give every fault for every file: removed, cut short at several places, single bytes flipped."""
    chance = random.Random(seed)
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        file, size = str(path.relative_to(folder)), path.stat().st_size
        yield Fault(file, "removed")
        cuts = {0, size // 2, size - 1} | {chance.randrange(size + 1) for _ in range(flips // 2)}
        yield from (Fault(file, "cut", at) for at in sorted(cuts) if 0 <= at < size)
        flipped = {chance.randrange(size) for _ in range(flips)} if size else set()
        yield from (Fault(file, "flip", at) for at in sorted(flipped))


def settings(base: Path) -> NodeConfig:
    return NodeConfig(datadir=base, network="devnet", rpc_port=0, p2p_port=0, verify_processes=0, dpos=False)


def facts_of(ledger: PowLedger) -> Facts:
    with ledger.snapshot() as snapshot:
        return snapshot.head.height, snapshot.head.hash, state_digest(snapshot)


def start(base: Path) -> Facts:
    """Start the whole node in this process, look, stop it. Raises IoexError as the command reports it."""
    found: list[Facts] = []

    def look(running: Running) -> None:
        found.append(facts_of(running.service.ledger))
        running.service.request_stop()

    asyncio.run(run_node(settings(base), look))
    return found[0]


class World:
    """The undamaged node: its folder, an export of its blocks, the right facts at every height."""

    def __init__(self, base: Path) -> None:
        self.base = base / "control"
        self.export = base / "blocks.dat"
        chain, _ = dev_chain()
        self.datadir = DataDir(self.base, "devnet")
        self.datadir.create(Identity("devnet", GENESIS_TIME))
        self.facts: dict[int, Facts] = {}
        self._grow(chain)
        self._fill_pool(chain)
        assert start(self.base) == self.facts[BLOCKS]
        assert self.cli(self.base, "export", str(self.export)).exit_code == 0
        self.datadir.cookie.write_text("__cookie__:" + "0" * 64)  # as a killed node leaves it

    def _grow(self, chain: ChainBuilder) -> None:
        """Half of the blocks end up in table files, the others in the log."""
        blocks = chain.warm_up()
        coin = chain.all_funds(chain.genesis.transactions[0])[0]
        for _ in range(BLOCKS - len(blocks)):
            pay = chain.spend(coin, [], fee=5_000)
            blocks.append(chain.block(blocks[-1], [pay]))
            coin = chain.funds(pay)
        self.last_coin = coin
        with open_chain(settings(self.base)) as node:
            self._note(node.ledger)
            for block in blocks[: BLOCKS // 2]:
                node.ledger.accept_block(block)
                self._note(node.ledger)
            node.store.compact()
            for block in blocks[BLOCKS // 2 :]:
                node.ledger.accept_block(block)
                self._note(node.ledger)

    def _note(self, ledger: PowLedger) -> None:
        facts = facts_of(ledger)
        self.facts[facts[0]] = facts

    def _fill_pool(self, chain: ChainBuilder) -> None:
        pay = chain.spend(self.last_coin, [], fee=50_000)

        async def run() -> None:
            def add(running: Running) -> None:
                service = running.service
                service.mempool.add(pay, Tip.of(service.ledger))
                service.request_stop()

            await run_node(settings(self.base), add)

        asyncio.run(run())

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


def error_of(result: Any) -> str:
    """Give the message of a command that failed as it should."""
    assert result.exit_code == 1, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    return str(json.loads(result.stderr)["error"]["message"])
