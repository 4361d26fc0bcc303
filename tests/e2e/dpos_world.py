"""A devnet with both chains for stock Ethereum clients, and contracts for them to use."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from e2e.node_process import NodeProcess, environment, ioex

from ioex_chain.wallet.artefacts import Artefact
from ioex_chain.wallet.compilers import compile_source

T = TypeVar("T")
HERE = Path(__file__).parent
CLIENTS = Path(sys.prefix) / "clients" / "node_modules"
CHAIN_ID = 51337
FINAL_SECONDS = 60.0

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not CLIENTS.is_dir(),
    reason="the JavaScript clients are not installed: scripts/clients.sh does it where node and npm are",
)


@contextmanager
def devnet(folder: Path, *flags: str) -> Iterator[NodeProcess]:
    """Run `ioex devnet` with both chains; a block every second, several arbitrators in one process."""
    node = NodeProcess(folder, command=("devnet",))
    node.datadir.marker.unlink()  # a first start, which makes its own genesis
    with node.running("--mine-processes", "1", *flags):
        assert node.dpos, node.stderr
        yield node


def token() -> Artefact:
    """Compile the contract that the stories use."""
    return compile_source(HERE / "contracts" / "Ledger.vy")


def eventually(ask: Callable[[], T], seconds: float = FINAL_SECONDS, pause: float = 0.2) -> T:
    """Ask until the answer is true; give it. Fails with the last answer when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds:g} s"
        time.sleep(pause)


def run_script(name: str, *words: str, timeout: float = 120) -> dict[str, Any]:
    """Run a CommonJS story with the installed clients; give the JSON that it prints at its end."""
    done = subprocess.run(
        ["node", str(HERE / "clients" / name), *words],
        env=environment(NODE_PATH=str(CLIENTS)),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-1000:]}\n{done.stderr[:2000]}"
    result: dict[str, Any] = orjson.loads(done.stdout.strip().split("\n")[-1])
    return result


def dpos_cli(node: NodeProcess, *words: str, cwd: Path | None = None) -> Any:
    """Run a command of the DPoS chain against a node and give the JSON that it prints."""
    place = ("--network", "devnet", "--datadir", str(node.folder), "--rpc-url", node.dpos["rpc"], "--json")
    done = ioex(*words, *place, timeout=120, cwd=cwd)
    assert done.code == 0, done
    return done.json()
