"""Several real nodes that dial each other over wires, and what a test waits for."""

import signal
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from e2e.node_process import NodeProcess, RpcFailed
from e2e.wires import Wires

ALREADY_ADDED = -23
PATIENCE = 60.0
"""Seconds after which a test gives up: two slow cores share seven nodes."""


class NotReached(AssertionError):
    """What a test waited for did not come; the message shows what was there instead."""


def wait_for(what: Callable[[], Any], why: Callable[[], Any] = lambda: "", seconds: float = PATIENCE) -> Any:
    """Ask again and again until the answer is true; give it."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > deadline:
            raise NotReached(f"not within {seconds:.0f} s: {why()}")
        time.sleep(0.1)


class Network:
    """Nodes named by letters. `edges` such as ("ab", "bc"): a dials b, b dials c. A context manager."""

    def __init__(self, base: Path, names: str, edges: Iterable[str], *flags: str) -> None:
        self.base = base
        self.names = names
        self.edges = tuple(edges)
        self.flags = flags
        self.nodes: dict[str, NodeProcess] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.wires = stack.enter_context(Wires())
            stack.callback(self._end_all)
            for name in self.names:
                folder = self.base / name
                folder.mkdir(parents=True, exist_ok=True)
                self.nodes[name] = NodeProcess(folder)
                self.start(name)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _end_all(self) -> None:
        for node in self.nodes.values():
            node.ensure_gone()

    def start(self, name: str) -> NodeProcess:
        """Start a node (again) and have it dial those that it should."""
        node = self.nodes[name]
        node.start("--verify-processes", "0", "--only-peers", *self.flags)
        for near, far in self.edges:
            if name in (near, far) and all(self.is_up(one) for one in (near, far)):
                self.dial(near, far)
        return node

    def is_up(self, name: str) -> bool:
        return name in self.nodes and self.nodes[name].process is not None

    def dial(self, near: str, far: str) -> None:
        """Have one node keep a connection to another, over a wire."""
        target = self.nodes[far]
        port = self.wires.lay(near, far, target.p2p_port)
        try:
            self.nodes[near].rpc("addnode", f"ioex://{target.peer_id}@127.0.0.1:{port}", "add")
        except RpcFailed as error:
            if error.code != ALREADY_ADDED:
                raise

    def peers(self, name: str) -> list[dict[str, Any]]:
        return list(self.nodes[name].rpc("getpeerinfo"))

    def disturb(self, what: str, name: str) -> None:
        """Kill, pause, cut off or restart a node; all but the last last until `restore`."""
        node = self.nodes[name]
        if what == "kill":
            node.kill()
        elif what == "pause":
            assert node.process is not None
            node.process.send_signal(signal.SIGSTOP)
        elif what == "cut":
            self.wires.part(name, "".join(other for other in self.names if other != name))
        else:
            node.stop()
            self.start(name)

    def restore(self, what: str, name: str) -> None:
        """Undo what `disturb` did."""
        if what == "kill":
            self.start(name)
        elif what == "pause":
            process = self.nodes[name].process
            assert process is not None
            process.send_signal(signal.SIGCONT)
        elif what == "cut":
            self.wires.heal()

    def running(self) -> list[NodeProcess]:
        return [self.nodes[name] for name in self.names if self.nodes[name].process is not None]

    def heads(self) -> dict[str, str]:
        return {
            name: node.rpc("getbestblockhash")
            for name, node in self.nodes.items()
            if node.process is not None
        }

    def wait_connected(self) -> None:
        """Wait until every edge is a connection."""
        for name in self.names:
            wanted = sum(name in edge for edge in self.edges)
            wait_for(
                lambda node=self.nodes[name], count=wanted: node.rpc("getconnectioncount") >= count,
                lambda node=self.nodes[name]: node.stderr[-2000:],
            )

    def wait_agreed(self, height: int | None = None, seconds: float = PATIENCE) -> str:
        """Wait until all running nodes have one head (at `height`); give its hash."""

        def agreed() -> str | None:
            heads = set(self.heads().values())
            if len(heads) != 1:
                return None
            if height is not None and self.running()[0].rpc("getblockcount") != height:
                return None
            return heads.pop()

        return str(wait_for(agreed, lambda: {**self.heads()}, seconds))
